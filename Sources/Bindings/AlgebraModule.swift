import LuaBridge
import Support
import Tensors

/// Linear algebra for Lua, and the inverse Fourier transform.
enum AlgebraModule {
  private struct Size: LuaOptions {
    var width: Int?
    static var luaFields: [LuaField<Size>] {
      [LuaField("width", \.width, doc: "of the image (2·(columns − 1), which is even)")]
    }
  }

  static func define(_ s: TensorSurface) {
    s.pure(
      "eigh",
      doc: """
        Eigenvalues, ascending, and eigenvectors, as columns, of symmetric matrices (…, n, n).
        Only the lower triangle is read. Unlike PyTorch, signs are fixed: in each vector, the entry
        of largest magnitude is positive. If eigenvalues are equal, their vectors are not unique,
        and the gradient of vectors is not finite, as in PyTorch; that of eigenvalues is.

            local values, vectors = (x + x:t()):eigh()

        @return lunerv.Tensor  the values (…, n)
        @return lunerv.Tensor  the vectors (…, n, n)
        """
    ) { (x: Tensor) -> LuaResults in
      let (values, vectors) = try x.eigenvectors()
      return LuaResults(values, vectors)
    }
    s.pure(
      "qr",
      doc: """
        Matrices (…, m, n) as products of q (…, m, k), whose columns are orthonormal, and an upper
        triangular r (…, k, n); k is the smaller of m and n.
        Unlike PyTorch, there is no other mode. Signs are those of LAPACK. A matrix whose first k
        columns are linearly dependent has no gradient.

            local q, r = x:qr()

        @return lunerv.Tensor  q
        @return lunerv.Tensor  r
        """
    ) { (x: Tensor) -> LuaResults in
      let (q, r) = try x.qr()
      return LuaResults(q, r)
    }
    s.pure(
      "solve", params: ["b"],
      doc: """
        x with a·x = b: matrices a (…, n, n), and b (…, n, k), or (…, n) for as many matrices.
        Leading sizes are broadcast. A singular matrix is an error.

            local x = a:solve(b)
        """
    ) { (a: Tensor, b: Tensor) in try a.solve(b) }
    s.pure(
      "cholesky",
      doc: """
        The Cholesky factors l, lower triangular, of positive definite matrices l·lᵀ (…, n, n).
        Only the lower triangle is read; a matrix that is not positive definite is an error.

            local l = covariance:cholesky()
        """
    ) { (x: Tensor) in try x.cholesky() }
    s.pure(
      "irfft2", params: ["options"],
      doc: """
        The image of a half spectrum, the inverse of rfft2: (…, h, ⌊w/2⌋ + 1, 2) → (…, h, w).
        Unlike PyTorch, real and imaginary part are a last dimension of 2. It is divided by h·w. Pass
        `width` if it is odd.

            local image = spectrum:irfft2()
            local image = spectrum:irfft2 { width = 321 }
        """
    ) { (x: Tensor, o: Size) in try x.inverseFourierTransformed(width: o.width) }
  }
}
