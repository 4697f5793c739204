import COpenBLAS

/// Limits OpenBLAS to one thread, since its results depend on the number of threads. Read this
/// before its first call.
let singleThreaded: Void = openblas_set_num_threads(1)

/// Matrix products by OpenBLAS, split by shape and shared among our own threads.
public enum MatrixProduct {
  /// C[m×n] = A[m×k]·B[k×n], row-major; a transposed operand is stored as k×m (n×k).
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func multiply<T: PointwiseScalar>(
    m: Int, n: Int, k: Int, a: UnsafePointer<T>, transposeA: Bool, b: UnsafePointer<T>,
    transposeB: Bool, c: UnsafeMutablePointer<T>
  ) {
    _ = singleThreaded
    guard m > 0, n > 0 else { return }
    if k == 0 {
      c.update(repeating: 0, count: m * n)
      return
    }
    let work = m * n * k
    let rowPieces = work < 1 << 18 ? 1 : min(8, max(1, m / 32))
    let columnPieces = work < 1 << 18 || rowPieces > 1 ? 1 : min(8, max(1, n / 64))
    ThreadPool.shared.run(rowPieces * columnPieces) { piece in
      let (i, j) = (piece / columnPieces, piece % columnPieces)
      let (r0, r1) = (m * i / rowPieces, m * (i + 1) / rowPieces)
      let (c0, c1) = (n * j / columnPieces, n * (j + 1) / columnPieces)
      gemm(
        m: r1 - r0, n: c1 - c0, k: k, a + (transposeA ? r0 : r0 * k), transposeA,
        transposeA ? m : k, b + (transposeB ? c0 * k : c0), transposeB, transposeB ? k : n,
        c + r0 * n + c0, n)
    }
  }

  private static func gemm<T: PointwiseScalar>(
    m: Int, n: Int, k: Int, _ a: UnsafePointer<T>, _ ta: Bool, _ lda: Int, _ b: UnsafePointer<T>,
    _ tb: Bool, _ ldb: Int, _ c: UnsafeMutablePointer<T>, _ ldc: Int
  ) {
    let (ta, tb) = (ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans)
    let (a, b, c) = (UnsafeRawPointer(a), UnsafeRawPointer(b), UnsafeMutableRawPointer(c))
    if T.self == Float.self {
      cblas_sgemm(
        CblasRowMajor, ta, tb, blasint(m), blasint(n), blasint(k), 1,
        a.assumingMemoryBound(to: Float.self), blasint(lda),
        b.assumingMemoryBound(to: Float.self), blasint(ldb), 0,
        c.assumingMemoryBound(to: Float.self), blasint(ldc))
    } else {
      cblas_dgemm(
        CblasRowMajor, ta, tb, blasint(m), blasint(n), blasint(k), 1,
        a.assumingMemoryBound(to: Double.self), blasint(lda),
        b.assumingMemoryBound(to: Double.self), blasint(ldb), 0,
        c.assumingMemoryBound(to: Double.self), blasint(ldc))
    }
  }
}
