import COpenBLAS

/// One matrix that Muon updates, row-major. Zeros in padding lanes stay zero: a zero column of the
/// gradient is a zero column of the update.
public struct MuonMatrix {
  public var rows: Int
  public var columns: Int
  public var parameter: UnsafeMutablePointer<Float>
  public var gradient: UnsafePointer<Float>
  public var momentum: UnsafeMutablePointer<Float>
  public var lr: Float
  /// The fraction of a weight that is subtracted from it, in addition to the update.
  public var decay: Float

  /// The tensor of `slice` as a matrix of `rows` rows; its only state is the momentum.
  public init(_ slice: OptimiserSlice, rows: Int) {
    self.rows = rows
    columns = rows > 0 ? slice.count / rows : 0
    parameter = slice.parameter
    gradient = slice.gradient
    momentum = slice.state[0]
    lr = Float(slice.lr)
    decay = slice.decay
  }

  /// The shorter side: the size of the Gram matrix.
  fileprivate var short: Int { min(rows, columns) }
  fileprivate var long: Int { max(rows, columns) }
  fileprivate var isTall: Bool { rows > columns }
}

/// Muon (Jordan et al., 2024): momentum whose singular values are all set close to 1.
///
/// With M ← μM + G and U = G + μM (or M, without Nesterov's look-ahead), U/‖U‖_F goes through five
/// steps of the Newton–Schulz iteration U ← (aI + bA + cA²)·U with A = UUᵀ. Every A is a polynomial
/// of the first one, so they commute. The product P of the five polynomials is therefore computed
/// from the Gram matrix alone (short × short), and U is multiplied once, by P. For the usual
/// convolution, whose long side is nine times its short one, that takes a third of the arithmetic.
public enum MuonStep {
  /// The quintic of the published method, and the number of iterations.
  private static let coefficients: (a: Float, b: Float, c: Float) = (3.4445, -4.7750, 2.0315)
  private static let iterations = 5

  /// Elements of the long side per piece of work.
  private static let block = 512

  private struct Piece {
    var matrix: Int
    /// Columns of a wide matrix, rows of a tall one.
    var range: Range<Int>
    var index: Int
  }

  /// One update of every matrix: W ← (1 − decay)·W − lr·√max(1, rows/columns)·P·U/‖U‖_F.
  public static func update(_ matrices: [MuonMatrix], momentum: Float, nesterov: Bool) {
    _ = singleThreaded
    var pieces: [Piece] = []
    for (k, m) in matrices.enumerated() {
      for (index, start) in stride(from: 0, to: m.long, by: block).enumerated() {
        pieces.append(
          Piece(matrix: k, range: start..<min(m.long, start + block), index: index))
      }
    }
    withScratch { scratch in
      let updates = matrices.map { scratch.floats($0.rows * $0.columns) }
      let grams = matrices.map { m in
        scratch.floats(m.short * m.short * ((m.long + block - 1) / block))
      }
      ThreadPool.shared.run(pieces.count) { i in
        let p = pieces[i]
        let m = matrices[p.matrix]
        accumulate(m, p.range, momentum, nesterov, into: updates[p.matrix])
        gram(m, p.range, updates[p.matrix], grams[p.matrix] + p.index * m.short * m.short)
      }
      // The largest first, so that no thread has to wait for one that started late.
      let order = matrices.indices.sorted { matrices[$0].short > matrices[$1].short }
      ThreadPool.shared.run(order.count) { i in
        let m = matrices[order[i]]
        orthogonaliser(
          short: m.short, partials: (m.long + block - 1) / block, grams[order[i]])
      }
      ThreadPool.shared.run(pieces.count) { i in
        let p = pieces[i]
        apply(matrices[p.matrix], p.range, updates[p.matrix], grams[p.matrix])
      }
    }
  }

  /// Offsets of the contiguous runs that make up a piece, and their length.
  @inline(__always)
  private static func forEachRun(
    _ m: MuonMatrix, _ range: Range<Int>, _ body: (_ offset: Int, _ count: Int) -> Void
  ) {
    if m.isTall {
      body(range.lowerBound * m.columns, range.count * m.columns)
    } else {
      for row in 0..<m.rows { body(row * m.columns + range.lowerBound, range.count) }
    }
  }

  private static func accumulate(
    _ m: MuonMatrix, _ range: Range<Int>, _ momentum: Float, _ nesterov: Bool,
    into update: UnsafeMutablePointer<Float>
  ) {
    forEachRun(m, range) { offset, count in
      let (g, v, u) = (m.gradient + offset, m.momentum + offset, update + offset)
      for i in 0..<count {
        let moved = momentum * v[i] + g[i]
        v[i] = moved
        u[i] = nesterov ? g[i] + momentum * moved : moved
      }
    }
  }

  /// A piece's contribution to UUᵀ, or to UᵀU if U is tall.
  private static func gram(
    _ m: MuonMatrix, _ range: Range<Int>, _ update: UnsafePointer<Float>,
    _ out: UnsafeMutablePointer<Float>
  ) {
    let n = blasint(m.short), k = blasint(range.count), lead = blasint(m.columns)
    let u = update + range.lowerBound * (m.isTall ? m.columns : 1)
    cblas_sgemm(
      CblasRowMajor, m.isTall ? CblasTrans : CblasNoTrans, m.isTall ? CblasNoTrans : CblasTrans,
      n, n, k, 1, u, lead, u, lead, 0, out, n)
  }

  /// Sums the contributions to the Gram matrix and replaces the first by P/‖U‖_F.
  private static func orthogonaliser(
    short n: Int, partials: Int, _ shares: UnsafeMutablePointer<Float>
  ) {
    let count = n * n
    for k in 1..<max(partials, 1) {
      let share = shares + k * count
      for i in 0..<count { shares[i] += share[i] }
    }
    var trace: Float = 0
    for i in 0..<n { trace += shares[i * n + i] }
    let norm = trace.squareRoot() + 1e-7
    let (a, b, c) = coefficients
    withScratch { scratch in
      var (gram, polynomial, product, spare) = (
        scratch.floats(count), scratch.floats(count), scratch.floats(count), scratch.floats(count)
      )
      func multiply(
        _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ z: UnsafeMutablePointer<Float>
      ) {
        let n = blasint(n)
        cblas_sgemm(
          CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, x, n, y, n, 0, z, n)
      }
      let scale = 1 / (norm * norm)
      for i in 0..<count { gram[i] = shares[i] * scale }
      for step in 0..<iterations {
        multiply(gram, gram, polynomial)
        for i in 0..<count { polynomial[i] = b * gram[i] + c * polynomial[i] }
        for i in 0..<n { polynomial[i * n + i] += a }
        if step == 0 {
          product.update(from: polynomial, count: count)
        } else {
          multiply(polynomial, product, spare)
          swap(&product, &spare)
        }
        if step + 1 < iterations {
          multiply(polynomial, gram, spare)
          multiply(spare, polynomial, gram)
        }
      }
      for i in 0..<count { shares[i] = product[i] / norm }
    }
  }

  private static func apply(
    _ m: MuonMatrix, _ range: Range<Int>, _ update: UnsafePointer<Float>,
    _ orthogonaliser: UnsafePointer<Float>
  ) {
    let n = blasint(m.short), size = blasint(range.count), lead = blasint(m.columns)
    let ratio = Float(m.rows) / Float(m.columns)
    let step = -m.lr * max(1, ratio).squareRoot()
    let keep = 1 - m.decay
    if keep != 1 {
      forEachRun(m, range) { offset, count in
        for i in 0..<count { m.parameter[offset + i] *= keep }
      }
    }
    if m.isTall {
      let first = range.lowerBound * m.columns
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasNoTrans, size, n, n, step, update + first, lead,
        orthogonaliser, n, 1, m.parameter + first, lead)
    } else {
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasNoTrans, n, size, n, step, orthogonaliser, n,
        update + range.lowerBound, lead, 1, m.parameter + range.lowerBound, lead)
    }
  }
}
