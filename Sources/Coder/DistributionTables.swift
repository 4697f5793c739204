/// The frequency tables of many distributions of one family, for symbols with a distribution each.
///
/// The integer part of a mean only shifts the symbols. So a table is made once per scale and
/// fractional part of the mean, and the tables together stay below a memory bound.
public struct DistributionTables: Sendable {
  /// The most entries that all tables may hold. Beyond it they are dropped and made again.
  private static let mostEntries = 1 << 23

  private let family: Distribution.Family
  private var tables = [FrequencyTable?](repeating: nil, count: 1 << 16)
  private var entries = 0

  public init(_ family: Distribution.Family) { self.family = family }

  /// The table of a mean's fractional part, and the mean's integer part in symbols.
  ///
  /// - Parameters:
  ///   - mean: in 256ths of a symbol; as far from 0 as ``Distribution/mean`` allows.
  ///   - scale: as of ``Distribution/scale``.
  private mutating func table(mean: Int32, scale: UInt8) -> (FrequencyTable, whole: Int32) {
    let bounded = min(max(mean, -(1 << 30)), 1 << 30)
    let key = Int(bounded & 0xff) << 8 | Int(scale)
    let whole = bounded >> 8
    if let known = tables[key] { return (known, whole) }
    let made = FrequencyTable(Distribution(family, mean: bounded & 0xff, scale: scale))
    // The lookup, which a table holds in addition to its entries.
    entries += made.count + 512
    if entries > DistributionTables.mostEntries {
      tables = [FrequencyTable?](repeating: nil, count: 1 << 16)
      entries = made.count + 512
    }
    tables[key] = made
    return (made, whole)
  }

  /// Encodes symbols, each with the mean and the scale at its index. Differences from integer means
  /// wrap around, so every 32-bit symbol can be coded.
  ///
  /// - Precondition: the three lists have one length.
  public mutating func encode(
    _ symbols: [Int32], means: [Int32], scales: [UInt8], into encoder: inout Encoder
  ) {
    forEach(symbols, means: means, scales: scales) { encoder.encode($0, with: $1) }
  }

  /// Decodes the next symbols, as many as there are means.
  ///
  /// - Precondition: the lists have one length.
  public mutating func decode(
    means: [Int32], scales: [UInt8], from decoder: inout Decoder
  ) throws(CoderError) -> [Int32] {
    var symbols: [Int32] = []
    symbols.reserveCapacity(means.count)
    for (i, mean) in means.enumerated() {
      let (table, whole) = table(mean: mean, scale: scales[i])
      symbols.append(try decoder.decode(with: table) &+ whole)
    }
    return symbols
  }

  /// Calls `body` with each symbol, shifted as in its table, and the table.
  ///
  /// - Precondition: the three lists have one length.
  public mutating func forEach(
    _ symbols: [Int32], means: [Int32], scales: [UInt8], _ body: (Int32, FrequencyTable) -> Void
  ) {
    for (i, symbol) in symbols.enumerated() {
      let (table, whole) = table(mean: means[i], scale: scales[i])
      body(symbol &- whole, table)
    }
  }
}
