import CFFmpeg
import Support

/// What to read of a video, and the limits on it.
///
/// The steps, in this order: rotate upright (rotation metadata) → ``crop`` → ``size``; and on the
/// time axis: ``rate`` → ``first``…``last`` → ``every``. Positions count from 0.
public struct VideoOptions: Sendable {
  /// Height and width in pixels.
  public struct Size: Sendable, Hashable {
    public var height: Int
    public var width: Int
    public init(height: Int, width: Int) {
      self.height = height
      self.width = width
    }
  }

  /// A rectangle of the upright picture; `y` and `x` are its top left pixel, from 0.
  public struct Crop: Sendable, Hashable {
    public var y: Int
    public var x: Int
    public var height: Int
    public var width: Int
    public init(y: Int, x: Int, height: Int, width: Int) {
      self.y = y
      self.x = x
      self.height = height
      self.width = width
    }
  }

  /// The layout of headerless video: libav's pixel format name ("rgb24", "yuv420p", …).
  public struct Raw: Sendable, Hashable {
    public var width: Int
    public var height: Int
    public var pixelFormat: String
    public init(width: Int, height: Int, pixelFormat: String = "rgb24") {
      self.width = width
      self.height = height
      self.pixelFormat = pixelFormat
    }
  }

  /// Scale every frame to this size, bicubically, each of R, G and B separately. nil keeps the
  /// size.
  public var size: Size?
  /// Keep only this part of every frame.
  public var crop: Crop?
  /// The first frame that is kept; nil is 0.
  public var first: Int?
  /// The last frame that is kept; nil reads to the end.
  public var last: Int?
  /// Keep every n-th frame, beginning with `first`.
  public var every = 1
  /// Repeat and drop frames to get this constant rate, in frames per second.
  public var rate: Rational?
  /// Deinterlace: one whole frame of every two fields.
  public var deinterlace = false
  /// Needed for headerless video in a file or on a pipe; all other formats describe themselves.
  public var raw: Raw?
  /// The rate of frames without times: headerless video, image folders. nil is 25.
  public var inputRate: Rational?
  /// Read as much as possible of a damaged or truncated file, with a warning instead of an error.
  public var allowTruncated = false
  /// Larger pictures are rejected before they are decoded.
  public var maxPixels = 1 << 26
  /// More frames than this, after selection, are rejected.
  public var maxFrames = 1 << 20
  /// The limit of width × height × frames, after selection.
  public var maxTotalPixels = 1 << 36
  /// Decoder threads; 0 lets libav choose.
  public var threads = 0
  /// Polled between frames: true ends reading with an `.interrupted` error.
  public var interrupted: (@Sendable () -> Bool)?

  public init() {}

  /// Throws `.argument` or `.memory` for values that are impossible for any video.
  public func validate() throws {
    if let size { try check(size.height, size.width, "size") }
    if let crop {
      try check(crop.height, crop.width, "crop")
      if crop.y < 0 || crop.x < 0 {
        throw bad("crop: expected a position from 0,0, got \(crop.y),\(crop.x)")
      }
    }
    if let raw {
      try check(raw.height, raw.width, "raw video size")
      let format = av_get_pix_fmt(raw.pixelFormat)
      guard format != AV_PIX_FMT_NONE, let description = av_pix_fmt_desc_get(format),
        description.pointee.flags & UInt64(AV_PIX_FMT_FLAG_HWACCEL) == 0
      else { throw bad("raw video: unknown pixel format '\(raw.pixelFormat)'") }
    }
    if let first, first < 0 { throw bad("first: expected a frame from 0, got \(first)") }
    if let last, last < (first ?? 0) {
      throw bad("last: expected a frame from \(first ?? 0), got \(last)")
    }
    if every < 1 { throw bad("every: expected at least 1, got \(every)") }
    if let rate, !rate.isPositive { throw bad("rate: expected more than 0, got \(rate)") }
    if let inputRate, !inputRate.isPositive {
      throw bad("input rate: expected more than 0, got \(inputRate)")
    }
    if threads < 0 || threads > 1024 { throw bad("threads: expected 0 to 1024, got \(threads)") }
    if maxPixels < 1 || maxPixels > 1 << 40 || maxFrames < 1 || maxTotalPixels < 1 {
      throw bad(
        "limits: expected at least 1 frame and 1 to 2^40 pixels, got "
          + "\(min(maxFrames, maxTotalPixels)) and \(maxPixels)")
    }
  }

  private func check(_ height: Int, _ width: Int, _ what: String) throws {
    guard height >= 1, width >= 1 else { throw bad("\(what) \(width)x\(height) is empty") }
    let (area, overflow) = height.multipliedReportingOverflow(by: width)
    guard !overflow, area <= maxPixels, height <= Int(Int32.max), width <= Int(Int32.max) else {
      throw LunervError(
        .memory, "\(what) \(width)x\(height) exceeds the limit of \(maxPixels) pixels")
    }
  }

  private func bad(_ message: String) -> LunervError { LunervError(.argument, message) }
}

/// One decoded frame: planar RGB, 3 × height × width bytes (all of R, then G, then B).
public struct VideoFrame: Sendable {
  public var width: Int
  public var height: Int
  public var pixels: [UInt8]
  public var time: FrameTime
}
