import Kernels
import Support

// Differentiable pointwise operators. Derivatives are pending pointwise values themselves,
// so a chain's gradient is evaluated in one pass just like the chain.

/// Shorthand for derivatives.
private func apply(_ op: PointwiseOperator, _ operands: Value..., p: Double = 0, q: Double = 0)
  throws -> Value
{ try Value.pointwise(op, operands, p: p, q: q) }

private func times(_ a: Value, _ b: Value) throws -> Value { try apply(.multiply, a, b) }
private func scaled(_ a: Value, _ s: Double) throws -> Value {
  try apply(.multiplyConstant, a, p: s)
}

extension PointwiseOperator {
  /// The name of the function as users write it.
  var functionName: String {
    switch self {
    case .negate: "neg"
    case .absolute: "abs"
    case .reciprocalSqrt: "rsqrt"
    case .add, .addConstant: "add"
    case .subtract: "sub"
    case .multiply, .multiplyConstant: "mul"
    case .divide: "div"
    case .modulo: "remainder"
    case .power, .powerConstant: "pow"
    case .equal: "eq"
    case .notEqual: "ne"
    case .less: "lt"
    case .lessOrEqual: "le"
    case .greater: "gt"
    case .greaterOrEqual: "ge"
    case .choose: "where"
    case .leakyRelu: "leaky_relu"
    default: "\(self)"
    }
  }
}

extension Tensor {
  private func unary(
    _ op: PointwiseOperator, p: Double = 0, q: Double = 0,
    _ derivative: @escaping (_ x: Value, _ y: Value, _ g: Value) throws -> Value?
  ) throws -> Tensor {
    let x = value
    let y = try Value.pointwise(op, [x], p: p, q: q)
    return Tensor.result(y, of: [self]) { [try derivative(x, y, $0)] }
  }

  public func negated() throws -> Tensor { try unary(.negate) { _, _, g in try apply(.negate, g) } }
  public func absolute() throws -> Tensor {
    try unary(.absolute) { x, _, g in try times(g, apply(.sign, x)) }
  }
  public func exp() throws -> Tensor { try unary(.exp) { _, y, g in try times(g, y) } }
  public func log() throws -> Tensor { try unary(.log) { x, _, g in try apply(.divide, g, x) } }
  public func squareRoot() throws -> Tensor {
    try unary(.sqrt) { _, y, g in try scaled(apply(.divide, g, y), 0.5) }
  }
  public func reciprocalSquareRoot() throws -> Tensor {
    try unary(.reciprocalSqrt) { x, y, g in try scaled(times(g, apply(.divide, y, x)), -0.5) }
  }
  public func sin() throws -> Tensor { try unary(.sin) { x, _, g in try times(g, apply(.cos, x)) } }
  public func cos() throws -> Tensor {
    try unary(.cos) { x, _, g in try apply(.negate, times(g, apply(.sin, x))) }
  }
  public func tanh() throws -> Tensor {
    try unary(.tanh) { _, y, g in
      try times(g, apply(.addConstant, apply(.negate, apply(.square, y)), p: 1))
    }
  }
  public func sigmoid() throws -> Tensor {
    try unary(.sigmoid) { _, y, g in
      try times(times(g, y), apply(.addConstant, apply(.negate, y), p: 1))
    }
  }
  public func relu() throws -> Tensor {
    try unary(.relu) { x, _, g in
      // Selected, not multiplied: an infinite gradient at a cut-off input has no effect.
      try apply(.choose, g, Value.filled(0, shape: [], dtype: g.dtype), apply(.isPositive, x))
    }
  }
  /// x·Φ(x), the exact erf form.
  public func gelu() throws -> Tensor {
    try unary(.gelu) { x, _, g in try times(g, apply(.geluGradient, x)) }
  }
  public func silu() throws -> Tensor {
    try unary(.silu) { x, _, g in try times(g, apply(.siluGradient, x)) }
  }
  public func erf() throws -> Tensor {
    try unary(.erf) { x, _, g in
      let bell = try apply(.exp, apply(.negate, apply(.square, x)))
      return try scaled(times(g, bell), 2 / Double.pi.squareRoot())
    }
  }
  /// √x with derivative 0 at 0: for standard deviations of constant input.
  func squareRootOfVariance() throws -> Tensor {
    try unary(.sqrt) { _, y, g in
      let zero = try Value.filled(0, shape: [], dtype: g.dtype)
      return try apply(.choose, scaled(apply(.divide, g, y), 0.5), zero, apply(.isPositive, y))
    }
  }
  public func squared() throws -> Tensor {
    try unary(.square) { x, _, g in try scaled(times(g, x), 2) }
  }
  public func sign() throws -> Tensor { try unary(.sign) { _, _, _ in nil } }
  /// Nearest integer, ties to even; no gradient.
  public func rounded() throws -> Tensor { try unary(.round) { _, _, _ in nil } }
  public func floored() throws -> Tensor { try unary(.floor) { _, _, _ in nil } }
  public func reciprocal() throws -> Tensor {
    try unary(.reciprocal) { _, y, g in try apply(.negate, times(g, apply(.square, y))) }
  }
  public func power(_ p: Double) throws -> Tensor {
    if p == 2 { return try squared() }
    if p == 0 {
      // Constant, even if the formula would give 0 times infinity.
      return try unary(.powerConstant, p: p) { _, _, g in
        try Value.filled(0, shape: g.shape, dtype: g.dtype)
      }
    }
    if p == 0.5 { return try squareRoot() }
    return try unary(.powerConstant, p: p) { x, _, g in
      try scaled(times(g, apply(.powerConstant, x, p: p - 1)), p)
    }
  }
  /// min(max(x, lo), hi); the gradient passes where lo ≤ x ≤ hi.
  public func clamped(_ lo: Double, _ hi: Double) throws -> Tensor {
    try unary(.clamp, p: lo, q: hi) { x, _, g in
      try apply(
        .choose, g, Value.filled(0, shape: [], dtype: g.dtype), apply(.inRange, x, p: lo, q: hi))
    }
  }
  public func adding(_ s: Double) throws -> Tensor {
    try unary(.addConstant, p: s) { _, _, g in g }
  }
  public func multiplied(by s: Double) throws -> Tensor {
    try unary(.multiplyConstant, p: s) { _, _, g in try scaled(g, s) }
  }

  // MARK: - Two operands, broadcast

  private func binary(
    _ op: PointwiseOperator, _ other: Tensor,
    _ derivative:
      @escaping (_ a: Value, _ b: Value, _ y: Value, _ g: Value) throws -> (
        () throws -> Value, () throws -> Value
      )
  ) throws -> Tensor {
    let (a, b) = (value, other.value)
    let (needA, needB) = (node >= 0, other.node >= 0)
    let y = try Value.pointwise(op, [a, b])
    return Tensor.result(y, of: [self, other]) { g in
      let (da, db) = try derivative(a, b, y, g)
      return [
        needA ? try da().summed(to: a.shape) : nil, needB ? try db().summed(to: b.shape) : nil,
      ]
    }
  }

  public func adding(_ other: Tensor) throws -> Tensor {
    try binary(.add, other) { _, _, _, g in ({ g }, { g }) }
  }
  public func subtracting(_ other: Tensor) throws -> Tensor {
    try binary(.subtract, other) { _, _, _, g in ({ g }, { try apply(.negate, g) }) }
  }
  public func multiplied(by other: Tensor) throws -> Tensor {
    try binary(.multiply, other) { a, b, _, g in ({ try times(g, b) }, { try times(g, a) }) }
  }
  /// x/y; the quotient of integers is f64.
  public func divided(by other: Tensor) throws -> Tensor {
    if !isFloating, dtype == other.dtype {
      return try cast(to: .f64).divided(by: other.cast(to: .f64))
    }
    return try binary(.divide, other) { _, b, y, g in
      ({ try apply(.divide, g, b) }, { try apply(.negate, times(g, apply(.divide, y, b))) })
    }
  }
  /// x − y·⌊x/y⌋, with the sign of y.
  public func modulo(_ other: Tensor) throws -> Tensor {
    try binary(.modulo, other) { a, b, _, g in
      ({ g }, { try apply(.negate, times(g, apply(.floor, apply(.divide, a, b)))) })
    }
  }
  /// The larger; at ties, half of the gradient goes to each.
  public func maximum(_ other: Tensor) throws -> Tensor { try extremum(.maximum, .greater, other) }
  public func minimum(_ other: Tensor) throws -> Tensor { try extremum(.minimum, .less, other) }

  private func extremum(_ op: PointwiseOperator, _ wins: PointwiseOperator, _ other: Tensor) throws
    -> Tensor
  {
    try binary(op, other) { a, b, _, g in
      func share(_ x: Value, _ y: Value) throws -> Value {
        let tie = try scaled(apply(.equal, x, y), 0.5)
        return try times(g, apply(.add, apply(wins, x, y), tie))
      }
      return ({ try share(a, b) }, { try share(b, a) })
    }
  }
  public func power(_ other: Tensor) throws -> Tensor {
    try binary(.power, other) { a, b, y, g in
      let zero = try Value.filled(0, shape: [1], dtype: g.dtype)
      return (
        {
          let slope = try times(b, apply(.power, a, apply(.addConstant, b, p: -1)))
          return try times(g, apply(.choose, zero, slope, apply(.equal, b, zero)))
        },
        {
          // 0^x stays 0 as x grows.
          let flat = try times(apply(.equal, a, zero), apply(.greaterOrEqual, b, zero))
          return try times(g, apply(.choose, zero, times(y, apply(.log, a)), flat))
        }
      )
    }
  }

  /// 1 where the comparison holds, else 0; no gradient.
  public func compared(_ op: PointwiseOperator, _ other: Tensor) throws -> Tensor {
    Tensor(try Value.pointwise(op, [value, other.value]))
  }

  /// `self` where the mask is not zero, else `other`.
  public func chosen(where mask: Tensor, else other: Tensor) throws -> Tensor {
    let (a, b) = (value, other.value)
    // An integer mask selects among numbers of any type.
    let m = try mask.isFloating ? mask.value : mask.value.cast(to: .bool).cast(to: dtype)
    let y = try Value.pointwise(.choose, [a, b, m])
    let (needA, needB) = (node >= 0, other.node >= 0)
    return Tensor.result(y, of: [self, other]) { g in
      let zero = try Value.filled(0, shape: [1], dtype: g.dtype)
      return [
        needA ? try apply(.choose, g, zero, m).summed(to: a.shape) : nil,
        needB ? try apply(.choose, zero, g, m).summed(to: b.shape) : nil,
      ]
    }
  }

  public func expanded(to shape: [Int]) throws -> Tensor {
    let from = self.shape
    guard try Shape.broadcast(from, Shape.checked(shape), for: "expand") == shape else {
      throw LunervError(
        .argument, "expand: \(Shape.describe(from)) does not broadcast to \(Shape.describe(shape))")
    }
    if from == shape { return self }
    let y = try Value.pointwise(.copy, [value], shape: shape)
    return Tensor.result(y, of: [self]) { [try $0.summed(to: from)] }
  }
}
