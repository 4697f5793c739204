import Glibc
import Kernels
import Support
import Testing

@testable import Tensors

/// The process's resident memory in bytes.
private func residentBytes() -> Int {
  guard let file = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  guard fgets(&line, 256, file) != nil else { return 0 }
  let fields = line.prefix { $0 != 0 }.split(separator: 32)
  guard fields.count > 1 else { return 0 }
  let pages = fields[1].reduce(0) { $0 * 10 + Int($1) - 48 }
  return pages * sysconf(Int32(_SC_PAGESIZE))
}

extension TensorsTests {
  @Suite struct ArenaTests {
    @Test func accounts() throws {
      let before = Session.current.living
      var tensor: Tensor? = try Tensor.full(1, [1000])
      #expect(tensor?.byteCount == 4000)
      let during = Session.current.living
      #expect(during.blocks == before.blocks + 1)
      #expect((4000...4608).contains(during.bytes - before.bytes))
      tensor = nil
      let idle = Arena.idleBytes
      #expect(Session.current.living == before)
      #expect(idle >= 4000)
      // The block is reused.
      tensor = try Tensor.full(2, [1000])
      #expect(Arena.idleBytes == idle - (during.bytes - before.bytes))
      tensor = nil
      Arena.trim()
      #expect(Arena.idleBytes == 0)
      #expect(Session.current.living == before)
    }

    @Test func sizesAreRoundedUpByAnEighth() {
      for bytes in [
        0, 1, 64, 65, 100, 1000, 4096, 4097, 1 << 20, (1 << 20) + 1, 129_024_000, 1 << 40,
      ] {
        let rounded = Arena.rounded(bytes)
        #expect(rounded >= bytes && rounded % 64 == 0)
        #expect(rounded <= max(bytes + 64, bytes + bytes / 7), "\(bytes)")
        #expect(Arena.rounded(rounded) == rounded)
      }
    }

    @Test func absurdShapesAreErrors() throws {
      for shape in [
        [1 << 41], [1 << 30, 1 << 30, 1 << 30], [.max, 2], [-1], [2, -3], [0, .max, .max],
        [Int](repeating: 1, count: 9),
      ] {
        #expect(throws: LunervError.self, "\(shape)") { try Tensor.full(0, shape) }
      }
      let x = try Tensor.full(1, [1, 1, 2, 2]), w = try Tensor.full(1, [1, 1, 1, 1])
      #expect(throws: LunervError.self) {
        try x.conv2d(w, nil, padding: 1 << 20).materialise()
      }
      #expect(throws: LunervError.self) {
        try Tensor.full(1, [1 << 20, 1]).adding(.full(1, [1, 1 << 21])).materialise()
      }
      #expect(throws: LunervError.self) {
        try x.padded(top: 1 << 23, bottom: 0, left: 1 << 23, right: 0, .constant(0))
      }
      let largest = Session.current.largestBlock
      defer { Session.current.largestBlock = largest }
      Session.current.largestBlock = 4000
      #expect(throws: LunervError.self) { try Tensor.full(1, [1001]) }
      #expect(try Tensor.full(1, [1000]).count == 1000)
    }

    /// Ten thousand training steps use no more memory than the first few hundred. In a process of
    /// its own, so that no other test changes its memory.
    @Test func stepsDoNotGrow() async {
      await #expect(processExitsWith: .success) { try ArenaTests.train() }
    }

    private static func train() throws {
      func require(_ holds: Bool, _ text: String) throws {
        if !holds { throw LunervError(.memory, text) }
      }
      let entries = Session.current.tapeEntries
      let w = try Tensor.leaf([8, 5, 3, 3], seed: 1), b = try Tensor.leaf([8], seed: 2)
      let head = try Tensor.leaf([3, 2, 1, 1], seed: 3)
      let x = try Tensor.leaf([1, 5, 6, 8], seed: 4, gradient: false)
      let target = try Tensor.leaf([1, 3, 12, 16], seed: 5, gradient: false)
      let optimiser = try Optimiser(
        [w, b, head], .adam(beta1: 0.9, beta2: 0.999, epsilon: 1e-8), lr: 1e-3)
      func step(_ i: Int) throws -> Double {
        let y = try x.conv2d(w, b, padding: 1).pixelShuffled(2).sin().conv2d(head, nil).tanh()
        var loss = try y.mseLoss(target).adding(y.l1Loss(target))
        if i % 10 == 0 { loss = try loss.adding(y.msSsim(target).multiplied(by: -0.1)) }
        optimiser.clearGradients()
        try loss.backward()
        try optimiser.update()
        return try loss.item()
      }
      var losses: [Double] = []
      for i in 0..<500 { losses.append(try step(i)) }
      func memory() -> [Int] {
        [Session.current.living.bytes, Session.current.living.blocks, Arena.idleBytes]
      }
      let (settled, resident) = (memory(), residentBytes())
      for i in 500..<10_000 { losses.append(try step(i)) }
      let after = memory()
      try require(after == settled, "the arena went from \(settled) to \(after)")
      let left = Session.current.tapeEntries
      try require(left == entries + 3, "\(left) entries on the tape")
      let growth = residentBytes() - resident
      try require(resident > 0 && growth < 4 << 20, "the process grew by \(growth) bytes")
      try require(losses[9999] < losses[1], "the loss went from \(losses[1]) to \(losses[9999])")
    }

    @Test func plansOfStructuralSimilarity() throws {
      for (side, scales, window) in [
        (1080, 5, 11), (720, 5, 11), (161, 5, 11), (160, 5, 9), (128, 5, 7), (80, 5, 5), (64, 4, 7),
        (8, 1, 7), (5, 1, 5),
      ] {
        let plan = try SimilarityPlan(shortSide: side)
        #expect(plan.weights.count == scales && plan.window == window, "\(side): \(plan)")
        #expect(abs(plan.sigma - 1.5 * Double(window) / 11) < 1e-12)
        let total = plan.weights.reduce(0, +)
        #expect(abs(total - (scales == 5 ? 1.0001 : 1)) < 1e-9)
        #expect(plan.taps.count == window && abs(plan.taps.reduce(0, +) - 1) < 1e-12)
      }
      for side in 5...200 {
        let plan = try SimilarityPlan(shortSide: side)
        #expect(plan.window % 2 == 1 && plan.window >= 5)
        let image = try Tensor.leaf([1, 1, side, 210], seed: side, gradient: false)
        if side % 13 == 5 { #expect(abs(try image.msSsim(image).item() - 1) < 1e-4, "\(side)") }
      }
      for side in [0, 1, 4] {
        #expect(throws: LunervError.self) { try SimilarityPlan(shortSide: side) }
      }
      #expect(throws: LunervError.self) {
        try Tensor.full(1, [1, 3, 4, 100]).msSsim(.full(1, [1, 3, 4, 100]))
      }
    }

    @Test func fillsAndCasts() throws {
      var random = Philox(seed: 3)
      let x = try Tensor.leaf([1, 5, 30, 40], seed: 1, channelsLast: true, gradient: false)
      try x.fillNormal(&random, mean: 0, deviation: 1, bound: 2)
      #expect(try x.numbers().allSatisfy { abs($0) <= 2 } && x.paddingIsZero())
      #expect(throws: LunervError.self) { try x.fillNormal(&random, mean: 0, deviation: -1) }
      #expect(throws: LunervError.self) {
        try x.fillNormal(&random, mean: 99, deviation: 1, bound: 2)
      }
      #expect(throws: LunervError.self) {
        try Tensor.full(0, [2], .i32).fillUniform(&random, lo: 0, hi: 1)
      }
      let odd = try Tensor.from([-2_147_483_648, -1.7, 2.9, 300], [4])
      #expect(try odd.cast(to: .i32).numbers() == [-2_147_483_648, -1, 2, 300])
      #expect(try Tensor.from([-0.7, 2.9, 255.5], [3]).cast(to: .u8).numbers() == [0, 2, 255])
      // A number that the integer type cannot hold is an error, and is not clamped.
      for number in [-1e30, 2_147_483_648, .nan, .infinity] {
        #expect(throws: LunervError.self) {
          try Tensor.from([number], [1]).cast(to: .i32).numbers()
        }
      }
      for number in [-1.0, 256, 300, .nan] {
        #expect(throws: LunervError.self) { try Tensor.from([number], [1]).cast(to: .u8).numbers() }
      }
      #expect(try Tensor.from([0, 2, -1], [3]).cast(to: .bool).numbers() == [0, 1, 1])
      #expect(try Tensor.from([200, 7], [2], .u8).cast(to: .f32).numbers() == [200, 7])
      #expect(try Tensor.from([5, 255], [2], .i32).cast(to: .u8).numbers() == [5, 255])
      #expect(throws: LunervError.self) { try Tensor.from([-5], [1], .i32).cast(to: .u8).numbers() }
      let planes: [UInt8] = (0..<12).map { $0 * 20 }
      let image = try planes.withUnsafeBufferPointer {
        try Tensor.image(u8: $0, height: 2, width: 2)
      }
      #expect(image.shape == [1, 3, 2, 2])
      #expect(try image.numbers() == planes.map { Double(Float($0) / 255) })
      #expect(try image.withBytes { $0.count } == 48)
    }
  }
}
