import ArgumentParser
import Bindings
@preconcurrency import Glibc
import LuaBridge
import Ranks
import Support

/// The command. Exit codes: 0 done, 1 failed at run time, 2 usage, 130 interrupted, 143 and 129
/// ended by SIGTERM and SIGHUP.
@main
struct Lunerv: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lunerv",
    abstract: "A neural video codec and research host, scripted in Lua.",
    version: Build.description,
    subcommands: [
      Run.self, Repl.self, Compress.self, Decompress.self, Info.self, Eval.self, Report.self,
      Bench.self, Doctor.self, Completion.self,
    ])

  static func main() {
    // A file that may not grow is an error like a full disk, not the end of the process.
    signal(SIGXFSZ, SIG_IGN)
    explainFatalSignals()
    DecoderProgram.declareCommand()
    if CommandLine.arguments.dropFirst().first == ConfinedDecoder.command {
      Glibc.exit(ConfinedDecoder.run(Array(CommandLine.arguments.dropFirst(2))))
    }
    do {
      try checkArguments()
      help()
      var command = try parseAsRoot(
        ProfileOptions.readable(Array(CommandLine.arguments.dropFirst())))
      try command.run()
      let isWritten = Self.isWritten()
      LuaInterrupt.requestIfUnread()
      if LuaInterrupt.wasRequested, LuaInterrupt.signal == SIGPIPE {
        fail(LunervError(.interrupted, ""))
      }
      if !isWritten { fail(unwritten) }
      Ranks.shared.end(code: 0)
    } catch let error as LunervError {
      fail(error)
    } catch is ReportedFailure {
      fflush(stdout)
      Glibc.exit(1)
    } catch {
      // Help and the version arrive here too, with code 0.
      let isAnswer = exitCode(for: error) == .success
      if !isAnswer { fail(LunervError(.usage, usageMessage(for: error))) }
      let words = Array(CommandLine.arguments.dropFirst())
      if words.isEmpty || words.contains(where: CommandHelp.isFlag) {
        showHelp("show", words)
      } else {
        print(fullMessage(for: error))
      }
    }
    Glibc.exit(0)
  }

  /// The runtime and the libraries abort if the system has no more memory, and a mapped file that
  /// cannot be read raises a signal. In both cases, the last line of the output says so.
  private static func explainFatalSignals() {
    func name(_ signal: Int32, _ handler: @escaping @convention(c) (Int32) -> Void) {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = handler
      // The signal that the handler raises again then has its default effect.
      action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
      sigaction(signal, &action, nil)
    }
    name(SIGABRT) { _ in
      let line: StaticString = """
        lunerv: aborted, probably because the system has no more memory; files are complete, and \
        --resume continues\n
        """
      _ = write(STDERR_FILENO, line.utf8Start, line.utf8CodeUnitCount)
      raise(SIGABRT)
    }
    name(SIGBUS) { _ in
      let line: StaticString = """
        lunerv: a memory-mapped file could not be read: its disk failed, or another program \
        shortened it\n
        """
      _ = write(STDERR_FILENO, line.utf8Start, line.utf8CodeUnitCount)
      raise(SIGBUS)
    }
  }

  /// Answers `lunerv help …`, and `lunerv run --help`, whose parser would take the words for a
  /// script's.
  private static func help() {
    let words = Array(CommandLine.arguments.dropFirst())
    if words.first == "help" { showHelp("help", Array(words.dropFirst())) }
    if words.first == "run", ProfileOptions.beforeScript(words).contains(where: CommandHelp.isFlag)
    {
      showHelp("show", words)
    }
  }

  private static let unwritten = LunervError(.io, "standard output: not all could be written")

  private static func isWritten() -> Bool { fflush(stdout) == 0 && ferror(stdout) == 0 }

  private static func showHelp(_ function: String, _ words: [String]) -> Never {
    do {
      try CommandHelp.show(function, words)
    } catch let error as LunervError {
      fail(error)
    } catch {
      fail(LunervError(.script, "\(error)"))
    }
    guard isWritten() else { fail(unwritten) }
    Glibc.exit(0)
  }

  /// Swift would repair bytes that are not UTF-8, and then name another file.
  private static func checkArguments() throws {
    for index in 1..<max(1, Int(CommandLine.argc)) {
      guard let bytes = CommandLine.unsafeArgv[index] else { continue }
      guard String(validatingCString: bytes) == nil else { continue }
      throw LunervError(
        .usage,
        "argument \(index) is not valid UTF-8: '\(String(cString: bytes).printable)'")
    }
  }

  /// One line about a wrong command line.
  private static func usageMessage(for error: any Error) -> String {
    let text = message(for: error).split(separator: "\n").first.map(String.init) ?? ""
    let commands = configuration.subcommands.map { $0._commandName } + ["help"]
    let words = CommandLine.arguments.dropFirst()
    if let problem = CommandHelp.problem(Array(words)) { return problem }
    let command = words.first.map { commands.contains($0) ? " " + $0 : "" } ?? ""
    return "\(text) (see 'lunerv\(command) --help')"
  }

  /// Says what is wrong and ends the program.
  static func fail(_ error: LunervError) -> Never {
    fflush(stdout)
    if error.kind == .interrupted, LuaInterrupt.signal == SIGPIPE {
      fputs("lunerv: standard output was closed by its reader\n", stderr)
      Glibc.exit(1)
    }
    let isStopped = error.kind == .interrupted
    // An error that all ranks have is printed once: the first rank ends the others. A stop is for
    // all.
    if Ranks.shared.rank > 0 { usleep(isStopped ? 0 : 500_000) }
    if !isStopped || Ranks.shared.rank == 0 { report(error) }
    Ranks.shared.end(code: isStopped ? 0 : error.exitCode)
    Glibc.exit(isStopped ? 128 + LuaInterrupt.signal : error.exitCode)
  }

  /// Prints the error in one line, with its position in the user's script. A mistake in the script
  /// and an interrupt are printed with their traceback. A position in the library is omitted if no
  /// script is to blame.
  static func report(_ error: LunervError) {
    fflush(stdout)
    let stop = error.kind == .interrupted ? "interrupted" : "lunerv"
    var message = error.text
    var traceback = error.traceback
    switch error.kind {
    case .usage, .io, .data, .numeric, .memory:
      let place = error.place.flatMap { $0.hasPrefix("lunerv:") ? nil : $0 }
      message = [place, error.module, error.description].compactMap { $0 }.joined(separator: ": ")
      traceback = nil
    case .argument, .script, .interrupted: break
    }
    let ranks = Ranks.shared
    let rank = ranks.size > 1 ? ranks.name(of: ranks.rank) + ": " : ""
    fputs("\(stop): \(rank)\(message)\n", stderr)
    if let traceback { fputs(traceback + "\n", stderr) }
  }
}

extension Ranks {
  /// Joins the ranks if mpirun started this process. Only the first rank keeps its standard output,
  /// unless LUNERV_RANK_OUTPUT is set.
  func join() throws {
    try start()
    guard rank > 0, getenv("LUNERV_RANK_OUTPUT") == nil else { return }
    let nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC)
    guard nowhere >= 0, dup2(nowhere, 1) >= 0 else {
      throw LunervError(.io, "/dev/null: \(String(cString: strerror(errno)))")
    }
    close(nowhere)
  }
}

extension Host {
  /// The host of a command: Ctrl-C stops its script, and LUNERV_STDLIB names a folder to read the
  /// standard library from.
  static func forCommand() throws -> Host {
    LuaInterrupt.install()
    let folder = getenv("LUNERV_STDLIB").map { String(cString: $0) } ?? ""
    return try Host(stdlib: folder.isEmpty ? nil : folder)
  }
}
