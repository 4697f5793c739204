import Bindings
@preconcurrency import Glibc
import LuaBridge
import Support

/// Runs a script again after each change of the files that it uses.
///
/// Each run is a process of its own, which lists the files that it reads (`lunerv.watch`), one per
/// line: "code" or "data", a fingerprint of its content, and its path.
struct Watch {
  let script: String
  let arguments: [String]
  private static let variable = "LUNERV_WATCHED"
  private static let pause: UInt32 = 100_000
  /// Seconds that a run has to save its work.
  private static let patience = 10.0

  private struct File {
    var isCode: Bool
    var stamp: String?
  }

  init(script: String, arguments: [String]) {
    self.script = script
    self.arguments = arguments
  }

  /// In the process of a run: makes the host list the files that the script reads.
  static func reportReads(of host: Host) throws {
    guard let list = getenv(variable).map({ String(cString: $0) }) else { return }
    unsetenv(variable)
    try host.lua.run(
      source: "require('lunerv.watch').report(...)", chunkName: "@lunerv:command.lua",
      arguments: [list])
  }

  /// - Throws: if a signal asks for a stop.
  func run() throws {
    LuaInterrupt.install()
    var template = Array("/tmp/lunerv-watch-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    guard descriptor >= 0 else { throw LunervError(.io, "no temporary file can be made in /tmp") }
    close(descriptor)
    let list = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    defer { unlink(list) }
    while true {
      truncate(list, 0)
      var files = [script: File(isCode: true, stamp: Files.stamp(script))]
      let child = try start(list)
      let status = try wait(for: child, list, &files)
      if let status {
        for (path, file) in files where !file.isCode { files[path]?.stamp = Files.stamp(path) }
        say(status == 0 ? "done" : "ended with \(status)")
        while changed(files, codeOnly: false) == nil { try sleep() }
      }
      if let path = changed(files, codeOnly: false) { say("\(path.printable) changed") }
    }
  }

  private func say(_ text: String) { fputs("watch: \(text)\n", stderr) }

  private func sleep() throws {
    usleep(Watch.pause)
    if LuaInterrupt.wasRequested { throw LunervError(.interrupted, "watch") }
  }

  private func start(_ list: String) throws -> pid_t {
    let words = ["lunerv", "run", script] + arguments
    var argv = words.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    setenv(Watch.variable, list, 1)
    defer { unsetenv(Watch.variable) }
    var child = pid_t()
    let status = posix_spawn(&child, "/proc/self/exe", nil, nil, &argv, environ)
    guard status == 0 else {
      throw LunervError(.io, "cannot start lunerv: \(String(cString: strerror(status)))")
    }
    return child
  }

  /// Waits until a run has ended, and returns its exit code; nil if a change of code ended it.
  private func wait(for child: pid_t, _ list: String, _ files: inout [String: File]) throws
    -> Int32?
  {
    while true {
      var status: Int32 = 0
      if waitpid(child, &status, WNOHANG) == child {
        note(list, &files)
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + status & 0x7f
      }
      note(list, &files)
      if changed(files, codeOnly: true) != nil {
        end(child)
        return nil
      }
      do {
        try sleep()
      } catch {
        end(child)
        throw error
      }
    }
  }

  private func end(_ child: pid_t) {
    kill(child, SIGTERM)
    let limit = Environment.monotonicTime() + Watch.patience
    var status: Int32 = 0
    while waitpid(child, &status, WNOHANG) == 0 {
      if Environment.monotonicTime() > limit { kill(child, SIGKILL) }
      usleep(Watch.pause / 10)
    }
  }

  /// Adds what the run has listed so far.
  private func note(_ list: String, _ files: inout [String: File]) {
    guard let text = try? Files.readText(list) else { return }
    for line in text.split(separator: "\n") {
      let words = line.split(separator: "\t", maxSplits: 2).map(String.init)
      guard words.count == 3, files[words[2]] == nil else { continue }
      files[words[2]] = File(isCode: words[0] == "code", stamp: words[1])
    }
  }

  /// A file that exists and differs from before. An editor may remove one for a moment.
  private func changed(_ files: [String: File], codeOnly: Bool) -> String? {
    files.first { path, file in
      guard file.isCode || !codeOnly, let stamp = Files.stamp(path) else { return false }
      return stamp != file.stamp
    }?.key
  }
}
