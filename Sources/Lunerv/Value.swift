import LuaBridge
import Support
import Tensors

/// A Lua value outside of Lua: a copy, except that tensors and other objects are shared.
///
/// Literals become values, so that arguments read as in Lua:
///
/// ```swift
/// try x.call("conv2d", .tensor(weight), nil, ["stride": 2])
/// ```
public enum Value {
  case `nil`
  case bool(Bool)
  case integer(Int)
  case number(Double)
  /// Text; invalid UTF-8 is replaced by U+FFFD.
  case string(String)
  /// A table with the keys 1…n; also the empty table.
  case list([Value])
  /// Any other table, in no particular order.
  case table([(key: Value, value: Value)])
  case tensor(Tensor)
  /// A clip, a writer, an optimiser: shared, so that it can be passed back to Lua.
  case object(Object)
  /// A function or a coroutine, which stays in Lua; passed back it is nil.
  case function

  /// A Lua object that Swift can only pass back.
  public struct Object {
    let object: any LuaObject
    /// The name of its type in Lua: "clip".
    public var typeName: String { type(of: object).luaName }
  }

  /// The value as a number, integer or not.
  public var number: Double? {
    switch self {
    case .number(let number): number
    case .integer(let number): Double(number)
    default: nil
    }
  }

  /// The value as an integer, also if it is a number without a fraction.
  public var integer: Int? {
    switch self {
    case .integer(let number): number
    case .number(let number): Int(exactly: number)
    default: nil
    }
  }

  public var string: String? { if case .string(let text) = self { text } else { nil } }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var tensor: Tensor? { if case .tensor(let tensor) = self { tensor } else { nil } }
  public var list: [Value]? { if case .list(let values) = self { values } else { nil } }

  /// A field of a table; nil if it has none of this name, or if this is not a table.
  public subscript(_ name: String) -> Value? {
    guard case .table(let pairs) = self else { return nil }
    return pairs.first { $0.key.string == name }?.value
  }

  /// The name of its type in Lua: "number", "tensor".
  public var typeName: String {
    switch self {
    case .nil: "nil"
    case .bool: "boolean"
    case .integer, .number: "number"
    case .string: "string"
    case .list, .table: "table"
    case .tensor: "tensor"
    case .object(let object): object.typeName
    case .function: "function"
    }
  }

  init(_ value: LuaValue, _ core: Core) {
    self =
      switch value {
      case .nil_: .nil
      case .bool(let value): .bool(value)
      case .int(let number): .integer(number)
      case .number(let number): .number(number)
      case .string(let text): .string(text)
      case .array(let values): .list(values.map { Value($0, core) })
      case .table(let pairs):
        .table(pairs.map { (key: Value($0.0, core), value: Value($0.1, core)) })
      case .object(let tensor as Tensors.Tensor): .tensor(Tensor(tensor, core))
      case .object(let object): .object(Object(object: object))
      case .function: .function
      }
  }

  var lua: LuaValue {
    switch self {
    case .nil: .nil_
    case .bool(let value): .bool(value)
    case .integer(let number): .int(number)
    case .number(let number): .number(number)
    case .string(let text): .string(text)
    case .list(let values): .array(values.map(\.lua))
    case .table(let pairs): .table(pairs.map { ($0.key.lua, $0.value.lua) })
    case .tensor(let tensor): .object(tensor.native)
    case .object(let object): .object(object.object)
    case .function: .function
    }
  }
}

extension Value: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self = .nil }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral values: Value...) { self = .list(values) }
  public init(dictionaryLiteral pairs: (String, Value)...) {
    self = .table(pairs.map { (key: .string($0.0), value: $0.1) })
  }
}
