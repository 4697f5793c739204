import Kernels
import Support

// Elements gathered from positions, and scattered to positions, that an i32 tensor gives along one
// dimension. Users count from 1, or from the end if negative; ``Value/places(of:name:)`` checks
// that once, and from there on positions count from 0.

extension Value {
  /// Runs `body` with the Swift type of a dtype, for kernels that sort and move elements.
  static func withStored<R>(_ dtype: DType, _ body: (any StoredScalar.Type) throws -> R) rethrows
    -> R
  {
    switch dtype {
    case .f32: try body(Float.self)
    case .f64: try body(Double.self)
    case .i32: try body(Int32.self)
    case .u8, .bool: try body(UInt8.self)
    }
  }

  /// This index into a dimension of `count` entries, as checked positions from 0.
  func places(of count: Int, name: String) throws -> Value {
    guard dtype == .i32 else {
      throw LunervError(
        .argument, "\(name): expected an i32 index, got \(dtype.rawValue) (use :to)")
    }
    guard count <= Int(Int32.max) else {
      throw LunervError(
        .argument, "\(name): expected at most \(Int32.max) positions, got \(count)")
    }
    let source = try contiguous()
    let out = try Value.allocate(shape, .i32)
    let (from, to) = (try source.memory(Int32.self), try out.memory(Int32.self))
    for i in 0..<self.count {
      let given = Int(from[i])
      let place = given > 0 ? given - 1 : given + count
      guard place >= 0, place < count, given != 0 else {
        throw LunervError(
          .argument,
          given == 0
            ? "\(name): positions count from 1, got 0"
            : "\(name): expected a position from 1 to \(count), got \(given)")
      }
      to[i] = Int32(place)
    }
    return out
  }

  /// Positions that are already checked.
  static func places(_ list: [Int]) throws -> Value {
    let out = try Value.allocate([list.count], .i32)
    let to = try out.memory(Int32.self)
    for (i, place) in list.enumerated() { to[i] = Int32(truncatingIfNeeded: place) }
    return out
  }

  /// This value as [outer][length][inner] along a dimension; a computation by lines may keep its
  /// layout.
  func lines(along dim: Int) throws -> (source: Value, outer: Int, length: Int, inner: Int) {
    if layout == .channelsLast, dim != 1 {
      let sizes = [shape[0], shape[2], shape[3], lanes]
      let at = dim == 0 ? 0 : dim - 1
      return (
        self, Shape.count(Array(sizes[..<at])), sizes[at], Shape.count(Array(sizes[(at + 1)...]))
      )
    }
    return (
      try contiguous(), Shape.count(Array(shape[..<dim])), shape[dim],
      Shape.count(Array(shape[(dim + 1)...]))
    )
  }

  // MARK: - One position per element

  fileprivate static func lines(_ dim: Int, _ index: [Int], within other: [Int]) -> IndexedLines {
    IndexedLines(
      dim, index: index, strides: Shape.contiguousStrides(index),
      other: Shape.contiguousStrides(other))
  }

  /// out[…, i, …] = self[…, places[…, i, …], …], in the shape of `places`.
  func gathered(_ dim: Int, _ places: Value) throws -> Value {
    let source = try contiguous()
    let out = try Value.allocate(places.shape, dtype)
    let lines = Value.lines(dim, places.shape, within: shape)
    func go<T: StoredScalar>(_: T.Type) throws {
      try IndexedMoves.gather(
        lines, places.memory(Int32.self), from: source.memory(T.self), into: out.memory(T.self))
    }
    try Value.withStored(dtype) { try go($0) }
    return out
  }

  /// A copy of this value with `source` written to the positions; the last one wins.
  func scattering(_ dim: Int, _ places: Value, _ source: Value) throws -> Value {
    let (target, source) = (try contiguous().copied(), try source.contiguous())
    let lines = Value.lines(dim, places.shape, within: shape)
    func go<T: StoredScalar>(_: T.Type) throws {
      try IndexedMoves.scatter(
        lines, places.memory(Int32.self), source.memory(T.self), into: target.memory(T.self))
    }
    try Value.withStored(dtype) { try go($0) }
    return target
  }

  /// A copy of this value with `source` added at the positions, in order.
  func scatterAdding(_ dim: Int, _ places: Value, _ source: Value) throws -> Value {
    let (target, source) = (try contiguous().copied(), try source.contiguous())
    try Work.charge(source.count, 1)
    let lines = Value.lines(dim, places.shape, within: shape)
    func go<T: PointwiseScalar>(_: T.Type) throws {
      try IndexedMoves.scatterAdd(
        lines, places.memory(Int32.self), source.memory(T.self), into: target.memory(T.self))
    }
    if dtype == .f32 { try go(Float.self) } else { try go(Double.self) }
    return target
  }

  // MARK: - One position per slice

  /// The slices of a dimension at `places`.
  func selected(_ dim: Int, _ places: Value) throws -> Value {
    var shape = self.shape
    shape[dim] = places.count
    let (source, outer, length, inner) = try lines(along: dim)
    let out = try Value.allocate(shape, dtype, source.layout)
    func go<T: StoredScalar>(_: T.Type) throws {
      try IndexedMoves.select(
        source.memory(T.self), outer: outer, length: length, inner: inner,
        places.memory(Int32.self), places.count, into: out.memory(T.self))
    }
    try Value.withStored(dtype) { try go($0) }
    return out
  }

  /// A copy of this value with the slices of `source` added at `places`, in order.
  func addingSlices(_ dim: Int, _ places: Value, _ source: Value) throws -> Value {
    let (own, outer, length, inner) = try lines(along: dim)
    let source = try source.converted(to: own.layout)
    try Work.charge(source.count, 1)
    let target = try own.copied()
    func go<T: PointwiseScalar>(_: T.Type) throws {
      try IndexedMoves.add(
        source.memory(T.self), places.memory(Int32.self), places.count,
        into: target.memory(T.self), outer: outer, length: length, inner: inner)
    }
    if dtype == .f32 { try go(Float.self) } else { try go(Double.self) }
    return target
  }
}

extension Tensor {
  /// Checks that an index of shape `index` fits this tensor in all dimensions but one, and
  /// `source`, if given, in all.
  private func checkFit(_ dim: Int, _ index: [Int], _ source: [Int]?, _ name: String) throws {
    try checked(dim: dim, for: name)
    guard index.count == shape.count,
      index.indices.allSatisfy({ $0 == dim || index[$0] <= shape[$0] })
    else {
      throw LunervError(
        .argument,
        "\(name): an index of shape \(Shape.describe(index)) does not fit \(Shape.describe(shape))")
    }
    if let source {
      guard source.count == index.count, zip(index, source).allSatisfy({ $0 <= $1 }) else {
        throw LunervError(
          .argument,
          "\(name): an index of shape \(Shape.describe(index)) does not fit a source of "
            + Shape.describe(source))
      }
    }
  }

  /// out[…, i, …] = x[…, index[…, i, …], …] in the index's shape; the index counts from 1.
  public func gathered(_ dim: Int, _ index: Tensor) throws -> Tensor {
    try checkFit(dim, index.shape, nil, "gather")
    return try gathered(dim, places: index.value.places(of: shape[dim], name: "gather"))
  }

  /// The same for positions that count from 0, in a given shape.
  public func gathered(_ dim: Int, _ index: [Int], shape out: [Int]) throws -> Tensor {
    try checkFit(dim, Shape.checked(out), nil, "gather")
    guard index.count == Shape.count(out) else {
      throw LunervError(
        .argument, "gather: \(index.count) indices do not fill \(Shape.describe(out))")
    }
    try checkPlaces(index, dim, "gather")
    return try gathered(dim, places: Value.places(index).reinterpreted(shape: out))
  }

  private func gathered(_ dim: Int, places: Value) throws -> Tensor {
    let full = shape
    return Tensor.result(try value.gathered(dim, places), of: [self]) { g in
      [try Value.zeros(full, g.dtype).scatterAdding(dim, places, g)]
    }
  }

  private func checkPlaces(_ list: [Int], _ dim: Int, _ name: String) throws {
    if let wrong = list.first(where: { $0 < 0 || $0 >= shape[dim] || $0 > Int(Int32.max) }) {
      throw LunervError(
        .argument, "\(name): expected an index from 1 to \(shape[dim]), got \(wrong + 1)")
    }
  }

  /// The part of this source that an index of this shape covers.
  private func narrowed(to index: [Int]) throws -> Tensor {
    if shape == index { return self }
    return try picked(Block(index.map { Block.Entries(first: 0, count: $0) }))
  }

  private func checkSource(_ source: Tensor, _ name: String) throws {
    guard source.dtype == dtype else {
      throw LunervError(
        .argument,
        "\(name): expected a source of \(dtype.rawValue), got \(source.dtype.rawValue) (use :to)")
    }
  }

  /// This tensor with out[…, index[…, i, …], …] = source[…, i, …]; the last write to a position
  /// wins.
  public func scattered(_ dim: Int, _ index: Tensor, _ source: Tensor) throws -> Tensor {
    try checkFit(dim, index.shape, source.shape, "scatter")
    try checkSource(source, "scatter")
    let places = try index.value.places(of: shape[dim], name: "scatter")
    let source = try source.narrowed(to: index.shape)
    let full = shape
    let (needOwn, needSource) = (node >= 0, source.node >= 0)
    let out = try value.scattering(dim, places, source.value)
    return Tensor.result(out, of: [self, source]) { g in
      var own: Value?
      if needOwn { own = try g.scattering(dim, places, Value.zeros(places.shape, g.dtype)) }
      guard needSource else { return [own, nil] }
      // Which element each position holds: only elements that remain have a gradient.
      let turns = try Value.turns(along: dim, places.shape)
      let stayed = try Value.zeros(full, .i32).scattering(dim, places, turns)
        .gathered(dim, places)
      let mask = try Value.pointwise(.equal, [stayed, turns]).cast(to: g.dtype)
      let zero = try Value.zeros([1], g.dtype)
      return [own, try Value.pointwise(.choose, [g.gathered(dim, places), zero, mask])]
    }
  }

  /// This tensor with source[…, i, …] added at […, index[…, i, …], …], in the order of i.
  public func scatterAdded(_ dim: Int, _ index: Tensor, _ source: Tensor) throws -> Tensor {
    try checkFit(dim, index.shape, source.shape, "scatter_add")
    try checkSource(source, "scatter_add")
    if !isFloating {
      return try exactly(source) { try $0.scatterAdded(dim, index, $1) }
    }
    let places = try index.value.places(of: shape[dim], name: "scatter_add")
    let source = try source.narrowed(to: index.shape)
    let (needOwn, needSource) = (node >= 0, source.node >= 0)
    let out = try value.scatterAdding(dim, places, source.value)
    return Tensor.result(out, of: [self, source]) { g in
      [needOwn ? g : nil, needSource ? try g.gathered(dim, places) : nil]
    }
  }

  /// Sums of integers, in f64 and converted back; an error if one does not fit.
  private func exactly(_ source: Tensor, _ body: (Tensor, Tensor) throws -> Tensor) throws
    -> Tensor
  {
    let sum = try body(cast(to: .f64), source.cast(to: .f64))
    return Tensor(try sum.value.narrowed(to: dtype))
  }

  /// Slices of a dimension, by positions that count from 0.
  public func selected(_ dim: Int, _ index: [Int]) throws -> Tensor {
    try checked(dim: dim, for: "index_select")
    try checkPlaces(index, dim, "index_select")
    return try selected(dim, places: Value.places(index))
  }

  /// Slices of a dimension, by an index of one dimension, which counts from 1.
  public func selected(_ dim: Int, _ index: Tensor) throws -> Tensor {
    try checked(dim: dim, for: "index_select")
    try index.checkList("index_select")
    return try selected(dim, places: index.value.places(of: shape[dim], name: "index_select"))
  }

  private func selected(_ dim: Int, places: Value) throws -> Tensor {
    var out = shape
    out[dim] = places.count
    _ = try Shape.checked(out)
    let (full, layout) = (shape, value.layout)
    return Tensor.result(try value.selected(dim, places), of: [self]) { g in
      [try Value.zeros(full, g.dtype, layout).addingSlices(dim, places, g)]
    }
  }

  private func checkList(_ name: String) throws {
    guard shape.count == 1 else {
      throw LunervError(
        .argument, "\(name): expected an index of one dimension, got \(Shape.describe(shape))")
    }
  }

  /// This tensor with the slices of `source` added at the index's positions, in order.
  public func addingSlices(_ dim: Int, _ index: Tensor, _ source: Tensor) throws -> Tensor {
    try checked(dim: dim, for: "index_add")
    try index.checkList("index_add")
    try checkSource(source, "index_add")
    var expected = shape
    expected[dim] = index.count
    guard source.shape == expected else {
      throw LunervError(
        .argument,
        "index_add: expected a source of \(Shape.describe(expected)), got "
          + Shape.describe(source.shape))
    }
    if !isFloating { return try exactly(source) { try $0.addingSlices(dim, index, $1) } }
    let places = try index.value.places(of: shape[dim], name: "index_add")
    let (needOwn, needSource) = (node >= 0, source.node >= 0)
    let out = try value.addingSlices(dim, places, source.value)
    return Tensor.result(out, of: [self, source]) { g in
      [needOwn ? g : nil, needSource ? try g.selected(dim, places) : nil]
    }
  }

  /// 1 at the class that each number of this i32 tensor names, counted from 1, and 0 elsewhere: a
  /// last dimension of `classes`, by default the largest number.
  public func oneHot(_ classes: Int?, _ dtype: DType) throws -> Tensor {
    guard self.dtype == .i32 else {
      throw LunervError(.argument, "one_hot: expected i32, got \(self.dtype.rawValue) (use :to)")
    }
    let source = try value.contiguous()
    let p = try source.memory(Int32.self)
    var largest: Int32 = 0
    for i in 0..<count {
      guard p[i] > 0 else {
        throw LunervError(.argument, "one_hot: classes count from 1, got \(p[i])")
      }
      largest = max(largest, p[i])
    }
    let classes = classes ?? Int(largest)
    guard classes >= Int(largest) else {
      throw LunervError(
        .argument, "one_hot: expected classes from 1 to \(classes), got \(largest)")
    }
    let out = try Value.zeros(shape + [classes], dtype)
    func go<T: Numeric>(_: T.Type) throws {
      let to = try out.memory(T.self)
      for i in 0..<count { to[i * classes + Int(p[i]) - 1] = 1 }
    }
    try Value.withType(dtype) { try go($0) }
    return Tensor(out)
  }
}

extension Value {
  /// An i32 tensor of a shape that counts along one dimension, from 0.
  fileprivate static func turns(along dim: Int, _ shape: [Int]) throws -> Value {
    let out = try Value.allocate(shape, .i32)
    let p = try out.memory(Int32.self)
    let inner = max(1, Shape.count(Array(shape[(dim + 1)...])))
    for i in 0..<out.count { p[i] = Int32(truncatingIfNeeded: i / inner % shape[dim]) }
    return out
  }
}
