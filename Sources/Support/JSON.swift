/// A JSON value. Objects keep the order of their keys.
///
/// Numbers without fraction or exponent that fit into 64 bits are ``int(_:)``, all others
/// ``number(_:)``. JSON has no NaN and no infinity: ``text(pretty:)`` writes them as `null`; call
/// ``requireFinite()`` first if that loss would matter.
public enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case int(Int64)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  /// One key of an object with its value.
  public struct Member: Sendable, Equatable {
    public var key: String
    public var value: JSON

    public init(_ key: String, _ value: JSON) {
      self.key = key
      self.value = value
    }
  }

  /// The limits of ``parse(_:limits:)-(UnsafeRawBufferPointer,_)``.
  public struct Limits: Sendable {
    /// The depth of nested containers.
    public var depth: Int
    /// Bytes of text.
    public var bytes: Int

    public init(depth: Int = 128, bytes: Int = 64 << 20) {
      self.depth = depth
      self.bytes = bytes
    }
  }
}

// MARK: - Access

extension JSON {
  /// The value of `key` in an object; nil if the key is absent or this is not an object. Takes time
  /// proportional to the number of keys.
  public subscript(key: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  /// The text of a string; nil for other values.
  public var stringValue: String? {
    if case .string(let text) = self { text } else { nil }
  }

  /// An integer, or a number that is whole; nil for other values.
  public var intValue: Int? {
    switch self {
    case .int(let value): Int(exactly: value)
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  /// A number of either kind; nil for other values.
  public var doubleValue: Double? {
    switch self {
    case .int(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  public var arrayValue: [JSON]? {
    if case .array(let items) = self { items } else { nil }
  }

  public var objectValue: [Member]? {
    if case .object(let members) = self { members } else { nil }
  }

  /// Throws if a NaN or an infinity is anywhere inside, and names its position.
  public func requireFinite() throws {
    switch self {
    case .number(let value) where !value.isFinite:
      throw LunervError(.argument, "JSON cannot hold the number \(value)")
    case .array(let items):
      for (index, item) in items.enumerated() {
        do { try item.requireFinite() } catch let error as LunervError {
          throw error.adding("in element \(index + 1)")
        }
      }
    case .object(let members):
      for member in members {
        do { try member.value.requireFinite() } catch let error as LunervError {
          throw error.adding("in key '\(member.key.printable)'")
        }
      }
    default: break
    }
  }
}

// MARK: - Literals

extension JSON: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(elements.map { Member($0.0, $0.1) })
  }
}

// MARK: - Writing

extension JSON {
  /// The value as JSON text: on one line, or if `pretty`, indented by two spaces and with a final
  /// newline. Doubles have the fewest digits that read back as the same number; NaN and infinities
  /// become `null`.
  public func text(pretty: Bool = false) -> String {
    var out: [UInt8] = []
    write(to: &out, indent: pretty ? 0 : nil)
    if pretty { out.append(newline) }
    return String(decoding: out, as: UTF8.self)
  }

  private func write(to out: inout [UInt8], indent: Int?) {
    switch self {
    case .null: out.append(contentsOf: "null".utf8)
    case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
    case .int(let value): out.append(contentsOf: String(value).utf8)
    case .number(let value):
      out.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
    case .string(let value): JSON.quote(value, to: &out)
    case .array(let items):
      JSON.list(items, UInt8(ascii: "["), UInt8(ascii: "]"), &out, indent) { item, out, inner in
        item.write(to: &out, indent: inner)
      }
    case .object(let members):
      JSON.list(members, UInt8(ascii: "{"), UInt8(ascii: "}"), &out, indent) { pair, out, inner in
        JSON.quote(pair.key, to: &out)
        out.append(UInt8(ascii: ":"))
        if inner != nil { out.append(space) }
        pair.value.write(to: &out, indent: inner)
      }
    }
  }

  private static func list<Item>(
    _ items: [Item], _ open: UInt8, _ close: UInt8, _ out: inout [UInt8], _ indent: Int?,
    _ element: (Item, inout [UInt8], Int?) -> Void
  ) {
    func breakLine(_ depth: Int, _ out: inout [UInt8]) {
      out.append(newline)
      out.append(contentsOf: repeatElement(space, count: 2 * depth))
    }
    out.append(open)
    let inner = indent.map { $0 + 1 }
    for (index, item) in items.enumerated() {
      if index > 0 { out.append(UInt8(ascii: ",")) }
      if let inner { breakLine(inner, &out) }
      element(item, &out, inner)
    }
    if let indent, !items.isEmpty { breakLine(indent, &out) }
    out.append(close)
  }

  private static func quote(_ string: String, to out: inout [UInt8]) {
    out.append(quoteMark)
    for byte in string.utf8 {
      switch byte {
      case quoteMark, backslash: out.append(contentsOf: [backslash, byte])
      case 0x08: out.append(contentsOf: [backslash, UInt8(ascii: "b")])
      case 0x09: out.append(contentsOf: [backslash, UInt8(ascii: "t")])
      case 0x0A: out.append(contentsOf: [backslash, UInt8(ascii: "n")])
      case 0x0C: out.append(contentsOf: [backslash, UInt8(ascii: "f")])
      case 0x0D: out.append(contentsOf: [backslash, UInt8(ascii: "r")])
      case 0..<0x20, 0x7F:
        out.append(contentsOf: "\\u00".utf8)
        out.append(contentsOf: (byte < 0x10 ? "0" : "").utf8)
        out.append(contentsOf: String(byte, radix: 16).utf8)
      default: out.append(byte)
      }
    }
    out.append(quoteMark)
  }
}

private let quoteMark = UInt8(ascii: "\"")
private let backslash = UInt8(ascii: "\\")
private let newline = UInt8(ascii: "\n")
private let space = UInt8(ascii: " ")
