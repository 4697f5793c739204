import CVector

// The inner loop of the convolutions that are computed as matrix products:
//
//     C[r][n] (+)= Σ_tap Σ_k A[tapOffsets[tap] + r·rowStride + k·kStride] · B[(tap·K + k)·ldb + n]
//
// for r in a few rows and n in a panel of one to three vectors. `rowStride`/`kStride` make the
// same loop serve A in place (pixels × channels) and transposed (channels × pixels), which weight
// gradients need.
//
// Callers pad A and C to whole groups of four rows: the padding rows are computed from whatever
// memory holds there, and ignored. They pad the columns of B and C to whole vectors in the same
// way.

/// The operand A; `depth` is K.
struct PanelA {
  var base: UnsafePointer<Float>
  var rowStride: Int
  var kStride: Int
  var taps: Int
  var tapOffsets: UnsafePointer<Int>
  var depth: Int
}

/// The tap list of a plain matrix product.
nonisolated(unsafe) let zeroOffset: UnsafePointer<Int> = {
  let p = UnsafeMutablePointer<Int>.allocate(capacity: 1)
  p.initialize(to: 0)
  return UnsafePointer(p)
}()

/// The product's accumulators: their sizes are constants, so that each becomes a register.
private typealias Accumulators<let R: Int, let N: Int> = InlineArray<R, InlineArray<N, Vector>>

@inline(__always) private func product<let R: Int, let N: Int>(
  _ zero: Accumulators<R, N>, _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int,
  _ c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulate: Bool
) {
  var sums = zero
  if accumulate {
    for r in 0..<R {
      for n in 0..<N { sums[r][n] = load(c + r * ldc + n * vectorWidth) }
    }
  }
  let rowStride = a.rowStride
  var pb = b
  for tap in 0..<a.taps {
    var pa = a.base + a.tapOffsets[tap]
    for _ in 0..<a.depth {
      let columns = InlineArray<N, Vector> { load(pb + $0 * vectorWidth) }
      for r in 0..<R {
        let row = Vector(repeating: pa[r * rowStride])
        for n in 0..<N { sums[r][n] = fma(row, columns[n], sums[r][n]) }
      }
      pa += a.kStride
      pb += ldb
    }
  }
  for r in 0..<R {
    for n in 0..<N { store(sums[r][n], c + r * ldc + n * vectorWidth) }
  }
}

@inline(__always) private func zeros<let R: Int, let N: Int>(_: Accumulators<R, N>.Type)
  -> Accumulators<R, N>
{ .init { _ in .init { _ in .zero } } }

// As many rows as leave room in the register file for the columns and one broadcast: 32
// registers with 512-bit vectors, 16 without.
#if LUNERV_VECTOR512
  private let mostRows = (one: 12, two: 12, three: 8)

  @inline(never) private func many3(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
    _ ldc: Int, accumulate: Bool
  ) { product(zeros(Accumulators<8, 3>.self), a, b, ldb, c, ldc, accumulate: accumulate) }

  @inline(never) private func many2(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
    _ ldc: Int, accumulate: Bool
  ) { product(zeros(Accumulators<12, 2>.self), a, b, ldb, c, ldc, accumulate: accumulate) }

  @inline(never) private func many1(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
    _ ldc: Int, accumulate: Bool
  ) { product(zeros(Accumulators<12, 1>.self), a, b, ldb, c, ldc, accumulate: accumulate) }
#else
  // Groups of six rows come in pairs, after which groups of four rows can complete any number.
  private let mostRows = (one: 8, two: 12, three: 4)

  @inline(never) private func many3(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
    _ ldc: Int, accumulate: Bool
  ) { product(zeros(Accumulators<4, 3>.self), a, b, ldb, c, ldc, accumulate: accumulate) }

  @inline(never) private func many2(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
    _ ldc: Int, accumulate: Bool
  ) {
    var a = a
    product(zeros(Accumulators<6, 2>.self), a, b, ldb, c, ldc, accumulate: accumulate)
    a.base += 6 * a.rowStride
    product(zeros(Accumulators<6, 2>.self), a, b, ldb, c + 6 * ldc, ldc, accumulate: accumulate)
  }

  @inline(never) private func many1(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
    _ ldc: Int, accumulate: Bool
  ) { product(zeros(Accumulators<8, 1>.self), a, b, ldb, c, ldc, accumulate: accumulate) }
#endif

@inline(never) private func four3(
  _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
  _ ldc: Int, accumulate: Bool
) { product(zeros(Accumulators<4, 3>.self), a, b, ldb, c, ldc, accumulate: accumulate) }

@inline(never) private func four2(
  _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
  _ ldc: Int, accumulate: Bool
) { product(zeros(Accumulators<4, 2>.self), a, b, ldb, c, ldc, accumulate: accumulate) }

@inline(never) private func four1(
  _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>,
  _ ldc: Int, accumulate: Bool
) { product(zeros(Accumulators<4, 1>.self), a, b, ldb, c, ldc, accumulate: accumulate) }

/// Widths, in floats, of the panels that cover `lanes` columns rounded up to whole vectors:
/// three and two vectors wherever they fit, since a single one leaves half of the
/// multipliers idle.
func panelWidths(lanes: Int) -> [Int] {
  let vectors = (lanes + vectorWidth - 1) / vectorWidth
  let threes = vectors % 3 == 1 && vectors > 1 ? vectors / 3 - 1 : vectors / 3
  let rest = vectors - 3 * threes
  return (Array(repeating: 3, count: threes) + (rest == 4 ? [2, 2] : rest > 0 ? [rest] : []))
    .map { $0 * vectorWidth }
}

#if LUNERV_VECTOR512
  /// A product whose last vector would be half empty: it holds eight columns of two rows of B,
  /// which halves the number of multiplications. `a` has one tap and adjacent k. If depth is odd,
  /// one float after the end is read.
  @inline(__always) private func halved<let R: Int, let N: Int>(
    _ zero: Accumulators<R, N>, _ a: PanelA, _ b: UnsafePointer<Float>,
    _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    var sums = zero
    var pairs = InlineArray<R, Vector> { _ in .zero }
    let (rowStride, ldb) = (a.rowStride, N * vectorWidth)
    var (pa, pb, paired) = (a.base, b, b + a.depth * ldb)
    for _ in 0..<a.depth / 2 {
      let first = InlineArray<N, Vector> { load(pb + $0 * vectorWidth) }
      let second = InlineArray<N, Vector> { load(pb + ldb + $0 * vectorWidth) }
      let both = load(paired)
      for r in 0..<R {
        let p = pa + r * rowStride
        let (x, y) = (Vector(repeating: p[0]), Vector(repeating: p[1]))
        for n in 0..<N { sums[r][n] = fma(x, first[n], sums[r][n]) }
        for n in 0..<N { sums[r][n] = fma(y, second[n], sums[r][n]) }
        pairs[r] = fma(lunerv_broadcast_pair(p), both, pairs[r])
      }
      pa += 2
      pb += 2 * ldb
      paired += vectorWidth
    }
    if a.depth % 2 == 1 {
      let first = InlineArray<N, Vector> { load(pb + $0 * vectorWidth) }
      let both = load(paired)
      for r in 0..<R {
        let p = pa + r * rowStride
        let x = Vector(repeating: p[0])
        for n in 0..<N { sums[r][n] = fma(x, first[n], sums[r][n]) }
        pairs[r] = fma(lunerv_broadcast_pair(p), both, pairs[r])
      }
    }
    for r in 0..<R {
      for n in 0..<N { store(sums[r][n], c + r * ldc + n * vectorWidth) }
      store(lunerv_add_pairs(pairs[r]), c + r * ldc + ldb)
    }
  }

  @inline(never) private func manyHalved3(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) { halved(zeros(Accumulators<8, 2>.self), a, b, c, ldc) }

  // The compiler does not unroll twelve rows here: their accumulators would be in memory.
  @inline(never) private func manyHalved2(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) { halved(zeros(Accumulators<8, 1>.self), a, b, c, ldc) }

  @inline(never) private func fourHalved3(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) { halved(zeros(Accumulators<4, 2>.self), a, b, c, ldc) }

  @inline(never) private func fourHalved2(
    _ a: PanelA, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) { halved(zeros(Accumulators<4, 1>.self), a, b, c, ldc) }
#endif

/// Whether packed weights of `lanes` columns hold two rows in the last vector of the last panel,
/// which would otherwise be half empty. Such a panel is [depth][whole vectors], then [depth / 2,
/// rounded up][8 columns][2 rows].
func lastIsHalved(lanes: Int) -> Bool {
  #if LUNERV_VECTOR512
    lanes % vectorWidth == 8 && lanes > 8
  #else
    false
  #endif
}

/// ``runPanel`` with weights packed as in ``lastIsHalved(lanes:)``, which never applies to vectors
/// of eight. C's `width` columns are still whole vectors.
@inline(__always) func runHalvedPanel(
  width: Int, rows: Int, _ a: PanelA, _ b: UnsafePointer<Float>,
  _ c: UnsafeMutablePointer<Float>, _ ldc: Int
) {
  #if LUNERV_VECTOR512
    let wide = width / vectorWidth == 3
    let most = 8
    var (a, c, left) = (a, c, rows)
    while left > 0 {
      let count = left >= most ? most : 4
      switch (wide, count == most) {
      case (true, true): manyHalved3(a, b, c, ldc)
      case (true, false): fourHalved3(a, b, c, ldc)
      case (false, true): manyHalved2(a, b, c, ldc)
      case (false, false): fourHalved2(a, b, c, ldc)
      }
      a.base += count * a.rowStride
      c += count * ldc
      left -= count
    }
  #endif
}

/// One panel of `width` columns over `rows` rows, a multiple of four.
@inline(__always) func runPanel(
  width: Int, rows: Int, _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int,
  _ c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulate: Bool
) {
  var a = a
  var c = c
  var left = rows
  func step(_ count: Int) {
    a.base += count * a.rowStride
    c += count * ldc
    left -= count
  }
  switch width / vectorWidth {
  case 3:
    while left >= mostRows.three {
      many3(a, b, ldb, c, ldc, accumulate: accumulate)
      step(mostRows.three)
    }
    while left > 0 {
      four3(a, b, ldb, c, ldc, accumulate: accumulate)
      step(4)
    }
  case 2:
    while left >= mostRows.two {
      many2(a, b, ldb, c, ldc, accumulate: accumulate)
      step(mostRows.two)
    }
    while left > 0 {
      four2(a, b, ldb, c, ldc, accumulate: accumulate)
      step(4)
    }
  default:
    while left >= mostRows.one {
      many1(a, b, ldb, c, ldc, accumulate: accumulate)
      step(mostRows.one)
    }
    while left > 0 {
      four1(a, b, ldb, c, ldc, accumulate: accumulate)
      step(4)
    }
  }
}
