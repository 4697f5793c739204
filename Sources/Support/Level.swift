/// The 8-bit level of a value: times 255, rounded to nearest with ties to even, and clamped to
/// [0, 255]. NaN has no level and gives 0.
@inlinable
public func level8(_ value: Float) -> UInt8 {
  let level = (value * 255).rounded(.toNearestOrEven)
  return level >= 255 ? 255 : level > 0 ? UInt8(level) : 0
}
