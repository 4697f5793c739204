import Support

/// The limits on a file while it is decoded, unless its user sets others.
///
/// A file states the size and the number of its frames, and may lie. So none of its numbers raises
/// a limit beyond a ceiling, and only frames that are requested get a share. The rest of a share is
/// lost after its frame. docs/security.md has the formulas in words.
struct DecoderLimits: Sendable {
  /// The limits for one thing.
  struct Share: Sendable {
    /// Units of ``Work``.
    var work: Int
    /// Seconds of processor time.
    var seconds: Int

    init(work: Int, seconds: Int) {
      self.work = work
      self.seconds = seconds
    }

    /// For a limit on work that a user sets: the time that this work takes on one slow core.
    init(allowed work: Int) {
      self.work = work
      seconds = 2 + min(work, 1 << 50) / 500_000_000
    }
  }

  /// For the network of a segment: building it and decoding its weights.
  var start: Share
  /// For a requested frame, and for each frame that it depends on.
  var frame: Share
  /// Bytes of all tensors together.
  var memory: Int

  /// A request gets shares for at most this many frames that it depends on. A frame of an honest
  /// file uses a small part of its share, and leaves the rest to the others of its request.
  static let mostFrames = 64

  /// No file raises a limit beyond these.
  static let mostWork = 1 << 44
  static let mostStartSeconds = 600
  static let mostFrameSeconds = 120
  /// A fraction of the memory that this process may use.
  static var mostMemory: Int { Environment.memory() / 2 }

  /// The bytes of a frame in this process; the process that makes it holds several.
  static func frameBytes(_ height: Int, _ width: Int) -> Int { 12 * height * width }
  static let framesInMemory = 4

  /// - Parameters:
  ///   - work: for the start of each segment, and for each frame; nil for the default by size.
  ///   - memory: bytes; nil for the default by size.
  /// - Throws: if frames are too large for the memory.
  init(height: Int, width: Int, fileSize: Int, work: Int? = nil, memory: Int? = nil) throws {
    let (size, overflows) = height.multipliedReportingOverflow(by: width)
    guard height > 0, width > 0, !overflows, size <= 1 << 32 else {
      throw LunervError(.data, "section 'clip': frames of \(width)×\(height) are too large")
    }
    if let work {
      (start, frame) = (Share(allowed: work), Share(allowed: work))
    } else {
      // Two million multiplications per pixel: twenty times what the published decoder of 1.5
      // million parameters takes. 30 µs per pixel: thirty times what it takes on a core with AVX2.
      let ofSize = size << 21
      frame = Share(
        work: min(1 << 30 + ofSize, DecoderLimits.mostWork),
        seconds: min(5 + size >> 15, DecoderLimits.mostFrameSeconds))
      // A symbol of a model in Lua takes microseconds, and may take a fraction of a bit.
      start = Share(
        work: min(1 << 36 + ofSize + min(fileSize, 1 << 30) << 16, DecoderLimits.mostWork),
        seconds: min(30 + size >> 15 + fileSize >> 13, DecoderLimits.mostStartSeconds))
    }
    self.memory =
      memory.map { min($0, Environment.memory()) }
      ?? min(1 << 29 + size << 12, DecoderLimits.mostMemory)
    let needed = DecoderLimits.framesInMemory * DecoderLimits.frameBytes(height, width)
    guard needed <= self.memory else {
      throw LunervError(
        .data,
        "section 'clip': frames of \(width)×\(height) take more memory than the \(self.memory) bytes allowed (max_memory): expected at least \(needed)"
      )
    }
  }
}
