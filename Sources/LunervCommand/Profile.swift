import ArgumentParser
import Bindings

/// `--profile[=FILE]` and `--profile-json FILE` of `lunerv run`.
struct ProfileOptions: ParsableArguments {
  @Flag(
    name: .customLong("profile"),
    help: ArgumentHelp(
      "Tells on standard error where time and memory went, by module and by operator.",
      discussion: "--profile=FILE.svg also draws a flame graph; --profile=FILE.json writes all."))
  var isOn = false

  @Option(
    name: .customLong("profile-json"),
    help: ArgumentHelp("As --profile, and writes all that was measured to FILE.", valueName: "file")
  )
  var json: String?

  /// What `--profile=FILE` is rewritten to: an option cannot also be a flag.
  @Option(name: .customLong("profile-to"), help: .hidden)
  var file: String?

  var isWanted: Bool { isOn || json != nil || file != nil }

  func measure(_ host: Host, _ body: () throws -> Void) throws {
    guard isWanted else { return try body() }
    try host.profiled(file: file, json: json, body)
  }

  /// The arguments of the command line, with a `--profile=FILE` before the script rewritten so that
  /// it can be parsed.
  static func readable(_ words: [String]) -> [String] {
    guard words.first == "run" else { return words }
    var words = words
    for i in words.indices.dropFirst() {
      let isValue = ["-e", "--code", "--profile-json", "--profile-to"].contains(words[i - 1])
      if words[i] == "--" || !words[i].hasPrefix("-") && !isValue { break }
      if words[i].hasPrefix("--profile="), !isValue {
        words[i] = "--profile-to=" + words[i].dropFirst("--profile=".count)
      }
    }
    return words
  }
}
