@preconcurrency import Glibc
import Kernels
import LuaBridge
import Support
import Synchronization
import Tensors

/// A confined process that decodes a file: it receives the file's bytes and returns the requested
/// frames. Whatever it does, the parent gets only frames of the expected size, or an error that
/// names the section.
///
///                                        ← an answer without bytes: it is confined
///     → number of bytes, the file        ← an answer without bytes
///     → a frame's index, from 1          ← an answer with 1·3·height·width floats
///
///     answer: one byte, then a number, then the bytes if the number is their count
///         0   success and its bytes
///         1   an error and its message
///         2   no answer yet: the process begins another segment or frame for this one
///         3   it crashes; the number is that of `lunerv_report_crashes`
///
/// Numbers have eight bytes, lowest first.
final class DecoderProcess: LuaObject {
  static var luaName: String { "decoder_process" }
  /// The argument that makes the program such a process.
  static let command = "decoder-program"

  struct Clip {
    var height: Int
    var width: Int
    var frames: Int
  }

  private let clip: Clip
  private let limits: DecoderLimits
  /// The section that errors of the process name.
  private let section: String
  private var socket: Int32 = -1
  private var process: pid_t = 0
  /// The frame that the process is making ahead of time.
  private var ahead: Int?
  /// The frame that was returned last.
  private var last = -1
  /// Why it ended, if that happened between requests.
  private var failure: (any Error)?
  /// When an answer is due, and how often that may still be extended.
  private var deadline = 0.0
  private var extensions = 0
  private var isStarting = true
  /// Whether it has confirmed that it is confined.
  private var isConfined = false

  /// The number of running processes.
  private static let living = Atomic<Int>(0)

  /// - Parameter isStrict: whether every step of confinement must succeed.
  init(
    file: [UInt8], clip: Clip, limits: DecoderLimits, section: String, isStrict: Bool
  ) throws {
    (self.clip, self.limits, self.section) = (clip, limits, section)
    try start(isStrict: isStrict)
    DecoderProcess.living.wrappingAdd(1, ordering: .relaxed)
    expectAnswer(limits.start)
    try receiveHead(expecting: 0)
    isConfined = true
    try send(number: file.count)
    try file.withUnsafeBytes(send)
    try receiveHead(expecting: 0)
  }

  deinit { close() }

  func frame(_ i: Int) throws -> Tensor {
    if let failure { throw failure }
    guard process > 0 else { throw LunervError(.argument, "the process of the decoder has ended") }
    if ahead != i {
      if ahead != nil { _ = try receiveFrame() }
      try ask(for: i)
    }
    let frame = try receiveFrame()
    // The next frame is made while the caller works on this one.
    ahead = nil
    let isInOrder = i == last + 1
    last = i
    if isInOrder, i + 1 < clip.frames {
      // This frame is valid even if the process has ended since.
      do { try ask(for: i + 1) } catch { failure = error }
    }
    return frame
  }

  private func ask(for i: Int) throws {
    expectAnswer(limits.frame)
    isStarting = false
    try send(number: i + 1)
    ahead = i
  }

  private func receiveFrame() throws -> Tensor {
    // Allocates first: if that fails, the stream is still at a whole answer.
    let (frame, pixels) = try Tensor.emptyImage(height: clip.height, width: clip.width)
    // The caller may not have looked for a long time.
    extendDeadline(limits.frame)
    try receiveHead(expecting: DecoderLimits.frameBytes(clip.height, clip.width))
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
      DecoderProcess.living.wrappingSubtract(1, ordering: .relaxed)
    }
    process = 0
  }

  /// Lua sees objects of a few bytes that hold whole processes: this requests collections for them.
  private final class Pressure {
    private var survivors = 0
    private var isCollected = false

    /// Whether enough processes run that garbage should be collected before another starts.
    func wantsCollection() -> Bool {
      let living = DecoderProcess.living.load(ordering: .relaxed)
      if isCollected { survivors = living }
      isCollected = !isCollected && living >= survivors + 8
      return isCollected
    }
  }

  // MARK: - The process

  private func start(isStrict: Bool) throws {
    let program = try DecoderProgram.path()
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw DecoderProcess.cannotStart(errno) }
    socket = ends[0]
    defer { Glibc.close(ends[1]) }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // An action that was lost would leave the child this process's own streams.
    for code in [
      posix_spawn_file_actions_adddup2(&actions, ends[1], 0),
      posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0),
      posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0),
    ] where code != 0 { throw DecoderProcess.cannotStart(code) }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var (none, every) = (sigset_t(), sigset_t())
    sigemptyset(&none)
    sigfillset(&every)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &every)
    // A group of its own: a signal to the parent's group (Ctrl-C, a scheduler's warning) is for the
    // parent, which may ignore it. The kernel kills this process when the parent ends.
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes,
      Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

    let numbers = [
      ThreadPool.shared.threads, limits.memory, limits.start.work, limits.start.seconds,
      limits.frame.work, limits.frame.seconds, isStrict ? 1 : 0,
    ]
    let words =
      ["lunerv", DecoderProcess.command] + numbers.map { String($0) } + [Version.text]
    // One allocator arena: more would reserve address space for every thread.
    var settings = ["MALLOC_ARENA_MAX=1", "OPENBLAS_NUM_THREADS=1", "SWIFT_BACKTRACE=enable=no"]
    if let path = getenv("LD_LIBRARY_PATH") {
      settings.append("LD_LIBRARY_PATH=" + String(cString: path))
    }
    // The process ends with the thread that starts it, so a thread that lives as long starts it.
    let status = Starter.shared.run { [self] in
      withCStrings(words) { words in
        withCStrings(settings) { settings in
          posix_spawn(&process, program, &actions, &attributes, words, settings)
        }
      } ?? ENOMEM
    }
    guard status == 0 else {
      process = 0
      throw DecoderProcess.cannotStart(status)
    }
  }

  private static func cannotStart(_ code: Int32) -> LunervError {
    LunervError(
      .io, "cannot start a process for the decoder: \(String(cString: strerror(code)))")
  }

  private func problem(_ message: String) -> LunervError {
    LunervError(.data, "section '\(section)': \(message)")
  }

  /// The error for a process that ended without an answer.
  /// - Parameter crash: its own report (`lunerv_report_crashes`).
  private func silence(crash: UInt64? = nil) -> LunervError {
    if LuaInterrupt.wasRequested { return LunervError(.interrupted, "interrupted") }
    // A crashing process ends by itself; any other has closed its output, and is killed.
    var status: Int32 = 0
    var ended: pid_t = 0
    let patience = Environment.monotonicTime() + 2
    repeat {
      ended = waitpid(process, &status, WNOHANG)
      if ended == 0 { usleep(1000) }
    } while (ended == 0 || ended < 0 && errno == EINTR) && Environment.monotonicTime() < patience
    if ended == 0 {
      kill(process, SIGKILL)
      while waitpid(process, &status, 0) < 0 && errno == EINTR {}
      status = 0
    }
    process = 0
    DecoderProcess.living.wrappingSubtract(1, ordering: .relaxed)
    close()
    return problem(ending(signal: status & 0x7f, code: status >> 8 & 0xff, crash: crash))
  }

  private func ending(signal: Int32, code: Int32, crash: UInt64?) -> String {
    let share = isStarting ? limits.start : limits.frame
    switch signal {
    case SIGXCPU:
      return
        "it took more than \(share.seconds) seconds of processor time for \(isStarting ? "its start" : "a frame") (max_work is \(share.work); raise it to allow more)"
    case 0 where code != 0: return "its process ended with exit code \(code)"
    case 0: return "its process ended before its work was done"
    case SIGKILL:
      return "its process was killed, from outside or because the system ran out of memory"
    case SIGSYS: return "its process made a forbidden system call and was killed"
    default: break
    }
    let names = [
      SIGSEGV: "SIGSEGV", SIGBUS: "SIGBUS", SIGILL: "SIGILL", SIGFPE: "SIGFPE",
      SIGABRT: "SIGABRT", SIGTRAP: "SIGTRAP",
    ]
    let name = names[signal] ?? "signal \(signal)"
    if let crash, crash & 256 != 0 {
      return
        "its process ran out of memory (max_memory, \(limits.memory) bytes) and ended with \(name)"
    }
    return "its process crashed (\(name))"
  }

  // MARK: - Messages

  private func send(_ bytes: UnsafeRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      try wait(for: Int16(POLLOUT))
      let n = uninterrupted {
        Glibc.send(
          socket, bytes.baseAddress.map { $0 + done }, bytes.count - done,
          Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      }
      if n > 0 {
        done += n
      } else if errno != EAGAIN {
        // It may have sent the reason before it ended.
        try receiveHead(expecting: -1)
        throw silence()
      }
    }
  }

  /// Repeats a call that a signal interrupted. It does not wait again first: that could be
  /// interrupted for ever.
  private func uninterrupted(_ call: () -> Int) -> Int {
    while true {
      let n = call()
      if n >= 0 || errno != EINTR { return n }
    }
  }

  private func send(number: Int) throws {
    try withUnsafeBytes(of: UInt64(number).littleEndian) { try send($0) }
  }

  private func receive(_ bytes: UnsafeMutableRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      try wait(for: Int16(POLLIN))
      let n = uninterrupted {
        recv(socket, bytes.baseAddress.map { $0 + done }, bytes.count - done, 0)
      }
      if n > 0 {
        done += n
      } else if n == 0 || errno != EAGAIN {
        throw silence()
      }
    }
  }

  /// Sets the deadline of an answer: the processor time that the process may use, on a core that it
  /// shares with three others.
  private func expectAnswer(_ share: DecoderLimits.Share) {
    extensions = DecoderLimits.mostFrames + 1
    deadline = 0
    extendDeadline(share)
  }

  private func extendDeadline(_ share: DecoderLimits.Share) {
    let time = 4 * Double(share.seconds)
    deadline = max(deadline + time, Environment.monotonicTime() + 60 + time)
  }

  /// Waits until the socket is ready.
  private func wait(for events: Int16) throws {
    while true {
      var descriptor = pollfd(fd: socket, events: events, revents: 0)
      if poll(&descriptor, 1, 100) > 0 { return }
      if LuaInterrupt.isRequested {
        close()
        throw LunervError(.interrupted, "interrupted")
      }
      if Environment.monotonicTime() > deadline {
        close()
        throw problem("its process does not answer")
      }
    }
  }

  private func receiveHead(expecting expected: Int) throws {
    while true {
      var head = [UInt8](repeating: 0, count: 9)
      try head.withUnsafeMutableBytes(receive)
      let number = head[1...].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      switch head[0] {
      case 0 where Int(exactly: number) == expected: return
      case 1 where number <= 4096: throw try receiveError(Int(number))
      case 2 where number <= 1:
        // It may report progress only as often as its limits allow.
        isStarting = number == 0
        if extensions > 0 { extendDeadline(isStarting ? limits.start : limits.frame) }
        extensions -= 1
      case 3: throw silence(crash: number)
      default:
        close()
        throw problem("its process answered with \(number) bytes, not \(expected)")
      }
      if Environment.monotonicTime() > deadline {
        close()
        throw problem("its process does not answer")
      }
    }
  }

  private func receiveError(_ count: Int) throws -> LunervError {
    var message = [UInt8](repeating: 0, count: count)
    try message.withUnsafeMutableBytes(receive)
    close()
    // The text is untrusted: one line, under the name of a section.
    let text = String(decoding: message, as: UTF8.self)
    // Before confinement is confirmed, the file has not been seen: the error is not the file's.
    if !isConfined { return LunervError(.io, text.printable) }
    return namesSection(text) ? LunervError(.data, text.printable) : problem(text.printable)
  }

  /// Whether a message begins with "section '" or "segment 2, section '".
  private func namesSection(_ text: String) -> Bool {
    var rest = text[...]
    if rest.hasPrefix("segment "), let comma = rest.firstIndex(of: ","),
      rest[..<comma].dropFirst(8).allSatisfy(\.isNumber)
    {
      rest = rest[comma...].dropFirst(2)
    }
    return rest.hasPrefix("section '")
  }

  // MARK: - Lua

  private struct Options: LuaOptions {
    var maxWork: Double?
    var maxMemory: Double?
    var section = "decoder program"
    var confined = true
    static var luaFields: [LuaField<Options>] {
      [
        LuaField("max_work", \.maxWork), LuaField("max_memory", \.maxMemory),
        LuaField("section", \.section), LuaField("confined", \.confined),
      ]
    }
  }

  static func define(_ m: LuaModule) -> LuaClass<DecoderProcess> {
    let pressure = Pressure()
    m.define(
      "decoder_process", params: ["bytes", "height", "width", "frames", "options"],
      doc:
        "Decodes a file in a confined process: see :frame(i). Options: max_work, max_memory; section, which errors name; confined, false if confinement may be partial."
    ) { (file: LuaBytes, height: Int, width: Int, frames: Int, o: Options) in
      guard frames > 0 else { throw LunervError(.argument, "expected frames, got \(frames)") }
      func whole(_ n: Double?, _ name: String) throws -> Int? {
        guard let n else { return nil }
        guard !n.isNaN else { throw LunervError(.argument, "\(name): expected a number, got nan") }
        return Int(min(max(n, 1), 0x1p60))
      }
      let limits = try DecoderLimits(
        height: height, width: width, fileSize: file.bytes.count,
        work: whole(o.maxWork, "max_work"), memory: whole(o.maxMemory, "max_memory"))
      if pressure.wantsCollection() { throw LuaCollectFirst() }
      return try DecoderProcess(
        file: file.bytes, clip: Clip(height: height, width: width, frames: frames),
        limits: limits, section: o.section, isStrict: o.confined)
    }
    let c = LuaClass<DecoderProcess>()
    c.method("frame", params: ["i"], doc: "Frame i, (1, 3, height, width).") {
      (process: DecoderProcess, i: Int) -> Tensor in
      try process.frame(try position(i, count: process.clip.frames, "frame"))
    }
    c.method("close", doc: "Ends the process.", polls: false) { (process: DecoderProcess) in
      process.close()
    }
    return c
  }
}

/// A thread that lives as long as this process.
private final class Starter: @unchecked Sendable {
  static let shared = Starter()
  private let thread = SideThread()
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>

  private init() {
    mutex = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
  }

  /// Runs `body` there, or on this thread if none can be started.
  func run(_ body: @escaping () -> Int32) -> Int32 {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    var result: Int32 = 0
    guard thread.start({ result = body() }) else { return body() }
    try? thread.wait()
    return result
  }
}

/// Calls `body` with a null-terminated list of C strings.
private func withCStrings<R>(
  _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R?
) -> R? {
  var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
  defer { for p in pointers { free(p) } }
  // A missing one would end the list.
  guard pointers.allSatisfy({ $0 != nil }) else { return nil }
  pointers.append(nil)
  return pointers.withUnsafeMutableBufferPointer { list in
    guard let base = list.baseAddress else { fatalError("an empty list of strings") }
    return body(base)
  }
}
