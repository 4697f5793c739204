import Support

/// The named options of a function: the fields of one table, each with a default.
///
/// ```swift
/// struct ConvOptions: LuaOptions {
///   var stride = 1
///   var padding = 0
///   static var luaFields: [LuaField<ConvOptions>] {
///     [LuaField("stride", \.stride), LuaField("padding", \.padding)]
///   }
/// }
/// ```
public protocol LuaOptions: LuaArgument {
  /// The defaults.
  init()
  static var luaFields: [LuaField<Self>] { get }
}

/// An option as it is shown to users.
public struct LuaOptionDescription: Sendable {
  public let name: String
  public let type: String
  /// The default as text; nil if there is none.
  public let defaultText: String?
  public let doc: String
}

/// One option: its name in Lua and the property it sets.
public struct LuaField<Options> {
  public let name: String
  public let typeName: String
  public let doc: String
  let read: (inout Options, LuaStack, Int32) throws(LuaTypeMismatch) -> Void
  let value: (Options) -> Any

  public init<Value: LuaArgument>(
    _ name: String, _ property: WritableKeyPath<Options, Value>, doc: String = ""
  ) {
    self.name = name
    self.doc = doc
    typeName = Value.luaTypeName
    value = { $0[keyPath: property] }
    read = { (options: inout Options, stack, index) throws(LuaTypeMismatch) in
      options[keyPath: property] = try Value.read(stack, at: index)
    }
  }
}

/// The fields of one options type, kept by the state so that they are built once.
private final class LuaOptionTable<Options: LuaOptions> {
  let fields = Options.luaFields
}

extension LuaOptions {
  public static var luaTypeName: String { "table" }
  public static var luaMayBeAbsent: Bool { true }

  public static var luaOptionDescriptions: [LuaOptionDescription] {
    let defaults = Self()
    return luaFields.map { field in
      .init(
        name: field.name, type: field.typeName, defaultText: luaText(field.value(defaults)),
        doc: field.doc)
    }
  }

  /// Absent or nil: all defaults.
  ///
  /// - Throws: on unknown keys, naming the known ones, and on values of the wrong type,
  ///   naming the option.
  public static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Self {
    var options = Self()
    if stack.isNil(at: index) { return options }
    guard stack.type(at: index) == .table else { throw LuaTypeMismatch(expected: "table") }
    let fields = optionTable(stack).fields
    try stack.forEachPair(of: index) { (key: Int32, value: Int32) throws(LuaTypeMismatch) in
      let name = stack.keyDescription(at: key)
      guard stack.type(at: key) == .string, let field = fields.first(where: { $0.name == name })
      else {
        let known = fields.map(\.name)
        let hint = stack.type(at: key) == .string ? didYouMean(name, among: known) : ""
        throw LuaTypeMismatch(
          "unknown option '\(name)'\(hint) (known: \(known.joined(separator: ", ")))")
      }
      do throws(LuaTypeMismatch) {
        try field.read(&options, stack, value)
      } catch {
        throw error.resolved(stack, at: value, prefix: "option '\(name)': ")
      }
    }
    return options
  }

  private static func optionTable(_ stack: LuaStack) -> LuaOptionTable<Self> {
    let id = ObjectIdentifier(Self.self)
    if let table = stack.state.optionTables[id] as? LuaOptionTable<Self> { return table }
    let table = LuaOptionTable<Self>()
    stack.state.optionTables[id] = table
    return table
  }
}

/// An option's value that is not just a number, text or flag, written as in Lua.
public protocol LuaOptionText {
  var luaOptionText: String { get }
}

/// A default as Lua writes it; nil if it has no short form.
private func luaText(_ value: Any) -> String? {
  switch value {
  case let value as Bool: value ? "true" : "false"
  case let value as Int: String(value)
  case let value as Double where value.isInfinite: value < 0 ? "-math.huge" : "math.huge"
  case let value as Double:
    value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : "\(value)"
  case let value as any LuaOptionText: value.luaOptionText
  case let value as String where !value.isEmpty: "\"\(value)\""
  default: nil
  }
}
