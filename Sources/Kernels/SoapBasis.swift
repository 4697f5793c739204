import COpenBLAS

/// The eigenbases of SOAP: found once by eigendecomposition, then tracked by power iteration.
enum SoapBasis {
  private typealias Side = SoapMatrix.Side

  /// The bases of matrices that have none yet.
  static func find(_ matrices: [SoapMatrix]) {
    // The largest first, so that no thread has to wait for one that started late.
    let sides = matrices.flatMap { [$0.left, $0.right].compactMap { $0 } }
      .sorted { $0.size > $1.size }
    ThreadPool.shared.run(sides.count) { decompose(sides[$0]) }
  }

  /// The eigenvectors of the mean; the identity if it is not finite.
  private static func decompose(_ side: Side) {
    let n = side.size
    withScratch { scratch in
      let vectors = scratch.floats(n * n)
      var isFinite = true
      // The upper triangle in row-major order is the lower one to LAPACK.
      for i in 0..<n {
        for j in i..<n {
          vectors[i * n + j] = side.gram[i * n + j]
          isFinite = isFinite && side.gram[i * n + j].isFinite
        }
      }
      var info: blasint = isFinite ? 0 : 1
      if isFinite {
        var size = blasint(n)
        var (floats, integers) = (blasint(1 + 6 * n + 2 * n * n), blasint(3 + 5 * n))
        ssyevd_(
          "V", "L", &size, vectors, &size, scratch.floats(n), scratch.floats(Int(floats)), &floats,
          scratch.take(Int(integers), of: blasint.self), &integers, &info, 1, 1)
      }
      for i in 0..<n {
        let row = side.basis + i * n
        if info == 0 {
          row.update(from: vectors + (n - 1 - i) * n, count: n)
        } else {
          row.update(repeating: 0, count: n)
          row[i] = 1
        }
      }
    }
  }

  /// The working memory of a basis while it is refreshed.
  private struct Work {
    var side: Side
    /// L times each vector of the basis, row by row.
    var product: UnsafeMutablePointer<Float>
    /// For each new vector, the old one that it follows.
    var order: UnsafeMutablePointer<Int>
  }

  /// The working memory of a matrix's moments during a refresh.
  private struct Moments {
    /// The first moment as it is rotated out of the old bases: along one dimension, and along both.
    var half: UnsafeMutablePointer<Float>
    var whole: UnsafeMutablePointer<Float>
    var second: UnsafeMutablePointer<Float>
    var left: UnsafeMutablePointer<Int>?
    var right: UnsafeMutablePointer<Int>?
  }

  /// One step of power iteration and a QR for each basis: Q ← qr(L·Q), with the columns first
  /// sorted by their eigenvalues qᵀLq. Second moments move with their vectors; first moments are
  /// rotated out of the old bases and into the new.
  static func refresh(_ matrices: [SoapMatrix]) {
    if matrices.isEmpty { return }
    withScratch { scratch in
      var works: [Work] = []
      func prepare(_ side: Side?) -> UnsafeMutablePointer<Int>? {
        guard let side else { return nil }
        let order = scratch.take(side.size, of: Int.self)
        works.append(
          Work(side: side, product: scratch.floats(side.size * side.size), order: order))
        return order
      }
      let moments = matrices.map { m in
        Moments(
          half: scratch.floats(m.count), whole: scratch.floats(m.count),
          second: scratch.floats(m.count), left: prepare(m.left), right: prepare(m.right))
      }
      works.sort { $0.side.size > $1.side.size }
      let products = works.enumerated().flatMap { k, work in
        SoapMatrix.blocks(work.side.size).map { (work: k, block: $0) }
      }
      let blocks = matrices.enumerated().flatMap { k, m in
        m.blocks.map { (matrix: k, block: $0) }
      }

      ThreadPool.shared.run(products.count + blocks.count) { i in
        if i < products.count {
          multiply(works[products[i].work], products[i].block)
        } else {
          let (k, block) = blocks[i - products.count]
          takeOut(matrices[k], block, moments[k])
        }
      }
      ThreadPool.shared.run(blocks.count) { i in
        let (k, block) = blocks[i]
        matrices[k].rotateBackLong(moments[k].half, block, into: moments[k].whole)
      }
      ThreadPool.shared.run(works.count) { orthogonalise(works[$0]) }
      ThreadPool.shared.run(blocks.count) { i in
        let (k, block) = blocks[i]
        putBack(matrices[k], block, moments[k])
      }
    }
  }

  /// L times a block of vectors.
  private static func multiply(_ work: Work, _ block: Range<Int>) {
    let n = work.side.size, start = block.lowerBound * n
    cblas_ssymm(
      CblasRowMajor, CblasRight, CblasUpper, blasint(block.count), blasint(n), 1, work.side.gram,
      blasint(n), work.side.basis + start, blasint(n), 0, work.product + start, blasint(n))
  }

  private static func takeOut(_ m: SoapMatrix, _ block: Range<Int>, _ moments: Moments) {
    withScratch { scratch in
      let first = scratch.floats(m.size(block))
      m.forEachRun(block) { offset, inBlock, count in
        (first + inBlock).update(from: m.first + offset, count: count)
        (moments.second + offset).update(from: m.second + offset, count: count)
      }
      m.rotateBackShort(first, block, into: moments.half)
    }
  }

  /// Sorts the products and replaces the basis by the Q of their QR. The basis is kept if a number
  /// is not finite.
  private static func orthogonalise(_ work: Work) {
    let n = work.side.size, basis = work.side.basis
    withScratch { scratch in
      let values = scratch.floats(n)
      var isFinite = true
      for i in 0..<n {
        work.order[i] = i
        values[i] = cblas_sdot(blasint(n), basis + i * n, 1, work.product + i * n, 1)
        isFinite = isFinite && values[i].isFinite
      }
      guard isFinite else { return }
      // Equal ones keep their order.
      var order = UnsafeMutableBufferPointer(start: work.order, count: n)
      order.sort {
        values[$0] > values[$1] || (values[$0] == values[$1] && $0 < $1)
      }
      // A row here is a column to LAPACK.
      let q = scratch.floats(n * n)
      for i in 0..<n { (q + i * n).update(from: work.product + work.order[i] * n, count: n) }
      var (size, room, info) = (blasint(n), blasint(64 * n), blasint(0))
      let (tau, space) = (scratch.floats(n), scratch.floats(64 * n))
      sgeqrf_(&size, &size, q, &size, tau, space, &room, &info)
      sorgqr_(&size, &size, &size, q, &size, tau, space, &room, &info)
      basis.update(from: q, count: n * n)
    }
  }

  private static func putBack(_ m: SoapMatrix, _ block: Range<Int>, _ moments: Moments) {
    withScratch { scratch in
      let turned = scratch.floats(m.size(block))
      m.rotate(moments.whole, block, into: turned)
      m.forEachRun(block) { offset, inBlock, count in
        (m.first + offset).update(from: turned + inBlock, count: count)
        for i in offset..<(offset + count) {
          let (row, column) = (i / m.columns, i % m.columns)
          let from = (moments.left?[row] ?? row) * m.columns + (moments.right?[column] ?? column)
          m.second[i] = moments.second[from]
        }
      }
    }
  }
}
