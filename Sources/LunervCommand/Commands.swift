import ArgumentParser
import Bindings
import LuaBridge
import Support

/// `--json`, in the group of help that it has everywhere.
struct JSONOption: ParsableArguments {
  @Flag(help: "print one JSON object")
  var json = false
}

struct DoctorMeasuring: ParsableArguments {
  @Flag(inversion: .prefixedNo, help: "time the kernels")
  var timing = true
}

struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Checks this machine, and says what is missing.",
    discussion: """
      Times the kernels for a few seconds, compared with the limits of the processor. The exit code \
      is 0 if lunerv can be used, even if something could be better.
      """)

  @OptionGroup(title: "Input and output")
  var output: JSONOption

  @OptionGroup(title: "Measuring")
  var measuring: DoctorMeasuring

  func run() throws {
    let host = try Host.forCommand()
    let results = try host.lua.run(
      source: "return require('lunerv.doctor').main(...)", chunkName: "@lunerv:command.lua",
      arguments: [
        output.json ? "json" : "text", measuring.timing ? "timing" : "no-timing",
      ])
    if case .bool(false) = results.first { throw ReportedFailure() }
  }
}

struct Completion: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "completion",
    abstract: "Writes completion for a shell, or the man page.",
    discussion: """
        bash  eval "$(lunerv completion bash)" in ~/.bashrc
        zsh   eval "$(lunerv completion zsh)" in ~/.zshrc, after compinit
        fish  lunerv completion fish | source
        man   lunerv completion man | man -l -

      scripts/install puts all of them where shells and man find them.
      """)

  @Argument(
    parsing: .captureForPassthrough,
    help: ArgumentHelp("bash, zsh, fish or man", valueName: "shell"))
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

  static func isFlag(_ word: String) -> Bool {
    ["--help", "-h", "--help-hidden"].contains(word)
  }

  /// Prints the answer of `shell.help` or `shell.show` to the words of a command line.
  static func show(_ function: String, _ words: [String]) throws {
    try Host.forCommand().lua.run(
      source: "require('lunerv.shell').\(function)(...)", chunkName: "@lunerv:command.lua",
      arguments: [Lunerv._dumpHelp()] + words)
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
