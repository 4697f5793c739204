import Kernels
import Support

extension Tensor {
  /// Convolution of (N, I, D, H, W) with w (O, I/groups, kd, kh, kw).
  ///
  /// Each slice of the result is a 2-D convolution of its input slices, concatenated as channels.
  /// Working memory is that of a few slices.
  public func conv3d(_ w: Tensor, _ b: Tensor?, _ geometry: ConvolutionGeometry = .init()) throws
    -> Tensor
  {
    let (xv, wv, bv) = (value, w.value, b?.value)
    let call = try Convolution3D(x: xv, w: wv, b: bv, geometry)
    let y = try call.forward(xv, wv, bv)
    let (needX, needW) = (node >= 0, w.node >= 0)
    let needB = b.map { $0.node >= 0 } ?? false
    return Tensor.result(y, of: [self, w] + (b.map { [$0] } ?? [])) { g in
      let dx = needX ? try call.dataGradient(g, wv) : nil
      let (dw, db) =
        needW || needB ? try call.weightGradient(xv, g, bias: bv != nil) : (nil, nil)
      return bv == nil ? [dx, dw] : [dx, dw, db]
    }
  }
}

/// A checked convolution over frames, rows and columns.
private struct Convolution3D {
  /// The convolution of one slice: kd · inputs channels.
  private let slice: ConvolutionShape
  private let stack: DepthStack
  private let x: [Int], w: [Int], y: [Int]
  private let origin: Profiler.Origin

  init(x: Value, w: Value, b: Value?, _ geometry: ConvolutionGeometry) throws {
    try ConvolutionOperands.check(
      "conv3d", x: x, w: w, b: b, sizes: "N, C, D, H, W", kernel: "kd, kh, kw",
      inner: "O, I/groups")
    let kernel = Array(w.shape.suffix(3))
    let axes = try geometry.axes(kernel, "conv3d")
    try ConvolutionOperands.checkChannels("conv3d", x: x, w: w, b: b, groups: geometry.groups)
    let depth = axes[0]
    let span = depth.dilation * (kernel[0] - 1) + 1
    guard kernel[0] >= 1, x.shape[2] + depth.before + depth.after >= span else {
      throw LunervError(
        .argument,
        "conv3d: a kernel of \(kernel[0]) frames does not fit \(x.shape[2]) with padding \(depth.before) and dilation \(depth.dilation)"
      )
    }
    let (channels, overflow) = x.shape[1].multipliedReportingOverflow(by: kernel[0])
    guard !overflow, channels < 1 << 32 else {
      throw LunervError(.memory, "conv3d: a kernel of \(Shape.describe(w.shape)) is too large")
    }
    slice = try ConvolutionShape.checked(
      "conv3d", n: 1, inputs: channels, height: x.shape[3], width: x.shape[4],
      outputs: w.shape[0], kernel: Array(kernel.dropFirst()), Array(axes.dropFirst()),
      groups: geometry.groups)
    guard x.shape[0] >= 1, x.shape[2] >= 1 else {
      throw LunervError(
        .argument, "conv3d: expected frames with elements, got \(Shape.describe(x.shape))")
    }
    let frames = (x.shape[2] + depth.before + depth.after - span) / depth.stride + 1
    (self.x, self.w) = (x.shape, w.shape)
    y = try Shape.checked([x.shape[0], w.shape[0], frames, slice.outHeight, slice.outWidth])
    stack = DepthStack(
      channels: x.shape[1], groups: geometry.groups, depth: x.shape[2],
      height: x.shape[3], width: x.shape[4], outDepth: frames, taps: kernel[0],
      stride: depth.stride, dilation: depth.dilation, padding: depth.before)
    origin = Session.current.profiler?.origin("conv3d") ?? .init()
  }

  /// The stack of the result: its slices unchanged, one per image.
  private var results: DepthStack {
    DepthStack(
      channels: y[1], groups: 1, depth: y[2], height: y[3], width: y[4], outDepth: y[2], taps: 1,
      stride: 1, dilation: 1, padding: 0)
  }

  private func measured<R>(_ part: String?, _ body: () throws -> R) rethrows -> R {
    guard let profiler = Session.current.profiler else { return try body() }
    profiler.begin(
      origin, as: part, backward: part != nil, counting: .nothing,
      flops: slice.flops * Double(y[0] * y[2]))
    defer { profiler.end() }
    return try body()
  }

  /// Calls `body` with slices of the result, in groups that fit into a few megabytes.
  private func forEachChunk(_ body: (Range<Int>, ConvolutionShape) throws -> Void) throws {
    let slices = y[0] * y[2]
    let size = max(try Shape.product(slice.inputs, x[3], x[4]), y[1] * y[3] * y[4], 1)
    let step = max(1, min(slices, (1 << 22) / size))
    for first in stride(from: 0, to: slices, by: step) {
      var shape = slice
      shape.n = min(step, slices - first)
      try body(first..<first + shape.n, shape)
    }
  }

  /// Slices of `source` as images, with their taps as channels.
  private func stacked(_ source: Value, _ range: Range<Int>, _ stack: DepthStack) throws -> Value {
    let channels = stack.channels * stack.taps
    let layout = Value.imageLayout(channels: channels, dtype: source.dtype)
    let out = try Value.allocate(
      [range.count, channels, stack.height, stack.width], source.dtype, layout)
    let lanes = layout == .channelsLast ? out.lanes : nil
    if source.dtype == .f32 {
      stack.gather(try source.memory(Float.self), range, lanes: lanes, try out.memory(Float.self))
    } else {
      stack.gather(try source.memory(Double.self), range, lanes: lanes, try out.memory(Double.self))
    }
    return out
  }

  /// Adds such images back to their slices.
  private func unstack(
    _ images: Value, _ range: Range<Int>, _ stack: DepthStack, into target: Value
  ) throws {
    let lanes = images.layout == .channelsLast ? images.lanes : nil
    if target.dtype == .f32 {
      stack.scatter(
        try images.memory(Float.self), range, lanes: lanes, addedTo: try target.memory(Float.self))
    } else {
      stack.scatter(
        try images.memory(Double.self), range, lanes: lanes,
        addedTo: try target.memory(Double.self))
    }
  }

  /// Weights (O, I/groups, kd, kh, kw) as (O, kd · I/groups, kh, kw).
  private func flattened(_ weights: Value) throws -> Value {
    try weights.permuted([0, 2, 1, 3, 4]).reinterpreted(
      shape: [w[0], w[2] * w[1], w[3], w[4]])
  }

  func forward(_ x: Value, _ w: Value, _ b: Value?) throws -> Value {
    try Work.charge(Shape.count(y), slice.inputs / slice.groups, slice.kh, slice.kw)
    // Slices are copied, even if the stride skips some.
    try Work.charge(y[0] * y[2], slice.inputs, x.shape[3], x.shape[4])
    return try measured(nil) {
      let x = try x.contiguous(), weights = try flattened(w)
      let out = try Value.zeros(y, x.dtype)
      try forEachChunk { range, shape in
        let images = try stacked(x, range, stack)
        let product = try ConvolutionProducts.forward(shape, images, weights, bias: b)
        try unstack(product, range, results, into: out)
      }
      return out
    }
  }

  func dataGradient(_ g: Value, _ w: Value) throws -> Value {
    try measured("conv3d data gradient") {
      let g = try g.contiguous(), weights = try flattened(w)
      let dx = try Value.zeros(x, g.dtype)
      try forEachChunk { range, shape in
        let images = try ConvolutionProducts.dataGradient(
          shape, try stacked(g, range, results), weights, bias: nil)
        try unstack(images, range, stack, into: dx)
      }
      return dx
    }
  }

  func weightGradient(_ x: Value, _ g: Value, bias: Bool) throws -> (Value, Value?) {
    try measured("conv3d weight gradient") {
      let (x, g) = (try x.contiguous(), try g.contiguous())
      var sum: (w: Value, b: Value?)?
      try forEachChunk { range, shape in
        let part = try ConvolutionProducts.weightGradient(
          shape, try stacked(x, range, stack), try stacked(g, range, results), bias: bias)
        guard let before = sum else {
          sum = part
          return
        }
        sum = (try before.w.plus(part.0), try before.b.flatMap { b in try part.1.map(b.plus) })
      }
      guard let sum else { return (try Value.zeros(w, g.dtype), nil) }
      let dw = try sum.w.reinterpreted(shape: [w[0], w[2], w[1], w[3], w[4]])
      return (try dw.permuted([0, 2, 1, 3, 4]), sum.b)
    }
  }
}

extension Value {
  fileprivate func plus(_ other: Value) throws -> Value {
    let sum = try Value.pointwise(.add, [self, other])
    try sum.materialise()
    return sum
  }
}
