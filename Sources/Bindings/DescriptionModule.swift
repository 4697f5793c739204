import LuaBridge
import Support

/// For help, annotations and completion: the signatures of native functions, and the library's
/// source, whose comments describe what is written in Lua.
enum DescriptionModule {
  static func define(_ m: LuaModule, _ lua: LuaState, text: @escaping (String) -> [UInt8]?) {
    m.define(
      "signatures", params: ["name"],
      doc: """
        The functions and properties of a native module or class, or nil where none has the name.

        @return table  functions and properties: lists of { name, doc, results, parameters }
        """
    ) { [weak lua] (name: String) -> LuaValue in
      guard let found = lua?.signatures(of: name) else { return .nil_ }
      return .table([
        (.string("functions"), .array(found.functions.map(described))),
        (.string("properties"), .array(found.properties.map(described))),
      ])
    }
    m.define(
      "stdlib_source", params: ["path"],
      doc: "The text of a file of the library, such as \"nn/conv2d.lua\", or nil."
    ) { (path: String) -> LuaBytes? in text(path).map { LuaBytes($0) } }
  }

  private static func described(_ signature: LuaSignature) -> LuaValue {
    .table([
      (.string("name"), .string(signature.name)),
      (.string("doc"), .string(signature.doc)),
      (.string("results"), .array(signature.results.map { .string($0) })),
      (
        .string("parameters"),
        .array(
          signature.parameters.map { parameter in
            .table([
              (.string("name"), .string(parameter.name)),
              (.string("type"), .string(parameter.type)),
              (.string("optional"), .bool(parameter.isOptional)),
              (.string("options"), .array(parameter.options.map(described))),
            ])
          })
      ),
    ])
  }

  private static func described(_ option: LuaOptionDescription) -> LuaValue {
    var fields: [(LuaValue, LuaValue)] = [
      (.string("name"), .string(option.name)), (.string("type"), .string(option.type)),
      (.string("doc"), .string(option.doc)),
    ]
    if let text = option.defaultText { fields.append((.string("default"), .string(text))) }
    return .table(fields)
  }
}
