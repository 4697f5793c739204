import LuaBridge
import Support
import Tensors

/// One number for all axes of a convolution, or one for each: { y, x }, for frames { d, y, x }.
struct PerAxis: LuaArgument, LuaOptionText {
  var list: [Int]

  init(_ number: Int) { list = [number] }

  static var luaTypeName: String { "integer or table" }
  var luaOptionText: String { list.map(String.init).joined(separator: ", ") }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> PerAxis {
    guard L.type(at: index) == .table else {
      guard L.type(at: index) == .number else {
        throw LuaTypeMismatch(expected: "number or table of numbers")
      }
      return PerAxis(try Int.read(L, at: index))
    }
    var axes = PerAxis(0)
    axes.list = try [Int].read(L, at: index)
    guard (2...3).contains(axes.list.count) else {
      throw LuaTypeMismatch("expected a number for each axis, got \(axes.list.count)")
    }
    return axes
  }
}

/// Padding for each axis, or "same".
struct AxisPadding: LuaArgument, LuaOptionText {
  var padding: ConvolutionGeometry.Padding

  static var luaTypeName: String { "integer or table or string" }
  var luaOptionText: String {
    switch padding {
    case .same: "\"same\""
    case .sides(let list): list.map(String.init).joined(separator: ", ")
    }
  }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> AxisPadding {
    if L.type(at: index) == .string {
      let text = L.string(at: index) ?? ""
      guard text == "same" else {
        throw LuaTypeMismatch("expected numbers or \"same\", got '\(text)'")
      }
      return AxisPadding(padding: .same)
    }
    return AxisPadding(padding: .sides(try PerAxis.read(L, at: index).list))
  }
}

/// Convolutions of images and of frames.
enum ConvolutionModule {
  private struct Options: LuaOptions {
    var stride = PerAxis(1)
    var padding = AxisPadding(padding: .sides([0]))
    var dilation = PerAxis(1)
    var groups = 1
    static var luaFields: [LuaField<Options>] {
      [
        LuaField("stride", \.stride, doc: "step between outputs"),
        LuaField(
          "padding", \.padding, doc: "zeros on both sides; \"same\" keeps the size at stride 1"),
        LuaField("dilation", \.dilation, doc: "step between the kernel's taps"),
        LuaField("groups", \.groups, doc: "groups of channels, each convolved separately"),
      ]
    }
    var geometry: ConvolutionGeometry {
      .init(
        stride: stride.list, padding: padding.padding, dilation: dilation.list, groups: groups)
    }
  }

  private struct Transposed: LuaOptions {
    var stride = PerAxis(1)
    var padding = PerAxis(0)
    var outputPadding = PerAxis(0)
    var dilation = PerAxis(1)
    var groups = 1
    static var luaFields: [LuaField<Transposed>] {
      [
        LuaField("stride", \.stride, doc: "step between the outputs of neighbouring inputs"),
        LuaField("padding", \.padding, doc: "rows and columns cut from every side"),
        LuaField(
          "output_padding", \.outputPadding, doc: "additional rows and columns after the last"),
        LuaField("dilation", \.dilation, doc: "step between the kernel's taps"),
        LuaField("groups", \.groups, doc: "groups of channels, each convolved separately"),
      ]
    }
    var geometry: ConvolutionGeometry {
      .init(
        stride: stride.list, padding: .sides(padding.list), dilation: dilation.list,
        groups: groups)
    }
  }

  static func define(_ s: TensorSurface) {
    s.pure(
      "conv2d", params: ["weight", "bias", "options"],
      doc: """
        The convolution of (n, inputs, h, w) with weight (outputs, inputs/groups, kh, kw).
        Unlike PyTorch, the bias may be nil. Stride, padding and dilation are a number or { y, x }.
        The result is computed when it is first read.

            local y = lv.conv2d(x, weight, bias, { stride = 2, padding = 1 })
            local z = x:conv2d(weight, nil, { stride = { 2, 1 }, padding = { 1, 0 }, dilation = 2 })
        """
    ) { (x: Tensor, w: Tensor, b: Tensor?, o: Options) in try x.conv2d(w, b, o.geometry) }
    s.pure(
      "conv_transpose2d", params: ["weight", "bias", "options"],
      doc: """
        The transposed convolution of (n, inputs, h, w) with weight (inputs, outputs/groups, kh, kw).
        Unlike PyTorch, the bias may be nil. It is the data gradient of conv2d: every pixel
        adds the kernel times itself to the result, whose height is
        (h − 1)·stride − 2·padding + dilation·(kh − 1) + output_padding + 1. Options are a number or
        { y, x }; output_padding is less than stride or dilation.

            local twice = x:conv_transpose2d(weight, bias, { stride = 2, padding = 1 })   -- 4×4
        """
    ) { (x: Tensor, w: Tensor, b: Tensor?, o: Transposed) in
      try x.convTranspose2d(w, b, o.geometry, outputPadding: o.outputPadding.list)
    }
    s.pure(
      "conv3d", params: ["weight", "bias", "options"],
      doc: """
        The convolution of (n, inputs, d, h, w) with weight (outputs, inputs/groups, kd, kh, kw).
        Unlike PyTorch, the bias may be nil. Stride, padding and dilation are a number or
        { d, y, x }.

            local y = frames:conv3d(weight, bias, { padding = 1 })
            local z = frames:conv3d(weight, nil, { stride = { 1, 2, 2 }, padding = { 0, 1, 1 } })
        """
    ) { (x: Tensor, w: Tensor, b: Tensor?, o: Options) in try x.conv3d(w, b, o.geometry) }
  }
}
