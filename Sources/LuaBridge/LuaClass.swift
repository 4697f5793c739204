/// What Lua can do with the objects of one class: methods, properties, operators.
///
/// Every class has `__gc`, `__close` (which releases the object; using it afterwards is an
/// error), `__eq` (the same object) and `__tostring`; `getmetatable` shows false.
public final class LuaClass<T: LuaObject> {
  private(set) var methods: [NativeFunction] = []
  private(set) var getters: [NativeFunction] = []
  private(set) var setters: [NativeFunction] = []
  private(set) var events: [(event: String, function: NativeFunction)] = []

  public init() {}

  /// Defines a method with one result, or those of ``LuaResults``; the first parameter is the object.
  public func method<each A: LuaArgument, R: LuaResult>(
    _ name: String, params: [String] = [], doc: String = "", polls: Bool = true,
    _ body: @escaping (T, repeat each A) throws -> R
  ) {
    methods.append(
      NativeFunction(name, params: ["self"] + params, doc: doc, polls: polls, body))
  }

  /// Defines a method without results.
  public func method<each A: LuaArgument>(
    _ name: String, params: [String] = [], doc: String = "", polls: Bool = true,
    _ body: @escaping (T, repeat each A) throws -> Void
  ) {
    methods.append(
      NativeFunction(name, params: ["self"] + params, doc: doc, polls: polls) {
        (object: T, arguments: repeat each A) in
        try body(object, repeat each arguments)
        return LuaNothing()
      })
  }

  /// Defines a read-only property.
  public func property<R: LuaResult>(
    _ name: String, doc: String = "", get: @escaping (T) throws -> R
  ) {
    getters.append(NativeFunction(name, role: .property, doc: doc, get))
  }

  /// Defines a property that can be read and assigned.
  public func property<R: LuaResult & LuaArgument>(
    _ name: String, doc: String = "", get: @escaping (T) throws -> R,
    set: @escaping (T, R) throws -> Void
  ) {
    getters.append(NativeFunction(name, role: .property, doc: doc, get))
    setters.append(
      NativeFunction(name, role: .property) { (object: T, value: R) in
        try set(object, value)
        return LuaNothing()
      })
  }

  /// Defines a metamethod: `"__add"`, `"__tostring"`, `"__len"`, `"__call"`.
  ///
  /// Binary operators may get the object on either side. `"__index"` and `"__newindex"` see only
  /// keys that are neither method nor property, and their messages begin with the class's name.
  /// `"__close"` runs before the object is released.
  public func meta<each A: LuaArgument, R: LuaResult>(
    _ event: String, _ body: @escaping (repeat each A) throws -> R
  ) {
    let symbol = ["__index", "__newindex"].contains(event) ? T.luaName : operatorText(event)
    events.append((event, NativeFunction(event, role: .meta(symbol), body)))
  }

  /// Defines a metamethod without results.
  public func meta<each A: LuaArgument>(
    _ event: String, _ body: @escaping (repeat each A) throws -> Void
  ) {
    meta(event) { (arguments: repeat each A) in
      try body(repeat each arguments)
      return LuaNothing()
    }
  }
}

/// A metamethod's event as users write it: "__add" is '+', "__tostring" is tostring.
private func operatorText(_ event: String) -> String {
  let symbols = [
    "__add": "'+'", "__sub": "'-'", "__mul": "'*'", "__div": "'/'", "__mod": "'%'",
    "__pow": "'^'", "__unm": "unary '-'", "__idiv": "'//'", "__concat": "'..'",
    "__len": "'#'", "__eq": "'=='", "__lt": "'<'", "__le": "'<='",
  ]
  return symbols[event] ?? (event.hasPrefix("__") ? String(event.dropFirst(2)) : event)
}
