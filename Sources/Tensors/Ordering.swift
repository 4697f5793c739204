import Kernels
import Support

// Order: sorting, top k, argmax and argmin, unique numbers. Positions are i32 and count from 1,
// as users see them. Gradients flow to the selected elements.

extension Value {
  /// The first `taken` along a dimension in order, and their positions from 1.
  func sorted(_ dim: Int, descending: Bool, taken: Int, name: String) throws -> (
    values: Value, places: Value
  ) {
    let source = try contiguous()
    let (outer, length, inner) = (
      Shape.count(Array(shape[..<dim])), shape[dim], Shape.count(Array(shape[(dim + 1)...]))
    )
    try checkCounts(length, name)
    // About the cost of the passes over keys.
    try Work.charge(count, 16)
    var out = shape
    out[dim] = taken
    let values = try Value.allocate(out, dtype), places = try Value.allocate(out, .i32)
    let work = try Value.allocate(
      [count > 0 ? Ordering.workBytes(lines: outer * inner, length: length) / 8 : 0], .f64)
    func go<T: StoredScalar>(_: T.Type) throws {
      try Ordering.sort(
        source.memory(T.self), outer: outer, length: length, inner: inner, descending: descending,
        taken: taken, values: values.memory(T.self), places: places.memory(Int32.self),
        work: work.memory(UInt8.self))
    }
    try Value.withStored(dtype) { try go($0) }
    return (values, places)
  }

  fileprivate func checkCounts(_ length: Int, _ name: String) throws {
    guard length <= Int(Int32.max) else {
      throw LunervError(.argument, "\(name): expected at most \(Int32.max) numbers, got \(length)")
    }
  }

  /// The positions from 1 of the first largest or smallest elements; the dimension remains as 1.
  func extremes(_ dim: Int, largest: Bool, name: String) throws -> Value {
    let source = try contiguous()
    let (outer, length, inner) = (
      Shape.count(Array(shape[..<dim])), shape[dim], Shape.count(Array(shape[(dim + 1)...]))
    )
    try checkCounts(length, name)
    guard length > 0 else {
      throw LunervError(
        .argument, "\(name): expected at least one element, got \(Shape.describe(shape))")
    }
    try Work.charge(count, 1)
    var out = shape
    out[dim] = 1
    let places = try Value.allocate(out, .i32)
    func go<T: StoredScalar>(_: T.Type) throws {
      try Ordering.extremes(
        source.memory(T.self), outer: outer, length: length, inner: inner, largest: largest,
        into: places.memory(Int32.self))
    }
    try Value.withStored(dtype) { try go($0) }
    return places
  }
}

extension Tensor {
  /// A dimension of this tensor; a scalar counts as a list of one.
  private func ordered(_ dim: Int, _ name: String) throws -> (Tensor, Int) {
    if shape.isEmpty, dim == 0 { return (try viewed([1]), 0) }
    return (self, try checked(dim: dim, for: name))
  }

  private func taking(_ dim: Int, descending: Bool, taken: Int, _ name: String) throws -> (
    values: Tensor, places: Tensor
  ) {
    let (values, places) = try value.sorted(
      dim, descending: descending, taken: taken, name: name)
    let full = shape
    let out = Tensor.result(values, of: [self]) { g in
      let from0 = try places.places(of: full[dim], name: name)
      return [try Value.zeros(full, g.dtype).scattering(dim, from0, g)]
    }
    return (out, Tensor(places))
  }

  /// The elements of a dimension in order, and their positions; equal ones keep their order.
  public func sorted(_ dim: Int, descending: Bool, as name: String = "sort") throws -> (
    values: Tensor, places: Tensor
  ) {
    let (x, d) = try ordered(dim, name)
    let (values, places) = try x.taking(d, descending: descending, taken: x.shape[d], name)
    return (try values.viewed(shape), try places.viewed(shape))
  }

  /// The `k` largest (smallest) of a dimension in order, and their positions.
  public func top(_ k: Int, _ dim: Int, largest: Bool) throws -> (values: Tensor, places: Tensor) {
    let (x, d) = try ordered(dim, "topk")
    guard k >= 0, k <= x.shape[d] else {
      throw LunervError(.argument, "topk: expected from 0 to \(x.shape[d]) numbers, got \(k)")
    }
    return try x.taking(d, descending: largest, taken: k, "topk")
  }

  /// The position of the first largest (smallest) element along a dimension; in the flattened
  /// tensor if `dim` is nil.
  public func argExtremum(_ dim: Int?, largest: Bool, keep: Bool) throws -> Tensor {
    let name = largest ? "argmax" : "argmin"
    guard let dim else {
      let place = try value.reinterpreted(shape: [count]).extremes(0, largest: largest, name: name)
      return Tensor(
        try place.reinterpreted(shape: keep ? [Int](repeating: 1, count: shape.count) : []))
    }
    let (x, d) = try ordered(dim, name)
    let places = try x.value.extremes(d, largest: largest, name: name)
    var out = shape
    if shape.isEmpty { return Tensor(try places.reinterpreted(shape: [])) }
    if keep { return Tensor(places) }
    out.remove(at: d)
    return Tensor(try places.reinterpreted(shape: out))
  }

  /// The distinct numbers of this tensor in order; for each element, the position of its number
  /// among them; how often each occurs.
  public func distinct() throws -> (values: Tensor, inverse: Tensor, counts: Tensor) {
    let n = count
    let flat = try value.reinterpreted(shape: [n])
    let (sorted, places) = try flat.sorted(0, descending: false, taken: n, name: "unique")
    let inverse = try Value.allocate(shape, .i32)
    var groups = 0
    func number<T: StoredScalar>(_: T.Type) throws {
      groups = try Ordering.numberGroups(
        sorted.memory(T.self), places: places.memory(Int32.self), count: n,
        groups: inverse.memory(Int32.self))
    }
    try Value.withStored(dtype) { try number($0) }
    let values = try Value.allocate([groups], dtype), counts = try Value.allocate([groups], .i32)
    func gather<T: StoredScalar>(_: T.Type) throws {
      try Ordering.gatherGroups(
        sorted.memory(T.self), count: n, values: values.memory(T.self),
        counts: counts.memory(Int32.self))
    }
    try Value.withStored(dtype) { try gather($0) }
    return (Tensor(values), Tensor(inverse), Tensor(counts))
  }
}
