import Kernels
import Support

// Padding of any dimensions, and its gradient.

extension Int {
  fileprivate func clamped(_ most: Int) -> Int { Swift.max(-most, Swift.min(most, self)) }
}

extension Tensor {
  /// The last two dimensions padded.
  public func padded(top: Int, bottom: Int, left: Int, right: Int, _ mode: PaddingMode) throws
    -> Tensor
  {
    guard shape.count >= 2 else {
      throw LunervError(
        .argument, "pad: expected at least 2 dimensions, got \(shape.count) (a list pads any)")
    }
    let others = [(before: Int, after: Int)](repeating: (0, 0), count: shape.count - 2)
    return try padded(others + [(top, bottom), (left, right)], mode)
  }

  public enum PaddingMode: Sendable {
    case constant(Double)
    case edge, reflect, circular

    fileprivate var kernel: PadCopy.Mode {
      switch self {
      case .constant: .constant
      case .edge: .edge
      case .reflect: .reflect
      case .circular: .circular
      }
    }
  }

  /// Elements before the first and after the last of each dimension; negative numbers crop.
  public func padded(_ sides: [(before: Int, after: Int)], _ mode: PaddingMode) throws -> Tensor {
    guard sides.count == shape.count else {
      throw LunervError(
        .argument,
        "pad: expected sides of \(shape.count) dimensions, got \(sides.count) for "
          + Shape.describe(shape))
    }
    if case .constant(let number) = mode, !isFloating {
      let range: ClosedRange<Double> =
        switch dtype {
        case .i32: Double(Int32.min)...Double(Int32.max)
        case .u8: 0...255
        default: 0...1
        }
      guard range.contains(number), number == number.rounded() else {
        throw LunervError(
          .argument, "pad: expected a value that \(dtype.rawValue) can hold, got \(number)")
      }
    }
    var out = shape
    for (d, side) in sides.enumerated() where side.before != 0 || side.after != 0 {
      let most = 1 << 24
      guard abs(side.before.clamped(most)) < most, abs(side.after.clamped(most)) < most else {
        throw LunervError(
          .argument,
          "pad: expected amounts below 16777216, got \(side.before) and \(side.after)")
      }
      let n = shape[d]
      let largest =
        switch mode {
        case .constant: Int.max
        case .edge: n > 0 ? Int.max : 0
        case .reflect: n - 1
        case .circular: n
        }
      guard max(side.before, side.after) <= largest else {
        throw LunervError(
          .argument,
          "pad: expected at most \(max(largest, 0)) elements on a side of dimension \(d + 1), which "
            + "has \(n), got \(max(side.before, side.after))")
      }
      guard n + side.before + side.after >= 0 else {
        throw LunervError(
          .argument,
          "pad: dimension \(d + 1) has \(n) elements, \(-side.before - side.after) cannot be left "
            + "out")
      }
      out[d] = n + side.before + side.after
    }
    _ = try Shape.checked(out)
    if out == shape, sides.allSatisfy({ $0.before == 0 && $0.after == 0 }) { return self }
    let (full, layout) = (shape, value.layout)
    return Tensor.result(try value.padded(sides, to: out, mode), of: [self]) { g in
      [try g.converted(to: layout).paddingAdjoint(sides, to: full, mode)]
    }
  }
}

extension Value {
  /// `sizes` in this layout, as kernels see them; nil if padding would split pixels.
  private func view(
    _ sizes: [Int], _ sides: [(before: Int, after: Int)], _ mode: PadCopy.Mode
  ) -> PadCopy? {
    var axes = sizes.indices.map {
      PadCopy.Axis(inputs: sizes[$0], before: sides[$0].before, after: sides[$0].after)
    }
    func isPadded(_ axis: PadCopy.Axis) -> Bool { axis.before != 0 || axis.after != 0 }
    var unit = 1
    if layout == .channelsLast {
      if isPadded(axes[1]) { return nil }
      unit = lanes
      axes.remove(at: 1)
    }
    while axes.count > 1, let last = axes.last, !isPadded(last) {
      unit *= last.inputs
      axes.removeLast()
    }
    // Unpadded neighbouring dimensions are merged.
    var merged: [PadCopy.Axis] = []
    for axis in axes {
      if let last = merged.last, !isPadded(last), !isPadded(axis) {
        merged[merged.count - 1].inputs *= axis.inputs
      } else {
        merged.append(axis)
      }
    }
    return PadCopy(axes: merged, unit: unit, mode: mode)
  }

  fileprivate func padded(
    _ sides: [(before: Int, after: Int)], to out: [Int], _ mode: Tensor.PaddingMode
  ) throws -> Value {
    guard let view = view(shape, sides, mode.kernel) else {
      return try contiguous().padded(sides, to: out, mode)
    }
    var number = 0.0
    if case .constant(let n) = mode { number = n }
    // One pixel: the number in each channel, and zero in the padding lanes.
    let repeats = layout == .contiguous || number == 0
    let pattern = repeats ? [number] : (0..<lanes).map { $0 < shape[1] ? number : 0 }
    let fill = try Value.from(pattern, shape: [pattern.count], dtype: dtype)
    let result = try Value.allocate(out, dtype, layout)
    if result.count == 0 { return result }
    func go<T>(_ type: T.Type) throws {
      try view.forward(
        memory(T.self), fill: fill.memory(T.self), fillLength: pattern.count,
        result.memory(T.self))
    }
    try withType(dtype) { try go($0) }
    return result
  }

  fileprivate func paddingAdjoint(
    _ sides: [(before: Int, after: Int)], to full: [Int], _ mode: Tensor.PaddingMode
  ) throws -> Value {
    if count == 0 { return try Value.zeros(full, dtype, layout) }
    // Lanes do not depend on the padding, unless channels are padded.
    guard let view = view(full, sides, mode.kernel) else {
      return try contiguous().paddingAdjoint(sides, to: full, mode)
    }
    let result = try Value.allocate(full, dtype, layout)
    try Work.charge(physicalCount)
    switch dtype {
    case .f32: try view.adjoint(memory(Float.self), result.memory(Float.self))
    case .f64: try view.adjoint(memory(Double.self), result.memory(Double.self))
    default: throw LunervError(.argument, "pad: expected f32 or f64, got \(dtype.rawValue)")
    }
    return result
  }
}
