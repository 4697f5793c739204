import Kernels
import Support

/// The products of a convolution, for its gradients and for the transposed convolution.
enum ConvolutionProducts {
  /// The algorithm for a shape; nil if it is computed by the definition.
  static func algorithm(_ s: ConvolutionShape, _ dtype: DType) -> ConvolutionAlgorithm? {
    dtype == .f32 ? Convolution.algorithm(for: s) : nil
  }

  /// If work is limited, as in programs from files, rejects weights whose packed or transformed
  /// form would exceed the memory limit: working memory is not counted as tensors. Transforms take
  /// at most four times the weights, and channels are padded to lanes.
  static func checkRoom(_ s: ConvolutionShape) throws {
    let session = Session.current
    if session.workLeft == .max { return }
    let inputs = s.groups == 1 ? (s.inputs + 15) / 16 * 16 : s.inputs / s.groups
    let weights = try Shape.product(inputs, (s.outputs + 15) / 16 * 16, s.kh, s.kw)
    if weights < 1 << 20 { return }
    try session.memory.checkRoom(for: try Shape.product(weights, 16))
  }

  /// An operand that the algorithm can read. A grouped convolution needs the channels of both sides
  /// in the same lanes, so not a view by PixelShuffle.
  static func operand(_ v: Value, _ algorithm: ConvolutionAlgorithm) throws -> ImageOperand {
    switch algorithm {
    case .grouped:
      return ImageOperand(v.imageLayout(shuffle: 1), .memory(try v.memory(Float.self)))
    case .depthwise:
      if case .unshuffled = v.state { try v.materialise() }
    default: break
    }
    return try v.image()
  }

  /// The result, stored.
  static func forward(_ s: ConvolutionShape, _ x: Value, _ w: Value, bias: Value?) throws -> Value {
    x.readers += 1
    let y = try ConvolutionCall(shape: s, x: x, w: w, b: bias, recorded: false).value()
    try y.materialise()
    return y
  }

  /// The data gradient from that of the (unshuffled) result, plus the bias.
  static func dataGradient(_ s: ConvolutionShape, _ g: Value, _ w: Value, bias: Value?) throws
    -> Value
  {
    try checkRoom(s)
    let (w, bias) = (try w.contiguous(), try bias?.contiguous())
    let shape = [s.n, s.inputs, s.height, s.width]
    // An image without pixels, of padding alone.
    if s.height == 0 || s.width == 0 { return try Value.allocate(shape, w.dtype) }
    var algorithm = algorithm(s, w.dtype)
    if algorithm == .narrow, bias != nil { algorithm = .direct }
    guard let algorithm else {
      let g = try g.contiguous()
      let dx = try Value.allocate(shape, w.dtype)
      if w.dtype == .f64 {
        ReferenceConvolution.dataGradient(
          s, g: try g.memory(Double.self), w: try w.memory(Double.self),
          bias: try bias?.memory(Double.self), dx: try dx.memory(Double.self))
      } else {
        ReferenceConvolution.dataGradient(
          s, g: try g.memory(Float.self), w: try w.memory(Float.self),
          bias: try bias?.memory(Float.self), dx: try dx.memory(Float.self))
      }
      return dx
    }
    let layout = Value.imageLayout(channels: s.inputs, dtype: w.dtype)
    let dx = try Value.allocate(shape, w.dtype, layout)
    Convolution.dataGradient(
      s, by: algorithm, try operand(g, algorithm), w: try w.memory(Float.self),
      bias: try bias?.memory(Float.self),
      ImageTarget(dx.imageLayout(shuffle: 1), try dx.memory(Float.self)))
    return dx
  }

  /// The gradients of the weights and, if requested, of the bias.
  static func weightGradient(_ s: ConvolutionShape, _ x: Value, _ g: Value, bias: Bool) throws -> (
    Value, Value?
  ) {
    let dw = try Value.allocate([s.outputs, s.inputs / s.groups, s.kh, s.kw], x.dtype)
    let db = bias ? try Value.allocate([s.outputs], x.dtype) : nil
    guard let algorithm = algorithm(s, x.dtype) else {
      let (x, g) = (try x.contiguous(), try g.contiguous())
      if x.dtype == .f64 {
        ReferenceConvolution.weightGradient(
          s, x: try x.memory(Double.self), g: try g.memory(Double.self),
          dw: try dw.memory(Double.self), db: try db?.memory(Double.self))
      } else {
        ReferenceConvolution.weightGradient(
          s, x: try x.memory(Float.self), g: try g.memory(Float.self),
          dw: try dw.memory(Float.self), db: try db?.memory(Float.self))
      }
      return (dw, db)
    }
    Convolution.weightGradient(
      s, by: algorithm, try operand(x, algorithm), try operand(g, algorithm),
      dw: try dw.memory(Float.self), db: try db?.memory(Float.self))
    return (dw, db)
  }
}
