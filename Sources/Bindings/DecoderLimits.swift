import Support

/// What a file may use while it is decoded, unless its user allows something else.
///
/// A file says how large its frames are and how many there are, and may lie: so no number of its own
/// raises a limit beyond a ceiling, and nothing is allowed for frames that nobody has asked for. What
/// is left of a share is lost with the frame that it was for. docs/security.md gives the formulas in
/// words.
struct DecoderLimits: Sendable {
  /// What may be used for one thing.
  struct Share: Sendable {
    /// Units of ``Work``.
    var work: Int
    /// Seconds of the processors' time.
    var seconds: Int

    init(work: Int, seconds: Int) {
      self.work = work
      self.seconds = seconds
    }

    /// What a user allows: time that so much work takes on one slow core.
    init(allowed work: Int) {
      self.work = work
      seconds = 2 + min(work, 1 << 50) / 500_000_000
    }
  }

  /// For the network of a segment: building it, and decoding its weights.
  var start: Share
  /// For a frame that is asked for, and again for each frame that it is made from.
  var frame: Share
  /// Bytes of tensors, all together.
  var memory: Int

  /// A frame that is asked for pays for at most so many that it is made from. A frame of an honest
  /// file takes a small part of its share, and what it leaves is there for the others of its request.
  static let mostFrames = 64

  /// No claim raises a limit beyond these.
  static let mostWork = 1 << 44
  static let mostStartSeconds = 600
  static let mostFrameSeconds = 120
  /// A part of what this process may use.
  static var mostMemory: Int { Environment.memory() / 2 }

  /// Bytes that a frame takes here; a process that makes one holds several.
  static func frameBytes(_ height: Int, _ width: Int) -> Int { 12 * height * width }
  static let framesInMemory = 4

  /// - Parameters:
  ///   - work: for the start of each segment, and for each frame; nil for what the size says.
  ///   - memory: bytes; nil for what the size says.
  /// - Throws: where frames are too large for what memory there may be.
  init(height: Int, width: Int, fileSize: Int, work: Int? = nil, memory: Int? = nil) throws {
    let (size, overflows) = height.multipliedReportingOverflow(by: width)
    guard height > 0, width > 0, !overflows, size <= 1 << 32 else {
      throw LunervError(.data, "section 'clip': frames of \(width)×\(height) are too large")
    }
    if let work {
      (start, frame) = (Share(allowed: work), Share(allowed: work))
    } else {
      // Two million multiplications a pixel: twenty times what the published decoder of 1.5 million
      // parameters takes. 30 µs a pixel: thirty times what it takes on a core with AVX2.
      let ofSize = size << 21
      frame = Share(
        work: min(1 << 30 + ofSize, DecoderLimits.mostWork),
        seconds: min(5 + size >> 15, DecoderLimits.mostFrameSeconds))
      // Symbols of models that are written in Lua take microseconds, and a fraction of a bit.
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
