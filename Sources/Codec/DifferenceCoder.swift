import Coder

/// Codes frames of symbols, all of one size, by their differences from the previous frame.
protocol ChangeCoder {
  mutating func encode(_ symbols: [Int32], after last: [Int32], into encoder: inout Encoder)
  mutating func decode(after last: [Int32], from decoder: inout Decoder) throws -> [Int32]
  /// Resets the context after a frame that is not coded by differences.
  mutating func reset()
}

/// Codes the differences between consecutive embeddings. Most are 0, and the others are clustered.
/// The amount of change around a symbol (left, above, in the previous channel, and at the same
/// place in the previous frame) selects one of nine adaptive models.
struct DifferenceCoder: ChangeCoder {
  /// Amounts of change at which the next model begins.
  private static let bounds: [Int64] = [1, 2, 3, 4, 6, 9, 14, 22]

  /// Rows and columns of a channel.
  private let rows: Int
  private let columns: Int
  private var models: [AdaptiveModel]
  /// The differences of the previous frame; nil if it was not coded by differences.
  private var before: [Int32]?

  init(rows: Int, columns: Int) throws {
    self.rows = max(1, rows)
    self.columns = max(1, columns)
    let model = try AdaptiveModel(first: -64, count: 129)
    models = Array(repeating: model, count: DifferenceCoder.bounds.count + 1)
  }

  mutating func reset() { before = nil }

  private func context(_ changes: [Int32], _ i: Int) -> Int {
    let area = rows * columns
    let (column, row) = (i % columns, i % area / columns)
    var sum: Int64 = 0
    if column > 0 { sum += Int64(changes[i - 1].magnitude) }
    if row > 0 { sum += Int64(changes[i - columns].magnitude) }
    if i >= area { sum += Int64(changes[i - area].magnitude) }
    if let before { sum += Int64(before[i].magnitude) }
    var context = 0
    for bound in DifferenceCoder.bounds where sum >= bound { context += 1 }
    return context
  }

  mutating func encode(_ symbols: [Int32], after last: [Int32], into encoder: inout Encoder) {
    let changes = zip(symbols, last).map { $0 &- $1 }
    for i in changes.indices { encoder.encode(changes[i], with: &models[context(changes, i)]) }
    before = changes
  }

  mutating func decode(after last: [Int32], from decoder: inout Decoder) throws -> [Int32] {
    var changes = [Int32](repeating: 0, count: last.count)
    for i in changes.indices {
      changes[i] = try decoder.decode(with: &models[context(changes, i)])
    }
    before = changes
    return zip(last, changes).map { $0 &+ $1 }
  }
}
