// The inverse of the two-dimensional real transform, from the stored half of the spectrum.

extension FourierTransform {
  /// x[p][h][w] = (1/hw)·Σ over the whole spectrum of y[p][h][w/2+1][2]. A column that is its own
  /// mirror image contributes only the part that a real image can have.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func inverseAll<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, _ y: UnsafePointer<T>, _ x: UnsafeMutablePointer<T>
  ) {
    let columns = w / 2 + 1
    let half = 2 * h * columns
    let scale = 1 / T(h * w)
    ThreadPool.shared.run(planes) { p in
      withScratch { scratch in
        let real = scratch.take(h * w, of: T.self)
        let spectrum = scratch.take(half, of: T.self)
        spectrum.update(from: y + p * half, count: half)
        symmetrise(spectrum, column: 0, h: h, columns: columns)
        if w % 2 == 0 { symmetrise(spectrum, column: w / 2, h: h, columns: columns) }
        inverse(h: h, w: w, spectrum, real)
        let to = x + p * h * w
        for i in 0..<(h * w) { to[i] = real[i] * scale }
      }
    }
  }

  /// The adjoint of ``inverseAll``: the transform of g. A column that has a mirror image counts
  /// twice.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func inverseAdjointAll<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, _ g: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>
  ) {
    let columns = w / 2 + 1
    let half = 2 * h * columns
    let once = 1 / T(h * w)
    ThreadPool.shared.run(planes) { p in
      withScratch { scratch in
        let real = scratch.take(h * w, of: T.self)
        let spectrum = scratch.take(half, of: T.self)
        real.update(from: g + p * h * w, count: h * w)
        forward(h: h, w: w, real, spectrum)
        let to = y + p * half
        for row in 0..<h {
          for c in 0..<columns {
            let weight = c == 0 || 2 * c == w ? once : 2 * once
            let i = 2 * (row * columns + c)
            to[i] = spectrum[i] * weight
            to[i + 1] = spectrum[i + 1] * weight
          }
        }
      }
    }
  }
}
