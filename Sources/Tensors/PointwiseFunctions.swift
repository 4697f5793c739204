import Kernels
import Support

// More pointwise functions, and the logarithm of a sum of exponentials. Their derivatives are
// pending pointwise values, as in PointwiseOperators.swift.

extension Tensor {
  private func function(
    _ op: PointwiseOperator, p: Double = 0,
    _ derivative: @escaping (_ x: Value, _ y: Value, _ g: Value) throws -> Value
  ) throws -> Tensor {
    let x = value
    let y = try Value.pointwise(op, [x], p: p)
    return Tensor.result(y, of: [self]) { [try derivative(x, y, $0)] }
  }

  /// log(1 + e^(βx))/β.
  public func softplus(_ beta: Double = 1) throws -> Tensor {
    guard beta.isFinite, beta != 0 else {
      throw LunervError(.argument, "softplus: expected a beta that is not 0, got \(beta)")
    }
    if beta != 1 { return try multiplied(by: beta).softplus().multiplied(by: 1 / beta) }
    return try function(.softplus) { x, _, g in
      try Value.pointwise(.multiply, [g, Value.pointwise(.sigmoid, [x])])
    }
  }

  /// x, or slope·x below 0; at 0 the derivative is slope.
  public func leakyRelu(_ slope: Double) throws -> Tensor {
    try function(.leakyRelu, p: slope) { x, _, g in
      try Value.pointwise(
        .choose,
        [
          g, Value.pointwise(.multiplyConstant, [g], p: slope), Value.pointwise(.isPositive, [x]),
        ])
    }
  }

  /// x·min(max(x + 3, 0), 6)/6.
  public func hardswish() throws -> Tensor {
    try function(.hardswish) { x, _, g in
      try Value.pointwise(.multiply, [g, Value.pointwise(.hardswishGradient, [x])])
    }
  }

  /// log(1 + x), accurate near 0.
  public func log1p() throws -> Tensor {
    try function(.log1p) { x, _, g in
      try Value.pointwise(.divide, [g, Value.pointwise(.addConstant, [x], p: 1)])
    }
  }

  /// eˣ − 1, accurate near 0.
  public func expm1() throws -> Tensor {
    try function(.expm1) { _, y, g in
      try Value.pointwise(.multiply, [g, Value.pointwise(.addConstant, [y], p: 1)])
    }
  }

  public func log2() throws -> Tensor {
    try function(.log2) { x, _, g in
      try Value.pointwise(
        .multiplyConstant, [Value.pointwise(.divide, [g, x])], p: 1.4426950408889634)
    }
  }

  /// The angle of the point (x, self), from −π to π.
  public func angle(over x: Tensor) throws -> Tensor {
    let (a, b) = (value, x.value)
    let (needA, needB) = (node >= 0, x.node >= 0)
    let y = try Value.pointwise(.atan2, [a, b])
    return Tensor.result(y, of: [self, x]) { g in
      let square = try Value.pointwise(
        .add, [Value.pointwise(.square, [a]), Value.pointwise(.square, [b])])
      let share = try Value.pointwise(.divide, [g, square])
      var (da, db): (Value?, Value?)
      if needA { da = try Value.pointwise(.multiply, [share, b]).summed(to: a.shape) }
      if needB {
        let turned = try Value.pointwise(.negate, [Value.pointwise(.multiply, [share, a])])
        db = try turned.summed(to: b.shape)
      }
      return [da, db]
    }
  }

  /// log Σ eˣ over some dimensions, all when nil, without overflow.
  public func logSumExp(_ dims: [Int]?, keep: Bool) throws -> Tensor {
    guard isFloating else {
      throw LunervError(.argument, "logsumexp: expected f32 or f64, got \(dtype.rawValue)")
    }
    let dims = dims ?? Array(shape.indices)
    for d in dims { try checked(dim: d, for: "logsumexp") }
    guard Set(dims).count == dims.count else {
      throw LunervError(.argument, "logsumexp: a dimension is named twice")
    }
    let (x, over) = (value, dims.sorted())
    let zero = try Value.zeros([], dtype)
    /// A maximum that is not finite is not subtracted.
    func finite(_ v: Value) throws -> Value {
      let bound = dtype == .f32 ? Double(Float.greatestFiniteMagnitude) : .greatestFiniteMagnitude
      return try Value.pointwise(
        .choose, [v, zero, Value.pointwise(.inRange, [v], p: -bound, q: bound)])
    }
    let peak = try count == 0 ? zero : finite(x.reduced(.maximum, over: over))
    let shifted = try Value.pointwise(.exp, [Value.pointwise(.subtract, [x, peak])])
    let sum = try shifted.reduced(.sum, over: over)
    let kept = try Value.pointwise(.add, [Value.pointwise(.log, [sum]), peak])
    let keptShape = kept.shape
    let shape =
      keep ? keptShape : keptShape.indices.filter { !over.contains($0) }.map { keptShape[$0] }
    let out = try keep ? kept : kept.reinterpreted(shape: shape)
    return Tensor.result(out, of: [self]) { g in
      let g = try g.reinterpreted(shape: keptShape)
      let share = try Value.pointwise(.exp, [Value.pointwise(.subtract, [x, finite(kept)])])
      return [try Value.pointwise(.multiply, [share, g])]
    }
  }
}
