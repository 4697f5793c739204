// The tape: recording, traversal, freeing, and rejected uses.
import Kernels
import Support
import Testing

@testable import Tensors

extension TensorsTests {
  @Suite struct TapeTests {
    /// A chain of a million operations is recorded, traversed and freed without recursion.
    @Test func longChain() throws {
      let entries = Session.current.tapeEntries
      do {
        let x = try Tensor.leaf([0.5, -1], [2])
        var y = x
        for _ in 0..<500_000 { y = try y.multiplied(by: 1.000_001).adding(1e-7) }
        try y.sum().backward()
        let slope = try #require(try x.grad?.numbers())
        // e^{0.5} up to the rounding of half a million products in f32.
        #expect(slope.allSatisfy { abs($0 - 1.6487) < 0.05 } && slope[0] == slope[1])
      }
      #expect(Session.current.tapeEntries == entries)
    }

    /// The same with a graph that is dropped instead of traversed.
    @Test func longChainUnread() throws {
      let entries = Session.current.tapeEntries
      do {
        let x = try Tensor.leaf([0.5, -1], [2])
        var y = x
        for _ in 0..<300_000 { y = try y.sin().viewed([1, 2]).viewed([2]) }
        #expect(y.requiresGrad)
      }
      #expect(Session.current.tapeEntries == entries)
    }

    /// Convolutions are pending too: a long chain of them must not nest.
    @Test func longChainOfConvolutions() throws {
      let entries = Session.current.tapeEntries
      for recording in [true, false] {
        Session.current.isRecording = recording
        defer { Session.current.isRecording = true }
        let w = try Tensor.leaf([0.5, 0.5, 0.5, 0.5], [2, 2, 1, 1])
        var y = try Tensor.leaf([1, 1, 1, 1], [1, 2, 1, 2], gradient: false)
        for _ in 0..<20_000 { y = try y.conv2d(w, nil).sin().pixelShuffled(1).relu().adding(0.1) }
        #expect(try y.numbers().allSatisfy { $0.isFinite })
        if recording {
          try y.sum().backward()
          #expect(try w.grad?.numbers().allSatisfy { $0.isFinite } == true)
        }
      }
      #expect(Session.current.tapeEntries == entries)
    }

    @Test func secondBackwardIsAnError() throws {
      let entries = Session.current.tapeEntries
      do {
        let x = try Tensor.leaf([2, 3], [2])
        let shared = try x.squared()
        let loss = try shared.sum()
        try loss.backward()
        #expect(throws: LunervError.self) { try loss.backward() }
        // A new loss over a part that was already traversed is an error too.
        #expect(throws: LunervError.self) { try shared.sin().sum().backward() }
        // From the leaf on, everything is new.
        try x.sum().backward()
        #expect(try x.grad?.numbers() == [5, 7])
      }
      #expect(Session.current.tapeEntries == entries)
    }

    @Test func gradientsAccumulate() throws {
      let x = try Tensor.leaf([2, 3], [2])
      let y = try x.multiplied(by: x).adding(x)
      let z = try y.multiplied(by: y.adding(x)).adding(y)
      try z.sum().backward()
      // z = y(y + x) + y with y = x² + x: z' = (2x+1)(2y+x+1) + y.
      #expect(
        try x.grad?.numbers()
          == [2.0, 3].map { x in
            let y = x * x + x
            return (2 * x + 1) * (2 * y + x + 1) + y
          })
      let before = try #require(try x.grad?.numbers())
      try x.multiplied(by: 10).sum().backward()
      #expect(try x.grad?.numbers() == before.map { $0 + 10 })
      x.clearGrad()
      #expect(x.grad == nil)
    }

    /// A leaf is complete once its last reader has passed, and not before: `shared` has two.
    @Test func leavesAreReportedWhenTheyAreComplete() throws {
      let shared = try Tensor.leaf([2, 3], [2])
      let early = try Tensor.leaf([5, 7], [2])
      let late = try Tensor.leaf([1, -1], [2])
      let unused = try Tensor.leaf([1, 1], [2])
      let inner = try shared.multiplied(by: early)
      var passed = false
      _ = try inner.addHook { _ in
        passed = true
        return nil
      }
      let loss = try inner.multiplied(by: shared).multiplied(by: late).sum()
      var seen: [(leaf: Tensor, gradient: [Double], before: Bool)] = []
      try loss.backward(each: { leaf in
        seen.append((leaf, try leaf.grad?.numbers() ?? [], !passed))
      })
      #expect(seen.count == 3)
      let complete: [(Tensor, [Double], Bool)] = [
        (late, [20, 63], true), (shared, [20, -42], false), (early, [4, -9], false),
      ]
      for (leaf, gradient, before) in complete {
        let found = try #require(seen.first { $0.leaf === leaf })
        #expect(found.gradient == gradient)
        #expect(found.before == before)
      }
      #expect(unused.grad == nil)
    }

    @Test func backwardNeedsAScalarThatWasRecorded() throws {
      let x = try Tensor.leaf([2, 3], [2])
      #expect(throws: LunervError.self) { try x.sin().backward() }
      #expect(throws: LunervError.self) { try Tensor.full(1, []).backward() }
      #expect(throws: LunervError.self) { try x.detach().sum().backward() }
      #expect(throws: LunervError.self) { try x.sin().setRequiresGrad(false) }
      #expect(throws: LunervError.self) { try Tensor.full(1, [2], .i32).setRequiresGrad(true) }
    }

    @Test func nothingIsRecordedWhenNotAsked() throws {
      let entries = Session.current.tapeEntries
      let x = try Tensor.leaf([2, 3], [2])
      #expect(Session.current.tapeEntries == entries + 1)
      Session.current.isRecording = false
      let y = try x.sin().sum()
      Session.current.isRecording = true
      #expect(!y.requiresGrad && Session.current.tapeEntries == entries + 1)
      let z = try Tensor.full(1, [2]).sin().sum()
      #expect(!z.requiresGrad && Session.current.tapeEntries == entries + 1)
      try x.setRequiresGrad(false)
      #expect(try !x.sin().requiresGrad && Session.current.tapeEntries == entries)
    }

    /// Graphs of every operator that saves values leave nothing behind.
    @Test func nothingLeaks() throws {
      let entries = Session.current.tapeEntries
      let blocks = Session.current.living.blocks
      for traversed in [true, false] {
        let x = try Tensor.leaf([1, 3, 24, 24], seed: 1),
          w = try Tensor.leaf([20, 3, 3, 3], seed: 2)
        let v = try Tensor.leaf([3, 5, 3, 3], seed: 3)
        let y = try x.conv2d(w, nil, padding: 1).pixelShuffled(2).layerNorm(
          nil, nil, dim: 1, epsilon: 1e-6
        ).gelu()
        let out = try y.conv2d(v, nil, padding: 1).tanh()
        let target = try x.selected(2, (0..<48).map { $0 / 2 }).selected(3, (0..<48).map { $0 / 2 })
        let loss = try out.msSsim(target).adding(out.frequencyLoss(target)).adding(
          out.l1Loss(target))
        if traversed { try loss.backward() }
        let same = try Tensor.concatenated([out, out], 1).extremum(.maximum, [1])
        _ = try same.softmax(1).matmul(same.permuted([0, 2, 1])).sum()
      }
      #expect(Session.current.tapeEntries == entries)
      #expect(Session.current.living.blocks == blocks)
    }

    /// A value computed from a tensor, even if still pending, is not affected by later writes.
    @Test func writesInPlaceDoNotReachBack() throws {
      let x = try Tensor.leaf([1, 2], [2], gradient: false)
      let pending = try x.multiplied(by: 10)
      let view = try x.viewed([2, 1]), plain = x.detach()
      try x.assign(.from([5, 6], [2]))
      #expect(try pending.numbers() == [10, 20])
      #expect(try view.numbers() == [1, 2] && plain.numbers() == [1, 2] && x.numbers() == [5, 6])
      let again = try x.adding(1)
      var random = Philox(seed: 1)
      try x.fillUniform(&random, lo: 0, hi: 1)
      #expect(try again.numbers() == [6, 7])
      #expect(try x.numbers().allSatisfy { $0 >= 0 && $0 < 1 })
      try x.assign(x.adding(x))
      #expect(throws: LunervError.self) { try x.assign(.full(0, [3])) }
      #expect(throws: LunervError.self) { try x.assign(.full(0, [2], .f64)) }
    }

    @Test func writingAParameterOfAGraph() throws {
      let p = try Tensor.leaf([3, 4], [2])
      let loss = try p.squared().sum()
      #expect(throws: LunervError.self) { try p.assign(.full(0, [2])) }
      Session.current.isRecording = false
      defer { Session.current.isRecording = true }
      try p.assign(.full(0, [2]))
      try loss.backward()
      #expect(try p.grad?.numbers() == [6, 8] && p.numbers() == [0, 0])
      let result = try p.sin()
      Session.current.isRecording = true
      #expect(throws: LunervError.self) { try p.sin().assign(result) }
    }
  }
}
