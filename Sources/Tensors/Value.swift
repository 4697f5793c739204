import Kernels
import Support

/// How a tensor is laid out in memory. Users see NCHW either way.
enum Layout { case contiguous, channelsLast }

/// An immutable array of numbers, computed when it is first read.
///
/// Pointwise operators and convolutions return pending values immediately. A pointwise value is
/// evaluated by its reader: a reduction or a convolution computes it piece by piece and stores
/// nothing, any other reader stores it. Values never change, so operands of a gradient or of a
/// pending expression cannot become stale: a tensor that is written in place gets a new value (or
/// the old one's memory if it is not shared).
public final class Value {
  let shape: [Int]
  let dtype: DType
  let layout: Layout
  var state: State
  /// The number of pointwise values, convolutions and views made from this one so far, computed or
  /// not.
  var readers = 0
  /// Transformed weights, cached by convolutions that do not train.
  var prepared: PreparedWeights?
  /// The caller that made a pending value, under the profiler.
  var origin: Profiler.Origin

  enum State {
    case stored(Storage, offset: Int)
    case pointwise(Pointwise)
    case convolution(ConvolutionCall)
    /// The inverse of PixelShuffle(s), read in place by convolutions.
    case unshuffled(Value, Int)
    /// One sum per channel of a feature map, computed with the next pass over the same maps.
    case channelSums(Value)
  }

  struct Pointwise {
    var op: PointwiseOperator
    var operands: [Value]
    var p = 0.0, q = 0.0
    var depth: Int
    /// The depth of pending convolutions below this value.
    var nesting = 0
  }

  init(shape: [Int], dtype: DType, layout: Layout, state: State) {
    self.shape = shape
    self.dtype = dtype
    self.layout = layout
    self.state = state
    if case .stored = state {
      origin = .init()
    } else {
      origin = Session.current.profiler?.origin ?? .init()
    }
  }

  var count: Int { Shape.count(shape) }
  var lanes: Int { layout == .channelsLast ? (shape[1] + 7) / 8 * 8 : 1 }
  /// Elements in memory, padding lanes included.
  var physicalCount: Int { Value.physicalCount(shape, layout) }

  private static func physicalCount(_ shape: [Int], _ layout: Layout) -> Int {
    guard layout == .channelsLast else { return Shape.count(shape) }
    return shape[0] * shape[2] * shape[3] * ((shape[1] + 7) / 8 * 8)
  }

  /// Physical strides of the logical dimensions.
  var strides: [Int] {
    guard layout == .channelsLast else { return Shape.contiguousStrides(shape) }
    return [shape[2] * shape[3] * lanes, 1, shape[3] * lanes, lanes]
  }
  var isFloating: Bool { dtype == .f32 || dtype == .f64 }
  var isStored: Bool { if case .stored = state { true } else { false } }

  /// Uninitialised memory for a result; the writer must zero padding lanes.
  static func allocate(_ shape: [Int], _ dtype: DType, _ layout: Layout = .contiguous) throws
    -> Value
  {
    let shape = try Shape.checked(shape)
    try Work.charge(physicalCount(shape, layout), 1)
    let storage = try Storage(bytes: physicalCount(shape, layout) * dtype.size)
    Session.current.profiler?.made(Shape.count(shape))
    return Value(shape: shape, dtype: dtype, layout: layout, state: .stored(storage, offset: 0))
  }

  /// The stored memory of this value, computed now if it is pending.
  func memory<T>(_ type: T.Type) throws -> UnsafeMutablePointer<T> {
    if case .stored(let storage, let offset) = state { return storage.pointer(T.self) + offset }
    try materialise()
    guard case .stored(let storage, let offset) = state else {
      throw LunervError(.argument, "a value could not be computed")
    }
    return storage.pointer(T.self) + offset
  }

  func materialise() throws {
    // A convolution measures itself, from any caller.
    guard let profiler = Session.current.profiler else { return try compute() }
    switch state {
    case .stored, .convolution: return try compute()
    case .pointwise, .channelSums: profiler.begin(origin, .programs)
    case .unshuffled: profiler.begin(origin, .results)
    }
    defer { profiler.end() }
    try compute()
  }

  private func compute() throws {
    let result: Value
    switch state {
    case .stored: return
    case .channelSums:
      try sweep()
      return
    case .pointwise:
      if try absorb() || sweep() { return }
      if let direct = try computedDirectly() {
        state = direct.state
        return
      }
      result = try Value.allocate(shape, dtype, layout)
      if dtype == .f32 {
        try program(of: Float.self).evaluateAll(into: result.memory(Float.self))
      } else {
        try program(of: Double.self).evaluateAll(into: result.memory(Double.self))
      }
    case .convolution(let call): result = try call.run(shape: shape, layout: layout)
    case .unshuffled(let source, let s): result = try source.unshuffledCopy(s)
    }
    state = result.state
  }

  /// The same numbers, contiguous.
  func contiguous() throws -> Value {
    layout == .contiguous ? self : try converted(to: .contiguous)
  }

  func converted(to target: Layout) throws -> Value {
    if layout == target { return self }
    if case .pointwise(let node) = state, node.operands.count == 1, node.op == .copy,
      node.operands[0].count == 1
    {
      return try Value.pointwise(.copy, [node.operands[0]], shape: shape, prefer: target)
    }
    let out = try Value.allocate(shape, dtype, target)
    guard dtype == .f32 else {
      try withType(dtype) { type in try copy(type, to: out) }
      return out
    }
    let (n, channels, points) = (shape[0], shape[1], shape[2] * shape[3])
    let (from, to) = (try memory(Float.self), try out.memory(Float.self))
    if target == .channelsLast {
      PointOrder.pack(n: n, channels: channels, points: points, lanes: out.lanes, from, to)
    } else {
      PointOrder.unpack(n: n, channels: channels, points: points, lanes: lanes, from, to)
    }
    return out
  }

  /// This value, channels-last if it is a feature map: an f32 image of more than four channels.
  func asFeatureMap() throws -> Value {
    shape.count == 4 && shape[1] > 4 && dtype == .f32 ? try converted(to: .channelsLast) : self
  }

  private func copy<T>(_ type: T.Type, to out: Value) throws {
    let target = try out.memory(T.self)
    if out.layout == .channelsLast, out.lanes != shape[1] {
      UnsafeMutableRawPointer(target).initializeMemory(
        as: UInt8.self, repeating: 0, count: out.physicalCount * dtype.size)
    }
    stridedCopy(
      sizes: shape, from: try memory(T.self), strides: strides, to: target, strides: out.strides)
  }

  /// Runs `body` with the Swift type of a dtype.
  static func withType<R>(_ dtype: DType, _ body: (any (Numeric & Comparable).Type) throws -> R)
    rethrows -> R
  {
    switch dtype {
    case .f32: try body(Float.self)
    case .f64: try body(Double.self)
    case .i32: try body(Int32.self)
    case .u8, .bool: try body(UInt8.self)
    }
  }
  func withType<R>(_ dtype: DType, _ body: (any (Numeric & Comparable).Type) throws -> R) rethrows
    -> R
  { try Value.withType(dtype, body) }

  /// A stored value over the memory of `self` with another shape of the same count.
  func reinterpreted(shape: [Int]) throws -> Value {
    let source = try contiguous()
    try source.materialise()
    return Value(shape: shape, dtype: dtype, layout: .contiguous, state: source.state)
  }

  // MARK: - Numbers in and out

  static func filled(_ number: Double, shape: [Int], dtype: DType) throws -> Value {
    let out = try allocate(shape, dtype)
    let n = out.count
    switch dtype {
    case .f32: try out.memory(Float.self).update(repeating: Float(number), count: n)
    case .f64: try out.memory(Double.self).update(repeating: number, count: n)
    case .i32: try out.memory(Int32.self).update(repeating: integer(number), count: n)
    case .u8: try out.memory(UInt8.self).update(repeating: integer(number), count: n)
    case .bool: try out.memory(UInt8.self).update(repeating: number != 0 ? 1 : 0, count: n)
    }
    return out
  }

  static func from(_ numbers: [Double], shape: [Int], dtype: DType) throws -> Value {
    let out = try allocate(shape, dtype)
    for (i, v) in numbers.enumerated() {
      switch dtype {
      case .f32: try out.memory(Float.self)[i] = Float(v)
      case .f64: try out.memory(Double.self)[i] = v
      case .i32: try out.memory(Int32.self)[i] = integer(v)
      case .u8: try out.memory(UInt8.self)[i] = integer(v)
      case .bool: try out.memory(UInt8.self)[i] = v != 0 ? 1 : 0
      }
    }
    return out
  }

  /// A number without its fraction.
  private static func cut<I: FixedWidthInteger>(_ number: Double) throws -> I {
    if let integer = I(exactly: number.rounded(.towardZero)) { return integer }
    return try integer(number)
  }

  private static func integer<I: FixedWidthInteger>(_ number: Double) throws -> I {
    if let integer = I(exactly: number) { return integer }
    let text =
      number == number.rounded() && abs(number) < 0x1p53 ? "\(Int64(number))" : "\(number)"
    throw LunervError(.argument, "expected an integer from \(I.min) to \(I.max), got \(text)")
  }

  /// Every element in logical order, as f64.
  func numbers() throws -> [Double] {
    try Work.charge(count, 4)
    let source = try contiguous()
    try Session.current.memory.checkRoom(for: try Shape.product(count, 8))
    let n = count
    switch dtype {
    case .f32:
      let p = try source.memory(Float.self)
      return (0..<n).map { Double(p[$0]) }
    case .f64:
      let p = try source.memory(Double.self)
      return (0..<n).map { p[$0] }
    case .i32:
      let p = try source.memory(Int32.self)
      return (0..<n).map { Double(p[$0]) }
    case .u8, .bool:
      let p = try source.memory(UInt8.self)
      return (0..<n).map { Double(p[$0]) }
    }
  }

  /// The same numbers in another type. Floats lose their fraction on the way to integers.
  /// - Throws: if a number does not fit.
  func cast(to target: DType) throws -> Value {
    if target == dtype { return self }
    // Values that may not fit are checked one by one.
    try Work.charge(count, target == .f32 || target == .f64 ? 1 : 4)
    let source = try contiguous()
    let out = try Value.allocate(shape, target)
    let n = count
    func convert<S: BinaryInteger>(integers p: UnsafePointer<S>) throws {
      switch target {
      case .f32:
        let q = try out.memory(Float.self)
        for i in 0..<n { q[i] = Float(p[i]) }
      case .f64:
        let q = try out.memory(Double.self)
        for i in 0..<n { q[i] = Double(p[i]) }
      case .i32:
        let q = try out.memory(Int32.self)
        for i in 0..<n { q[i] = try Self.integer(Double(p[i])) }
      case .u8:
        let q = try out.memory(UInt8.self)
        for i in 0..<n { q[i] = try Self.integer(Double(p[i])) }
      case .bool:
        let q = try out.memory(UInt8.self)
        for i in 0..<n { q[i] = p[i] != 0 ? 1 : 0 }
      }
    }
    func convert<S: BinaryFloatingPoint>(_ p: UnsafePointer<S>) throws {
      switch target {
      case .f32:
        let q = try out.memory(Float.self)
        for i in 0..<n { q[i] = Float(p[i]) }
      case .f64:
        let q = try out.memory(Double.self)
        for i in 0..<n { q[i] = Double(p[i]) }
      case .i32:
        let q = try out.memory(Int32.self)
        for i in 0..<n { q[i] = try Self.cut(Double(p[i])) }
      case .u8:
        let q = try out.memory(UInt8.self)
        for i in 0..<n { q[i] = try Self.cut(Double(p[i])) }
      case .bool:
        let q = try out.memory(UInt8.self)
        for i in 0..<n { q[i] = p[i] != 0 ? 1 : 0 }
      }
    }
    switch dtype {
    case .f32: try convert(UnsafePointer(source.memory(Float.self)))
    case .f64: try convert(UnsafePointer(source.memory(Double.self)))
    case .i32: try convert(integers: UnsafePointer(source.memory(Int32.self)))
    case .u8, .bool: try convert(integers: UnsafePointer(source.memory(UInt8.self)))
    }
    return out
  }
}
