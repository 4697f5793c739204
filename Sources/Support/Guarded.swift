import Glibc

/// A value that one thread at a time may look at.
///
/// A mutex of pthreads: the one of Synchronization is out of ThreadSanitizer's sight, which would
/// report every use of what it guards.
public final class Guarded<Value>: @unchecked Sendable {
  // Unchecked because of the value: only `withLock` reaches it.
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

  /// Lends the value to `body`, which must not come here again.
  public func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(&value)
  }
}
