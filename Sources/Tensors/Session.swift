import CVector
import Kernels
import Support

/// What an owner of tensors has for itself: a tape, sums that wait, the work and the memory that
/// it may use, random numbers. Two owners in one process do not see each other; the kernels'
/// threads and idle memory they share.
///
/// Each thread has one session at a time: the one that ``use(_:)`` has made current, else one that
/// all such threads share. One thread at a time may use a session.
public final class Session {
  let tape = Tape()
  let memory = MemoryAccount()
  /// Sums over feature maps that wait for company (Sweep.swift).
  var waiting: [WaitingSums] = []
  /// Where operands of few numbers are put (FewNumbers.swift).
  let fewNumbers = UnsafeMutablePointer<Float>.allocate(capacity: fewNumbersCapacity)

  /// Units of work that what runs here may still compute; without end unless somebody sets a
  /// number. See ``Work``.
  public var workLeft = Int.max
  public var random = Philox(seed: 0)
  /// Measures what runs here; nil when nobody wants to know.
  public var profiler: Profiler?

  public init() {}

  deinit { fewNumbers.deallocate() }

  nonisolated(unsafe) private static let shared = Session()

  /// The session of this thread.
  public static var current: Session {
    guard let raw = lunerv_thread_session() else { return shared }
    return Unmanaged<Session>.fromOpaque(raw).takeUnretainedValue()
  }

  /// Makes this the thread's session until what it returns is called; calls nest.
  public func enter() -> () -> Void {
    let outer = lunerv_thread_session()
    lunerv_set_thread_session(Unmanaged.passUnretained(self).toOpaque())
    return { withExtendedLifetime(self) { lunerv_set_thread_session(outer) } }
  }

  /// Runs `body` with this as the thread's session.
  public func use<R>(_ body: () throws -> R) rethrows -> R {
    let leave = enter()
    defer { leave() }
    return try body()
  }

  /// Whether operators record for backward.
  public var isRecording: Bool {
    get { tape.isRecording }
    set { tape.isRecording = newValue }
  }

  /// Runs `body` without recording.
  public func unrecorded<R>(_ body: () throws -> R) rethrows -> R {
    let wasOn = tape.isOn
    tape.isOn = false
    defer { tape.isOn = wasOn }
    return try body()
  }

  /// Asked before an operator records; nil says always.
  public var recordingGate: (() -> Bool)? {
    get { tape.gate }
    set { tape.gate = newValue }
  }

  /// Called between the steps of what may take long in one call: the operators of a backward
  /// pass, a chain of pending convolutions. What it throws ends the call.
  public var betweenKernels: (() throws -> Void)? {
    get { tape.betweenKernels }
    set { tape.betweenKernels = newValue }
  }

  /// Living entries of the tape.
  public var tapeEntries: Int { tape.count }

  /// All living tensors of the session together stay below this many bytes.
  public var memoryLimit: Int {
    get { memory.limit }
    set { memory.limit = newValue }
  }

  /// Runs `body` with so many bytes counted as those of tensors: of what it takes elsewhere.
  public func reserving<R>(_ bytes: Int, _ body: () throws -> R) throws -> R {
    try Arena.reserve(bytes, for: memory)
    defer { Arena.giveBack(bytes, of: memory) }
    return try body()
  }
  /// - Throws: where so many bytes, which are no tensor's and are wanted for a moment, would exceed what
  ///   tensors may take.
  public func checkRoom(for bytes: Int) throws { try memory.checkRoom(for: bytes) }

  /// No single tensor may ask for more than this many bytes (2⁴⁰ unless set lower).
  public var largestBlock: Int {
    get { memory.largestBlock }
    set { memory.largestBlock = newValue }
  }

  /// Bytes of the session's living tensors, and how many blocks they are.
  public var living: (bytes: Int, blocks: Int) { Arena.living(memory) }
}
