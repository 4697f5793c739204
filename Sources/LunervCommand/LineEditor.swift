import CLineEditor
@preconcurrency import Glibc
import LuaBridge

/// Reads lines of standard input: with editing at a terminal that supports it, otherwise plain.
final class LineEditor {
  enum Line {
    case text(String)
    case end
    /// A signal asks for a stop.
    case stopped
  }

  /// What Tab inserts at the cursor, and what it shows below the line.
  struct Completion {
    var insertion = ""
    var list = ""
  }

  /// Whether standard input is a terminal.
  let isInteractive = isatty(0) == 1
  /// Called with the text before the cursor.
  var completer: (_ text: String) -> Completion = { _ in Completion() }

  private var editor: OpaquePointer?
  private var buffer: UnsafeMutablePointer<CChar>?
  private var capacity = 0
  private static let callbacks = lunerv_editor_callbacks(
    is_stopped: { LuaInterrupt.wasRequested }, claim_signals: { LuaInterrupt.claim() },
    complete: { editor, context in
      guard let context else { return }
      Unmanaged<LineEditor>.fromOpaque(context).takeUnretainedValue().complete(editor)
    })

  init(historyLimit: Int) {
    guard isInteractive, isatty(1) == 1 || isatty(2) == 1, LineEditor.canEdit else { return }
    LineEditor.useUTF8()
    editor = lunerv_editor_open(
      LineEditor.callbacks, Unmanaged.passUnretained(self).toOpaque(), isatty(1) == 0,
      Int32(historyLimit))
  }

  deinit {
    if let editor { lunerv_editor_close(editor) }
    free(buffer)
  }

  private static var canEdit: Bool {
    let terminal = getenv("TERM").map { String(cString: $0) } ?? ""
    return !["", "dumb"].contains(terminal)
  }

  /// libedit measures and writes characters by the locale, which may be plain ASCII.
  private static func useUTF8() {
    setlocale(LC_CTYPE, "")
    guard nl_langinfo(Int32(CODESET)).map({ String(cString: $0) }) != "UTF-8" else { return }
    setlocale(LC_CTYPE, "C.UTF-8")
  }

  func read(_ prompt: String) -> Line {
    fflush(stdout)
    guard let editor else { return readPlain(prompt) }
    var line: UnsafePointer<CChar>?
    var count = 0
    return LineEditor.line(lunerv_editor_read(editor, prompt, &line, &count), line, count)
  }

  private func readPlain(_ prompt: String) -> Line {
    if isInteractive, let stream = isatty(1) == 1 ? stdout : isatty(2) == 1 ? stderr : nil {
      fputs(prompt, stream)
      fflush(stream)
    }
    var count = 0
    let status = lunerv_plain_read(LineEditor.callbacks, &buffer, &capacity, &count)
    return LineEditor.line(status, buffer, count)
  }

  private static func line(
    _ status: lunerv_line_status, _ bytes: UnsafePointer<CChar>?, _ count: Int
  ) -> Line {
    switch status {
    case lunerv_line_read:
      let bytes = UnsafeRawBufferPointer(start: bytes, count: count)
      return .text(String(decoding: bytes, as: UTF8.self))
    case lunerv_line_stopped: return .stopped
    default: return .end
    }
  }

  /// Adds a line to the history of the arrow keys.
  func remember(_ line: String) {
    if let editor { lunerv_editor_remember(editor, line) }
  }

  private func complete(_ editor: OpaquePointer) {
    var count = 0
    let bytes = lunerv_editor_text(editor, &count)
    let text = String(
      decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
    let found = completer(text)
    if !found.insertion.isEmpty { lunerv_editor_insert(editor, found.insertion) }
    if !found.list.isEmpty { lunerv_editor_show(editor, found.list) }
  }
}
