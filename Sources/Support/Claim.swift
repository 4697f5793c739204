import Glibc

/// A file that says which process has a piece of work, of several that share a folder, on one machine
/// or many. The one that creates it has the piece; while it lives, a thread writes a new number into
/// the file every second, and who watches sees it beat. No clocks are compared.
///
/// What is held is given up when this goes. A process that dies leaves its file, which stands still.
public final class Claim: @unchecked Sendable {
  public let path: String
  private let descriptor: Descriptor
  private let head: [UInt8]
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let ended: UnsafeMutablePointer<pthread_cond_t>
  private var thread: pthread_t?
  // Guarded by the mutex.
  private var isEnding = false

  /// - Parameter owner: one line that tells who has it, for people.
  /// - Returns: nil where the file is there already.
  public static func take(_ path: String, owner: String) throws -> Claim? {
    guard !Files.isLink(path), !Files.exists(path) else { return nil }
    do {
      let file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_EXCL)
      return try Claim(path, file, owner)
    } catch {
      // Somebody else was faster, which O_EXCL alone decides.
      if Files.exists(path) { return nil }
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
    pthread_cond_init(ended, nil)
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
      unlink(path)
      throw LunervError(.io, "'\(path.printable)': cannot start a thread")
    }
    thread = id
  }

  deinit {
    release()
    pthread_cond_destroy(ended)
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
    ended.deallocate()
  }

  /// Ends the beat and removes the file. Harmless when called twice.
  public func release() {
    guard let thread else { return }
    self.thread = nil
    pthread_mutex_lock(mutex)
    isEnding = true
    pthread_cond_signal(ended)
    pthread_mutex_unlock(mutex)
    pthread_join(thread, nil)
    unlink(path)
  }

  private func beat(_ number: Int) throws {
    let bytes = head + Array("\(number)\n".utf8)
    try bytes.withUnsafeBytes { bytes in
      guard pwrite(descriptor.number, bytes.baseAddress, bytes.count, 0) == bytes.count else {
        throw Files.failure(path, "write")
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
      clock_gettime(CLOCK_REALTIME, &until)
      until.tv_sec += 1
      pthread_cond_timedwait(ended, mutex, &until)
      if isEnding { break }
      number += 1
      // A disk that is full for a while is no reason to stop working: who watches will tell.
      try? beat(number)
    }
    pthread_mutex_unlock(mutex)
  }
}
