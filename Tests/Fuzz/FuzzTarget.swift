import Support

/// A fuzzed function of arbitrary bytes.
///
/// It may throw ``LunervError``, the answer to bad input. Other errors, a trap, a report of the
/// sanitizer, and a ``require(_:_:)`` that does not hold are findings.
struct FuzzTarget: Sendable {
  let name: String
  let summary: String
  /// The longest useful input, in bytes.
  var longest = 4096
  let run: @Sendable ([UInt8]) throws -> Void
  /// Words that mutations may insert, separated by white space.
  var words = ""
  /// Repairs what a change of bytes has broken, such as checksums: otherwise no input would pass
  /// them.
  var mend: (@Sendable ([UInt8]) -> [UInt8])? = nil

  static let all: [FuzzTarget] =
    sections + texts + coders + lua + operators + decoders + library + programs

  static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }

  /// Runs the target on one input.
  func feed(_ bytes: [UInt8]) {
    do { try run(bytes) } catch is LunervError {} catch {
      fatalError("\(name): an error other than LunervError: \(error)")
    }
  }
}

/// An oracle: a finding where the condition does not hold.
func require(
  _ condition: @autoclosure () throws -> Bool, _ what: @autoclosure () -> String
) rethrows {
  if try !condition() { fatalError(what()) }
}

/// Reads an input piece by piece. After its end come zeros, so every input is complete.
struct FuzzInput {
  private let bytes: [UInt8]
  private(set) var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isEmpty: Bool { position >= bytes.count }

  mutating func byte() -> UInt8 {
    guard position < bytes.count else { return 0 }
    defer { position += 1 }
    return bytes[position]
  }

  /// From 0 to `count` − 1; at most 256.
  mutating func choice(_ count: Int) -> Int { Int(byte()) % max(count, 1) }

  mutating func number(_ range: ClosedRange<Int>) -> Int {
    let count = range.count
    if count <= 256 { return range.lowerBound + choice(count) }
    let wide = UInt64(byte()) << 24 | UInt64(byte()) << 16 | UInt64(byte()) << 8 | UInt64(byte())
    return range.lowerBound + Int(wide % UInt64(count))
  }

  mutating func pick<T>(_ list: [T]) -> T { list[choice(list.count)] }

  /// Mostly small, at times one of 32 bits.
  mutating func symbol() -> Int32 {
    let first = byte()
    switch first {
    case 255: return Int32(truncatingIfNeeded: word())
    case 254: return pick([Int32.min, .max, -1 << 30, 1 << 30, -65536, 65536, 1 << 24])
    default: return Int32(first) - 127
    }
  }

  mutating func word() -> UInt64 {
    (0..<8).reduce(0) { word, _ in word << 8 | UInt64(byte()) }
  }

  /// The rest.
  mutating func rest() -> [UInt8] {
    defer { position = bytes.count }
    return Array(bytes[min(position, bytes.count)...])
  }
}
