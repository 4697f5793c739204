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
  private let worker = SideThread()

  init(_ clip: Clip) { self.clip = clip }

  deinit { worker.stop() }

  /// Frame `index` (from 0) as f32 (1, 3, H, W) in [0, 1].
  func frame(_ index: Int) throws -> Tensor {
    let began = Environment.monotonicTime()
    defer { waited += Environment.monotonicTime() - began }
    if let ready = slot, ready.index == index, !clip.isClosed {
      slot = nil
      if (try? worker.wait()) != nil { return ready.tensor }
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
      worker.start({ [clip] in try clip.withFrame(index) { Tensor.convert($0, to: pixels) } })
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
    try? worker.wait()
    slot = nil
  }
}
