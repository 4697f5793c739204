import Coder

/// Codes the differences between consecutive embeddings, as ``DifferenceCoder`` does, but bit by
/// bit and with several contexts at once: the amount of change to the left of a symbol and above
/// it, at the same place in previous channels, and around that place in the two previous frames.
///
/// A change is coded as bits: whether it is 0, its sign, and for each size, whether it is larger.
/// Sizes of 46 and more share a model.
struct ChangeMixer: ChangeCoder {
  private static let bounds: [Int64] = [0, 1, 2, 3, 4, 6, 9, 13, 19, 28, 40, 60]
  private static let levels = bounds.count + 1
  private static let channelsApart = 8
  private static let bits = 48
  /// From this size on, the rest is an Elias code, which bounds the work per symbol.
  private static let largest: Int64 = 63
  private static let inputs = 4

  private let rows: Int
  private let columns: Int
  private var mixer: BitMixer
  /// The differences of the two previous frames; 0 for a frame that is not coded by differences.
  private var before: [Int32]
  private var earlier: [Int32]
  /// At each place, the sum of change sizes over the channels so far.
  private var sums: [Int64]

  init(rows: Int, columns: Int, count: Int) {
    // Without elements, the sizes of single dimensions are unlimited.
    (self.rows, self.columns) = count == 0 ? (1, 1) : (max(1, rows), max(1, columns))
    let levels = ChangeMixer.levels
    mixer = BitMixer(
      inputs: ChangeMixer.inputs, contexts: levels * levels * ChangeMixer.bits,
      situations: (ChangeMixer.bits * levels, ChangeMixer.bits * ChangeMixer.channelsApart))
    before = [Int32](repeating: 0, count: count)
    earlier = before
    sums = [Int64](repeating: 0, count: self.rows * self.columns)
  }

  mutating func reset() {
    earlier = before
    for i in before.indices { before[i] = 0 }
  }

  /// The contexts of a symbol: those of its inputs, and its two situations.
  private struct Place {
    var contexts = (0, 0, 0, 0)
    var situations = (0, 0)

    @inline(__always)
    func context(_ k: Int, _ bit: Int) -> Int {
      let own =
        switch k {
        case 0: contexts.0
        case 1: contexts.1
        case 2: contexts.2
        default: contexts.3
        }
      return own * ChangeMixer.bits + bit
    }
  }

  @inline(__always)
  private static func level(_ sum: Int64) -> Int {
    var level = 0
    while level < bounds.count, sum > bounds[level] { level += 1 }
    return level
  }

  private func place(of i: Int, _ changes: [Int32]) -> Place {
    let area = rows * columns
    let (channel, row, column) = (i / area, i % area / columns, i % columns)
    @inline(__always)
    func size(_ list: [Int32], _ at: Int) -> Int64 { Int64(list[at].magnitude) }
    let left = column > 0 ? size(changes, i - 1) : 0
    let above = row > 0 ? size(changes, i - columns) : 0
    let diagonals =
      (row > 0 && column + 1 < columns ? size(changes, i - columns + 1) : 0)
      + (row > 0 && column > 0 ? size(changes, i - columns - 1) : 0)
    var (last, near): (Int64, Int64) = (0, 0)
    for k in 0..<min(channel, 3) {
      let other = size(changes, i - (k + 1) * area)
      if k == 0 { last = other }
      near += other
    }
    let all = sums[i % area]
    let then = size(before, i)
    let around =
      (column + 1 < columns ? size(before, i + 1) : 0)
      + (row + 1 < rows ? size(before, i + columns) : 0)
    let levels = ChangeMixer.levels
    let c = min(channel, ChangeMixer.channelsApart - 1)
    var place = Place()
    place.contexts = (
      ChangeMixer.level(left + above + last + then),
      ChangeMixer.level(left + above + diagonals) + levels * ChangeMixer.level(near),
      ChangeMixer.level(all) + levels * c,
      ChangeMixer.level(then + size(earlier, i)) + levels * ChangeMixer.level(around)
    )
    place.situations = (ChangeMixer.level(left + above + last + then + all), c)
    return place
  }

  @inline(__always)
  private static func situations(_ place: Place, _ bit: Int) -> (Int, Int) {
    (bit * levels + place.situations.0, bit * channelsApart + place.situations.1)
  }

  /// The index of the bit for whether a change is larger than `size`.
  @inline(__always)
  private static func bit(beyond size: Int64) -> Int { Int(min(size + 1, Int64(bits - 1))) }

  mutating func encode(_ symbols: [Int32], after last: [Int32], into encoder: inout Encoder) {
    let changes = zip(symbols, last).map { $0 &- $1 }
    for i in sums.indices { sums[i] = 0 }
    for i in changes.indices {
      let place = place(of: i, changes)
      sums[i % sums.count] += Int64(changes[i].magnitude)
      func code(_ bit: Int, _ value: Bool) {
        encoder.encode(
          value, with: &mixer, contexts: { place.context($0, bit) },
          situations: ChangeMixer.situations(place, bit))
      }
      let size = Int64(changes[i].magnitude)
      code(0, size > 0)
      if size == 0 { continue }
      code(1, changes[i] < 0)
      var known: Int64 = 1
      while known < ChangeMixer.largest, size > known {
        code(ChangeMixer.bit(beyond: known), true)
        known += 1
      }
      if known < ChangeMixer.largest {
        code(ChangeMixer.bit(beyond: known), false)
      } else {
        encoder.encodeElias(UInt64(size - known + 1))
      }
    }
    (earlier, before) = (before, changes)
  }

  mutating func decode(after last: [Int32], from decoder: inout Decoder) throws(CoderError)
    -> [Int32]
  {
    var changes = [Int32](repeating: 0, count: last.count)
    for i in sums.indices { sums[i] = 0 }
    for i in changes.indices {
      let place = place(of: i, changes)
      func ask(_ bit: Int) throws(CoderError) -> Bool {
        try decoder.decode(
          with: &mixer, contexts: { place.context($0, bit) },
          situations: ChangeMixer.situations(place, bit))
      }
      guard try ask(0) else { continue }
      let isNegative = try ask(1)
      var size: Int64 = 1
      while size < ChangeMixer.largest, try ask(ChangeMixer.bit(beyond: size)) { size += 1 }
      if size == ChangeMixer.largest {
        let rest = try decoder.decodeElias()
        guard rest <= 1 << 32 else { throw .damaged }
        size += Int64(rest) - 1
      }
      guard let change = Int32(exactly: isNegative ? -size : size) else { throw .damaged }
      changes[i] = change
      sums[i % sums.count] += Int64(change.magnitude)
    }
    (earlier, before) = (before, changes)
    return zip(last, changes).map { $0 &+ $1 }
  }
}
