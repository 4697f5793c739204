import ArgumentParser
import Bindings
@preconcurrency import Glibc
import LuaBridge
import Support

/// The command. Exit codes: 0 done, 1 failed at run time, 2 usage, 130 interrupted.
@main
struct Lunerv: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lunerv",
    abstract: "A neural video codec and research host, scripted in Lua.",
    subcommands: [Run.self, Bench.self])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as LunervError {
      fail(error)
    } catch {
      // Help and version leave by this way too, with code 0.
      let text = fullMessage(for: error)
      let isHelp = exitCode(for: error) == .success
      fputs(text.hasSuffix("\n") ? text : text + "\n", isHelp ? stdout : stderr)
      Glibc.exit(isHelp ? 0 : 2)
    }
    Glibc.exit(0)
  }

  /// One line that says what is wrong. A mistake in a script comes with its traceback.
  static func fail(_ error: LunervError) -> Never {
    fflush(stdout)
    let stop = error.kind == .interrupted ? "interrupted" : "lunerv"
    fputs("\(stop): \(error.message)\n", stderr)
    if let traceback = error.traceback, namesLine(error.message) || error.kind == .interrupted {
      fputs(traceback + "\n", stderr)
    }
    Glibc.exit(error.exitCode)
  }

  /// Whether a message begins with file:line:, as those of mistakes in scripts do.
  private static func namesLine(_ message: String) -> Bool {
    let parts = message.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    return parts.count == 3 && !parts[1].isEmpty && parts[1].allSatisfy(\.isNumber)
  }
}

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a Lua script.",
    discussion: "What follows SCRIPT goes to the script as `arg`.")

  @Argument(help: "The script.")
  var script: String

  @Argument(parsing: .captureForPassthrough, help: "The script's own arguments.")
  var arguments: [String] = []

  func run() throws {
    LuaInterrupt.install()
    let folder = getenv("LUNERV_STDLIB").map { String(cString: $0) }
    let host = try Host(stdlib: folder.flatMap { $0.isEmpty ? nil : $0 })
    try host.lua.run(file: script, arguments: arguments)
  }
}
