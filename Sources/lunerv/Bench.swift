import ArgumentParser
import Bindings
@preconcurrency import Glibc
import LuaBridge
import Support

/// A front over `require("lunerv.bench").main`, which checks the values.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures this machine: training, decoding or kernels, beside PyTorch.",
    discussion: """
      Times whole steps of a model of the published size on a random frame: first half of \
      the steps, then PyTorch doing the same (scripts/bench/torch_bench.py under `python3`), \
      then the other half. Ratios are PyTorch's time over lunerv's: above 1, lunerv is the \
      faster. Says how long it will take before it starts.
      """)

  enum Mode: String, EnumerableFlag {
    case train, decode, kernels

    static func help(for mode: Mode) -> ArgumentHelp? {
      switch mode {
      case .train: "Training steps: encode, decode, loss, backward, optimiser."
      case .decode: "Decoding a frame from its embedding, without gradients."
      case .kernels: "The model's convolutions one by one, against the multiply-add roof."
      }
    }
  }

  @Flag var mode: Mode = .train

  @Option(help: ArgumentHelp("The kind of model (hnerv_boost).", valueName: "kind"))
  var model: String?

  @Option(help: ArgumentHelp("180p, 360p or 720p (720p).", valueName: "size"))
  var size: String?

  @Option(
    help: ArgumentHelp(
      "Timed steps (lunerv 20, 10, 5 by size; PyTorch 10, 6, 3).", valueName: "n"))
  var steps: Int?

  @Option(help: ArgumentHelp("Threads, for both sides (all cores).", valueName: "n"))
  var threads: Int?

  @Flag(help: "Print one JSON object.")
  var json = false

  @Flag(
    name: [.customLong("no-torch"), .customLong("no_torch")], help: "Leave PyTorch out.")
  var noTorch = false

  @Flag(help: "Also time PyTorch compiled; compiling takes minutes.")
  var compiled = false

  @Option(
    help: ArgumentHelp(
      "The folder of torch_bench.py (LUNERV_BENCH_SCRIPTS, or scripts/bench).", valueName: "dir"))
  var scripts: String?

  func run() throws {
    LuaInterrupt.install()
    let folder = getenv("LUNERV_STDLIB").map { String(cString: $0) }
    let host = try Host(stdlib: folder.flatMap { $0.isEmpty ? nil : $0 })
    var options: [JSON.Member] = [
      JSON.Member("mode", .string(mode.rawValue)), JSON.Member("torch", .bool(!noTorch)),
      JSON.Member("json", .bool(json)), JSON.Member("compiled", .bool(compiled)),
    ]
    for (name, text) in [("model", model), ("size", size), ("scripts", scripts)] {
      if let text { options.append(JSON.Member(name, .string(text))) }
    }
    for (name, number) in [("steps", steps), ("threads", threads)] {
      if let number { options.append(JSON.Member(name, .int(Int64(number)))) }
    }
    try host.lua.run(
      source: "require('lunerv.bench').main(require('lunerv.native').json_decode(...))",
      chunkName: "@lunerv:command.lua", arguments: [JSON.object(options).text()])
  }
}
