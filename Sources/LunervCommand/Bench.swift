import ArgumentParser
import Bindings
@preconcurrency import Glibc
import LuaBridge
import Support

/// A front end of `require("lunerv.bench").main`, which checks the values.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures this machine: training, decoding, kernels, quality, beside PyTorch.",
    discussion: """
      Alone, it measures what fits into ten minutes, and says what it leaves out. --train, \
      --decode, --loss and --kernels, alone or together, choose. Steps are those of models of \
      the published size on random frames, in turns with PyTorch doing the same \
      (scripts/bench/torch_bench.py under `python3`, where that has torch). Ratios are \
      PyTorch's time over lunerv's: above 1, lunerv is the faster.

      --quality CLIP --to 26.5, alone, asks how long a clip takes to learn: for lunerv's recipe \
      fast, for the published one, and for PyTorch with the published one \
      (scripts/bench/torch_quality.py), it seeks the shortest whole schedule, with a warm-up and a \
      decay of its own, whose mean PSNR over the frames reaches the figure. Every schedule runs in \
      a process of its own; seconds are those from its start to its end. All that was tried is \
      listed, --svg draws PSNR against seconds. It begins with 3 passes of fast and 10 of \
      published over 132 frames, with more over fewer, and takes half an hour at 320x180.
      """)

  enum Mode: String, EnumerableFlag {
    case train, decode, loss, kernels, quality

    static func help(for mode: Mode) -> ArgumentHelp? {
      switch mode {
      case .train: "Training steps: frame, encode, decode, loss, backward, optimiser."
      case .decode: "Decoding a frame from its embedding, without gradients."
      case .loss: "The kind's loss of two images and its gradient."
      case .kernels: "Convolutions and operators against their roofs; with --model, its own."
      case .quality: "How long it takes to learn CLIP until its PSNR reaches --to."
      }
    }
  }

  @Flag var modes: [Mode] = []

  @Argument(help: "With --quality: the video (scripts/sample/bunny.mp4).")
  var clip: String?

  @Option(help: ArgumentHelp("With --quality: PSNR to reach (26.5).", valueName: "dB"))
  var to: Double?

  @Option(
    help: ArgumentHelp(
      "Train with so many ranks of one thread, beside as many processes alone (MPI).",
      valueName: "n"))
  var ranks: Int?

  @Option(
    name: [.customLong("head-scale"), .customLong("head_scale")],
    help: ArgumentHelp(
      "With --quality: the head's scale on the side of fast (its recipe's).", valueName: "n"))
  var headScale: Int?

  @Option(
    help: ArgumentHelp(
      "Kinds of model, with commas between them, or all (hnerv_boost; alone all).",
      valueName: "kinds"))
  var model: String?

  @Option(
    help: ArgumentHelp(
      "180p, 360p, 720p, with commas between them, or all (720p; --quality: nearest to the clip).",
      valueName: "sizes"))
  var size: String?

  @Option(
    help: ArgumentHelp(
      "Timed steps (by size: lunerv 20, 10, 6; PyTorch 9, 6, 3).", valueName: "n"))
  var steps: Int?

  @Option(
    help: ArgumentHelp(
      "Threads, for both sides; several with commas (all cores).", valueName: "n"))
  var threads: String?

  @Option(
    help: ArgumentHelp(
      "Begin nothing after that long (alone 10; with --train and the like no limit).",
      valueName: "minutes"))
  var minutes: Double?

  @Flag(help: "Time kernels by every algorithm, and say where the table chose another.")
  var algorithms = false

  @Flag(
    name: [.customLong("no-torch"), .customLong("no_torch")], help: "Leave PyTorch out.")
  var noTorch = false

  @Flag(help: "Also time PyTorch compiled; compiling takes minutes.")
  var compiled = false

  @Option(
    help: ArgumentHelp(
      "The folder of torch_bench.py and torch_quality.py (LUNERV_BENCH_SCRIPTS, or scripts/bench).",
      valueName: "dir"))
  var scripts: String?

  @Flag(help: "Print one JSON object.")
  var json = false

  @Flag(help: "Print tables in Markdown.")
  var markdown = false

  @Option(help: ArgumentHelp("Write the result there, as JSON.", valueName: "file"))
  var save: String?

  @Option(
    help: ArgumentHelp(
      "Draw the roofline there; with --quality the PSNR by seconds.", valueName: "file.svg"))
  var svg: String?

  @Option(
    help: ArgumentHelp("Show what --save wrote, in place of measuring.", valueName: "file"))
  var from: String?

  func run() throws {
    let host = try Host.forCommand()
    var options: [JSON.Member] = [
      JSON.Member("torch", .bool(!noTorch)), JSON.Member("json", .bool(json)),
      JSON.Member("markdown", .bool(markdown)), JSON.Member("compiled", .bool(compiled)),
      JSON.Member("algorithms", .bool(algorithms)), JSON.Member("command", .string(command)),
    ]
    if !modes.isEmpty {
      options.append(JSON.Member("modes", .array(modes.map { .string($0.rawValue) })))
    }
    for (name, text) in [
      ("model", model), ("size", size), ("threads", threads), ("scripts", scripts),
      ("save", save), ("svg", svg), ("from", from), ("clip", clip),
    ] {
      if let text { options.append(JSON.Member(name, .string(text))) }
    }
    if let steps { options.append(JSON.Member("steps", .int(Int64(steps)))) }
    if let ranks { options.append(JSON.Member("ranks", .int(Int64(ranks)))) }
    if let minutes { options.append(JSON.Member("minutes", .number(minutes))) }
    if let to { options.append(JSON.Member("to", .number(to))) }
    if let headScale { options.append(JSON.Member("head_scale", .int(Int64(headScale)))) }
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
