import COpenBLAS

// Batched matrix decompositions by LAPACK. Matrices here are row-major, as tensors are. To LAPACK,
// which is column-major, they are their transposes. LAPACK uses one thread per matrix.

/// The scalars that LAPACK computes with.
public protocol AlgebraScalar: PointwiseScalar {
  /// syevd: replaces a symmetric matrix by its eigenvectors, as rows; returns the status.
  static func eigenvectors(
    _ n: Int, _ a: UnsafeMutablePointer<Self>, _ values: UnsafeMutablePointer<Self>,
    _ work: UnsafeMutablePointer<Self>, _ integers: UnsafeMutablePointer<Int32>
  ) -> Int
  /// geqrf: replaces a matrix by r and the Householder reflections that make q.
  static func reflections(
    _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Self>, _ tau: UnsafeMutablePointer<Self>,
    _ work: UnsafeMutablePointer<Self>)
  /// orgqr: replaces reflections by the first n columns of q.
  static func orthogonal(
    _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Self>, _ tau: UnsafeMutablePointer<Self>,
    _ work: UnsafeMutablePointer<Self>)
  /// potrf: replaces a lower triangle by its Cholesky factor; returns the status.
  static func cholesky(_ n: Int, _ a: UnsafeMutablePointer<Self>) -> Int
  /// gesv: replaces b, k columns, by a⁻¹·b, and a by its factors; returns the status.
  static func solve(
    _ n: Int, _ k: Int, _ a: UnsafeMutablePointer<Self>, transposed: Bool,
    _ b: UnsafeMutablePointer<Self>, _ pivots: UnsafeMutablePointer<Int32>
  ) -> Int
  /// trsm: replaces b (m×n) by the product of a triangular matrix's inverse and b.
  static func triangularSolve(
    _ m: Int, _ n: Int, _ a: UnsafePointer<Self>, _ side: CBLAS_SIDE, _ half: CBLAS_UPLO,
    _ transpose: CBLAS_TRANSPOSE, _ b: UnsafeMutablePointer<Self>)
}

/// Working memory, in elements, that Householder reflections of a matrix of n columns need.
private func reflectionWork(_ n: Int) -> Int { 64 * max(n, 1) }

extension Float: AlgebraScalar {
  public static func eigenvectors(
    _ n: Int, _ a: UnsafeMutablePointer<Float>, _ values: UnsafeMutablePointer<Float>,
    _ work: UnsafeMutablePointer<Float>, _ integers: UnsafeMutablePointer<Int32>
  ) -> Int {
    var (size, info) = (blasint(n), blasint(0))
    var (floats, counts) = (blasint(1 + 6 * n + 2 * n * n), blasint(3 + 5 * n))
    ssyevd_("V", "U", &size, a, &size, values, work, &floats, integers, &counts, &info, 1, 1)
    return Int(info)
  }
  public static func reflections(
    _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Float>, _ tau: UnsafeMutablePointer<Float>,
    _ work: UnsafeMutablePointer<Float>
  ) {
    var (rows, columns, room, info) = (
      blasint(m), blasint(n), blasint(reflectionWork(n)), blasint(0)
    )
    sgeqrf_(&rows, &columns, a, &rows, tau, work, &room, &info)
  }
  public static func orthogonal(
    _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Float>, _ tau: UnsafeMutablePointer<Float>,
    _ work: UnsafeMutablePointer<Float>
  ) {
    var (rows, columns, room, info) = (
      blasint(m), blasint(n), blasint(reflectionWork(n)), blasint(0)
    )
    sorgqr_(&rows, &columns, &columns, a, &rows, tau, work, &room, &info)
  }
  public static func cholesky(_ n: Int, _ a: UnsafeMutablePointer<Float>) -> Int {
    var (size, info) = (blasint(n), blasint(0))
    spotrf_("U", &size, a, &size, &info, 1)
    return Int(info)
  }
  public static func solve(
    _ n: Int, _ k: Int, _ a: UnsafeMutablePointer<Float>, transposed: Bool,
    _ b: UnsafeMutablePointer<Float>, _ pivots: UnsafeMutablePointer<Int32>
  ) -> Int {
    var (size, columns, info) = (blasint(n), blasint(k), blasint(0))
    sgetrf_(&size, &size, a, &size, pivots, &info)
    if info != 0 || k == 0 { return Int(info) }
    sgetrs_(transposed ? "N" : "T", &size, &columns, a, &size, pivots, b, &size, &info, 1)
    return Int(info)
  }
  public static func triangularSolve(
    _ m: Int, _ n: Int, _ a: UnsafePointer<Float>, _ side: CBLAS_SIDE, _ half: CBLAS_UPLO,
    _ transpose: CBLAS_TRANSPOSE, _ b: UnsafeMutablePointer<Float>
  ) {
    cblas_strsm(
      CblasRowMajor, side, half, transpose, CblasNonUnit, blasint(m), blasint(n), 1, a,
      blasint(side == CblasLeft ? m : n), b, blasint(n))
  }
}

extension Double: AlgebraScalar {
  public static func eigenvectors(
    _ n: Int, _ a: UnsafeMutablePointer<Double>, _ values: UnsafeMutablePointer<Double>,
    _ work: UnsafeMutablePointer<Double>, _ integers: UnsafeMutablePointer<Int32>
  ) -> Int {
    var (size, info) = (blasint(n), blasint(0))
    var (floats, counts) = (blasint(1 + 6 * n + 2 * n * n), blasint(3 + 5 * n))
    dsyevd_("V", "U", &size, a, &size, values, work, &floats, integers, &counts, &info, 1, 1)
    return Int(info)
  }
  public static func reflections(
    _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Double>, _ tau: UnsafeMutablePointer<Double>,
    _ work: UnsafeMutablePointer<Double>
  ) {
    var (rows, columns, room, info) = (
      blasint(m), blasint(n), blasint(reflectionWork(n)), blasint(0)
    )
    dgeqrf_(&rows, &columns, a, &rows, tau, work, &room, &info)
  }
  public static func orthogonal(
    _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Double>, _ tau: UnsafeMutablePointer<Double>,
    _ work: UnsafeMutablePointer<Double>
  ) {
    var (rows, columns, room, info) = (
      blasint(m), blasint(n), blasint(reflectionWork(n)), blasint(0)
    )
    dorgqr_(&rows, &columns, &columns, a, &rows, tau, work, &room, &info)
  }
  public static func cholesky(_ n: Int, _ a: UnsafeMutablePointer<Double>) -> Int {
    var (size, info) = (blasint(n), blasint(0))
    dpotrf_("U", &size, a, &size, &info, 1)
    return Int(info)
  }
  public static func solve(
    _ n: Int, _ k: Int, _ a: UnsafeMutablePointer<Double>, transposed: Bool,
    _ b: UnsafeMutablePointer<Double>, _ pivots: UnsafeMutablePointer<Int32>
  ) -> Int {
    var (size, columns, info) = (blasint(n), blasint(k), blasint(0))
    dgetrf_(&size, &size, a, &size, pivots, &info)
    if info != 0 || k == 0 { return Int(info) }
    dgetrs_(transposed ? "N" : "T", &size, &columns, a, &size, pivots, b, &size, &info, 1)
    return Int(info)
  }
  public static func triangularSolve(
    _ m: Int, _ n: Int, _ a: UnsafePointer<Double>, _ side: CBLAS_SIDE, _ half: CBLAS_UPLO,
    _ transpose: CBLAS_TRANSPOSE, _ b: UnsafeMutablePointer<Double>
  ) {
    cblas_dtrsm(
      CblasRowMajor, side, half, transpose, CblasNonUnit, blasint(m), blasint(n), 1, a,
      blasint(side == CblasLeft ? m : n), b, blasint(n))
  }
}

public enum LinearAlgebra {
  /// The number of pieces that matrices are shared out in, each with its own working memory.
  public static func pieces(_ matrices: Int) -> Int { min(max(matrices, 1), 16) }

  private static func forEach(_ matrices: Int, _ body: (_ piece: Int, _ matrix: Int) -> Void) {
    _ = singleThreaded
    let pieces = pieces(matrices)
    ThreadPool.shared.run(pieces) { piece in
      for i in (matrices * piece / pieces)..<(matrices * (piece + 1) / pieces) { body(piece, i) }
    }
  }

  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func areFinite<T: AlgebraScalar>(_ x: UnsafePointer<T>, _ count: Int) -> Bool {
    for i in 0..<count where !x[i].isFinite { return false }
    return true
  }

  private static func transpose<T>(
    _ rows: Int, _ columns: Int, _ x: UnsafePointer<T>, into y: UnsafeMutablePointer<T>
  ) {
    for i in 0..<rows { for j in 0..<columns { y[j * rows + i] = x[i * columns + j] } }
  }

  /// Working memory for ``eigenvectors``: elements, and 4-byte integers.
  public static func eigenWork(_ n: Int) -> (numbers: Int, integers: Int) {
    (1 + 6 * n + 3 * n * n, 3 + 5 * n)
  }

  /// Ascending eigenvalues of symmetric matrices, of which the lower triangle is read, and
  /// eigenvectors as columns. The element of largest magnitude of each, the first if several are
  /// equal, is positive.
  ///
  /// A status other than 0 means that the iteration did not converge.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func eigenvectors<T: AlgebraScalar>(
    _ matrices: Int, _ n: Int, _ x: UnsafePointer<T>, values: UnsafeMutablePointer<T>,
    vectors: UnsafeMutablePointer<T>, work: UnsafeMutablePointer<T>,
    integers: UnsafeMutablePointer<Int32>, status: UnsafeMutablePointer<Int32>
  ) {
    let room = eigenWork(n)
    forEach(matrices) { piece, i in
      let a = work + piece * room.numbers
      a.update(from: x + i * n * n, count: n * n)
      status[i] = Int32(
        truncatingIfNeeded: T.eigenvectors(
          n, a, values + i * n, a + n * n, integers + piece * room.integers))
      for j in 0..<n {
        let vector = a + j * n
        var largest: T = 0
        for k in 0..<n where abs(vector[k]) > abs(largest) { largest = vector[k] }
        if largest < 0 { for k in 0..<n { vector[k] = -vector[k] } }
      }
      transpose(n, n, a, into: vectors + i * n * n)
    }
  }

  /// Working memory for ``qr``, in elements.
  public static func reflectionsWork(_ m: Int, _ n: Int) -> Int { m * n + n + reflectionWork(n) }

  /// q (m×n) with orthonormal columns and the upper triangular r (n×n) whose product is x, m ≥ n.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func qr<T: AlgebraScalar>(
    _ matrices: Int, _ m: Int, _ n: Int, _ x: UnsafePointer<T>, q: UnsafeMutablePointer<T>,
    r: UnsafeMutablePointer<T>, work: UnsafeMutablePointer<T>
  ) {
    let room = reflectionsWork(m, n)
    forEach(matrices) { piece, i in
      let a = work + piece * room
      let tau = a + m * n
      transpose(m, n, x + i * m * n, into: a)
      T.reflections(m, n, a, tau, tau + n)
      let target = r + i * n * n
      for row in 0..<n {
        for column in 0..<n { target[row * n + column] = column < row ? 0 : a[column * m + row] }
      }
      T.orthogonal(m, n, a, tau, tau + n)
      transpose(n, m, a, into: q + i * m * n)
    }
  }

  /// Working memory for ``solve``: elements, and 4-byte integers.
  public static func solveWork(_ n: Int, _ k: Int) -> (numbers: Int, integers: Int) {
    (n * n + n * k, n)
  }

  /// The solutions x (n×k) of a·x = b, or of aᵀ·x = b. The status of a singular matrix is positive.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func solve<T: AlgebraScalar>(
    _ matrices: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<T>, transposed: Bool,
    _ b: UnsafePointer<T>, into x: UnsafeMutablePointer<T>, work: UnsafeMutablePointer<T>,
    integers: UnsafeMutablePointer<Int32>, status: UnsafeMutablePointer<Int32>
  ) {
    let room = solveWork(n, k)
    forEach(matrices) { piece, i in
      let factors = work + piece * room.numbers
      let columns = factors + n * n
      factors.update(from: a + i * n * n, count: n * n)
      transpose(n, k, b + i * n * k, into: columns)
      status[i] = Int32(
        truncatingIfNeeded: T.solve(
          n, k, factors, transposed: transposed, columns, integers + piece * room.integers))
      transpose(k, n, columns, into: x + i * n * k)
    }
  }

  /// The Cholesky factor l, lower triangular, of x = l·lᵀ, of which only the lower triangle is
  /// read. The status is positive if x is not positive definite.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func cholesky<T: AlgebraScalar>(
    _ matrices: Int, _ n: Int, _ x: UnsafePointer<T>, into l: UnsafeMutablePointer<T>,
    status: UnsafeMutablePointer<Int32>
  ) {
    forEach(matrices) { _, i in
      let target = l + i * n * n
      target.update(from: x + i * n * n, count: n * n)
      status[i] = Int32(truncatingIfNeeded: T.cholesky(n, target))
      for row in 0..<n { (target + row * n + row + 1).update(repeating: 0, count: n - row - 1) }
    }
  }

  /// Which side of a product a triangular matrix is on.
  public enum Side: Sendable { case left, right }

  /// Replaces b (m×n) by t⁻¹·b or b·t⁻¹, for a triangular t or its transpose.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func solveTriangular<T: AlgebraScalar>(
    _ matrices: Int, _ m: Int, _ n: Int, _ t: UnsafePointer<T>, _ side: Side, lower: Bool,
    transposed: Bool, _ b: UnsafeMutablePointer<T>
  ) {
    let size = side == .left ? m : n
    forEach(matrices) { _, i in
      T.triangularSolve(
        m, n, t + i * size * size, side == .left ? CblasLeft : CblasRight,
        lower ? CblasLower : CblasUpper, transposed ? CblasTrans : CblasNoTrans, b + i * m * n)
    }
  }
}
