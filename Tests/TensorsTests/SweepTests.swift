// Deferred sums: the same numbers as when each is computed alone.
import Kernels
import Testing

@testable import Tensors

extension TensorsTests {
  /// Deferred sums, and weights that are prepared once.
  @Suite struct SweepTests {
    /// A map of this shape is large enough to defer its sums.
    private static let map = [1, 5, 40, 72]

    private struct Block {
      var f: Tensor, gamma: Tensor, beta: Tensor, w: Tensor

      init(_ dtype: DType) throws {
        f = try .leaf(SweepTests.map, seed: 1, dtype, channelsLast: true)
        gamma = try .leaf([1, 5, 1, 1], seed: 2, dtype)
        beta = try .leaf([1, 5, 1, 1], seed: 3, dtype)
        w = try .leaf([5, 5, 3, 3], seed: 4, dtype)
      }

      /// A convolution, its activation, an affine per channel, a convolution, the input again.
      func residual(_ x: Tensor) throws -> Tensor {
        let h = try x.conv2d(w, nil, padding: 1).gelu()
        let z = try h.multiplied(by: gamma.adding(1)).adding(beta)
        return try x.adding(z.conv2d(w, nil, padding: 1))
      }

      func gradients(_ loss: Tensor) throws -> [[Double]] {
        try loss.backward()
        defer { for t in [f, gamma, beta, w] { t.clearGrad() } }
        return try [f, gamma, beta, w].map { try $0.grad?.numbers() ?? [] }
      }
    }

    private func compare(_ what: String, _ loss: (Block) throws -> Tensor) throws {
      let (single, double) = (try Block(.f32), try Block(.f64))
      let got = try single.gradients(loss(single)), expected = try double.gradients(loss(double))
      for (name, (g, e)) in zip(["f", "gamma", "beta", "w"], zip(got, expected)) {
        #expect(relativeError(g, e) < 2e-4, "\(what): \(name)")
      }
    }

    /// Gradients through the deferred sums equal those of f64, which defers nothing.
    @Test func gradientsAgreeWithDouble() throws {
      try compare("one block") { try $0.residual($0.f).squared().mean() }
      // The affine's parameters get gradients from both blocks, which are chained.
      try compare("two blocks") { try $0.residual($0.residual($0.f)).squared().mean() }
      // No map is ever stored that the sums could be fused with.
      try compare("alone") { b in
        try b.f.sin().multiplied(by: b.gamma).adding(b.beta).squared().mean()
          .adding(b.w.squared().sum())
      }
      // A parameter after the sum has a graph of its own, and is fused later.
      try compare("parameter with a graph") { b in
        let g = try b.gamma.tanh().multiplied(by: b.beta)
        let y = try b.f.multiplied(by: g).conv2d(b.w, nil, padding: 1)
        return try y.multiplied(by: g).squared().mean()
      }
    }

    @Test func sumsWaitAndJoin() throws {
      let g = try Tensor.leaf(Self.map, seed: 5, channelsLast: true, gradient: false).value
      let f = try Tensor.leaf(Self.map, seed: 6, channelsLast: true, gradient: false).value
      let product = try Value.pointwise(.multiply, [g, f])
      let sums = try #require(try product.channelSums())
      let plain = try #require(try g.channelSums())
      #expect(sums.isPendingSum && plain.isPendingSum)
      // Storing a map of the same operands computes both sums too.
      let map = try Value.pointwise(.add, [g, product])
      try map.materialise()
      #expect(!sums.isPendingSum && !plain.isPendingSum)
      let (gs, fs) = (try g.numbers(), try f.numbers())
      let pixels = Self.map[2] * Self.map[3]
      for c in 0..<Self.map[1] {
        let range = c * pixels..<(c + 1) * pixels
        let dot = range.reduce(0) { $0 + gs[$1] * fs[$1] }, total = range.reduce(0) { $0 + gs[$1] }
        #expect(
          try abs(sums.numbers()[c] - dot) < 1e-2 && abs(plain.numbers()[c] - total) < 1e-2)
      }
      #expect(relativeError(try map.numbers(), zip(gs, fs).map { $0 + $0 * $1 }) < 1e-6)
      #expect(try Tensor(map).paddingIsZero())
      // Maps of another shape, and small ones, are not deferred.
      let small = try Tensor.leaf([1, 5, 4, 4], seed: 7, channelsLast: true, gradient: false)
      #expect(try small.value.channelSums() == nil)
    }

    /// The same bits for any number of threads.
    @Test func sumsDoNotDependOnThreads() throws {
      let block = try Block(.f32)
      let pool = ThreadPool.shared, threads = pool.threads
      defer { pool.threads = threads }
      var seen: [[[Double]]] = []
      for count in [1, 2, 8] {
        pool.threads = count
        seen.append(try block.gradients(block.residual(block.f).squared().mean()))
      }
      #expect(seen[0] == seen[1] && seen[0] == seen[2])
    }

    /// An activation that is a convolution's only reader is computed while the convolution is
    /// written: with the same result, and only in that case.
    @Test(arguments: [1, 2]) func activationsOfConvolutions(shuffle: Int) throws {
      let x = try Tensor.leaf([1, 9, 24, 32], seed: 8, channelsLast: true, gradient: false)
      let w = try Tensor.leaf([20, 9, 3, 3], seed: 9)
      func convolution() throws -> Tensor {
        try x.conv2d(w, nil, padding: 1).pixelShuffled(shuffle)
      }
      let next = try Tensor.leaf([6, 20 / (shuffle * shuffle), 3, 3], seed: 10)
      let recorded = try convolution()
      let (sine, both, following) = (
        try recorded.sin().numbers(), try recorded.sin().multiplied(by: recorded).numbers(),
        try recorded.sin().conv2d(next, nil).numbers()
      )
      #expect(recorded.value.isStored)

      Session.current.isRecording = false
      defer { Session.current.isRecording = true }
      let alone = try convolution()
      #expect(try alone.sin().squared().numbers() == recorded.sin().squared().numbers())
      #expect(!alone.value.isStored)
      #expect(try convolution().sin().numbers() == sine)
      #expect(try convolution().sin().conv2d(next, nil).numbers() == following)
      let shared = try convolution()
      #expect(try shared.sin().multiplied(by: shared).numbers() == both)
      #expect(shared.value.isStored)
      #expect(try convolution().exp().numbers() == recorded.exp().numbers())
    }

    /// Weights prepared by an algorithm are dropped when they change, in place or not.
    @Test func preparedWeightsFollowTheWeights() throws {
      let x = try Tensor.leaf([1, 9, 24, 32], seed: 8, channelsLast: true, gradient: false)
      let w = try Tensor.leaf([9, 9, 3, 3], seed: 9)
      func output(recording: Bool) throws -> [Double] {
        Session.current.isRecording = recording
        defer { Session.current.isRecording = true }
        return try x.conv2d(w, nil, padding: 1).numbers()
      }
      let first = try output(recording: false)
      #expect(w.value.prepared != nil)
      #expect(try output(recording: false) == first && (try output(recording: true)) == first)
      let optimiser = try Optimiser(
        [w], .adam(beta1: 0.9, beta2: 0.999, epsilon: 1e-8), lr: 0.1)
      try x.conv2d(w, nil, padding: 1).squared().mean().backward()
      _ = try output(recording: false)
      try optimiser.update()
      let stepped = try output(recording: false)
      #expect(stepped != first)
      #expect(try output(recording: true) == stepped)
      Session.current.isRecording = false
      defer { Session.current.isRecording = true }
      try w.assign(.full(0, [9, 9, 3, 3]))
      #expect(try output(recording: false).allSatisfy { $0 == 0 })
    }
  }
}
