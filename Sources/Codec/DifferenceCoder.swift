import Coder

/// Codes frames of symbols by what has changed since the frame before, each of as many symbols.
protocol ChangeCoder {
  mutating func encode(_ symbols: [Int32], after last: [Int32], into encoder: inout Encoder)
  mutating func decode(after last: [Int32], from decoder: inout Decoder) throws -> [Int32]
  /// Takes note of a frame that is not told by its changes.
  mutating func forget()
}

/// Codes what changes from one embedding to the next. Most of it does not, and what does comes in
/// patches: how much has changed around a symbol (left of it, above, in the channel before, and at
/// its place a frame ago) says which of nine learning models it is coded with.
struct DifferenceCoder: ChangeCoder {
  /// Sums of changes at which the next model begins.
  private static let bounds: [Int64] = [1, 2, 3, 4, 6, 9, 14, 22]

  /// Rows and columns of a channel.
  private let rows: Int
  private let columns: Int
  private var models: [AdaptiveModel]
  /// The changes of the frame before; nil where it was not told by its changes.
  private var before: [Int32]?

  init(rows: Int, columns: Int) throws {
    self.rows = max(1, rows)
    self.columns = max(1, columns)
    let model = try AdaptiveModel(first: -64, count: 129)
    models = Array(repeating: model, count: DifferenceCoder.bounds.count + 1)
  }

  mutating func forget() { before = nil }

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
