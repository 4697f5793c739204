import Kernels
import Support

/// A tensor for users: a variable with a value, and possibly an entry on the tape.
///
/// Dimensions count from 0 here, and from 1 in Lua.
public final class Tensor {
  var value: Value
  /// The entry on the tape, −1 for none.
  private(set) var node = -1
  private(set) var tape: Tape?
  public private(set) var grad: Tensor?
  private var wantsGrad = false
  /// The operator that took these elements from another tensor (":slice"), if any. They are a
  /// separate value: writing to them would not change that tensor.
  private var takenFrom: String?

  init(_ value: Value) { self.value = value }

  deinit { tape?.release(node) }

  public var shape: [Int] { value.shape }
  public var dtype: DType { value.dtype }
  public var count: Int { value.count }
  /// Bytes of the tensor's own memory; 0 while its value is pending.
  public var byteCount: Int { value.isStored ? value.physicalCount * dtype.size : 0 }
  public var isLeaf: Bool { node < 0 || wantsGrad }

  /// Whether this tensor requires a gradient. Only leaves can be changed.
  public var requiresGrad: Bool { node >= 0 }

  public func setRequiresGrad(_ on: Bool) throws {
    guard isLeaf else {
      throw LunervError(
        .argument,
        "requires_grad: only a leaf can be changed (use :detach)")
    }
    if on, !value.isFloating {
      throw LunervError(
        .argument, "requires_grad: gradients exist for f32 and f64, not \(dtype.rawValue)")
    }
    if on, node < 0 {
      try value.materialise()
      wantsGrad = true
      takenFrom = nil
      put(on: Session.current.tape) { $0.leaf(self) }
    } else if !on, node >= 0 {
      wantsGrad = false
      tape?.release(node)
      (tape, node) = (nil, -1)
    }
  }

  public func clearGrad() { grad = nil }

  func accumulate(_ gradient: Value) throws {
    let sum = try grad.map { try Value.pointwise(.add, [$0.value, gradient]) } ?? gradient
    let settled = try sum.converted(to: value.layout)
    try settled.materialise()
    grad = Tensor(settled)
  }

  // MARK: - Recording

  /// The tensor of an operator's result. `backward` returns one gradient per input in order, nil
  /// where none is needed; it is dropped if no input requires a gradient.
  static func result(
    _ value: Value, of inputs: [Tensor], _ backward: @escaping (_ g: Value) throws -> [Value?]
  ) -> Tensor {
    let out = Tensor(value)
    let tape = Session.current.tape
    guard tape.isRecording, inputs.contains(where: { $0.tape === tape }) else { return out }
    if inputs.allSatisfy({ $0.tape === tape }) {
      out.put(on: tape) { $0.record(inputs: inputs.map(\.node), backward) }
    } else {
      // The others require no gradient, or belong to another session, for which they are constants.
      let kept = inputs.indices.filter { inputs[$0].tape === tape }
      out.put(on: tape) {
        $0.record(inputs: kept.map { inputs[$0].node }) { g in
          let all = try backward(g)
          return kept.map { all[$0] }
        }
      }
    }
    return out
  }

  func put(on tape: Tape, _ record: (Tape) -> Int) {
    (self.tape, node) = (tape, record(tape))
  }

  /// Drops the graph of this result.
  func leaveTape() {
    let (tape, node) = (tape, node)
    (self.tape, self.node, wantsGrad) = (nil, -1, false)
    tape?.release(node)
  }

  /// The same value without its graph.
  public func detach() -> Tensor { Tensor(value) }

  // MARK: - Making

  public static func full(_ number: Double, _ shape: [Int], _ dtype: DType = .f32) throws -> Tensor
  { Tensor(try Value.filled(number, shape: Shape.checked(shape), dtype: dtype)) }

  public static func from(_ numbers: [Double], _ shape: [Int], _ dtype: DType = .f32) throws
    -> Tensor
  {
    guard numbers.count == Shape.count(try Shape.checked(shape)) else {
      throw LunervError(
        .argument, "\(numbers.count) numbers do not fill shape \(Shape.describe(shape))")
    }
    return Tensor(try Value.from(numbers, shape: shape, dtype: dtype))
  }

  /// A tensor over a copy of raw little-endian elements.
  public static func from(bytes: UnsafeRawBufferPointer, _ shape: [Int], _ dtype: DType) throws
    -> Tensor
  {
    let value = try Value.allocate(shape, dtype)
    guard bytes.count == value.count * dtype.size else {
      throw LunervError(
        .data, "\(bytes.count) bytes do not fill \(dtype.rawValue) \(Shape.describe(shape))")
    }
    if let source = bytes.baseAddress {
      UnsafeMutableRawPointer(try value.memory(UInt8.self)).copyMemory(
        from: source, byteCount: bytes.count)
    }
    return Tensor(value)
  }

  /// A tensor over borrowed elements, which are not copied. They must not change, nor be freed,
  /// before `giveBack` is called, by the thread that releases the last tensor that reads them.
  public static func borrowing(
    _ bytes: UnsafeRawBufferPointer, _ shape: [Int], _ dtype: DType,
    giveBack: @escaping () -> Void
  ) throws -> Tensor {
    let shape = try Shape.checked(shape)
    let count = Shape.count(shape)
    guard let base = bytes.baseAddress, bytes.count == count * dtype.size else {
      throw LunervError(
        .argument, "\(bytes.count) bytes do not fill \(dtype.rawValue) \(Shape.describe(shape))")
    }
    guard Int(bitPattern: base) % dtype.size == 0 else {
      throw LunervError(
        .argument, "elements of \(dtype.rawValue) must lie at multiples of \(dtype.size) bytes")
    }
    let storage = Storage(
      borrowed: UnsafeMutableRawPointer(mutating: base), size: bytes.count, giveBack: giveBack)
    return Tensor(
      Value(shape: shape, dtype: dtype, layout: .contiguous, state: .stored(storage, offset: 0)))
  }

  /// A tensor whose contiguous elements `fill` writes completely.
  public static func made(
    _ shape: [Int], _ dtype: DType, fill: (UnsafeMutableRawBufferPointer) throws -> Void
  ) throws -> Tensor {
    let value = try Value.allocate(shape, dtype)
    try fill(
      UnsafeMutableRawBufferPointer(
        start: try value.memory(UInt8.self), count: value.count * dtype.size))
    return Tensor(value)
  }

  /// Runs `body` over the contiguous elements, computed now if they are pending.
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
    let source = try value.contiguous()
    let p = try source.memory(UInt8.self)
    return try withExtendedLifetime(source) {
      try body(UnsafeRawBufferPointer(start: p, count: source.count * dtype.size))
    }
  }

  /// A contiguous copy whose elements `body` has changed.
  public func changed(_ body: (UnsafeMutableRawBufferPointer) throws -> Void) throws -> Tensor {
    let source = try value.contiguous()
    let fresh = try Value.allocate(shape, dtype)
    let bytes = UnsafeMutableRawBufferPointer(
      start: try fresh.memory(UInt8.self), count: fresh.count * dtype.size)
    bytes.copyMemory(
      from: UnsafeRawBufferPointer(start: try source.memory(UInt8.self), count: bytes.count))
    try body(bytes)
    return Tensor(fresh)
  }

  /// An f32 image (1, 3, H, W) in [0, 1] from planar u8.
  public static func image(u8 planes: UnsafeBufferPointer<UInt8>, height: Int, width: Int) throws
    -> Tensor
  {
    let (tensor, pixels) = try emptyImage(height: height, width: width)
    guard planes.count >= pixels.count else {
      throw LunervError(
        .data, "a frame of \(width)×\(height) needs \(pixels.count) bytes, got \(planes.count)")
    }
    convert(planes, to: pixels)
    return tensor
  }

  /// An f32 image (1, 3, H, W) and its uninitialised memory: another thread may ``convert(_:to:)``
  /// into it while it is alive, before the tensor is read.
  public static func emptyImage(height: Int, width: Int) throws -> (
    Tensor, UnsafeMutableBufferPointer<Float>
  ) {
    let value = try Value.allocate([1, 3, height, width], .f32)
    let p = try value.memory(Float.self)
    return (Tensor(value), UnsafeMutableBufferPointer(start: p, count: value.count))
  }

  /// The only conversion from levels to numbers: level / 255, rounded once.
  public static func convert(
    _ levels: UnsafeBufferPointer<UInt8>, to pixels: UnsafeMutableBufferPointer<Float>
  ) {
    guard let from = levels.baseAddress, let to = pixels.baseAddress else { return }
    for i in 0..<min(levels.count, pixels.count) { to[i] = Float(from[i]) / 255 }
  }

  /// Every element in logical order.
  public func numbers() throws -> [Double] { try value.numbers() }

  /// The elements, for reading one by one.
  public func readElements() throws -> TensorElements {
    try Work.charge(count, 2)
    return try TensorElements(value.contiguous())
  }

  /// The first elements in logical order, at most `count`, read in place.
  public func first(_ count: Int) throws -> [Double] {
    try value.materialise()
    let strides = value.strides
    return try value.withType(dtype) { type in
      try first(min(count, self.count), as: type, strides)
    }
  }

  private func first<T: Numeric>(_ count: Int, as type: T.Type, _ strides: [Int]) throws -> [Double]
  {
    let p = try value.memory(T.self)
    return (0..<count).map { number in
      var (rest, offset) = (number, 0)
      for d in shape.indices.reversed() {
        offset += rest % shape[d] * strides[d]
        rest /= shape[d]
      }
      switch p[offset] {
      case let v as Float: return Double(v)
      case let v as Double: return v
      case let v as Int32: return Double(v)
      case let v as UInt8: return Double(v)
      default: return .nan
      }
    }
  }

  /// The number of a tensor of one element; `.argument` for others.
  public func item() throws -> Double {
    guard count == 1 else {
      throw LunervError(.argument, "item: expected one element, got shape \(Shape.describe(shape))")
    }
    return try value.numbers()[0]
  }

  /// Computes a pending value now.
  public func materialise() throws { try value.materialise() }

  public func cast(to dtype: DType) throws -> Tensor {
    if dtype == self.dtype { return self }
    let from = self.dtype
    let out = try value.cast(to: dtype)
    guard out.isFloating, value.isFloating else { return Tensor(out) }
    return Tensor.result(out, of: [self]) { [try $0.cast(to: from)] }
  }

  /// A copy in memory of its own; gradients flow through it.
  public func clone() throws -> Tensor {
    let source = value
    try source.materialise()
    let copy = try Value.allocate(source.shape, source.dtype, source.layout)
    UnsafeMutableRawPointer(try copy.memory(UInt8.self)).copyMemory(
      from: try source.memory(UInt8.self), byteCount: source.physicalCount * source.dtype.size)
    return Tensor.result(copy, of: [self]) { [$0] }
  }

  // MARK: - In place

  /// Another tensor of the same value, through which gradients flow: a write to one does not reach
  /// the other.
  public func another() -> Tensor { Tensor.result(value, of: [self]) { [$0] } }

  /// Marks `part` as taken from this tensor's elements by `op` (named as users write it), so that
  /// writing to it is an error. If `part` is this tensor, a new tensor of the same value is marked
  /// instead, so that the error does not depend on shapes.
  public func giving(_ part: Tensor, as op: String) -> Tensor {
    let part = part === self ? another() : part
    part.takenFrom = op
    return part
  }

  /// Allows writing to these elements, whatever tensor they were taken from: this one is now a
  /// parameter, or part of a module's state.
  public func settle() { takenFrom = nil }

  private func checkOwn(_ name: String) throws {
    if let takenFrom {
      throw LunervError(
        .argument,
        "\(name): \(takenFrom) returns a separate value, so the original tensor would not "
          + "change (assign to that one, x[{ … }] = y, or change a :clone() of this)")
    }
  }

  private func checkWritable(_ name: String) throws {
    try checkOwn(name)
    guard node < 0 || (wantsGrad && !Session.current.isRecording) else { throw onTape(name) }
  }

  private func onTape(_ name: String) -> LunervError {
    LunervError(
      .argument,
      "\(name): a tensor that gradients flow through cannot be written in place (use no_grad or :detach():clone())"
    )
  }

  /// Writes some elements by `change`, which gets the memory of ``value``, not shared with any
  /// other tensor.
  ///
  /// A computed tensor, or one without a gradient, becomes a new result: `backward` returns the
  /// gradient of its previous value, and that of `source`, which the elements come from.
  /// - Throws: for a parameter while recording, and for a computed tensor while not recording: the
  ///   graph would be wrong.
  func rewrite(
    _ name: String, from source: Tensor?, _ change: (UnsafeMutableRawPointer, Value) throws -> Void,
    backward: @escaping (_ g: Value) throws -> (() throws -> Value, () throws -> Value)
  ) throws {
    try checkOwn(name)
    let current = Session.current.tape
    let isRecording = current.isRecording
    guard node < 0 || (wantsGrad ? !isRecording : isRecording && tape === current) else {
      throw onTape(name)
    }
    try change(writableBytes(), value)
    let sourceNode = source.map { $0.tape === current ? $0.node : -1 } ?? -1
    guard isRecording, node >= 0 || sourceNode >= 0 else { return }
    let before = node
    let (needsOwn, needsSource) = (before >= 0, sourceNode >= 0)
    put(on: current) {
      $0.record(inputs: (needsOwn ? [before] : []) + (needsSource ? [sourceNode] : [])) { g in
        let (own, source) = try backward(g)
        return (needsOwn ? [try own()] : []) + (needsSource ? [try source()] : [])
      }
    }
    if before >= 0 { current.release(before) }
  }

  /// Replaces the value by another of the same shape and type.
  public func assign(_ other: Tensor, as name: String = "copy_") throws {
    try checkAssignable(other, as: name)
    let next = try other.value.converted(to: value.layout)
    try next.materialise()
    value = next
  }

  /// Throws unless ``assign(_:as:)`` would accept the other tensor.
  func checkAssignable(_ other: Tensor, as name: String) throws {
    try checkWritable(name)
    guard other.shape == shape, other.dtype == dtype else {
      throw LunervError(
        .argument,
        "\(name): expected \(dtype.rawValue) \(Shape.describe(shape)), got \(other.dtype.rawValue) \(Shape.describe(other.shape))"
      )
    }
  }

  /// The contiguous or channels-last memory, exclusive to this tensor: shared or pending values are
  /// copied first, so that no other owner sees the write.
  func writableFloats() throws -> UnsafeMutablePointer<Float> {
    try writableBytes().assumingMemoryBound(to: Float.self)
  }

  private func writableBytes() throws -> UnsafeMutableRawPointer {
    try value.materialise()
    if !isKnownUniquelyReferenced(&value) || !hasOwnStorage { value = try value.copied() }
    value.prepared = nil
    return UnsafeMutableRawPointer(try value.memory(UInt8.self))
  }

  private var hasOwnStorage: Bool {
    // Taken out of the value, the storage has one reference here unless a view shares it.
    guard case .stored(var storage, let offset) = value.state else { return false }
    value.state = .unshuffled(value, 1)
    let unique = isKnownUniquelyReferenced(&storage) && !storage.isBorrowed
    value.state = .stored(storage, offset: offset)
    return unique && offset == 0
  }

  /// Uniform draws from [lo, hi).
  public func fillUniform(_ random: inout Philox, lo: Double, hi: Double) throws {
    guard lo <= hi, (hi - lo).isFinite else {
      throw LunervError(
        .argument,
        "uniform_: expected lo ≤ hi with a finite difference, got \(lo.printable) and \(hi.printable)"
      )
    }
    try refill("uniform_") { p, n in
      random.uniform(p, count: n, lo: lo, hi: hi)
    } f64: { p, n in
      random.uniform(p, count: n, lo: lo, hi: hi)
    }
  }

  /// Normal draws; those beyond ±bound (absolute) are redrawn.
  public func fillNormal(
    _ random: inout Philox, mean: Double, deviation: Double, bound: Double = .infinity
  ) throws {
    guard mean.isFinite, deviation.isFinite, deviation >= 0 else {
      throw LunervError(
        .argument,
        "normal_: expected a finite mean and a finite std of at least 0, got \(mean.printable) and \(deviation.printable)"
      )
    }
    // Otherwise draws would almost never fall within the bound.
    guard deviation <= 100 * bound, abs(mean) - 4 * deviation < bound else {
      throw LunervError(
        .argument,
        "normal_: expected a std of at most 100 times the bound of \(bound.printable) and a mean at most 4 std beyond it, got a std of \(deviation.printable) and a mean of \(mean.printable)"
      )
    }
    // With a large deviation, nearly all draws are redrawn.
    try refill("normal_", draws: 1 + 2 * deviation / bound) { p, n in
      random.normal(p, count: n, mean: mean, deviation: deviation, bound: bound)
    } f64: { p, n in
      random.normal(p, count: n, mean: mean, deviation: deviation, bound: bound)
    }
  }

  private func refill(
    _ name: String, draws: Double = 1, f32: (UnsafeMutablePointer<Float>, Int) -> Void,
    f64: (UnsafeMutablePointer<Double>, Int) -> Void
  ) throws {
    try checkWritable(name)
    try Work.charge(count, Int(8 * draws))
    let fresh = try Value.allocate(shape, dtype)
    switch dtype {
    case .f32: f32(try fresh.memory(Float.self), fresh.count)
    case .f64: f64(try fresh.memory(Double.self), fresh.count)
    default: throw LunervError(.argument, "\(name): expected f32 or f64, got \(dtype.rawValue)")
    }
    value = try fresh.converted(to: value.layout)
  }
}

/// Contiguous elements in logical order, as f64, read in place.
public struct TensorElements {
  private let value: Value
  private let memory: UnsafeMutableRawPointer

  fileprivate init(_ value: Value) throws {
    self.value = value
    memory = UnsafeMutableRawPointer(try value.memory(UInt8.self))
  }

  public subscript(i: Int) -> Double {
    switch value.dtype {
    case .f32: Double(memory.assumingMemoryBound(to: Float.self)[i])
    case .f64: memory.assumingMemoryBound(to: Double.self)[i]
    case .i32: Double(memory.assumingMemoryBound(to: Int32.self)[i])
    case .u8, .bool: Double(memory.assumingMemoryBound(to: UInt8.self)[i])
    }
  }
}
