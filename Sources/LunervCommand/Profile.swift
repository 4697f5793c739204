import ArgumentParser
import Bindings

/// `--profile[=FILE]` and `--profile-json FILE` of `lunerv run`.
struct ProfileOptions: ParsableArguments {
  @Flag(
    name: .customLong("profile"),
    help: """
      print time and memory by module and by operator; --profile=FILE.svg also draws a flame graph, \
      --profile=FILE.json writes all measurements
      """)
  var isOn = false

  @Option(
    name: .customLong("profile-json"),
    help: ArgumentHelp(
      "like --profile, and write all measurements to FILE", valueName: "FILE"))
  var json: String?

  /// What `--profile=FILE` is rewritten to: an option cannot also be a flag.
  @Option(name: .customLong("profile-to"), help: .private)
  var file: String?

  var isWanted: Bool { isOn || json != nil || file != nil }

  func measure(_ host: Host, _ body: () throws -> Void) throws {
    guard isWanted else { return try body() }
    try host.profiled(file: file, json: json, body)
  }

  /// The words of a command line of `run` that are its own options: those before the script.
  static func beforeScript(_ words: [String]) -> [String] {
    var own: [String] = []
    for (i, word) in words.enumerated().dropFirst() {
      let isValue = takesValue(words[i - 1])
      if word == "--" || !word.hasPrefix("-") && !isValue { break }
      own.append(isValue ? "" : word)
    }
    return own
  }

  private static func takesValue(_ word: String) -> Bool {
    ["-e", "--code", "--profile-json", "--profile-to"].contains(word)
  }

  /// The arguments of the command line, with a `--profile=FILE` before the script rewritten so that
  /// it can be parsed.
  static func readable(_ words: [String]) -> [String] {
    guard words.first == "run" else { return words }
    var words = words
    for (i, word) in beforeScript(words).enumerated() where word.hasPrefix("--profile=") {
      words[i + 1] = "--profile-to=" + word.dropFirst("--profile=".count)
    }
    return words
  }
}
