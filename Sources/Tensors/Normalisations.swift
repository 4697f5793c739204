import Kernels
import Support

// Normalisations over batches, groups of channels and single vectors, and dropout.

extension Tensor {
  /// A parameter per channel, in a shape that broadcasts over this tensor.
  private func perChannel(_ p: Tensor?, _ dim: Int, _ what: String, _ name: String) throws
    -> Tensor?
  {
    guard let p else { return nil }
    guard p.shape == [shape[dim]] else {
      throw LunervError(
        .argument,
        "\(name): \(what) must have shape (\(shape[dim])), got \(Shape.describe(p.shape))")
    }
    var sizes = [Int](repeating: 1, count: shape.count)
    sizes[dim] = shape[dim]
    return try p.viewed(sizes)
  }

  private func checkChannels(_ epsilon: Double, _ name: String) throws {
    guard shape.count >= 2 else {
      throw LunervError(
        .argument, "\(name): expected (n, channels, …), got \(Shape.describe(shape))")
    }
    guard epsilon >= 0, epsilon.isFinite else {
      throw LunervError(.argument, "\(name): expected an eps of at least 0, got \(epsilon)")
    }
  }

  /// (x − mean)/√(variance + eps)·weight + bias for each channel, dimension 1; nil uses the batch's
  /// own mean and variance.
  public func batchNorm(
    mean: Tensor?, variance: Tensor?, _ weight: Tensor?, _ bias: Tensor?, epsilon: Double
  ) throws -> Tensor {
    let name = "batch_norm"
    try checkChannels(epsilon, name)
    guard (mean == nil) == (variance == nil) else {
      throw LunervError(.argument, "\(name): expected mean and variance, or neither")
    }
    let others = shape.indices.filter { $0 != 1 }
    let centred = try subtracting(
      perChannel(mean, 1, "mean", name) ?? self.mean(others, keep: true))
    let spread =
      try perChannel(variance, 1, "variance", name) ?? centred.squared().mean(others, keep: true)
    var scale = try spread.adding(epsilon).reciprocalSquareRoot()
    if let weight = try perChannel(weight, 1, "weight", name) {
      scale = try scale.multiplied(by: weight)
    }
    let out = try centred.multiplied(by: scale)
    guard let bias = try perChannel(bias, 1, "bias", name) else { return out }
    return try out.adding(bias)
  }

  /// Mean 0 and variance 1 over each group of channels and their pixels, then ·weight + bias.
  public func groupNorm(_ groups: Int, _ weight: Tensor?, _ bias: Tensor?, epsilon: Double) throws
    -> Tensor
  {
    let name = "group_norm"
    try checkChannels(epsilon, name)
    let (n, channels) = (shape[0], shape[1])
    guard groups >= 1, channels % groups == 0 else {
      throw LunervError(
        .argument, "\(name): expected groups that divide \(channels) channels, got \(groups)")
    }
    // The means of the channels first: their pixels need not move.
    let pixels = Array(2..<shape.count)
    let perImage = [n, channels] + [Int](repeating: 1, count: shape.count - 2)
    func groupMean(_ x: Tensor) throws -> Tensor {
      let means = try x.mean(pixels, keep: true).viewed([n, groups, channels / groups])
      return try means.mean([2], keep: true).expanded(to: [n, groups, channels / groups])
        .viewed(perImage)
    }
    let centred = try subtracting(groupMean(self))
    var scale = try groupMean(centred.squared()).adding(epsilon).reciprocalSquareRoot()
    if let weight = try perChannel(weight, 1, "weight", name) {
      scale = try scale.multiplied(by: weight)
    }
    let out = try centred.multiplied(by: scale)
    guard let bias = try perChannel(bias, 1, "bias", name) else { return out }
    return try out.adding(bias)
  }

  /// x/√(mean x² + eps)·weight over one dimension.
  public func rmsNorm(_ weight: Tensor?, dim: Int, epsilon: Double) throws -> Tensor {
    let name = "rms_norm"
    try checked(dim: dim, for: name)
    guard epsilon >= 0, epsilon.isFinite else {
      throw LunervError(.argument, "\(name): expected an eps of at least 0, got \(epsilon)")
    }
    let size = try squared().mean([dim], keep: true).adding(epsilon).reciprocalSquareRoot()
    let out = try multiplied(by: size)
    guard let weight = try perChannel(weight, dim, "weight", name) else { return out }
    return try out.multiplied(by: weight)
  }

  /// Each element becomes 0 with probability p, and is divided by 1 − p otherwise.
  public func dropout(_ p: Double, _ random: inout Philox) throws -> Tensor {
    guard p >= 0, p <= 1 else {
      throw LunervError(.argument, "dropout: expected a probability from 0 to 1, got \(p)")
    }
    guard isFloating else {
      throw LunervError(.argument, "dropout: expected f32 or f64, got \(dtype.rawValue)")
    }
    if p == 0 { return self }
    let draws = try Tensor.full(0, shape, dtype)
    try draws.fillUniform(&random, lo: 0, hi: 1)
    let kept = try Value.pointwise(
      .greaterOrEqual, [draws.value, Value.filled(p, shape: [], dtype: dtype)])
    let scale = p < 1 ? 1 / (1 - p) : 0
    let mask = try Value.pointwise(.multiplyConstant, [kept], p: scale).converted(to: value.layout)
    try mask.materialise()
    let y = try Value.pointwise(.multiply, [value, mask])
    return Tensor.result(y, of: [self]) { [try Value.pointwise(.multiply, [$0, mask])] }
  }
}
