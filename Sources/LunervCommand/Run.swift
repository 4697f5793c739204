import ArgumentParser
import Bindings
@preconcurrency import Glibc
import LuaBridge
import Ranks
import Support

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a Lua script.",
    discussion: """
      What follows SCRIPT goes to the script as `arg`; options of lunerv's own stand before it. \
      With -e all words go to the code, which finds `lv` and `nn` as at the prompt; those that begin \
      with a dash stand behind `--`.
      """)

  @Flag(
    name: [.customShort("i"), .long],
    help: "Open a prompt afterwards, after an error too; the script's globals are there.")
  var interactive = false

  @Option(
    name: [.customShort("e"), .customLong("code")],
    help: ArgumentHelp("Run this text in place of a script.", valueName: "code"))
  var code: String?

  @Flag(
    help: ArgumentHelp(
      "Run again, in a new process, whenever the script or a module it required changes.",
      discussion: """
        A file of data that it read counts too, unless the run itself changed it. A script \
        that still runs is stopped for a change of code. Ctrl-C ends.
        """))
  var watch = false

  @OptionGroup(title: "Measuring")
  var profile: ProfileOptions

  @Argument(help: "The script.")
  var script: String?

  @Argument(parsing: .captureForPassthrough, help: "The script's own arguments.")
  var arguments: [String] = []

  func run() throws {
    if code == nil, let script, script.hasPrefix("-"), script != "-" {
      throw LunervError(
        .usage, CommandHelp.unknownOption(script, in: "run") ?? "unknown option '\(script)'")
    }
    if watch {
      guard let script, code == nil, !interactive, !profile.isWanted else {
        throw LunervError(.usage, "run --watch: expected a script, without -e, -i and --profile")
      }
      return try Watch(script: script, arguments: arguments).run()
    }
    guard code != nil || script != nil else {
      throw LunervError(.usage, "run: expected a script (see 'lunerv run --help')")
    }
    try joinRanks()
    let host = try Host.forCommand()
    try Watch.reportReads(of: host)
    guard interactive else { return try measured(host) }
    var hasFailed = false
    do {
      try measured(host)
    } catch let error as LunervError
      where error.kind != .interrupted || LuaInterrupt.signal == SIGINT
    {
      Lunerv.report(error)
      hasFailed = true
      LuaInterrupt.clear()
    }
    try Prompt(host, hasFailed: hasFailed).run()
  }

  /// Where mpirun started this process: joins the others. What the first of them prints is enough.
  private func joinRanks() throws {
    try Ranks.shared.start()
    guard Ranks.shared.rank > 0, getenv("LUNERV_RANK_OUTPUT") == nil else { return }
    let nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC)
    guard nowhere >= 0, dup2(nowhere, 1) >= 0 else {
      throw LunervError(.io, "/dev/null: \(String(cString: strerror(errno)))")
    }
    close(nowhere)
  }

  private func measured(_ host: Host) throws {
    try profile.measure(host) { try runScript(host) }
  }

  private func runScript(_ host: Host) throws {
    do {
      try runAll(host)
    } catch var error as LunervError {
      let isMistake = ![.usage, .io, .data, .numeric].contains(error.kind)
      if !isMistake, readsCommandLine(host) { error.place = nil }
      throw error
    }
  }

  /// Whether the script is a command with its own options: a wrong name in its command line is an
  /// error about that, not about the script's line.
  private func readsCommandLine(_ host: Host) -> Bool {
    let results = try? host.lua.run(
      source: """
        local reader = package.loaded["lunerv.options.command_line"]
        return reader ~= nil and reader.is_used
        """, chunkName: "@lunerv:command.lua")
    if case .bool(true) = results?.first { return true }
    return false
  }

  private func runAll(_ host: Host) throws {
    if let code {
      let words = (script.map { [$0] } ?? []) + arguments
      try host.lua.run(
        source: "require('lunerv.repl.session').globals(...)",
        chunkName: "@lunerv:command.lua", arguments: words)
      try host.lua.run(source: code, chunkName: "=-e", arguments: words)
    } else if let script {
      try host.lua.run(file: script, arguments: arguments)
    }
  }
}
