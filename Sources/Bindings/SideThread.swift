@preconcurrency import Glibc

/// A second thread that does one job at a time: reads the next frame during a step, encodes the
/// last one while the next is decoded. It starts with its first job, and never touches Lua or the
/// tape.
final class SideThread: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>
  // Protected by the mutex.
  private var job: (() throws -> Void)?
  private var isBusy = false
  private var failure: (any Error)?
  private var isStopping = false
  // Only used by the owner.
  private var thread: pthread_t?

  init() {
    mutex = .allocate(capacity: 1)
    changed = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Begins a job; false if no thread can be started. The previous job must have been waited for.
  func start(_ job: @escaping () throws -> Void) -> Bool {
    guard thread != nil || launch() else { return false }
    locked {
      self.job = job
      isBusy = true
    }
    return true
  }

  /// Waits until the current job, if any, is done; rethrows its error once.
  func wait() throws {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while isBusy { pthread_cond_wait(changed, mutex) }
    defer { failure = nil }
    if let failure { throw failure }
  }

  /// Ends the thread after its current job.
  func stop() {
    guard let thread else { return }
    locked { isStopping = true }
    pthread_join(thread, nil)
    self.thread = nil
    isStopping = false
  }

  private func launch() -> Bool {
    var id = pthread_t()
    let status = pthread_create(
      &id, nil,
      { raw in
        guard let raw else { return nil }
        Unmanaged<SideThread>.fromOpaque(raw).takeRetainedValue().loop()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    guard status == 0 else {
      Unmanaged.passUnretained(self).release()
      return false
    }
    thread = id
    return true
  }

  private func locked(_ body: () -> Void) {
    pthread_mutex_lock(mutex)
    body()
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }

  private func loop() {
    // Signals belong to the thread that owns the Lua state.
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    while let next = nextJob() {
      var thrown: (any Error)?
      do { try next() } catch { thrown = error }
      locked {
        isBusy = false
        failure = thrown
      }
    }
  }

  private func nextJob() -> (() throws -> Void)? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while job == nil, !isStopping { pthread_cond_wait(changed, mutex) }
    defer { job = nil }
    return job
  }
}
