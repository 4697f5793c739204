import ArgumentParser
import Bindings
@preconcurrency import Glibc
import LuaBridge
import Support

/// A front end of `require("lunerv.bench").main`, which checks the values.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures training, decoding, kernels and quality.",
    discussion: """
      Without a mode, measures what fits into ten minutes, and lists what it leaves out. Training \
      and decoding use models of the published sizes on random frames, in turns with PyTorch \
      (scripts/bench/torch_bench.py under `python3`, if that has torch). Ratios are PyTorch's time \
      divided by lunerv's: above 1, lunerv is faster.

      --quality CLIP --to 26.5, without another mode, measures how long it takes to fit a clip: with \
      lunerv's recipe fast, with the published one, and with PyTorch and the published one \
      (scripts/bench/torch_quality.py). It searches for the shortest complete schedule, with its \
      own warm-up and decay, whose mean PSNR over the frames reaches the figure. Each schedule runs in \
      its own process, and its time is that of the process. All attempts are listed; --svg draws \
      PSNR against seconds. The search begins with 3 passes of fast and 10 of published for 132 \
      frames, more for fewer frames, and takes half an hour at 320x180.
      """)

  enum Mode: String, EnumerableFlag {
    case train, decode, loss, kernels, quality

    static func help(for mode: Mode) -> ArgumentHelp? {
      switch mode {
      case .train: "training steps, from the frame to the update"
      case .decode: "decoding of frames, without gradients"
      case .loss: "the loss of the model and its gradient"
      case .kernels: "operators, compared with the machine's limits"
      case .quality: "time to fit CLIP until its PSNR reaches --to"
      }
    }
  }

  struct Measuring: ParsableArguments {
    @Flag var modes: [Mode] = []

    @Option(
      help: ArgumentHelp(
        "timed steps (by size: lunerv 20, 10, 6; PyTorch 9, 6, 3)", valueName: "N",
        visibility: .hidden))
    var steps: Int?

    @Option(
      help: ArgumentHelp(
        "start nothing after this time (10 without a mode)", valueName: "X"))
    var minutes: Double?

    @Flag(
      help: ArgumentHelp(
        "time kernels with every algorithm, and list where another than the chosen one is faster",
        visibility: .hidden))
    var algorithms = false

    @Flag(name: [.customLong("no-torch"), .customLong("no_torch")], help: "do not measure PyTorch")
    var noTorch = false

    @Flag(
      help: ArgumentHelp(
        "also measure compiled PyTorch; compiling takes minutes", visibility: .hidden))
    var compiled = false

    @Option(
      help: ArgumentHelp(
        "the interpreter that PyTorch runs in (python3)", valueName: "FILE", visibility: .hidden))
    var python: String?

    @Option(
      help: ArgumentHelp(
        "folder of torch_bench.py and torch_quality.py (LUNERV_BENCH_SCRIPTS, or scripts/bench)",
        valueName: "DIR", visibility: .hidden))
    var scripts: String?
  }

  struct Output: ParsableArguments {
    @Flag(help: "print one JSON object")
    var json = false

    @Flag(help: "print tables in Markdown")
    var markdown = false

    @Option(help: ArgumentHelp("write the result as JSON", valueName: "FILE"))
    var save: String?

    @Option(
      help: ArgumentHelp("show the result that --save wrote", valueName: "FILE"))
    var from: String?

    @Option(
      help: ArgumentHelp(
        "draw the roofline; with --quality, PSNR against seconds", valueName: "FILE.svg",
        visibility: .hidden))
    var svg: String?
  }

  struct Quality: ParsableArguments {
    @Option(help: ArgumentHelp("PSNR in dB to reach with --quality (26.5)", valueName: "X"))
    var to: Double?

    @Option(
      help: ArgumentHelp(
        "frame sizes: 180p, 360p, 720p, a list, or all (720p)", valueName: "SIZES"))
    var size: String?
  }

  struct Network: ParsableArguments {
    @Option(
      help: ArgumentHelp("kinds of model, a list, or all (hnerv_boost)", valueName: "KINDS"))
    var model: String?

    @Option(
      name: [.customLong("head-scale"), .customLong("head_scale")],
      help: ArgumentHelp(
        "head_scale of the recipe fast with --quality (the recipe's)", valueName: "N",
        visibility: .hidden))
    var headScale: Int?
  }

  struct Machine: ParsableArguments {
    @Option(help: ArgumentHelp("threads of both sides, or a list (all cores)", valueName: "N"))
    var threads: String?

    @Option(
      help: ArgumentHelp(
        "work with N ranks of one thread, compared with N single processes (MPI)",
        valueName: "N", visibility: .hidden))
    var ranks: Int?

    @Option(
      help: ArgumentHelp(
        """
        work of --ranks: training steps, the segments of CLIP, or a batch of clips; --steps is \
        then the number of passes (training)
        """, valueName: "training|segments|batch", visibility: .hidden))
    var work: String?
  }

  @OptionGroup(title: "Measuring") var measuring: Measuring
  @OptionGroup(title: "Input and output") var output: Output
  @OptionGroup(title: "Quality and size") var quality: Quality
  @OptionGroup(title: "Model") var network: Network
  @OptionGroup(title: "Machine") var machine: Machine

  @Argument(help: "the video for --quality and --work (scripts/sample/bunny.mp4)")
  var clip: String?

  func run() throws {
    let host = try Host.forCommand()
    var options: [JSON.Member] = [
      JSON.Member("torch", .bool(!measuring.noTorch)), JSON.Member("json", .bool(output.json)),
      JSON.Member("markdown", .bool(output.markdown)),
      JSON.Member("compiled", .bool(measuring.compiled)),
      JSON.Member("algorithms", .bool(measuring.algorithms)),
      JSON.Member("command", .string(command)),
    ]
    if !measuring.modes.isEmpty {
      options.append(JSON.Member("modes", .array(measuring.modes.map { .string($0.rawValue) })))
    }
    for (name, text) in [
      ("model", network.model), ("size", quality.size), ("threads", machine.threads),
      ("scripts", measuring.scripts), ("python", measuring.python), ("save", output.save),
      ("svg", output.svg), ("from", output.from), ("clip", clip), ("work", machine.work),
    ] {
      if let text { options.append(JSON.Member(name, .string(text))) }
    }
    if let steps = measuring.steps { options.append(JSON.Member("steps", .int(Int64(steps)))) }
    if let ranks = machine.ranks { options.append(JSON.Member("ranks", .int(Int64(ranks)))) }
    if let minutes = measuring.minutes { options.append(JSON.Member("minutes", .number(minutes))) }
    if let to = quality.to { options.append(JSON.Member("to", .number(to))) }
    if let headScale = network.headScale {
      options.append(JSON.Member("head_scale", .int(Int64(headScale))))
    }
    let results = try host.lua.run(
      source: "return require('lunerv.bench').main(require('lunerv.native').json_decode(...))",
      chunkName: "@lunerv:command.lua", arguments: [JSON.object(options).text()])
    if case .string(let problem) = results.first { throw LunervError(.usage, problem) }
  }

  /// The command as it was typed, so that it can be repeated; files are omitted.
  private var command: String {
    var words = ["lunerv"]
    var isFile = false
    for word in CommandLine.arguments.dropFirst() {
      if isFile {
        isFile = false
        continue
      }
      let name = word.prefix { $0 != "=" }
      if ["--save", "--svg", "--from"].contains(name) {
        isFile = name.count == word.count
      } else if !["--json", "--markdown"].contains(word) {
        words.append(word)
      }
    }
    return words.joined(separator: " ")
  }
}
