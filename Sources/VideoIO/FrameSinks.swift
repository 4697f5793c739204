import CFFmpeg
@preconcurrency import Glibc
import Support

/// The destination of encoded frames. Exactly one of `finish` and `abandon` ends it.
protocol FrameSink: AnyObject {
  /// The unit of stored times, in seconds; nil if times are not stored.
  var clock: Rational? { get }
  /// Takes 3 × height × width bytes, shown at `pts` ticks of the writer's time base.
  func write(_ rgb: UnsafePointer<UInt8>, pts: Int64) throws
  /// Completes the output and renames it to its final name.
  func finish() throws
  /// Removes what was written.
  func abandon()
}

extension FrameSink {
  var clock: Rational? { nil }
}

/// FFV1 or H.264 in Matroska or MP4.
final class MuxedSink: FrameSink {
  private let path: String
  private let file: PendingFile
  private let encoder: StreamEncoder
  private let settings: StreamEncoder.Settings
  private let url: String
  private var format: UnsafeMutablePointer<AVFormatContext>?
  private var written: ContainerCheck?

  init(
    path: String, container: String, settings: StreamEncoder.Settings, width: Int, height: Int
  ) throws {
    self.path = path
    guard let muxer = av_guess_format(container, nil, nil) else {
      throw LunervError(.io, "\(path): this libavformat cannot write '\(container)'")
    }
    var settings = settings
    settings.globalHeader = muxer.pointee.flags & AVFMT_GLOBALHEADER != 0
    self.settings = settings
    encoder = try StreamEncoder(settings, width: width, height: height, path: path)
    file = try PendingFile(target: path)
    url = "file:" + file.temporary
    written = ContainerCheck(container: container, encoder: encoder.context)
    let made = avformat_alloc_output_context2(&format, muxer, nil, url)
    guard made >= 0, let format else { throw Libav.noMemory("a muxer") }
    format.pointee.flags |= AVFMT_FLAG_BITEXACT
    guard let stream = avformat_new_stream(format, nil) else { throw Libav.noMemory("a stream") }
    stream.pointee.time_base = settings.timeBase.av
    stream.pointee.avg_frame_rate = settings.frameRate.av
    stream.pointee.r_frame_rate = settings.frameRate.av
    stream.pointee.sample_aspect_ratio = AVRational(num: 1, den: 1)
    try check(Int32(avcodec_parameters_from_context(stream.pointee.codecpar, encoder.context)))
    try check {
      Libav.uninterrupted { avio_open2(&format.pointee.pb, url, AVIO_FLAG_WRITE, nil, nil) }
    }
    var options: OpaquePointer?
    defer { av_dict_free(&options) }
    // The index comes first, so a truncated copy can still be read.
    if container != "matroska" { try Libav.set(&options, "movflags", "faststart") }
    try check { avformat_write_header(format, &options) }
  }

  deinit { closeFormat() }

  /// Containers have their own ticks (Matroska: milliseconds).
  var clock: Rational? { format?.pointee.streams[0].map { Rational($0.pointee.time_base) } }

  func write(_ rgb: UnsafePointer<UInt8>, pts: Int64) throws {
    try encoder.encode(rgb, pts: pts, mux)
  }

  func finish() throws {
    try encoder.encode(nil, pts: 0, mux)
    guard let format else { return }
    try check { av_write_trailer(format) }
    avio_flush(format.pointee.pb)
    try check(format.pointee.pb?.pointee.error ?? 0)
    // The descriptor is closed even if a signal interrupted the call.
    try check {
      let code = avio_closep(&format.pointee.pb)
      return code == Libav.interrupted ? 0 : code
    }
    closeFormat()
    do { try written?.verify(url) } catch let error as LunervError {
      throw LunervError(error.kind, "\(path): cannot be written: \(error.message)")
    }
    try file.publish()
  }

  func abandon() {
    closeFormat()
    file.discard()
  }

  private func mux(_ packet: UnsafeMutablePointer<AVPacket>) throws {
    guard let format, let stream = format.pointee.streams[0] else { return }
    packet.pointee.stream_index = 0
    if packet.pointee.duration == 0 {
      let frame = FrameTime(pts: 1, timeBase: settings.frameRate.inverse)
      packet.pointee.duration = frame.ticks(of: settings.timeBase) ?? 0
    }
    av_packet_rescale_ts(packet, settings.timeBase.av, stream.pointee.time_base)
    written?.add(packet, Rational(stream.pointee.time_base))
    try check { av_interleaved_write_frame(format, packet) }
    try check(format.pointee.pb?.pointee.error ?? 0)
  }

  private func closeFormat() {
    guard let context = format else { return }
    avio_closep(&context.pointee.pb)
    avformat_free_context(context)
    format = nil
  }

  private func check(_ code: Int32) throws {
    if code < 0 { throw LunervError(.io, "\(path): cannot be written: \(Libav.text(code))") }
  }

  private func check(_ body: () -> Int32) throws {
    let result = Libav.listening(body)
    if result.code < 0 {
      throw LunervError(.io, "\(path): cannot be written: \(Libav.text(result))")
    }
  }
}

/// Headerless RGB or Y4M, to a file or to standard output ("-").
final class PlainSink: FrameSink {
  /// What is written per frame.
  enum Layout {
    case rgb24
    case y4m(AVPixelFormat)
  }

  private let file: PendingFile?
  private let sink: ByteSink
  private let picture: PictureMaker
  private let layout: Layout
  private let width: Int
  private let height: Int
  private var row: [UInt8] = []

  init(path: String, layout: Layout, width: Int, height: Int, frameRate: Rational) throws {
    self.layout = layout
    self.width = width
    self.height = height
    switch layout {
    case .rgb24: picture = try PictureMaker(AV_PIX_FMT_RGB24, width: width, height: height)
    case .y4m(let format): picture = try PictureMaker(format, width: width, height: height)
    }
    file = path == "-" ? nil : try PendingFile(target: path)
    sink = try file.map { try ByteSink(path: $0.temporary, name: path) } ?? ByteSink()
    if case .y4m(let format) = layout {
      let colour = format == AV_PIX_FMT_YUV444P ? "444" : "420jpeg"
      try sink.write(
        "YUV4MPEG2 W\(width) H\(height) F\(frameRate.numerator):\(frameRate.denominator) "
          + "Ip A1:1 C\(colour) XCOLORRANGE=LIMITED\n")
    }
  }

  deinit { abandon() }

  func write(_ rgb: UnsafePointer<UInt8>, pts: Int64) throws {
    let frame = try picture.make(rgb)
    switch layout {
    case .rgb24: try writePlane(frame, 0, bytes: 3 * width, rows: height)
    case .y4m(let format):
      try sink.write("FRAME\n")
      let halves = format == AV_PIX_FMT_YUV420P
      for plane in 0..<Int32(3) {
        let isHalf = halves && plane > 0
        try writePlane(
          frame, plane, bytes: isHalf ? (width + 1) / 2 : width,
          rows: isHalf ? (height + 1) / 2 : height)
      }
    }
  }

  private func writePlane(
    _ frame: UnsafeMutablePointer<AVFrame>, _ plane: Int32, bytes: Int, rows: Int
  ) throws {
    guard let data = lunerv_plane(frame, plane) else { return }
    let stride = Int(lunerv_stride(frame, plane))
    // Rows are padded in memory; packing them needs one write per plane.
    if row.count != bytes * rows { row = [UInt8](repeating: 0, count: bytes * rows) }
    try row.withUnsafeMutableBytes { packed in
      guard let base = packed.baseAddress else { return }
      for y in 0..<rows {
        (base + y * bytes).copyMemory(from: data + y * stride, byteCount: bytes)
      }
      try sink.write(UnsafeRawBufferPointer(packed))
    }
  }

  func finish() throws {
    try sink.close()
    try file?.publish()
  }

  func abandon() {
    try? sink.close()
    file?.discard()
  }
}

/// A folder of `frame_00001.png`, `frame_00002.png`, …: 8-bit RGB, exact.
final class FolderSink: FrameSink {
  private let path: String
  private let pending: PendingFile
  private let encoder: StreamEncoder
  private var count = 0

  init(path: String, width: Int, height: Int) throws {
    self.path = path
    encoder = try StreamEncoder(.png, width: width, height: height, path: path)
    pending = try PendingFile(folder: path, isOurs: Self.isFrameName)
  }

  /// "frame_", five digits or more, ".png": the files of an earlier run of this sink.
  static func isFrameName(_ name: String) -> Bool {
    guard name.hasPrefix("frame_"), name.hasSuffix(".png") else { return false }
    let digits = name.utf8.dropFirst(6).dropLast(4)
    return digits.count >= 5 && digits.allSatisfy { $0 >= 48 && $0 <= 57 }
  }

  func write(_ rgb: UnsafePointer<UInt8>, pts: Int64) throws {
    count += 1
    let number = String(count)
    let padded = String(repeating: "0", count: max(0, 5 - number.count)) + number
    let name = "\(pending.temporary)/frame_\(padded).png"
    var written = false
    try encoder.encode(rgb, pts: pts) { packet in
      let sink = try ByteSink(path: name, name: "\(path)/frame_\(padded).png", isNew: true)
      try sink.write(
        UnsafeRawBufferPointer(start: packet.pointee.data, count: Int(packet.pointee.size)))
      try sink.close()
      written = true
    }
    guard written else { throw LunervError(.io, "\(path): the PNG encoder returned no image") }
  }

  func finish() throws { try pending.publish() }

  func abandon() { pending.discard() }
}

extension StreamEncoder.Settings {
  /// 8-bit RGB PNG, one packet per picture at once.
  static var png: Self { Self(name: "png", pixelFormat: AV_PIX_FMT_RGB24, threads: 1) }
}
