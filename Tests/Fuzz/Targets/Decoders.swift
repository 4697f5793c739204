@testable import Bindings
import Codec
import LuaBridge
import Support
import Tensors

/// Files whose decoders are programs, in a host without rights: as ``ConfinedDecoder`` runs them,
/// but in this process.
extension FuzzTarget {
  static let decoders: [FuzzTarget] = [
    FuzzTarget(
      name: "decoders", summary: "decoder programs of a grammar, confined", longest: 1024,
      run: { bytes in
        try Confined.run(DecoderSource.file(FuzzInput(bytes)))
      }),
    FuzzTarget(
      name: "file", summary: "whole .lnv files, decoded confined", longest: 1 << 13,
      run: { bytes in try Confined.run(bytes) },
      words: """
        program@1 hnerv@1 hnerv_boost@1 nerv@2 enerv_boost@1 hnerv@3 nerv@4 "fc_dim":
        "strides":[2,2] "enc_dim": "ks": "act":"sin" "fc_hw":[2,3] "widths": "head_scale":2
        "static_dim":2 "static_knots":2 "static_reach":[1,2] {"@":"own","with":[]}
        {"@":"lunerv.nn.
        "model": "embedding":[1,2,3,5] "group":2 null
        """, mend: LNVMender.mend),
  ]
}

/// The work of a confined process, within this one.
enum Confined {
  private static let heapLimit = 64 << 20
  private static let memoryLimit = 256 << 20

  /// Files without a program share a host: only a program could change it, and creating a host
  /// takes longer than decoding most of them.
  private final class Shared {
    nonisolated(unsafe) static let instance = Result { try Shared() }
    let host: Host
    let decode: LuaFunction

    init() throws {
      host = try Host(confinedTo: heapLimit, copying: 1 << 22) { _, _ in }
      Fuzzing.watch(host.lua)
      host.session.memoryLimit = memoryLimit
      decode = try host.lua.load(
        source: """
          local native, codec = require "lunerv.native", require "lunerv.codec"
          local bytes = ...
          local function refuse() error("a program", 0) end
          local video = codec.decode(bytes, { build = refuse, models = refuse })
          for _, i in ipairs { video.frames // 2 + 1, video.frames, 1 } do
            local frame = video:frame(i)
            local shape = table.concat(frame.shape, " ")
            if shape ~= "1 3 " .. video.height .. " " .. video.width then return shape end
            frame:sum():item()
          end
          """,
        chunkName: "@file.lua")
    }

    func run(_ file: [UInt8]) throws {
      host.session.workLeft = 50_000_000
      defer {
        host.session.workLeft = .max
        host.lua.collect()
        let left = host.session.living.blocks
        require(left == 0, "\(left) blocks live on")
      }
      do {
        let shape = try decode.call(LuaBytes(file)).first
        require(shape == nil, "a frame of another shape: \(shape.map { "\($0)" } ?? "")")
      } catch let raised as LuaRaisedError { throw raised.error }
    }
  }

  /// Requests frames in a random order, until one fails.
  static func run(_ file: [UInt8]) throws {
    // The user limits the sizes that a file may claim: slow ones teach nothing here.
    let container = try Container(decoding: file)
    guard let section = container.sections.first(where: { $0.kind == .clip }) else {
      throw LunervError(.data, "no clip")
    }
    let clip = try StoredClip(section.bytes)
    guard clip.height * clip.width <= 1 << 14, clip.frames <= 64 else {
      throw LunervError(.data, "large")
    }
    if !container.sections.contains(where: { $0.kind == .program }) {
      return try Shared.instance.get().run(file)
    }
    var wanted = [1, clip.frames, (clip.frames + 1) / 2]
    var isReady = false
    let host = try Host(confinedTo: heapLimit, copying: 1 << 22) { m, _ in
      m.define("confined_file") { () -> LuaBytes in LuaBytes(file) }
      m.define("confined_ready") { isReady = true }
      m.define("confined_begin", params: ["what"]) { (_: String) in }
      m.define("confined_request") { () -> Int? in wanted.popLast() }
      m.define("confined_answer", params: ["frame"]) { (frame: Tensor) in
        require(isReady, "a frame before the decoder was ready")
        let count = try frame.withBytes { $0.count }
        require(count == 12 * clip.height * clip.width, "a frame of \(count) bytes")
      }
    }
    Fuzzing.watch(host.lua)
    host.session.memoryLimit = memoryLimit
    host.session.workLeft = 50_000_000
    defer {
      require(host.session.living.bytes <= memoryLimit, "more memory than allowed")
      require(host.lua.heapBytes <= heapLimit + 1 << 20, "a larger heap than allowed")
    }
    try host.lua.run(
      source: "require 'lunerv.codec.confined'", chunkName: "@lunerv:codec/boot.lua")
  }
}

/// Decoder programs: a class with a decoder's methods, in the part of Lua that programs see, and in
/// some that they do not.
struct DecoderSource {
  private var lua: LuaSource
  private var depth = 0
  private var serial = 0
  private var names: [String] = ["t", "self", "self.a", "self.b"]
  private var functions: [String] = []

  private static let operators: [LuaSignature] = {
    guard let host = try? Host(confinedTo: 64 << 20, copying: 1 << 22, { _, _ in }) else {
      return []
    }
    let pure = Set(
      (try? host.lua.run(
        source: "return require('lunerv.native').pure_operators", chunkName: "@pure.lua"))
        .flatMap { results -> [String]? in
          guard case .array(let names)? = results.first else { return nil }
          return names.compactMap { if case .string(let name) = $0 { name } else { nil } }
        } ?? [])
    return (host.lua.signatures(of: "lunerv.native")?.functions ?? [])
      .filter { pure.contains($0.name) }
  }()
  private static let methods = operators.filter { $0.parameters.first?.type == "tensor" }
  /// Classes of lv.nn with arguments that construct one, and the shapes of its parameters.
  private static let modules: [(String, [[Int]])] = [
    ("Conv2d(3, 3, 3, {padding = 1})", [[3, 3, 3, 3], [3]]),
    ("Conv2d(1, 2, {kernel = 1})", [[2, 1, 1, 1], [2]]), ("Linear(4, 4)", [[4, 4], [4]]),
    ("Linear(1, 3)", [[3, 1], [3]]), ("PositionEncoding {levels = 3}", []), ("List {}", []),
    ("GELU()", []), ("Sin()", []), ("LayerNorm(4)", [[4], [4]]), ("RMSNorm(4)", [[4]]),
    ("GroupNorm(1, 3)", [[3], [3]]), ("Dropout(0.5)", []), ("Upsample {scale = 2}", []),
    ("ConvTranspose2d(3, 3, 2, {stride = 2})", [[3, 3, 2, 2], [3]]), ("Identity()", []),
    ("AvgPool2d(2)", []), ("MaxPool2d(2)", []),
  ]
  private static let world = [
    "ipairs", "pairs", "select", "type", "error", "math.floor", "math.max", "math.abs",
    "math.tointeger", "math.fmod", "math.ult", "table.insert", "table.unpack", "setmetatable",
    "require", "lv.options", "lv.func", "lv.checkpoint", "lv.nn.class",
  ]
  private static let absent = [
    "print", "load", "pcall", "getmetatable", "rawset", "rawget", "collectgarbage", "tostring",
    "string.rep", "table.concat", "table.move", "table.sort", "coroutine.wrap", "os.exit",
    "io.open",
    "debug.getinfo", "lv.seed", "lv.read_file", "lv.grad", "math.random", "next", "_G", "_ENV",
  ]
  private static let events = [
    "__index", "__newindex", "__call", "__add", "__sub", "__mul", "__div", "__mod", "__pow",
    "__unm",
    "__idiv", "__len", "__eq", "__lt", "__le", "__concat", "__gc", "__close", "__mode",
    "__metatable",
    "__tostring", "__pairs", "__name", "x",
  ]

  private init(_ input: FuzzInput) {
    lua = LuaSource(input, tensors: ["lv.ones(1, 3, 4, 4)", "lv.arange(1, 4)", "lv.full(0.5)"])
    lua.illTyped = 255
  }

  /// The file with the program of an input.
  static func file(_ input: FuzzInput) throws -> [UInt8] {
    var source = DecoderSource(input)
    let text = source.program()
    let isOrdered = source.isOrdered
    if Fuzzing.shows { print(text) }
    let clip = try StoredClip(height: 4, width: 4, frames: 5, rate: (25, 1), seconds: []).encoded()
    let decoder =
      #"program@1{"model":{"@":"own","with":[1,{"k":[1,2.5,"x"]}]}"#
      + (isOrdered ? #","group":3}"# : "}")
    let program = try StoredProgram.encode([.init(name: "own", source: Array(text.utf8))])
    let items = source.shapes.map { shape in
      StoredTensors.Item(
        symbols: (0..<shape.reduce(1, *)).map { Int32($0 % 7) - 3 }, steps: [0.25])
    }
    let weights = try StoredTensors.section(
      items, shapes: source.shapes, origins: items.map { _ in nil },
      draw: { _, count in [Int32](repeating: 0, count: count) }, among: [.gaussian])
    return try Container([
      .init(.clip, clip), .init(isOrdered ? .orderedDecoder : .decoder, Array(decoder.utf8)),
      .init(.program, program), weights,
    ]).encoded()
  }

  private var isOrdered = false
  /// The parameters that `init` makes, to which the file's weights belong.
  private var shapes: [[Int]] = []

  // MARK: - Grammar

  private mutating func fresh() -> String {
    serial += 1
    return "x\(serial)"
  }

  private mutating func program() -> String {
    lua.lines = [
      "local lv <const> = require \"lunerv\"",
      "local nn <const> = lv.nn",
      "local fuel = 300",
      "local function burn() fuel = fuel - 1 if fuel < 0 then error('fuel') end end",
      "local Own = nn.class \"Own\"",
      "function Own:init(a, b)",
      "self.a, self.b = a, b",
    ]
    for k in 0..<lua.input.choice(3) {
      lua.lines.append("self.w\(k) = nn.parameter(lv.zeros(4))")
      lua.tensors.append("self.w\(k)")
      shapes.append([4])
    }
    for _ in 0..<lua.input.choice(3) {
      let (module, parameters) = lua.input.pick(DecoderSource.modules)
      lua.lines.append("self.m\(serial) = nn.\(module)")
      names.append("self.m\(serial)")
      shapes += parameters
      serial += 1
    }
    lua.lines.append("end")
    let order = lua.input.choice(12)
    isOrdered = order >= 10
    if order >= 10 { lua.lines.append("Own.group = 3") }
    if order == 11 {
      lua.lines.append("function Own:restart() self.state = lv.zeros(1, 3, 4, 4) end")
    }
    if isOrdered {
      lua.lines.append("function Own:references(i)")
      lua.lines.append(
        "return "
          + lua.input.pick([
            "{}", "{i - 1}", "{i > 1 and i - 1 or nil}", "{1}", "{1, 2}", "{i}", "i", "{0}",
            "{1/0}",
            "{i + 1}", "setmetatable({}, {__index = function(t, k) return k end})",
          ]))
      lua.lines.append("end")
    }
    lua.lines.append("function Own:forward(t, i, images)")
    lua.lines.append("burn()")
    names += ["i", "images"]
    for _ in 0..<2 + lua.input.choice(8) { statement() }
    let last = lua.tensors.last ?? "0"
    lua.lines.append(
      lua.input.choice(4) == 0
        ? "return \(expression())"
        : "local y = \(last) if type(y) ~= 'userdata' then y = lv.zeros(1) end "
          + "return lv.zeros(1, 3, 4, 4) + y:sum()")
    lua.lines.append("end")
    lua.lines.append("return Own")
    return lua.lines.joined(separator: "\n")
  }

  private mutating func block(_ count: Int) {
    depth += 1
    let (known, functionsKnown, tensors) = (names, functions, lua.tensors)
    lua.lines.append("burn()")
    for _ in 0..<count { statement() }
    (names, functions, lua.tensors) = (known, functionsKnown, tensors)
    depth -= 1
  }

  private mutating func statement() {
    if lua.input.isEmpty { return }
    let isDeep = depth > 3
    switch lua.input.choice(isDeep ? 8 : 16) {
    case 0, 1, 2, 3:
      let name = fresh()
      lua.lines.append("local \(name) = \(tensorExpression())")
      lua.tensors.append(name)
      names.append(name)
      if lua.tensors.count > 8 { lua.tensors.removeFirst() }
    case 4, 5:
      let name = fresh()
      lua.lines.append("local \(name) = \(expression())")
      names.append(name)
    case 6: lua.lines.append("\(place()) = \(expression())")
    case 7: lua.lines.append("\(lua.tensor())[\(lua.index())] = \(tensorExpression())")
    case 8, 9:
      lua.lines.append("if \(expression()) then")
      block(1 + lua.input.choice(2))
      lua.lines.append("else")
      block(lua.input.choice(2))
      lua.lines.append("end")
    case 10:
      let name = fresh()
      lua.lines.append("for \(name) = 1, \(number()) do")
      names.append(name)
      block(1 + lua.input.choice(3))
      lua.lines.append("end")
    case 11:
      let (key, value) = (fresh(), fresh())
      let list = lua.input.pick(["ipairs", "pairs"])
      lua.lines.append("for \(key), \(value) in \(list)({\(expression()), \(expression())}) do")
      names += [key, value]
      block(1 + lua.input.choice(2))
      lua.lines.append("end")
    case 12:
      let name = fresh()
      lua.lines.append("local function \(name)(a, b, ...)")
      names += ["a", "b"]
      functions.append(name)
      block(1 + lua.input.choice(3))
      lua.lines.append("return \(expression())")
      lua.lines.append("end")
      names.removeAll { $0 == "a" || $0 == "b" }
    case 13:
      lua.lines.append("while \(expression()) do")
      block(1 + lua.input.choice(2))
      lua.lines.append(lua.input.choice(2) == 0 ? "break end" : "end")
    case 14:
      lua.lines.append("setmetatable({k = \(expression())}, {")
      for _ in 0..<1 + lua.input.choice(3) {
        let event = lua.input.pick(DecoderSource.events)
        if lua.input.choice(2) == 0 {
          lua.lines.append("\(event) = function(a, b, c) burn()")
          lua.lines.append("return \(expression()) end,")
        } else {
          lua.lines.append("\(event) = \(expression()),")
        }
      }
      lua.lines.append("})")
    default:
      lua.lines.append("self.\(lua.input.pick(["a", "b", "state", "kept"])) = \(expression())")
    }
  }

  private mutating func place() -> String {
    let name = lua.input.pick(names)
    return name.contains(".") || name == "self" ? "self.b" : name
  }

  private mutating func tensorExpression() -> String {
    let operators = DecoderSource.operators
    let methods = DecoderSource.methods
    switch lua.input.choice(8) {
    case 0: return lua.arithmetic()
    case 1, 2, 3:
      let operation = lua.input.pick(operators)
      return "lv.\(operation.name)(\(lua.arguments(operation.parameters)))"
    case 4, 5:
      let operation = lua.input.pick(methods)
      let rest = lua.arguments(Array(operation.parameters.dropFirst()))
      return "\(lua.tensor()):\(operation.name)(\(rest))"
    case 6: return "nn.\(lua.input.pick(DecoderSource.modules).0)(\(lua.tensor()))"
    default: return lua.tensor()
    }
  }

  /// A numeric expression.
  private mutating func number() -> String {
    depth += 1
    defer { depth -= 1 }
    switch lua.input.choice(depth > 5 ? 3 : 8) {
    case 0: return lua.integer()
    case 1: return lua.input.pick(["t", "(i or 1)", "2", "0.5", "3", "1"])
    case 2: return lua.number()
    case 3: return "\(lua.tensor()):numel()"
    case 4: return "math.\(lua.input.pick(["floor", "abs", "sqrt", "exp", "ceil"]))(\(number()))"
    case 5: return "#\(lua.tensor()).shape"
    default:
      let sign = lua.input.pick(["+", "-", "*", "/", "//", "%", "^"])
      return "(\(number()) \(sign) \(number()))"
    }
  }

  /// A call of another name that programs have, with suitable arguments.
  private mutating func call() -> String {
    switch lua.input.choice(12) {
    case 0: return "ipairs({\(expression()), \(expression())})"
    case 1: return "select(\(lua.input.pick(["1", "'#'", "-1"])), \(expression()), \(expression()))"
    case 2: return "type(\(expression()))"
    case 3: return "table.insert({\(number())}, \(expression()))"
    case 4: return "table.unpack({\(number()), \(expression())})"
    case 5: return "setmetatable({}, {\(lua.input.pick(DecoderSource.events)) = burn})"
    case 6: return "math.tointeger(\(number()))"
    case 7: return "lv.func({forward = function(save, x) burn() return \(tensorExpression()) end})"
    case 8: return "lv.checkpoint(function(x) burn() return \(tensorExpression()) end, 1)"
    case 9: return "lv.options({k = \(number())}, {k = 1, b = 2})"
    case 10: return "math.max(\(number()), \(number()))"
    default: return "require(\"lunerv\")"
    }
  }

  /// A likely error.
  private mutating func wild() -> String {
    switch lua.input.choice(6) {
    case 0: return "\(lua.input.pick(DecoderSource.absent))(\(expression()))"
    case 1:
      return "(\(lua.string())):"
        + lua.input.pick(["rep(1 << 30)", "find('(.-)*x')", "format(1)", "sub(1)", "x()"])
    case 2:
      return "\(lua.input.pick(DecoderSource.world))(\(expression()), \(expression()))"
    case 3: return lua.input.pick(["-", "#", "not ", "~"]) + "(\(expression()))"
    case 4: return "(\(expression()))[\(expression())]"
    default:
      let sign = lua.input.pick(["+", "..", "==", "<", "and", "or", "&", "<<", "*", "^"])
      return "(\(expression())) \(sign) (\(expression()))"
    }
  }

  private mutating func expression() -> String {
    depth += 1
    defer { depth -= 1 }
    if depth > 5 { return lua.input.pick(names) }
    switch lua.input.choice(24) {
    case 0...4: return number()
    case 5...9: return tensorExpression()
    case 10, 11: return lua.input.pick(names)
    case 12, 13: return "{\(expression()), \(expression()), k = \(expression())}"
    case 14: return lua.string()
    case 15: return lua.input.pick(["true", "false", "nil", "{}"])
    case 16: return "\(number()) \(lua.input.pick(["<", "==", "~=", "<="])) \(number())"
    case 17, 18: return call()
    case 19:
      guard let function = functions.last else { return "burn" }
      return "\(function)(\(expression()), \(expression()))"
    case 20: return "(function(a, b) burn() return \(expression()) end)(\(expression()))"
    case 21: return lua.input.choice(4) == 0 ? wild() : number()
    default: return tensorExpression()
    }
  }
}
