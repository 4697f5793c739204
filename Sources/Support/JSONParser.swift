extension JSON {
  /// Reads one JSON value (RFC 8259) and nothing else: no comments, no trailing commas, no text
  /// after the value, no duplicate keys. Invalid UTF-8 and unpaired escaped surrogates become
  /// U+FFFD. Errors name line and column (in bytes, from 1).
  public static func parse(
    _ text: UnsafeRawBufferPointer, limits: Limits = Limits()
  ) throws -> JSON {
    guard text.count <= limits.bytes else {
      throw LunervError(
        .data, "JSON text has \(text.count) bytes, more than the \(limits.bytes) allowed")
    }
    var parser = JSONParser(text, depthLimit: limits.depth)
    return try parser.document()
  }

  public static func parse(_ text: String, limits: Limits = Limits()) throws -> JSON {
    try parse(Array(text.utf8), limits: limits)
  }

  public static func parse(_ text: [UInt8], limits: Limits = Limits()) throws -> JSON {
    try text.withUnsafeBytes { try parse($0, limits: limits) }
  }
}

/// A recursive-descent parser over bytes. A struct, because its state changes at every byte.
private struct JSONParser {
  let text: UnsafeRawBufferPointer
  let depthLimit: Int
  var position = 0
  var depth = 0

  init(_ text: UnsafeRawBufferPointer, depthLimit: Int) {
    self.text = text
    self.depthLimit = depthLimit
  }

  mutating func document() throws -> JSON {
    let result = try value()
    skipSpace()
    guard position == text.count else { throw failure("unexpected text after the value") }
    return result
  }

  private var next: UInt8? { position < text.count ? text[position] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || (0x09...0x0A).contains(byte) || byte == 0x0D {
      position += 1
    }
  }

  private mutating func value() throws -> JSON {
    skipSpace()
    guard let byte = next else { throw failure("expected a value, but the text ends") }
    switch byte {
    case UInt8(ascii: "{"): return try nested { try $0.object() }
    case UInt8(ascii: "["): return try nested { try $0.array() }
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw failure("expected a value")
    }
  }

  private mutating func nested(
    _ body: (inout JSONParser) throws -> JSON
  ) throws -> JSON {
    guard depth < depthLimit else { throw failure("nested more than \(depthLimit) deep") }
    depth += 1
    defer { depth -= 1 }
    position += 1
    return try body(&self)
  }

  private mutating func object() throws -> JSON {
    var members: [JSON.Member] = []
    var seen: Set<ByteString> = []
    if try atEnd(UInt8(ascii: "}"), first: true) { return .object(members) }
    repeat {
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw failure("expected a key in quotes") }
      let start = position
      let key = try string()
      guard seen.insert(ByteString(text: key)).inserted else {
        position = start
        throw failure("key '\(key.printable)' occurs twice in one object")
      }
      skipSpace()
      guard next == UInt8(ascii: ":") else { throw failure("expected ':' after a key") }
      position += 1
      members.append(JSON.Member(key, try value()))
    } while try !atEnd(UInt8(ascii: "}"), first: false)
    return .object(members)
  }

  private mutating func array() throws -> JSON {
    var items: [JSON] = []
    if try atEnd(UInt8(ascii: "]"), first: true) { return .array(items) }
    repeat { items.append(try value()) } while try !atEnd(UInt8(ascii: "]"), first: false)
    return .array(items)
  }

  /// Skips the closing bracket (true) or, after an element, the comma (false).
  private mutating func atEnd(_ close: UInt8, first: Bool) throws -> Bool {
    skipSpace()
    if next == close {
      position += 1
      return true
    }
    if first { return false }
    guard next == UInt8(ascii: ",") else {
      throw failure("expected ',' or '\(Character(UnicodeScalar(close)))'")
    }
    position += 1
    return false
  }

  private mutating func word(_ expected: String, _ meaning: JSON) throws -> JSON {
    for byte in expected.utf8 {
      guard next == byte else { throw failure("expected '\(expected)'") }
      position += 1
    }
    return meaning
  }

  private mutating func number() throws -> JSON {
    let start = position
    let negative = next == UInt8(ascii: "-")
    if negative { position += 1 }
    let leading = next
    let whole = try digits()
    if leading == UInt8(ascii: "0"), whole > 1 {
      position = start
      throw failure("a number with a leading zero")
    }
    var isInteger = true
    if next == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      _ = try digits()
    }
    if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
      _ = try digits()
    }
    let literal = String(decoding: text[start..<position], as: UTF8.self)
    // "-0" stays a double, since integers have no negative zero.
    if isInteger, let value = Int64(literal), value != 0 || !negative { return .int(value) }
    guard let value = Double(literal), value.isFinite else {
      position = start
      throw failure("a number beyond the range of a double")
    }
    return .number(value)
  }

  /// Skips one or more digits and returns how many.
  private mutating func digits() throws -> Int {
    let start = position
    while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
      position += 1
    }
    guard position > start else { throw failure("expected a digit") }
    return position - start
  }

  private mutating func string() throws -> String {
    position += 1
    var start = position
    var unescaped: [UInt8] = []
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        let tail = text[start..<position]
        position += 1
        if unescaped.isEmpty { return String(decoding: tail, as: UTF8.self) }
        unescaped.append(contentsOf: tail)
        return String(decoding: unescaped, as: UTF8.self)
      case UInt8(ascii: "\\"):
        unescaped.append(contentsOf: text[start..<position])
        try escape(&unescaped)
        start = position
      case 0..<0x20: throw failure("a control character inside a string")
      default: position += 1
      }
    }
    throw failure("the text ends inside a string")
  }

  private mutating func escape(_ out: inout [UInt8]) throws {
    position += 1
    guard let kind = next else { throw failure("the text ends inside a string") }
    position += 1
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(kind)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "n"): out.append(0x0A)
    case UInt8(ascii: "f"): out.append(0x0C)
    case UInt8(ascii: "r"): out.append(0x0D)
    case UInt8(ascii: "u"): out.append(contentsOf: String(Character(try scalar())).utf8)
    default:
      position -= 1
      throw failure("an unknown escape")
    }
  }

  /// The character of `\uXXXX`, or of two of them that form a surrogate pair.
  private mutating func scalar() throws -> Unicode.Scalar {
    let first = try hex()
    if let scalar = Unicode.Scalar(first) { return scalar }
    let mark = position
    if first < 0xDC00, next == UInt8(ascii: "\\") {
      position += 1
      if next == UInt8(ascii: "u") {
        position += 1
        let second = try hex()
        if (0xDC00...0xDFFF).contains(second),
          let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        {
          return scalar
        }
      }
      position = mark
    }
    return "\u{FFFD}"
  }

  private mutating func hex() throws -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(UnicodeScalar(byte)).hexDigitValue else {
        throw failure("expected four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  private func failure(_ what: String) -> LunervError {
    let before = text[..<min(position, text.count)]
    let line = before.count { $0 == 0x0A } + 1
    let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    return LunervError(
      .data, "invalid JSON at line \(line), column \(position - lineStart + 1): \(what)")
  }
}

/// A string compared by its bytes: Swift's own `==` treats é and e + accent as equal.
private struct ByteString: Hashable {
  let text: String

  static func == (a: ByteString, b: ByteString) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

  func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}
