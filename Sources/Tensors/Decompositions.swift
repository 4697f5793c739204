import Kernels
import Support

// Decompositions of matrices (…, m, n) and solutions of linear equations, with their gradients.

/// The most rows and columns of a matrix: LAPACK counts in 32 bits.
private let mostRows = 1 << 14

extension Value {
  fileprivate var rows: Int { shape[shape.count - 2] }
  fileprivate var columns: Int { shape[shape.count - 1] }
  fileprivate var matrices: Int { Shape.count(Array(shape.dropLast(2))) }
  fileprivate var batch: [Int] { Array(shape.dropLast(2)) }

  fileprivate func transposed() throws -> Value {
    var order = Array(shape.indices)
    order.swapAt(shape.count - 2, shape.count - 1)
    return try permuted(order)
  }

  /// Working memory: this many numbers of this type, and integers, for each piece of the matrices.
  private func workspace(_ numbers: Int, _ integers: Int) throws -> (Value, Value) {
    let pieces = LinearAlgebra.pieces(matrices)
    return (
      try Value.allocate([pieces, numbers], dtype), try Value.allocate([pieces, integers], .i32)
    )
  }

  private func withScalar<R>(_ body: (any AlgebraScalar.Type) throws -> R) rethrows -> R {
    dtype == .f32 ? try body(Float.self) : try body(Double.self)
  }

  /// Throws "solve: …" for the first matrix whose status is not 0.
  private func check(_ status: Value, _ name: String, _ words: (Int) -> String) throws {
    let p = try status.memory(Int32.self)
    guard let i = (0..<status.count).first(where: { p[$0] != 0 }) else { return }
    let place = status.count > 1 ? " (matrix \(i + 1) of \(status.count))" : ""
    throw LunervError(.argument, "\(name): \(words(Int(p[i])))\(place)")
  }

  fileprivate func eigenvectors() throws -> (values: Value, vectors: Value) {
    let (n, source) = (rows, try contiguous())
    try Work.charge(matrices, n, n, 10 * n)
    let values = try Value.allocate(batch + [n], dtype), vectors = try Value.allocate(shape, dtype)
    let room = LinearAlgebra.eigenWork(n)
    let (work, integers) = try workspace(room.numbers, room.integers)
    let status = try Value.zeros([matrices], .i32)
    func go<T: AlgebraScalar>(_: T.Type) throws {
      try LinearAlgebra.eigenvectors(
        matrices, n, source.memory(T.self), values: values.memory(T.self),
        vectors: vectors.memory(T.self), work: work.memory(T.self),
        integers: integers.memory(Int32.self), status: status.memory(Int32.self))
    }
    if count > 0 { try withScalar { try go($0) } }
    try check(status, "eigh") { _ in "the iteration did not converge" }
    return (values, vectors)
  }

  fileprivate func qr() throws -> (q: Value, r: Value) {
    let (m, n, source) = (rows, columns, try contiguous())
    try Work.charge(matrices, m, n, 4 * n)
    let q = try Value.allocate(shape, dtype), r = try Value.allocate(batch + [n, n], dtype)
    let (work, _) = try workspace(LinearAlgebra.reflectionsWork(m, n), 0)
    func go<T: AlgebraScalar>(_: T.Type) throws {
      try LinearAlgebra.qr(
        matrices, m, n, source.memory(T.self), q: q.memory(T.self), r: r.memory(T.self),
        work: work.memory(T.self))
    }
    if count > 0 { try withScalar { try go($0) } }
    return (q, r)
  }

  fileprivate func solve(_ b: Value, transposed: Bool) throws -> Value {
    let (n, k) = (rows, b.columns)
    try Work.charge(matrices, n, n, n + 2 * k)
    let (a, b) = (try contiguous(), try b.contiguous())
    let x = try Value.allocate(b.shape, dtype)
    let room = LinearAlgebra.solveWork(n, k)
    let (work, integers) = try workspace(room.numbers, room.integers)
    let status = try Value.zeros([matrices], .i32)
    func go<T: AlgebraScalar>(_: T.Type) throws {
      try LinearAlgebra.solve(
        matrices, n, k, a.memory(T.self), transposed: transposed, b.memory(T.self),
        into: x.memory(T.self), work: work.memory(T.self), integers: integers.memory(Int32.self),
        status: status.memory(Int32.self))
    }
    if count > 0 { try withScalar { try go($0) } }
    try check(status, "solve") { _ in "the matrix is singular" }
    return x
  }

  fileprivate func cholesky() throws -> Value {
    let (n, source) = (rows, try contiguous())
    try Work.charge(matrices, n, n, n)
    let out = try Value.allocate(shape, dtype)
    let status = try Value.zeros([matrices], .i32)
    func go<T: AlgebraScalar>(_: T.Type) throws {
      try LinearAlgebra.cholesky(
        matrices, n, source.memory(T.self), into: out.memory(T.self),
        status: status.memory(Int32.self))
    }
    if count > 0 { try withScalar { try go($0) } }
    try check(status, "cholesky") {
      "expected a positive definite matrix, got one whose leading \($0)×\($0) block is not"
    }
    return out
  }

  /// t⁻¹·self or self·t⁻¹ for a triangular t or its transpose.
  fileprivate func solvingTriangular(
    _ t: Value, _ side: LinearAlgebra.Side, lower: Bool, transposed: Bool
  ) throws -> Value {
    try Work.charge(matrices, rows, columns, t.rows)
    let out = try contiguous().copied()
    let t = try t.contiguous()
    func go<T: AlgebraScalar>(_: T.Type) throws {
      try LinearAlgebra.solveTriangular(
        matrices, rows, columns, t.memory(T.self), side, lower: lower, transposed: transposed,
        out.memory(T.self))
    }
    if count > 0 { try withScalar { try go($0) } }
    return out
  }

  fileprivate func halfOfBoth(_ other: Value) throws -> Value {
    try Value.pointwise(.multiplyConstant, [Value.pointwise(.add, [self, other])], p: 0.5)
  }

  fileprivate var areFinite: Bool {
    get throws {
      let source = try contiguous()
      func go<T: AlgebraScalar>(_: T.Type) throws -> Bool {
        try LinearAlgebra.areFinite(source.memory(T.self), count)
      }
      return try withScalar { try go($0) }
    }
  }
}

extension Tensor {
  private func checkMatrix(_ name: String, square: Bool) throws {
    let what = square ? "(…, n, n)" : "(…, m, n)"
    guard shape.count >= 2, !square || shape[shape.count - 1] == shape[shape.count - 2] else {
      throw LunervError(.argument, "\(name): expected \(what), got \(Shape.describe(shape))")
    }
    guard isFloating else {
      throw LunervError(.argument, "\(name): expected f32 or f64, got \(dtype.rawValue) (use :to)")
    }
    guard let largest = shape.suffix(2).max(), largest <= mostRows else {
      throw LunervError(
        .argument,
        "\(name): expected at most \(mostRows) rows and columns, got \(Shape.describe(shape))")
    }
    guard try value.areFinite else {
      throw LunervError(.argument, "\(name): expected finite numbers, got inf or nan")
    }
  }

  /// Ascending eigenvalues (…, n) of symmetric matrices, read from the lower triangle, and
  /// eigenvectors (…, n, n) as columns. The gradient of the vectors is not finite for equal
  /// eigenvalues.
  public func eigenvectors() throws -> (values: Tensor, vectors: Tensor) {
    try checkMatrix("eigh", square: true)
    let (values, vectors) = try value.eigenvectors()
    let n = shape[shape.count - 1]
    let batch = Array(shape.dropLast(2))
    func symmetric(_ inner: Value) throws -> Value {
      let half = try Value.product(vectors, false, inner, false)
      let whole = try Value.product(half, false, vectors, true)
      return try whole.halfOfBoth(whole.transposed())
    }
    let l = Tensor.result(values, of: [self]) { g in
      // V·diag(g)·Vᵀ.
      let scaled = try Value.pointwise(
        .multiply, [vectors, g.reinterpreted(shape: batch + [1, n])])
      return [try Value.product(scaled, false, vectors, true)]
    }
    let v = Tensor.result(vectors, of: [self]) { g in
      // V·((Vᵀg)ᵢⱼ/(λⱼ − λᵢ))·Vᵀ, zeros on the diagonal.
      let turned = try Value.product(vectors, true, g, false)
      let gaps = try Value.pointwise(
        .subtract,
        [
          values.reinterpreted(shape: batch + [1, n]), values.reinterpreted(shape: batch + [n, 1]),
        ])
      let diagonal = try Value.filled(1, shape: [n, n], dtype: g.dtype)
        .triangle(0, lower: true).triangle(0, lower: false)
      let zero = try Value.zeros([1], g.dtype)
      let shares = try Value.pointwise(.divide, [turned, gaps])
      return [try symmetric(Value.pointwise(.choose, [zero, shares, diagonal]))]
    }
    return (l, v)
  }

  /// The reduced decomposition of matrices (…, m, n): q (…, m, k) with orthonormal columns and the
  /// upper triangular r (…, k, n), k = min(m, n).
  public func qr() throws -> (q: Tensor, r: Tensor) {
    try checkMatrix("qr", square: false)
    let (m, n, last) = (shape[shape.count - 2], shape[shape.count - 1], shape.count - 1)
    if m < n {
      // The first columns give q, the others follow.
      guard m > 0 else { return (try Tensor.full(0, shape.dropLast() + [0], dtype), self) }
      let (q, first) = try sliced(last, 0, m - 1).qr()
      var order = Array(shape.indices)
      order.swapAt(last, last - 1)
      let rest = try q.permuted(order).matmul(sliced(last, m, n - 1))
      return (q, try Tensor.concatenated([first, rest], last))
    }
    let (q, r) = try value.qr()
    /// (g + q·(the upper triangle of `half` mirrored))·r⁻ᵀ.
    func gradient(_ g: Value?, _ half: Value) throws -> Value {
      try r.checkRank()
      let mirrored = try Value.pointwise(
        .add,
        [half.triangle(0, lower: false), half.triangle(1, lower: false).transposed()])
      let turned = try Value.product(q, false, mirrored, false)
      let sum = try g.map { try Value.pointwise(.add, [$0, turned]) } ?? turned
      return try sum.solvingTriangular(r, .right, lower: false, transposed: true)
    }
    let tensorQ = Tensor.result(q, of: [self]) { g in
      let half = try Value.pointwise(.negate, [Value.product(q, true, g, false)])
      return [try gradient(g, half)]
    }
    let tensorR = Tensor.result(r, of: [self]) { g in
      [try gradient(nil, Value.product(g, false, r, true))]
    }
    return (tensorQ, tensorR)
  }

  /// Solves a·x = b for matrices a (…, n, n) and b (…, n, k), whose leading sizes broadcast; or for
  /// vectors b: (n), or (…, n) with the leading sizes of the matrices.
  public func solve(_ b: Tensor) throws -> Tensor {
    try checkMatrix("solve", square: true)
    let isVector = b.shape == shape.dropLast() || b.shape.count == 1
    let right = isVector ? try b.viewed(b.shape + [1]) : b
    let n = shape[shape.count - 1]
    guard right.shape.count >= 2, right.shape[right.shape.count - 2] == n else {
      throw LunervError(
        .argument,
        "solve: expected (…, \(n), k) or (…, \(n)) with \(Shape.describe(shape)), got "
          + Shape.describe(b.shape))
    }
    guard b.dtype == dtype else {
      throw LunervError(
        .argument, "solve: \(dtype.rawValue) and \(b.dtype.rawValue) do not mix (use :to)")
    }
    let batch = try Shape.broadcast(
      Array(shape.dropLast(2)), Array(right.shape.dropLast(2)), for: "solve")
    let a = try expanded(to: batch + [n, n])
    let y = try right.expanded(to: batch + right.shape.suffix(2))
    let av = a.value
    let (needA, needB) = (a.node >= 0, y.node >= 0)
    let x = try av.solve(y.value, transposed: false)
    let out = Tensor.result(x, of: [a, y]) { g in
      let gb = try av.solve(g, transposed: true)
      guard needA else { return [nil, needB ? gb : nil] }
      let ga = try Value.pointwise(.negate, [Value.product(gb, false, x, true)])
      return [ga, needB ? gb : nil]
    }
    return isVector ? try out.viewed(Array(out.shape.dropLast())) : out
  }

  /// The Cholesky factors l, lower triangular, of positive definite matrices l·lᵀ, of which only
  /// the lower triangle is read.
  public func cholesky() throws -> Tensor {
    try checkMatrix("cholesky", square: true)
    let l = try value.cholesky()
    return Tensor.result(l, of: [self]) { g in
      // l⁻ᵀ·(the lower triangle of lᵀg, its diagonal halved)·l⁻¹, made symmetric.
      let product = try Value.product(l, true, g, false)
      let half = try product.triangle(0, lower: true)
        .halfOfBoth(product.triangle(-1, lower: true))
      let whole = try half.solvingTriangular(l, .left, lower: true, transposed: true)
        .solvingTriangular(l, .right, lower: true, transposed: false)
      return [try whole.halfOfBoth(whole.transposed())]
    }
  }
}

extension Value {
  /// - Throws: if a triangle is not invertible.
  fileprivate func checkRank() throws {
    let (n, numbers) = (columns, try self.numbers())
    for i in 0..<matrices {
      for j in 0..<n where numbers[(i * n + j) * n + j] == 0 {
        throw LunervError(
          .argument, "qr: expected linearly independent columns for a gradient, got dependent ones")
      }
    }
  }
}
