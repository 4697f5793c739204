/// A separable window slid over planes without padding (SSIM's Gaussian), and its adjoint.
public enum WindowFilter {
  /// out[p][h−k+1][w−k+1] from x[p][h][w] with the window applied along both axes.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func forward<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, window: [T], _ x: UnsafePointer<T>, _ out: UnsafeMutablePointer<T>
  ) {
    let k = window.count
    let (oh, ow) = (h - k + 1, w - k + 1)
    let block = 32
    let blocks = (oh + block - 1) / block
    window.withUnsafeBufferPointer { taps in
      guard let taps = taps.baseAddress else { return }
      ThreadPool.shared.run(planes * blocks) { index in
        let (p, y0) = (index / blocks, index % blocks * block)
        let rows = min(block, oh - y0)
        withScratch { scratch in
          let line = scratch.take(w, of: T.self)
          for y in y0..<y0 + rows {
            T.correlate(taps, k, with: x + (p * h + y) * w, every: w, w, into: line)
            T.correlate(taps, k, with: line, every: 1, ow, into: out + (p * oh + y) * ow)
          }
        }
      }
    }
  }

  /// The adjoint: x[p][h][w] from g[p][h−k+1][w−k+1].
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func adjoint<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, window: [T], _ g: UnsafePointer<T>, _ x: UnsafeMutablePointer<T>
  ) {
    let k = window.count
    let (oh, ow) = (h - k + 1, w - k + 1)
    let block = 32
    let blocks = (h + block - 1) / block
    window.withUnsafeBufferPointer { taps in
      guard let taps = taps.baseAddress else { return }
      ThreadPool.shared.run(planes * blocks) { index in
        let (p, y0) = (index / blocks, index % blocks * block)
        withScratch { scratch in
          // The line is padded with zeros on both sides.
          let padded = scratch.take(ow + 2 * (k - 1), of: T.self)
          padded.update(repeating: 0, count: ow + 2 * (k - 1))
          let line = padded + (k - 1)
          for y in y0..<min(h, y0 + block) {
            let (first, last) = (max(0, y - oh + 1), min(k - 1, y))
            T.correlate(
              taps + first, last - first + 1, with: g + (p * oh + y - first) * ow, every: -ow, ow,
              into: line)
            T.correlate(taps, k, with: line, every: -1, w, into: x + (p * h + y) * w)
          }
        }
      }
    }
  }
}

/// 2×2 mean with stride 2 over planes. `padY`/`padX` rows and columns of zeros are added on both
/// sides and count; an incomplete last window is dropped.
public enum MeanPool {
  public static func size(_ n: Int, pad: Int) -> Int { (n + 2 * pad) / 2 }
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func forward<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, padY: Int, padX: Int, _ x: UnsafePointer<T>,
    _ out: UnsafeMutablePointer<T>
  ) {
    let (oh, ow) = (size(h, pad: padY), size(w, pad: padX))
    ThreadPool.shared.run(planes) { p in
      for y in 0..<oh {
        let target = out + (p * oh + y) * ow
        for i in 0..<ow { target[i] = 0 }
        for row in [2 * y - padY, 2 * y + 1 - padY] where row >= 0 && row < h {
          let source = x + (p * h + row) * w
          for i in 0..<ow {
            let c = 2 * i - padX
            if c >= 0, c < w { target[i] += source[c] }
            if c + 1 >= 0, c + 1 < w { target[i] += source[c + 1] }
          }
        }
        for i in 0..<ow { target[i] *= 0.25 }
      }
    }
  }
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func adjoint<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, padY: Int, padX: Int, _ g: UnsafePointer<T>,
    _ x: UnsafeMutablePointer<T>
  ) {
    let (oh, ow) = (size(h, pad: padY), size(w, pad: padX))
    ThreadPool.shared.run(planes) { p in
      for y in 0..<h {
        let target = x + (p * h + y) * w
        let row = (y + padY) / 2
        for i in 0..<w {
          let c = (i + padX) / 2
          target[i] = row < oh && c < ow ? 0.25 * g[(p * oh + row) * ow + c] : 0
        }
      }
    }
  }
}
