import Glibc
import Testing

/// Runs lunerv in a pseudo-terminal, as an interactive user sees it.
final class Terminal {
  private var pid: pid_t = 0
  private var master: Int32 = -1
  /// All output so far, unchanged.
  private(set) var bytes: [UInt8] = []
  /// The position at which the next ``expect(_:)`` starts searching, in the text without escape
  /// sequences.
  private var seen = 0

  /// - Parameter shell: a command line for sh instead of the program's arguments.
  init(
    _ scratch: Scratch, _ words: [String] = ["repl"], shell: String? = nil, columns: UInt16 = 80,
    environment: [String: String] = [:]
  ) throws {
    // The work of posix_openpt, unlockpt and ptsname, which Swift does not import.
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    var lock: Int32 = 0
    var number: UInt32 = 0
    let (setLock, getNumber): (UInt, UInt) = (0x4004_5431, 0x8004_5430)
    try #require(ioctl(master, setLock, &lock) == 0 && ioctl(master, getNumber, &number) == 0)
    let name = "/dev/pts/\(number)"
    var size = winsize(ws_row: 30, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
    // The size can be set once the other side is open.
    let side = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)
    try #require(ioctl(side, UInt(TIOCSWINSZ), &size) == 0)
    defer { close(side) }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // The first terminal that the leader of a new session opens becomes its controlling terminal.
    posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
    posix_spawn_file_actions_adddup2(&actions, 0, 1)
    posix_spawn_file_actions_adddup2(&actions, 0, 2)
    let newSession: Int32 = 0x80  // POSIX_SPAWN_SETSID, which Swift does not import
    var attributes = standardSignals(newSession)
    defer { posix_spawnattr_destroy(&attributes) }

    var variables = [
      "PATH": "/usr/bin:/bin", "HOME": scratch.path, "TERM": "xterm", "LANG": "C.UTF-8",
      "LUNERV_HISTORY": scratch["history"],
    ]
    for name in ["ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "LD_PRELOAD"] {
      variables[name] = getenv(name).map { String(cString: $0) }
    }
    variables.merge(environment) { $1 }
    let command = shell.map { ["/bin/sh", "-c", $0] } ?? [Program.path] + words
    var argv = command.map { strdup($0) } + [nil]
    var values = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { (argv + values).forEach { free($0) } }
    let status = posix_spawn(&pid, command[0], &actions, &attributes, &argv, &values)
    try #require(status == 0, "\(command[0]) does not start")
  }

  deinit {
    if pid > 0 {
      kill(pid, SIGKILL)
      var status: Int32 = 0
      waitpid(pid, &status, 0)
    }
    close(master)
  }

  func type(_ text: String) {
    let bytes = Array(text.utf8)
    #expect(write(master, bytes, bytes.count) == bytes.count)
  }

  /// The output without escape sequences and carriage returns.
  var text: String {
    var out: [UInt8] = []
    var i = 0
    while i < bytes.count {
      if bytes[i] == 0x1b, i + 1 < bytes.count, bytes[i + 1] == UInt8(ascii: "[") {
        i += 2
        while i < bytes.count, !(0x40...0x7e).contains(bytes[i]) { i += 1 }
      } else if bytes[i] == 0x1b {
        i += 1
      } else if bytes[i] != 13 {
        out.append(bytes[i])
      }
      i += 1
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// Reads output; false at the end, or if nothing arrived in time.
  private func read(until end: Double) -> Bool {
    var input = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
    guard poll(&input, 1, Int32(max(1000 * (end - now()), 0))) > 0 else { return false }
    var piece = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(master, &piece, piece.count)
    guard count > 0 else { return false }
    bytes += piece[..<count]
    return true
  }

  /// Waits until a text is shown after the previous match.
  @discardableResult
  func expect(_ wanted: String, within limit: Double = 30) -> Bool {
    let end = now() + limit
    while true {
      let shown = Array(text.utf8)
      let rest = String(decoding: shown[min(seen, shown.count)...], as: UTF8.self)
      if let range = rest.firstRange(of: wanted) {
        seen += rest[..<range.upperBound].utf8.count
        return true
      }
      guard read(until: end) else {
        Issue.record("'\(wanted)' was not shown in: \(text)")
        return false
      }
    }
  }

  /// Waits until the program has handled a Ctrl-C, after which it no longer catches one.
  func expectInterruptTaken(within limit: Double = 30) throws {
    let end = now() + limit
    while now() < end {
      let mask = try signalsCaught(by: pid)
      if mask & (1 << UInt64(SIGINT - 1)) == 0 { return }
      usleep(2000)
    }
    Issue.record("Ctrl-C was not taken")
  }

  /// Types a line at the prompt.
  func enter(_ line: String) {
    expect("lv> ")
    type(line + "\n")
  }

  /// Waits for the end. Returns the exit code, or 128 plus a signal.
  func exitCode(within limit: Double = 30) -> Int32 {
    let end = now() + limit
    while read(until: end) {}
    var status: Int32 = 0
    while waitpid(pid, &status, WNOHANG) == 0 {
      guard now() < end else {
        Issue.record("it did not end")
        return -1
      }
      usleep(2000)
    }
    pid = 0
    return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + status & 0x7f
  }
}
