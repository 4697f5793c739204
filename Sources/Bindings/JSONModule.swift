import LuaBridge
import Support

/// JSON's null: a table cannot hold Lua's nil.
public final class JSONNull: LuaObject {
  public static let value = JSONNull()
  public static var luaName: String { "json_null" }
}
extension JSONNull: @unchecked Sendable {}

/// Plain data as JSON.
enum JSONModule {
  static func define(_ m: LuaModule) -> LuaClass<JSONNull> {
    m.define(
      "json_encode", params: ["value"],
      doc: """
        Plain data as JSON text, keys sorted.
        A table with the keys 1…n is an array, one with strings an object; functions, tensors and other
        keys are errors. JSON has no infinities and no NaN: they are written as null.

            print(lv.json.encode { psnr = 31.5, frames = { 1, 2 } })

        @param value any  numbers, strings, booleans, lv.json.null, and tables of them
        """
    ) {
      (value: LuaValue) -> String in try encoded(value, at: "").text()
    }
    m.show("json_encode", as: "json.encode")
    m.define(
      "json_decode", params: ["text"],
      doc: """
        The plain data of JSON text.
        JSON's null is lv.json.null, since a table cannot hold nil.

            local data = lv.json.decode '{"psnr": 31.5}'

        @param text string  text that is JSON as a whole; other text is an error
        @return any  a table, number, string, boolean or lv.json.null
        """
    ) {
      (text: String) -> LuaValue in decoded(try JSON.parse(text))
    }
    m.show("json_decode", as: "json.decode")
    m.constant("json_null", .object(JSONNull.value))
    let null = LuaClass<JSONNull>()
    null.meta("__tostring") { (_: JSONNull) -> String in "null" }
    return null
  }

  /// `path` says where in the data the value is: ".runs[2].model".
  private static func encoded(_ value: LuaValue, at path: String) throws -> JSON {
    switch value {
    case .nil_: return .null
    case .bool(let b): return .bool(b)
    case .int(let n): return .int(Int64(n))
    case .number(let n): return .number(n)
    case .string(let s): return .string(s)
    case .array(let list):
      return .array(
        try list.enumerated().map { try encoded($0.element, at: "\(path)[\($0.offset + 1)]") })
    case .table(let pairs):
      let members = try pairs.map { key, value -> JSON.Member in
        switch key {
        case .string(let s): return JSON.Member(s, try encoded(value, at: "\(path).\(s)"))
        case .int, .number:
          throw mismatch("the keys 1…n or strings in a table", "numbers among them", path)
        default: throw mismatch("the keys 1…n or strings in a table", "a \(key.typeName)", path)
        }
      }
      let sorted = members.sorted { $0.key < $1.key }
      // Bytes that are not UTF-8 may make different keys equal.
      for (a, b) in zip(sorted, sorted.dropFirst()) where a.key.utf8.elementsEqual(b.key.utf8) {
        throw mismatch("keys in UTF-8", "'\(a.key)' twice", path)
      }
      return .object(sorted)
    case .object(let o):
      if o is JSONNull { return .null }
      throw mismatch("plain data", "a \(value.typeName)", path)
    case .function: throw mismatch("plain data", "a function", path)
    }
  }

  private static func mismatch(_ expected: String, _ got: String, _ path: String) -> LunervError {
    let place = path.isEmpty ? "" : " at \(path)"
    return LunervError(.argument, "json.encode: expected \(expected), got \(got)\(place)")
  }

  private static func decoded(_ json: JSON) -> LuaValue {
    switch json {
    case .null: .object(JSONNull.value)
    case .bool(let b): .bool(b)
    case .int(let n): .int(Int(n))
    case .number(let n): .number(n)
    case .string(let s): .string(s)
    case .array(let list): .array(list.map(decoded))
    case .object(let members): .table(members.map { (.string($0.key), decoded($0.value)) })
    }
  }
}
