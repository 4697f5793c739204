import CLua
import Support

/// The reason why an argument cannot be read: the wrong type, or a message.
public struct LuaTypeMismatch: Error, Sendable {
  let expected: String?
  let words: String

  /// "expected tensor, got nil"; the actual type is filled in where the argument is known.
  public init(expected: String) {
    self.expected = expected
    words = ""
  }

  /// Any other reason, such as "box is closed".
  public init(_ words: String) {
    expected = nil
    self.words = words
  }

  /// The mismatch in words, for the value at `index`.
  public func text(_ stack: LuaStack, at index: Int32) -> String {
    guard let expected else { return words }
    return "expected \(expected), got \(stack.typeName(at: index))"
  }

  /// The same with the actual type filled in, for a value that is about to be popped.
  func resolved(_ stack: LuaStack, at index: Int32, prefix: String) -> LuaTypeMismatch {
    LuaTypeMismatch(prefix + text(stack, at: index))
  }
}

/// A type that a Lua value can be read as.
public protocol LuaArgument {
  /// The type's name in messages and documentation: "tensor", "number", "table".
  static var luaTypeName: String { get }
  /// Whether it takes all remaining arguments.
  static var luaTakesRest: Bool { get }
  /// Whether the argument may be left out.
  static var luaMayBeAbsent: Bool { get }
  /// The fields of a table of options; none for other types.
  static var luaOptionDescriptions: [LuaOptionDescription] { get }
  /// Reads the value at `index` and leaves the stack as it was.
  static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Self
}

extension LuaArgument {
  public static var luaTakesRest: Bool { false }
  public static var luaMayBeAbsent: Bool { false }
  public static var luaOptionDescriptions: [LuaOptionDescription] { [] }
}

/// A type that can be passed to Lua.
public protocol LuaResult {
  /// Pushes the value (several for ``LuaResults``, none for an empty one).
  func push(to stack: LuaStack)
}

extension Int: LuaArgument, LuaResult {
  public static var luaTypeName: String { "integer" }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Int {
    if let value = stack.integer(at: index) { return value }
    if stack.type(at: index) == .number {
      throw LuaTypeMismatch("expected integer, got \((stack.number(at: index) ?? 0).printable)")
    }
    throw LuaTypeMismatch(expected: "number")
  }
  public func push(to stack: LuaStack) { stack.push(self) }
}

extension Double: LuaArgument, LuaResult {
  public static var luaTypeName: String { "number" }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Double {
    guard let value = stack.number(at: index) else { throw LuaTypeMismatch(expected: "number") }
    return value
  }
  public func push(to stack: LuaStack) { stack.push(self) }
}

extension Float: LuaArgument, LuaResult {
  public static var luaTypeName: String { "number" }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Float {
    Float(try Double.read(stack, at: index))
  }
  public func push(to stack: LuaStack) { stack.push(Double(self)) }
}

extension Bool: LuaArgument, LuaResult {
  public static var luaTypeName: String { "boolean" }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Bool {
    guard let value = stack.bool(at: index) else { throw LuaTypeMismatch(expected: "boolean") }
    return value
  }
  public func push(to stack: LuaStack) { stack.push(self) }
}

/// Text. Invalid UTF-8 is replaced on reading; ``LuaBytes`` keeps bytes as they are.
extension String: LuaArgument, LuaResult {
  public static var luaTypeName: String { "string" }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> String {
    guard let value = stack.string(at: index) else { throw LuaTypeMismatch(expected: "string") }
    return value
  }
  public func push(to stack: LuaStack) { stack.push(self) }
}

/// A Lua string as bytes.
public struct LuaBytes: LuaArgument, LuaResult, Equatable, Sendable {
  public var bytes: [UInt8]

  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  public static var luaTypeName: String { "string" }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> LuaBytes {
    guard let value = stack.withBytes(at: index, { LuaBytes([UInt8]($0)) }) else {
      throw LuaTypeMismatch(expected: "string")
    }
    return value
  }
  public func push(to stack: LuaStack) { bytes.withUnsafeBytes { stack.push(bytes: $0) } }
}

/// nil for nil and for a missing argument; anything else must be a `Wrapped`.
extension Optional: LuaArgument where Wrapped: LuaArgument {
  public static var luaTypeName: String { Wrapped.luaTypeName }
  public static var luaMayBeAbsent: Bool { true }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Wrapped? {
    if stack.isNil(at: index) { return nil }
    return try Wrapped.read(stack, at: index)
  }
}

extension Optional: LuaResult where Wrapped: LuaResult {
  public func push(to stack: LuaStack) {
    if let self { self.push(to: stack) } else { stack.pushNil() }
  }
}

/// A list: a table with the keys 1 to n, and perhaps the "n" of `table.pack`. Other keys would be
/// ignored silently, so they are an error.
extension Array: LuaArgument where Element: LuaArgument {
  public static var luaTypeName: String { "table" }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> [Element] {
    guard stack.type(at: index) == .table else { throw LuaTypeMismatch(expected: "table") }
    let count = stack.length(at: index)
    try stack.willCopy(count)
    let table = lua_absindex(stack.thread, index)
    try stack.forEachPair(of: table) { (key: Int32, _: Int32) throws(LuaTypeMismatch) in
      if let position = stack.integer(at: key), position >= 1, position <= count { return }
      let name = stack.keyDescription(at: key)
      if stack.type(at: key) == .string, name == "n" { return }
      throw LuaTypeMismatch(
        stack.type(at: key) == .table
          ? "expected list, got an object" : "expected list, got a table with the key '\(name)'")
    }
    var result: [Element] = []
    // A table with few elements may have any length: a border is any element followed by nil.
    result.reserveCapacity(Swift.min(count, 1 << 12))
    for position in 0..<count {
      let element = try stack.withElement(position + 1, of: table) {
        (at: Int32) throws(LuaTypeMismatch) -> Element in
        do throws(LuaTypeMismatch) {
          try stack.willCopyText(at)
          return try Element.read(stack, at: at)
        } catch {
          throw error.resolved(stack, at: at, prefix: "element \(position + 1): ")
        }
      }
      result.append(element)
    }
    return result
  }
}

extension Array: LuaResult where Element: LuaResult {
  public func push(to stack: LuaStack) {
    guard stack.pushTable(elements: count) else { return }
    for (position, element) in enumerated() where !stack.isOverLimit {
      element.push(to: stack)
      stack.setElement(position + 1)
    }
  }
}

/// A table whose keys are all strings.
extension Dictionary: LuaArgument where Key == String, Value: LuaArgument {
  public static var luaTypeName: String { "table" }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch)
    -> [String: Value]
  {
    guard stack.type(at: index) == .table else { throw LuaTypeMismatch(expected: "table") }
    var result: [String: Value] = [:]
    try stack.forEachPair(of: index) { (key: Int32, value: Int32) throws(LuaTypeMismatch) in
      guard let name = stack.string(at: key) else {
        throw LuaTypeMismatch("expected string keys, got \(stack.keyDescription(at: key))")
      }
      do throws(LuaTypeMismatch) {
        result[name] = try Value.read(stack, at: value)
      } catch {
        throw error.resolved(stack, at: value, prefix: "field '\(name)': ")
      }
    }
    return result
  }
}

extension Dictionary: LuaResult where Key == String, Value: LuaResult {
  public func push(to stack: LuaStack) {
    guard stack.pushTable(fields: count) else { return }
    for (name, value) in self where !stack.isOverLimit {
      value.push(to: stack)
      stack.setField(name)
    }
  }
}

/// Any number of results, known only at run time: `LuaResults(nil, message)`.
public struct LuaResults: LuaResult {
  public var values: [(any LuaResult)?]

  public init(_ values: (any LuaResult)?...) { self.values = values }
  public init(list: [(any LuaResult)?]) { values = list }

  public func push(to stack: LuaStack) {
    guard lua_checkstack(stack.thread, Int32(clamping: values.count + 8)) != 0 else {
      return stack.failLater(LunervError(.argument, "too many results (\(values.count))"))
    }
    for value in values {
      if let value { value.push(to: stack) } else { stack.pushNil() }
    }
  }
}

/// An expected failure: nil and an error object. A script that raises it, with `assert` say, ends
/// with an error of its kind.
public struct LuaFailure: LuaResult {
  public let error: LunervError

  public init(_ error: LunervError) { self.error = error }

  public func push(to stack: LuaStack) {
    stack.pushNil()
    stack.push(error)
  }
}

/// All remaining arguments, as plain data; must be the last parameter.
public struct LuaVarargs: LuaArgument {
  public var values: [LuaValue]

  public init(_ values: [LuaValue]) { self.values = values }

  public static var luaTypeName: String { "..." }
  public static var luaTakesRest: Bool { true }
  public static var luaMayBeAbsent: Bool { true }
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> LuaVarargs
  {
    let count = stack.count
    var values: [LuaValue] = []
    var at = index
    while at <= count {
      values.append(try LuaValue.read(stack, at: at))
      at += 1
    }
    return LuaVarargs(values)
  }
}

extension LuaStack {
  /// Counts a string in a table, where it may occur many times, as a number of values by its length.
  func willCopyText(_ index: Int32) throws(LuaTypeMismatch) {
    if state.copyLimit < .max, type(at: index) == .string { try willCopy(length(at: index) / 16) }
  }

  /// Counts values that are about to be read from a table.
  public func willCopy(_ count: Int) throws(LuaTypeMismatch) {
    guard count <= state.copyLimit - state.copied else {
      throw LuaTypeMismatch("expected at most \(state.copyLimit) values in tables")
    }
    state.copied += count
    if let complaint = state.onCopy?(count) { throw LuaTypeMismatch(complaint) }
  }

  /// A table key as messages show it.
  func keyDescription(at index: Int32) -> String {
    if let text = string(at: index) { return text }
    if let value = integer(at: index) { return String(value) }
    if let value = number(at: index) { return String(value) }
    return typeName(at: index)
  }
}
