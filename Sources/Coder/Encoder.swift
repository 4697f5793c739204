/// The encoder: turns symbols into bytes by asymmetric numeral systems (Duda, arXiv 1311.2540).
///
/// The state x is one large number. A symbol of frequency f out of M = 2²⁴, with F the sum of
/// the frequencies before it, takes it to
///
///     x' = ⌊x/f⌋·M + F + x mod f,
///
/// which is larger by the factor M/f: by the symbol's information. x' mod M lies in [F, F + f) and
/// identifies the symbol, after which x = f·⌊x'/M⌋ + x' mod M − F. So symbols are decoded in
/// reverse order. This encoder therefore keeps them until `finish` and begins with the last.
///
/// To stay within 64 bits, x is kept in [2³¹, 2⁶³): its low 32 bits move to the output whenever x'
/// would leave that range, which is when x ≥ 2³⁹·f, or 2³²·f·(2³¹/M). The decoder takes 32 bits
/// back whenever x falls below 2³¹. The interval is exactly 2³² wide, so this happens at the same
/// places. Rounding costs about f/x bits per symbol: at worst below 2⁻⁷, on average 2⁻³¹. A stream
/// has an overhead of 8 bytes for the final state, 31 bits of which hold no information.
///
/// At the end, the decoder's state must be 2³¹ again, where the encoder began.
public struct Encoder: Sendable {
  private var starts: [UInt32] = []
  private var frequencies: [UInt32] = []

  public init() {}

  @inline(__always)
  private mutating func append(_ start: UInt32, _ frequency: UInt32) {
    starts.append(start)
    frequencies.append(frequency)
  }

  /// Encodes the low `count` bits of a number, at most 16; all values are equally probable.
  public mutating func encodeBits(_ bits: UInt32, count: Int) {
    let width = UInt32(FrequencyTable.precision - min(max(count, 0), 16))
    let low = bits & (UInt32(1) << (24 - width) - 1)
    append(low << width, UInt32(1) << width)
  }

  /// One bit, set with a probability in 2⁻¹⁶ between 1 and 65,535.
  mutating func encode(_ bit: Bool, probability: Int) {
    let ones = UInt32(probability) << 8
    if bit { append(0, ones) } else { append(ones, FrequencyTable.total - ones) }
  }

  public mutating func encode(_ symbol: Int32, with table: FrequencyTable) {
    if let i = table.index(of: symbol) {
      let start = table.cumulative[i]
      append(start, table.cumulative[i + 1] - start)
      if table.shift > 0 { encodeBits(UInt32(bitPattern: symbol), count: table.shift) }
    } else {
      let start = table.cumulative[table.count]
      append(start, FrequencyTable.total - start)
      encodeEscaped(symbol, with: table)
    }
  }

  public mutating func encode(_ symbols: [Int32], with table: FrequencyTable) {
    starts.reserveCapacity(starts.count + symbols.count)
    frequencies.reserveCapacity(frequencies.count + symbols.count)
    for symbol in symbols { encode(symbol, with: table) }
  }

  /// Encodes a symbol, from which the model then learns.
  public mutating func encode(_ symbol: Int32, with model: inout AdaptiveModel) {
    encode(symbol, with: model.table)
    model.learn(symbol)
  }

  public mutating func encode(_ symbols: [Int32], with model: inout AdaptiveModel) {
    for symbol in symbols { encode(symbol, with: &model) }
  }

  /// Encodes the distance from the table's range, alternating between its sides, as an Elias code.
  private mutating func encodeEscaped(_ symbol: Int32, with table: FrequencyTable) {
    encodeElias(EscapedSymbol.code(of: symbol, beyond: table))
  }

  /// Encodes a number from 1 to 2³⁵ − 1: the number of bits after the leading one, then those bits.
  public mutating func encodeElias(_ code: UInt64) {
    let length = 63 - max(code, 1).leadingZeroBitCount
    encodeBits(UInt32(length), count: 6)
    var rest = length
    while rest > 0 {
      let part = min(rest, 16)
      rest -= part
      encodeBits(UInt32(truncatingIfNeeded: code >> UInt64(rest)), count: part)
    }
  }

  /// The bytes of all symbols so far; empty if there are none.
  public func finish() -> [UInt8] {
    if starts.isEmpty { return [] }
    var words: [UInt32] = []
    var x: UInt64 = 1 << 31
    for i in starts.indices.reversed() {
      let f = UInt64(frequencies[i])
      if x >= f << 39 {
        words.append(UInt32(truncatingIfNeeded: x))
        x >>= 32
      }
      let (quotient, rest) = x.quotientAndRemainder(dividingBy: f)
      x = quotient << 24 + UInt64(starts[i]) + rest
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 + 4 * words.count)
    for shift in stride(from: 0, to: 64, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: x >> UInt64(shift)))
    }
    for word in words.reversed() {
      for shift in stride(from: 0, to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(shift)))
      }
    }
    return bytes
  }
}

/// How far outside a table's range a symbol lies, as a number of at least 1.
enum EscapedSymbol {
  /// Distances above the range are even, those below odd.
  static func code(of symbol: Int32, beyond table: FrequencyTable) -> UInt64 {
    let (below, above) = edges(of: table)
    let s = Int64(symbol)
    return s >= above ? UInt64(s - above) * 2 + 2 : UInt64(max(0, below - s)) * 2 + 1
  }

  /// nil for a code that no symbol has.
  static func symbol(of code: UInt64, beyond table: FrequencyTable) -> Int32? {
    let (below, above) = edges(of: table)
    let distance = Int64(code >> 1)
    return Int32(exactly: code & 1 == 0 ? above + distance - 1 : below - distance)
  }

  /// The last symbol below the range and the first above it.
  private static func edges(of table: FrequencyTable) -> (Int64, Int64) {
    let first = Int64(table.first) << Int64(table.shift)
    return (first - 1, first + Int64(table.count) << Int64(table.shift))
  }
}
