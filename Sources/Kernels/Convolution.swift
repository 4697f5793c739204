/// The choice of a convolution's algorithm, by shape alone.
public enum ConvolutionAlgorithm: String, Sendable, CaseIterable {
  /// F(4×4, 3×3) and F(4×4, 5×5): 3×3 and 5×5, stride 1.
  case winograd
  /// F(6×6, 3×3): 3×3, stride 1. A fifth fewer products, and larger tiles.
  case winograd6
  /// Matrix products over packed rows: every kernel, stride and dilation, one group.
  case direct
  /// One product for all taps of few outputs: stride 1.
  case narrow
  /// One filter per channel, stride 1.
  case depthwise
  /// Channels in groups: every kernel, stride and dilation.
  case grouped
}

/// f32 convolution over image operands in any layout (``ImageLayout``).
public enum Convolution {
  /// For measurements: the algorithm to use wherever it is applicable, instead of the chosen one.
  /// Set between operators by the thread that owns the Lua state.
  nonisolated(unsafe) public static var forced: ConvolutionAlgorithm?

  /// Whether an algorithm can compute a shape at all.
  public static func admits(_ algorithm: ConvolutionAlgorithm, _ s: ConvolutionShape) -> Bool {
    switch algorithm {
    case .winograd, .winograd6:
      s.groups == 1 && s.kh == s.kw && form(algorithm, kernel: s.kh) != nil && s.isPlain
        && s.padY == s.padX && s.padY < s.kh
    case .direct: s.groups == 1 && Gather.fits(s)
    case .narrow:
      s.groups == 1 && s.isPlain && s.outputs * s.kh * s.kw <= NarrowConvolution.mostColumns
    case .depthwise:
      s.groups == s.inputs && s.groups == s.outputs && s.groups > 1 && s.isPlain
        && Gather.fits(s)
    case .grouped: s.groups > 1 && Gather.fits(s)
    }
  }

  /// The form of Winograd's algorithm for a kernel size.
  static func form(_ algorithm: ConvolutionAlgorithm, kernel: Int) -> WinogradForm? {
    switch (algorithm, kernel) {
    case (.winograd, 3): .four3
    case (.winograd, 5): .four5
    case (.winograd6, 3): .six3
    default: nil
    }
  }

  /// The best algorithm for a shape; nil if only the reference path applies, which needs no working
  /// memory. Winograd wins wherever there are enough tiles to fill its products.
  public static func algorithm(for s: ConvolutionShape) -> ConvolutionAlgorithm? {
    if let forced, admits(forced, s) { return forced }
    if admits(.depthwise, s) { return .depthwise }
    if admits(.narrow, s), s.outputs <= 4, s.kh * s.kw > 1, s.inputs >= 8 { return .narrow }
    if admits(.winograd, s), min(s.inputs, s.outputs) >= 3, max(s.inputs, s.outputs) >= 8,
      s.outHeight * s.outWidth >= 512
    {
      // The larger tiles win where there are many and their transforms stay in the nearer caches.
      let large = max(s.inputs, s.outputs) <= 48 && s.outHeight * s.outWidth >= 1 << 15
      return large && admits(.winograd6, s) ? .winograd6 : .winograd
    }
    if admits(.direct, s) { return .direct }
    return admits(.grouped, s) ? .grouped : nil
  }

  /// Whether the algorithm can apply an activation to what it writes to `target`. The activation
  /// must map zero to zero in padding lanes.
  public static func applies(
    _ activation: PointwiseOperator, by algorithm: ConvolutionAlgorithm, kernel: Int,
    to target: ImageLayout
  ) -> Bool {
    guard form(algorithm, kernel: kernel) != nil, !target.planar else { return false }
    switch activation {
    case .sin, .tanh, .relu, .gelu, .silu: return true
    default: return false
    }
  }

  /// Transforms or packs the weights for the algorithm; nil if there is nothing worth keeping.
  public static func prepare(
    _ s: ConvolutionShape, by algorithm: ConvolutionAlgorithm, w: UnsafePointer<Float>,
    input: ImageLayout, output: ImageLayout
  ) -> PreparedWeights? {
    guard let form = form(algorithm, kernel: s.kh) else { return nil }
    let prepared = PreparedWeights(form, input: input, output: output)
    let view = WeightView(
      memory: w, o: s.outputs, i: s.inputs, kh: s.kh, kw: s.kw, transposed: false)
    form.transform(view, input: input, output: output, into: prepared.memory)
    return prepared
  }

  /// `prepared` was made from these weights and for these layouts.
  public static func forward(
    _ s: ConvolutionShape, by algorithm: ConvolutionAlgorithm, _ x: ImageOperand,
    w: UnsafePointer<Float>, b: UnsafePointer<Float>?, prepared: PreparedWeights? = nil,
    _ y: ImageTarget
  ) {
    let view = WeightView(
      memory: w, o: s.outputs, i: s.inputs / s.groups, kh: s.kh, kw: s.kw, transposed: false)
    if let form = form(algorithm, kernel: s.kh) {
      if let prepared {
        Winograd.forward(
          x, transformed: prepared.memory, form: form, bias: b, padding: s.padY, y)
      } else {
        winograd(form, x, weights: view, bias: b, padding: s.padY, y)
      }
      return
    }
    switch algorithm {
    case .winograd, .winograd6: break
    case .direct:
      DirectConvolution.forward(s, x, weights: view, bias: b, y)
    case .narrow:
      NarrowConvolution.forward(x, weights: view, bias: b, padY: s.padY, padX: s.padX, y)
    case .depthwise:
      DepthwiseConvolution.forward(
        x, weights: w, rotated: false, kh: s.kh, kw: s.kw, padY: s.padY, padX: s.padX, bias: b, y)
    case .grouped: GroupedConvolution.forward(s, x, weights: w, bias: b, y)
    }
  }

  private static func winograd(
    _ form: WinogradForm, _ x: ImageOperand, weights: WeightView, bias: UnsafePointer<Float>?,
    padding: Int,
    _ y: ImageTarget
  ) {
    withScratch { scratch in
      let u = scratch.floats(form.weightCount(input: x.layout, output: y.layout))
      form.transform(weights, input: x.layout, output: y.layout, into: u)
      Winograd.forward(x, transformed: u, form: form, bias: bias, padding: padding, y)
    }
  }

  /// The gradient of the input, computed from `g`, that of the output. `bias` is added to it, as a
  /// transposed convolution needs; `narrow` ignores it.
  public static func dataGradient(
    _ s: ConvolutionShape, by algorithm: ConvolutionAlgorithm, _ g: ImageOperand,
    w: UnsafePointer<Float>, bias: UnsafePointer<Float>? = nil, _ dx: ImageTarget
  ) {
    let view = WeightView(
      memory: w, o: s.outputs, i: s.inputs / s.groups, kh: s.kh, kw: s.kw, transposed: true)
    if let form = form(algorithm, kernel: s.kh) {
      winograd(form, g, weights: view, bias: bias, padding: s.kh - 1 - s.padY, dx)
      return
    }
    switch algorithm {
    case .winograd, .winograd6: break
    case .narrow:
      NarrowConvolution.dataGradient(
        g, weights: view, padY: s.kh - 1 - s.padY, padX: s.kw - 1 - s.padX, dx)
    case .direct:
      DirectConvolution.dataGradient(s, g, weights: view, bias: bias, dx)
    case .depthwise:
      DepthwiseConvolution.forward(
        g, weights: w, rotated: true, kh: s.kh, kw: s.kw, padY: s.kh - 1 - s.padY,
        padX: s.kw - 1 - s.padX, bias: bias, dx)
    case .grouped: GroupedConvolution.dataGradient(s, g, weights: w, bias: bias, dx)
    }
  }

  /// The gradients of the weights and, if wanted, of the bias; both are overwritten.
  public static func weightGradient(
    _ s: ConvolutionShape, by algorithm: ConvolutionAlgorithm, _ x: ImageOperand,
    _ g: ImageOperand, dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    if let form = form(algorithm, kernel: s.kh) {
      Winograd.weightGradient(x, gradient: g, form: form, padding: s.padY, dw: dw, db: db)
      return
    }
    switch algorithm {
    case .winograd, .winograd6: break
    case .direct:
      DirectConvolution.weightGradient(s, x, gradient: g, dw: dw, db: db)
    case .narrow:
      NarrowConvolution.weightGradient(
        x, gradient: g, kh: s.kh, kw: s.kw, padY: s.padY, padX: s.padX, dw: dw, db: db)
    case .depthwise:
      DepthwiseConvolution.weightGradient(
        x, gradient: g, kh: s.kh, kw: s.kw, padY: s.padY, padX: s.padX, dw: dw, db: db)
    case .grouped: GroupedConvolution.weightGradient(s, x, gradient: g, dw: dw, db: db)
    }
  }
}
