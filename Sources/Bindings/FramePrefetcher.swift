import Support
import Tensors
import VideoIO

/// A clip that prepares the next frame on its own thread during the current step: reads it (from
/// disk if the cache does not fit into memory) and converts it.
///
/// At most one frame is prepared. Its memory belongs to the caller's thread (it is the arena's),
/// which neither reads nor frees it before the worker is done; the worker touches nothing else. An
/// error ahead of time is dropped: it occurs again when the frame is requested.
final class FramePrefetcher {
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

  /// Starts to prepare frame `index`; a frame that was prepared before is dropped.
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
