@preconcurrency import Glibc
import Support

/// The lines typed at the prompt, kept across sessions. A file that cannot be read or written is
/// ignored.
struct History {
  static let limit = 1000
  /// Longer lines are not kept.
  private static let longest = 4096
  private let path: String?

  init() {
    func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
    func absolute(_ path: String?) -> String? { path.flatMap { $0.hasPrefix("/") ? $0 : nil } }
    if let named = variable("LUNERV_HISTORY") {
      path = named.isEmpty ? nil : named
    } else {
      let state =
        absolute(variable("XDG_STATE_HOME"))
        ?? absolute(variable("HOME")).map { $0 + "/.local/state" }
      path = state.map { $0 + "/lunerv/history" }
    }
  }

  /// The lines, oldest first. Trims the file if it has become long.
  func read() -> [String] {
    guard let path, let text = try? Files.readText(path, limit: 1 << 24) else { return [] }
    let lines = text.split(separator: "\n").map(String.init)
    let kept = Array(lines.suffix(History.limit))
    if lines.count > 2 * History.limit {
      try? Files.writeAtomically(path, text: kept.joined(separator: "\n") + "\n")
      chmod(path, 0o600)
    }
    return kept
  }

  /// Appends a line at once, since a session may be killed.
  func add(_ line: String) {
    guard let path, line.utf8.count <= History.longest else { return }
    try? Files.makeDirectories(Files.split(path).folder)
    // Readable by the user alone.
    let file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0o600)
    guard file >= 0 else { return }
    defer { close(file) }
    let bytes = Array((line + "\n").utf8)
    _ = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
  }
}
