/// 2×2 mean with stride 2 over planes. `padY`/`padX` rows and columns of zeros are added on both
/// sides and count in the mean; an incomplete last window is dropped.
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

  /// Multiplies each plane of x by a factor, and adds the adjoint of g, if any.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func addAdjoint<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, padY: Int, padX: Int, _ g: UnsafePointer<T>?,
    to x: UnsafeMutablePointer<T>, times factors: [T]
  ) {
    let (oh, ow) = (size(h, pad: padY), size(w, pad: padX))
    ThreadPool.shared.run(planes) { p in
      let factor = factors[p]
      for y in 0..<h {
        let target = x + (p * h + y) * w
        for i in 0..<w { target[i] *= factor }
        let row = (y + padY) / 2
        guard let g, row < oh else { continue }
        let source = g + (p * oh + row) * ow
        for i in 0..<min(w, 2 * ow - padX) { target[i] += 0.25 * source[(i + padX) / 2] }
      }
    }
  }

  /// ``forward(planes:h:w:padY:padX:_:_:)`` without padding, over [items][height][width][lanes]:
  /// the same sums in the same order.
  public static func forward(
    items: Int, h: Int, w: Int, lanes: Int, _ x: UnsafePointer<Float>,
    _ out: UnsafeMutablePointer<Float>
  ) {
    let (oh, ow) = (h / 2, w / 2)
    ThreadPool.shared.run(items * oh) { piece in
      let (item, y) = (piece / oh, piece % oh)
      for i in 0..<ow {
        let top = x + ((item * h + 2 * y) * w + 2 * i) * lanes
        let bottom = top + w * lanes
        let target = out + (piece * ow + i) * lanes
        var c = 0
        while c < lanes {
          let sum = load8(top + c) + load8(top + lanes + c) + load8(bottom + c)
          store8((sum + load8(bottom + lanes + c)) * 0.25, target + c)
          c += 8
        }
      }
    }
  }
}
