import CLua
import CLuaBridge
import Support

/// An error raised by Lua code that Swift called. If it is rethrown, it reaches Lua unchanged.
public struct LuaRaisedError: Error, CustomStringConvertible {
  public let error: LunervError
  let serial: Int
  public var description: String { error.description }
}

/// A Lua function that Swift may keep and call. It must not be used after its state has ended.
public final class LuaFunction: LuaArgument, LuaResult {
  private let reference: Int32
  private weak var state: LuaState?

  private init(reference: Int32, state: LuaState) {
    self.reference = reference
    self.state = state
  }

  /// The function on top of the stack, which is popped.
  init(popping stack: LuaStack) {
    reference = lunerv_reference(stack.thread)
    state = stack.state
  }

  deinit {
    if let state { lunerv_unreference(state.main, reference) }
  }

  public static var luaTypeName: String { "function" }

  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> LuaFunction
  {
    guard stack.type(at: index) == .function else { throw LuaTypeMismatch(expected: "function") }
    stack.room()
    lua_pushvalue(stack.thread, index)
    return LuaFunction(reference: lunerv_reference(stack.thread), state: stack.state)
  }

  public func push(to stack: LuaStack) {
    stack.room()
    lunerv_push_reference(stack.thread, reference)
  }

  /// Calls the function in the running coroutine. It cannot yield out of this call.
  ///
  /// - Throws: ``LuaRaisedError``; leave it uncaught to pass the error on.
  @discardableResult
  public func call(_ arguments: (any LuaResult)?...) throws -> [LuaValue] {
    try call(list: arguments)
  }

  /// The same with a list of arguments.
  @discardableResult
  public func call(list arguments: [(any LuaResult)?]) throws -> [LuaValue] {
    try call(arguments, report: false)
  }

  /// The same for a call made outside of any Lua code.
  ///
  /// - Throws: a `LunervError` with its place and the traceback.
  @discardableResult
  public func run(_ arguments: [(any LuaResult)?]) throws -> [LuaValue] {
    try call(arguments, report: true)
  }

  private func call(_ arguments: [(any LuaResult)?], report: Bool) throws -> [LuaValue] {
    guard let state else { throw LunervError(.argument, "the function's Lua state is closed") }
    return try state.call(arguments, report: report) {
      lunerv_push_reference($0.thread, reference)
    }
  }
}
