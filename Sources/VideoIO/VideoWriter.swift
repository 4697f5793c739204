import CFFmpeg
import Support

/// The output format of a video.
public enum VideoFormat: String, Sendable, CaseIterable {
  /// Lossless RGB: FFV1 in Matroska. Exact.
  case ffv1
  /// H.264 by libx264 in MP4, MOV or Matroska, or as a bare stream. Lossy.
  case x264
  /// H.265 by libx265, as a bare stream. Lossy.
  case x265
  /// Uncompressed YUV in YUV4MPEG2, 4:4:4 by default. Lossy because of the colour conversion, see
  /// ``VideoWriter``.
  case y4m
  /// A folder of PNG images. Exact.
  case png
  /// Headerless interleaved RGB, 8 bits. Exact.
  case raw

  /// The format that a path stands for: `-` is raw RGB on standard output; `.mkv` FFV1; `.mp4`,
  /// `.m4v` and `.mov` H.264; `.264` and `.265` bare H.264 and H.265; `.y4m`; `.rgb` and `.raw`
  /// headerless RGB. A name that ends in "/", has no extension or is an existing folder is a folder
  /// of PNGs.
  ///
  /// Throws `.usage` for another extension.
  public static func inferred(from path: String) throws -> VideoFormat {
    if path == "-" { return .raw }
    if try path.hasSuffix("/") || PathKind(path) == .folder { return .png }
    switch fileExtension(path) {
    case "mkv": return .ffv1
    case "mp4", "m4v", "mov", "264": return .x264
    case "265": return .x265
    case "y4m": return .y4m
    case "rgb", "raw": return .raw
    case "": return .png
    case let other:
      throw LunervError(
        .usage,
        "\(path): videos cannot be written as '.\(other)'; use .mkv, .mp4, .264, .265, .y4m, "
          + ".rgb, a folder or -")
    }
  }

  /// Whether reading the output gives back the bytes that were written.
  public var isExact: Bool { self != .x264 && self != .x265 && self != .y4m }
}

/// How to write a video.
public struct WriterOptions: Sendable {
  /// How YUV formats store colour.
  public enum Chroma: String, Sendable {
    /// Colour at half the resolution in both directions.
    case yuv420 = "420"
    /// Colour at full resolution.
    case yuv444 = "444"
  }

  /// nil derives it from the path.
  public var format: VideoFormat?
  /// Frames per second: the interval of frames that are written without a time.
  public var frameRate = Rational(25)
  /// The clock of the timestamps; nil ticks once per frame. If the rate varies, pass the source's.
  /// Matroska always stores milliseconds.
  public var timeBase: Rational?
  /// x264's and x265's constant quality, 0 (best) to 51.
  public var crf = 18.0
  /// x264's and x265's speed preset, "ultrafast" to "placebo".
  public var preset = "medium"
  /// x264's and x265's tuning: "psnr", "ssim", ….
  public var tune: String?
  /// Makes the whole stream one group of pictures, which is smallest: only the first frame can be
  /// decoded by itself.
  public var oneGroup = false
  /// nil is 4:2:0 for x264 (4:4:4 if a side is odd) and 4:4:4 for Y4M.
  public var chroma: Chroma?
  /// Encoder threads; 0 lets libav choose.
  public var threads = 0

  public init() {}
}

/// Writes planar RGB frames as a video.
///
/// The output appears under its name, complete, when ``close()`` returns. Until then it has a
/// hidden name in the same folder. ``cancel()``, and dropping the writer unclosed, remove it. Only
/// standard output (`-`) receives bytes immediately.
///
/// `ffv1`, `png` and `raw` are lossless. The YUV formats convert with BT.709 from 720 lines on,
/// otherwise BT.601, to limited range at 8 bits (about 2.7 of the 16.8 million colours
/// remain distinct), so even 4:4:4 changes R, G and B by up to a few levels; 4:2:0 also blurs
/// colour.
/// H.264 and Matroska store that description; Y4M relies on readers assuming the same.
///
/// Timestamps are kept in MP4 (exactly, if the clock fits in 32 bits) and Matroska (to the
/// millisecond). Times that fall on the same tick of such a clock are moved to the next, with a
/// warning. Y4M, PNG and raw have none: they keep the frame rate or nothing.
public final class VideoWriter {
  public let path: String
  public let format: VideoFormat
  public let width: Int
  public let height: Int
  public private(set) var framesWritten = 0
  /// Warnings for the user: that the format is lossy, that times are not kept.
  public private(set) var warnings: [String] = []

  private let timeBase: Rational
  private let frameStep: Rational
  private var sink: (any FrameSink)?
  private var lastPTS: Int64?
  private var lastTime: FrameTime?

  /// Begins a video of `width` × `height` pixels.
  ///
  /// Throws `.usage` for formats and extensions that do not match, `.argument` for impossible sizes
  /// and rates, `.io` if an encoder is missing or a path cannot be written.
  public init(
    path: String, width: Int, height: Int, options: WriterOptions = WriterOptions()
  ) throws {
    guard width > 0, height > 0, width <= 1 << 16, height <= 1 << 16 else {
      throw LunervError(
        .argument, "\(path): expected sides from 1 to 65536, got \(width)x\(height)")
    }
    guard options.frameRate.isPositive, options.timeBase?.isPositive ?? true else {
      throw LunervError(
        .argument,
        "\(path): expected a frame rate and a time base above 0, got \(options.frameRate) and "
          + "\(options.timeBase.map { "\($0)" } ?? "none")")
    }
    guard options.crf >= 0, options.crf <= 51 else {
      throw LunervError(.argument, "\(path): crf: expected 0 to 51, got \(options.crf)")
    }
    guard options.threads >= 0, options.threads <= 1024 else {
      throw LunervError(.argument, "\(path): threads: expected 0 to 1024, got \(options.threads)")
    }
    // Rejects empty names and zero bytes for every format.
    if path != "-" { _ = try PathKind(path) }
    self.path = path
    self.width = width
    self.height = height
    let format = try options.format ?? VideoFormat.inferred(from: path)
    self.format = format
    frameStep = options.frameRate.inverse
    timeBase = options.timeBase ?? frameStep
    sink = try makeSink(options)
    if !format.isExact {
      warnings.append("\(format.rawValue) is lossy: colours are converted to 8-bit YUV")
    }
  }

  deinit { sink?.abandon() }

  private func makeSink(_ options: WriterOptions) throws -> any FrameSink {
    switch format {
    case .png:
      guard path != "-" else { throw LunervError(.usage, "PNG images need a folder, not '-'") }
      return try FolderSink(path: path, width: width, height: height)
    case .raw:
      return try PlainSink(
        path: path, layout: .rgb24, width: width, height: height, frameRate: options.frameRate)
    case .y4m:
      return try PlainSink(
        path: path,
        layout: .y4m(options.chroma == .yuv420 ? AV_PIX_FMT_YUV420P : AV_PIX_FMT_YUV444P),
        width: width, height: height, frameRate: options.frameRate)
    case .ffv1:
      try require(["mkv"])
      var settings = settings("ffv1", AV_PIX_FMT_BGR0, options)
      settings.privateOptions = [("coder", "1"), ("context", "1"), ("g", "1")] + slicing()
      return try MuxedSink(
        path: path, container: "matroska", settings: settings, width: width, height: height)
    case .x264:
      try require(["mp4", "m4v", "mov", "mkv", "264"])
      let settings = try lossy("libx264", options)
      let kind = fileExtension(path)
      if kind == "264" {
        return try ElementarySink(path: path, settings: settings, width: width, height: height)
      }
      return try MuxedSink(
        path: path, container: kind == "mkv" ? "matroska" : kind == "mov" ? "mov" : "mp4",
        settings: settings, width: width, height: height)
    case .x265:
      try require(["265"])
      return try ElementarySink(
        path: path, settings: try lossy("libx265", options), width: width, height: height)
    }
  }

  /// Settings of libx264 and libx265.
  private func lossy(_ name: String, _ options: WriterOptions) throws -> StreamEncoder.Settings {
    let isOdd = width % 2 != 0 || height % 2 != 0
    if isOdd, options.chroma == .yuv420 {
      throw LunervError(
        .argument, "\(path): 4:2:0 needs even sizes, not \(width)x\(height); use 4:4:4")
    }
    if isOdd, options.chroma == nil {
      warnings.append(
        "\(width)x\(height) is odd: \(name == "libx264" ? "H.264" : "H.265") is written as 4:4:4")
    }
    let is444 = isOdd || options.chroma == .yuv444
    var settings = settings(name, is444 ? AV_PIX_FMT_YUV444P : AV_PIX_FMT_YUV420P, options)
    settings.privateOptions = [("preset", options.preset), ("crf", "\(options.crf)")]
    if let tune = options.tune { settings.privateOptions.append(("tune", tune)) }
    if name == "libx265" {
      // By default x265 logs to stderr, and stores its settings in the stream.
      var parameters = "log-level=none:info=0"
      // With its thread pool, files are one percent larger.
      if options.threads == 1 { parameters += ":pools=none" }
      if options.oneGroup { parameters += ":keyint=-1" }
      settings.privateOptions.append(("x265-params", parameters))
    } else if options.oneGroup {
      settings.privateOptions.append(("x264-params", "keyint=infinite"))
    }
    return settings
  }

  private func settings(
    _ name: String, _ pixelFormat: AVPixelFormat, _ options: WriterOptions
  ) -> StreamEncoder.Settings {
    StreamEncoder.Settings(
      name: name, pixelFormat: pixelFormat, timeBase: timeBase, frameRate: options.frameRate,
      threads: options.threads)
  }

  /// FFV1 version 3 has a checksum for each slice. libavcodec makes at least 2×2 slices, or one on
  /// request, but not beyond CIF; slices one pixel thin are decoded wrong. Version 1 has no slices.
  private func slicing() -> [(String, String)] {
    let side = min(width, height)
    if side < 2 || side < 32 && max(width, height) > 288 { return [("level", "1")] }
    let checked = [("level", "3"), ("slicecrc", "1")]
    return width <= 352 && height <= 288 ? checked + [("slices", "1")] : checked
  }

  private func require(_ extensions: [String]) throws {
    guard extensions.contains(fileExtension(path)) else {
      throw LunervError(
        .usage,
        "\(path): \(format.rawValue) is written to "
          + extensions.map { "." + $0 }.joined(separator: ", "))
    }
  }

  /// Adds a frame of 3 × height × width bytes: all of R, then G, then B, rows from the top.
  ///
  /// - Parameter time: when it is shown, later than the previous frame; nil is the frame's number
  ///   over the frame rate, or one frame after the last if that is already past.
  ///
  /// Throws `.argument` for a wrong number of bytes, times that do not increase and a closed
  /// writer, `.io` if writing fails (full disk, closed pipe); the output is then removed and the
  /// writer closed.
  public func write(_ planarRGB: UnsafeBufferPointer<UInt8>, at time: FrameTime? = nil) throws {
    guard let sink else { throw LunervError(.argument, "\(path): the writer is closed") }
    let rgb = try Self.checked(planarRGB, width: width, height: height, path: path)
    let pts = try position(of: time)
    if let time { lastTime = time }
    do {
      try sink.write(rgb, pts: pts)
    } catch {
      cancel()
      throw error
    }
    lastPTS = pts
    framesWritten += 1
  }

  /// ``write(_:at:)`` for an array.
  public func write(_ planarRGB: [UInt8], at time: FrameTime? = nil) throws {
    try planarRGB.withUnsafeBufferPointer { try write($0, at: time) }
  }

  private func position(of time: FrameTime?) throws -> Int64 {
    var pts: Int64?
    if let time {
      pts = time.ticks(of: timeBase)
    } else {
      // By frame count, so that rounding errors do not accumulate.
      pts = FrameTime(pts: Int64(framesWritten), timeBase: frameStep).ticks(of: timeBase)
      if let last = lastPTS, pts ?? 0 <= last {
        let step = FrameTime(pts: 1, timeBase: frameStep).ticks(of: timeBase) ?? 1
        pts = last + max(1, min(step, 1 << 53))
      }
    }
    // Far from the ends of the range, so that muxers can add and scale.
    guard let pts, pts.magnitude < 1 << 53 else {
      throw LunervError(.argument, "\(path): a timestamp is out of range")
    }
    if let time, let lastTime, !lastTime.isBefore(time) {
      throw LunervError(
        .argument,
        "\(path): timestamps must increase: \(time.seconds) s follows \(lastTime.seconds) s")
    }
    guard let lastPTS else { return pts }
    // The container's clock may be coarser than the writer's.
    let clock = sink?.clock ?? timeBase
    func tick(_ pts: Int64) -> Int64 {
      FrameTime(pts: pts, timeBase: timeBase).ticks(of: clock) ?? pts
    }
    if pts > lastPTS, tick(pts) > tick(lastPTS) { return pts }
    let text = "times less than a tick of \(clock) s apart are moved to the next tick"
    if !warnings.contains(text) { warnings.append(text) }
    let next = FrameTime(pts: tick(lastPTS) + 1, timeBase: clock).ticks(of: timeBase)
    return max(lastPTS + 1, next ?? 0)
  }

  /// Completes the output and renames it to its final name. Closing again does nothing.
  ///
  /// Throws `.argument` if no frame was written and `.io` if writing fails; no file remains then.
  public func close() throws {
    guard let sink else { return }
    self.sink = nil
    do {
      guard framesWritten > 0 else {
        throw LunervError(.argument, "\(path): a video needs at least one frame")
      }
      try sink.finish()
    } catch {
      sink.abandon()
      throw error
    }
  }

  /// Removes the output. Does nothing after ``close()``.
  public func cancel() {
    sink?.abandon()
    sink = nil
  }

  public var isClosed: Bool { sink == nil }

  /// The address of a frame, after its size has been checked.
  private static func checked(
    _ planarRGB: UnsafeBufferPointer<UInt8>, width: Int, height: Int, path: String
  ) throws -> UnsafePointer<UInt8> {
    let (area, over) = width.multipliedReportingOverflow(by: height)
    guard width > 0, height > 0, !over, area <= 1 << 32, let base = planarRGB.baseAddress,
      planarRGB.count == 3 * area
    else {
      throw LunervError(
        .argument,
        "\(path): a frame of \(width)x\(height) takes 3 bytes per pixel, not "
          + "\(planarRGB.count) bytes in all")
    }
    return base
  }
}
