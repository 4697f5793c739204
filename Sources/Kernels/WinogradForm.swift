/// A form F(m×m, r×r) of Winograd's convolution (Lavin & Gray, arXiv 1509.09308): a tile of m + r −
/// 1 inputs along either axis makes m outputs of r taps, with one product per input.
///
/// Tiles of six use the points 0, ±1, ±2, ∞; tiles of eight ±½ too. Relative to f64 the error is
/// about 1e-5 of the output's largest magnitude for each; `ConvolutionTests` measures it.
enum WinogradForm {
  /// F(4×4, 3×3): 36 products where the direct form has 144.
  case four3
  /// F(6×6, 3×3): 64 products where the direct form has 324.
  case six3
  /// F(4×4, 5×5): 64 products where the direct form has 400.
  case four5

  /// Taps of the kernel per axis.
  @inline(__always) var taps: Int { self == .four5 ? 5 : 3 }
  /// Outputs of a tile per axis.
  @inline(__always) var outputs: Int { self == .six3 ? 6 : 4 }
  /// Inputs of a tile per axis.
  @inline(__always) var tile: Int { self == .four3 ? 6 : 8 }
  /// Inputs of a tile minus its outputs, per axis.
  @inline(__always) var border: Int { taps - 1 }

  /// Calls `body` with a constant, so that each form gets specialised code.
  @inline(__always) func specialised(_ body: (WinogradForm) -> Void) {
    switch self {
    case .four3: body(.four3)
    case .six3: body(.six3)
    case .four5: body(.four5)
    }
  }

  /// The operand that is transformed before the products: pixels of the input, or gradients of the
  /// output.
  enum Side { case input, gradient }

  /// The same, with the side as a constant too.
  @inline(__always) func specialised(_ side: Side, _ body: (WinogradForm, Side) -> Void) {
    specialised { form in
      switch side {
      case .input: body(form, .input)
      case .gradient: body(form, .gradient)
      }
    }
  }

  /// The transform of one column of a tile: at most eight values, of which the first ones are used.
  typealias Column = (Vector, Vector, Vector, Vector, Vector, Vector, Vector, Vector)

  /// Bᵀ d along one axis, for the tile's values at p, p + stride, …
  @inline(__always) func input(_ p: UnsafePointer<Float>, stride: Int) -> Column {
    let (d0, d1, d2) = (load(p), load(p + stride), load(p + 2 * stride))
    let (d3, d4, d5) = (load(p + 3 * stride), load(p + 4 * stride), load(p + 5 * stride))
    if tile == 6 {
      let (a, b) = (d4 - 4 * d2, d3 - 4 * d1)
      let (c, d) = (d4 - d2, 2 * (d3 - d1))
      return (4 * d0 - 5 * d2 + d4, a + b, a - b, c + d, c - d, 4 * d1 - 5 * d3 + d5, d5, d5)
    }
    let (d6, d7) = (load(p + 6 * stride), load(p + 7 * stride))
    let (a, b) = (d2 + d6 - 4.25 * d4, d1 + d5 - 4.25 * d3)
    let (c, e) = (d6 + 0.25 * d2 - 1.25 * d4, 0.5 * d1 - 2.5 * d3 + 2 * d5)
    let (f, h) = (d6 + 4 * d2 - 5 * d4, 2 * d1 - 2.5 * d3 + 0.5 * d5)
    return (
      d0 - d6 + 5.25 * (d4 - d2), a + b, a - b, c + e, c - e, f + h, f - h,
      d7 - d1 + 5.25 * (d3 - d5)
    )
  }

  /// Aᵀ m along one axis: the outputs of the tile's products at p, p + stride, …
  @inline(__always) func output(_ p: UnsafePointer<Float>, stride: Int) -> Column {
    let (m1, m2) = (load(p + stride), load(p + 2 * stride))
    let (m3, m4) = (load(p + 3 * stride), load(p + 4 * stride))
    let (s, d, u, v) = (m1 + m2, m1 - m2, m3 + m4, m3 - m4)
    let m5 = load(p + 5 * stride)
    if tile == 6 { return (load(p) + s + u, d + 2 * v, s + 4 * u, d + 8 * v + m5, s, s, s, s) }
    let (m6, m7) = (load(p + 6 * stride), load(p + 7 * stride))
    let (x, y) = (m5 + m6, m5 - m6)
    let (r0, r1, r2) = (load(p) + s + u + x, d + 2 * v + 0.5 * y, s + 4 * u + 0.25 * x)
    let r3 = d + 8 * v + 0.125 * y
    if outputs == 4 { return (r0, r1, r2, r3 + m7, s, s, s, s) }
    return (
      r0, r1, r2, r3, s + 16 * u + 0.0625 * x, d + 32 * v + 0.03125 * y + m7, s, s
    )
  }

  /// A g along one axis, for the gradients of a tile's outputs at p, p + stride, …: the adjoint of
  /// ``output(_:stride:)``.
  @inline(__always) func gradient(_ p: UnsafePointer<Float>, stride: Int) -> Column {
    let (g0, g1) = (load(p), load(p + stride))
    let (g2, g3) = (load(p + 2 * stride), load(p + 3 * stride))
    if outputs == 6 {
      let (g4, g5) = (load(p + 4 * stride), load(p + 5 * stride))
      let (a, b) = (g0 + g2 + g4, g1 + g3 + g5)
      let (r, w) = (g0 + 4 * g2 + 16 * g4, 2 * g1 + 8 * g3 + 32 * g5)
      let (x, y) = (g0 + 0.25 * g2 + 0.0625 * g4, 0.5 * g1 + 0.125 * g3 + 0.03125 * g5)
      return (g0, a + b, a - b, r + w, r - w, x + y, x - y, g5)
    }
    let (a, b) = (g0 + g2, g1 + g3)
    let (r, w) = (g0 + 4 * g2, 2 * g1 + 8 * g3)
    if tile == 6 { return (g0, a + b, a - b, r + w, r - w, g3, g3, g3) }
    let (x, y) = (g0 + 0.25 * g2, 0.5 * g1 + 0.125 * g3)
    return (g0, a + b, a - b, r + w, r - w, x + y, x - y, g3)
  }

  /// ``input(_:stride:)`` or ``gradient(_:stride:)``.
  @inline(__always) func column(
    _ side: Side, _ p: UnsafePointer<Float>, stride: Int
  ) -> Column { side == .input ? input(p, stride: stride) : gradient(p, stride: stride) }

  /// G: the row of point p is scale·(1, p, p², …), that of ∞ the last tap.
  var weights: [[Double]] {
    var points: [(point: Double, scale: Double)]
    if tile == 6 {
      points = [(0, 0.25), (1, -1.0 / 6), (-1, -1.0 / 6), (2, 1.0 / 24), (-2, 1.0 / 24)]
    } else {
      points = [(0, 1), (1, -2.0 / 9), (-1, -2.0 / 9), (2, 1.0 / 90), (-2, 1.0 / 90)]
      points += [(0.5, 32.0 / 45), (-0.5, 32.0 / 45)]
    }
    return points.map { p in
      var power = p.scale
      return (0..<taps).map { _ in
        defer { power *= p.point }
        return power
      }
    } + [(0..<taps).map { $0 == taps - 1 ? 1 : 0 }]
  }
}

/// Stores the first `count` results, four, six or eight, `stride` floats apart.
@inline(__always) func store(
  _ r: WinogradForm.Column, count: Int, _ q: UnsafeMutablePointer<Float>, stride: Int
) {
  store(r.0, q)
  store(r.1, q + stride)
  store(r.2, q + 2 * stride)
  store(r.3, q + 3 * stride)
  if count > 4 {
    store(r.4, q + 4 * stride)
    store(r.5, q + 5 * stride)
  }
  if count > 6 {
    store(r.6, q + 6 * stride)
    store(r.7, q + 7 * stride)
  }
}
