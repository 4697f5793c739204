import Glibc
import Kernels
import Support

// Structural similarity. Values and gradients are computed together (Kernels/Similarity.swift).

/// The window and scales that fit a frame: 11×11 and five scales if the short side exceeds 160.
/// Below that: the largest odd window of at least 5 that fits the smallest scale, then fewer
/// scales, with σ in proportion and the remaining weights renormalised.
public struct SimilarityPlan: Equatable, Sendable {
  public var window: Int
  public var sigma: Double
  public var weights: [Double]

  public init(shortSide: Int, scales: Int = 5, as name: String = "ssim") throws {
    let published = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    for count in stride(from: scales, through: 1, by: -1) {
      var side = shortSide
      for _ in 1..<count { side = (side + 2 * (side % 2)) / 2 }
      let window = min(11, side % 2 == 1 ? side : side - 1)
      if window < 5 { continue }
      self.window = window
      sigma = 1.5 * Double(window) / 11
      weights = count == 5 ? published : Array(published[..<count])
      if count < 5 {
        let total = weights.reduce(0, +)
        weights = weights.map { $0 / total }
      }
      return
    }
    throw LunervError(
      .argument, "\(name): expected frames of at least 5 pixels per side, got \(shortSide)")
  }

  var taps: [Double] {
    let half = window / 2
    let raw = (-half...half).map { Glibc.exp(-Double($0 * $0) / (2 * sigma * sigma)) }
    let total = raw.reduce(0, +)
    return raw.map { $0 / total }
  }
}

extension Tensor {
  /// Structural similarity, Gaussian window 11 and σ 1.5 on frames of at least 11 pixels
  /// (``SimilarityPlan`` below that), range 1, averaged over pixels, channels and images.
  public func ssim(_ y: Tensor) throws -> Tensor { try similarity(y, "ssim", scales: 1) }

  /// Multi-scale SSIM (Wang et al. 2003): the contrast terms of all scales except the last and the
  /// SSIM of the last, clamped at 0, raised to their weights, multiplied per channel and averaged.
  public func msSsim(_ y: Tensor) throws -> Tensor { try similarity(y, "ms_ssim", scales: 5) }

  private func similarity(_ y: Tensor, _ name: String, scales: Int) throws -> Tensor {
    try checkSame(y, name)
    try checkFloats(y, name)
    guard shape.count == 4, count > 0 else {
      throw LunervError(
        .argument, "\(name): expected images (N, C, H, W), got \(Shape.describe(shape))")
    }
    guard dtype == y.dtype else {
      throw LunervError(
        .argument, "\(name): \(dtype.rawValue) and \(y.dtype.rawValue) do not mix (use :to)")
    }
    let plan = try SimilarityPlan(shortSide: min(shape[2], shape[3]), scales: scales, as: name)
    let isRecording = Session.current.isRecording
    // The measure is symmetric: its gradient with respect to y is that with exchanged images.
    let byX = try value.similarity(y.value, plan, clamped: scales > 1, isRecording && node >= 0)
    let byY =
      isRecording && y.node >= 0
      ? try y.value.similarity(value, plan, clamped: scales > 1, true) : nil
    return Tensor.result(try Value.filled(byX.mean, shape: [], dtype: dtype), of: [self, y]) { g in
      try [byX.gradient, byY?.gradient].map { gradient in
        try gradient.map { try Value.pointwise(.multiply, [g, $0]) }
      }
    }
  }
}

extension Value {
  /// The mean over images and channels of the product of the scales' similarities, and its gradient
  /// with respect to this value.
  fileprivate func similarity(
    _ y: Value, _ plan: SimilarityPlan, clamped: Bool, _ wantsGradient: Bool
  ) throws -> (mean: Double, gradient: Value?) {
    dtype == .f32
      ? try Scales<Float>(self, y, plan, wantsGradient).combined(plan, clamped)
      : try Scales<Double>(self, y, plan, wantsGradient).combined(plan, clamped)
  }
}

/// The similarities of two images at every scale.
private struct Scales<T: PointwiseScalar> {
  /// By scale, then by plane.
  private var means: [[Double]] = []
  /// Those of the means, by scale.
  private var gradients: [Value] = []

  init(_ x: Value, _ y: Value, _ plan: SimilarityPlan, _ wantsGradient: Bool) throws {
    var (x, y) = (try x.contiguous(), try y.contiguous())
    let planes = x.shape[0] * x.shape[1]
    let window = plan.taps.map { T($0) }
    // Four means and three adjoints, along both axes.
    try Work.charge(Shape.count(x.shape), 20 * plan.window)
    for scale in plan.weights.indices {
      let (h, w) = (x.shape[2], x.shape[3])
      let isLast = scale == plan.weights.count - 1
      let derivatives =
        wantsGradient
        ? try Value.allocate(
          [Similarity.derivativeCount(planes: planes, h: h, w: w, window: window.count)], x.dtype)
        : nil
      let gradient = wantsGradient ? try Value.allocate(x.shape, x.dtype) : nil
      means.append(
        Similarity.means(
          planes: planes, h: h, w: w, window: window, luminance: isLast, try x.memory(T.self),
          try y.memory(T.self), derivatives: try derivatives?.memory(T.self),
          gradient: try gradient?.memory(T.self)))
      if let gradient { gradients.append(gradient) }
      if !isLast { (x, y) = (try Scales.halved(x), try Scales.halved(y)) }
    }
  }

  private static func halved(_ x: Value) throws -> Value {
    let (h, w) = (x.shape[2], x.shape[3])
    let half = try Value.allocate(
      [x.shape[0], x.shape[1], MeanPool.size(h, pad: h % 2), MeanPool.size(w, pad: w % 2)], x.dtype)
    MeanPool.forward(
      planes: x.shape[0] * x.shape[1], h: h, w: w, padY: h % 2, padX: w % 2,
      try x.memory(T.self), try half.memory(T.self))
    return half
  }

  /// The mean over planes of Π meanʷ, w the scale's weight, and its gradient. If `clamped`, means
  /// below 0 count as 0; otherwise there is one scale, of weight 1.
  func combined(_ plan: SimilarityPlan, _ clamped: Bool) throws -> (mean: Double, gradient: Value?)
  {
    let planes = means[0].count
    var total = 0.0
    // By scale and plane: the derivative of the result with respect to a mean.
    var slopes = means.map { $0.map { _ in 0.0 } }
    for plane in 0..<planes {
      // `max` in this order keeps NaN, so that those of the images show in the result.
      let factors = plan.weights.indices.map { scale in
        clamped ? pow(max(means[scale][plane], 0), plan.weights[scale]) : means[scale][plane]
      }
      total += factors.reduce(1, *)
      for (scale, weight) in plan.weights.enumerated() {
        let mean = means[scale][plane]
        let others = factors.indices.reduce(1) { $1 == scale ? $0 : $0 * factors[$1] }
        let slope = clamped ? (mean > 0 ? weight * pow(mean, weight - 1) : 0) : 1
        slopes[scale][plane] = others * slope / Double(planes)
      }
    }
    return (total / Double(planes), try gradient(slopes))
  }

  /// Adds up the gradients of all scales, from the last to the first.
  private func gradient(_ slopes: [[Double]]) throws -> Value? {
    var coarser: Value?
    for (scale, gradient) in gradients.enumerated().reversed() {
      let (h, w) = (gradient.shape[2], gradient.shape[3])
      MeanPool.addAdjoint(
        planes: gradient.shape[0] * gradient.shape[1], h: h, w: w, padY: h % 2, padX: w % 2,
        try coarser?.memory(T.self), to: try gradient.memory(T.self),
        times: slopes[scale].map { T($0) })
      coarser = gradient
    }
    return coarser
  }
}
