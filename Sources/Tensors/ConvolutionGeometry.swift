import Kernels
import Support

/// How a convolution's window moves: one number per axis, rows before columns (frames before both),
/// or one for all axes.
public struct ConvolutionGeometry: Sendable {
  public enum Padding: Sendable {
    /// Zeros on both sides of each axis.
    case sides([Int])
    /// Padding that keeps the size; an odd amount pads one more at the end.
    case same
  }

  public var stride: [Int]
  public var padding: Padding
  public var dilation: [Int]
  public var groups: Int

  public init(
    stride: [Int] = [1], padding: Padding = .sides([0]), dilation: [Int] = [1], groups: Int = 1
  ) {
    self.stride = stride
    self.padding = padding
    self.dilation = dilation
    self.groups = groups
  }

  /// One axis of a convolution.
  struct Axis {
    var stride: Int, dilation: Int
    var before: Int, after: Int
  }

  /// The largest stride, padding and dilation.
  static let most = 1 << 20

  /// The axes, checked, for a kernel of these sizes.
  func axes(_ kernel: [Int], _ name: String) throws -> [Axis] {
    func spread(_ list: [Int], _ what: String, least: Int) throws -> [Int] {
      let all = list.count == 1 ? [Int](repeating: list[0], count: kernel.count) : list
      guard all.count == kernel.count else {
        let axes = kernel.count == 2 ? "{ y, x }" : "{ d, y, x }"
        throw LunervError(
          .argument, "\(name): \(what): expected one number or \(axes), got \(list.count) numbers")
      }
      if let wrong = all.first(where: { $0 < least || $0 > Self.most }) {
        throw LunervError(
          .argument, "\(name): \(what): expected \(least) to 2²⁰, got \(wrong)")
      }
      return all
    }
    let stride = try spread(self.stride, "stride", least: 1)
    let dilation = try spread(self.dilation, "dilation", least: 1)
    guard groups >= 1 else {
      throw LunervError(.argument, "\(name): groups: expected at least 1, got \(groups)")
    }
    for (k, d) in zip(kernel, dilation) where k > (1 << 44) / d {
      throw LunervError(.argument, "\(name): a kernel of \(k) with dilation \(d) is too large")
    }
    switch padding {
    case .sides(let list):
      let sides = try spread(list, "padding", least: 0)
      return kernel.indices.map {
        Axis(stride: stride[$0], dilation: dilation[$0], before: sides[$0], after: sides[$0])
      }
    case .same:
      guard stride.allSatisfy({ $0 == 1 }) else {
        throw LunervError(.argument, "\(name): padding \"same\" requires a stride of 1")
      }
      return kernel.indices.map {
        let all = dilation[$0] * max(kernel[$0] - 1, 0)
        return Axis(stride: 1, dilation: dilation[$0], before: all / 2, after: all - all / 2)
      }
    }
  }
}

extension ConvolutionShape {
  /// The shape of a convolution with matching channels.
  /// - Throws: if numbers are out of bounds, or the kernel does not fit.
  public static func checked(
    _ name: String, n: Int, inputs: Int, height: Int, width: Int, outputs: Int, kernel: [Int],
    _ geometry: ConvolutionGeometry
  ) throws -> ConvolutionShape {
    try checked(
      name, n: n, inputs: inputs, height: height, width: width, outputs: outputs, kernel: kernel,
      geometry.axes(kernel, name), groups: geometry.groups)
  }

  static func checked(
    _ name: String, n: Int, inputs: Int, height: Int, width: Int, outputs: Int, kernel: [Int],
    _ axes: [ConvolutionGeometry.Axis], groups: Int
  ) throws -> ConvolutionShape {
    let (y, x) = (axes[0], axes[1])
    var s = ConvolutionShape(
      n: n, inputs: inputs, height: height, width: width, outputs: outputs, kh: kernel[0],
      kw: kernel[1], stride: 1, padY: y.before, padX: x.before, groups: groups)
    (s.strideY, s.strideX) = (y.stride, x.stride)
    (s.dilationY, s.dilationX) = (y.dilation, x.dilation)
    (s.padEndY, s.padEndX) = (y.after, x.after)
    guard s.kh >= 1, s.kw >= 1, n >= 1, inputs >= 1, outputs >= 1 else {
      throw LunervError(
        .argument,
        "\(name): expected images and kernels with elements, got \(n) images of \(inputs) channels and \(outputs) kernels of \(s.kh)×\(s.kw)"
      )
    }
    guard height + y.before + y.after >= s.spanY, width + x.before + x.after >= s.spanX
    else {
      let padding = y.before == x.before ? "\(y.before)" : "(\(y.before), \(x.before))"
      let dilated =
        y.dilation == 1 && x.dilation == 1 ? "" : " and dilation (\(y.dilation), \(x.dilation))"
      throw LunervError(
        .argument,
        "\(name): a \(s.kh)×\(s.kw) kernel does not fit \(height)×\(width) with padding \(padding)\(dilated)"
      )
    }
    return s
  }
}

/// Checks the types and channels of the operands of any convolution.
enum ConvolutionOperands {
  /// - Parameter inner: the name of dimension 2 of the weights, `"I/groups"`.
  static func check(
    _ name: String, x: Value, w: Value, b: Value?, sizes: String, kernel: String, inner: String
  ) throws {
    func fail(_ text: String) -> LunervError { LunervError(.argument, "\(name): " + text) }
    let rank = sizes.split(separator: ",").count
    guard x.shape.count == rank else {
      throw fail("x must have \(rank) dimensions (\(sizes)), got \(Shape.describe(x.shape))")
    }
    guard w.shape.count == rank else {
      throw fail(
        "weight must have \(rank) dimensions (\(inner), \(kernel)), got \(Shape.describe(w.shape))")
    }
    guard x.isFloating, x.dtype == w.dtype, b == nil || b?.dtype == x.dtype else {
      throw fail("x, weight and bias must all be f32 or all f64")
    }
  }

  /// Checks the channels of weights (O, C/groups, …) against those of x.
  static func checkChannels(_ name: String, x: Value, w: Value, b: Value?, groups: Int) throws {
    guard w.shape[0] % groups == 0 else {
      throw LunervError(
        .argument,
        "\(name): groups: expected a divisor of \(w.shape[0]) output channels, got \(groups)")
    }
    guard x.shape[1] % groups == 0, w.shape[1] == x.shape[1] / groups else {
      let parts = groups == 1 ? "" : " in \(groups) groups"
      throw LunervError(
        .argument,
        "\(name): expected x with \(w.shape[1] &* groups) channels for weight "
          + "\(Shape.describe(w.shape))\(parts), got \(x.shape[1])")
    }
    try checkBias(name, b, channels: w.shape[0])
  }

  static func checkBias(_ name: String, _ b: Value?, channels: Int) throws {
    if let b, b.shape != [channels] {
      throw LunervError(
        .argument,
        "\(name): bias must have shape (\(channels)), got \(Shape.describe(b.shape))")
    }
  }
}
