import Kernels
import Support

/// A convolution that has been checked but not computed: its reader may still ask for the
/// result pixel-shuffled or activated, which costs little when done in the epilogue.
struct ConvolutionCall {
  var shape: ConvolutionShape
  var x: Value
  var w: Value
  var b: Value?
  /// PixelShuffle factor of the result, 1 for none.
  var shuffle = 1
  /// What becomes of each value, see ``activated(by:_:)``.
  var activation: PointwiseOperator?
  /// Gradients may ask for the operands and for the result itself.
  var recorded = true
  /// Keep what the algorithm makes of the weights: they will serve other inputs.
  var keepsWeights = false
  /// This one and the pending ones below it.
  var nesting = 1
  /// Who asked for it, while somebody measures.
  var origin = Profiler.Origin()

  static func checked(
    x: Value, w: Value, b: Value?, stride: Int, padding: Int, groups: Int, recorded: Bool
  ) throws -> ConvolutionCall {
    func fail(_ text: String) -> LunervError { LunervError(.argument, "conv2d: " + text) }
    guard x.shape.count == 4 else {
      throw fail("x must have 4 dimensions (N, C, H, W), got \(Shape.describe(x.shape))")
    }
    guard w.shape.count == 4 else {
      throw fail(
        "weight must have 4 dimensions (O, I/groups, kh, kw), got \(Shape.describe(w.shape))")
    }
    guard x.isFloating, x.dtype == w.dtype, b == nil || b?.dtype == x.dtype else {
      throw fail("x, weight and bias must all be f32 or all f64")
    }
    guard stride >= 1, padding >= 0, groups >= 1 else {
      throw fail(
        "expected stride and groups of at least 1 and padding of at least 0, got \(stride), \(groups) and \(padding)"
      )
    }
    guard x.shape[1] % groups == 0, w.shape[0] % groups == 0, w.shape[1] == x.shape[1] / groups
    else {
      throw fail(
        "weight \(Shape.describe(w.shape)) wants \(w.shape[1] &* groups) input channels in \(groups) group(s), x has \(x.shape[1])"
      )
    }
    if let b, b.shape != [w.shape[0]] {
      throw fail("bias must have shape (\(w.shape[0])), got \(Shape.describe(b.shape))")
    }
    let s = ConvolutionShape(
      n: x.shape[0], inputs: x.shape[1], height: x.shape[2], width: x.shape[3],
      outputs: w.shape[0], kh: w.shape[2], kw: w.shape[3], stride: stride, padY: padding,
      padX: padding, groups: groups)
    guard s.kh >= 1, s.kw >= 1, s.n >= 1, s.inputs >= 1, s.outputs >= 1,
      padding <= 1 << 20, stride <= 1 << 20, s.height + 2 * padding >= s.kh,
      s.width + 2 * padding >= s.kw
    else {
      throw fail(
        "a \(s.kh)×\(s.kw) kernel does not fit \(s.height)×\(s.width) with padding \(padding)")
    }
    x.readers += 1
    return ConvolutionCall(
      shape: s, x: x, w: w, b: b, recorded: recorded, keepsWeights: !recorded && w.isStored,
      nesting: try Value.nesting(over: [x, w] + (b.map { [$0] } ?? [])),
      origin: Session.current.profiler?.origin("conv2d") ?? .init())
  }

  /// Runs `body`, which does the arithmetic of this convolution once.
  private func measured<R>(_ part: String?, _ body: () throws -> R) rethrows -> R {
    guard let profiler = Session.current.profiler else { return try body() }
    profiler.begin(
      origin, as: part, backward: part != nil, counting: .nothing, flops: shape.flops)
    defer { profiler.end() }
    return try body()
  }

  private var algorithm: ConvolutionAlgorithm? {
    x.dtype == .f32 ? Convolution.algorithm(for: shape) : nil
  }

  /// An operand as the algorithm can read it. Depthwise convolution wants the channels of
  /// both sides in the same lanes, so no view as PixelShuffle left it.
  private func operand(_ v: Value) throws -> ImageOperand {
    if algorithm == .depthwise, case .unshuffled = v.state { try v.materialise() }
    return try v.image()
  }

  /// The pending result.
  func value() throws -> Value {
    let (s, r) = (shape, shuffle)
    let out = try Shape.checked([
      s.n, s.outputs / (r * r), s.outHeight * r, s.outWidth * r,
    ])
    return Value(
      shape: out, dtype: x.dtype, layout: Value.imageLayout(channels: out[1], dtype: x.dtype),
      state: .convolution(self))
  }

  func run(shape out: [Int], layout: Layout) throws -> Value {
    try measured(nil) { try compute(shape: out, layout: layout) }
  }

  private func compute(shape out: [Int], layout: Layout) throws -> Value {
    try Work.charge(Shape.count(out), shape.inputs / shape.groups, shape.kh, shape.kw)
    let result = try Value.allocate(out, x.dtype, layout)
    let w = try self.w.contiguous()
    let b = try self.b?.contiguous()
    guard let algorithm else {
      guard shuffle == 1 else {
        var plain = self
        plain.shuffle = 1
        let pending = try plain.value()
        return try plain.compute(shape: pending.shape, layout: pending.layout)
          .shuffledCopy(shuffle)
      }
      let x = try self.x.contiguous()
      let target = layout == .contiguous ? result : try Value.allocate(out, x.dtype)
      if x.dtype == .f64 {
        ReferenceConvolution.forward(
          shape, x: try x.memory(Double.self), w: try w.memory(Double.self),
          b: try b?.memory(Double.self), y: try target.memory(Double.self))
      } else {
        ReferenceConvolution.forward(
          shape, x: try x.memory(Float.self), w: try w.memory(Float.self),
          b: try b?.memory(Float.self), y: try target.memory(Float.self))
      }
      return try target.converted(to: layout)
    }
    let source = try operand(x)
    try Session.current.betweenKernels?()
    let target = result.imageLayout(shuffle: shuffle)
    if !keepsWeights {
      w.prepared = nil
    } else if w.prepared?.serves(
      shape, by: algorithm, input: source.layout, output: target) != true
    {
      w.prepared = Convolution.prepare(
        shape, by: algorithm, w: try w.memory(Float.self), input: source.layout, output: target)
    }
    Convolution.forward(
      shape, by: algorithm, source, w: try w.memory(Float.self),
      b: try b?.memory(Float.self), prepared: w.prepared,
      ImageTarget(target, try result.memory(Float.self), activation: activation))
    return result
  }

  /// This call with `op` applied to its `result` while that is written; nil where the algorithm
  /// cannot.
  func activated(by op: PointwiseOperator, _ result: Value) -> ConvolutionCall? {
    guard activation == nil, let algorithm,
      Convolution.applies(
        op, by: algorithm, kernel: shape.kh, to: result.imageLayout(shuffle: shuffle))
    else { return nil }
    var call = self
    call.activation = op
    return call
  }

  /// The gradient of x from that of the (unshuffled) result.
  func dataGradient(_ g: Value) throws -> Value {
    try measured("conv2d, by input") { try computeDataGradient(g) }
  }

  private func computeDataGradient(_ g: Value) throws -> Value {
    let w = try self.w.contiguous()
    guard let algorithm else {
      let g = try g.contiguous()
      let dx = try Value.allocate(x.shape, x.dtype)
      if x.dtype == .f64 {
        ReferenceConvolution.dataGradient(
          shape, g: try g.memory(Double.self), w: try w.memory(Double.self),
          dx: try dx.memory(Double.self))
      } else {
        ReferenceConvolution.dataGradient(
          shape, g: try g.memory(Float.self), w: try w.memory(Float.self),
          dx: try dx.memory(Float.self))
      }
      return dx
    }
    let layout = Value.imageLayout(channels: x.shape[1], dtype: x.dtype)
    let dx = try Value.allocate(x.shape, x.dtype, layout)
    Convolution.dataGradient(
      shape, by: algorithm, try operand(g), w: try w.memory(Float.self),
      ImageTarget(dx.imageLayout(shuffle: 1), try dx.memory(Float.self)))
    return dx
  }

  /// The gradients of the weights and, when there is one, of the bias.
  func weightGradient(_ g: Value) throws -> (Value, Value?) {
    try measured("conv2d, by weight") { try computeWeightGradient(g) }
  }

  private func computeWeightGradient(_ g: Value) throws -> (Value, Value?) {
    let dw = try Value.allocate(w.shape, w.dtype)
    let db = try b.map { try Value.allocate($0.shape, $0.dtype) }
    guard let algorithm else {
      let (x, g) = (try x.contiguous(), try g.contiguous())
      if x.dtype == .f64 {
        ReferenceConvolution.weightGradient(
          shape, x: try x.memory(Double.self), g: try g.memory(Double.self),
          dw: try dw.memory(Double.self), db: try db?.memory(Double.self))
      } else {
        ReferenceConvolution.weightGradient(
          shape, x: try x.memory(Float.self), g: try g.memory(Float.self),
          dw: try dw.memory(Float.self), db: try db?.memory(Float.self))
      }
      return (dw, db)
    }
    Convolution.weightGradient(
      shape, by: algorithm, try operand(x), try operand(g), dw: try dw.memory(Float.self),
      db: try db?.memory(Float.self))
    return (dw, db)
  }
}

extension Value {
  /// Feature maps are channels-last; frames and reconstructions stay planar.
  static func imageLayout(channels: Int, dtype: DType) -> Layout {
    dtype == .f32 && channels > 4 ? .channelsLast : .contiguous
  }

  func imageLayout(shuffle: Int) -> ImageLayout {
    ImageLayout(
      n: shape[0], channels: shape[1], height: shape[2], width: shape[3],
      planar: layout == .contiguous, shuffle: shuffle)
  }

  /// This f32 image as a convolution reads it: computed on the way when that costs less
  /// memory traffic than storing it first.
  func image() throws -> ImageOperand {
    try absorb()
    switch state {
    case .unshuffled(let source, let s):
      var operand = try source.image()
      guard operand.layout.shuffle == 1 else { break }
      operand.layout.shuffle = s
      return operand
    case .pointwise where fullLeaves.count <= 3:
      return ImageOperand(imageLayout(shuffle: 1), .program(try program(of: Float.self)))
    default: break
    }
    return ImageOperand(imageLayout(shuffle: 1), .memory(try memory(Float.self)))
  }

  /// Stores what a convolution would otherwise compute each time it reads this image.
  func settled() throws {
    if case .unshuffled(let source, _) = state {
      try source.materialise()
    } else {
      try materialise()
    }
  }

  /// PixelShuffle(s): channel c·s²+a·s+b goes to channel c at (row offset a, column offset b).
  func pixelShuffled(_ s: Int) throws -> Value {
    guard shape.count == 4, s >= 1, s < 1 << 15, shape[1] % (s * s) == 0 else {
      throw LunervError(
        .argument,
        "pixel_shuffle: \(Shape.describe(shape)) has no channels in groups of \(s)² = \(s &* s)")
    }
    if s == 1 { return self }
    if case .convolution(var call) = state, call.shuffle == 1, dtype == .f32,
      Convolution.algorithm(for: call.shape) != .depthwise
    {
      call.shuffle = s
      return try call.value()
    }
    return try shuffledCopy(s)
  }

  /// The inverse of ``pixelShuffled(_:)``, pending.
  func pixelUnshuffled(_ s: Int) throws -> Value {
    guard shape.count == 4, s >= 1, s < 1 << 15, shape[2] % s == 0, shape[3] % s == 0 else {
      throw LunervError(
        .argument, "pixel_unshuffle: \(Shape.describe(shape)) is not divisible by \(s) in space")
    }
    if s == 1 { return self }
    readers += 1
    let out = [shape[0], shape[1] * s * s, shape[2] / s, shape[3] / s]
    return Value(
      shape: try Shape.checked(out), dtype: dtype,
      layout: Value.imageLayout(channels: out[1], dtype: dtype), state: .unshuffled(self, s))
  }

  fileprivate func shuffledCopy(_ s: Int) throws -> Value {
    let (n, c, h, w) = (shape[0], shape[1] / (s * s), shape[2], shape[3])
    let out = try Value.allocate(
      [n, c, h * s, w * s], dtype, Value.imageLayout(channels: c, dtype: dtype))
    let (from, to) = (strides, out.strides)
    try rearrange(
      out, sizes: [n, h, s, w, s, c],
      from: [from[0], from[2], s * from[1], from[3], from[1], s * s * from[1]],
      to: [to[0], s * to[2], to[2], s * to[3], to[3], to[1]])
    return out
  }

  func unshuffledCopy(_ s: Int) throws -> Value {
    let (n, c, h, w) = (shape[0], shape[1], shape[2] / s, shape[3] / s)
    let out = try Value.allocate(
      [n, c * s * s, h, w], dtype, Value.imageLayout(channels: c * s * s, dtype: dtype))
    let (from, to) = (strides, out.strides)
    try rearrange(
      out, sizes: [n, h, s, w, s, c],
      from: [from[0], s * from[2], from[2], s * from[3], from[3], from[1]],
      to: [to[0], to[2], s * to[1], to[3], to[1], s * s * to[1]])
    return out
  }

  /// Copies into `out` with any strides; padding lanes of `out` are zeroed first.
  func rearrange(_ out: Value, sizes: [Int], from: [Int], to: [Int]) throws {
    func go<T>(_ type: T.Type) throws {
      let target = try out.memory(T.self)
      if out.layout == .channelsLast, out.lanes != out.shape[1] {
        UnsafeMutableRawPointer(target).initializeMemory(
          as: UInt8.self, repeating: 0, count: out.physicalCount * dtype.size)
      }
      stridedCopy(
        sizes: sizes, from: try memory(T.self), strides: from, to: target, strides: to)
    }
    try withType(dtype) { try go($0) }
  }
}
