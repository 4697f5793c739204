/// Distribution functions in integers, so that tables are the same on every machine.
///
/// A decoder must know the encoder's frequencies exactly. Floating-point libraries differ in their
/// last bits, and a difference of one unit corrupts everything that follows. So nothing here is a
/// floating-point number: Q24 means an integer that counts 2⁻²⁴.
///
/// **The normal distribution.** With the Hermite polynomials He₀ = 1, He₁ = a,
/// Heₙ₊₁ = a·Heₙ − n·Heₙ₋₁, the bell curve φ around a point a is
/// φ(a+t) = φ(a)·Σ (−1)ⁿ Heₙ(a) tⁿ/n!, hence
///
///     Φ(a+h) = Φ(a) + φ(a)·h·Σ pₙ/(n+1),  pₙ = (−1)ⁿ Heₙ(a) hⁿ/n!,
///     p₀ = 1,  p₁ = −a·h,  pₙ₊₁ = (−a·h·pₙ − h²·pₙ₋₁)/(n+1).
///
/// Φ and φ are tabulated at the knots a = j/16. From knot to knot φ is multiplied by
/// e^(−(2j+1)/512), a factor that shrinks by e^(−1/256) each time, so two constants serve all
/// knots. Φ advances by the series with h = 1/16, where a·h = j/256 and h² = 1/256 are exact.
/// Between knots |h| ≤ 1/32: five terms, rounded, leave an error below 2⁻³², less than a hundredth
/// of the unit of frequencies.
enum FixedPoint {
  /// e^(−z²/2)/√2π and its integral from −∞, both Q40, at z = j/16 for j = 0…128.
  private struct Knots {
    var density: [Int64] = []
    var integral: [Int64] = []

    init() {
      var phi: UInt64 = 0x6621_14cf_50d9_4234  // 1/√2π, Q64
      var ratio: UInt64 = 0xff80_1ffa_ab55_4446  // e^(−1/512), Q64
      let shrink: UInt64 = 0xff00_7fd5_5ffd_de39  // e^(−1/256), Q64
      var sum: Int64 = 1 << 59  // ½, Q60
      for j in 0...Int64(128) {
        density.append(Int64(phi >> 24))
        integral.append((sum + 1 << 19) >> 20)
        // Σ pₙ/(n+1) in Q48, with h = 1/16.
        var (before, p): (Int64, Int64) = (0, 1 << 48)
        var series: Int64 = 0
        for n in Int64(0)..<14 {
          series += p / (n + 1)
          (before, p) = (p, (-j * p - before) / (256 * (n + 1)))
        }
        let product = phi.multipliedFullWidth(by: UInt64(series))  // Q112
        // Q112 to Q60, and another 4 bits for h.
        sum += Int64(product.high << 8 | product.low >> 56)
        phi = phi.multipliedFullWidth(by: ratio).high
        ratio = ratio.multipliedFullWidth(by: shrink).high
      }
    }
  }

  private static let knots = Knots()

  /// Φ(z), Q40, for z in Q28. Beyond ±8 it is 0 or 1.
  static func normal(_ z: Int64) -> Int64 {
    if z >= 8 << 28 { return 1 << 40 }
    if z <= -8 << 28 { return 0 }
    let magnitude = abs(z)
    let j = (magnitude + 1 << 23) >> 24
    let h = magnitude - j << 24
    let ah = (j * h) >> 4
    let h2 = (h * h) >> 28
    var (before, p): (Int64, Int64) = (0, 1 << 28)
    var series: Int64 = 0
    for n in Int64(0)..<5 {
      series += p / (n + 1)
      (before, p) = (p, ((-ah * p - h2 * before) >> 28) / (n + 1))
    }
    // φ·h·series: Q30 · Q36.
    let step = ((knots.density[Int(j)] >> 10) * ((h * series) >> 20)) >> 26
    let upper = knots.integral[Int(j)] + step
    return z < 0 ? 1 << 40 - upper : upper
  }

  /// 2^(−k/16), Q30, for k = 0…15.
  static let roots: [Int64] = [
    0x4000_0000, 0x3d49_5f45, 0x3ab0_31ba, 0x3833_37bb, 0x35d1_3f33, 0x3389_2305, 0x3159_ca84,
    0x2f42_28e8, 0x2d41_3ccd, 0x2b56_0fbb, 0x297f_b5aa, 0x27bd_4c98, 0x260d_fc14, 0x2470_f4dd,
    0x22e5_7079, 0x216a_b0da,
  ]

  /// e^(−x), Q40, for x ≥ 0 in Q28: 2 to the integer part of −x·log₂e, times a root of 2 for the
  /// first four bits of the fraction, times the exponential series of the remainder.
  static func exponential(minus x: Int64) -> Int64 {
    if x >= 28 << 28 { return 0 }
    let y = ((x >> 2) * 0x5c55_1d95) >> 28  // log₂e, Q30
    let sixteenths = y >> 24
    let r = ((y & 0xff_ffff) * 0x2c5c_85fe) >> 30  // ln 2, Q30; r < 2⁻⁴·ln 2
    var (term, series): (Int64, Int64) = (1 << 28, 0)
    for n in Int64(1)...6 {
      series += term
      term = -((term * r) >> 28) / n
    }
    let root = roots[Int(sixteenths & 15)]
    return ((root * series) >> 18) >> (sixteenths >> 4)
  }

  /// 1/(1 + e^(−z)), Q40, for z in Q28.
  ///
  /// With e = e^(−|z|) in Q40 it is e/(1 + e) to the left of 0: (e·2⁴⁰)/(2⁴⁰ + e), one integer
  /// division, rounded down. To the right it is 1 minus that, so that both tails are equal to the
  /// last unit. The derivative of e/(1 + e) with respect to e is at most 1, so the result is as
  /// exact as e.
  static func logistic(_ z: Int64) -> Int64 {
    let e = UInt64(exponential(minus: abs(z)))
    let product = e.multipliedFullWidth(by: 1 << 40)
    // The divisor is above the product's high word, which is below 2¹⁷: no overflow.
    let left = Int64((UInt64(1) << 40 + e).dividingFullWidth(product).quotient)
    return z < 0 ? left : 1 << 40 - left
  }
}
