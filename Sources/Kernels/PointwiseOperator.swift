import Glibc

// The operators of pointwise programs, the requirements on types that run them, and the definition
// of their results: a reference in f64, by libm. PointwiseVectors.swift computes the same in f32.

/// A pointwise operator on values; `p` and `q` are an instruction's constants.
public enum PointwiseOperator: UInt8, Sendable {
  // One operand.
  case copy, negate, absolute, exp, log, sqrt, reciprocalSqrt, sin, cos, tanh, sigmoid, relu, gelu
  case geluGradient, silu, siluGradient, erf, square, sign, round, floor, reciprocal
  case softplus, hardswish, hardswishGradient, log1p, expm1, log2
  /// In this order: x + p; x·p; xᵖ; min(max(x, p), q); 1 where p ≤ x ≤ q, else 0; 1 where x > 0,
  /// else 0; x·p where x < 0, else x.
  case addConstant, multiplyConstant, powerConstant, clamp, inRange, isPositive, leakyRelu
  // Two operands.
  case add, subtract, multiply, divide, maximum, minimum, power
  /// The remainder of a division that rounds down, with the sign of the second operand, as Lua's
  /// `%`.
  case modulo
  /// The angle of the point (second, first).
  case atan2
  case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual
  // Three operands: a where c ≠ 0 else b; a·b + c.
  case choose, multiplyAdd

  public var operands: Int {
    switch self {
    case .choose, .multiplyAdd: 3
    case .add, .subtract, .multiply, .divide, .maximum, .minimum, .power, .modulo, .atan2, .equal,
      .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual:
      2
    default: 1
    }
  }
}

/// The scalars that pointwise programs compute with.
public protocol PointwiseScalar: BinaryFloatingPoint {
  static func apply(
    _ op: PointwiseOperator, p: Double, q: Double, _ n: Int, _ a: UnsafePointer<Self>,
    _ b: UnsafePointer<Self>, _ c: UnsafePointer<Self>, _ out: UnsafeMutablePointer<Self>)

  /// Copies, past the caches if `out` is a multiple of 32 bytes.
  static func stream(
    _ values: UnsafePointer<Self>, _ count: Int, to out: UnsafeMutablePointer<Self>)

  /// Adds `rows` rows of `lanes` values each, a multiple of eight, to `sums`.
  static func addRows(
    _ values: UnsafePointer<Self>, rows: Int, lanes: Int, to sums: UnsafeMutablePointer<Self>)

  /// Maps of derivatives with respect to a, s and p.
  typealias Derivatives = (
    UnsafeMutablePointer<Self>, UnsafeMutablePointer<Self>, UnsafeMutablePointer<Self>
  )
  /// The sum of `count` terms of ``Similarity``, a multiple of sixteen, and their derivatives.
  static func similarity(
    _ a: UnsafePointer<Self>, _ b: UnsafePointer<Self>, _ s: UnsafePointer<Self>,
    _ p: UnsafePointer<Self>, count: Int, luminance: Bool, derivatives: Derivatives?
  ) -> Double

  /// out[i] = Σ taps[j]·values[i + j·stride], j from 0 to `k` − 1, for `count` values of i.
  static func correlate(
    _ taps: UnsafePointer<Self>, _ k: Int, with values: UnsafePointer<Self>, every stride: Int,
    _ count: Int, into out: UnsafeMutablePointer<Self>)
}

extension Double: PointwiseScalar {
  public static func correlate(
    _ taps: UnsafePointer<Double>, _ k: Int, with values: UnsafePointer<Double>,
    every stride: Int, _ count: Int, into out: UnsafeMutablePointer<Double>
  ) {
    out.update(repeating: 0, count: count)
    for j in 0..<k { for i in 0..<count { out[i] += taps[j] * values[i + j * stride] } }
  }

  public static func stream(
    _ values: UnsafePointer<Double>, _ count: Int, to out: UnsafeMutablePointer<Double>
  ) { out.update(from: values, count: count) }

  public static func addRows(
    _ values: UnsafePointer<Double>, rows: Int, lanes: Int, to sums: UnsafeMutablePointer<Double>
  ) {
    for r in 0..<rows { for c in 0..<lanes { sums[c] += values[r * lanes + c] } }
  }

  public static func apply(
    _ op: PointwiseOperator, p: Double, q: Double, _ n: Int, _ a: UnsafePointer<Double>,
    _ b: UnsafePointer<Double>, _ c: UnsafePointer<Double>, _ out: UnsafeMutablePointer<Double>
  ) {
    @inline(__always) func unary(_ f: (Double) -> Double) { for i in 0..<n { out[i] = f(a[i]) } }
    @inline(__always) func binary(_ f: (Double, Double) -> Double) {
      for i in 0..<n { out[i] = f(a[i], b[i]) }
    }
    func cdf(_ x: Double) -> Double { 0.5 + 0.5 * Glibc.erf(x * 0.5.squareRoot()) }
    func sigmoid(_ x: Double) -> Double { 1 / (1 + Glibc.exp(-x)) }
    switch op {
    case .copy: unary { $0 }
    case .negate: unary { -$0 }
    case .absolute: unary { $0 < 0 ? -$0 : $0 }
    case .exp: unary { Glibc.exp($0) }
    case .log: unary { Glibc.log($0) }
    case .sqrt: unary { $0.squareRoot() }
    case .reciprocalSqrt: unary { 1 / $0.squareRoot() }
    case .sin: unary { Glibc.sin($0) }
    case .cos: unary { Glibc.cos($0) }
    case .tanh: unary { Glibc.tanh($0) }
    case .sigmoid: unary(sigmoid)
    case .relu: unary { $0 < 0 ? 0 : $0 }
    case .gelu: unary { $0 * cdf($0) }
    case .geluGradient:
      unary { cdf($0) + $0 * Glibc.exp(-0.5 * $0 * $0) / (2 * Double.pi).squareRoot() }
    case .silu: unary { $0 * sigmoid($0) }
    case .siluGradient:
      unary {
        let s = sigmoid($0)
        return s * (1 + $0 * (1 - s))
      }
    case .erf: unary { Glibc.erf($0) }
    case .square: unary { $0 * $0 }
    case .sign: unary { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }
    case .round: unary { $0.rounded(.toNearestOrEven) }
    case .floor: unary { $0.rounded(.down) }
    case .reciprocal: unary { 1 / $0 }
    case .softplus: unary { ($0 > 0 ? $0 : 0) + Glibc.log1p(Glibc.exp($0 > 0 ? -$0 : $0)) }
    case .hardswish: unary { $0 <= -3 ? 0 : $0 >= 3 ? $0 : $0 * ($0 + 3) / 6 }
    case .hardswishGradient: unary { $0 <= -3 ? 0 : $0 >= 3 ? 1 : $0 / 3 + 0.5 }
    case .log1p: unary { Glibc.log1p($0) }
    case .expm1: unary { Glibc.expm1($0) }
    case .log2: unary { Glibc.log2($0) }
    case .addConstant: unary { $0 + p }
    case .multiplyConstant: unary { $0 * p }
    case .powerConstant: unary { Glibc.pow($0, p) }
    case .clamp:
      unary {
        let raised = $0 < p ? p : $0
        return raised > q ? q : raised
      }
    case .inRange: unary { $0 >= p && $0 <= q ? 1 : 0 }
    case .isPositive: unary { $0 > 0 ? 1 : 0 }
    case .leakyRelu: unary { $0 < 0 ? $0 * p : $0 }
    case .add: binary { $0 + $1 }
    case .subtract: binary { $0 - $1 }
    case .multiply: binary { $0 * $1 }
    case .divide: binary { $0 / $1 }
    case .maximum: binary { $1 > $0 || $1 != $1 ? $1 : $0 }
    case .minimum: binary { $1 < $0 || $1 != $1 ? $1 : $0 }
    case .power: binary { Glibc.pow($0, $1) }
    case .modulo:
      binary { a, b in
        let rest = Glibc.fmod(a, b)
        return (rest > 0 ? b < 0 : rest < 0 && b > 0) ? rest + b : rest
      }
    case .atan2: binary { Glibc.atan2($0, $1) }
    case .equal: binary { $0 == $1 ? 1 : 0 }
    case .notEqual: binary { $0 != $1 ? 1 : 0 }
    case .less: binary { $0 < $1 ? 1 : 0 }
    case .lessOrEqual: binary { $0 <= $1 ? 1 : 0 }
    case .greater: binary { $0 > $1 ? 1 : 0 }
    case .greaterOrEqual: binary { $0 >= $1 ? 1 : 0 }
    case .choose: for i in 0..<n { out[i] = c[i] != 0 ? a[i] : b[i] }
    case .multiplyAdd: for i in 0..<n { out[i] = c[i].addingProduct(a[i], b[i]) }
    }
  }
}
