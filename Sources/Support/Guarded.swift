import Glibc

/// A value that one thread at a time may access.
///
/// Uses a mutex of pthreads: ThreadSanitizer does not see the one of Synchronization, and would
/// report every use of the value.
public final class Guarded<Value>: @unchecked Sendable {
  // Unchecked because of the value, which only `withLock` accesses.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private var value: Value

  public init(_ value: Value) {
    self.value = value
    mutex = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  /// Lends the value to `body`, which must not call this again.
  public func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(&value)
  }
}
