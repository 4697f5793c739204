import Kernels
import Support

// Operators that only move numbers or reduce dimensions: reductions, permutations, slices and
// concatenations. They are computed immediately, except sums per channel (Sweep.swift).

extension Value {
  // MARK: - Reductions

  /// Reduces over `dims` (0-based, sorted, distinct); they remain as sizes of 1.
  func reduced(_ op: ReductionOperator, over dims: [Int]) throws -> Value {
    guard isFloating else {
      throw LunervError(.argument, "a reduction requires f32 or f64, got \(dtype.rawValue)")
    }
    var out = shape
    for d in dims { out[d] = 1 }
    if op != .sum, count == 0 {
      let name = op == .maximum ? "amax" : "amin"
      throw LunervError(.argument, "\(name): expected at least one element, got none")
    }
    let real = dims.filter { shape[$0] != 1 }
    if real.isEmpty { return self }
    if layout == .channelsLast {
      guard let view = channelsLastView(real, op) else {
        return try contiguous().reduced(op, over: dims)
      }
      Session.current.profiler?.made(count)
      let result = try Value.allocate(out, dtype, view.inner > 1 ? .channelsLast : .contiguous)
      try reduce(
        program(of: Float.self), op, outer: view.outer, length: view.length, inner: view.inner,
        valid: view.valid, into: result.memory(Float.self))
      return result
    }
    guard let from = real.first, let to = real.last,
      (from...to).allSatisfy({ real.contains($0) || shape[$0] == 1 })
    else {
      let rest = shape.indices.filter { !real.contains($0) }
      let moved = try permuted(rest + real)
      let flat = try moved.reinterpreted(shape: [
        Shape.count(rest.map { shape[$0] }), Shape.count(real.map { shape[$0] }),
      ])
      return try flat.reduced(op, over: [1]).reinterpreted(shape: out)
    }
    let outer = Shape.count(Array(shape[..<from])), inner = Shape.count(Array(shape[(to + 1)...]))
    let length = Shape.count(Array(shape[from...to]))
    Session.current.profiler?.made(count)
    let result = try Value.allocate(out, dtype)
    if dtype == .f32 {
      try reduce(
        program(of: Float.self), op, outer: outer, length: length, inner: inner, valid: length,
        into: result.memory(Float.self))
    } else {
      try reduce(
        program(of: Double.self), op, outer: outer, length: length, inner: inner, valid: length,
        into: result.memory(Double.self))
    }
    return result
  }

  /// [outer][length][inner] of a channels-last reduction, if its memory order allows it.
  private func channelsLastView(_ dims: [Int], _ op: ReductionOperator)
    -> (outer: Int, length: Int, inner: Int, valid: Int)?
  {
    let (n, pixels, lanes) = (shape[0], shape[2] * shape[3], lanes)
    let padded = lanes != shape[1]
    let set = Set(dims.filter { shape[$0] != 1 })
    let space = Set([2, 3].filter { shape[$0] != 1 })
    let images: Set<Int> = shape[0] != 1 ? [0] : []
    let channel: Set<Int> = shape[1] != 1 ? [1] : []
    // Zero padding does not change a sum, but would change an extremum.
    if set == space { return (n, pixels, lanes, pixels) }
    if set == space.union(images) { return (1, n * pixels, lanes, n * pixels) }
    if set == channel { return (n * pixels, lanes, 1, shape[1]) }
    if op == .sum || !padded {
      if set == space.union(channel) { return (n, pixels * lanes, 1, pixels * lanes) }
      if set == space.union(channel).union(images) {
        return (1, n * pixels * lanes, 1, n * pixels * lanes)
      }
    }
    return nil
  }

  /// Sums to a shape that broadcasts to this one: the adjoint of broadcasting.
  func summed(to target: [Int]) throws -> Value {
    if target == shape { return self }
    let padded = Shape.padded(target, rank: shape.count)
    let dims = shape.indices.filter { padded[$0] == 1 && shape[$0] != 1 }
    if shape.count == 4, padded == [1, shape[1], 1, 1], target.count == 4, let sums = channelSums()
    {
      return sums
    }
    let sum = try reduced(.sum, over: dims)
    return target.count == shape.count ? sum : try sum.reinterpreted(shape: target)
  }

  // MARK: - Rearrangements

  func permuted(_ order: [Int]) throws -> Value {
    if order == Array(shape.indices) { return self }
    let out = try Value.allocate(order.map { shape[$0] }, dtype)
    let s = strides
    try rearrange(out, sizes: out.shape, from: order.map { s[$0] }, to: out.strides)
    return out
  }

  /// `count` entries of dimension `dim` from `first` on.
  func sliced(_ dim: Int, first: Int, count: Int) throws -> Value {
    if first == 0, count == shape[dim] { return self }
    var out = shape
    out[dim] = count
    let result = try Value.allocate(out, dtype, layout)
    let s = strides
    try withType(dtype) { type in
      try window(type, into: result, sizes: out, sourceOffset: first * s[dim], targetOffset: 0)
    }
    return result
  }

  /// The adjoint of ``sliced``: this value within zeros of shape `full`.
  func embedded(in full: [Int], _ dim: Int, first: Int) throws -> Value {
    let result = try Value.zeros(full, dtype, layout)
    try withType(dtype) { type in
      try window(
        type, into: result, sizes: shape, sourceOffset: 0,
        targetOffset: first * result.strides[dim])
    }
    return result
  }

  static func zeros(_ shape: [Int], _ dtype: DType, _ layout: Layout = .contiguous) throws -> Value
  {
    let out = try allocate(shape, dtype, layout)
    UnsafeMutableRawPointer(try out.memory(UInt8.self)).initializeMemory(
      as: UInt8.self, repeating: 0, count: out.physicalCount * dtype.size)
    return out
  }

  private func window<T>(
    _ type: T.Type, into out: Value, sizes: [Int], sourceOffset: Int, targetOffset: Int
  ) throws {
    let target = try out.memory(T.self)
    if out.layout == .channelsLast, out.lanes != out.shape[1],
      sourceOffset != 0 || targetOffset == 0
    {
      if out.shape == sizes {
        UnsafeMutableRawPointer(target).initializeMemory(
          as: UInt8.self, repeating: 0, count: out.physicalCount * dtype.size)
      }
    }
    stridedCopy(
      sizes: sizes, from: try memory(T.self) + sourceOffset, strides: strides,
      to: target + targetOffset, strides: out.strides)
  }

  static func concatenated(_ values: [Value], _ dim: Int) throws -> Value {
    var out = values[0].shape
    out[dim] = try Shape.sum(values.map { $0.shape[dim] })
    // Each is copied separately.
    try Work.charge(values.count, Work.call / 2)
    let dtype = values[0].dtype
    let layout =
      out.count == 4 && values.contains { $0.layout == .channelsLast }
      ? Layout.channelsLast : .contiguous
    let result = try zeros(out, dtype, layout)
    var first = 0
    for v in values {
      try withType(dtype) { type in
        try v.window(
          type, into: result, sizes: v.shape, sourceOffset: 0,
          targetOffset: first * result.strides[dim])
      }
      first += v.shape[dim]
    }
    return result
  }
}
