import Kernels
import Support

/// A checked but pending convolution. Its reader may still request that the result be
/// pixel-shuffled or activated, which costs little in the epilogue.
struct ConvolutionCall {
  var shape: ConvolutionShape
  var x: Value
  var w: Value
  var b: Value?
  /// PixelShuffle factor of the result, 1 for none.
  var shuffle = 1
  /// The activation of each value, see ``activated(by:_:)``.
  var activation: PointwiseOperator?
  /// Whether gradients may need the operands and the result itself.
  var recorded = true
  /// Whether to cache the transformed weights, which will serve other inputs.
  var keepsWeights = false
  /// The depth: this one and the pending ones below it.
  var nesting = 1
  /// The record that it is charged to, under the profiler.
  var origin = Profiler.Origin()

  static func checked(
    x: Value, w: Value, b: Value?, _ geometry: ConvolutionGeometry, recorded: Bool
  ) throws -> ConvolutionCall {
    try ConvolutionOperands.check(
      "conv2d", x: x, w: w, b: b, sizes: "N, C, H, W", kernel: "kh, kw", inner: "O, I/groups")
    let kernel = Array(w.shape.suffix(2))
    let axes = try geometry.axes(kernel, "conv2d")
    try ConvolutionOperands.checkChannels("conv2d", x: x, w: w, b: b, groups: geometry.groups)
    let s = try ConvolutionShape.checked(
      "conv2d", n: x.shape[0], inputs: x.shape[1], height: x.shape[2], width: x.shape[3],
      outputs: w.shape[0], kernel: kernel, axes, groups: geometry.groups)
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
    ConvolutionProducts.algorithm(shape, x.dtype)
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
    try ConvolutionProducts.checkRoom(shape)
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
    let source = try ConvolutionProducts.operand(x, algorithm)
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

  /// This call with `op` applied while `result` is written; nil if the algorithm cannot.
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
    try measured("conv2d data gradient") {
      try ConvolutionProducts.dataGradient(shape, g, w, bias: nil)
    }
  }

  /// The gradients of the weights and of the bias, if there is one.
  func weightGradient(_ g: Value) throws -> (Value, Value?) {
    try measured("conv2d weight gradient") {
      try ConvolutionProducts.weightGradient(shape, x, g, bias: b != nil)
    }
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

  /// This f32 image as a convolution reads it: computed on the fly if that takes less memory
  /// traffic than storing it first.
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

  /// Stores an image that a convolution would otherwise compute each time it reads it.
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
        "pixel_shuffle: expected (N, C, H, W) with C divisible by \(s)² = \(s &* s), got "
          + Shape.describe(shape))
    }
    if s == 1 { return self }
    if case .convolution(var call) = state, call.shuffle == 1, dtype == .f32,
      call.shape.groups == 1
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
        .argument,
        "pixel_unshuffle: expected (N, C, H, W) with H and W divisible by \(s), got "
          + Shape.describe(shape))
    }
    if s == 1 { return self }
    try Work.charge(Work.call)
    let out = try Shape.checked([
      shape[0], Shape.product(shape[1], s, s), shape[2] / s, shape[3] / s,
    ])
    let layout = Value.imageLayout(channels: out[1], dtype: dtype)
    // An empty image can be divided any number of times: pending values would form a long chain.
    if count == 0 { return try Value.allocate(out, dtype, layout) }
    try keepShallow()
    readers += 1
    return Value(shape: out, dtype: dtype, layout: layout, state: .unshuffled(self, s))
  }

  fileprivate func shuffledCopy(_ s: Int) throws -> Value {
    let (n, c, h, w) = (shape[0], shape[1] / (s * s), shape[2], shape[3])
    let out = try Value.allocate(
      [n, c, Shape.product(h, s), Shape.product(w, s)], dtype,
      Value.imageLayout(channels: c, dtype: dtype))
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

  /// Copies into `out` with any strides, after zeroing the padding lanes of `out`.
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
