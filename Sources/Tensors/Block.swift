import Kernels
import Support

/// A block of a tensor's elements: in each dimension, evenly spaced entries.
public struct Block: Sendable {
  public struct Entries: Equatable, Sendable {
    /// Counted from 0.
    public var first: Int
    public var count: Int
    public var step: Int
    /// Whether the dimension, which has one entry, is dropped from the block's shape.
    public var isDropped: Bool

    public init(first: Int, count: Int, step: Int = 1, isDropped: Bool = false) {
      // A single entry has no step; any number here could overflow.
      (self.first, self.count, self.step, self.isDropped) = (
        first, count, count > 1 ? step : 1, isDropped
      )
    }
  }

  /// One per dimension, all within the tensor: the caller has checked that.
  public var dims: [Entries]

  public init(_ dims: [Entries]) { self.dims = dims }

  /// The sizes, with dropped dimensions as 1.
  var counts: [Int] { dims.map(\.count) }
  public var shape: [Int] { dims.filter { !$0.isDropped }.map(\.count) }

  func offset(_ strides: [Int]) -> Int { zip(dims, strides).reduce(0) { $0 + $1.0.first * $1.1 } }
  func strides(_ strides: [Int]) -> [Int] { zip(dims, strides).map { $0.step * $1 } }
}

extension Value {
  /// The elements of a block, in its shape.
  func picked(_ block: Block) throws -> Value {
    let counts = block.counts
    if counts == shape {
      return try block.shape == shape ? self : reinterpreted(shape: block.shape)
    }
    // Channels stay last if all dimensions are kept; padding lanes are zero.
    let isWhole = layout == .channelsLast && block.shape.count == shape.count
    let out =
      isWhole
      ? try Value.zeros(counts, dtype, .channelsLast) : try Value.allocate(counts, dtype)
    try withType(dtype) { try copy($0, block, to: out) }
    return block.shape == counts ? out : try out.reinterpreted(shape: block.shape)
  }

  private func copy<T>(_ type: T.Type, _ block: Block, to out: Value) throws {
    stridedCopy(
      sizes: out.shape, from: try memory(T.self) + block.offset(strides),
      strides: block.strides(strides), to: try out.memory(T.self), strides: out.strides)
  }

  /// Writes this value, broadcast to the block's shape, into the block of memory in `target`'s
  /// layout.
  func put<T>(
    _ type: T.Type, _ block: Block, into memory: UnsafeMutablePointer<T>, of target: Value
  ) throws {
    try Work.charge(Shape.count(block.counts), 1)
    // A dimension that is dropped, or along which this value broadcasts, has stride 0.
    var steps: [Int] = []
    var d = shape.count - block.shape.count
    let own = strides
    for entries in block.dims {
      if entries.isDropped {
        steps.append(0)
      } else {
        steps.append(d < 0 || shape[d] == 1 ? 0 : own[d])
        d += 1
      }
    }
    stridedCopy(
      sizes: block.counts, from: try self.memory(T.self), strides: steps,
      to: memory + block.offset(target.strides), strides: block.strides(target.strides))
  }

  /// The adjoint of ``picked``: this value within zeros of shape `full`.
  func spread(_ block: Block, in full: [Int]) throws -> Value {
    let isWhole = layout == .channelsLast && full.count == shape.count
    let out = try Value.zeros(full, dtype, isWhole ? .channelsLast : .contiguous)
    try withType(dtype) { try put($0, block, into: out) }
    return out
  }

  /// This value with a block set to zero: the adjoint of writing one.
  func cleared(_ block: Block) throws -> Value {
    let out = try copied()
    let zero = try Value.zeros([], dtype)
    try withType(dtype) { try zero.put($0, block, into: out) }
    return out
  }

  private func put<T>(_ type: T.Type, _ block: Block, into out: Value) throws {
    try put(type, block, into: out.memory(T.self), of: out)
  }

  /// The same numbers in separate memory.
  func copied() throws -> Value {
    try materialise()
    let copy = try Value.allocate(shape, dtype, layout)
    UnsafeMutableRawPointer(try copy.memory(UInt8.self)).copyMemory(
      from: try memory(UInt8.self), byteCount: physicalCount * dtype.size)
    return copy
  }
}

// MARK: - Single elements

extension Value {
  /// The positions of a mask's ones, in logical order.
  func places() throws -> [Int] {
    try Work.charge(count, 4)
    let source = try contiguous()
    try Session.current.memory.checkRoom(for: try Shape.product(count, 8))
    func find<T: Numeric>(_: T.Type) throws -> [Int] {
      let p = try source.memory(T.self)
      var places: [Int] = []
      for i in 0..<count {
        if p[i] == 1 {
          places.append(i)
        } else if p[i] != 0 {
          throw LunervError(
            .argument,
            "tensor: a mask must contain zeros and ones, got \(p[i]) (:index_select and :gather take "
              + "indices)")
        }
      }
      return places
    }
    switch dtype {
    case .f32: return try find(Float.self)
    case .f64: return try find(Double.self)
    case .i32: return try find(Int32.self)
    case .u8, .bool: return try find(UInt8.self)
    }
  }

  /// The elements at these positions of the logical order, as a row.
  func elements(_ places: [Int]) throws -> Value {
    let source = try contiguous()
    let out = try Value.allocate([places.count], dtype)
    func go<T>(_: T.Type) throws {
      let (from, to) = (try source.memory(T.self), try out.memory(T.self))
      for (i, place) in places.enumerated() { to[i] = from[place] }
    }
    switch dtype.size {
    case 8: try go(UInt64.self)
    case 4: try go(UInt32.self)
    default: try go(UInt8.self)
    }
    return out
  }

  /// Writes this row, or its one number, to these positions of memory in `target`'s layout.
  func put(_ places: [Int], into memory: UnsafeMutableRawPointer, of target: Value) throws {
    try Work.charge(places.count, 1)
    let source = try contiguous()
    let step = count == 1 ? 0 : 1
    let (shape, strides, isPlain) = (
      target.shape, target.strides, target.layout == .contiguous
    )
    func go<T>(_: T.Type) throws {
      let from = try source.memory(T.self)
      let to = memory.assumingMemoryBound(to: T.self)
      for (i, place) in places.enumerated() {
        var at = place
        if !isPlain {
          var rest = place
          at = 0
          for d in shape.indices.reversed() {
            at += rest % shape[d] * strides[d]
            rest /= shape[d]
          }
        }
        to[at] = from[i * step]
      }
    }
    switch dtype.size {
    case 8: try go(UInt64.self)
    case 4: try go(UInt32.self)
    default: try go(UInt8.self)
    }
  }
}
