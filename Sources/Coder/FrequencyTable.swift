/// Integer frequencies of a range of symbols, and of the escape code for all others.
///
/// Frequencies sum to 2²⁴. Every symbol of the range has at least 1, the escape has 2¹⁰: it costs
/// 14 bits, and adds 9·10⁻⁵ bits to every other symbol. An escaped symbol follows as an Elias code.
public struct FrequencyTable: Sendable {
  /// Frequencies sum to 2 to this power.
  public static let precision = 24
  static let total: UInt32 = 1 << 24
  static let escape: UInt32 = 1 << 10
  /// The most symbols that a table may have.
  public static let largestCount = 1 << 16
  private static let lookupBits = 10

  /// For each symbol, the sum of the frequencies before it; then the escape's, then 2²⁴.
  let cumulative: [UInt32]
  /// For each value of the top bits, the last symbol that begins at or below it.
  let lookup: [UInt16]
  /// The first symbol of the range, shifted.
  let first: Int32
  /// Low bits that are stored as raw bits.
  let shift: Int

  /// How many symbols have a frequency of their own.
  public var count: Int { cumulative.count - 2 }

  /// Makes a table from the mass below each of `count` + 1 edges, rising from `masses(0)`, in units
  /// of 1/`whole`, which is at most 2⁴⁰.
  private init(first: Int32, count: Int, shift: Int, whole: Int64, masses: (Int) -> Int64) {
    let room = Int64(FrequencyTable.total - FrequencyTable.escape) - Int64(count)
    var cumulative = [UInt32](repeating: 0, count: count + 2)
    var highest: Int64 = 0
    for i in 1..<max(count, 1) {
      // Rounding may swap neighbouring masses by one unit.
      highest = max(highest, min(whole, masses(i)))
      // Below 2⁶⁴: one factor is at most 2⁴⁰, the other below 2²⁴.
      let part = UInt64(highest) * UInt64(room) / UInt64(whole)
      cumulative[i] = UInt32(part) + UInt32(i)
    }
    cumulative[count] = FrequencyTable.total - FrequencyTable.escape
    if count == 0 { cumulative[0] = 0 }
    cumulative[count + 1] = FrequencyTable.total
    self.cumulative = cumulative
    self.first = first
    self.shift = shift
    let step = UInt32(1) << UInt32(FrequencyTable.precision - FrequencyTable.lookupBits)
    var at = 0
    lookup = (0..<UInt32(1) << UInt32(FrequencyTable.lookupBits)).map { top in
      while cumulative[at + 1] <= top * step { at += 1 }
      return UInt16(at)
    }
  }

  /// The frequencies of a distribution. The mass outside the range is added to its ends.
  public init(_ distribution: Distribution) {
    let range = distribution.support
    self.init(
      first: range.lowerBound, count: range.count, shift: distribution.shift, whole: 1 << 40
    ) { distribution.massBelow(range.lowerBound + Int32($0)) }
  }

  /// Frequencies in proportion to integer weights, beginning with that of `first`. At most 2¹⁶;
  /// each may be 0, and so may all.
  public init(first: Int32, weights: [UInt32]) throws(CoderError) {
    guard weights.count <= FrequencyTable.largestCount,
      Int64(first) + Int64(weights.count) <= 1 << 31
    else { throw .tooManySymbols }
    var sums: [Int64] = [0]
    sums.reserveCapacity(weights.count + 1)
    var sum: Int64 = 0
    for weight in weights {
      sum += Int64(weight)
      sums.append(sum)
    }
    // Shifted so that the sum has at most 40 bits.
    let excess = max(0, 24 - sum.leadingZeroBitCount)
    let whole = max(1, sum >> Int64(excess))
    self.init(first: first, count: weights.count, shift: 0, whole: whole) {
      sums[$0] >> Int64(excess)
    }
  }

  /// Where a symbol lies: nil for one that must be escaped.
  @inline(__always)
  func index(of symbol: Int32) -> Int? {
    let i = Int64(symbol >> Int32(shift)) - Int64(first)
    return i >= 0 && i < Int64(count) ? Int(i) : nil
  }

  /// The frequency of a symbol out of 2²⁴, its low bits included; nil for one that is escaped.
  public func frequency(of symbol: Int32) -> Double? {
    guard let i = index(of: symbol) else { return nil }
    return Double(cumulative[i + 1] - cumulative[i]) / Double(1 << shift)
  }

  /// How a symbol is coded: its frequency out of 2²⁴ (the escape's if it has none of its own), and
  /// the number of raw bits that follow.
  public func code(of symbol: Int32) -> (frequency: UInt32, bits: Int) {
    if let i = index(of: symbol) { return (cumulative[i + 1] - cumulative[i], shift) }
    let length = 63 - max(EscapedSymbol.code(of: symbol, beyond: self), 1).leadingZeroBitCount
    return (FrequencyTable.total - cumulative[count], 6 + length)
  }
}
