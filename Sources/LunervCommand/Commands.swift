import ArgumentParser
import Bindings
import LuaBridge
import Support

struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Looks at this machine: what lunerv finds, and what to install or change.",
    discussion: """
      Times the kernels for some seconds against what the processor can do at most. The exit code is \
      0 where lunerv can be used, whatever could be better.
      """)

  @Flag(help: "Print one JSON object.")
  var json = false

  @Flag(inversion: .prefixedNo, help: "Time the kernels.")
  var timing = true

  func run() throws {
    let host = try Host.forCommand()
    let results = try host.lua.run(
      source: "return require('lunerv.doctor').main(...)", chunkName: "@lunerv:command.lua",
      arguments: [json ? "json" : "text", timing ? "timing" : "no-timing"])
    if case .bool(false) = results.first { throw ReportedFailure() }
  }
}

struct Completion: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "completion",
    abstract: "Writes completion for a shell, or the man page.",
    discussion: """
      bash: eval "$(lunerv completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc, behind \
      compinit. fish: lunerv completion fish | source. scripts/install puts all of them where \
      shells look by themselves. `lunerv completion man | man -l -` shows the man page.
      """)

  @Argument(parsing: .captureForPassthrough, help: "bash, zsh, fish or man.")
  var words: [String] = []

  func run() throws {
    let host = try Host.forCommand()
    _ = try host.lua.run(
      source: "require('lunerv.shell').main(...)", chunkName: "@lunerv:command.lua",
      arguments: [Lunerv._dumpHelp()] + words)
  }
}

/// The Lua library's help for the command line.
enum CommandHelp {
  /// What is wrong with a command line that the parser rejected; nil if Lua does not know either.
  static func problem(_ words: [String]) -> String? {
    ask("problem", [Lunerv._dumpHelp()] + words)
  }

  static func unknownOption(_ word: String, in command: String) -> String? {
    ask("unknown_option", [Lunerv._dumpHelp(), command, word])
  }

  private static func ask(_ function: String, _ words: [String]) -> String? {
    let results = try? Host.forCommand().lua.run(
      source: "return require('lunerv.shell').\(function)(...)",
      chunkName: "@lunerv:command.lua", arguments: words)
    guard case .string(let text) = results?.first else { return nil }
    return text
  }
}
