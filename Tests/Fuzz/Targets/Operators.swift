@testable import Bindings
@preconcurrency import Glibc
import Kernels
import LuaBridge
import Support
import Tensors

/// All native functions except those of files, processes and videos, called in any order with any
/// arguments, including gradients. They may touch no foreign memory; after the last call, none of
/// their memory may be alive.
extension FuzzTarget {
  static let operators: [FuzzTarget] = [
    FuzzTarget(
      name: "operators", summary: "every native operator, method and metamethod, with gradients",
      longest: 1024, run: { bytes in try OperatorFuzz.shared.get().run(bytes) })
  ]
}

/// One host for all inputs: creating one takes longer than most inputs.
private final class OperatorFuzz {
  nonisolated(unsafe) static let shared = Result { try OperatorFuzz() }

  private let host: Host
  private let functions: [LuaSignature]
  private let methods: [LuaSignature]
  private let properties: [String]
  private let prepare: LuaFunction
  private let memoryLimit = 256 << 20

  /// Functions that change the host itself, and one that waits.
  private static let others: Set<String> = [
    "set_hook_maker", "confined_file", "confined_ready", "confined_request", "confined_answer",
  ]

  init() throws {
    ThreadPool.shared.threads = 2
    host = try Host(confinedTo: 256 << 20, copying: 1 << 22) { _, _ in }
    let lua = host.lua
    host.session.recordingGate = { [weak lua] in lua?.nestedDepth == 0 }
    host.session.memoryLimit = memoryLimit
    functions = (lua.signatures(of: "lunerv.native")?.functions ?? [])
      .filter { !OperatorFuzz.others.contains($0.name) }
    methods = lua.signatures(of: "tensor")?.functions ?? []
    properties = (lua.signatures(of: "tensor")?.properties ?? []).map(\.name)
    prepare = try lua.load(
      source: """
        local native, source = require "lunerv.native", ...
        native.seed(1)
        local v = {}
        local function T(i)
          for k = i, 1, -1 do
            -- One that is closed is an error to ask about.
            local ok, found = pcall(native.is_tensor, v[k])
            if ok and found then return v[k] end
          end
          return native.ones(2, 3)
        end
        local function try(i, f)
          local ok, a = pcall(f)
          if ok then v[i] = a end
        end
        local chunk, message = load(source, "@program.lua", "t",
          { n = native, T = T, try = try, math = math, tostring = tostring, v = v, error = error })
        if not chunk then error(message, 0) end
        chunk()
        """,
      chunkName: "@prepare.lua")
  }

  func run(_ bytes: [UInt8]) throws {
    let source = program(FuzzInput(bytes))
    if Fuzzing.shows { print(source) }
    let session = host.session
    session.workLeft = 20_000_000
    let start = cpuSeconds()
    defer {
      session.workLeft = .max
      host.lua.collect()
      let (left, entries) = (session.living.blocks, session.tapeEntries)
      require(
        left == 0 && entries == 0, "\(left) blocks and \(entries) entries of the tape live on")
    }
    do { try prepare.call(source) } catch let raised as LuaRaisedError {
      // The generator writes Lua in which all calls are protected.
      require(raised.error.kind == .memory, "\(raised.error.text)\n\(source)")
    }
    require(session.living.bytes <= memoryLimit, "more memory than allowed")
    let seconds = cpuSeconds() - start
    require(seconds < 60, "\(seconds) s for the work of a second\n\(source)")
  }

  private func cpuSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
  }

  private func program(_ input: FuzzInput) -> String {
    var lua = LuaSource(input, tensors: ["T(1)"])
    var count = 0
    func step(_ text: String) {
      count += 1
      lua.lines.append("try(\(count), function() \(text) end)")
      lua.tensors = (max(1, count - 5)...count).map { "T(\($0))" }
    }
    for _ in 0..<1 + lua.input.choice(3) {
      let kind = lua.input.pick(["rand", "randn", "ones", "arange", "full", "tensor"])
      let dtype = lua.input.pick(["f32", "f32", "f32", "f32", "f64", "i32", "u8", "bool"])
      let grad = lua.input.choice(2) == 1 ? ", requires_grad = true" : ""
      switch kind {
      case "arange":
        step("return n.arange(1, \(1 + lua.input.choice(30)), 1, {dtype = \"\(dtype)\"})")
      case "full":
        let sizes = lua.shape()
        step(
          "return n.full(\(lua.number()), \(sizes.isEmpty ? "" : sizes + ", "){dtype = \"\(dtype)\"\(grad)})"
        )
      case "tensor":
        step("return n.tensor({\(lua.list { $0.number() })}, {dtype = \"\(dtype)\"\(grad)})")
      default:
        let options = "{dtype = \"\(dtype)\"\(grad)}"
        let shape = lua.shape()
        step("return n.\(kind)(\(shape.isEmpty ? "" : shape + ", ")\(options))")
      }
    }
    while !lua.input.isEmpty, count < 24 {
      switch lua.input.choice(16) {
      case 0...5:
        let function = lua.input.pick16(functions)
        step("return n.\(function.name)(\(lua.arguments(function.parameters)))")
      case 6...9:
        let method = lua.input.pick16(methods)
        let arguments = lua.arguments(Array(method.parameters.dropFirst()))
        step("return \(lua.tensor()):\(method.name)(\(arguments))")
      case 10, 11: step("return \(lua.arithmetic())")
      case 12:
        step("local x = \(lua.tensor()); x[\(lua.index())] = \(lua.arithmetic())")
      case 13:
        step("return \(lua.tensor()):sum():backward()")
      case 14:
        let property = lua.input.pick(properties)
        let tensor = lua.tensor()
        step(
          lua.input.choice(3) == 0
            ? "\(tensor).\(property) = \(lua.anything())" : "return \(tensor).\(property)")
      default:
        let tensor = lua.tensor()
        switch lua.input.choice(4) {
        case 0: step("local x <close> = \(tensor); return x")
        case 1: step("return n.no_grad(function() return \(lua.arithmetic()) end)")
        case 2: step("error(\(lua.anything()))")
        default: step("return n.is_tensor(\(tensor))")
        }
      }
    }
    return lua.lines.joined(separator: "\n")
  }
}

extension FuzzInput {
  /// An entry of a list that may have more than 256.
  mutating func pick16<T>(_ list: [T]) -> T {
    list[(Int(byte()) << 8 | Int(byte())) % list.count]
  }
}
