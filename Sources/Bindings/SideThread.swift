@preconcurrency import Glibc

/// A thread beside the one that owns the Lua state, which does one thing at a time: reads the
/// next frame while a step computes, encodes the last one while the next is decoded. Begun
/// with its first job; never touches Lua or the tape.
final class SideThread: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>
  // Guarded by the mutex.
  private var job: (() throws -> Void)?
  private var isBusy = false
  private var failure: (any Error)?
  private var isStopping = false
  // The owner's alone.
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

  /// Begins a job; false where no thread can be had. The job before has been waited for.
  func start(_ job: @escaping () throws -> Void) -> Bool {
    guard thread != nil || launch() else { return false }
    locked {
      self.job = job
      isBusy = true
    }
    return true
  }

  /// Waits until the job that was begun, if any, is done; throws what it threw, once.
  func wait() throws {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while isBusy { pthread_cond_wait(changed, mutex) }
    defer { failure = nil }
    if let failure { throw failure }
  }

  /// Ends the thread after the job that it is at.
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
