@preconcurrency import Glibc
import Support
import Tensors
import VideoIO

/// A clip whose next frame is made ready on a thread of its own while the step before it is
/// computed: read (from disk where the cache does not fit memory) and turned into numbers.
///
/// At most one frame is ahead. Its memory is the arena's and belongs to the caller's thread,
/// which neither reads nor frees it before the worker is done; the worker touches nothing
/// else. What fails ahead of time is forgotten: whoever asks for the frame meets the error.
final class FrameAhead {
  let clip: Clip
  /// Seconds that callers of ``frame(_:)`` have waited so far.
  private(set) var waited = 0.0

  private struct Slot {
    let index: Int
    let tensor: Tensor
  }
  private var slot: Slot?
  private let worker = FrameWorker()

  init(_ clip: Clip) { self.clip = clip }

  deinit { worker.stop() }

  /// Frame `index` (from 0) as f32 (1, 3, H, W) in [0, 1].
  func frame(_ index: Int) throws -> Tensor {
    let began = Environment.monotonicTime()
    defer { waited += Environment.monotonicTime() - began }
    if let ready = slot, ready.index == index, !clip.isClosed {
      slot = nil
      if worker.wait() { return ready.tensor }
    }
    return try clip.withFrame(index) {
      try Tensor.image(u8: $0, height: clip.height, width: clip.width)
    }
  }

  /// Starts to make frame `index` ready; the one made ready before is dropped.
  func prefetch(_ index: Int) {
    guard slot?.index != index, index >= 0, index < clip.count, !clip.isClosed else { return }
    drop()
    clip.prefetch(index)
    guard let (tensor, pixels) = try? Tensor.emptyImage(height: clip.height, width: clip.width),
      worker.start(clip, index, pixels)
    else { return }
    slot = Slot(index: index, tensor: tensor)
  }

  func close() {
    drop()
    worker.stop()
    clip.close()
  }

  private func drop() {
    guard slot != nil else { return }
    _ = worker.wait()
    slot = nil
  }
}

/// One thread that converts one frame at a time; begun with the first frame.
private final class FrameWorker: @unchecked Sendable {
  private struct Job {
    let clip: Clip
    let index: Int
    let pixels: UnsafeMutableBufferPointer<Float>
  }
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>
  // Guarded by the mutex.
  private var job: Job?
  private var isBusy = false
  private var isGood = false
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

  /// Begins a frame; false where no thread can be had. The frame before has been waited for.
  func start(_ clip: Clip, _ index: Int, _ pixels: UnsafeMutableBufferPointer<Float>) -> Bool {
    guard thread != nil || launch() else { return false }
    locked {
      job = Job(clip: clip, index: index, pixels: pixels)
      isBusy = true
    }
    return true
  }

  /// Waits for the frame that was begun; whether it is there.
  func wait() -> Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while isBusy { pthread_cond_wait(changed, mutex) }
    return isGood
  }

  /// Ends the thread after the frame that it is at.
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
        Unmanaged<FrameWorker>.fromOpaque(raw).takeRetainedValue().loop()
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
      let good: Void? = try? next.clip.withFrame(next.index) {
        Tensor.convert($0, to: next.pixels)
      }
      locked {
        isBusy = false
        isGood = good != nil
      }
    }
  }

  private func nextJob() -> Job? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while job == nil, !isStopping { pthread_cond_wait(changed, mutex) }
    defer { job = nil }
    return job
  }
}
