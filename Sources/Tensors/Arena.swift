import Glibc
import Support

/// Allocates tensor memory. Freed blocks are cached and reused, so training steps after the first
/// touch no fresh page; `trim` returns idle blocks to the system.
public enum Arena {
  nonisolated(unsafe) private static var idle: [Int: [UnsafeMutableRawPointer]] = [:]
  nonisolated(unsafe) private static let mutex: UnsafeMutablePointer<pthread_mutex_t> = {
    let m = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    pthread_mutex_init(m, nil)
    return m
  }()
  nonisolated(unsafe) private static var kept = 0

  /// Idle bytes cached for later tensors.
  public static var idleBytes: Int { locked { kept } }

  static func living(_ account: MemoryAccount) -> (bytes: Int, blocks: Int) {
    locked { (account.live, account.count) }
  }

  private static func locked<R>(_ body: () throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  /// Sizes are rounded to eighths of a power of two: at most 12 % is wasted, and tensors of
  /// nearby sizes share blocks.
  static func rounded(_ bytes: Int) -> Int {
    if bytes <= 64 { return 64 }
    let step = max(64, (1 << (Int.bitWidth - 1 - (bytes - 1).leadingZeroBitCount)) / 8)
    return (bytes + step - 1) / step * step
  }

  static func allocate(_ bytes: Int, for account: MemoryAccount) throws -> (
    base: UnsafeMutableRawPointer, size: Int
  ) {
    let (largest, limit) = (account.largestBlock, account.limit)
    guard bytes >= 0, bytes <= largest else {
      throw LunervError(.memory, "a tensor of \(bytes) bytes exceeds the limit of \(largest)")
    }
    let size = rounded(bytes)
    let (isWithin, isTight) = locked {
      (account.live <= limit - size, account.live + kept > limit - size)
    }
    guard isWithin else {
      throw LunervError(
        .memory,
        "not enough memory: another \(bytes) bytes of tensors would exceed the limit of \(limit)")
    }
    let reused = locked { () -> UnsafeMutableRawPointer? in
      account.live += size
      account.count += 1
      if isExact { return nil }
      guard let p = idle[size]?.popLast() else { return nil }
      kept -= size
      return p
    }
    if let reused { return (reused, size) }
    if isTight { trim() }
    let needed = isExact ? max(bytes, 1) : size
    if let fresh = fresh(needed) { return (fresh, size) }
    trim()
    if let fresh = fresh(needed) { return (fresh, size) }
    locked { account.release(size) }
    throw LunervError(.memory, "not enough memory for a tensor of \(bytes) bytes")
  }

  /// Counts bytes that are allocated elsewhere.
  static func reserve(_ bytes: Int, for account: MemoryAccount) throws {
    try locked {
      guard bytes <= account.limit - account.live else {
        throw LunervError(
          .memory,
          "not enough memory: another \(bytes) bytes would exceed the limit of \(account.limit)")
      }
      account.live += bytes
    }
  }

  static func giveBack(_ bytes: Int, of account: MemoryAccount) {
    locked { account.live -= bytes }
  }

  static func note(_ size: Int, _ account: MemoryAccount, _ ledger: MemoryByOwner, _ owner: Int) {
    locked { ledger.take(size, owner, all: account.live) }
  }

  static func forget(_ size: Int, _ ledger: MemoryByOwner, _ owner: Int) {
    locked { ledger.give(size, owner) }
  }

  private static let large = 1 << 21

  #if FUZZ
    /// Each tensor has separate memory of its exact size, so that a sanitizer sees its end.
    private static let isExact = true
  #else
    private static let isExact = false
  #endif

  private static func fresh(_ size: Int) -> UnsafeMutableRawPointer? {
    if size >= large, !isExact {
      let p = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      guard let p, p != MAP_FAILED else { return nil }
      madvise(p, size, 14 /* MADV_HUGEPAGE: fewer faults on the first touch */)
      return p
    }
    var p: UnsafeMutableRawPointer?
    return posix_memalign(&p, 64, size) == 0 ? p : nil
  }

  static func release(_ base: UnsafeMutableRawPointer, size: Int, of account: MemoryAccount) {
    if isExact { free(base) }
    locked {
      account.release(size)
      if isExact { return }
      kept += size
      idle[size, default: []].append(base)
    }
  }

  /// Returns idle blocks to the system.
  public static func trim() {
    locked {
      for (size, blocks) in idle {
        for p in blocks { if size >= large { munmap(p, size) } else { free(p) } }
      }
      idle = [:]
      kept = 0
    }
  }
}

/// The bytes of a session's tensors, and their limit. Without one, Linux overcommits memory and
/// kills a process that touches too much. The arena's mutex protects the counts.
final class MemoryAccount {
  fileprivate(set) var live = 0
  fileprivate(set) var count = 0
  var largestBlock = 1 << 40
  var limit = Int.max

  fileprivate func release(_ size: Int) {
    live -= size
    count -= 1
  }

  /// - Throws: if a temporary allocation of this size outside tensors would exceed the limit on
  ///   tensors.
  func checkRoom(for bytes: Int) throws {
    let taken = Arena.living(self).bytes
    guard bytes <= largestBlock, taken <= limit - min(bytes, limit) else {
      throw LunervError(
        .memory, "not enough memory: another \(bytes) bytes would exceed the limit of \(limit)")
    }
  }
}

/// One block of the arena, freed with its last owner; or borrowed memory, which is then given back.
final class Storage {
  let base: UnsafeMutableRawPointer
  let size: Int

  private let account: MemoryAccount
  private let giveBack: (() -> Void)?
  /// The record that it is charged to, under the profiler.
  private var ledger: MemoryByOwner?
  private var owner = 0

  init(bytes: Int) throws {
    let session = Session.current
    account = session.memory
    giveBack = nil
    (base, size) = try Arena.allocate(bytes, for: account)
    if let profiler = session.profiler {
      (ledger, owner) = (profiler.memory, profiler.owner)
      Arena.note(size, account, profiler.memory, owner)
    }
  }

  /// Read-only memory that no session counts: ``Tensor`` copies it before writing.
  init(borrowed base: UnsafeMutableRawPointer, size: Int, giveBack: @escaping () -> Void) {
    (self.base, self.size, self.giveBack) = (base, size, giveBack)
    account = Session.current.memory
  }

  var isBorrowed: Bool { giveBack != nil }

  deinit {
    if let ledger { Arena.forget(size, ledger, owner) }
    if let giveBack { giveBack() } else { Arena.release(base, size: size, of: account) }
  }

  func pointer<T>(_ type: T.Type = T.self) -> UnsafeMutablePointer<T> {
    base.assumingMemoryBound(to: T.self)
  }
}
