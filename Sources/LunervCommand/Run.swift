import ArgumentParser
import Bindings
@preconcurrency import Glibc
import LuaBridge
import Ranks
import Support

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a Lua script with its arguments.",
    discussion: """
      Options of `lunerv run` go before the script, which finds its arguments in `arg`. With -e \
      all words are arguments of the code, which has `lv` and `nn` as the prompt does; `--` goes \
      before words that begin with a dash.
      """)

  @Flag(
    name: [.customShort("i"), .long],
    help: "open a prompt afterwards, also after an error, with the script's globals")
  var interactive = false

  @Option(
    name: [.customShort("e"), .customLong("code")],
    help: ArgumentHelp("run this text instead of a script", valueName: "CODE"))
  var code: String?

  @Flag(
    help: """
      run again when the script, a module or a data file that it read changes; a change of code \
      stops a run; Ctrl-C ends
      """)
  var watch = false

  @OptionGroup(title: "Measuring")
  var profile: ProfileOptions

  @Argument(help: "the script; - for standard input")
  var script: String?

  @Argument(
    parsing: .captureForPassthrough,
    help: ArgumentHelp("its arguments", valueName: "argument"))
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
    try Ranks.shared.join()
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
