import Kernels
import Support

// Rearranged elements: running sums, flipped and rolled dimensions, triangles, grids.

extension Value {
  /// Cumulative sums along a dimension, up to each number or from each number on.
  func cumulativeSum(_ dim: Int, backwards: Bool) throws -> Value {
    let (source, outer, length, inner) = try lines(along: dim)
    try Work.charge(count, 2)
    let out = try Value.allocate(shape, dtype, source.layout)
    func go<T: PointwiseScalar>(_: T.Type) throws {
      try CumulativeSum.run(
        source.memory(T.self), outer: outer, length: length, inner: inner, backwards: backwards,
        into: out.memory(T.self))
    }
    if dtype == .f32 { try go(Float.self) } else { try go(Double.self) }
    return out
  }

  /// Memory for a copy in the layout of this value; padding lanes are zero.
  private func similar() throws -> Value {
    layout == .channelsLast && lanes != shape[1]
      ? try Value.zeros(shape, dtype, layout) : try Value.allocate(shape, dtype, layout)
  }

  func flipped(_ dims: [Int]) throws -> Value {
    if count == 0 { return self }
    let out = try similar()
    var steps = strides
    var first = 0
    for d in dims {
      first += (shape[d] - 1) * steps[d]
      steps[d] = -steps[d]
    }
    func go<T>(_: T.Type) throws {
      stridedCopy(
        sizes: shape, from: try memory(T.self) + first, strides: steps, to: try out.memory(T.self),
        strides: out.strides)
    }
    try Value.withType(dtype) { try go($0) }
    return out
  }

  /// `shifts`, one per dimension, are between 0 and its size: element i goes to i + shift.
  func rolled(_ shifts: [Int]) throws -> Value {
    if count == 0 || shifts.allSatisfy({ $0 == 0 }) { return self }
    let out = try similar()
    // For each dimension that shifts: the elements that stay before the end, and those that wrap
    // around.
    var blocks = [(from: 0, to: 0, sizes: shape)]
    for d in shape.indices where shifts[d] != 0 {
      let (n, shift, step) = (shape[d], shifts[d], strides[d])
      blocks = blocks.flatMap { block in
        var (stays, wraps) = (block, block)
        stays.sizes[d] = n - shift
        stays.to += shift * step
        wraps.sizes[d] = shift
        wraps.from += (n - shift) * step
        return [stays, wraps]
      }
    }
    func go<T>(_: T.Type) throws {
      for block in blocks {
        stridedCopy(
          sizes: block.sizes, from: try memory(T.self) + block.from, strides: strides,
          to: try out.memory(T.self) + block.to, strides: strides)
      }
    }
    try Value.withType(dtype) { try go($0) }
    return out
  }

  func triangle(_ diagonal: Int, lower: Bool) throws -> Value {
    let source = try contiguous()
    let out = try Value.allocate(shape, dtype)
    let (rows, columns) = (shape[shape.count - 2], shape[shape.count - 1])
    let planes = Shape.count(Array(shape.dropLast(2)))
    func go<T: StoredScalar>(_: T.Type) throws {
      try IndexedMoves.triangle(
        source.memory(T.self), planes: planes, rows: rows, columns: columns, diagonal: diagonal,
        lower: lower, into: out.memory(T.self))
    }
    if count > 0 { try Value.withStored(dtype) { try go($0) } }
    return out
  }
}

extension Tensor {
  private func check(_ dims: [Int], _ name: String) throws {
    for d in dims { try checked(dim: d, for: name) }
  }

  /// Cumulative sums along a dimension. Integers are summed in f64, as by ``sum(_:keep:)``.
  public func cumulativeSum(_ dim: Int) throws -> Tensor {
    if !isFloating { return try cast(to: .f64).cumulativeSum(dim) }
    if shape.isEmpty, dim == 0 { return self }
    try check([dim], "cumsum")
    return Tensor.result(try value.cumulativeSum(dim, backwards: false), of: [self]) {
      [try $0.cumulativeSum(dim, backwards: true)]
    }
  }

  /// Dimensions in reverse order.
  public func flipped(_ dims: [Int]) throws -> Tensor {
    try check(dims, "flip")
    guard Set(dims).count == dims.count else {
      throw LunervError(.argument, "flip: a dimension is named twice")
    }
    return Tensor.result(try value.flipped(dims), of: [self]) { [try $0.flipped(dims)] }
  }

  /// Elements shifted by a number of places along each dimension, with wrap-around; along the
  /// flattened tensor if no dimensions are given.
  public func rolled(_ shifts: [Int], _ dims: [Int]?) throws -> Tensor {
    guard let dims else {
      guard shifts.count == 1 else {
        throw LunervError(
          .argument, "roll: expected one shift without dimensions, got \(shifts.count)")
      }
      return try viewed([count]).rolled(shifts, [0]).viewed(shape)
    }
    try check(dims, "roll")
    guard shifts.count == dims.count else {
      throw LunervError(
        .argument,
        "roll: expected a shift for each dimension, got \(shifts.count) for \(dims.count)")
    }
    var all = [Int](repeating: 0, count: shape.count)
    for (shift, d) in zip(shifts, dims) where shape[d] > 0 {
      let rest = shift % shape[d]
      all[d] = (all[d] + (rest < 0 ? rest + shape[d] : rest)) % shape[d]
    }
    let back = zip(all, shape).map { $0 == 0 ? 0 : $1 - $0 }
    return Tensor.result(try value.rolled(all), of: [self]) { [try $0.rolled(back)] }
  }

  /// The lower (upper) triangle of matrices; other elements become 0.
  public func triangle(_ diagonal: Int, lower: Bool) throws -> Tensor {
    let name = lower ? "tril" : "triu"
    guard shape.count >= 2 else {
      throw LunervError(
        .argument, "\(name): expected (…, rows, columns), got \(Shape.describe(shape))")
    }
    let diagonal = min(max(diagonal, -1 << 50), 1 << 50)
    return Tensor.result(try value.triangle(diagonal, lower: lower), of: [self]) {
      [try $0.triangle(diagonal, lower: lower)]
    }
  }

  /// Coordinates of a grid over lists of numbers: for each list a tensor that varies along its own
  /// dimension; `columnsFirst` exchanges the first two.
  public static func grid(_ lists: [Tensor], columnsFirst: Bool) throws -> [Tensor] {
    for (i, list) in lists.enumerated() where list.shape.count != 1 {
      throw LunervError(
        .argument,
        "meshgrid: tensor \(i + 1): expected one dimension, got \(Shape.describe(list.shape))")
    }
    var order = Array(lists.indices)
    if columnsFirst, lists.count >= 2 { order.swapAt(0, 1) }
    let shape = try Shape.checked(order.map { lists[$0].count })
    return try lists.enumerated().map { i, list in
      var sizes = [Int](repeating: 1, count: lists.count)
      sizes[order[i]] = list.count
      return try list.viewed(sizes).expanded(to: shape)
    }
  }
}
