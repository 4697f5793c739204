import Support

/// Builds the bytes of a section.
public struct ByteWriter: Sendable {
  public private(set) var bytes: [UInt8] = []

  public init() {}

  public mutating func byte(_ value: UInt8) { bytes.append(value) }
  public mutating func append(_ more: [UInt8]) { bytes.append(contentsOf: more) }

  /// Seven bits per byte, lowest first; a set high bit means that more follow.
  public mutating func number(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  /// A signed number: 0, −1, 1, −2, … as 0, 1, 2, 3, …
  public mutating func signed(_ value: Int64) {
    number(UInt64(bitPattern: value << 1 ^ value >> 63))
  }

  /// The `count` low bytes, the lowest first.
  public mutating func fixed(_ value: UInt64, count: Int) {
    for i in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * i))) }
  }
}

/// Parses the bytes of a section. It never reads past their end: if there are too few, it throws an
/// error of kind `data`.
public struct ByteReader: Sendable {
  private let bytes: ArraySlice<UInt8>
  public private(set) var position: Int

  public init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
  }
  public init(_ bytes: [UInt8]) { self.init(bytes[...]) }

  public var remaining: Int { bytes.endIndex - position }

  private static let tooShort = LunervError(.data, "it ends too early")

  public mutating func byte() throws -> UInt8 {
    guard position < bytes.endIndex else { throw ByteReader.tooShort }
    defer { position += 1 }
    return bytes[position]
  }

  public mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
    guard count >= 0, count <= remaining else { throw ByteReader.tooShort }
    defer { position += count }
    return bytes[position..<position + count]
  }

  /// A number of at most `limit`. One that takes more bytes than it needs is an error.
  public mutating func number(limit: UInt64, _ what: String) throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      let next = try byte()
      let part = UInt64(next & 0x7f)
      guard (part << shift) >> shift == part, next != 0 || shift == 0 else { break }
      value |= part << shift
      if next & 0x80 == 0 {
        guard value <= limit else {
          throw LunervError(.data, "\(what): expected at most \(limit), got \(value)")
        }
        return value
      }
    }
    throw LunervError(.data, "\(what): expected a number of 64 bits, got more")
  }

  public mutating func count(limit: Int, _ what: String) throws -> Int {
    Int(try number(limit: UInt64(max(limit, 0)), what))
  }

  public mutating func signed(_ what: String) throws -> Int64 {
    let value = try number(limit: .max, what)
    return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
  }

  public mutating func fixed(count: Int) throws -> UInt64 {
    try take(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Checks that all bytes were read.
  public func finish() throws {
    guard remaining == 0 else {
      throw LunervError(.data, "expected the end, got \(remaining) more bytes")
    }
  }
}
