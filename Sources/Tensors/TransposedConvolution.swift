import Kernels
import Support

extension Tensor {
  /// The transposed convolution of (N, I, H, W) with w (I, O/groups, kh, kw): the data gradient of
  /// the convolution with these weights, plus the bias.
  /// - Parameter outputPadding: additional rows and columns after the last, to select one of the
  ///   sizes that the stride maps to the input's.
  public func convTranspose2d(
    _ w: Tensor, _ b: Tensor?, _ geometry: ConvolutionGeometry = .init(),
    outputPadding: [Int] = [0]
  ) throws -> Tensor {
    let name = "conv_transpose2d"
    let (xv, wv, bv) = (value, w.value, b?.value)
    let s = try ConvolutionShape.transposed(
      name, x: xv, w: wv, b: bv, geometry, outputPadding: outputPadding)
    try Work.charge(xv.count, wv.shape[1], s.kh, s.kw)
    let origin = Session.current.profiler?.origin(name) ?? .init()
    func measured<R>(_ part: String?, _ body: () throws -> R) rethrows -> R {
      guard let profiler = Session.current.profiler else { return try body() }
      profiler.begin(
        origin, as: part, backward: part != nil, counting: .nothing, flops: s.flops)
      defer { profiler.end() }
      return try body()
    }
    let y = try measured(nil) { try ConvolutionProducts.dataGradient(s, xv, wv, bias: bv) }
    let (needX, needW) = (node >= 0, w.node >= 0)
    let needB = b.map { $0.node >= 0 } ?? false
    return Tensor.result(y, of: [self, w] + (b.map { [$0] } ?? [])) { g in
      if needX, needW { try g.settled() }
      let dx =
        needX
        ? try measured("conv_transpose2d data gradient") {
          try ConvolutionProducts.forward(s, g, wv, bias: nil)
        } : nil
      let dw =
        needW
        ? try measured("conv_transpose2d weight gradient") {
          try ConvolutionProducts.weightGradient(s, g, xv, bias: false).0
        } : nil
      let db = needB ? try g.summed(to: [1, s.inputs, 1, 1]).reinterpreted(shape: [s.inputs]) : nil
      return bv == nil ? [dx, dw] : [dx, dw, db]
    }
  }
}

extension ConvolutionShape {
  /// The convolution whose data gradient maps x to the result of a transposed convolution.
  fileprivate static func transposed(
    _ name: String, x: Value, w: Value, b: Value?, _ geometry: ConvolutionGeometry,
    outputPadding: [Int]
  ) throws -> ConvolutionShape {
    func fail(_ text: String) -> LunervError { LunervError(.argument, "\(name): " + text) }
    try ConvolutionOperands.check(
      name, x: x, w: w, b: b, sizes: "N, C, H, W", kernel: "kh, kw", inner: "I, O/groups")
    let kernel = Array(w.shape.suffix(2))
    if case .same = geometry.padding { throw fail("padding: expected numbers, got \"same\"") }
    let axes = try geometry.axes(kernel, name)
    let groups = geometry.groups
    guard w.shape[0] == x.shape[1] else {
      throw fail(
        "weight \(Shape.describe(w.shape)) expects \(w.shape[0]) input channels, x has \(x.shape[1])"
      )
    }
    guard w.shape[0] % groups == 0 else {
      throw fail("groups: expected a divisor of \(w.shape[0]) input channels, got \(groups)")
    }
    let (outputs, overflow) = w.shape[1].multipliedReportingOverflow(by: groups)
    guard !overflow, x.shape[0] >= 1, x.shape[1] >= 1, x.shape[2] >= 1, x.shape[3] >= 1,
      outputs >= 1, kernel[0] >= 1, kernel[1] >= 1
    else {
      throw fail(
        "expected an image and a kernel with elements, got \(Shape.describe(x.shape)) and \(Shape.describe(w.shape))"
      )
    }
    try ConvolutionOperands.checkBias(name, b, channels: outputs)
    let more = outputPadding.count == 1 ? outputPadding + outputPadding : outputPadding
    guard more.count == 2 else {
      throw fail("output_padding: expected one number or { y, x }, got \(more.count) numbers")
    }
    var size = [0, 0]
    for (i, axis) in axes.enumerated() {
      guard more[i] >= 0, more[i] < max(axis.stride, axis.dilation) else {
        throw fail(
          "output_padding: expected 0 to less than stride or dilation, got \(more[i])")
      }
      let (steps, overflow) = (x.shape[2 + i] - 1).multipliedReportingOverflow(by: axis.stride)
      guard !overflow, steps < 1 << 48 else { throw fail("the result is too large") }
      size[i] = steps - 2 * axis.before + axis.dilation * (kernel[i] - 1) + more[i] + 1
      guard size[i] >= 1 else {
        throw fail(
          "a kernel of \(kernel[i]) with padding \(axis.before) gives an empty result for size "
            + "\(x.shape[2 + i])"
        )
      }
    }
    _ = try Shape.checked([x.shape[0], outputs, size[0], size[1]])
    var s = ConvolutionShape(
      n: x.shape[0], inputs: outputs, height: size[0], width: size[1], outputs: x.shape[1],
      kh: kernel[0], kw: kernel[1], stride: 1, padY: axes[0].before, padX: axes[1].before,
      groups: groups)
    (s.strideY, s.strideX) = (axes[0].stride, axes[1].stride)
    (s.dilationY, s.dilationX) = (axes[0].dilation, axes[1].dilation)
    (s.padEndY, s.padEndX) = (s.padY - more[0], s.padX - more[1])
    return s
  }
}
