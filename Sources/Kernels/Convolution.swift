/// The choice of a convolution's algorithm, by shape alone.
public enum ConvolutionAlgorithm: String, Sendable, CaseIterable {
  /// F(4×4, 3×3) and F(4×4, 5×5): 3×3 and 5×5, stride 1.
  case winograd
  /// Matrix products over packed rows: every kernel and stride, one group.
  case direct
  /// One filter per channel, stride 1.
  case depthwise
}

/// f32 convolution over image operands in any layout (``ImageLayout``).
public enum Convolution {
  /// For measurements: the algorithm to use wherever it can serve, in place of the choice.
  /// Set by the one thread that owns the Lua state, between operators.
  nonisolated(unsafe) public static var forced: ConvolutionAlgorithm?

  /// Whether an algorithm can serve a shape at all.
  public static func admits(_ algorithm: ConvolutionAlgorithm, _ s: ConvolutionShape) -> Bool {
    switch algorithm {
    case .winograd:
      s.groups == 1 && s.kh == s.kw && Winograd.serves(kernel: s.kh) && s.stride == 1
        && s.padY == s.padX && s.padY < s.kh
    case .direct: s.groups == 1
    case .depthwise:
      s.groups == s.inputs && s.groups == s.outputs && s.groups > 1 && s.stride == 1
    }
  }

  /// The algorithm that serves a shape best; nil when only the reference path can.
  /// Winograd wins wherever there are tiles enough to fill its products.
  public static func algorithm(for s: ConvolutionShape) -> ConvolutionAlgorithm? {
    if let forced, admits(forced, s) { return forced }
    if admits(.depthwise, s) { return .depthwise }
    if admits(.winograd, s), min(s.inputs, s.outputs) >= 3, max(s.inputs, s.outputs) >= 8,
      s.outHeight * s.outWidth >= 512
    {
      return .winograd
    }
    return admits(.direct, s) ? .direct : nil
  }

  /// What the algorithm makes of weights before it can use them; nil when that is nothing
  /// worth keeping.
  public static func prepare(
    _ s: ConvolutionShape, by algorithm: ConvolutionAlgorithm, w: UnsafePointer<Float>,
    input: ImageLayout, output: ImageLayout
  ) -> PreparedWeights? {
    guard algorithm == .winograd else { return nil }
    let prepared = PreparedWeights(
      count: Winograd.weightCount(kernel: s.kh, input: input, output: output), input: input, output: output)
    let view = WeightView(
      memory: w, o: s.outputs, i: s.inputs, kh: s.kh, kw: s.kw, transposed: false)
    Winograd.transformWeights(view, input: input, output: output, into: prepared.memory)
    return prepared
  }

  /// `prepared` comes from these weights and serves these layouts.
  public static func forward(
    _ s: ConvolutionShape, by algorithm: ConvolutionAlgorithm, _ x: ImageOperand,
    w: UnsafePointer<Float>, b: UnsafePointer<Float>?, prepared: PreparedWeights? = nil,
    _ y: ImageTarget
  ) {
    let view = WeightView(
      memory: w, o: s.outputs, i: s.inputs / s.groups, kh: s.kh, kw: s.kw, transposed: false)
    switch algorithm {
    case .winograd:
      if let prepared {
        Winograd.forward(
          x, transformed: prepared.memory, kernel: s.kh, bias: b, padding: s.padY, y)
      } else {
        winograd(x, weights: view, bias: b, padding: s.padY, y)
      }
    case .direct:
      DirectConvolution.forward(
        x, weights: view, bias: b, stride: s.stride, padY: s.padY, padX: s.padX, y)
    case .depthwise:
      DepthwiseConvolution.forward(
        x, weights: w, turned: false, kh: s.kh, kw: s.kw, padY: s.padY, padX: s.padX, bias: b, y)
    }
  }

  private static func winograd(
    _ x: ImageOperand, weights: WeightView, bias: UnsafePointer<Float>?, padding: Int,
    _ y: ImageTarget
  ) {
    withScratch { scratch in
      let u = scratch.floats(Winograd.weightCount(
        kernel: weights.kh, input: x.layout, output: y.layout))
      Winograd.transformWeights(weights, input: x.layout, output: y.layout, into: u)
      Winograd.forward(
        x, transformed: u, kernel: weights.kh, bias: bias, padding: padding, y)
    }
  }

  /// The gradient of the input from `g`, that of the output.
  public static func dataGradient(
    _ s: ConvolutionShape, by algorithm: ConvolutionAlgorithm, _ g: ImageOperand,
    w: UnsafePointer<Float>, _ dx: ImageTarget
  ) {
    let view = WeightView(
      memory: w, o: s.outputs, i: s.inputs / s.groups, kh: s.kh, kw: s.kw, transposed: true)
    switch algorithm {
    case .winograd: winograd(g, weights: view, bias: nil, padding: s.kh - 1 - s.padY, dx)
    case .direct:
      DirectConvolution.dataGradient(
        g, weights: view, stride: s.stride, padY: s.padY, padX: s.padX, dx)
    case .depthwise:
      DepthwiseConvolution.forward(
        g, weights: w, turned: true, kh: s.kh, kw: s.kw, padY: s.kh - 1 - s.padY,
        padX: s.kw - 1 - s.padX, bias: nil, dx)
    }
  }

  /// The gradients of the weights and, when asked, of the bias; both overwritten.
  public static func weightGradient(
    _ s: ConvolutionShape, by algorithm: ConvolutionAlgorithm, _ x: ImageOperand,
    _ g: ImageOperand, dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    switch algorithm {
    case .winograd:
      Winograd.weightGradient(
        x, gradient: g, kernel: s.kh, padding: s.padY, dw: dw, db: db)
    case .direct:
      DirectConvolution.weightGradient(
        x, gradient: g, kh: s.kh, kw: s.kw, stride: s.stride, padY: s.padY, padX: s.padX, dw: dw,
        db: db)
    case .depthwise:
      DepthwiseConvolution.weightGradient(
        x, gradient: g, kh: s.kh, kw: s.kw, padY: s.padY, padX: s.padX, dw: dw, db: db)
    }
  }
}
