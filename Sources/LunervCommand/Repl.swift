import ArgumentParser
import Bindings
@preconcurrency import Glibc
import LuaBridge
import Support

struct Repl: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Opens a prompt for Lua.",
    discussion: """
      Prints the value of each line; an incomplete line continues on the next. `lv`, `nn` and `help` \
      are defined, and a `local` lasts as long as the prompt. Tab completes names, methods, options \
      and files; Ctrl-C stops the running line, or clears the one being typed; Ctrl-D leaves. \
      `lv.reload "block"` reads a module's changed file again, also for objects in use.

      Lines from a pipe run without a prompt; an error is printed, the next lines run, and the exit \
      code is 1. The history is in $XDG_STATE_HOME/lunerv/history \
      (~/.local/state/lunerv/history); LUNERV_HISTORY names another file, or none if it is empty.
      """)

  func run() throws {
    try Prompt(Host.forCommand()).run()
  }
}

/// A failure that has already been reported; the exit code is 1.
struct ReportedFailure: Error {}

/// Reads lines and runs them by `lunerv.repl.session`.
final class Prompt {
  private let host: Host
  private let editor = LineEditor(historyLimit: History.limit)
  private let history = History()
  private var isContinued = false
  private var hasFailed: Bool

  /// - Parameter hasFailed: whether something failed earlier that lines from a pipe cannot repair.
  init(_ host: Host, hasFailed: Bool = false) throws {
    self.host = host
    self.hasFailed = hasFailed
    editor.completer = { [weak self] text in self?.complete(text) ?? LineEditor.Completion() }
  }

  /// Runs until the input ends.
  ///
  /// - Throws: what ends the program: a signal, or ``ReportedFailure`` if a line from a pipe failed.
  func run() throws {
    try session("begin", [editor.isInteractive ? "prompt" : "stdin"])
    if editor.isInteractive {
      for line in history.read() { editor.remember(line) }
      print("lunerv \(Version.text): help(), Ctrl-D leaves")
    }
    while true {
      if LuaInterrupt.wasRequested { try settle(nil) }
      switch editor.read(isContinued ? "  > " : "lv> ") {
      case .text(let line):
        if try isLast(line) { return }
      case .stopped:
        if editor.isInteractive { print("^C") }
        try settle(nil)
      case .end:
        if editor.isInteractive { print() }
        if isContinued { try feed("", isEnd: true) }
        if hasFailed, !editor.isInteractive { throw ReportedFailure() }
        return
      }
    }
  }

  private func isLast(_ line: String) throws -> Bool {
    let word = line.filter { $0 != " " }
    if !isContinued, ["exit", "quit", "exit()", "quit()"].contains(word) { return true }
    try feed(line, isEnd: false)
    return false
  }

  private func feed(_ line: String, isEnd: Bool) throws {
    do {
      let answer = try session("feed", isEnd ? [line, "end"] : [line])
      guard case .string(let state) = answer.first else { return }
      isContinued = state == "more"
      if state == "failed" { hasFailed = true }
      if editor.isInteractive, case .array(let lines) = answer.dropFirst().first {
        for case .string(let line) in lines {
          editor.remember(line)
          history.add(line)
        }
      }
    } catch let error as LunervError where error.kind == .interrupted {
      try settle(error)
    }
  }

  /// Continues after Ctrl-C. Any other signal, and Ctrl-C without a terminal, ends the program.
  private func settle(_ error: LunervError?) throws {
    guard editor.isInteractive, LuaInterrupt.signal == SIGINT else {
      throw error ?? LunervError(.interrupted, "interrupted")
    }
    LuaInterrupt.clear()
    isContinued = false
    fflush(stdout)
    if let error { fputs("\(error.text)\n", stderr) }
    try session("drop", [])
  }

  private func complete(_ text: String) -> LineEditor.Completion {
    guard let found = try? session("complete", [text]), found.count == 2,
      case .string(let insertion) = found[0], case .string(let list) = found[1]
    else { return LineEditor.Completion() }
    return LineEditor.Completion(insertion: insertion, list: list)
  }

  @discardableResult
  private func session(_ function: String, _ arguments: [String]) throws -> [LuaValue] {
    try host.lua.run(
      source: "return require('lunerv.repl.session').\(function)(...)",
      chunkName: "@lunerv:command.lua", arguments: arguments)
  }
}
