import Glibc

/// A file that says which of several processes, on one machine or many, works on an item in a
/// shared folder. The process that creates the file has the claim. A thread writes a new number
/// into it every second, so others see that the process is alive without comparing clocks.
///
/// The claim is released when this object is, or when the process ends, even by Ctrl-C. A process
/// that is killed leaves its file, which no longer changes.
public final class Claim: @unchecked Sendable {
  public let path: String
  private let descriptor: Descriptor
  private let head: [UInt8]
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let ended: UnsafeMutablePointer<pthread_cond_t>
  private var thread: pthread_t?
  // Protected by the mutex.
  private var isEnding = false

  /// - Parameter owner: one line about the owner, for people.
  /// - Returns: nil if the file exists already.
  public static func take(_ path: String, owner: String) throws -> Claim? {
    guard !Files.isLink(path), !Files.exists(path) else { return nil }
    let file: Descriptor
    do { file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_EXCL) } catch {
      // Another process was faster; O_EXCL alone decides that.
      if Files.exists(path) { return nil }
      throw error
    }
    do { return try Claim(path, file, owner) } catch {
      unlink(path)
      throw error
    }
  }

  private init(_ path: String, _ file: Descriptor, _ owner: String) throws {
    self.path = path
    descriptor = file
    head = Array(owner.utf8.prefix(256).map { $0 < 32 ? 63 : $0 }) + [10]
    mutex = .allocate(capacity: 1)
    ended = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    // Not the clock that can be set: back by an hour, the claim would look dead for an hour.
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(ended, &attributes)
    pthread_condattr_destroy(&attributes)
    try beat(0)
    var id = pthread_t()
    let status = pthread_create(
      &id, nil,
      { context in
        guard let context else { return nil }
        Unmanaged<Claim>.fromOpaque(context).takeUnretainedValue().run()
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
    guard status == 0 else {
      throw LunervError(.io, "'\(path.printable)': cannot start a thread")
    }
    thread = id
    Self.releaseAllAtExit
    Self.held.withLock { _ = $0.insert(path) }
  }

  private static let held = Guarded<Set<String>>([])
  private static let releaseAllAtExit: Void = {
    atexit {
      for path in Claim.held.withLock({ $0 }) { unlink(path) }
    }
  }()

  deinit {
    release()
    pthread_cond_destroy(ended)
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
    ended.deallocate()
  }

  /// Stops the thread and removes the file. Harmless when called twice.
  public func release() {
    guard let thread else { return }
    self.thread = nil
    pthread_mutex_lock(mutex)
    isEnding = true
    pthread_cond_signal(ended)
    pthread_mutex_unlock(mutex)
    pthread_join(thread, nil)
    Self.held.withLock { _ = $0.remove(path) }
    unlink(path)
  }

  private func beat(_ number: Int) throws {
    let bytes = head + Array("\(number)\n".utf8)
    try bytes.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
        let written = pwrite(descriptor.number, rest.baseAddress, rest.count, off_t(done))
        if written < 0, errno != EINTR { throw Files.failure(path, "write") }
        done += max(0, written)
      }
    }
  }

  private func run() {
    // Signals are for the thread that runs the script.
    var every = sigset_t()
    sigfillset(&every)
    pthread_sigmask(SIG_BLOCK, &every, nil)
    var number = 0
    pthread_mutex_lock(mutex)
    while !isEnding {
      var until = timespec()
      clock_gettime(CLOCK_MONOTONIC, &until)
      until.tv_sec += 1
      pthread_cond_timedwait(ended, mutex, &until)
      if isEnding { break }
      number += 1
      // A full disk is no reason to stop. If it stays full, others will see a claim that is dead.
      try? beat(number)
    }
    pthread_mutex_unlock(mutex)
  }
}
