import CLua
import CLuaBridge
import Support

/// The kind of a Lua value.
public enum LuaType: Sendable {
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case none, nil_, boolean, number, string, table, function, userdata, thread

  init(_ code: Int32) {
    self =
      switch code {
      case 0: .nil_
      case 1: .boolean
      case 2, 7: .userdata
      case 3: .number
      case 4: .string
      case 5: .table
      case 6: .function
      case 8: .thread
      default: .none
      }
  }
}

/// A Lua stack with only those operations that never raise.
///
/// It is valid during one call. Indexes count from 1 at the first argument, and from -1 at the top.
/// Pushing may exceed the limit of Lua's memory; then the trampoline fails the call when Swift has
/// returned.
public struct LuaStack {
  let thread: OpaquePointer
  /// The state that this stack belongs to.
  public unowned(unsafe) let state: LuaState

  init(_ thread: OpaquePointer, _ state: LuaState) {
    self.thread = thread
    self.state = state
  }

  /// The number of values; at the start of a call, the number of arguments.
  public var count: Int32 { lua_gettop(thread) }

  /// The type of a value; `.none` beyond the last argument.
  public func type(at index: Int32) -> LuaType { LuaType(lua_type(thread, index)) }

  /// The name of a value's type in messages: "number", "tensor", "no value".
  public func typeName(at index: Int32) -> String {
    switch type(at: index) {
    case .none: return "no value"
    case .nil_: return "nil"
    case .boolean: return "boolean"
    case .number: return "number"
    case .string: return "string"
    case .table: return "table"
    case .function: return "function"
    case .thread: return "thread"
    case .userdata: return objectInfo(at: index)?.name ?? "userdata"
    }
  }

  /// Whether the argument is absent or nil.
  public func isNil(at index: Int32) -> Bool { lua_type(thread, index) <= 0 }

  /// A Lua boolean; nil for any other value.
  public func bool(at index: Int32) -> Bool? {
    lua_type(thread, index) == LUA_TBOOLEAN ? lua_toboolean(thread, index) != 0 : nil
  }

  /// A Lua number; strings are not converted.
  public func number(at index: Int32) -> Double? {
    lua_type(thread, index) == LUA_TNUMBER ? lua_tonumberx(thread, index, nil) : nil
  }

  /// A Lua integer, or a float with an integral value; strings are not converted.
  public func integer(at index: Int32) -> Int? {
    guard lua_type(thread, index) == LUA_TNUMBER else { return nil }
    var exact: Int32 = 0
    let value = lua_tointegerx(thread, index, &exact)
    return exact != 0 ? Int(value) : nil
  }

  /// Whether the value is a number of Lua's integer subtype.
  public func isInteger(at index: Int32) -> Bool { lua_isinteger(thread, index) != 0 }

  /// Calls `body` with the bytes of a string, which live as long as the string stays on the
  /// stack; nil if the value is not a string.
  public func withBytes<R>(at index: Int32, _ body: (UnsafeRawBufferPointer) throws -> R)
    rethrows -> R?
  {
    var count = 0
    guard let bytes = lunerv_string(thread, index, &count) else { return nil }
    return try body(UnsafeRawBufferPointer(start: bytes, count: count))
  }

  /// A string as UTF-8, with what is not UTF-8 replaced by U+FFFD; an error object as its text.
  public func string(at index: Int32) -> String? {
    withBytes(at: index) { String(decoding: $0, as: UTF8.self) } ?? error(at: index)?.text
  }

  /// The error that an error object is, or nil.
  func error(at index: Int32) -> LunervError? {
    guard lunerv_is_error(thread, index) else { return nil }
    let table = lua_absindex(thread, index)
    func field(_ name: String) -> String? {
      push(name)
      lua_rawget(thread, table)
      defer { lunerv_pop(thread, 1) }
      return withBytes(at: -1) { String(decoding: $0, as: UTF8.self) }
    }
    let kind = field("kind").flatMap { LunervError.Kind(rawValue: $0) } ?? .script
    var error = LunervError(kind, field("message") ?? "")
    error.place = field("where")?.harmless
    error.module = field("module")?.harmless
    error.traceback = field("traceback")?.harmless
    return error
  }

  /// Pushes an error object.
  func push(_ error: LunervError) {
    // The error must be reported even if memory is short.
    room()
    lua_createtable(thread, 0, 5)
    let fields = [
      ("kind", error.kind.rawValue), ("message", error.description), ("where", error.place),
      ("module", error.module), ("traceback", error.traceback),
    ]
    for (name, value) in fields {
      guard let value else { continue }
      push(value)
      setField(name)
    }
    room()
    lunerv_class_error(thread)
  }

  /// The length of a table's sequence, without the metamethod `__len`.
  public func length(at index: Int32) -> Int { Int(lua_rawlen(thread, index)) }

  /// Calls `body` with the index of element `position` (counted from 1) of a table, without
  /// metamethods; the value is popped afterwards.
  public func withElement<R, E: Error>(
    _ position: Int, of table: Int32, _ body: (Int32) throws(E) -> R
  ) throws(E) -> R {
    room()
    lua_rawgeti(thread, table, lua_Integer(position))
    defer { lunerv_pop(thread, 1) }
    return try body(lua_gettop(thread))
  }

  /// Calls `body` with the indexes of key and value of every pair of a table, in no
  /// particular order. `body` leaves the stack as it was.
  public func forEachPair<E: Error>(
    of table: Int32, _ body: (_ key: Int32, _ value: Int32) throws(E) -> Void
  ) throws(E) {
    room()
    let table = lua_absindex(thread, table)
    let top = lua_gettop(thread)
    defer { lua_settop(thread, top) }
    lua_pushnil(thread)
    while lua_next(thread, table) != 0 {
      try body(top + 1, top + 2)
      lua_settop(thread, top + 1)
    }
  }

  public func pushNil() {
    room()
    lua_pushnil(thread)
  }

  public func push(_ value: Bool) {
    room()
    lua_pushboolean(thread, value ? 1 : 0)
  }

  public func push(_ value: Int) {
    room()
    lua_pushinteger(thread, lua_Integer(value))
  }

  public func push(_ value: Double) {
    room()
    lua_pushnumber(thread, value)
  }

  /// Pushes a string of these bytes. A string above the memory limit fails the call.
  public func push(bytes: UnsafeRawBufferPointer) {
    room()
    if lunerv_would_exceed_limit(thread, bytes.count) {
      lunerv_bridge_of(thread).pointee.over_limit = true
      lua_pushnil(thread)
    } else {
      lua_pushlstring(thread, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }
  }

  public func push(_ value: String) {
    var value = value
    value.withUTF8 { push(bytes: UnsafeRawBufferPointer($0)) }
  }

  /// Pushes an empty table with room for this many elements and fields. If there is not enough memory
  /// for it, the call fails: then this pushes nil and returns false.
  @discardableResult
  public func pushTable(elements: Int = 0, fields: Int = 0) -> Bool {
    room()
    // Lua's bytes per element and per field. Many small tables count like a large one.
    let size = 16 * elements + 40 * fields
    guard !lunerv_would_exceed_limit(thread, size) else {
      lunerv_bridge_of(thread).pointee.over_limit = true
      lua_pushnil(thread)
      return false
    }
    lua_createtable(thread, Int32(clamping: elements), Int32(clamping: fields))
    return true
  }

  /// Whether the running call has exceeded the memory limit: it fails when it returns.
  public var isOverLimit: Bool { lunerv_bridge_of(thread).pointee.over_limit }

  /// Pops a value and makes it element `position` of the table below it.
  public func setElement(_ position: Int) { lua_rawseti(thread, -2, lua_Integer(position)) }

  /// Pops a value and makes it field `name` of the table below it.
  public func setField(_ name: String) {
    push(name)
    // Without memory for the name, nil was pushed, which is not a key.
    guard lua_type(thread, -1) == LUA_TSTRING else { return lunerv_pop(thread, 2) }
    lua_rotate(thread, -2, 1)
    lua_rawset(thread, -3)
  }

  /// Fails the running call with `error` once its results are pushed.
  ///
  /// For `push(to:)`, which cannot throw.
  public func failLater(_ error: LunervError) {
    if state.pushFailure == nil { state.pushFailure = error }
  }

  /// Makes room for a few more values. The trampoline has made enough for everything that nests
  /// within the limits of this module; longer loops check for themselves.
  func room() { precondition(lua_checkstack(thread, 4) != 0, "Lua stack exhausted") }

  func objectInfo(at index: Int32) -> LuaObjectInfo? {
    guard let info = lunerv_to_block(thread, index)?.pointee.info else { return nil }
    return Unmanaged<LuaObjectInfo>.fromOpaque(info).takeUnretainedValue()
  }
}
