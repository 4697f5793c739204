import CVector
import Kernels
import Support

/// The state of one owner of tensors: a tape, pending sums, limits of work and memory, random
/// numbers. Two owners in one process are independent; they share only the kernels' threads and
/// idle memory.
///
/// Each thread has one current session: the one set by ``use(_:)``, or else a default that all such
/// threads share. Only one thread at a time may use a session.
public final class Session {
  let tape = Tape()
  let memory = MemoryAccount()
  /// Pending sums over feature maps (Sweep.swift).
  var pendingSums: [PendingSums] = []
  /// Buffers for operands of few numbers (FewNumbers.swift).
  let fewNumbers = UnsafeMutablePointer<Float>.allocate(capacity: fewNumbersCapacity)

  /// The units of work that may still be computed; unlimited by default. See ``Work``.
  public var workLeft = Int.max
  public var random = Philox(seed: 0)
  /// The profiler; nil while none is running.
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

  /// Called before an operator records: whether it should; nil for always.
  public var recordingGate: (() -> Bool)? {
    get { tape.gate }
    set { tape.gate = newValue }
  }

  /// Called between the steps of a long call: the operators of a backward pass, a chain of pending
  /// convolutions. An error ends the call.
  public var betweenKernels: (() throws -> Void)? {
    get { tape.betweenKernels }
    set { tape.betweenKernels = newValue }
  }

  /// Living entries of the tape.
  public var tapeEntries: Int { tape.count }

  /// The limit in bytes on all living tensors of the session.
  public var memoryLimit: Int {
    get { memory.limit }
    set { memory.limit = newValue }
  }

  /// Runs `body` with this many bytes counted as tensors, for memory that it allocates elsewhere.
  public func reserving<R>(_ bytes: Int, _ body: () throws -> R) throws -> R {
    try Arena.reserve(bytes, for: memory)
    defer { Arena.giveBack(bytes, of: memory) }
    return try body()
  }

  /// - Throws: if a temporary allocation of this size outside tensors would exceed the limit on
  ///   tensors.
  public func checkRoom(for bytes: Int) throws { try memory.checkRoom(for: bytes) }

  /// The limit in bytes on a single tensor (2⁴⁰ by default).
  public var largestBlock: Int {
    get { memory.largestBlock }
    set { memory.largestBlock = newValue }
  }

  /// Bytes of the session's living tensors, and the number of blocks.
  public var living: (bytes: Int, blocks: Int) { Arena.living(memory) }
}
