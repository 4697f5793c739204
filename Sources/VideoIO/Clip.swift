@preconcurrency import Glibc
import Support

/// A video whose frames are decoded once and then read in any order.
///
/// Frames are planar RGB bytes (3, height, width) and count from 0. Up to `cacheBytes` of them stay
/// in memory. The others are spilled to an unlinked temporary file that is mapped, of which few
/// frames are resident. Safe to use from several threads.
public final class Clip: Sendable {
  public let path: String
  public let width: Int
  public let height: Int
  /// Number of frames, at least 1.
  public let count: Int
  /// When each frame is shown, relative to the first: exact and increasing.
  public let times: [FrameTime]
  /// Frames per second; the average if the rate varies.
  public let frameRate: Rational
  /// The unit of the exact times, in seconds.
  public let timeBase: Rational
  public let hasAudio: Bool
  /// Warnings for the user: "audio dropped" and the like.
  public let warnings: [String]

  /// When each frame is shown, in seconds.
  public var timestamps: [Double] { times.map(\.seconds) }

  private struct State: @unchecked Sendable {
    var store: FrameStore?
    var isClosed = false
    /// How many bodies of ``withFrame(_:_:)`` are running.
    var readers = 0
  }
  private let state: Guarded<State>

  /// Opens and decodes a video.
  ///
  /// - Parameters:
  ///   - cacheBytes: memory for frames; nil is a quarter of the machine's.
  ///   - cacheDirectory: where frames beyond that are spilled; nil is `TMPDIR` or `/var/tmp`.
  ///
  /// Throws what ``VideoReader`` throws, and `.io` if the cache cannot be written (a full disk).
  public init(
    path: String, options: VideoOptions = VideoOptions(), cacheBytes: Int? = nil,
    cacheDirectory: String? = nil
  ) throws {
    let reader = try VideoReader(path: path, options: options)
    let store = FrameStore(
      blockBytes: reader.frameBytes, memoryBytes: cacheBytes ?? Environment.memory() / 4,
      folder: cacheDirectory ?? Self.temporaryFolder())
    var times: [FrameTime] = []
    while let time = try reader.next(into: store.space()) {
      try store.commit()
      times.append(time)
    }
    try store.seal()
    self.path = path
    width = reader.width
    height = reader.height
    count = store.count
    let timing = ClipTiming(times, declared: reader.frameRate)
    self.times = timing.times
    frameRate = timing.rate
    timeBase = timing.timeBase
    hasAudio = reader.hasAudio
    warnings = reader.warnings
    state = Guarded(State(store: store))
  }

  /// Calls `body` with the bytes of frame `index`, valid during the call.
  ///
  /// Throws `.argument` for a frame that does not exist and for a closed clip.
  public func withFrame<R>(
    _ index: Int, _ body: (UnsafeBufferPointer<UInt8>) throws -> R
  ) throws -> R {
    guard index >= 0, index < count else {
      throw LunervError(
        .argument, "\(path): expected a frame from 0 to \(count - 1), got \(index)")
    }
    nonisolated(unsafe) var block: UnsafeBufferPointer<UInt8>?
    state.withLock {
      guard !$0.isClosed, let store = $0.store else { return }
      $0.readers += 1
      block = store.block(index)
    }
    guard let block else { throw LunervError(.argument, "\(path): the clip is closed") }
    defer {
      state.withLock {
        $0.readers -= 1
        if $0.isClosed, $0.readers == 0 { $0.store = nil }
      }
    }
    return try body(block)
  }

  /// Starts fetching a frame that will be needed soon. Does nothing for a frame that does not exist
  /// or is already in memory, or if the clip is closed.
  public func prefetch(_ index: Int) {
    guard index >= 0, index < count else { return }
    state.withLock { if !$0.isClosed { $0.store?.prefetch(index) } }
  }

  /// Frees memory and disk. A frame that another thread is reading stays valid until that thread is
  /// done. Closing again does nothing.
  public func close() {
    state.withLock {
      $0.isClosed = true
      if $0.readers == 0 { $0.store = nil }
    }
  }

  public var isClosed: Bool { state.withLock { $0.isClosed } }

  private static func temporaryFolder() -> String {
    if let value = getenv("TMPDIR"), value.pointee != 0 { return String(cString: value) }
    return "/var/tmp"
  }
}
