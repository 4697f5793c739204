import Support

@testable import LuaBridge

/// A class for Lua to hold, which counts its live instances.
final class Box: LuaObject {
  final class Counter { var live = 0 }

  static let luaName = "box"
  let counter: Counter
  var value: Double
  var isShut = false

  init(_ value: Double, _ counter: Counter) {
    self.value = value
    self.counter = counter
    counter.live += 1
  }

  deinit { counter.live -= 1 }

  var luaByteCount: Int { 1000 }
}

/// A second class, which must be distinguished from the first.
final class Crate: LuaObject {
  static let luaName = "crate"
}

/// A number or a box, as operators accept.
enum Operand: LuaArgument {
  case number(Double)
  case box(Box)

  static var luaTypeName: String { "box or number" }
  static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Operand {
    if let value = stack.number(at: index) { return .number(value) }
    guard stack.type(at: index) == .userdata else {
      throw LuaTypeMismatch(expected: luaTypeName)
    }
    return .box(try Box.read(stack, at: index))
  }

  var value: Double {
    switch self {
    case .number(let value): value
    case .box(let box): box.value
    }
  }
}

struct ConvOptions: LuaOptions {
  var stride = 1
  var padding: Int?
  var groups = 1
  var mode = "zero"
  static var luaFields: [LuaField<ConvOptions>] {
    [
      LuaField("stride", \.stride), LuaField("padding", \.padding), LuaField("groups", \.groups),
      LuaField("mode", \.mode),
    ]
  }
}

/// A state with a module "m" and the classes above.
func makeState(memoryLimit: Int? = nil, counter: Box.Counter = .init()) -> LuaState {
  guard let state = try? LuaState(memoryLimit: memoryLimit) else {
    fatalError("expected memory for a Lua state")
  }
  let module = LuaModule("m")
  module.define("box") { (value: Double) in Box(value, counter) }
  module.define("crate") { Crate() }
  module.define("conv2d") { (x: Box, w: Box, b: Box?, options: ConvOptions) in
    Box(x.value * w.value + (b?.value ?? 0) + Double(options.stride), counter)
  }
  module.define("fail") { (x: Box?, message: String) throws in
    // Objects that would leak if an error jumped over this frame.
    let local = Box(1, counter)
    defer { local.value = 2 }
    throw LunervError(.argument, message)
  }
  module.define("usage") { () throws -> Int in throw LunervError(.usage, "unknown model 'x'") }
  module.define("echo") { (value: LuaValue) in value }
  module.define("bytes") { (value: LuaBytes) in value }
  module.define("text") { (value: String) in value }
  module.define("sum") { (values: [Double]) in values.reduce(0, +) }
  module.define("fields") { (values: [String: Int]) in values.values.reduce(0, +) }
  module.define("count") { (first: Int, rest: LuaVarargs) in
    LuaResults(first, rest.values.count)
  }
  module.define("integer") { (value: Int) in value }
  module.define("flags") { (a: Bool, b: Bool?) in LuaResults(a, b, b == nil) }
  module.define("call") { (function: LuaFunction, value: LuaValue) in
    LuaResults(list: try function.call(value).map { $0 })
  }
  module.define("nothing") { (a: Int, b: Int, c: Int) in }
  module.define("missing") { () in LuaFailure(LunervError(.io, "no such file")) }
  module.constant("version", 3)
  state.register(module)

  let cls = LuaClass<Box>()
  cls.method("conv2d") { (x: Box, w: Box, options: ConvOptions) in
    Box(x.value * w.value + Double(options.stride), counter)
  }
  cls.method("shut") { (box: Box) in box.isShut = true }
  cls.property("value", get: { $0.value }, set: { (box: Box, value: Double) in box.value = value })
  cls.property("double", get: { $0.value * 2 })
  cls.meta("__add") { (a: Operand, b: Operand) in Box(a.value + b.value, counter) }
  cls.meta("__unm") { (a: Box) in Box(-a.value, counter) }
  cls.meta("__len") { (a: Box) in Int(a.value) }
  state.register(cls)
  state.register(LuaClass<Crate>())
  return state
}

/// The error of a script, or nil.
func failure(of source: String, in state: LuaState = makeState(), name: String = "@train.lua")
  -> LunervError?
{
  do {
    try state.run(source: "local m = require 'm'\n" + source, chunkName: name)
    return nil
  } catch {
    return error as? LunervError
  }
}

/// The first result of a script as text.
func result(of source: String, in state: LuaState = makeState()) throws -> String {
  let results = try state.run(
    source: "local m = require 'm'\nlocal function f(m) \(source) end return tostring(f(m))",
    chunkName: "@train.lua")
  guard case .string(let text)? = results.first else { return "no result" }
  return text
}
