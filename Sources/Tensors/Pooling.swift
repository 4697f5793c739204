import Kernels
import Support

// Pooling and resizing of images, by the axes of AxisResampling.swift.

/// The windows: in each pair of numbers, the first is for rows.
public struct PoolWindows: Sendable {
  public var kernel: [Int]
  public var stride: [Int]
  public var padding = [0, 0]
  public var dilation = [1, 1]
  /// Whether windows that extend beyond the padded image count.
  public var ceil = false

  public init(kernel: [Int], stride: [Int]? = nil) {
    self.kernel = kernel
    self.stride = stride ?? kernel
  }

  fileprivate func axis(_ i: Int, _ inputs: Int, _ name: String) throws -> MaxPool.Axis {
    let (kernel, stride, padding, dilation) = (
      kernel[i], stride[i], padding[i], dilation[i]
    )
    let most = 1 << 24
    guard (1...most).contains(kernel), (1...most).contains(stride), (1...most).contains(dilation)
    else {
      throw LunervError(
        .argument,
        "\(name): expected kernel, stride and dilation of 1 to \(most), got \(kernel), \(stride) "
          + "and \(dilation)")
    }
    let span = (kernel - 1) * dilation + 1
    guard padding >= 0, padding <= span / 2 else {
      throw LunervError(
        .argument,
        "\(name): expected a padding of 0 to half the window, \(span / 2), got \(padding)")
    }
    let room = inputs + 2 * padding - span + (ceil ? stride - 1 : 0)
    guard inputs > 0, room >= 0 else {
      throw LunervError(
        .argument, "\(name): expected windows within \(inputs + 2 * padding), got \(span)")
    }
    var outputs = room / stride + 1
    if ceil, (outputs - 1) * stride >= inputs + padding { outputs -= 1 }
    return MaxPool.Axis(
      inputs: inputs, outputs: outputs, kernel: kernel, stride: stride, padding: padding,
      dilation: dilation)
  }
}

extension Tensor {
  private func checkImage(_ name: String) throws {
    guard shape.count == 4 else {
      throw LunervError(
        .argument, "\(name): expected (n, c, h, w), got \(Shape.describe(shape))")
    }
  }

  func checkFloating(_ name: String) throws {
    guard isFloating else {
      throw LunervError(
        .argument, "\(name): expected f32 or f64, got \(dtype.rawValue) (use :to)")
    }
  }

  /// Converts integers to f64, applies `body`, and converts back.
  private func integers(_ body: (Tensor) throws -> Tensor) throws -> Tensor {
    Tensor(try body(cast(to: .f64)).value.narrowed(to: dtype))
  }

  // MARK: - Resizing

  /// (n, c, …) in another size.
  ///
  /// - Parameters:
  ///   - size: of each dimension after the channels; nil if `scale` is given.
  ///   - scale: outputs per input, along each of them.
  public func interpolated(
    _ mode: InterpolationMode, size: [Int]?, scale: [Double]?, alignCorners: Bool = false,
    antialias: Bool = false
  ) throws -> Tensor {
    let name = "interpolate"
    guard shape.count >= 3, mode.dimensions.contains(shape.count - 2) else {
      let wanted = mode.dimensions.map {
        "(" + (["n", "c"] + ["d", "h", "w"].suffix($0)).joined(separator: ", ") + ")"
      }.joined(separator: " or ")
      throw LunervError(
        .argument, "\(name): expected \(wanted) for \(mode.rawValue), got \(Shape.describe(shape))")
    }
    guard !alignCorners || mode != .nearest else {
      throw LunervError(.argument, "\(name): expected no align_corners with nearest")
    }
    guard !antialias || mode == .bilinear || mode == .bicubic else {
      throw LunervError(
        .argument, "\(name): expected bilinear or bicubic with antialias, got \(mode.rawValue)")
    }
    if !isFloating {
      if mode != .nearest { try checkFloating(name) }
      return try integers {
        try $0.interpolated(mode, size: size, scale: scale)
      }
    }
    let inputs = Array(shape[2...])
    let size = try size ?? outputSizes(inputs, scale)
    guard size.count == inputs.count, (size + inputs).allSatisfy({ $0 > 0 }) else {
      throw LunervError(
        .argument,
        "\(name): expected \(inputs.count) sizes of at least 1, got \(Shape.describe(size)) for a "
          + "tensor of \(Shape.describe(shape))")
    }
    var most = 0
    for (n, o) in zip(inputs, size) where n <= largestResampledAxis && o <= largestResampledAxis {
      most += antialias ? 4 * n + 8 * o : 4 * o
    }
    return try resampled(name, to: size, taps: most, asFeatureMap: true) {
      zip(inputs, size).enumerated().map { i, sizes in
        .interpolation(
          mode, inputs: sizes.0, outputs: sizes.1, scale: scale?[i], alignCorners: alignCorners,
          antialias: antialias)
      }
    }
  }

  private func outputSizes(_ inputs: [Int], _ scale: [Double]?) throws -> [Int] {
    guard let scale, scale.count == inputs.count else {
      throw LunervError(
        .argument,
        "interpolate: expected a size or a scale with \(inputs.count) numbers, got "
          + "\(scale?.count ?? 0)")
    }
    return try zip(inputs, scale).map { n, s in
      guard s > 0, s.isFinite, Double(n) * s < 0x1p40 else {
        throw LunervError(.argument, "interpolate: expected a scale above 0, got \(s)")
      }
      return Int(Double(n) * s)
    }
  }

  // MARK: - Pooling

  /// The means of windows of (n, c, h, w).
  ///
  /// - Parameters:
  ///   - countsPadding: whether the mean includes the padding.
  ///   - divisor: divides sums, instead of the number of elements.
  public func meanPooled(_ windows: PoolWindows, countsPadding: Bool = true, divisor: Double? = nil)
    throws -> Tensor
  {
    let name = "avg_pool2d"
    try checkImage(name)
    try checkFloating(name)
    guard divisor.map({ $0 != 0 && $0.isFinite }) ?? true else {
      throw LunervError(.argument, "\(name): expected a divisor other than 0")
    }
    let (rows, columns) = (
      try windows.axis(0, shape[2], name), try windows.axis(1, shape[3], name)
    )
    let isPlain =
      windows.kernel == [2, 2] && windows.stride == [2, 2] && windows.padding == [0, 0]
      && !windows.ceil && divisor == nil
    if isPlain, value.layout == .contiguous { return try averagePooled() }
    if isPlain, value.layout == .channelsLast, dtype == .f32 { return try pairMeans(rows, columns) }
    let most = try taps(rows, name) + taps(columns, name)
    return try resampled(name, to: [rows.outputs, columns.outputs], taps: most) {
      [
        .means(rows, countsPadding: countsPadding, divisor: divisor),
        .means(columns, countsPadding: countsPadding, divisor: divisor == nil ? nil : 1),
      ]
    }
  }

  /// The means of 2×2 pixels, summed in the order of the planar kernel: programs in files depend on
  /// these bits.
  private func pairMeans(_ rows: MaxPool.Axis, _ columns: MaxPool.Axis) throws -> Tensor {
    let full = shape
    let result = try Value.allocate(
      [shape[0], shape[1], rows.outputs, columns.outputs], .f32, .channelsLast)
    if result.count > 0 {
      try MeanPool.forward(
        items: shape[0], h: shape[2], w: shape[3], lanes: value.lanes, value.memory(Float.self),
        result.memory(Float.self))
    }
    return Tensor.result(result, of: [self]) { g in
      if g.count == 0 { return [try Value.zeros(full, .f32, .channelsLast)] }
      let taps = [rows, columns].map {
        AxisTaps.means($0, countsPadding: true, divisor: nil).transposed
      }
      return [try g.converted(to: .channelsLast).resampled(to: full, taps)]
    }
  }

  private func taps(_ axis: MaxPool.Axis, _ name: String) throws -> Int {
    let (taps, overflows) = axis.outputs.multipliedReportingOverflow(
      by: min(axis.kernel, axis.inputs))
    guard !overflows else {
      throw LunervError(.argument, "\(name): expected smaller windows, got \(axis.kernel)")
    }
    return min(taps, 1 << 60)
  }

  /// The means over `size` windows of (n, c, h, w), which cover it evenly.
  public func adaptivelyPooled(_ size: [Int]) throws -> Tensor {
    let name = "adaptive_avg_pool2d"
    try checkImage(name)
    try checkFloating(name)
    let inputs = Array(shape[2...])
    guard size.count == 2, size.allSatisfy({ (1...largestResampledAxis).contains($0) }),
      inputs.allSatisfy({ $0 > 0 })
    else {
      throw LunervError(
        .argument,
        "\(name): expected sizes of 1 to \(largestResampledAxis), got \(Shape.describe(shape)) to "
          + Shape.describe(size))
    }
    let most = inputs.reduce(0, +) + 2 * size.reduce(0, +)
    return try resampled(name, to: size, taps: most) {
      zip(inputs, size).map { .adaptive(inputs: $0, outputs: $1) }
    }
  }

  /// The maxima of windows of (n, c, h, w). The gradient goes to the first of equal elements.
  public func maxPooled(_ windows: PoolWindows) throws -> Tensor {
    let name = "max_pool2d"
    try checkImage(name)
    if !isFloating { return try integers { try $0.maxPooled(windows) } }
    let (rows, columns) = (
      try windows.axis(0, shape[2], name), try windows.axis(1, shape[3], name)
    )
    // Positions in a window are stored as floats, which are exact up to here.
    guard rows.kernel <= 1 << 12, columns.kernel <= 1 << 12 else {
      throw LunervError(
        .argument,
        "\(name): expected a kernel of at most 4096, got \(max(rows.kernel, columns.kernel))")
    }
    let out = [shape[0], shape[1], rows.outputs, columns.outputs]
    let x = value
    let layout = x.layout
    let pool = MaxPool(
      items: layout == .channelsLast ? shape[0] : shape[0] * shape[1], lanes: x.lanes,
      channels: layout == .channelsLast ? shape[1] : 1, rows: rows, columns: columns)
    let full = shape
    let window = min(rows.kernel, shape[2]) * min(columns.kernel, shape[3])
    let result = try Value.allocate(out, dtype, layout)
    if result.count > 0 {
      try Work.charge(result.physicalCount, window)
      if dtype == .f32 {
        try pool.forward(x.memory(Float.self), result.memory(Float.self))
      } else {
        try pool.forward(x.memory(Double.self), result.memory(Double.self))
      }
    }
    return Tensor.result(result, of: [self]) { g in
      if g.count == 0 { return [try Value.zeros(full, g.dtype, layout)] }
      let dx = try Value.allocate(full, g.dtype, layout)
      try Work.charge(dx.physicalCount)
      try Work.charge(result.physicalCount, window, 4)
      let seeds = try g.converted(to: layout)
      if g.dtype == .f32 {
        try pool.gradient(
          seeds.memory(Float.self), x.memory(Float.self), dx.memory(Float.self))
      } else {
        try pool.gradient(
          seeds.memory(Double.self), x.memory(Double.self), dx.memory(Double.self))
      }
      return [dx]
    }
  }
}
