/// Element types. Pointwise and linear operators take f32 and f64; the others are for indices,
/// pixels and masks. There is no implicit promotion.
public enum DType: String, Sendable, CaseIterable {
  case f32, f64, i32, u8, bool

  public var size: Int {
    switch self {
    case .f32, .i32: 4
    case .f64: 8
    case .u8, .bool: 1
    }
  }
}
