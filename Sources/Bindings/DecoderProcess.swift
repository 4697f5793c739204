import CSandbox
@preconcurrency import Glibc
import Kernels
import LuaBridge
import Support
import Tensors

/// What a decoder that came in a file may use, unless its user allows something else.
struct DecoderLimits: Sendable {
  /// Units of ``Work``.
  var work: Int
  /// Bytes of tensors.
  var memory: Int

  /// Two million multiplications a pixel, twenty times what the published decoder of 1.5 million
  /// parameters takes, and a thousand numbers.
  init(height: Int, width: Int, frames: Int, work: Int?, memory: Int?) {
    let pixels = height * width
    self.work = work ?? (1 << 33) + pixels * frames * (1 << 21)
    self.memory = min(memory ?? (1 << 29) + pixels * (1 << 12), Environment.memory())
  }

  /// Time that so much work takes on one slow core; the start included.
  var processorSeconds: Int { 2 + min(work, 1 << 50) / 500_000_000 }
}

/// A process of its own, without rights, that runs the decoder a file brought along: it gets the
/// file's bytes, and gives the frames it is asked for. Whatever it does, here only frames of the
/// expected size arrive, or an error that names the program.
///
///     → number of bytes, the file          ← an answer without bytes
///     → a frame's index, from 1            ← an answer with 1·3·height·width floats
///     answer: one byte, 0 for success and 1 for an error message; number of bytes, the bytes
///
/// Numbers have eight bytes, the lowest first.
final class DecoderProcess: LuaObject {
  static var luaName: String { "decoder_process" }
  /// What the program is called with to become such a process.
  static let command = "decoder-program"

  private let height: Int
  private let width: Int
  private let frames: Int
  private let limits: DecoderLimits
  private var socket: Int32 = -1
  private var process: pid_t = 0
  /// The frame that the process is at work on, ahead of time.
  private var ahead: Int?

  init(file: [UInt8], height: Int, width: Int, frames: Int, limits: DecoderLimits) throws {
    (self.height, self.width, self.frames, self.limits) = (height, width, frames, limits)
    try start()
    try send(number: file.count)
    try file.withUnsafeBytes(send)
    try receiveHead(expecting: 0)
  }

  deinit { close() }

  func frame(_ i: Int) throws -> Tensor {
    guard process > 0 else { throw LunervError(.argument, "the decoder program has ended") }
    if ahead != i {
      if ahead != nil { _ = try receiveFrame() }
      try send(number: i + 1)
    }
    let frame = try receiveFrame()
    // Most read on: the next is made while this one is looked at.
    ahead = i + 1 < frames ? i + 1 : nil
    if ahead != nil { try send(number: i + 2) }
    return frame
  }

  private func receiveFrame() throws -> Tensor {
    try receiveHead(expecting: 12 * height * width)
    let (frame, pixels) = try Tensor.emptyImage(height: height, width: width)
    try receive(UnsafeMutableRawBufferPointer(pixels))
    return frame
  }

  /// Ends the process.
  func close() {
    if socket >= 0 { Glibc.close(socket) }
    socket = -1
    if process > 0 {
      kill(process, SIGKILL)
      var status: Int32 = 0
      while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    }
    process = 0
  }

  // MARK: - The process

  private func start() throws {
    let program = try DecoderProgram.path()
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw DecoderProcess.cannotStart(errno) }
    socket = ends[0]
    defer { Glibc.close(ends[1]) }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var (none, every) = (sigset_t(), sigset_t())
    sigemptyset(&none)
    sigfillset(&every)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &every)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))

    let words =
      ["lunerv", DecoderProcess.command]
      + [ThreadPool.shared.threads, limits.work, limits.memory, limits.processorSeconds].map {
        String($0)
      } + [Version.text]
    // One allocator arena: the others would reserve address space for every thread.
    var settings = ["MALLOC_ARENA_MAX=1", "OPENBLAS_NUM_THREADS=1", "SWIFT_BACKTRACE=enable=no"]
    if let path = getenv("LD_LIBRARY_PATH") {
      settings.append("LD_LIBRARY_PATH=" + String(cString: path))
    }
    let status = withCStrings(words) { words in
      withCStrings(settings) { settings in
        posix_spawn(&process, program, &actions, &attributes, words, settings)
      }
    }
    guard status == 0 else {
      process = 0
      throw DecoderProcess.cannotStart(status)
    }
  }

  private static func cannotStart(_ code: Int32) -> LunervError {
    LunervError(
      .io, "cannot start a process for the decoder program: \(String(cString: strerror(code)))")
  }

  private static func failure(_ message: String) -> LunervError {
    LunervError(.data, "section 'decoder program': \(message)")
  }

  /// The error of a process that fell silent: why it ended.
  private func silence() -> LunervError {
    if LuaInterrupt.wasRequested { return LunervError(.interrupted, "interrupted") }
    kill(process, SIGKILL)  // changes nothing where it has ended already
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    process = 0
    close()
    let signal = status & 0x7f
    switch signal {
    case SIGXCPU:
      return DecoderProcess.failure(
        "it took more than \(limits.processorSeconds) seconds of processor time, which follow from the work allowed (max_work, \(limits.work))"
      )
    case 0: return DecoderProcess.failure("its process ended before its work was done")
    case SIGKILL: return DecoderProcess.failure("its process was killed")
    default:
      return DecoderProcess.failure(
        "its process died of signal \(signal), as it does for want of memory (max_memory, \(limits.memory) bytes)"
      )
    }
  }

  // MARK: - Talking

  private func send(_ bytes: UnsafeRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      try wait(for: Int16(POLLOUT))
      let n = Glibc.send(
        socket, bytes.baseAddress.map { $0 + done }, bytes.count - done,
        Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      if n > 0 {
        done += n
      } else if errno != EINTR && errno != EAGAIN {
        throw silence()
      }
    }
  }

  private func send(number: Int) throws {
    try withUnsafeBytes(of: UInt64(number).littleEndian) { try send($0) }
  }

  private func receive(_ bytes: UnsafeMutableRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      try wait(for: Int16(POLLIN))
      let n = recv(socket, bytes.baseAddress.map { $0 + done }, bytes.count - done, 0)
      if n > 0 {
        done += n
      } else if n == 0 || errno != EINTR && errno != EAGAIN {
        throw silence()
      }
    }
  }

  /// Waits until the socket is ready, for no longer than the process could be at work while it
  /// shares its core with three others.
  private func wait(for events: Int16) throws {
    let deadline = Environment.monotonicTime() + 60 + 4 * Double(limits.processorSeconds)
    while true {
      var descriptor = pollfd(fd: socket, events: events, revents: 0)
      if poll(&descriptor, 1, 100) > 0 { return }
      if LuaInterrupt.isRequested {
        close()
        throw LunervError(.interrupted, "interrupted")
      }
      if Environment.monotonicTime() > deadline {
        close()
        throw DecoderProcess.failure("its process does not answer")
      }
    }
  }

  private func receiveHead(expecting expected: Int) throws {
    var head = [UInt8](repeating: 0, count: 9)
    try head.withUnsafeMutableBytes(receive)
    let count = head[1...].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    if head[0] == 0, count == UInt64(expected) { return }
    guard head[0] == 1, count <= 4096 else {
      close()
      throw DecoderProcess.failure("its process answered with \(count) bytes, not \(expected)")
    }
    var message = [UInt8](repeating: 0, count: Int(count))
    try message.withUnsafeMutableBytes(receive)
    close()
    // What a stranger wrote: one line, and under the name of a section.
    let text = String(decoding: message, as: UTF8.self)
    let known = text.hasPrefix("section '") ? "" : "section 'decoder program': "
    throw LunervError(.data, known + text.printable)
  }

  // MARK: - Lua

  private struct Limits: LuaOptions {
    var maxWork: Double?
    var maxMemory: Double?
    static var luaFields: [LuaField<Limits>] {
      [LuaField("max_work", \.maxWork), LuaField("max_memory", \.maxMemory)]
    }
  }

  static func define(_ m: LuaModule) -> LuaClass<DecoderProcess> {
    m.define(
      "decoder_process", params: ["bytes", "height", "width", "frames", "options"],
      doc:
        "Runs the decoder that a file brought along in a process without rights; ask it for :frame(i). Options max_work, max_memory."
    ) { (file: LuaBytes, height: Int, width: Int, frames: Int, o: Limits) in
      guard height > 0, width > 0, frames > 0, max(height, width) <= 1 << 16,
        height * width <= 1 << 28, frames <= (1 << 36) / (height * width)
      else {
        throw failure("frames of \(width)×\(height) are too large")
      }
      func whole(_ n: Double?) -> Int? { n.map { Int(min(max($0, 1), 0x1p60)) } }
      return try DecoderProcess(
        file: file.bytes, height: height, width: width, frames: frames,
        limits: DecoderLimits(
          height: height, width: width, frames: frames, work: whole(o.maxWork),
          memory: whole(o.maxMemory)))
    }
    let c = LuaClass<DecoderProcess>()
    c.method("frame", params: ["i"], doc: "Frame i, (1, 3, height, width).") {
      (process: DecoderProcess, i: Int) -> Tensor in
      try process.frame(try position(i, count: process.frames, "frame"))
    }
    c.method("close", doc: "Ends the process.", polls: false) { (process: DecoderProcess) in
      process.close()
    }
    return c
  }
}

/// Calls `body` with a null-terminated list of C strings.
private func withCStrings<R>(
  _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
) -> R {
  var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
  defer { for p in pointers { free(p) } }
  return pointers.withUnsafeMutableBufferPointer { list in
    guard let base = list.baseAddress else { fatalError("an empty list of strings") }
    return body(base)
  }
}
