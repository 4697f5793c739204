import Glibc
import Kernels
import Support

// Losses and similarities of the papers (arXiv 2402.18152, 2110.13903). Each is a
// scalar.

extension Tensor {
  private func checkSame(_ other: Tensor, _ name: String) throws {
    guard shape == other.shape else {
      throw LunervError(
        .argument,
        "\(name): shapes \(Shape.describe(shape)) and \(Shape.describe(other.shape)) differ")
    }
  }

  /// Kernels for f32 and f64 only would read other memory as one of them.
  private func checkFloats(_ other: Tensor, _ name: String) throws {
    for t in [self, other] where !t.isFloating {
      throw LunervError(
        .argument, "\(name): expected f32 or f64, got \(t.dtype.rawValue) (use :to)")
    }
  }

  /// Mean |x − y|.
  public func l1Loss(_ y: Tensor) throws -> Tensor {
    try checkSame(y, "l1_loss")
    return try subtracting(y).absolute().mean()
  }

  /// Mean (x − y)².
  public func mseLoss(_ y: Tensor) throws -> Tensor {
    try checkSame(y, "mse_loss")
    return try subtracting(y).squared().mean()
  }

  /// Mean |Δ| over real and imaginary parts of the unnormalised 2-D spectra of x and y. The
  /// transform is linear, so one transform of x − y suffices; its gradient is computed at the same
  /// time.
  public func frequencyLoss(_ y: Tensor) throws -> Tensor {
    try checkSame(y, "freq_loss")
    try checkFloats(y, "freq_loss")
    guard shape.count >= 2, count > 0 else {
      throw LunervError(.argument, "freq_loss: expected (…, H, W), got \(Shape.describe(shape))")
    }
    let difference = try subtracting(y)
    let d = try difference.value.contiguous()
    let (h, w) = (shape[shape.count - 2], shape[shape.count - 1])
    let planes = Shape.count(Array(shape.dropLast(2)))
    try checkTransform("freq_loss", planes, h, w)
    let gradient =
      Session.current.isRecording && difference.node >= 0 ? try Value.allocate(shape, dtype) : nil
    let loss: Double
    if dtype == .f32 {
      loss = FourierTransform.absoluteMean(
        planes: planes, h: h, w: w, try d.program(of: Float.self),
        gradient: try gradient?.memory(Float.self))
    } else {
      loss = FourierTransform.absoluteMean(
        planes: planes, h: h, w: w, try d.program(of: Double.self),
        gradient: try gradient?.memory(Double.self))
    }
    return Tensor.result(try Value.filled(loss, shape: [], dtype: dtype), of: [difference]) { g in
      [try gradient.map { try Value.pointwise(.multiply, [g, $0]) }]
    }
  }

  // MARK: - Structural similarity

  /// The window and scales that fit a frame: 11×11 and five scales if the short side exceeds 160.
  /// Below that: the largest odd window of at least 5 that fits the smallest scale, then fewer
  /// scales, with σ in proportion and the remaining weights renormalised.
  public struct SimilarityPlan: Equatable, Sendable {
    public var window: Int
    public var sigma: Double
    public var weights: [Double]

    public init(shortSide: Int, scales: Int = 5) throws {
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
        .argument, "ssim: a frame must be at least 5 pixels high and wide, got \(shortSide)")
    }

    var taps: [Double] {
      let half = window / 2
      let raw = (-half...half).map { Glibc.exp(-Double($0 * $0) / (2 * sigma * sigma)) }
      let total = raw.reduce(0, +)
      return raw.map { $0 / total }
    }
  }

  /// Means over pixels, per image and channel, of the SSIM map and of its contrast term.
  private func similarity(_ y: Tensor, _ taps: [Double], needLuminance: Bool) throws
    -> (ssim: Tensor?, contrast: Tensor)
  {
    let (c1, c2) = (0.01 * 0.01, 0.03 * 0.03)
    let mx = try windowFiltered(taps), my = try y.windowFiltered(taps)
    let mx2 = try mx.squared(), my2 = try my.squared(), mxy = try mx.multiplied(by: my)
    let sx = try squared().windowFiltered(taps).subtracting(mx2)
    let sy = try y.squared().windowFiltered(taps).subtracting(my2)
    let sxy = try multiplied(by: y).windowFiltered(taps).subtracting(mxy)
    let contrast = try sxy.multiplied(by: 2).adding(c2)
      .divided(by: sx.adding(sy).adding(c2))
    let mean = try contrast.mean([2, 3])
    guard needLuminance else { return (nil, mean) }
    let luminance = try mxy.multiplied(by: 2).adding(c1).divided(by: mx2.adding(my2).adding(c1))
    return (try luminance.multiplied(by: contrast).mean([2, 3]), mean)
  }

  private func checkImages(_ y: Tensor, _ name: String) throws {
    try checkSame(y, name)
    try checkFloats(y, name)
    guard shape.count == 4, value.isFloating, count > 0 else {
      throw LunervError(
        .argument, "\(name): expected images (N, C, H, W), got \(Shape.describe(shape))")
    }
  }

  /// Structural similarity, Gaussian window 11 and σ 1.5 on frames of at least 11 pixels
  /// (``SimilarityPlan`` below that), range 1, averaged over pixels, channels and images.
  public func ssim(_ y: Tensor) throws -> Tensor {
    try checkImages(y, "ssim")
    let plan = try SimilarityPlan(shortSide: min(shape[2], shape[3]), scales: 1)
    guard let s = try similarity(y, plan.taps, needLuminance: true).ssim else {
      throw LunervError(.argument, "ssim: no map")
    }
    return try s.mean()
  }

  /// Multi-scale SSIM (Wang et al. 2003): the contrast terms of all scales except the last and the
  /// SSIM of the last, clamped at 0, raised to their weights, multiplied per channel and averaged.
  public func msSsim(_ y: Tensor) throws -> Tensor {
    try checkImages(y, "ms_ssim")
    let plan = try SimilarityPlan(shortSide: min(shape[2], shape[3]))
    let taps = plan.taps
    var (a, b) = (self, y)
    var product: Tensor?
    for (scale, weight) in plan.weights.enumerated() {
      let last = scale == plan.weights.count - 1
      let terms = try a.similarity(b, taps, needLuminance: last)
      let factor = try (last ? terms.ssim ?? terms.contrast : terms.contrast).relu().power(weight)
      product = try product?.multiplied(by: factor) ?? factor
      if !last {
        let (py, px) = (a.shape[2] % 2, a.shape[3] % 2)
        a = try a.averagePooled(padY: py, padX: px)
        b = try b.averagePooled(padY: py, padX: px)
      }
    }
    guard let product else { throw LunervError(.argument, "ms_ssim: no scale fits") }
    return try product.mean()
  }
}
