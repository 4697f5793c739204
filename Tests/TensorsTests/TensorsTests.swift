import Testing

@testable import Tensors

/// Every test of tensors, one at a time: tape and arena belong to one thread.
@Suite(.serialized) struct TensorsTests {}

/// Pseudo-random numbers that are the same on every run, exact in f32.
func noise(_ count: Int, seed: Int, _ lo: Double = -1.5, _ hi: Double = 1.5) -> [Double] {
  var state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 | 1
  return (0..<count).map { _ in
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return Double(Float(lo + (hi - lo) * Double(state >> 11) * 0x1p-53))
  }
}

func elements(_ shape: [Int]) -> Int { shape.reduce(1, *) }

extension Tensor {
  /// A leaf with these numbers, channels-last if asked for and possible.
  static func leaf(
    _ numbers: [Double], _ shape: [Int], _ dtype: DType = .f32, channelsLast: Bool = false,
    gradient: Bool = true
  ) throws -> Tensor {
    let plain = try Tensor.from(numbers, shape, dtype)
    let lasts = channelsLast && shape.count == 4 && dtype == .f32
    let tensor = lasts ? Tensor(try plain.value.converted(to: .channelsLast)) : plain
    if gradient { try tensor.setRequiresGrad(true) }
    return tensor
  }

  /// A leaf of noise.
  static func leaf(
    _ shape: [Int], seed: Int, _ dtype: DType = .f32, channelsLast: Bool = false,
    gradient: Bool = true
  ) throws -> Tensor {
    try leaf(
      noise(elements(shape), seed: seed), shape, dtype, channelsLast: channelsLast,
      gradient: gradient)
  }

  /// Whether the lanes after the channels are zero, as every reader requires.
  func paddingIsZero() throws -> Bool {
    guard value.layout == .channelsLast else { return true }
    try value.materialise()
    let p = try value.memory(Float.self)
    let (lanes, channels) = (value.lanes, shape[1])
    return stride(from: 0, to: value.physicalCount, by: lanes).allSatisfy { pixel in
      (channels..<lanes).allSatisfy { p[pixel + $0] == 0 }
    }
  }
}

/// The largest difference, relative to the largest magnitude expected (at least `least`); infinite
/// if a value is missing or NaN.
func relativeError(_ got: [Double], _ expected: [Double], least: Double = 1e-30) -> Double {
  guard got.count == expected.count else { return .infinity }
  var (worst, largest) = (0.0, least)
  for (g, e) in zip(got, expected) {
    let difference = abs(g - e)
    worst = difference >= 0 ? max(worst, difference) : .infinity
    largest = max(largest, abs(e))
  }
  return worst / largest
}
