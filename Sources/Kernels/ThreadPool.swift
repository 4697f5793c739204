import Glibc
import Synchronization

/// One persistent pool of threads for every kernel.
///
/// The caller splits work into numbered pieces, from shapes alone, and threads take pieces by
/// atomic ticket. So which thread computes a piece never changes a result, and a busy core only
/// means that the others take more tickets.
public final class ThreadPool: @unchecked Sendable {
  public static let shared = ThreadPool()

  private final class Job {
    let count: Int
    /// Not retained: a worker that wakes late may still hold the job after the call has returned,
    /// but it finds no ticket left and never reads this.
    let body: UnsafePointer<(Int) -> Void>
    let next = Atomic<Int>(0)
    let done = Atomic<Int>(0)

    init(count: Int, body: UnsafePointer<(Int) -> Void>) {
      self.count = count
      self.body = body
    }

    func work() {
      while true {
        let ticket = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if ticket >= count { return }
        body.pointee(ticket)
        done.wrappingAdd(1, ordering: .releasing)
      }
    }
  }

  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let wake: UnsafeMutablePointer<pthread_cond_t>
  private let generation = Atomic<Int>(0)
  private var job: Job?
  private var workers = 0
  private let wanted: Atomic<Int>
  private let busy = Atomic<Bool>(false)

  private init() {
    mutex = .allocate(capacity: 1)
    wake = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(wake, nil)
    wanted = Atomic(ThreadPool.availableCores)
  }

  /// The number of processors that are online.
  public static var availableCores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// How many threads, the caller's included, share the work: 1 to 256.
  public var threads: Int {
    get { wanted.load(ordering: .relaxed) }
    set { wanted.store(min(max(newValue, 1), 256), ordering: .relaxed) }
  }

  /// Runs `body(0)` … `body(count − 1)`, in any order and on any thread, and returns when all are
  /// done. A call from inside a piece, or during another thread's call, runs on its own thread
  /// alone.
  public func run(_ count: Int, _ body: (Int) -> Void) {
    let threads = self.threads
    if count <= 1 || threads == 1
      || busy.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged
        == false
    {
      for i in 0..<max(count, 0) { body(i) }
      return
    }
    defer { busy.store(false, ordering: .releasing) }
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { body in
        let job = Job(count: count, body: body)
        pthread_mutex_lock(mutex)
        while workers < threads - 1, startWorker() {}
        self.job = job
        generation.wrappingAdd(1, ordering: .releasing)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(mutex)
        job.work()
        var spins = 0
        while job.done.load(ordering: .acquiring) < count {
          spins += 1
          if spins > 200 { sched_yield() }
        }
      }
    }
  }

  /// Starts the threads, and returns when every one of them is running. A process that drops the
  /// right to create threads must not do so while one is only half started. Not to be called during
  /// another call.
  public func start() {
    let count = threads
    guard count > 1 else { return }
    let arrived = Atomic<Int>(0)
    run(count) { _ in
      arrived.wrappingAdd(1, ordering: .relaxed)
      // `workers` counts those that could be created, and earlier ones that have no piece.
      while arrived.load(ordering: .relaxed) < min(workers + 1, count) { sched_yield() }
    }
  }

  private func startWorker() -> Bool {
    let index = workers
    var thread = pthread_t()
    let box = Unmanaged.passRetained(WorkerStart(pool: self, index: index))
    let status = pthread_create(
      &thread, nil,
      { raw in
        guard let raw else { return nil }
        let start = Unmanaged<WorkerStart>.fromOpaque(raw).takeRetainedValue()
        start.pool.loop(index: start.index)
        return nil
      }, box.toOpaque())
    guard status == 0 else {
      box.release()
      return false
    }
    pthread_detach(thread)
    workers += 1
    return true
  }

  private final class WorkerStart {
    let pool: ThreadPool
    let index: Int
    init(pool: ThreadPool, index: Int) {
      self.pool = pool
      self.index = index
    }
  }

  private func loop(index: Int) {
    // Signals go to the thread that owns the Lua state.
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, nil)
    var seen = 0
    while true {
      // The next kernel usually follows within microseconds: spin before sleeping.
      var spins = 0
      while generation.load(ordering: .acquiring) == seen && spins < 2000 {
        spins += 1
        if spins > 500 { sched_yield() }
      }
      pthread_mutex_lock(mutex)
      while generation.load(ordering: .relaxed) == seen { pthread_cond_wait(wake, mutex) }
      seen = generation.load(ordering: .relaxed)
      let current = index < threads - 1 ? job : nil
      pthread_mutex_unlock(mutex)
      current?.work()
    }
  }
}
