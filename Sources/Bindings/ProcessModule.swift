@preconcurrency import Glibc
import Kernels
import LuaBridge
import Support
import Tensors

/// The process, for scripts: memory and threads, clocks, the terminal.
enum ProcessModule {
  static func define(_ m: LuaModule, _ session: Session) {
    resources(m, session)
    clocks(m)
    terminal(m)
  }

  private static func resources(_ m: LuaModule, _ session: Session) {
    m.define(
      "stats",
      doc: """
        Memory of tensors and of the process, and page faults, as counts by name.
        live_tensors and live_bytes count tensors in use; idle_bytes is memory kept for later
        tensors; tape_entries counts operators recorded for gradients; peak_rss_bytes and
        minor_faults are of the process.

            print(lv.stats().live_bytes)

        @return table<string, integer>
        """
    ) { () -> [String: Int] in
      let living = session.living
      return [
        "live_tensors": living.blocks, "live_bytes": living.bytes,
        "idle_bytes": Arena.idleBytes, "tape_entries": session.tapeEntries,
        "peak_rss_bytes": Environment.peakResidentBytes(),
        "minor_faults": Environment.pageFaults().minor,
      ]
    }
    m.define(
      "threads",
      doc: """
        How many threads share the work of an operator.

            print(lv.threads())
        """
    ) { () -> Int in ThreadPool.shared.threads }
    m.define(
      "set_threads", params: ["n"],
      doc: """
        Sets how many threads share the work of an operator.
        The default is all cores.

            lv.set_threads(2)

        @param n integer  from 1 to 256
        """
    ) { (n: Int) in
      guard (1...256).contains(n) else {
        throw LunervError(.argument, "set_threads: expected 1 to 256, got \(n)")
      }
      ThreadPool.shared.threads = n
    }
    m.define("interrupted", doc: "Whether the user asked to stop.", polls: false) {
      () -> Bool in LuaInterrupt.wasRequested
    }
  }

  private static func clocks(_ m: LuaModule) {
    m.define(
      "time",
      doc: """
        Seconds on a monotonic clock, to measure durations.

            local began = lv.time()
            print(lv.time() - began)
        """
    ) { () -> Double in Environment.monotonicTime() }
    m.define("wall_time", doc: "Seconds since 1970.") { () -> Double in Environment.wallTime() }
  }

  // MARK: - The terminal

  private static func terminal(_ m: LuaModule) {
    m.define("is_tty", params: ["stream"], doc: "Whether stdin, stdout or stderr is a terminal.") {
      (stream: String) -> Bool in
      switch stream {
      case "stdin": Environment.isTerminal(0)
      case "stdout": Environment.isTerminal(1)
      case "stderr": Environment.isTerminal(2)
      default: throw LunervError(.argument, "is_tty: unknown stream '\(stream)'")
      }
    }
    m.define(
      "stderr", params: ["text"],
      doc: "Writes to the error stream; control characters are escaped.", polls: false
    ) { (text: LuaBytes) in
      writeError(String(decoding: text.bytes, as: UTF8.self).harmless)
    }
    m.define(
      "printable", params: ["text"],
      doc: "The text with control characters escaped: for names and text from files.",
      polls: false
    ) { (text: LuaBytes) -> String in String(decoding: text.bytes, as: UTF8.self).harmless }
    m.define(
      "status_line", params: ["text"],
      doc: "Shows one line on the error stream's terminal, over the previous one.",
      polls: false
    ) { (text: String) in writeError("\r" + text.harmless + "\u{1B}[K") }
  }

  private static func writeError(_ text: String) {
    Array(text.utf8).withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let n = write(2, bytes.baseAddress.map { $0 + done }, bytes.count - done)
        if n < 0, errno == EINTR { continue }
        if n <= 0 { break }
        done += n
      }
    }
  }
}
