import Kernels
import Support

// The axes of interpolate and of mean pooling: which inputs each output sums, with which weights.

/// The most elements along a resampled axis: tables of weights stay small relative to maps.
let largestResampledAxis = 1 << 20
private let mostTaps = 1 << 24

extension Tensor {
  public enum InterpolationMode: String, Sendable, CaseIterable {
    case nearest, linear, bilinear, bicubic, trilinear

    /// The number of resampled dimensions, without batch and channels.
    var dimensions: ClosedRange<Int> {
      switch self {
      case .nearest: 1...3
      case .linear: 1...1
      case .bilinear, .bicubic: 2...2
      case .trilinear: 3...3
      }
    }
  }
}

extension AxisTaps {
  /// One axis of interpolate, with PyTorch's coordinates.
  /// - Parameter scale: outputs per input, if given instead of the size.
  static func interpolation(
    _ mode: Tensor.InterpolationMode, inputs: Int, outputs: Int, scale: Double?,
    alignCorners: Bool, antialias: Bool
  ) -> AxisTaps {
    let step =
      alignCorners
      ? (outputs > 1 ? Double(inputs - 1) / Double(outputs - 1) : 0)
      : scale.map { 1 / $0 } ?? Double(inputs) / Double(outputs)
    if antialias {
      return .antialiased(inputs: inputs, outputs: outputs, step: step, cubic: mode == .bicubic)
    }
    var taps = AxisTaps(inputs: inputs)
    for o in 0..<outputs {
      // In f32, as in PyTorch: a coordinate on the border of two elements falls to the same side.
      if mode == .nearest {
        let place = (Float(o) * Float(step)).rounded(.down)
        taps.append(start: place < Float(inputs) ? min(Int(place), inputs - 1) : inputs - 1, [1])
        continue
      }
      let place = alignCorners ? Double(o) * step : (Double(o) + 0.5) * step - 0.5
      if mode == .bicubic {
        let whole = min(max(place.rounded(.down), -2), Double(inputs) + 1)
        taps.append(
          clamped: Int(whole) - 1, cubicWeights(place - place.rounded(.down), a: -0.75))
      } else {
        let inside = min(max(place, 0), Double(inputs - 1))
        let first = min(Int(inside), inputs - 1)
        let fraction = inside - Double(first)
        taps.append(start: first, first + 1 < inputs ? [1 - fraction, fraction] : [1])
      }
    }
    return taps
  }

  private static func cubicWeights(_ t: Double, a: Double) -> [Double] {
    [t + 1, t, 1 - t, 2 - t].map { cubic($0, a: a) }
  }

  /// Keys' cubic.
  private static func cubic(_ x: Double, a: Double) -> Double {
    let x = abs(x)
    if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    if x < 2 { return a * (((x - 5) * x + 8) * x - 4) }
    return 0
  }

  /// Taps outside the map read the outermost inputs.
  private mutating func append(clamped start: Int, _ taps: [Double]) {
    let low = min(max(start, 0), inputs - 1)
    let high = min(max(start + taps.count - 1, 0), inputs - 1)
    var merged = [Double](repeating: 0, count: high - low + 1)
    for (j, tap) in taps.enumerated() { merged[min(max(start + j, low), high) - low] += tap }
    append(start: low, merged)
  }

  /// A triangle or a cubic as wide as the step, as with PyTorch's antialias (and in Pillow).
  private static func antialiased(inputs: Int, outputs: Int, step: Double, cubic isCubic: Bool)
    -> AxisTaps
  {
    var taps = AxisTaps(inputs: inputs)
    let width = max(step, 1)
    let support = (isCubic ? 2 : 1) * width
    for o in 0..<outputs {
      let centre = step * (Double(o) + 0.5)
      let first = min(max(Int(min(centre - support + 0.5, Double(inputs))), 0), inputs - 1)
      let end = min(max(Int(min(centre + support + 0.5, Double(inputs))), first + 1), inputs)
      let weights = (first..<end).map { i in
        let x = (Double(i) - centre + 0.5) / width
        return isCubic ? cubic(x, a: -0.5) : max(0, 1 - abs(x))
      }
      let sum = weights.reduce(0, +)
      taps.append(start: first, weights.map { sum != 0 ? $0 / sum : $0 })
    }
    return taps
  }

  /// One axis of adaptive mean pooling.
  static func adaptive(inputs: Int, outputs: Int) -> AxisTaps {
    var taps = AxisTaps(inputs: inputs)
    for o in 0..<outputs {
      let (first, end) = (o * inputs / outputs, ((o + 1) * inputs + outputs - 1) / outputs)
      taps.append(start: first, repeatElement(1 / Double(end - first), count: end - first))
    }
    return taps
  }

  /// One axis of mean pooling; `divisor` replaces the number of elements.
  static func means(_ axis: MaxPool.Axis, countsPadding: Bool, divisor: Double?) -> AxisTaps {
    var taps = AxisTaps(inputs: axis.inputs)
    for o in 0..<axis.outputs {
      let start = o * axis.stride - axis.padding
      let end = min(start + axis.kernel, axis.inputs + axis.padding)
      let (first, last) = (max(start, 0), min(end, axis.inputs))
      let count = max(0, last - first)
      let size = divisor ?? Double(countsPadding ? end - start : count)
      taps.append(start: count > 0 ? first : 0, repeatElement(1 / size, count: count))
    }
    return taps
  }
}

extension Tensor {
  /// (n, c, …) with the taps of each further dimension, which gives `size`; nil leaves a dimension
  /// unchanged. `most` is an upper bound on the number of all taps.
  func resampled(
    _ name: String, to size: [Int], taps most: Int, asFeatureMap: Bool = false,
    _ axes: () -> [AxisTaps?]
  ) throws -> Tensor {
    let out = try Shape.checked(Array(shape[..<2]) + size)
    guard (shape[2...] + size).allSatisfy({ $0 <= largestResampledAxis }), most <= mostTaps else {
      throw LunervError(
        .argument,
        "\(name): expected sizes of at most \(largestResampledAxis) and \(mostTaps) weights, got "
          + "\(Shape.describe(shape)) to \(Shape.describe(out))")
    }
    try Work.charge(most, 8)
    try Session.current.checkRoom(for: 24 * most)
    let map = asFeatureMap && count > 0 ? try value.asFeatureMap() : value
    let (full, layout, dtype) = (shape, map.layout, dtype)
    if Shape.count(out) == 0 || count == 0 {
      return Tensor.result(try Value.zeros(out, dtype, layout), of: [self]) { _ in
        [try Value.zeros(full, dtype, layout)]
      }
    }
    let taps = axes().map { $0.flatMap { $0.isIdentity ? nil : $0 } }
    return Tensor.result(try map.resampled(to: out, taps), of: [self]) { g in
      [try g.converted(to: layout).resampled(to: full, taps.map { $0?.transposed })]
    }
  }
}

extension Value {
  /// (n, c, …) by the taps of each further dimension, one, two or three.
  func resampled(to out: [Int], _ taps: [AxisTaps?]) throws -> Value {
    if taps.count == 3 {
      // The depth separately: consecutive planes are the rows of a map.
      let flat = Array(out[..<2]) + [out[2], shape[3], shape[4]]
      let deep =
        taps[0] == nil
        ? self
        : try image(
          to: flat, items: shape[0] * shape[1], height: shape[2], width: shape[3] * shape[4],
          lanes: 1, rows: taps[0], columns: nil)
      if taps[1] == nil, taps[2] == nil { return deep }
      return try deep.image(
        to: out, items: out[0] * out[1] * out[2], height: shape[3], width: shape[4], lanes: 1,
        rows: taps[1], columns: taps[2])
    }
    let (rows, columns) = taps.count == 2 ? (taps[0], taps[1]) : (nil, taps[0])
    let height = taps.count == 2 ? shape[2] : 1
    let width = shape[shape.count - 1]
    let isLast = layout == .channelsLast
    return try image(
      to: out, items: isLast ? shape[0] : shape[0] * shape[1], height: height, width: width,
      lanes: lanes, rows: rows, columns: columns)
  }

  private func image(
    to out: [Int], items: Int, height: Int, width: Int, lanes: Int, rows: AxisTaps?,
    columns: AxisTaps?
  ) throws -> Value {
    let (down, across) = (rows?.weights.count ?? 0, columns?.weights.count ?? 0)
    // Each row of outputs sums rows of the map; each of its columns sums columns.
    try Work.charge(items * lanes, max(1, down), width)
    try Work.charge(items * lanes, rows?.outputs ?? height, max(1, across))
    let result = try Value.allocate(out, dtype, layout)
    switch dtype {
    case .f32:
      try Resample.apply(
        items: items, height: height, width: width, lanes: lanes, rows: rows, columns: columns,
        memory(Float.self), result.memory(Float.self))
    case .f64:
      try Resample.apply(
        items: items, height: height, width: width, lanes: lanes, rows: rows, columns: columns,
        memory(Double.self), result.memory(Double.self))
    default: throw LunervError(.argument, "expected f32 or f64, got \(dtype.rawValue)")
    }
    return result
  }
}
