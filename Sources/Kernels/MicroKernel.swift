import CVector

/// The one inner loop of convolution and matrix products.
///
///     C[r][n] (+)= Σ_tap Σ_k A[tapOffsets[tap] + r·rowStride + k·kStride] · B[(tap·K + k)·ldb + n]
///
/// for r in 0..<4 and n in a panel of 24, 16 or 8 columns. Four rows of three vectors are
/// twelve accumulators, three operands and one broadcast: exactly the sixteen registers of
/// AVX2. `rowStride`/`kStride` make the same loop serve A as it lies (pixels × channels)
/// and transposed (channels × pixels), which is what gradients by weights need.
///
/// Callers pad A and C to whole groups of four rows: the rows beyond are computed from
/// whatever lies there, and ignored.
@usableFromInline typealias V8 = SIMD8<Float>

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

@inline(__always) func load8(_ p: UnsafePointer<Float>) -> V8 {
  lunerv_load8(p)
}
@inline(__always) func store8(_ v: V8, _ p: UnsafeMutablePointer<Float>) {
  lunerv_store8(v, p)
}
@inline(__always) func fma(_ a: V8, _ b: V8, _ c: V8) -> V8 { c.addingProduct(a, b) }

@inline(never) func kernel4x24(
  _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>, _ ldc: Int,
  accumulate: Bool
) {
  let (r0, r1, r2, r3) = (c, c + ldc, c + 2 * ldc, c + 3 * ldc)
  var c00 = V8.zero, c01 = V8.zero, c02 = V8.zero
  var c10 = V8.zero, c11 = V8.zero, c12 = V8.zero
  var c20 = V8.zero, c21 = V8.zero, c22 = V8.zero
  var c30 = V8.zero, c31 = V8.zero, c32 = V8.zero
  if accumulate {
    (c00, c01, c02) = (load8(r0), load8(r0 + 8), load8(r0 + 16))
    (c10, c11, c12) = (load8(r1), load8(r1 + 8), load8(r1 + 16))
    (c20, c21, c22) = (load8(r2), load8(r2 + 8), load8(r2 + 16))
    (c30, c31, c32) = (load8(r3), load8(r3 + 8), load8(r3 + 16))
  }
  let rs = a.rowStride
  var pb = b
  for tap in 0..<a.taps {
    var pa = a.base + a.tapOffsets[tap]
    for _ in 0..<a.depth {
      let b0 = load8(pb), b1 = load8(pb + 8), b2 = load8(pb + 16)
      var s = V8(repeating: pa[0])
      c00 = fma(s, b0, c00)
      c01 = fma(s, b1, c01)
      c02 = fma(s, b2, c02)
      s = V8(repeating: pa[rs])
      c10 = fma(s, b0, c10)
      c11 = fma(s, b1, c11)
      c12 = fma(s, b2, c12)
      s = V8(repeating: pa[2 * rs])
      c20 = fma(s, b0, c20)
      c21 = fma(s, b1, c21)
      c22 = fma(s, b2, c22)
      s = V8(repeating: pa[3 * rs])
      c30 = fma(s, b0, c30)
      c31 = fma(s, b1, c31)
      c32 = fma(s, b2, c32)
      pa += a.kStride
      pb += ldb
    }
  }
  store8(c00, r0)
  store8(c01, r0 + 8)
  store8(c02, r0 + 16)
  store8(c10, r1)
  store8(c11, r1 + 8)
  store8(c12, r1 + 16)
  store8(c20, r2)
  store8(c21, r2 + 8)
  store8(c22, r2 + 16)
  store8(c30, r3)
  store8(c31, r3 + 8)
  store8(c32, r3 + 16)
}

@inline(never) func kernel4x16(
  _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>, _ ldc: Int,
  accumulate: Bool
) {
  let (r0, r1, r2, r3) = (c, c + ldc, c + 2 * ldc, c + 3 * ldc)
  var c00 = V8.zero, c01 = V8.zero
  var c10 = V8.zero, c11 = V8.zero
  var c20 = V8.zero, c21 = V8.zero
  var c30 = V8.zero, c31 = V8.zero
  if accumulate {
    (c00, c01) = (load8(r0), load8(r0 + 8))
    (c10, c11) = (load8(r1), load8(r1 + 8))
    (c20, c21) = (load8(r2), load8(r2 + 8))
    (c30, c31) = (load8(r3), load8(r3 + 8))
  }
  let rs = a.rowStride
  var pb = b
  for tap in 0..<a.taps {
    var pa = a.base + a.tapOffsets[tap]
    for _ in 0..<a.depth {
      let b0 = load8(pb), b1 = load8(pb + 8)
      var s = V8(repeating: pa[0])
      c00 = fma(s, b0, c00)
      c01 = fma(s, b1, c01)
      s = V8(repeating: pa[rs])
      c10 = fma(s, b0, c10)
      c11 = fma(s, b1, c11)
      s = V8(repeating: pa[2 * rs])
      c20 = fma(s, b0, c20)
      c21 = fma(s, b1, c21)
      s = V8(repeating: pa[3 * rs])
      c30 = fma(s, b0, c30)
      c31 = fma(s, b1, c31)
      pa += a.kStride
      pb += ldb
    }
  }
  store8(c00, r0)
  store8(c01, r0 + 8)
  store8(c10, r1)
  store8(c11, r1 + 8)
  store8(c20, r2)
  store8(c21, r2 + 8)
  store8(c30, r3)
  store8(c31, r3 + 8)
}

@inline(never) func kernel6x16(
  _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>, _ ldc: Int,
  accumulate: Bool
) {
  var c00 = V8.zero, c01 = V8.zero
  var c10 = V8.zero, c11 = V8.zero
  var c20 = V8.zero, c21 = V8.zero
  var c30 = V8.zero, c31 = V8.zero
  var c40 = V8.zero, c41 = V8.zero
  var c50 = V8.zero, c51 = V8.zero
  if accumulate {
    (c00, c01) = (load8(c + 0 * ldc), load8(c + 0 * ldc + 8))
    (c10, c11) = (load8(c + 1 * ldc), load8(c + 1 * ldc + 8))
    (c20, c21) = (load8(c + 2 * ldc), load8(c + 2 * ldc + 8))
    (c30, c31) = (load8(c + 3 * ldc), load8(c + 3 * ldc + 8))
    (c40, c41) = (load8(c + 4 * ldc), load8(c + 4 * ldc + 8))
    (c50, c51) = (load8(c + 5 * ldc), load8(c + 5 * ldc + 8))
  }
  let rs = a.rowStride
  var pb = b
  for tap in 0..<a.taps {
    var pa = a.base + a.tapOffsets[tap]
    for _ in 0..<a.depth {
      let b0 = load8(pb), b1 = load8(pb + 8)
      var s = V8(repeating: pa[0])
      c00 = fma(s, b0, c00)
      c01 = fma(s, b1, c01)
      s = V8(repeating: pa[1 * rs])
      c10 = fma(s, b0, c10)
      c11 = fma(s, b1, c11)
      s = V8(repeating: pa[2 * rs])
      c20 = fma(s, b0, c20)
      c21 = fma(s, b1, c21)
      s = V8(repeating: pa[3 * rs])
      c30 = fma(s, b0, c30)
      c31 = fma(s, b1, c31)
      s = V8(repeating: pa[4 * rs])
      c40 = fma(s, b0, c40)
      c41 = fma(s, b1, c41)
      s = V8(repeating: pa[5 * rs])
      c50 = fma(s, b0, c50)
      c51 = fma(s, b1, c51)
      pa += a.kStride
      pb += ldb
    }
  }
  store8(c00, c + 0 * ldc)
  store8(c01, c + 0 * ldc + 8)
  store8(c10, c + 1 * ldc)
  store8(c11, c + 1 * ldc + 8)
  store8(c20, c + 2 * ldc)
  store8(c21, c + 2 * ldc + 8)
  store8(c30, c + 3 * ldc)
  store8(c31, c + 3 * ldc + 8)
  store8(c40, c + 4 * ldc)
  store8(c41, c + 4 * ldc + 8)
  store8(c50, c + 5 * ldc)
  store8(c51, c + 5 * ldc + 8)
}

@inline(never) func kernel4x8(
  _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int, _ c: UnsafeMutablePointer<Float>, _ ldc: Int,
  accumulate: Bool
) {
  let (r0, r1, r2, r3) = (c, c + ldc, c + 2 * ldc, c + 3 * ldc)
  var c0 = V8.zero, c1 = V8.zero, c2 = V8.zero, c3 = V8.zero
  if accumulate { (c0, c1, c2, c3) = (load8(r0), load8(r1), load8(r2), load8(r3)) }
  let rs = a.rowStride
  var pb = b
  for tap in 0..<a.taps {
    var pa = a.base + a.tapOffsets[tap]
    for _ in 0..<a.depth {
      let b0 = load8(pb)
      c0 = fma(V8(repeating: pa[0]), b0, c0)
      c1 = fma(V8(repeating: pa[rs]), b0, c1)
      c2 = fma(V8(repeating: pa[2 * rs]), b0, c2)
      c3 = fma(V8(repeating: pa[3 * rs]), b0, c3)
      pa += a.kStride
      pb += ldb
    }
  }
  store8(c0, r0)
  store8(c1, r1)
  store8(c2, r2)
  store8(c3, r3)
}

/// Widths of the panels that cover `vectors` groups of eight columns: 24 and 16 wherever
/// they fit, since a single vector leaves half of the multipliers idle.
func panelWidths(vectors: Int) -> [Int] {
  switch vectors % 3 {
  case 0: return Array(repeating: 24, count: vectors / 3)
  case 2: return Array(repeating: 24, count: vectors / 3) + [16]
  default:
    if vectors == 1 { return [8] }
    return Array(repeating: 24, count: vectors / 3 - 1) + [16, 16]
  }
}

/// One panel of `width` columns over `rows` rows, a multiple of four.
@inline(__always) func runPanel(
  width: Int, rows: Int, _ a: PanelA, _ b: UnsafePointer<Float>, _ ldb: Int,
  _ c: UnsafeMutablePointer<Float>, _ ldc: Int, accumulate: Bool
) {
  var a = a
  var c = c
  // Six rows of two vectors hide the multipliers' latency, four do not quite.
  let sixes = width == 16 ? rows / 12 * 2 : 0
  for _ in 0..<sixes {
    kernel6x16(a, b, ldb, c, ldc, accumulate: accumulate)
    a.base += 6 * a.rowStride
    c += 6 * ldc
  }
  for _ in 0..<(rows - 6 * sixes) / 4 {
    switch width {
    case 24: kernel4x24(a, b, ldb, c, ldc, accumulate: accumulate)
    case 16: kernel4x16(a, b, ldb, c, ldc, accumulate: accumulate)
    default: kernel4x8(a, b, ldb, c, ldc, accumulate: accumulate)
    }
    a.base += 4 * a.rowStride
    c += 4 * ldc
  }
}

func roundUp(_ n: Int, _ m: Int) -> Int { (n + m - 1) / m * m }
