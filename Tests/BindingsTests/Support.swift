import Glibc
import Testing

/// A folder that exists while a test runs.
final class Scratch {
  let path: String

  init() throws {
    var template = Array("/tmp/lunerv-robust-XXXXXX".utf8CString)
    path = try #require(mkdtemp(&template).map { String(cString: $0) })
  }

  deinit { Self.remove(path) }

  subscript(_ name: String) -> String { path + "/" + name }

  /// Writes a file and returns its path.
  @discardableResult
  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = try #require(fopen(self[name], "w"), "\(name) cannot be made")
    defer { fclose(file) }
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    return self[name]
  }

  @discardableResult
  func file(_ name: String, _ text: String) throws -> String { try file(name, Array(text.utf8)) }

  private static func remove(_ path: String) {
    var info = stat()
    guard lstat(path, &info) == 0 else { return }
    if info.st_mode & S_IFMT == S_IFDIR {
      for name in names(in: path) { remove(path + "/" + name) }
      rmdir(path)
    } else {
      unlink(path)
    }
  }
}

/// The names in a folder, including hidden ones, sorted; empty if there is no folder.
func names(in folder: String) -> [String] {
  guard let stream = opendir(folder) else { return [] }
  defer { closedir(stream) }
  var names: [String] = []
  while let entry = readdir(stream) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names.sorted()
}

func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

func bytes(of path: String) throws -> [UInt8] {
  let file = try #require(fopen(path, "r"), "\(path) cannot be read")
  defer { fclose(file) }
  var all: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 1 << 16)
  while case let count = fread(&piece, 1, piece.count, file), count > 0 { all += piece[..<count] }
  return all
}

func text(of path: String) throws -> String {
  String(decoding: try bytes(of: path), as: UTF8.self)
}

func lines(of text: String) -> [String] {
  text.split(separator: "\n", omittingEmptySubsequences: true).map(String.init)
}

/// The signals for which a process has a handler, signal n as bit n − 1.
func signalsCaught(by pid: pid_t) throws -> UInt64 {
  let status = lines(of: try text(of: "/proc/\(pid)/status"))
  let field = status.first { $0.hasPrefix("SigCgt:") }?.split(separator: "\t").last
  return try #require(field.flatMap { UInt64($0, radix: 16) })
}

/// Seconds on a clock that never goes back.
func now() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// The built command, next to the tests in the same build folder.
enum Program {
  static let path: String = {
    var name = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    guard readlink("/proc/self/exe", &name, Int(PATH_MAX)) > 0 else { return "" }
    let own = String(cString: name)
    return own.lastIndex(of: "/").map { own[...$0] + "lunerv" } ?? ""
  }()

  static var isBuilt: Bool { access(path, X_OK) == 0 }

  /// Where the repository is, from this file's own place in it.
  static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }

  static var regress: String { root + "/scripts/regress.lua" }
}

/// For suites that start the command.
extension Trait where Self == ConditionTrait {
  static var needsProgram: Self {
    .enabled(if: Program.isBuilt, "no lunerv next to the tests: build the whole package first")
  }
}

/// The result of a process.
struct Outcome {
  /// The exit code; 128 and the signal's number where one ended it.
  var code: Int32
  var out: String
  var err: String
  /// From the start, or from the signal that was sent, to the end.
  var seconds: Double
  /// The most memory that the process, or one that it waited for, has held at once.
  var peakBytes = 0

  var errorLines: [String] { lines(of: err) }
}

/// The factor of all time limits: sanitizers are slow.
let patience = getenv("LUNERV_TEST_PATIENCE").flatMap { Double(String(cString: $0)) } ?? 1

/// Whether a sanitizer runs, whose memory counts as the process's.
let isSanitized = getenv("ASAN_OPTIONS") != nil || getenv("TSAN_OPTIONS") != nil

/// A running lunerv, which ends with this object at the latest.
final class Running {
  private let scratch: Scratch
  private(set) var pid: pid_t = 0
  private var since = now()
  private static let counter = Counter()

  private final class Counter: @unchecked Sendable {
    private var mutex = pthread_mutex_t()
    private var value = 0
    init() { pthread_mutex_init(&mutex, nil) }
    func next() -> Int {
      pthread_mutex_lock(&mutex)
      defer { pthread_mutex_unlock(&mutex) }
      value += 1
      return value
    }
  }
  private let number = Running.counter.next()
  var outPath: String { scratch[".out-\(number)"] }
  var errPath: String { scratch[".err-\(number)"] }

  /// - Parameters:
  ///   - arguments: each without a NUL; as bytes, so that they need not be UTF-8.
  ///   - fileBlocks: no file may grow beyond this many blocks of 512 bytes.
  init(
    _ scratch: Scratch, bytes arguments: [[UInt8]], folder: String? = nil,
    fileBlocks: Int? = nil
  ) throws {
    self.scratch = scratch
    var words = [Array(Program.path.utf8)] + arguments
    let limit = fileBlocks.map { "ulimit -f \($0) && " } ?? ""
    let move = folder.map { "cd '\($0)' && " } ?? ""
    if !limit.isEmpty || !move.isEmpty {
      words = ["/bin/sh", "-c", limit + move + "exec \"$0\" \"$@\""].map { Array($0.utf8) } + words
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    let flags = O_WRONLY | O_CREAT | O_TRUNC
    posix_spawn_file_actions_addopen(&actions, 1, outPath, flags, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, errPath, flags, 0o600)
    var attributes = standardSignals()
    defer { posix_spawnattr_destroy(&attributes) }

    var argv = words.map { word in strdup(word.map { CChar(bitPattern: $0) } + [0]) } + [nil]
    defer { argv.forEach { free($0) } }
    // The embedded library, whatever the tests were started with.
    var environment: [UnsafeMutablePointer<CChar>?] = []
    var entry = environ
    while let variable = entry.pointee {
      if strncmp(variable, "LUNERV_STDLIB=", 14) != 0 { environment.append(variable) }
      entry += 1
    }
    environment.append(nil)
    let status = posix_spawn(
      &pid, String(decoding: words[0], as: UTF8.self), &actions, &attributes, &argv, &environment)
    try #require(status == 0, "lunerv does not start: \(String(cString: strerror(status)))")
  }

  deinit {
    guard pid > 0 else { return }
    kill(pid, SIGKILL)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
  }

  func send(_ signal: Int32) {
    since = now()
    kill(pid, signal)
  }

  /// Waits for the end; kills what takes longer than `limit` seconds.
  func outcome(within limit: Double = 60) throws -> Outcome {
    var status: Int32 = 0
    var usage = rusage()
    let end = now() + limit * patience
    while wait4(pid, &status, WNOHANG, &usage) == 0 {
      if now() > end {
        Issue.record("lunerv did not end within \(limit) seconds")
        kill(pid, SIGKILL)
        waitpid(pid, &status, 0)
        break
      }
      usleep(2000)
    }
    pid = 0
    let signal = status & 0x7f
    return Outcome(
      code: signal == 0 ? (status >> 8) & 0xff : 128 + signal, out: try text(of: outPath),
      err: try text(of: errPath), seconds: now() - since, peakBytes: usage.ru_maxrss * 1024)
  }

  /// Waits until a condition holds; false when the process ends first, or after `limit` seconds.
  func wait(within limit: Double = 30, until condition: () -> Bool) -> Bool {
    let end = now() + limit * patience
    while !condition() {
      var info = siginfo_t()
      let isOver =
        waitid(P_PID, id_t(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0
        && info.si_signo != 0
      if isOver || now() > end { return condition() }
      usleep(200)
    }
    return true
  }
}

/// Runs lunerv to its end.
func lunerv(
  _ scratch: Scratch, _ arguments: [String], folder: String? = nil, fileBlocks: Int? = nil
) throws -> Outcome {
  try Running(
    scratch, bytes: arguments.map { Array($0.utf8) }, folder: folder, fileBlocks: fileBlocks
  ).outcome()
}

/// Runs a line of the shell; its exit code.
func run(shell line: String) -> Int32 {
  let status = system(line)
  return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + status & 0x7f
}

func start(_ scratch: Scratch, _ arguments: [String]) throws -> Running {
  try Running(scratch, bytes: arguments.map { Array($0.utf8) })
}

/// Options of a model that trains a step in milliseconds.
let tiny = [
  "--model", "hnerv_boost", "--strides", "2,2", "--fc-dim", "8", "--enc-dim", "8,4",
  "--ch-t", "4", "--pe-levels", "8",
]

// MARK: - Clips

/// A Y4M clip in 4:4:4 that moves and is not flat.
func y4m(_ width: Int, _ height: Int, _ frames: Int) -> [UInt8] {
  var bytes = Array("YUV4MPEG2 W\(width) H\(height) F25:1 Ip A1:1 C444\n".utf8)
  for frame in 0..<frames {
    bytes += Array("FRAME\n".utf8)
    for plane in 0..<3 {
      for y in 0..<height {
        for x in 0..<width {
          bytes.append(UInt8(32 + (5 * x + 3 * y * (plane + 1) + 11 * frame) % 192))
        }
      }
    }
  }
  return bytes
}

/// The same with 10 bits per sample.
func y4mOfTenBits(_ width: Int, _ height: Int, _ frames: Int) -> [UInt8] {
  var bytes = Array("YUV4MPEG2 W\(width) H\(height) F25:1 Ip A1:1 C444p10 XYSCSS=444P10\n".utf8)
  for frame in 0..<frames {
    bytes += Array("FRAME\n".utf8)
    for i in 0..<(3 * width * height) {
      let sample = 128 + (7 * i + 13 * frame) % 700
      bytes += [UInt8(sample & 255), UInt8(sample >> 8)]
    }
  }
  return bytes
}

private func little(_ value: Int, _ count: Int) -> [UInt8] {
  (0..<count).map { UInt8(value >> (8 * $0) & 255) }
}

private func chunk(_ name: String, _ body: [UInt8]) -> [UInt8] {
  Array(name.utf8) + little(body.count, 4) + body + (body.count % 2 == 1 ? [0] : [])
}

/// Silence: a WAV file, not a video.
func wav() -> [UInt8] {
  let format =
    little(1, 2) + little(1, 2) + little(8000, 4) + little(8000, 4) + little(1, 2)
    + little(8, 2)
  let body =
    Array("WAVE".utf8) + chunk("fmt ", format)
    + chunk("data", [UInt8](repeating: 128, count: 4000))
  return chunk("RIFF", body)
}

/// An AVI of uncompressed pictures and a sound track; the width must be a multiple of 4.
func aviWithSound(_ width: Int, _ height: Int, _ frames: Int) -> [UInt8] {
  let picture = 3 * width * height
  let samples = 320  // 8000 per second, 25 pictures per second
  func list(_ name: String, _ body: [UInt8]) -> [UInt8] {
    chunk("LIST", Array(name.utf8) + body)
  }
  func stream(_ kind: String, scale: Int, rate: Int, length: Int, size: Int, _ format: [UInt8])
    -> [UInt8]
  {
    let header =
      Array(kind.utf8) + little(0, 4) + little(0, 4) + little(0, 4) + little(0, 4)
      + little(scale, 4) + little(rate, 4) + little(0, 4) + little(length, 4) + little(0, 4)
      + little(0, 4) + little(size, 4) + little(0, 8)
    return list("strl", chunk("strh", header) + chunk("strf", format))
  }
  let main =
    little(40000, 4) + little(0, 4) + little(0, 4) + little(0x10, 4)
    + little(frames, 4) + little(0, 4) + little(2, 4) + little(picture, 4) + little(width, 4)
    + little(height, 4) + little(0, 16)
  let bitmap =
    little(40, 4) + little(width, 4) + little(height, 4) + little(1, 2) + little(24, 2)
    + little(0, 4) + little(picture, 4) + little(0, 16)
  let wave =
    little(1, 2) + little(1, 2) + little(8000, 4) + little(8000, 4) + little(1, 2)
    + little(8, 2)
  let headers =
    chunk("avih", main)
    + stream("vids", scale: 1, rate: 25, length: frames, size: 0, bitmap)
    + stream("auds", scale: 1, rate: 8000, length: frames * samples, size: 1, wave)
  var movie: [UInt8] = []
  for frame in 0..<frames {
    movie += chunk("00db", (0..<picture).map { UInt8((7 * $0 + 31 * frame) % 251) })
    movie += chunk("01wb", [UInt8](repeating: 128, count: samples))
  }
  return chunk("RIFF", Array("AVI ".utf8) + list("hdrl", headers) + list("movi", movie))
}

/// Starts a child with the usual signals: a test runner may block some, and children inherit
/// that.
func standardSignals(_ flags: Int32 = 0) -> posix_spawnattr_t {
  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  var none = sigset_t()
  var standard = sigset_t()
  sigemptyset(&none)
  sigemptyset(&standard)
  for signal in [SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ] { sigaddset(&standard, signal) }
  posix_spawnattr_setsigmask(&attributes, &none)
  posix_spawnattr_setsigdefault(&attributes, &standard)
  posix_spawnattr_setflags(
    &attributes, Int16(Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF) | flags))
  return attributes
}
