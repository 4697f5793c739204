/// Decodes what ``Encoder`` wrote; the method is described there.
///
/// The bytes are not trusted. Whatever they are, decoding reads no others, takes time in proportion
/// to the symbols asked for, and throws if they are invalid.
public struct Decoder {
  private let bytes: [UInt8]
  private var position: Int
  private var x: UInt64
  /// An empty stream holds no symbols.
  private let isEmpty: Bool

  public init(_ bytes: [UInt8]) throws(CoderError) {
    self.bytes = bytes
    isEmpty = bytes.isEmpty
    x = 1 << 31
    position = 0
    if isEmpty { return }
    guard bytes.count >= 8 else { throw .truncated }
    x = 0
    for i in 0..<8 { x |= UInt64(bytes[i]) << UInt64(8 * i) }
    position = 8
    guard x >= 1 << 31, x < 1 << 63 else { throw .damaged }
  }

  /// Consumes a span of frequency `f` that begins at `start`, and reads more bytes when they are
  /// due.
  @inline(__always)
  private static func advance(
    _ x: inout UInt64, _ position: inout Int, _ start: UInt32, _ f: UInt32,
    _ bytes: UnsafeRawBufferPointer
  ) throws(CoderError) {
    x = UInt64(f) &* (x >> 24) &+ (x & 0xff_ffff) &- UInt64(start)
    if x < 1 << 31 {
      guard position &+ 4 <= bytes.count else { throw .truncated }
      let word = bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self)
      x = x << 32 | UInt64(UInt32(littleEndian: word))
      position &+= 4
    }
  }

  /// `count` bits as ``Encoder/encodeBits(_:count:)`` wrote them; at most 16.
  public mutating func decodeBits(count: Int) throws(CoderError) -> UInt32 {
    if isEmpty { throw .truncated }
    let width = UInt32(FrequencyTable.precision - min(max(count, 0), 16))
    let value = UInt32(x & 0xff_ffff) >> width
    var (state, at) = (x, position)
    try withBytes { raw throws(CoderError) in
      try Decoder.advance(&state, &at, value << width, UInt32(1) << width, raw)
    }
    (x, position) = (state, at)
    return value
  }

  private func withBytes<R>(
    _ body: (UnsafeRawBufferPointer) throws(CoderError) -> R
  ) throws(CoderError) -> R {
    let result: Result<R, CoderError> = bytes.withUnsafeBytes { raw in
      do throws(CoderError) { return .success(try body(raw)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// A bit that ``Encoder`` wrote with that probability.
  mutating func decodeBit(probability: Int) throws(CoderError) -> Bool {
    if isEmpty { throw .truncated }
    let ones = UInt32(probability) << 8
    let bit = UInt32(x & 0xff_ffff) < ones
    var (state, at) = (x, position)
    try withBytes { raw throws(CoderError) in
      try Decoder.advance(
        &state, &at, bit ? 0 : ones, bit ? ones : FrequencyTable.total - ones, raw)
    }
    (x, position) = (state, at)
    return bit
  }

  /// One symbol, for callers whose model depends on the symbols before it.
  public mutating func decode(with table: FrequencyTable) throws(CoderError) -> Int32 {
    if isEmpty { throw .truncated }
    let value = UInt32(x & 0xff_ffff)
    var s = Int(table.lookup[Int(value >> 14)])
    while table.cumulative[s + 1] <= value { s += 1 }
    let start = table.cumulative[s]
    let f = table.cumulative[s + 1] - start
    var (state, at) = (x, position)
    try withBytes { raw throws(CoderError) in try Decoder.advance(&state, &at, start, f, raw) }
    (x, position) = (state, at)
    if s == table.count { return try decodeEscaped(with: table) }
    let symbol = table.first &+ Int32(s)
    if table.shift == 0 { return symbol }
    return symbol << Int32(table.shift) | Int32(try decodeBits(count: table.shift))
  }

  /// One symbol, from which the model learns.
  public mutating func decode(with model: inout AdaptiveModel) throws(CoderError) -> Int32 {
    let symbol = try decode(with: model.table)
    model.learn(symbol)
    return symbol
  }

  /// `count` symbols.
  public mutating func decode(count: Int, with table: FrequencyTable) throws(CoderError)
    -> [Int32]
  {
    var symbols = [Int32](repeating: 0, count: max(0, count))
    try decode(into: &symbols, from: 0, count: count, with: table)
    return symbols
  }

  /// `count` symbols; the model learns from each.
  public mutating func decode(count: Int, with model: inout AdaptiveModel) throws(CoderError)
    -> [Int32]
  {
    var symbols = [Int32](repeating: 0, count: max(0, count))
    var at = 0
    while at < count {
      let run = min(count - at, model.symbolsUntilUpdate)
      try decode(into: &symbols, from: at, count: run, with: model.table)
      for i in at..<at + run { model.learn(symbols[i]) }
      at += run
    }
    return symbols
  }

  private mutating func decode(
    into symbols: inout [Int32], from: Int, count: Int, with table: FrequencyTable
  ) throws(CoderError) {
    if count <= 0 { return }
    if isEmpty { throw .truncated }
    var done = from
    let end = from + count
    while done < end {
      // All symbols up to an escape, or to the end.
      let (escaped, reached, state, at) = try run(into: &symbols, done, end, table)
      (x, position, done) = (state, at, reached)
      if escaped {
        symbols[done] = try decodeEscaped(with: table)
        done += 1
      }
    }
  }

  /// The inner loop. Returns whether it met an escape, where it stopped in `symbols`, and the
  /// coder's state.
  private func run(
    into symbols: inout [Int32], _ from: Int, _ end: Int, _ table: FrequencyTable
  ) throws(CoderError) -> (Bool, Int, UInt64, Int) {
    var (x, position, i) = (self.x, self.position, from)
    var escaped = false
    let (first, shift, escape) = (table.first, table.shift, table.count)
    let error: CoderError? = bytes.withUnsafeBytes { raw in
      table.cumulative.withUnsafeBufferPointer { cumulative in
        table.lookup.withUnsafeBufferPointer { lookup in
          symbols.withUnsafeMutableBufferPointer { out in
            do throws(CoderError) {
              while i < end {
                let value = UInt32(x & 0xff_ffff)
                // `lookup` has 2¹⁰ entries, and the last entry of `cumulative` is greater than
                // every value.
                var s = Int(lookup[Int(value >> 14)])
                while cumulative[s + 1] <= value { s += 1 }
                let start = cumulative[s]
                try Decoder.advance(&x, &position, start, cumulative[s + 1] - start, raw)
                if s == escape {
                  escaped = true
                  break
                }
                var symbol = first &+ Int32(s)
                if shift > 0 {
                  let low = UInt32(x & 0xff_ffff) >> UInt32(24 - shift)
                  let f = UInt32(1) << UInt32(24 - shift)
                  try Decoder.advance(&x, &position, low * f, f, raw)
                  symbol = symbol << Int32(shift) | Int32(low)
                }
                out[i] = symbol
                i += 1
              }
              return nil
            } catch {
              return error
            }
          }
        }
      }
    }
    if let error { throw error }
    return (escaped, i, x, position)
  }

  private mutating func decodeEscaped(with table: FrequencyTable) throws(CoderError) -> Int32 {
    let code = try decodeElias()
    guard let symbol = EscapedSymbol.symbol(of: code, beyond: table) else { throw .damaged }
    return symbol
  }

  /// A number written by ``Encoder/encodeElias(_:)``.
  public mutating func decodeElias() throws(CoderError) -> UInt64 {
    let length = Int(try decodeBits(count: 6))
    guard length <= 34 else { throw .damaged }
    var code: UInt64 = 1
    var rest = length
    while rest > 0 {
      let part = min(rest, 16)
      rest -= part
      code = code << UInt64(part) | UInt64(try decodeBits(count: part))
    }
    return code
  }

  /// Checks that no symbols remain.
  public func finish() throws(CoderError) {
    guard position == bytes.count, x == 1 << 31 else { throw .damaged }
  }
}
