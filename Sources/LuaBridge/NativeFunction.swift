import CLua
import CLuaBridge
import Support

/// The description of a function, for documentation and editors.
public struct LuaSignature: Sendable {
  public struct Parameter: Sendable {
    public let name: String
    public let type: String
    public let isOptional: Bool
    /// The fields of a table of options; empty for other types.
    public let options: [LuaOptionDescription]
  }
  public let name: String
  public let parameters: [Parameter]
  /// The Lua types of the results, "any" if Swift does not know.
  public let results: [String]
  public let doc: String

  /// The name of a parameter, counted from 1; nil if it has none.
  func parameterName(_ position: Int32) -> String? {
    let index = Int(position) - 1
    guard parameters.indices.contains(index) else { return nil }
    let name = parameters[index].name
    return name == "a\(position)" || name == "..." ? nil : name
  }
}

/// A typed Swift closure as the trampoline calls it.
final class NativeFunction {
  enum Role {
    case function, property
    /// A function whose messages do not begin with its name.
    case verbatim
    /// A metamethod, with the operator as users write it.
    case meta(String)
  }

  let signature: LuaSignature
  let role: Role
  let polls: Bool
  /// Its name in messages; users may know it by another name than the registered one.
  var shown: String
  /// Its number among the functions of its state, and the class whose method it is.
  var number = -1
  var owner: String?
  /// The most arguments of a call; -1 for any number.
  private let maximum: Int32
  private let body: (LuaStack) throws -> Void

  init(
    signature: LuaSignature, role: Role, polls: Bool, maximum: Int32,
    body: @escaping (LuaStack) throws -> Void
  ) {
    self.signature = signature
    shown = signature.name
    self.role = role
    self.polls = polls
    self.maximum = maximum
    self.body = body
  }

  convenience init<each A: LuaArgument, R: LuaResult>(
    _ name: String, role: Role = .function, params: [String] = [], doc: String = "",
    polls: Bool = true, _ body: @escaping (repeat each A) throws -> R
  ) {
    let arguments = ArgumentList<repeat each A>()
    self.init(
      signature: LuaSignature(
        name: name, parameters: arguments.parameters(named: params), results: resultNames(R.self),
        doc: doc),
      role: role, polls: polls, maximum: arguments.maximum
    ) { stack in
      var index: Int32 = 0
      let result = try body(repeat try stack.argument((each A).self, &index))
      result.push(to: stack)
    }
  }

  /// Its name as users know it, with its class if it is a method: "conv2d", "clip:frame", "+".
  var displayName: String {
    if case .meta(let symbol) = role { return symbol.replacing("'", with: "") }
    return owner.map { "\($0):\(signature.name)" } ?? signature.name
  }

  /// Runs the function; the number of results, or a status of CLuaBridge.h.
  func call(_ stack: LuaStack) -> Int32 {
    let top = stack.count
    let mayRetry = stack.state.retried !== self
    stack.state.retried = nil
    stack.state.copied = 0
    do {
      if maximum >= 0, top > maximum, isCounted {
        for index in (maximum + 1)...top where !stack.isNil(at: index) {
          stack.push(shown)
          stack.bridge.pointee.argument = maximum
          return LUNERV_TOO_MANY
        }
      }
      try body(stack)
      if let failure = stack.state.pushFailure {
        stack.state.pushFailure = nil
        throw failure
      }
      return stack.count - top
    } catch {
      lua_settop(stack.thread, top)
      stack.state.pushFailure = nil
      if mayRetry, let failure = error as? LunervError, failure.kind == .memory,
        stack.state.isWorthCollecting?() == true
      {
        stack.state.retried = self
        return LUNERV_AGAIN
      }
      return stack.fail(with: error, in: self)
    }
  }

  /// Lua passes metamethods more arguments than they have parameters.
  private var isCounted: Bool {
    switch role {
    case .function, .verbatim: true
    case .property, .meta: false
    }
  }

  /// The message of an error thrown inside, with the function's name first, except for errors about
  /// files.
  fileprivate func named(_ error: LunervError) -> String {
    let message = error.message
    if [.data, .io].contains(error.kind) { return message }
    let name =
      switch role {
      case .function, .property: shown
      case .verbatim: ""
      case .meta(let symbol): symbol
      }
    if case .meta = role {
      // "a tensor has no field …" already names it.
      if message.hasPrefix("a \(name) ") { return message }
      // A user who wrote `x + y` did not call "add".
      if name.hasPrefix("'"), let colon = message.firstIndex(of: ":"),
        message[..<colon].allSatisfy({ $0.isLowercase || $0 == "_" })
      {
        return name + message[colon...]
      }
    }
    return name.isEmpty || message.hasPrefix(name + ":") ? message : "\(name): \(message)"
  }
}

/// The facts about a list of arguments that a parameter pack provides.
private struct ArgumentList<each A: LuaArgument> {
  var maximum: Int32 {
    var count: Int32 = 0
    for type in repeat (each A).self {
      if type.luaTakesRest { return -1 }
      count += 1
    }
    return count
  }

  func parameters(named names: [String]) -> [LuaSignature.Parameter] {
    var result: [LuaSignature.Parameter] = []
    for type in repeat (each A).self {
      let position = result.count
      let name =
        type.luaTakesRest ? "..." : position < names.count ? names[position] : "a\(position + 1)"
      result.append(
        .init(
          name: name, type: type.luaTypeName, isOptional: type.luaMayBeAbsent,
          options: type.luaOptionDescriptions))
    }
    return result
  }
}

private func resultNames<R: LuaResult>(_: R.Type) -> [String] {
  if R.self == LuaNothing.self { return [] }
  return [(R.self as? any LuaArgument.Type)?.luaTypeName ?? "any"]
}

/// The result of functions without one.
struct LuaNothing: LuaResult {
  func push(to stack: LuaStack) {}
}

/// A mismatch, and the number of the argument.
private struct BadArgument: Error {
  let index: Int32
  let mismatch: LuaTypeMismatch
}

extension LuaStack {
  var bridge: UnsafeMutablePointer<lunerv_bridge> { lunerv_bridge_of(thread) }

  fileprivate func argument<T: LuaArgument>(_: T.Type, _ index: inout Int32) throws -> T {
    index += 1
    do {
      return try T.read(self, at: index)
    } catch {
      throw BadArgument(index: index, mismatch: error)
    }
  }

  /// Pushes what the C trampoline needs to raise `error`, and returns its status.
  fileprivate func fail(with error: any Error, in function: NativeFunction) -> Int32 {
    switch error {
    case let bad as BadArgument:
      let detail = bad.mismatch.text(self, at: bad.index).brief
      switch function.role {
      case .function, .verbatim:
        bridge.pointee.argument = bad.index
        push(function.shown)
        push(function.signature.parameterName(bad.index) ?? "")
        push(detail)
        return LUNERV_BAD_ARGUMENT
      case .property: return raise(.init(.argument, function.named(.init(.argument, detail))))
      case .meta(let symbol):
        return raise(.init(.argument, "\(symbol): operand \(bad.index): \(detail)"))
      }
    case let raised as LuaRaisedError where raised.serial == state.keptSerial:
      state.takeKeptError(on: self)
      return LUNERV_RERAISE
    case let raised as LuaRaisedError:
      return raise(raised.error)
    case is LuaCollectFirst: return LUNERV_AGAIN
    case var error as LunervError:
      if error.kind == .interrupted, LuaInterrupt.isRequested { return LUNERV_INTERRUPT }
      error.message = function.named(error)
      return raise(error)
    default:
      return raise(.init(.argument, function.named(.init(.argument, "\(error)"))))
    }
  }

  private func raise(_ error: LunervError) -> Int32 {
    push(error)
    return LUNERV_RAISE
  }
}
