/// A Lua module made of typed Swift functions.
///
/// ```swift
/// let module = LuaModule("lunerv.native")
/// module.define("conv2d", params: ["x", "w", "b", "options"]) {
///   (x: Tensor, w: Tensor, b: Tensor?, options: ConvOptions) in try x.conv2d(w, b, options)
/// }
/// ```
/// Arguments are checked before the body runs, so it never sees a wrong type. The body may throw;
/// the message reaches Lua as `file:line: name: message`.
public final class LuaModule {
  public let name: String
  private(set) var functions: [NativeFunction] = []
  private(set) var constants: [(name: String, value: LuaValue)] = []

  /// Functions whose only effect is their result, in the order of definition.
  public private(set) var pureNames: [String] = []

  /// Functions that users see as part of the API, in the order of definition.
  public private(set) var publicNames: [String] = []

  public init(_ name: String) { self.name = name }

  /// Declares that a function already defined is pure, and so public.
  public func markPure(_ name: String) {
    pureNames.append(name)
    publish(name)
  }

  /// Declares that functions already defined are part of the API.
  public func publish(_ names: String...) {
    publicNames += names.filter { !publicNames.contains($0) }
  }

  /// Sets the name in messages of a function already defined that users know by another name.
  public func show(_ name: String, as shown: String) {
    functions.last { $0.signature.name == name }?.shown = shown
  }

  /// The functions in the order of definition.
  public var signatures: [LuaSignature] { functions.map(\.signature) }

  /// Defines a function with one result, or those of ``LuaResults``.
  ///
  /// - Parameters:
  ///   - params: the parameters' names for documentation.
  ///   - polls: whether a pending Ctrl-C stops the script here. False for functions that must stay
  ///     callable then.
  public func define<each A: LuaArgument, R: LuaResult>(
    _ name: String, params: [String] = [], doc: String = "", polls: Bool = true,
    _ body: @escaping (repeat each A) throws -> R
  ) {
    functions.append(NativeFunction(name, params: params, doc: doc, polls: polls, body))
  }

  /// Defines a function whose only effect is its result.
  public func pure<each A: LuaArgument, R: LuaResult>(
    _ name: String, params: [String] = [], doc: String = "",
    _ body: @escaping (repeat each A) throws -> R
  ) {
    define(name, params: params, doc: doc, body)
    markPure(name)
  }

  /// Defines a function without results. Its parameters match those of the overload with one: the
  /// compiler would prefer an overload with fewer, and silently drop the results of short closures.
  public func define<each A: LuaArgument>(
    _ name: String, params: [String] = [], doc: String = "", polls: Bool = true,
    _ body: @escaping (repeat each A) throws -> Void
  ) {
    functions.append(
      NativeFunction(name, params: params, doc: doc, polls: polls) {
        (arguments: repeat each A) in
        try body(repeat each arguments)
        return LuaNothing()
      })
  }

  /// Defines a field that holds a value.
  public func constant(_ name: String, _ value: LuaValue) { constants.append((name, value)) }
}
