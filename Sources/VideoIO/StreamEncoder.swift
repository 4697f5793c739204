import CFFmpeg
import Glibc
import Support

/// Encodes one video stream: a libavcodec encoder fed with planar RGB.
final class StreamEncoder {
  /// How pictures are stored.
  struct Settings {
    /// libavcodec's encoder name.
    var name: String
    var pixelFormat: AVPixelFormat
    var timeBase = Rational(1, 25)
    var frameRate = Rational(25)
    var threads = 0
    /// Whether codec headers go to the container, not into the stream.
    var globalHeader = false
    var privateOptions: [(String, String)] = []
  }

  let context: UnsafeMutablePointer<AVCodecContext>
  private let path: String
  private let packet: UnsafeMutablePointer<AVPacket>
  private let picture: PictureMaker

  /// - Parameter path: for messages.
  init(_ settings: Settings, width: Int, height: Int, path: String) throws {
    self.path = path
    let codec = try Self.find(settings.name, path: path)
    guard let made = avcodec_alloc_context3(codec) else { throw Libav.noMemory("an encoder") }
    context = made
    var owned: UnsafeMutablePointer<AVCodecContext>? = made
    do {
      context.pointee.width = Int32(width)
      context.pointee.height = Int32(height)
      context.pointee.pix_fmt = settings.pixelFormat
      context.pointee.time_base = settings.timeBase.av
      context.pointee.framerate = settings.frameRate.av
      context.pointee.thread_count = Int32(settings.threads)
      context.pointee.sample_aspect_ratio = AVRational(num: 1, den: 1)
      // No version strings, no random identifiers: the same input gives the same file.
      context.pointee.flags |= AV_CODEC_FLAG_BITEXACT
      if settings.globalHeader { context.pointee.flags |= AV_CODEC_FLAG_GLOBAL_HEADER }
      PictureMaker.tag(context, settings.pixelFormat, height: height)
      var dictionary: OpaquePointer?
      defer { av_dict_free(&dictionary) }
      for (key, value) in settings.privateOptions { try Libav.set(&dictionary, key, value) }
      if settings.name == "libx265" { try Self.expectThreads(path) }
      let opened = Libav.listening { avcodec_open2(made, codec, &dictionary) }
      guard opened.code >= 0 else {
        throw LunervError(
          .io,
          "\(path): the encoder '\(settings.name)' cannot be opened for \(width)x\(height): "
            + Libav.text(opened))
      }
      // libavcodec overlooks that x264 had no memory for its headers: players would find no picture.
      if settings.globalHeader, settings.name == "libx264", made.pointee.extradata_size <= 0 {
        throw Libav.noMemory("the headers of x264")
      }
      picture = try PictureMaker(settings.pixelFormat, width: width, height: height)
      packet = try Libav.newPacket()
    } catch {
      avcodec_free_context(&owned)
      throw error
    }
  }

  /// Throws if the system starts no more threads: x265 would wait for its own forever.
  private static func expectThreads(_ path: String) throws {
    var id = pthread_t()
    let code = pthread_create(&id, nil, { _ -> UnsafeMutableRawPointer? in nil }, nil)
    guard code == 0 else {
      let reason = String(cString: strerror(code))
      throw LunervError(.io, "\(path): the encoder 'libx265' cannot start a thread: \(reason)")
    }
    pthread_join(id, nil)
  }

  deinit {
    var packet: UnsafeMutablePointer<AVPacket>? = packet
    av_packet_free(&packet)
    var context: UnsafeMutablePointer<AVCodecContext>? = context
    avcodec_free_context(&context)
  }

  /// Finds an encoder by name.
  static func find(_ name: String, path: String) throws -> UnsafePointer<AVCodec> {
    Libav.start()
    guard let codec = avcodec_find_encoder_by_name(name) else {
      throw LunervError(
        .io, "\(path): the encoder '\(name)' is missing from this build of libavcodec")
    }
    return codec
  }

  /// Encodes a frame of 3 × height × width bytes; `nil` ends the stream. Finished packets go to
  /// `body`, which may take over their content.
  func encode(
    _ rgb: UnsafePointer<UInt8>?, pts: Int64,
    _ body: (UnsafeMutablePointer<AVPacket>) throws -> Void
  ) throws {
    var frame: UnsafeMutablePointer<AVFrame>?
    if let rgb {
      frame = try picture.make(rgb)
      frame?.pointee.pts = pts
    }
    let sent = Libav.listening { avcodec_send_frame(context, frame) }
    guard sent.code >= 0 else {
      throw failure(sent)
    }
    while true {
      let received = Libav.listening { avcodec_receive_packet(context, packet) }
      if received.code == Libav.tryAgain || received.code == Libav.endOfFile { return }
      guard received.code >= 0 else {
        throw failure(received)
      }
      defer { av_packet_unref(packet) }
      try body(packet)
    }
  }

  private func failure(_ result: (code: Int32, line: String)) -> LunervError {
    // x264 and x265 do not say why.
    let reason =
      result.code == Libav.external && result.line.isEmpty
      ? "the encoder failed, possibly for lack of memory" : Libav.text(result)
    return LunervError(.io, "\(path): encoding failed: \(reason)")
  }
}

/// Converts planar RGB to an encoder's picture format.
///
/// `rgb24`, `bgr0` and `gbrp` are exact. YUV is limited range, 8 bits, BT.709 from 720 lines on and
/// otherwise BT.601 (as ``VideoReader`` assumes for untagged video), rounded exactly: 4:4:4 changes
/// R, G or B by at most three levels; 4:2:0 also averages chroma.
final class PictureMaker {
  let frame: UnsafeMutablePointer<AVFrame>
  private let planar: UnsafeMutablePointer<AVFrame>?
  private let scaler: OpaquePointer?
  private let width: Int
  private let height: Int

  init(_ format: AVPixelFormat, width: Int, height: Int) throws {
    Libav.start()
    self.width = width
    self.height = height
    frame = try Self.picture(format, width, height)
    let isYUV = Self.isYUV(format)
    var made: UnsafeMutablePointer<AVFrame>?
    if isYUV {
      do {
        made = try Self.picture(AV_PIX_FMT_GBRP, width, height)
      } catch {
        Self.free(frame)
        throw error
      }
    }
    planar = made
    scaler =
      isYUV
      ? sws_getContext(
        Int32(width), Int32(height), AV_PIX_FMT_GBRP, Int32(width), Int32(height), format,
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT,
        nil, nil, nil) : nil
    guard isYUV else { return }
    guard let scaler else { throw Libav.noMemory("colour conversion") }
    let table = sws_getCoefficients(Colour.assumedMatrix(height: height))
    sws_setColorspaceDetails(scaler, table, 1, table, 0, 0, 1 << 16, 1 << 16)
    // deinit frees everything, even if the guard above throws.
  }

  deinit {
    sws_freeContext(scaler)
    Self.free(planar)
    Self.free(frame)
  }

  private static func isYUV(_ format: AVPixelFormat) -> Bool {
    guard let description = av_pix_fmt_desc_get(format) else { return false }
    return description.pointee.flags & UInt64(AV_PIX_FMT_FLAG_RGB) == 0
  }

  /// Stores the meaning of the colours in the stream.
  static func tag(
    _ context: UnsafeMutablePointer<AVCodecContext>, _ format: AVPixelFormat, height: Int
  ) {
    if !isYUV(format) {
      context.pointee.color_range = AVCOL_RANGE_JPEG
      context.pointee.colorspace = AVCOL_SPC_RGB
    } else {
      let isHD = Colour.assumedMatrix(height: height) == SWS_CS_ITU709
      context.pointee.color_range = AVCOL_RANGE_MPEG
      context.pointee.colorspace = isHD ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M
    }
  }

  /// Fills and returns ``frame``.
  func make(_ rgb: UnsafePointer<UInt8>) throws -> UnsafeMutablePointer<AVFrame> {
    guard av_frame_make_writable(frame) >= 0 else { throw Libav.noMemory("a frame") }
    if let scaler, let planar {
      fillPlanar(rgb, planar)
      let rows = lunerv_scale_frame(scaler, planar, frame)
      guard rows == Int32(height) else {
        throw LunervError(.io, "colour conversion failed: \(Libav.text(min(rows, -1)))")
      }
      return frame
    }
    let format = AVPixelFormat(rawValue: frame.pointee.format)
    guard let description = av_pix_fmt_desc_get(format) else { return frame }
    for channel in 0..<3 {
      let component = lunerv_component(description, Int32(channel))
      guard let data = lunerv_plane(frame, component.plane) else { continue }
      let stride = Int(lunerv_stride(frame, component.plane))
      let step = Int(component.step)
      for y in 0..<height {
        let out = data + (y * stride + Int(component.offset))
        let source = rgb + (channel * height + y) * width
        for x in 0..<width { out[x * step] = source[x] }
      }
    }
    return frame
  }

  private func fillPlanar(_ rgb: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<AVFrame>) {
    // GBRP: plane 0 is G, 1 is B, 2 is R.
    for (channel, plane) in [(0, 2), (1, 0), (2, 1)] {
      guard let data = lunerv_plane(target, Int32(plane)) else { continue }
      let stride = Int(lunerv_stride(target, Int32(plane)))
      for y in 0..<height {
        (data + y * stride).update(from: rgb + (channel * height + y) * width, count: width)
      }
    }
  }

  /// A frame with zeroed buffers.
  private static func picture(
    _ format: AVPixelFormat, _ width: Int, _ height: Int
  ) throws -> UnsafeMutablePointer<AVFrame> {
    let frame = try Libav.newFrame()
    frame.pointee.format = format.rawValue
    frame.pointee.width = Int32(width)
    frame.pointee.height = Int32(height)
    guard av_frame_get_buffer(frame, 0) >= 0 else {
      free(frame)
      throw Libav.noMemory("a \(width)x\(height) picture")
    }
    for plane in 0..<Int32(4) {
      // bgr0's fourth byte reaches the file: it must not be uninitialised memory.
      guard let data = lunerv_plane(frame, plane), plane == 0 else { continue }
      data.update(repeating: 0, count: Int(lunerv_stride(frame, plane)) * height)
    }
    return frame
  }

  private static func free(_ frame: UnsafeMutablePointer<AVFrame>?) {
    var frame = frame
    av_frame_free(&frame)
  }
}
