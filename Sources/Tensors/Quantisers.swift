import Kernels
import Support

// Quantisers and the cost of their codes (arXiv 2402.18152 §3.3). A step is a tensor that
// broadcasts over the values: one number, or (C, 1, 1, 1) for one per channel. So is an offset,
// which makes the quantiser asymmetric.

private func apply(_ op: PointwiseOperator, _ operands: Value...) throws -> Value {
  try Value.pointwise(op, operands)
}

extension Tensor {
  /// x/step, or (x − offset)/step: not rounded.
  public func codes(step: Tensor, offset: Tensor? = nil) throws -> Tensor {
    try checkSteps(step, offset, "codes")
    return try (offset.map { try subtracting($0) } ?? self).divided(by: step)
  }

  /// The dequantised values: step·round(codes) + offset, ties to even. With `noise`, a tensor of
  /// the same shape, it is added to the codes instead of rounding.
  ///
  /// The gradient passes to x as if nothing had been rounded; the step's is g·(round(code) − code),
  /// or g·noise; the offset's is zero, since it is subtracted and added again.
  public func quantised(step: Tensor, offset: Tensor? = nil, noise: Tensor? = nil) throws
    -> Tensor
  {
    try checkSteps(step, offset, "quantise")
    if let noise, noise.shape != shape {
      throw LunervError(
        .argument,
        "quantise: expected noise of shape \(Shape.describe(shape)), got \(Shape.describe(noise.shape))"
      )
    }
    if offset == nil, noise == nil, step.count == 1, dtype == .f32, step.dtype == .f32 {
      return try quantisedByOne(step)
    }
    let (x, s, b) = (value, step.value, offset?.value)
    let code = try apply(.divide, b.map { try apply(.subtract, x, $0) } ?? x, s)
    let off = try noise?.value ?? apply(.subtract, apply(.round, code), code)
    let whole = try noise.map { try apply(.add, code, $0.value) } ?? apply(.round, code)
    let scaled = try apply(.multiply, whole, s)
    let y = try b.map { try apply(.add, scaled, $0) } ?? scaled
    let stepNeeds = step.node >= 0
    let offsetShape = offset.flatMap { $0.node >= 0 ? $0.shape : nil }
    return Tensor.result(y, of: [self, step] + (offset.map { [$0] } ?? [])) { g in
      [g, stepNeeds ? try apply(.multiply, g, off).summed(to: s.shape) : nil]
        + (offset == nil
          ? [] : [try offsetShape.map { try Value.filled(0, shape: $0, dtype: g.dtype) }])
    }
  }

  /// The usual case, one per parameter of a network: one pass over the memory where operators would
  /// need four.
  private func quantisedByOne(_ step: Tensor) throws -> Tensor {
    let x = try value.contiguous()
    let y = try Value.allocate(shape, .f32), rest = try Value.allocate(shape, .f32)
    Quantisation.round(
      UnsafePointer(try x.memory(Float.self)), count: count,
      step: Float(try step.value.numbers()[0]), into: try y.memory(Float.self),
      rest: try rest.memory(Float.self))
    let (needsStep, stepShape) = (step.node >= 0, step.shape)
    return Tensor.result(y, of: [self, step]) { g in
      [g, needsStep ? try apply(.multiply, g, rest).summed(to: stepShape) : nil]
    }
  }

  /// Rounds to nearest, ties to even; the gradient passes unchanged.
  public func roundedStraight() throws -> Tensor {
    Tensor.result(try apply(.round, value), of: [self]) { [$0] }
  }

  private func checkSteps(_ step: Tensor, _ offset: Tensor?, _ name: String) throws {
    for (what, t) in [("step", step), ("offset", offset ?? step)] {
      guard try Shape.broadcast(shape, t.shape, for: name) == shape else {
        throw LunervError(
          .argument,
          "\(name): expected a \(what) that broadcasts to \(Shape.describe(shape)), got \(Shape.describe(t.shape))"
        )
      }
    }
  }

  /// The deviation of the codes is clamped to this range.
  static let deviations = 1e-5...1e10

  /// The bits of these codes, rounded or with `noise` added, under the normal distribution with the
  /// mean and (unbiased) deviation of the codes: a scalar. Gradients pass through mean and
  /// deviation too.
  public func gaussianBits(noise: Tensor? = nil) throws -> Tensor {
    guard value.isFloating, noise?.dtype ?? dtype == dtype, noise?.shape ?? shape == shape else {
      throw LunervError(
        .argument, "gaussian_bits: expected f32 or f64 codes, and noise of their shape and type")
    }
    try Work.charge(count, 16)
    let codes = try value.contiguous()
    let values = try (noise.map { try apply(.add, codes, $0.value) } ?? apply(.round, codes))
      .contiguous()
    if dtype == .f32 {
      return try gaussianBits(
        codes, values, bits: { GaussianRate.bits($0, count: $1, mean: $2, deviation: $3) },
        derivatives: {
          GaussianRate.derivatives(
            $0, count: $1, mean: $2, deviation: $3, pushesUp: $4, into: $5 as Floats)
        })
    }
    return try gaussianBits(
      codes, values, bits: { GaussianRate.bits($0, count: $1, mean: $2, deviation: $3) },
      derivatives: {
        GaussianRate.derivatives(
          $0, count: $1, mean: $2, deviation: $3, pushesUp: $4, into: $5 as Doubles)
      })
  }

  private typealias Floats = UnsafeMutablePointer<Float>
  private typealias Doubles = UnsafeMutablePointer<Double>

  private func gaussianBits<T: PointwiseScalar>(
    _ codes: Value, _ values: Value,
    bits: (UnsafePointer<T>, Int, Double, Double) -> Double,
    derivatives:
      @escaping (
        UnsafePointer<T>, Int, Double, Double, Bool, UnsafeMutablePointer<T>
      ) -> (mean: Double, deviation: Double)
  ) throws -> Tensor {
    let (n, dtype, shape) = (codes.count, dtype, shape)
    let (mean, free) = GaussianRate.moments(UnsafePointer(try codes.memory(T.self)), count: n)
    let range = Tensor.deviations
    let deviation = min(max(free, range.lowerBound), range.upperBound)
    let total = bits(UnsafePointer(try values.memory(T.self)), n, mean, deviation)
    return Tensor.result(try Value.filled(total, shape: [], dtype: dtype), of: [self]) { g in
      let factor = try g.numbers()[0]
      let out = try Value.allocate(shape, dtype)
      let (p, c) = (try out.memory(T.self), try codes.memory(T.self))
      let v = UnsafePointer(try values.memory(T.self))
      let by = derivatives(v, n, mean, deviation, factor < 0, p)
      // ∂μ/∂c = 1/n and ∂σ/∂c = (c − μ)/((n − 1)·σ), none where σ is clamped.
      let passes = range.contains(free) && n > 1
      GaussianRate.complete(
        p, c, count: n, g: factor, mean: mean, a: by.mean / Double(max(n, 1)),
        b: passes ? by.deviation / (Double(n - 1) * free) : 0)
      return [out]
    }
  }
}
