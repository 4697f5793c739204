/// A bell-shaped distribution of integers around a mean. Its stored parameters are integers too.
public struct Distribution: Hashable, Sendable {
  public enum Family: UInt8, CaseIterable, Sendable {
    /// Symbol c has the mass of the normal distribution between c − ½ and c + ½.
    case gaussian
    /// The same with the Laplace distribution, whose `scale` is b: deviation b·√2.
    case laplace
    /// The same with the logistic distribution, whose `scale` is s: deviation s·π/√3. Its number is
    /// 3 because 2 stands for learned frequencies in files. No section of a file holds a logistic
    /// one.
    case logistic = 3
  }

  public var family: Family
  /// The mean in 256ths of a symbol; at most 2²² symbols from 0.
  public var mean: Int32
  /// σ, b or s is 2^(scale/16 − 4): from 1/16 to 3,922 in steps of 4.4 %.
  public var scale: UInt8

  public init(_ family: Family, mean: Int32, scale: UInt8) {
    self.family = family
    self.mean = min(max(mean, -(1 << 30)), 1 << 30)
    self.scale = scale
  }

  /// The scale in units of 2⁻⁸, rounded down.
  private var wholeScale: Int64 { Distribution.width(ofScale: scale) }

  /// The width that a scale stands for, 2^(scale/16 − 4), in 256ths, rounded down.
  public static func width(ofScale scale: UInt8) -> Int64 {
    // 2^(s/16) is twice the root that stands for 2^(s/16 − 1).
    let (octave, sixteenth) = (Int(scale >> 4), Int(scale & 15))
    let mantissa = sixteenth == 0 ? 1 << 30 : FixedPoint.roots[16 - sixteenth] << 1
    return (mantissa << octave) >> 26
  }

  /// The scale nearest to the root of a variance in units of 2⁻¹⁶.
  public static func scale(ofVariance variance: Int64) -> UInt8 {
    guard variance > 0 else { return 0 }
    let octave = 63 - variance.leadingZeroBitCount
    // From 2³⁰ to just under 2³¹.
    let mantissa = octave <= 30 ? variance << Int64(30 - octave) : variance >> Int64(octave - 30)
    // An eighth of an octave of the variance is a sixteenth of an octave of its root. Thresholds
    // lie half way.
    var eighths = 0
    while eighths < 8, mantissa >= FixedPoint.roots[15 - 2 * eighths] << 1 { eighths += 1 }
    // The variance of 1 is 2¹⁶, whose root's scale is 64.
    return UInt8(min(max(8 * (octave - 16) + eighths + 64, 0), 255))
  }

  /// How many low bits of a symbol are stored as raw bits. Within an interval that is small
  /// compared with the scale the density is flat: at 1/64 of it the loss is below 10⁻⁵ bits. This
  /// keeps tables below 3,100 entries.
  var shift: Int { max(0, Int(scale >> 4) - 10) }

  /// Symbols, shifted, that have a frequency of their own.
  var support: ClosedRange<Int32> {
    let reach = wholeScale * (family == .gaussian ? 5 : 12)
    let unit = shift + 8
    let lowest = (Int64(mean) - reach) >> unit
    let highest = (Int64(mean) + reach) >> unit
    return Int32(lowest - 1)...Int32(highest + 1)
  }

  /// The mass below the lower edge of a shifted symbol, Q40.
  func massBelow(_ symbol: Int32) -> Int64 {
    let edge = Int64(symbol) << Int64(shift + 8) - 128 - Int64(mean)  // Q8
    // 1/scale = 2^(4 − octave)·root: Q8·Q30 to Q28.
    let (octave, sixteenth) = (Int64(scale >> 4), Int(scale & 15))
    let bound: Int64 = 1 << 32
    let product = min(max(edge, -bound), bound) * FixedPoint.roots[sixteenth]
    let z = product >> (6 + octave)
    switch family {
    case .gaussian: return FixedPoint.normal(z)
    case .laplace:
      let half = FixedPoint.exponential(minus: abs(z)) >> 1
      return z < 0 ? half : 1 << 40 - half
    case .logistic: return FixedPoint.logistic(z)
    }
  }
}
