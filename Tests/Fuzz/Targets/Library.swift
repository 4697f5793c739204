import Bindings
import Kernels
import LuaBridge
import Support
import Tensors

/// Decoders of the library as a section 'decoder' asks for them: with any options, built and run once
/// within limits. The rest of the file does not matter, so inputs need not fit it.
extension FuzzTarget {
  static let library: [FuzzTarget] = [
    FuzzTarget(
      name: "library", summary: "decoders of the library, of any options, built and run",
      longest: 256, run: { bytes in try LibraryFuzz.shared.get().run(FuzzInput(bytes)) })
  ]
}

private final class LibraryFuzz {
  nonisolated(unsafe) static let shared = Result { try LibraryFuzz() }

  private let host: Host
  private let build: LuaFunction
  private let memoryLimit = 256 << 20

  init() throws {
    ThreadPool.shared.threads = 2
    host = try Host()
    Fuzzing.watch(host.lua)
    host.session.memoryLimit = memoryLimit
    build = try host.lua.load(
      source: """
        local native, decoders = require "lunerv.native", require "lunerv.codec.decoders"
        local errors = require "lunerv.errors"
        local text, height, width, frames = ...
        local ok, result = pcall(native.no_grad, function()
          local model = decoders.build(text, height, width, frames)
          local c, image = model.config, nil
          if model.encode then
            local embedding = native.zeros(1, c.enc_dim[2], model.grid[1], model.grid[2])
            image = model:decode(embedding, 1 / frames)
          else
            image = model(1 / frames)
          end
          return table.concat(image:evaluate().shape, " ")
        end)
        if ok then return result end
        if not errors.is(result, "data") and not errors.is(result, "memory") then
          return "no error of data: " .. tostring(result)
        end
        """,
      chunkName: "@library.lua")
  }

  private static let names = [
    "fc_dim", "strides", "enc_dim", "fc_hw", "ks", "reduce", "lower_width", "out_image", "act",
    "dec_blks", "conditioning", "ch_t", "pe_base", "pe_levels", "stem_dim", "block_dim",
    "head_scale", "enc_strides", "widths", "unfold", "clip", "height", "x",
  ]
  private static let kinds = ["hnerv", "hnerv_boost", "nerv", "nerv_boost", "enerv", "enerv_boost"]

  /// The options of a small decoder of each kind, before an input changes them.
  private static func usual(_ kind: String, second: Bool) -> [(String, String)] {
    var options = [("fc_dim", "6"), ("strides", "[2,2]"), ("lower_width", "4")]
    options.append(kind.hasPrefix("hnerv") ? ("enc_dim", "2") : ("fc_hw", "[2,3]"))
    if kind.hasPrefix("nerv") { options.append(("stem_dim", "8")) }
    if kind.hasPrefix("enerv") { options.append(("block_dim", "8")) }
    if kind.hasSuffix("boost") { options.append(("ch_t", "4")) }
    if !kind.hasPrefix("hnerv") || kind.hasSuffix("boost") { options.append(("pe_levels", "3")) }
    if second { options.append(("head_scale", "2")) }
    return options
  }

  private static func value(_ input: inout FuzzInput, depth: Int = 0) -> String {
    switch input.choice(10) {
    case 0, 1, 2: return String(input.choice(9))
    case 3:
      return input.pick([
        "-1", "64", "4096", "65536", "1e300", "-0.0", "1.5", "2147483648", "9223372036854775807",
        "0.0001", "1e-300", "100000", "31", "16",
      ])
    case 4: return input.pick(["true", "false", "null", "{}", "[]"])
    case 5:
      return "\""
        + input.pick([
          "tanh", "sin", "gelu", "silu", "relu", "sigmoid", "tat", "none", "", "0.5", "leaky",
          "sft",
          "lunerv", "conv", "half",
        ]) + "\""
    case 6: return "0.\(input.choice(256))"
    default:
      if depth > 1 { return "1" }
      let items = (0..<input.choice(6)).map { _ in value(&input, depth: depth + 1) }
      return "[" + items.joined(separator: ",") + "]"
    }
  }

  func run(_ input: FuzzInput) throws {
    var input = input
    let kind = input.pick(LibraryFuzz.kinds)
    let second = input.choice(4) == 3
    var options = LibraryFuzz.usual(kind, second: second)
    for _ in 0..<input.choice(6) {
      let name = input.pick(LibraryFuzz.names)
      options.removeAll { $0.0 == name }
      if input.choice(8) > 0 { options.append((name, LibraryFuzz.value(&input))) }
    }
    let sizes = [8, 12, 1, 3, 16, 40, 64, 100]
    let (height, width) = (input.pick(sizes), input.pick(sizes))
    let frames = input.pick([3, 1, 7, 100, 1 << 20])
    let described = options.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",")
    let text = "\(kind)@\(second ? 2 : 1){\(described)}"
    if Fuzzing.shows { print("\(text) for \(frames) frames of \(width)×\(height)") }
    host.session.workLeft = 100_000_000
    defer {
      host.session.workLeft = .max
      host.lua.collect()
      let left = host.session.living.blocks
      require(left == 0, "\(left) blocks live on: \(text)")
    }
    let result = try build.call(text, height, width, frames).first
    if case .string(let shape)? = result {
      require(shape == "1 3 \(height) \(width)", "\(text) for \(width)×\(height): \(shape)")
    }
  }
}
