import CFFmpeg
@preconcurrency import Glibc
import Support

/// A demuxer for one untrusted file or standard input ("-").
///
/// Only the named file is ever opened: only the protocols `file` and `pipe` are allowed, formats
/// that refer to other files are rejected by name before they are parsed, and demuxers that try to
/// open a second file get an error.
final class InputFile {
  let path: String
  /// libavformat's name, or several, separated by commas: "mov,mp4,m4a,3gp,3g2,mj2".
  private(set) var formatName = ""
  /// Bytes of a regular file.
  private(set) var size: Int?
  private(set) var format: UnsafeMutablePointer<AVFormatContext>?

  private let options: VideoOptions
  private let interruption: Interruption
  private var io: UnsafeMutablePointer<AVIOContext>?

  /// Passes the caller's request to stop to libav's C callback.
  private final class Interruption {
    let wanted: (@Sendable () -> Bool)?
    init(_ wanted: (@Sendable () -> Bool)?) { self.wanted = wanted }

    var callback: AVIOInterruptCB {
      AVIOInterruptCB(
        callback: { opaque in
          guard let opaque else { return 0 }
          let wanted = Unmanaged<Interruption>.fromOpaque(opaque).takeUnretainedValue().wanted
          return wanted?() == true ? 1 : 0
        }, opaque: Unmanaged.passUnretained(self).toOpaque())
    }
  }

  init(path: String, options: VideoOptions) throws {
    Libav.start()
    self.path = path
    self.options = options
    interruption = Interruption(options.interrupted)
    // From here on deinit frees everything, even if opening throws.
    try open()
  }

  deinit {
    avformat_close_input(&format)
    avio_closep(&io)
  }

  /// Whether the format has this name.
  func isFormat(_ name: String) -> Bool {
    formatName.split(separator: ",").contains { $0 == name }
  }

  func stopIfInterrupted() throws {
    if options.interrupted?() == true {
      throw LunervError(.interrupted, "\(path): reading was interrupted")
    }
  }

  /// Rejects absurd dimensions before memory is allocated for them.
  func checkSize(_ width: Int, _ height: Int) throws {
    guard width >= 0, height >= 0, width * height <= options.maxPixels else {
      throw LunervError(
        .memory,
        "\(path): pictures of \(width)x\(height) exceed the limit of "
          + "\(options.maxPixels) pixels")
    }
  }

  /// Formats that open other files, play scripts or devices, or draw text as pictures.
  private static let refusedFormats: Set<String> = [
    "hls", "applehttp", "dash", "webm_dash_manifest", "concat", "concatf", "imf", "sdp", "rtsp",
    "rtp", "sap", "mpegtsraw", "ffmetadata", "image2", "image2pipe", "lavfi", "vapoursynth",
    "avisynth", "svg_pipe", "vobsub",
  ]
  private static let textFormats: Set<String> = ["tty", "bin", "xbin", "adf", "idf"]

  private func open() throws {
    let isStandardInput = path == "-"
    if !isStandardInput {
      switch try PathKind(path) {
      case .absent: throw LunervError(.io, "\(path): there is no such file")
      case .folder: throw LunervError(.io, "\(path): is a folder, not a video file")
      case .file(let bytes):
        guard bytes > 0 else { throw LunervError(.data, "\(path): the file is empty") }
        size = bytes
      case .other: break
      }
    }
    let url = isStandardInput ? "pipe:0" : "file:" + path
    var callback = interruption.callback
    var settings: OpaquePointer?
    defer { av_dict_free(&settings) }
    try Libav.set(&settings, "protocol_whitelist", "file,pipe")
    let opened = Libav.listening {
      Libav.uninterrupted { avio_open2(&io, url, AVIO_FLAG_READ, &callback, &settings) }
    }
    guard opened.code >= 0 else {
      try stopIfInterrupted()
      throw LunervError(.io, "\(path): cannot be opened: \(Libav.text(opened))")
    }

    let input = try findFormat(url)
    formatName = String(cString: input.pointee.name)
    let names = formatName.split(separator: ",").map(String.init)
    if names.contains(where: Self.textFormats.contains) {
      throw LunervError(.data, "\(path): not a video: it looks like text or unknown data")
    }
    if let name = names.first(where: Self.refusedFormats.contains) {
      throw LunervError(
        .data, "\(path): format '\(name)' is rejected: it may refer to other files or programs")
    }
    if names.contains("rawvideo"), options.raw == nil {
      throw LunervError(
        .usage, "\(path): headerless video needs its width, height and pixel format")
    }

    format = avformat_alloc_context()
    guard let context = format else { throw Libav.noMemory("a demuxer") }
    context.pointee.pb = io
    // Otherwise a context that is closed before it was opened closes `io`, which deinit closes too.
    context.pointee.flags |= AVFMT_FLAG_CUSTOM_IO
    context.pointee.interrupt_callback = callback
    lunerv_forbid_other_files(context)
    av_dict_free(&settings)
    try Libav.set(&settings, "protocol_whitelist", "file,pipe")
    if let raw = options.raw {
      try Libav.set(&settings, "video_size", "\(raw.width)x\(raw.height)")
      try Libav.set(&settings, "pixel_format", raw.pixelFormat)
      try Libav.set(&settings, "framerate", (options.inputRate ?? Rational(25)).description)
    }
    let read = Libav.listening { avformat_open_input(&format, url, input, &settings) }
    guard read.code >= 0, let format else {
      try stopIfInterrupted()
      throw LunervError(
        .data, "\(path): cannot be read as \(names.first ?? "video"): \(Libav.text(read))")
    }
    try checkSizes(format)
    try findStreams(format)
    try checkSizes(format)
  }

  private func findFormat(_ url: String) throws -> UnsafePointer<AVInputFormat> {
    if options.raw != nil {
      guard let raw = av_find_input_format("rawvideo") else {
        throw LunervError(.io, "this libavformat cannot read headerless video")
      }
      return raw
    }
    var found: UnsafePointer<AVInputFormat>?
    var probed = Libav.listening { av_probe_input_buffer2(io, &found, url, nil, 0, 0) }
    if probed.code >= 0, let name = found?.pointee.name, strcmp(name, "image2") == 0 {
      // Chosen by name; the content alone would select a format that reads one image.
      found = nil
      probed = Libav.listening { av_probe_input_buffer2(io, &found, "", nil, 0, 0) }
    }
    try stopIfInterrupted()
    guard probed.code >= 0, let found else {
      if probed.code == lunerv_averror(EISDIR) || probed.code == lunerv_averror(EIO) {
        throw LunervError(.io, "\(path): cannot be read: \(Libav.text(probed.code))")
      }
      throw LunervError(.data, "\(path): not a video: no known format was recognised")
    }
    return found
  }

  private func checkSizes(_ format: UnsafeMutablePointer<AVFormatContext>) throws {
    for index in 0..<Int(format.pointee.nb_streams) {
      guard let parameters = format.pointee.streams[index]?.pointee.codecpar,
        parameters.pointee.codec_type == AVMEDIA_TYPE_VIDEO
      else { continue }
      try checkSize(Int(parameters.pointee.width), Int(parameters.pointee.height))
    }
  }

  private func findStreams(_ format: UnsafeMutablePointer<AVFormatContext>) throws {
    // Probing decodes a few frames, with the same limit.
    let count = Int(format.pointee.nb_streams)
    let settings = UnsafeMutablePointer<OpaquePointer?>.allocate(capacity: max(count, 1))
    settings.initialize(repeating: nil, count: max(count, 1))
    defer {
      for index in 0..<count { av_dict_free(&settings[index]) }
      settings.deallocate()
    }
    for index in 0..<count {
      try Libav.set(&settings[index], "max_pixels", "\(options.maxPixels)")
      try Libav.set(&settings[index], "threads", "1")
    }
    let found = Libav.listening {
      avformat_find_stream_info(format, count > 0 ? settings : nil)
    }
    try stopIfInterrupted()
    guard found.code >= 0 else {
      throw LunervError(.data, "\(path): no stream can be read: \(Libav.text(found))")
    }
  }
}
