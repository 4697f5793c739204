/// Frequencies learned from the symbols themselves, in the encoder and the decoder alike. Only the
/// range is stored.
///
/// A symbol's weight is 1 for being in the range, plus 24 for each time it was seen: the
/// Krichevsky–Trofimov rule with a prior of 1/24, which suits peaked distributions. The table is
/// rebuilt whenever the number of symbols seen has grown by a quarter, not after each one. Being a
/// quarter behind costs little, since the estimate changes less and less.
public struct AdaptiveModel: Sendable {
  public private(set) var table: FrequencyTable
  private var weights: [UInt32]
  private let first: Int32
  private var seen = 0
  private var due = 16

  /// A model of `count` symbols from `first` on, at most 2¹⁶; all others are escaped.
  public init(first: Int32, count: Int) throws(CoderError) {
    guard count >= 0, count <= FrequencyTable.largestCount else { throw .tooManySymbols }
    self.first = first
    weights = [UInt32](repeating: 1, count: count)
    table = try FrequencyTable(first: first, weights: weights)
  }

  /// How many symbols may be decoded before the table changes.
  var symbolsUntilUpdate: Int { due - seen }

  /// Counts a symbol.
  public mutating func learn(_ symbol: Int32) {
    let i = Int64(symbol) - Int64(first)
    if i >= 0, i < Int64(weights.count) { weights[Int(i)] += 24 }
    seen += 1
    if seen < due { return }
    due = seen + seen / 4
    // Weights stay below 32 bits.
    if seen >= 1 << 26 {
      for i in weights.indices { weights[i] = weights[i] / 2 | 1 }
      seen /= 2
      due = seen + seen / 4
    }
    if let next = try? FrequencyTable(first: first, weights: weights) { table = next }
  }
}
