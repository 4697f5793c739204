/// Convolution written as its definition, for any floating-point type, kernel, stride, padding,
/// dilation and groups. Gradient checks use it in f64, and unusual shapes fall back to it. All
/// operands are contiguous NCHW.
public enum ReferenceConvolution {
  /// Calls `body(output pixel, input pixel, tap)`, with offsets within their planes, for every pair
  /// that a kernel tap joins.
  @inline(__always) private static func forEachTap(
    _ s: ConvolutionShape, _ body: (_ out: Int, _ input: Int, _ tap: Int) -> Void
  ) {
    for oy in 0..<s.outHeight {
      for ky in 0..<s.kh {
        let y = oy * s.strideY + ky * s.dilationY - s.padY
        if y < 0 || y >= s.height { continue }
        for ox in 0..<s.outWidth {
          for kx in 0..<s.kw {
            let x = ox * s.strideX + kx * s.dilationX - s.padX
            if x < 0 || x >= s.width { continue }
            body(oy * s.outWidth + ox, y * s.width + x, ky * s.kw + kx)
          }
        }
      }
    }
  }
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func forward<T: BinaryFloatingPoint>(
    _ s: ConvolutionShape, x: UnsafePointer<T>, w: UnsafePointer<T>, b: UnsafePointer<T>?,
    y: UnsafeMutablePointer<T>
  ) {
    let (inGroup, outGroup) = (s.inputs / s.groups, s.outputs / s.groups)
    let (plane, outPlane, taps) = (s.height * s.width, s.outHeight * s.outWidth, s.kh * s.kw)
    ThreadPool.shared.run(s.n * s.outputs) { index in
      let (n, o) = (index / s.outputs, index % s.outputs)
      let out = y + index * outPlane
      out.update(repeating: b?[o] ?? 0, count: outPlane)
      for i in 0..<inGroup {
        let image = x + (n * s.inputs + o / outGroup * inGroup + i) * plane
        let filter = w + (o * inGroup + i) * taps
        forEachTap(s) { out[$0] += image[$1] * filter[$2] }
      }
    }
  }
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func dataGradient<T: BinaryFloatingPoint>(
    _ s: ConvolutionShape, g: UnsafePointer<T>, w: UnsafePointer<T>,
    bias: UnsafePointer<T>? = nil, dx: UnsafeMutablePointer<T>
  ) {
    let (inGroup, outGroup) = (s.inputs / s.groups, s.outputs / s.groups)
    let (plane, outPlane, taps) = (s.height * s.width, s.outHeight * s.outWidth, s.kh * s.kw)
    ThreadPool.shared.run(s.n * s.inputs) { index in
      let (n, c) = (index / s.inputs, index % s.inputs)
      let image = dx + index * plane
      image.update(repeating: bias?[c] ?? 0, count: plane)
      for j in 0..<outGroup {
        let o = c / inGroup * outGroup + j
        let out = g + (n * s.outputs + o) * outPlane
        let filter = w + (o * inGroup + c % inGroup) * taps
        forEachTap(s) { image[$1] += out[$0] * filter[$2] }
      }
    }
  }
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func weightGradient<T: BinaryFloatingPoint>(
    _ s: ConvolutionShape, x: UnsafePointer<T>, g: UnsafePointer<T>, dw: UnsafeMutablePointer<T>,
    db: UnsafeMutablePointer<T>?
  ) {
    let (inGroup, outGroup) = (s.inputs / s.groups, s.outputs / s.groups)
    let (plane, outPlane, taps) = (s.height * s.width, s.outHeight * s.outWidth, s.kh * s.kw)
    ThreadPool.shared.run(s.outputs) { o in
      let filters = dw + o * inGroup * taps
      filters.update(repeating: 0, count: inGroup * taps)
      var total: T = 0
      for n in 0..<s.n {
        let out = g + (n * s.outputs + o) * outPlane
        for p in 0..<outPlane { total += out[p] }
        for i in 0..<inGroup {
          let image = x + (n * s.inputs + o / outGroup * inGroup + i) * plane
          let filter = filters + i * taps
          forEachTap(s) { filter[$2] += out[$0] * image[$1] }
        }
      }
      if let db { db[o] = total }
    }
  }
}
