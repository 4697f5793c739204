import LuaBridge

/// The Lua program of an input: calls of native functions with arguments that fit their signatures,
/// and occasionally with others.
struct LuaSource {
  var input: FuzzInput
  var lines: [String] = []
  /// Expressions, most of them tensors.
  var tensors: [String]
  /// One in this many arguments is of another type.
  var illTyped = 24

  init(_ input: FuzzInput, tensors: [String]) {
    self.input = input
    self.tensors = tensors
  }

  static let strings = [
    "", "f32", "f64", "i32", "u8", "bool", "mean", "sum", "zeros", "constant", "reflect",
    "replicate",
    "bilinear", "nearest", "bicubic", "border", "same", "ij,jk->ik", "bij,bjk->bik", "ii->i", "i->",
    "tanh", "sin", "gelu", "gaussian", "\\0", "weight", "%s%d", "...", "linear", "area", "ij", "xy",
  ]

  mutating func integer() -> String {
    switch input.choice(12) {
    case 0: return input.pick(["0", "-1", "-2", "-3"])
    case 1:
      return input.pick([
        "1 << 20", "1 << 31", "1 << 32", "1 << 40", "1 << 62", "math.maxinteger", "math.mininteger",
        "(1 << 31) - 1", "-(1 << 31)", "1 << 16", "1 << 48", "1 << 61",
      ])
    case 2: return String(input.choice(64))
    default: return String(1 + input.choice(5))
    }
  }

  mutating func number() -> String {
    switch input.choice(6) {
    case 0:
      return input.pick([
        "0.0", "-0.0", "1/0", "-1/0", "0/0", "1e300", "-1e300", "1e-300", "1e38", "1e-45", "2^53",
        "2^63", "-2^63", "1e10", "65504.5",
      ])
    case 1: return integer()
    default: return "\(Double(Int(input.byte()) - 128) / 16)"
    }
  }

  mutating func string() -> String { "\"" + input.pick(LuaSource.strings) + "\"" }

  mutating func list(_ item: (inout LuaSource) -> String) -> String {
    "{" + (0..<input.choice(5)).map { _ in item(&self) }.joined(separator: ", ") + "}"
  }

  mutating func shape() -> String {
    let sizes = (0..<input.choice(6)).map { _ in
      input.choice(40) == 39
        ? integer() : input.pick(["1", "2", "3", "4", "5", "8", "7", "0", "16"])
    }
    return sizes.joined(separator: ", ")
  }

  mutating func tensor() -> String { input.pick(tensors) }

  mutating func index() -> String {
    switch input.choice(6) {
    case 0: return integer()
    case 1: return tensor()
    default:
      let parts = (0..<1 + input.choice(4)).map { _ in
        switch input.choice(5) {
        case 0: return "{}"
        case 1: return list { $0.integer() }
        case 2: return tensor()
        case 3: return string()
        default: return integer()
        }
      }
      return "{" + parts.joined(separator: ", ") + "}"
    }
  }

  mutating func anything() -> String {
    switch input.choice(8) {
    case 0: return "nil"
    case 1: return "true"
    case 2: return string()
    case 3: return list { $0.number() }
    case 4: return "{{}, {1, {2}}}"
    case 5: return "function(...) return ... end"
    case 6: return number()
    default: return tensor()
    }
  }

  /// A value of a type as signatures name it.
  mutating func value(_ type: String, _ options: [LuaOptionDescription] = []) -> String {
    if illTyped > 0, input.choice(illTyped) == illTyped - 1 { return anything() }
    if !options.isEmpty, type == "table" || type.hasSuffix("or table"), input.choice(4) < 3 {
      return table(of: options)
    }
    let types = type.split(separator: " or ").flatMap { $0.split(separator: ", ") }.map(String.init)
    switch input.pick(types.isEmpty ? ["any"] : types) {
    case "tensor": return tensor()
    case "integer": return integer()
    case "number": return number()
    case "boolean": return input.pick(["true", "false"])
    case "string": return string()
    case "dtype": return "\"" + input.pick(["f32", "f64", "i32", "u8", "bool"]) + "\""
    case "table":
      return input.choice(3) == 0 ? list { $0.tensor() } : list { $0.integer() }
    case "function":
      return input.pick([
        "function(x) return x end", "function(x) return x * 2 end", "function() return (nil)() end",
        "function(g) return g end",
      ])
    case "index": return index()
    case "...": return input.choice(2) == 0 ? shape() : tensor()
    default: return anything()
    }
  }

  mutating func table(of options: [LuaOptionDescription]) -> String {
    let fields = (0..<input.choice(4)).map { _ in
      let option = input.pick(options)
      let text = value(option.type)
      return "\(option.name) = " + (text.isEmpty ? "nil" : text)
    }
    return "{" + fields.joined(separator: ", ") + "}"
  }

  /// The arguments of a call; some optional ones are left out.
  mutating func arguments(_ parameters: [LuaSignature.Parameter]) -> String {
    var list: [String] = []
    for parameter in parameters {
      if parameter.isOptional {
        let choice = input.choice(4)
        if choice == 0 { break }
        if choice == 1, parameter.type != "..." {
          list.append("nil")
          continue
        }
      }
      let text = value(parameter.type, parameter.options)
      if !text.isEmpty { list.append(text) }
    }
    return list.joined(separator: ", ")
  }

  /// An operator of the language between tensors and numbers.
  mutating func arithmetic() -> String {
    let left = tensor()
    switch input.choice(12) {
    case 0: return "\(left)[\(index())]"
    case 1: return "-\(left)"
    case 2: return "#\(left)"
    case 3: return "tostring(\(left))"
    default:
      let sign = input.pick(["+", "-", "*", "/", "//", "%", "^", "==", "<", ".."])
      let right = input.choice(3) == 0 ? number() : input.choice(16) == 0 ? anything() : tensor()
      return input.choice(8) == 0 ? "(\(right)) \(sign) \(left)" : "\(left) \(sign) (\(right))"
    }
  }
}
