import LuaBridge
import Support
import Tensors

/// Maps read at other coordinates: samples, resizing, pooling and padding.
enum SamplingModule {
  /// One number for all axes, or a list with one for each.
  private struct Scales: LuaArgument {
    var list: [Double]
    static var luaTypeName: String { "number or table" }
    static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Scales {
      if L.type(at: index) == .table { return Scales(list: try [Double].read(L, at: index)) }
      return Scales(list: [try Double.read(L, at: index)])
    }
  }

  private struct Sample: LuaOptions {
    var mode = "bilinear"
    var padding = "zeros"
    var alignCorners = false
    static var luaFields: [LuaField<Sample>] {
      [
        LuaField("mode", \.mode, doc: "'bilinear', between neighbouring elements; or 'nearest'"),
        LuaField(
          "padding", \.padding,
          doc: "outside: 'zeros', or 'border', the outermost elements"),
        LuaField(
          "align_corners", \.alignCorners,
          doc: "whether -1 and 1 are the middles of the outermost elements, not their outer edges"),
      ]
    }
  }

  private struct Resize: LuaOptions {
    var scale: Scales?
    var size: Dimensions?
    var mode = "nearest"
    var alignCorners = false
    var antialias = false
    static var luaFields: [LuaField<Resize>] {
      [
        LuaField("scale", \.scale, doc: "outputs for each input: a number, or one for each axis"),
        LuaField("size", \.size, doc: "the new sizes instead of a scale: a number, or { h, w }"),
        LuaField(
          "mode", \.mode,
          doc: "'nearest'; 'bilinear' and 'bicubic' for images, 'trilinear' for volumes, 'linear'"),
        LuaField(
          "align_corners", \.alignCorners, doc: "whether the outermost elements stay where they are"
        ),
        LuaField(
          "antialias", \.antialias, doc: "whether smaller images are smoothed (bilinear, bicubic)"),
      ]
    }
  }

  private struct MeanPool: LuaOptions {
    var stride: Dimensions?
    var padding = Dimensions(list: [0])
    var ceilMode = false
    var countIncludePad = true
    var divisorOverride: Double?
    static var luaFields: [LuaField<MeanPool>] {
      [
        LuaField("stride", \.stride, doc: "step between windows (the kernel)"),
        LuaField("padding", \.padding, doc: "zeros on each side (0), at most half the kernel"),
        LuaField(
          "ceil_mode", \.ceilMode, doc: "whether windows may reach beyond the last element"),
        LuaField(
          "count_include_pad", \.countIncludePad, doc: "whether those zeros count in the mean"),
        LuaField(
          "divisor_override", \.divisorOverride,
          doc: "divides sums, instead of the number of elements"
        ),
      ]
    }
  }

  private struct MaxPool: LuaOptions {
    var stride: Dimensions?
    var padding = Dimensions(list: [0])
    var dilation = Dimensions(list: [1])
    var ceilMode = false
    static var luaFields: [LuaField<MaxPool>] {
      [
        LuaField("stride", \.stride, doc: "step between windows (the kernel)"),
        LuaField("padding", \.padding, doc: "padding on each side, never the maximum (0)"),
        LuaField("dilation", \.dilation, doc: "step between the elements of a window (1)"),
        LuaField(
          "ceil_mode", \.ceilMode, doc: "whether windows may reach beyond the last element"),
      ]
    }
  }

  static func define(_ s: TensorSurface) {
    samples(s)
    resizing(s)
    pooling(s)
    padding(s)
  }

  /// `given` for each of `count` axes.
  private static func spread<T>(_ given: [T], _ count: Int, _ name: String) throws -> [T] {
    if given.count == 1, let one = given.first { return [T](repeating: one, count: count) }
    guard given.count == count else {
      throw LunervError(
        .argument, "\(name): expected a number or \(count) numbers, got \(given.count)")
    }
    return given
  }

  private static func samples(_ s: TensorSurface) {
    s.pure(
      "grid_sample", params: ["grid", "options"],
      doc: """
        Samples of a map at the coordinates of a grid: (n, c, h, w), (n, H, W, 2) → (n, c, H, W).
        Unlike PyTorch, the option is `padding`, not `padding_mode`. Coordinates are in [-1, 1], x
        before y; a volume (n, c, d, h, w) takes a grid (n, D, H, W, 3). NaN counts as -1. Gradients
        flow to the map and to the grid.

            local warped = lv.grid_sample(frame, grid, { padding = "border" })

        @param grid lunerv.Tensor  where to look, in the type of x
        """
    ) { (x: Tensor, grid: Tensor, o: Sample) -> Tensor in
      let modes: [String: Tensor.SampleMode] = ["bilinear": .bilinear, "nearest": .nearest]
      guard let mode = modes[o.mode] else {
        throw unknown("grid_sample", "mode", o.mode, ["bilinear", "nearest"])
      }
      guard o.padding == "zeros" || o.padding == "border" else {
        throw unknown("grid_sample", "padding", o.padding, ["zeros", "border"])
      }
      return try x.gridSampled(
        grid, mode, border: o.padding == "border", alignCorners: o.alignCorners)
    }
  }

  private static func unknown(_ name: String, _ what: String, _ given: String, _ known: [String])
    -> LunervError
  {
    LunervError(
      .argument,
      "\(name): unknown \(what) '\(given)'\(didYouMean(given, among: known)) "
        + "(known: \(known.joined(separator: ", ")))")
  }

  private static func resizing(_ s: TensorSurface) {
    s.pure(
      "interpolate", params: ["options"],
      doc: """
        A map resized: (n, c, h, w) → (n, c, h', w'); likewise (n, c, w) and (n, c, d, h, w).
        Unlike PyTorch, `scale_factor` is called `scale`, and coordinates are computed with it, not
        with the ratio of the sizes. `antialias` smooths when the map gets smaller, as Pillow does.

            local twice = x:interpolate { scale = 2, mode = "bilinear" }
            local small = x:interpolate { size = { 90, 160 }, mode = "bicubic", antialias = true }
        """
    ) { (x: Tensor, o: Resize) -> Tensor in
      let known = Tensor.InterpolationMode.allCases.map(\.rawValue)
      guard let mode = Tensor.InterpolationMode(rawValue: o.mode) else {
        throw unknown("interpolate", "mode", o.mode, known)
      }
      guard (o.scale == nil) != (o.size == nil) else {
        throw LunervError(
          .argument, "interpolate: expected scale or size, got \(o.scale == nil ? "none" : "both")")
      }
      let axes = max(1, x.shape.count - 2)
      return try x.interpolated(
        mode, size: o.size.map { try spread($0.list, axes, "interpolate: size") },
        scale: o.scale.map { try spread($0.list, axes, "interpolate: scale") },
        alignCorners: o.alignCorners, antialias: o.antialias)
    }
  }

  private static func pooling(_ s: TensorSurface) {
    s.pure(
      "avg_pool2d", params: ["kernel_size", "options"],
      doc: """
        The means of windows: (n, c, h, w) → (n, c, h', w').
        The kernel, and each option, is a number or { for rows, for columns }.

            image:avg_pool2d(2)
            x:avg_pool2d({ 3, 5 }, { stride = 1, padding = { 1, 2 } })
        """
    ) { (x: Tensor, kernel: Dimensions, o: MeanPool) -> Tensor in
      var windows = try windows("avg_pool2d", kernel, o.stride, o.padding)
      windows.ceil = o.ceilMode
      return try x.meanPooled(
        windows, countsPadding: o.countIncludePad, divisor: o.divisorOverride)
    }
    s.pure(
      "max_pool2d", params: ["kernel_size", "options"],
      doc: """
        The largest numbers of windows: (n, c, h, w) → (n, c, h', w').
        The kernel, and each option, is a number or { for rows, for columns }. The gradient goes to
        the first of equals.

            x:max_pool2d(2)
            x:max_pool2d(3, { stride = 2, padding = 1 })
        """
    ) { (x: Tensor, kernel: Dimensions, o: MaxPool) -> Tensor in
      var windows = try windows("max_pool2d", kernel, o.stride, o.padding)
      windows.dilation = try spread(o.dilation.list, 2, "max_pool2d: dilation")
      windows.ceil = o.ceilMode
      return try x.maxPooled(windows)
    }
    s.pure(
      "adaptive_avg_pool2d", params: ["output_size"],
      doc: """
        The means of windows that cover a map evenly: (n, c, h, w) → (n, c, output sizes).
        Unlike PyTorch, both sizes are numbers: one for both, or { h, w }.

            x:adaptive_avg_pool2d(1)           -- the mean of each channel
            x:adaptive_avg_pool2d({ 4, 6 })
        """
    ) { (x: Tensor, size: Dimensions) -> Tensor in
      try x.adaptivelyPooled(spread(size.list, 2, "adaptive_avg_pool2d"))
    }
  }

  private static func windows(
    _ name: String, _ kernel: Dimensions, _ stride: Dimensions?, _ padding: Dimensions
  ) throws -> PoolWindows {
    var windows = PoolWindows(
      kernel: try spread(kernel.list, 2, "\(name): kernel_size"),
      stride: try stride.map { try spread($0.list, 2, "\(name): stride") })
    windows.padding = try spread(padding.list, 2, "\(name): padding")
    return windows
  }

  // MARK: - Padding

  private struct Pad: LuaOptions {
    var left = 0
    var right = 0
    var top = 0
    var bottom = 0
    var mode: String?
    var value: Double?
    var hasSides: Bool { left != 0 || right != 0 || top != 0 || bottom != 0 }
    static var luaFields: [LuaField<Pad>] {
      [
        LuaField("left", \.left, doc: "columns before the first"),
        LuaField("right", \.right, doc: "columns after the last"),
        LuaField("top", \.top, doc: "rows above the first"),
        LuaField("bottom", \.bottom, doc: "rows below the last"),
        LuaField("mode", \.mode, doc: modeWords),
        LuaField("value", \.value, doc: "what 'constant' pads with (0)"),
      ]
    }
  }
  private static let modeWords =
    "'constant' (or 'zero'), 'edge' (or 'replicate') to repeat the outermost elements, 'reflect', "
    + "or 'circular' ('constant')"

  /// Amounts in PyTorch's order, or sides by name, with the mode among them.
  private enum Sides: LuaArgument {
    case list([Int])
    case named(Pad)

    static var luaTypeName: String { "table" }
    static var luaMayBeAbsent: Bool { true }
    static var luaOptionDescriptions: [LuaOptionDescription] { Pad.luaOptionDescriptions }

    static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Sides {
      if L.type(at: index) == .table, L.length(at: index) > 0 {
        return .list(try [Int].read(L, at: index))
      }
      return .named(try Pad.read(L, at: index))
    }
  }

  private static func padding(_ s: TensorSurface) {
    s.pure(
      "pad", params: ["sides", "options"],
      doc: """
        A tensor padded: the sides of the last two dimensions by name, or amounts of any dimensions.
        Unlike PyTorch, 'reflect', 'edge' and 'circular' pad any dimension. A list of amounts is in
        its order: before and after the last dimension, then those of the previous dimension. Negative
        amounts leave elements out.

            image:pad { left = 1, right = 1, mode = "edge" }
            x:pad({ 0, 0, 2, 2 }, { mode = "reflect" })   -- two rows above and below

        @param sides? table  sides by name with mode and value, or a list of amounts
        @param options? table  mode and value for a list
        """
    ) { (x: Tensor, sides: Sides, o: Pad) -> Tensor in
      let rank = x.shape.count
      switch sides {
      case .named(let p):
        guard o.mode == nil, o.value == nil, !o.hasSides else {
          throw LunervError(.argument, "pad: expected mode and value among the sides' names")
        }
        return try x.padded(
          top: p.top, bottom: p.bottom, left: p.left, right: p.right, paddingMode(p.mode, p.value))
      case .list(let list):
        guard !o.hasSides else {
          throw LunervError(.argument, "pad: expected sides in a list or by name, got both")
        }
        guard list.count % 2 == 0, list.count / 2 <= rank else {
          throw LunervError(
            .argument,
            "pad: expected two amounts for each of at most \(rank) dimensions, got \(list.count)")
        }
        var amounts = [(before: Int, after: Int)](repeating: (0, 0), count: rank)
        for i in 0..<(list.count / 2) { amounts[rank - 1 - i] = (list[2 * i], list[2 * i + 1]) }
        return try x.padded(amounts, paddingMode(o.mode, o.value))
      }
    }
  }

  private static func paddingMode(_ name: String?, _ value: Double?) throws -> Tensor.PaddingMode {
    let known = ["constant", "zero", "edge", "replicate", "reflect", "circular"]
    let name = name ?? "constant"
    guard name == "constant" || value == nil else {
      throw LunervError(
        .argument, "pad: expected a value only with mode 'constant', not '\(name)'")
    }
    switch name {
    case "constant": return .constant(value ?? 0)
    case "zero": return .constant(0)
    case "edge", "replicate": return .edge
    case "reflect": return .reflect
    case "circular": return .circular
    default: throw unknown("pad", "mode", name, known)
    }
  }
}
