import Kernels
import Support

// Differentiable operators that move or reduce. Dimensions count from 0 and are checked here; an
// error names the operator and both sides.

extension Tensor {
  @discardableResult
  func checked(dim: Int, for name: String) throws -> Int {
    guard dim >= 0, dim < shape.count else {
      throw LunervError(
        .argument,
        "\(name): expected a dimension of shape \(Shape.describe(shape)), got \(dim + 1)")
    }
    return dim
  }

  // MARK: - Reductions

  private func checked(dims: [Int]?, for name: String) throws -> [Int] {
    let dims = try (dims ?? Array(shape.indices)).map { try checked(dim: $0, for: name) }
    guard Set(dims).count == dims.count else {
      throw LunervError(.argument, "\(name): a dimension is named twice")
    }
    return dims.sorted()
  }

  private static func dropped(_ shape: [Int], _ dims: [Int], keep: Bool) -> [Int] {
    keep ? shape : shape.indices.filter { !dims.contains($0) }.map { shape[$0] }
  }

  /// The sum over `dims` (all if nil), which remain as 1 with `keep`. Integers are summed in f64,
  /// exactly up to 2⁵³.
  public func sum(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
    if !isFloating { return try cast(to: .f64).sum(dims, keep: keep) }
    let dims = try checked(dims: dims, for: "sum")
    let (full, prefer) = (shape, value.layout)
    let reduced = try value.reduced(.sum, over: dims)
    let kept = reduced.shape
    let out =
      keep ? reduced : try reduced.reinterpreted(shape: Tensor.dropped(kept, dims, keep: false))
    return Tensor.result(out, of: [self]) { g in
      let g = keep ? g : try g.reinterpreted(shape: kept)
      return [try Value.pointwise(.copy, [g], shape: full, prefer: prefer)]
    }
  }

  public func mean(_ dims: [Int]? = nil, keep: Bool = false) throws -> Tensor {
    let checkedDims = try checked(dims: dims, for: "mean")
    let n = Shape.count(checkedDims.map { shape[$0] })
    return try sum(dims, keep: keep).multiplied(by: 1 / Double(n))
  }

  /// Σ(x − mean)²/(n − 1 when unbiased, else n).
  public func variance(_ dims: [Int]? = nil, keep: Bool = false, unbiased: Bool = false) throws
    -> Tensor
  {
    if !isFloating {
      return try cast(to: .f64).variance(dims, keep: keep, unbiased: unbiased)
    }
    let checkedDims = try checked(dims: dims, for: "var")
    let n = Shape.count(checkedDims.map { shape[$0] })
    let centred = try subtracting(mean(dims, keep: true))
    return try centred.squared().sum(dims, keep: keep)
      .multiplied(by: 1 / Double(max(unbiased ? n - 1 : n, 1)))
  }

  /// √variance; for constant input the gradient is 0.
  public func deviation(_ dims: [Int]? = nil, keep: Bool = false, unbiased: Bool = false) throws
    -> Tensor
  { try variance(dims, keep: keep, unbiased: unbiased).squareRootOfVariance() }

  /// The largest (smallest) element; ties share its gradient.
  public func extremum(_ op: ReductionOperator, _ dims: [Int]? = nil, keep: Bool = false) throws
    -> Tensor
  {
    if !isFloating {
      let best = try cast(to: .f64).extremum(op, dims, keep: keep)
      return Tensor(try best.value.narrowed(to: dtype))
    }
    let dims = try checked(dims: dims, for: op == .maximum ? "amax" : "amin")
    let x = value
    let reduced = try x.reduced(op, over: dims)
    let kept = reduced.shape
    let out =
      keep ? reduced : try reduced.reinterpreted(shape: Tensor.dropped(kept, dims, keep: false))
    return Tensor.result(out, of: [self]) { g in
      let g = keep ? g : try g.reinterpreted(shape: kept)
      let ties = try Value.pointwise(.equal, [x, reduced])
      let count = try ties.reduced(.sum, over: dims)
      return [try Value.pointwise(.multiply, [ties, Value.pointwise(.divide, [g, count])])]
    }
  }

  // MARK: - Shape

  /// The same elements in logical order under another shape; one size may be −1.
  public func viewed(_ sizes: [Int], as name: String = "view") throws -> Tensor {
    var sizes = sizes
    let wild = sizes.indices.filter { sizes[$0] == -1 }
    func fail() -> LunervError {
      LunervError(
        .argument,
        "\(name): \(Shape.describe(shape)) has \(count) elements, which do not fill \(Shape.describe(sizes))"
      )
    }
    guard wild.count <= 1 else { throw LunervError(.argument, "\(name): only one size may be -1") }
    if let w = wild.first {
      let known = Shape.count(
        try Shape.checked(sizes.enumerated().map { $0.offset == w ? 1 : $0.element }))
      guard known > 0, count % known == 0 else { throw fail() }
      sizes[w] = count / known
    }
    guard Shape.count(try Shape.checked(sizes)) == count else { throw fail() }
    let from = shape
    if sizes == from { return self }
    return Tensor.result(try value.reinterpreted(shape: sizes), of: [self]) {
      [try $0.reinterpreted(shape: from)]
    }
  }

  public func permuted(_ order: [Int]) throws -> Tensor {
    guard order.sorted() == Array(shape.indices) else {
      throw LunervError(
        .argument,
        "permute: expected each of 1…\(shape.count) once, got \(Shape.describe(order.map { $0 + 1 }))"
      )
    }
    var inverse = order
    for (i, d) in order.enumerated() { inverse[d] = i }
    return Tensor.result(try value.permuted(order), of: [self]) { [try $0.permuted(inverse)] }
  }

  /// Entries `first...last` of a dimension.
  public func sliced(_ dim: Int, _ first: Int, _ last: Int) throws -> Tensor {
    let dim = try checked(dim: dim, for: "slice")
    guard first >= 0, first <= last, last < shape[dim] else {
      throw LunervError(
        .argument,
        "slice: expected positions from 1 to \(shape[dim]), got \(first + 1) to \(last + 1)")
    }
    let full = shape
    return Tensor.result(try value.sliced(dim, first: first, count: last - first + 1), of: [self]) {
      [try $0.embedded(in: full, dim, first: first)]
    }
  }

  public static func concatenated(_ tensors: [Tensor], _ dim: Int) throws -> Tensor {
    guard let first = tensors.first else {
      throw LunervError(.argument, "cat: expected at least one tensor")
    }
    let dim = try first.checked(dim: dim, for: "cat")
    for t in tensors {
      var shape = t.shape
      if shape.count == first.shape.count { shape[dim] = first.shape[dim] }
      guard shape == first.shape, t.dtype == first.dtype else {
        throw LunervError(
          .argument,
          "cat: \(t.dtype.rawValue) \(Shape.describe(t.shape)) does not join \(first.dtype.rawValue) \(Shape.describe(first.shape)) along dimension \(dim + 1)"
        )
      }
    }
    let sizes = tensors.map { $0.shape[dim] }
    let needs = tensors.map { $0.node >= 0 }
    return Tensor.result(try Value.concatenated(tensors.map(\.value), dim), of: tensors) { g in
      var start = 0
      return try sizes.indices.map { i in
        defer { start += sizes[i] }
        return needs[i] ? try g.sliced(dim, first: start, count: sizes[i]) : nil
      }
    }
  }
}
