import ArgumentParser
import Bindings
@preconcurrency import Glibc
import LuaBridge
import Ranks
import Support

/// A front end of a function of `lunerv.commands`, which parses the arguments itself: options are
/// described once, in options/catalogue.lua.
protocol CodecCommand: ParsableCommand {
  var words: [String] { get }
}

extension CodecCommand {
  func run() throws {
    // Each rank would do all the work, and write the same file.
    guard Ranks.announced == 1 else {
      throw LunervError(
        .usage,
        "started as one of \(Ranks.announced) ranks: expected lunerv compress --gop, or a script that shares work out, such as lunerv run scripts/batch.lua"
      )
    }
    try runInLua()
  }

  fileprivate func runInLua() throws {
    let host = try Host.forCommand()
    let name = Self._commandName
    _ = try host.lua.run(
      source: "require('lunerv.commands').\(name)({...})", chunkName: "@lunerv:command.lua",
      arguments: words)
  }
}

struct Compress: CodecCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compresses a clip into a .lnv file.",
    discussion: "lunerv compress CLIP -o FILE.lnv")

  @Argument(parsing: .captureForPassthrough, help: "the clip, and options")
  var words: [String] = []

  /// Ranks share the segments of a clip.
  func run() throws {
    try Ranks.shared.join()
    try runInLua()
  }
}

struct Decompress: CodecCommand {
  static let configuration = CommandConfiguration(
    abstract: "Decodes a .lnv file.",
    discussion: "lunerv decompress FILE.lnv -o OUT.(mkv|mp4|y4m), a folder, or - for raw RGB.")

  @Argument(parsing: .captureForPassthrough, help: "the file, and options")
  var words: [String] = []
}

struct Info: CodecCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows where the bytes of a .lnv file go.",
    discussion: "lunerv info FILE.lnv [--json]")

  @Argument(parsing: .captureForPassthrough, help: "the file, and options")
  var words: [String] = []
}

struct Eval: CodecCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compares a .lnv file with the clip it was made from.",
    discussion: "lunerv eval FILE.lnv CLIP [--json]")

  @Argument(parsing: .captureForPassthrough, help: "the file, the clip, and options")
  var words: [String] = []
}

struct Report: CodecCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes a page about one or several runs.",
    discussion: "lunerv report RUN… -o PAGE.html; a RUN is a folder of a run, or a .lnv file.")

  @Argument(parsing: .captureForPassthrough, help: "the runs, and options")
  var words: [String] = []
}
