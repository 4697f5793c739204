import CZlib
import Support

/// The Lua modules of a decoder, as a file holds them.
///
///     number     the bytes of the stream once it is inflated
///     stream     deflated (RFC 1950): for each module its name and its source, each preceded by
///                its number of bytes
public enum StoredProgram {
  public struct Module: Sendable, Equatable {
    public var name: String
    public var source: [UInt8]

    public init(name: String, source: [UInt8]) {
      self.name = name
      self.source = source
    }
  }

  /// The most modules, and the most bytes in all.
  public static let mostModules = 64
  public static let mostBytes = 1 << 20

  /// Names that `require` accepts: words of letters, digits, `_` and `-`, separated by dots.
  static func isName(_ name: String) -> Bool {
    let words = name.split(separator: ".", omittingEmptySubsequences: false)
    return name.utf8.count <= 100 && words.first != "lunerv"
      && words.allSatisfy { word in
        !word.isEmpty
          && word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
              UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
              true
            default: false
            }
          }
      }
  }

  /// - Throws: an error of kind `argument` for a program that readers would reject.
  public static func encode(_ modules: [Module]) throws -> [UInt8] {
    var plain = ByteWriter()
    guard Set(modules.map(\.name)).count == modules.count else {
      throw LunervError(.argument, "a file cannot hold two modules of one name")
    }
    for module in modules {
      guard isName(module.name) else {
        throw LunervError(
          .argument,
          "a file cannot hold a module named '\(module.name)': expected letters, digits, '_', '-' and '.'"
        )
      }
      for bytes in [Array(module.name.utf8), module.source] {
        plain.number(UInt64(bytes.count))
        plain.append(bytes)
      }
    }
    guard modules.count <= mostModules, plain.bytes.count <= mostBytes else {
      throw LunervError(
        .argument,
        "a decoder of \(modules.count) modules and \(plain.bytes.count) bytes is too large for a file: expected at most \(mostModules) and \(mostBytes)"
      )
    }
    var deflated = [UInt8](repeating: 0, count: Int(compressBound(uLong(plain.bytes.count))))
    var count = uLongf(deflated.count)
    guard compress2(&deflated, &count, plain.bytes, uLong(plain.bytes.count), 9) == Z_OK else {
      throw LunervError(.memory, "not enough memory to deflate a program")
    }
    var writer = ByteWriter()
    writer.number(UInt64(plain.bytes.count))
    writer.append(Array(deflated.prefix(Int(count))))
    return writer.bytes
  }

  /// - Throws: an error of kind `data`.
  public static func decode(_ bytes: [UInt8]) throws -> [Module] {
    var reader = ByteReader(bytes)
    let size = try reader.count(limit: mostBytes, "the program's size")
    let deflated = Array(try reader.take(reader.remaining))
    var plain = [UInt8](repeating: 0, count: max(size, 1))
    var (written, read) = (uLongf(size), uLong(deflated.count))
    guard uncompress2(&plain, &written, deflated, &read) == Z_OK, written == size,
      read == deflated.count
    else { throw LunervError(.data, "it cannot be inflated") }
    var inside = ByteReader(plain[..<size])
    var modules: [Module] = []
    while inside.remaining > 0 {
      guard modules.count < mostModules else {
        throw LunervError(.data, "more than \(mostModules) modules")
      }
      let nameCount = try inside.count(limit: 100, "the length of a module's name")
      let name = String(decoding: try inside.take(nameCount), as: UTF8.self)
      let sourceCount = try inside.count(limit: mostBytes, "the length of a module")
      let source = Array(try inside.take(sourceCount))
      guard isName(name), !modules.contains(where: { $0.name == name }) else {
        throw LunervError(.data, "a module cannot be named '\(name.printable)'")
      }
      modules.append(Module(name: name, source: source))
    }
    return modules
  }
}
