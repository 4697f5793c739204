/// Detects a constant frame rate from times that a container has rounded to its ticks (milliseconds
/// in Matroska and FLV, 1/90000 s in MPEG-TS).
enum ConstantRate {
  /// Rates that cameras and encoders use. Of two that fit equally well, the first wins.
  private static let usual: [Rational] = [
    Rational(25), Rational(30000, 1001), Rational(24000, 1001), Rational(30), Rational(24),
    Rational(50), Rational(60000, 1001), Rational(60), Rational(48), Rational(120),
    Rational(120000, 1001), Rational(100), Rational(15), Rational(12), Rational(10), Rational(5),
    Rational(240), Rational(1),
  ]

  /// The rate at which frame i is shown at i / rate after the first, within a tick; nil if there is
  /// none.
  ///
  /// - Parameters:
  ///   - times: at least one, of one time base, increasing.
  ///   - declared: the rate in the file's header; it wins if it fits.
  static func fit(_ times: [FrameTime], declared: Rational) -> Rational? {
    guard let first = times.first, times.count > 1 else { return declared }
    let tick = first.timeBase.value
    let elapsed = times.map { Double($0.pts &- first.pts) * tick }
    // The first time is rounded like the others: together the two are off by at most a tick.
    var (shortest, longest) = (0.0, Double.infinity)
    for (i, time) in elapsed.enumerated().dropFirst() {
      shortest = max(shortest, (time - 1.001 * tick) / Double(i))
      longest = min(longest, (time + 1.001 * tick) / Double(i))
    }
    guard shortest <= longest else { return nil }
    func fits(_ rate: Rational) -> Bool {
      (shortest...longest).contains(rate.inverse.value)
    }
    if declared.isPositive, fits(declared) { return declared }
    // If ticks are nearly as long as a frame, any rate fits.
    guard tick <= longest / 4, shortest > 0 else { return nil }
    // How far a rate's times are from the given ones, not counting the rounding of the first.
    func spread(_ rate: Rational) -> Double {
      let errors = elapsed.enumerated().map { $1 - Double($0) * rate.inverse.value }
      return (errors.max() ?? 0) - (errors.min() ?? 0)
    }
    let fitting = usual.filter(fits)
    if let best = fitting.min(by: { spread($0) < spread($1) - 0.1 * tick }) { return best }
    return simplest(from: 1 / longest, to: 1 / shortest)
  }

  /// The fraction with the smallest terms in a closed interval of positive numbers (the
  /// Stern-Brocot tree, by continued fractions); nil if its terms are too large.
  static func simplest(from low: Double, to high: Double) -> Rational? {
    var (a, b) = (low, high)
    // The convergents that both ends share.
    var (n0, d0, n1, d1) = (0.0, 1.0, 1.0, 0.0)
    for _ in 0..<40 {
      let whole = a.rounded(.down)
      let isLast = whole == a || whole + 1 <= b
      let term = isLast && whole < a ? whole + 1 : whole
      (n0, d0, n1, d1) = (n1, d1, term * n1 + n0, term * d1 + d0)
      guard n1 < 1e9, d1 < 1e9 else { return nil }
      if isLast { return d1 >= 1 && n1 >= 1 ? Rational(Int32(n1), Int32(d1)) : nil }
      (a, b) = (1 / (b - whole), 1 / (a - whole))
    }
    return nil
  }
}
