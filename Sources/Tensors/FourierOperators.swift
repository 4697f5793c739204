import Kernels
import Support

// The two-dimensional Fourier transform of real planes, and its inverse.

extension Tensor {
  /// The unnormalised 2-D Fourier transform of the last two dimensions, its non-redundant
  /// half: (…, H, W) → (…, H, ⌊W/2⌋+1, 2), real and imaginary parts last.
  public func fourierTransformed() throws -> Tensor {
    try checkFloating("rfft2")
    guard shape.count >= 2, shape.suffix(2).allSatisfy({ $0 >= 1 }) else {
      throw LunervError(.argument, "rfft2: expected (…, H, W), got \(Shape.describe(shape))")
    }
    let full = shape
    let (h, w) = (shape[shape.count - 2], shape[shape.count - 1])
    let planes = Shape.count(Array(shape.dropLast(2)))
    let out = Array(shape.dropLast(2)) + [h, w / 2 + 1, 2]
    try checkTransform("rfft2", planes, h, w)
    let y = try value.mapPlanes(to: out) { x, y in
      FourierTransform.forwardAll(planes: planes, h: h, w: w, x, y)
    } f64: { x, y in
      FourierTransform.forwardAll(planes: planes, h: h, w: w, x, y)
    }
    return Tensor.result(y, of: [self]) { g in
      [
        try g.mapPlanes(to: full) { g, x in
          FourierTransform.adjointAll(planes: planes, h: h, w: w, g, x)
        } f64: { g, x in
          FourierTransform.adjointAll(planes: planes, h: h, w: w, g, x)
        }
      ]
    }
  }

  /// The image (…, h, w) of a half spectrum (…, h, w/2 + 1, 2), divided by h·w: the inverse of
  /// ``fourierTransformed()``. The width is even by default.
  public func inverseFourierTransformed(width: Int?) throws -> Tensor {
    try checkFloating("irfft2")
    let rank = shape.count
    guard rank >= 3, shape[rank - 1] == 2, shape[rank - 2] >= 1, shape[rank - 3] >= 1 else {
      throw LunervError(
        .argument, "irfft2: expected (…, h, w/2 + 1, 2), got \(Shape.describe(shape))")
    }
    let (h, columns) = (shape[rank - 3], shape[rank - 2])
    let w = width ?? max(1, 2 * (columns - 1))
    guard w >= 1, w / 2 + 1 == columns else {
      throw LunervError(
        .argument,
        "irfft2: expected a width of \(max(1, 2 * (columns - 1))) or \(2 * columns - 1), got \(w)")
    }
    let (full, leading) = (shape, Array(shape.dropLast(3)))
    let planes = Shape.count(leading)
    try checkTransform("irfft2", planes, h, w)
    let y = try value.mapPlanes(to: leading + [h, w]) { y, x in
      FourierTransform.inverseAll(planes: planes, h: h, w: w, y, x)
    } f64: { y, x in
      FourierTransform.inverseAll(planes: planes, h: h, w: w, y, x)
    }
    return Tensor.result(y, of: [self]) { g in
      [
        try g.mapPlanes(to: full) { g, y in
          FourierTransform.inverseAdjointAll(planes: planes, h: h, w: w, g, y)
        } f64: { g, y in
          FourierTransform.inverseAdjointAll(planes: planes, h: h, w: w, g, y)
        }
      ]
    }
  }

  /// Charges for the transforms of planes, and checks that there is working memory.
  func checkTransform(_ name: String, _ planes: Int, _ h: Int, _ w: Int) throws {
    // FFTW counts in 32 bits.
    guard h <= Int(Int32.max), w <= Int(Int32.max) else {
      throw LunervError(
        .argument, "\(name): expected sides below 2^31, got \(Shape.describe(shape))")
    }
    // A plan may have to be made. Each plane is copied twice; large primes cost four times as much
    // as powers of two.
    try Work.charge(1 << 15)
    try Work.charge(planes, try Shape.product(h, w / 2 + 1) + 64, 32)
    // A plan, and for each of a few threads a plane and its spectrum.
    try Session.current.memory.checkRoom(for: try Shape.product(h, w / 2 + 1, 64))
    guard FourierTransform.prepare(h: h, w: w, double: dtype == .f64) else {
      throw LunervError(.memory, "\(name): FFTW has no plan for \(h)×\(w)")
    }
  }
}
