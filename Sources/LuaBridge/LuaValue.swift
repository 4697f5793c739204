import CLua
import CLuaBridge
import Support

/// A deep copy of Lua data.
public indirect enum LuaValue: LuaArgument, LuaResult {
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case nil_
  case bool(Bool)
  case int(Int)
  case number(Double)
  case string(String)
  /// A table whose keys are 1…n; the empty table too.
  case array([LuaValue])
  /// Any other table, in no particular order.
  case table([(LuaValue, LuaValue)])
  case object(any LuaObject)
  /// A function or coroutine: seen, not copied. Pushed as nil.
  case function

  public static var luaTypeName: String { "value" }

  /// The name of its type in Lua.
  public var typeName: String {
    switch self {
    case .nil_: "nil"
    case .bool: "boolean"
    case .int, .number: "number"
    case .string: "string"
    case .array, .table: "table"
    case .object(let object): type(of: object).luaName
    case .function: "function"
    }
  }

  public static var luaMayBeAbsent: Bool { true }

  /// The most levels of nested tables.
  public static let maximumDepth = 100
  /// The most values in one copy.
  public static let maximumCount = 1 << 24

  /// - Throws: on tables that contain themselves, nest deeper than ``maximumDepth`` or hold
  ///   more than ``maximumCount`` values, and on objects that are closed or unknown.
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> LuaValue {
    var reader = LuaValueReader(stack: stack)
    return try reader.read(at: index)
  }

  public func push(to stack: LuaStack) { push(to: stack, depth: 0) }

  private func push(to stack: LuaStack, depth: Int) {
    switch self {
    case .nil_, .function: stack.pushNil()
    case .bool(let value): stack.push(value)
    case .int(let value): stack.push(value)
    case .number(let value): stack.push(value)
    case .string(let value): stack.push(value)
    case .object(let object): object.push(to: stack)
    case .array, .table:
      if depth == LuaValue.maximumDepth {
        stack.failLater(
          LunervError(.data, "data nested deeper than \(LuaValue.maximumDepth) levels"))
        return stack.pushNil()
      }
      pushElements(to: stack, depth: depth + 1)
    }
  }

  private func pushElements(to stack: LuaStack, depth: Int) {
    switch self {
    case .array(let elements):
      guard stack.pushTable(elements: elements.count) else { return }
      for (position, element) in elements.enumerated() where !stack.isOverLimit {
        element.push(to: stack, depth: depth)
        stack.setElement(position + 1)
      }
    case .table(let pairs):
      guard stack.pushTable(fields: pairs.count) else { return }
      for (key, value) in pairs where key.canBeKey && !stack.isOverLimit {
        key.push(to: stack, depth: depth)
        guard !stack.isNil(at: -1) else { return lunerv_pop(stack.thread, 1) }
        value.push(to: stack, depth: depth)
        lua_rawset(stack.thread, -3)
      }
    default: break
    }
  }

  /// Lua raises on nil and NaN as keys, which must not happen below Swift.
  private var canBeKey: Bool {
    switch self {
    case .nil_, .function: false
    case .number(let value): !value.isNaN
    case .array, .table: false
    default: true
    }
  }
}

extension LuaValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByStringLiteral, ExpressibleByBooleanLiteral
{
  public init(integerLiteral value: Int) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
}

/// The state of one deep copy.
private struct LuaValueReader {
  let stack: LuaStack
  /// The tables being read, outermost first, to detect one that contains itself.
  var open: [UnsafeRawPointer] = []
  var count = 0

  mutating func read(at index: Int32) throws(LuaTypeMismatch) -> LuaValue {
    count += 1
    if count > LuaValue.maximumCount {
      throw LuaTypeMismatch("table holds more than \(LuaValue.maximumCount) values")
    }
    switch stack.type(at: index) {
    case .none, .nil_: return .nil_
    case .boolean: return .bool(stack.bool(at: index) ?? false)
    case .number:
      if stack.isInteger(at: index), let value = stack.integer(at: index) { return .int(value) }
      return .number(stack.number(at: index) ?? 0)
    case .string:
      try stack.willCopyText(index)
      return .string(stack.string(at: index) ?? "")
    case .function, .thread: return .function
    case .userdata: return .object(try stack.anyObject(at: index))
    case .table:
      if let error = stack.error(at: index) { return .string(error.text) }
      return try readTable(at: lua_absindex(stack.thread, index))
    }
  }

  private mutating func readTable(at index: Int32) throws(LuaTypeMismatch) -> LuaValue {
    guard let identity = lua_topointer(stack.thread, index) else { return .nil_ }
    if open.contains(identity) { throw LuaTypeMismatch("table contains itself") }
    if open.count == LuaValue.maximumDepth {
      throw LuaTypeMismatch("table nested deeper than \(LuaValue.maximumDepth) levels")
    }
    open.append(identity)
    defer { open.removeLast() }

    stack.room()
    let thread = stack.thread
    let top = lua_gettop(thread)
    defer { lua_settop(thread, top) }
    var elements: [LuaValue] = []
    let length = stack.length(at: index)
    // A table with few elements may be long: a border is any element followed by nil.
    try stack.willCopy(length)
    elements.reserveCapacity(Swift.min(length, 1 << 12))
    for position in 0..<length {
      lua_rawgeti(thread, index, lua_Integer(position + 1))
      elements.append(try read(at: top + 1))
      lua_settop(thread, top)
    }
    var pairs: [(LuaValue, LuaValue)] = []
    lua_pushnil(thread)
    while lua_next(thread, index) != 0 {
      let isElement =
        stack.isInteger(at: top + 1)
        && (1...Swift.max(length, 1)).contains(stack.integer(at: top + 1) ?? 0) && length > 0
      if !isElement {
        try stack.willCopy(1)
        pairs.append((try read(at: top + 1), try read(at: top + 2)))
      }
      lua_settop(thread, top + 1)
    }
    if pairs.isEmpty { return .array(elements) }
    return .table(elements.enumerated().map { (.int($0.offset + 1), $0.element) } + pairs)
  }
}
