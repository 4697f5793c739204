import Glibc
import Kernels
import Support

// Losses of the papers (arXiv 2402.18152, 2110.13903). Each is a scalar. Similarity.swift has the
// structural ones.

extension Tensor {
  func checkSame(_ other: Tensor, _ name: String) throws {
    guard shape == other.shape else {
      throw LunervError(
        .argument,
        "\(name): shapes \(Shape.describe(shape)) and \(Shape.describe(other.shape)) differ")
    }
  }

  /// Rejects other types: the kernels would read their memory as f32 or f64.
  func checkFloats(_ other: Tensor, _ name: String) throws {
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
}
