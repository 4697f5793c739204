import Kernels
import Support

// Arithmetic of i32, u8 and bool. It is exact or an error: operators compute in f64, which is exact
// for all these types and for results that fit, and the result must fit the type again. Nothing is
// deferred: integers are counts, levels and masks, not feature maps.

extension PointwiseOperator {
  /// Whether the operator is defined for integers.
  var takesIntegers: Bool {
    switch self {
    case .copy, .negate, .absolute, .relu, .square, .sign, .round, .floor, .addConstant,
      .multiplyConstant, .powerConstant, .clamp, .inRange, .isPositive, .add, .subtract, .multiply,
      .maximum, .minimum, .power, .modulo, .equal, .notEqual, .less, .lessOrEqual, .greater,
      .greaterOrEqual, .choose:
      true
    case .exp, .log, .sqrt, .reciprocalSqrt, .sin, .cos, .tanh, .sigmoid, .gelu, .geluGradient,
      .silu, .siluGradient, .erf, .reciprocal, .divide, .multiplyAdd, .softplus, .hardswish,
      .hardswishGradient, .log1p, .expm1, .log2, .leakyRelu, .atan2:
      false
    }
  }
}

extension Value {
  /// ``pointwise(_:_:p:q:shape:prefer:)`` of integers, computed immediately.
  static func integers(
    _ op: PointwiseOperator, _ operands: [Value], p: Double, q: Double, shape: [Int]?
  ) throws -> Value {
    guard let first = operands.first, op.takesIntegers else {
      throw LunervError(
        .argument,
        "\(op.functionName): expected f32 or f64, got \(operands.first?.dtype.rawValue ?? "nothing") (use :to)"
      )
    }
    if let other = operands.first(where: { $0.dtype != first.dtype }) {
      throw LunervError(
        .argument,
        "\(op.functionName): \(first.dtype.rawValue) and \(other.dtype.rawValue) do not mix (use :to)"
      )
    }
    let wide = try operands.map { try $0.cast(to: .f64) }
    return try pointwise(op, wide, p: p, q: q, shape: shape).narrowed(to: first.dtype)
  }

  /// The same numbers as integers of `target`; all must fit.
  func narrowed(to target: DType) throws -> Value {
    let source = try contiguous()
    let out = try Value.allocate(shape, target)
    func store<I: FixedWidthInteger>(_: I.Type, _ range: ClosedRange<Double>) throws {
      let (from, to) = (try source.memory(Double.self), try out.memory(I.self))
      for i in 0..<count {
        guard range.contains(from[i]), let number = I(exactly: from[i]) else {
          let exact = Int(exactly: from[i]).map(String.init)
          throw LunervError(
            .argument,
            "expected a result that \(target.rawValue) holds, got \(exact ?? "\(from[i])") "
              + "(convert the operands by :to first)")
        }
        to[i] = number
      }
    }
    switch target {
    case .i32: try store(Int32.self, Double(Int32.min)...Double(Int32.max))
    case .u8: try store(UInt8.self, 0...255)
    case .bool: try store(UInt8.self, 0...1)
    case .f32, .f64: return try cast(to: target)
    }
    return out
  }
}

extension Tensor {
  var isFloating: Bool { dtype == .f32 || dtype == .f64 }

  /// ⌊x/y⌋, without a gradient; integers stay integers.
  public func floorDivided(by other: Tensor) throws -> Tensor {
    let quotient = try divided(by: other).floored()
    return isFloating ? quotient : Tensor(try quotient.value.narrowed(to: dtype))
  }
}
