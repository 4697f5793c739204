import CFFmpeg
import Support

/// Reads a video from beginning to end as planar RGB.
///
/// Reads every file that libavformat opens (except playlists and other formats that refer to
/// further files), folders of images in natural order, Y4M and headerless video, also from standard
/// input (`-`). Errors are one line and begin with the path.
///
/// Colour: RGB sources are read bit-exactly. YUV is converted with the matrix and range that the
/// stream names (BT.601, BT.709, BT.2020 and similar); untagged video is taken as limited-range
/// BT.709 from 720 lines on, otherwise BT.601. More than 8 bits are rounded and alpha is dropped,
/// both with a warning. High dynamic range (PQ, HLG) is tone-mapped and BT.2020 converted to BT.709,
/// with a note, if libavfilter is available. Rotation metadata is applied.
public final class VideoReader {
  public let path: String
  /// Size of the frames that ``next()`` returns.
  public let width: Int
  public let height: Int
  /// Frames per second after `rate` and `every`; the average if the rate varies.
  public let frameRate: Rational
  /// The unit of the timestamps, in seconds.
  public let timeBase: Rational
  /// Whether the file has audio, which is not read.
  public var hasAudio: Bool { source.hasAudio }
  /// Frames returned so far.
  public private(set) var framesRead = 0

  private let options: VideoOptions
  private let source: any FrameSource
  private let resampler: RateResampler?
  private let converter = FrameConverter()
  private let crop: VideoOptions.Crop
  private let size: VideoOptions.Size
  /// Upright size of the first picture: all others must have the same.
  private let uprightSize: VideoOptions.Size
  /// The time of the first picture, which is decoded on opening to learn its size.
  private var firstTime: FrameTime?
  private var ownWarnings: [String] = []
  /// Index, before selection, of the next picture.
  private var position = 0
  private var isAtEnd = false

  /// Opens a video and decodes its first picture.
  ///
  /// Throws `.io` for a file that cannot be opened, `.data` for one that is not a video or has no
  /// frame, `.argument` and `.usage` for options that do not apply, `.memory` beyond the limits.
  public init(path: String, options: VideoOptions = VideoOptions()) throws {
    try options.validate()
    self.path = path
    self.options = options
    let isFolder = try path != "-" && PathKind(path) == .folder
    let source: any FrameSource =
      isFolder
      ? try ImageFolder(folder: path, options: options)
      : try FilteredFrames(
        try StreamDecoder(path: path, options: options), deinterlaces: options.deinterlace)
    let resampler = try options.rate.map { try RateResampler(source, rate: $0) }
    self.source = source
    self.resampler = resampler

    let rate = options.rate ?? source.frameRate
    frameRate = rate.divided(by: options.every) ?? rate
    timeBase = options.rate?.inverse ?? source.timeBase

    firstTime = if let resampler { try resampler.next() } else { try source.next() }
    guard firstTime != nil else {
      let why = source.damage.map { ", it is damaged: \($0.what)" } ?? ""
      throw LunervError(.data, "\(path): no frame can be read\(why)")
    }
    let frame = resampler?.frame ?? source.frame
    uprightSize = Self.upright(frame, resampler?.orientation ?? source.orientation)
    crop =
      options.crop
      ?? VideoOptions.Crop(y: 0, x: 0, height: uprightSize.height, width: uprightSize.width)
    let (bottom, over) = crop.y.addingReportingOverflow(crop.height)
    let (right, overX) = crop.x.addingReportingOverflow(crop.width)
    guard !over, !overX, bottom <= uprightSize.height, right <= uprightSize.width else {
      throw LunervError(
        .argument,
        "\(path): expected a crop within \(uprightSize.width)x\(uprightSize.height), got "
          + "\(crop.width)x\(crop.height) from row \(crop.y), column \(crop.x)")
    }
    size = options.size ?? VideoOptions.Size(height: crop.height, width: crop.width)
    width = size.width
    height = size.height
  }

  /// Whether `path` yields the same frames each time it is read: false for pipes and devices.
  public static func canReread(_ path: String) -> Bool {
    if path == "-" { return false }
    guard let kind = try? PathKind(path) else { return false }
    return kind != .other
  }

  /// Warnings that do not prevent reading: "audio dropped" and the like. Grows while reading.
  public var warnings: [String] { source.warnings + ownWarnings }

  /// Bytes of one frame: 3 × height × width.
  public var frameBytes: Int { 3 * height * width }

  /// Reads the next selected frame; nil after the last.
  public func next() throws -> VideoFrame? {
    var time: FrameTime?
    let pixels = try [UInt8](unsafeUninitializedCapacity: frameBytes) { buffer, count in
      time = try next(into: buffer)
      count = time == nil ? 0 : frameBytes
    }
    return time.map { VideoFrame(width: width, height: height, pixels: pixels, time: $0) }
  }

  /// Reads the next selected frame into ``frameBytes`` bytes; nil after the last.
  ///
  /// At the end of a damaged or truncated file this throws `.data` with the number of frames read,
  /// unless `allowTruncated` makes it a warning.
  public func next(into output: UnsafeMutableBufferPointer<UInt8>) throws -> FrameTime? {
    guard let target = output.baseAddress, output.count >= frameBytes else {
      throw LunervError(
        .argument, "a frame takes \(frameBytes) bytes, the buffer has \(output.count)")
    }
    var stoppedEarly = false
    while !isAtEnd {
      // A repeated frame is not read again, and so the decoder does not ask.
      if options.interrupted?() == true {
        throw LunervError(.interrupted, "\(path): reading was interrupted")
      }
      if let last = options.last, position > last {
        stoppedEarly = true
        break
      }
      guard let time = try decode() else { break }
      let index = position
      position += 1
      try checkSize()
      let first = options.first ?? 0
      guard index >= first, (index - first) % options.every == 0 else { continue }
      try checkLimits()
      try converter.convert(
        resampler?.frame ?? source.frame, isImage: source.isImage,
        orientation: resampler?.orientation ?? source.orientation, crop: crop, size: size,
        output: target)
      framesRead += 1
      return time
    }
    if !isAtEnd {
      isAtEnd = true
      try finish(stoppedEarly: stoppedEarly)
    }
    return nil
  }

  private func decode() throws -> FrameTime? {
    if let time = firstTime {
      firstTime = nil
      return time
    }
    return if let resampler { try resampler.next() } else { try source.next() }
  }

  /// Decides, at the end, whether the damage found is an error or a warning.
  private func finish(stoppedEarly: Bool) throws {
    if let damage = source.damage, !(stoppedEarly && damage.comesLater) {
      let sound = max(0, source.decoded - damage.concealed)
      let count = damage.declared.map { "\(sound) of \(max($0, sound))" } ?? "\(sound)"
      let text =
        stoppedEarly
        ? "damaged: \(damage.what)"
        : "truncated or damaged: \(count) \(sound == 1 ? "frame" : "frames") can be read "
          + "(\(damage.what))"
      guard options.allowTruncated else { throw LunervError(.data, "\(path): \(text)") }
      ownWarnings.append(text)
    }
    guard framesRead > 0 else {
      throw LunervError(
        .argument,
        "\(path): the first requested frame is after the end: there are only "
          + "\(position) frames")
    }
    if let last = options.last, last >= position {
      ownWarnings.append(
        "the last requested frame is after the end: there are only \(position) frames")
    }
  }

  private func checkSize() throws {
    let frame = resampler?.frame ?? source.frame
    let now = Self.upright(frame, resampler?.orientation ?? source.orientation)
    guard now == uprightSize else {
      throw LunervError(
        .data,
        "\(path): expected frames of \(uprightSize.width)x\(uprightSize.height), got one of "
          + "\(now.width)x\(now.height) after \(position - 1) frames")
    }
  }

  private func checkLimits() throws {
    guard framesRead < options.maxFrames else {
      throw LunervError(.memory, "\(path): more than the limit of \(options.maxFrames) frames")
    }
    guard framesRead < options.maxTotalPixels / (width * height) else {
      throw LunervError(
        .memory,
        "\(path): more than the limit of \(options.maxTotalPixels) pixels in all frames")
    }
  }

  private static func upright(
    _ frame: UnsafePointer<AVFrame>, _ orientation: Orientation
  ) -> VideoOptions.Size {
    let (height, width) = (Int(frame.pointee.height), Int(frame.pointee.width))
    return orientation.transposed
      ? VideoOptions.Size(height: width, width: height)
      : VideoOptions.Size(height: height, width: width)
  }
}
