import CLua
import CLuaBridge

/// A Swift class whose instances Lua holds as userdata, with one retained reference each.
public protocol LuaObject: AnyObject, LuaArgument, LuaResult {
  /// The type's name in messages: "tensor".
  static var luaName: String { get }
  /// The bytes that the object keeps alive, which drive the collector's pace.
  var luaByteCount: Int { get }
}

extension LuaObject {
  public static var luaTypeName: String { luaName }
  public var luaByteCount: Int { 0 }

  /// The object of a userdata, recognised by its metatable.
  ///
  /// - Throws: if the value is something else or a closed object.
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Self {
    guard let block = lunerv_to_block(stack.thread, index), let info = block.pointee.info,
      Unmanaged<LuaObjectInfo>.fromOpaque(info)._withUnsafeGuaranteedRef({
        $0.type == ObjectIdentifier(Self.self)
      })
    else { throw LuaTypeMismatch(expected: luaName) }
    guard let object = block.pointee.object else { throw LuaTypeMismatch("\(luaName) is closed") }
    return unsafeDowncast(
      Unmanaged<AnyObject>.fromOpaque(object).takeUnretainedValue(), to: Self.self)
  }

  public func push(to stack: LuaStack) {
    stack.room()
    // A method that returns its own object returns the same userdata: tables are keyed by it.
    if let block = lunerv_to_block(stack.thread, 1), let held = block.pointee.object,
      held == Unmanaged.passUnretained(self as AnyObject).toOpaque()
    {
      return lua_pushvalue(stack.thread, 1)
    }
    guard let info = stack.state.info(of: ObjectIdentifier(Self.self)) else {
      stack.failLater(.init(.argument, "no Lua class is registered for \(Self.luaName)"))
      return stack.pushNil()
    }
    lunerv_push_object(
      stack.thread, Unmanaged.passRetained(self as AnyObject).toOpaque(),
      Unmanaged.passUnretained(info).toOpaque())
    stack.state.onObjectPush?(luaByteCount)
  }
}

/// The description of a registered class; its address names the metatable in the registry.
final class LuaObjectInfo {
  let name: String
  let type: ObjectIdentifier
  let cast: (AnyObject) -> (any LuaObject)?

  init<T: LuaObject>(_: T.Type) {
    name = T.luaName
    type = ObjectIdentifier(T.self)
    cast = { $0 as? T }
  }
}

extension LuaStack {
  /// The object of any registered class.
  func anyObject(at index: Int32) throws(LuaTypeMismatch) -> any LuaObject {
    guard let block = lunerv_to_block(thread, index), let info = objectInfo(at: index) else {
      throw LuaTypeMismatch("\(typeName(at: index)) cannot be copied")
    }
    guard let pointer = block.pointee.object,
      let object = info.cast(Unmanaged<AnyObject>.fromOpaque(pointer).takeUnretainedValue())
    else { throw LuaTypeMismatch("\(info.name) is closed") }
    return object
  }
}
