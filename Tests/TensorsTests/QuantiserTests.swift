// Quantisers: codes, straight-through gradients, rates, against finite differences in f64.
import Support
import Testing

@testable import Tensors

private let image = [2, 5, 3, 4]

/// Noise within ±½ that is not near any rounding boundary.
private func noiseTensor(_ like: Tensor) throws -> Tensor {
  try Tensor.from(noise(elements(like.shape), seed: 41, -0.5, 0.5), like.shape, like.dtype)
}

private let relaxed: [Operator] = [
  Operator("codes", image, [], lo: 0.4, hi: 2) { try $0[0].codes(step: $0[1]) },
  Operator("codes per channel", [5, 2, 3, 3], [5, 1, 1, 1], [], lo: 0.4, hi: 2) {
    try $0[0].codes(step: $0[1], offset: $0[2])
  },
  Operator("noisy", image, [], lo: 0.4, hi: 2) {
    try $0[0].quantised(step: $0[1], noise: noiseTensor($0[0]))
  },
  Operator("noisy per channel", [5, 2, 3, 3], [5, 1, 1, 1], [], lo: 0.4, hi: 2) {
    try $0[0].quantised(step: $0[1], offset: $0[2], noise: noiseTensor($0[0]))
  },
  Operator("bits", image, lo: -6, hi: 6, tolerance: 2e-5) {
    try $0[0].gaussianBits(noise: noiseTensor($0[0]))
  },
  Operator("bits through a step", image, [], lo: 0.2, hi: 1, tolerance: 2e-5) {
    let codes = try $0[0].codes(step: $0[1].multiplied(by: 0.1))
    return try codes.gaussianBits(noise: noiseTensor($0[0]))
  },
]

/// Several pieces long; finite differences would drown in the rounding of such a long sum.
private let many = Operator("bits of many", [40_000], lo: -3, hi: 9, tolerance: 2e-5) {
  try $0[0].gaussianBits(noise: noiseTensor($0[0]))
}

extension TensorsTests {
  @Test(arguments: relaxed)
  func relaxedQuantiserGradients(_ op: Operator) throws { try op.checkGradients() }

  @Test(arguments: relaxed + [many])
  func relaxedQuantisersInSingle(_ op: Operator) throws { try op.checkSingle() }

  /// Rounding passes gradients unchanged.
  @Test func straightThrough() throws {
    let x = try Tensor.leaf([-1.4, 0.26, 2.5, 3.5], [4], .f64)
    let (s, b) = (try Tensor.leaf([0.5], [1], .f64), try Tensor.leaf([0.25], [], .f64))
    let g = try Tensor.from([1, -2, 3, 4], [4], .f64)
    let y = try x.quantised(step: s, offset: b)
    // Codes −3.3, 0.02, 4.5, 6.5; ties to even.
    #expect(try y.numbers() == [-1.25, 0.25, 2.25, 3.25])
    try y.multiplied(by: g).sum().backward()
    #expect(try x.grad?.numbers() == [1, -2, 3, 4])
    let expected = 1 * 0.3 + -2 * -0.02 + 3 * -0.5 + 4 * -0.5
    #expect(abs((try s.grad?.numbers()[0] ?? 0) - expected) < 1e-12)
    #expect(try b.grad?.numbers() == [0])

    let z = try Tensor.leaf([-1.4, 2.5], [2], .f64)
    let rounded = try z.roundedStraight()
    #expect(try rounded.numbers() == [-1, 2])
    try rounded.sum().backward()
    #expect(try z.grad?.numbers() == [1, 1])
  }

  /// A constant tensor costs nothing and has no gradient; a single code has no deviation.
  @Test func bitsOfConstants() throws {
    for numbers in [[Double](repeating: 7, count: 100), [3], []] {
      let codes = try Tensor.leaf(numbers, [numbers.count])
      let bits = try codes.gaussianBits()
      #expect(try bits.item() == 0)
      try bits.backward()
      #expect(try codes.grad?.numbers().allSatisfy { $0 == 0 } ?? true)
    }
  }

  /// Below the bound of 0 bits, only a gradient that asks for more bits passes.
  @Test func bitsAtTheirBound() throws {
    for (factor, moves) in [(1.0, false), (-1.0, true)] {
      let codes = try Tensor.leaf([0, 0.02], [2], .f64)
      let noise = try Tensor.from([0.1, -0.1], [2], .f64)
      try codes.gaussianBits(noise: noise).multiplied(by: factor).backward()
      let gradient = try codes.grad?.numbers() ?? []
      #expect(gradient.contains { $0 != 0 } == moves)
    }
  }

  @Test func quantisersRefuseWhatDoesNotFit() throws {
    let x = try Tensor.full(1, [4, 3])
    #expect(throws: LunervError.self) { try x.codes(step: Tensor.full(1, [5])) }
    #expect(throws: LunervError.self) { try x.codes(step: Tensor.full(1, [2, 4, 3])) }
    #expect(throws: LunervError.self) {
      try x.quantised(step: Tensor.full(1, []), noise: Tensor.full(0, [3]))
    }
    #expect(throws: LunervError.self) { try x.gaussianBits(noise: Tensor.full(0, [12])) }
    #expect(throws: LunervError.self) { try Tensor.full(1, [4], .i32).gaussianBits() }
  }
}
