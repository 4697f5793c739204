import CFFmpeg
@preconcurrency import Glibc
import Support

/// Decodes the main video stream of one file or of standard input ("-").
final class StreamDecoder: FrameSource {
  let path: String
  let frame: UnsafeMutablePointer<AVFrame>
  private(set) var orientation = Orientation()
  let isImage: Bool
  private(set) var frameRate = Rational(25)
  private(set) var timeBase = Rational(1, 25)
  private(set) var hasAudio = false
  private(set) var warnings: [String] = []
  private var found: Damage?
  /// The index of the first damaged picture, whether or not it has been decoded yet.
  private var firstDamaged = Int.max
  private var concealed = 0
  private(set) var decoded = 0

  private let options: VideoOptions
  private let packet: UnsafeMutablePointer<AVPacket>
  private let input: InputFile
  private var codec: UnsafeMutablePointer<AVCodecContext>?
  private var stream: UnsafeMutablePointer<AVStream>?
  private var isDraining = false
  private var isAtEnd = false
  private var packets = 0
  private var failures = 0
  /// An intra picture has come. Pictures before it in a capture cannot be decoded.
  private var hasBegun = false
  /// The decoder conceals damage and reports it only in the log.
  private var logsDamage = false
  private var nextIsConcealed = false
  private var lastPTS: Int64?
  private var lastStep: Int64?
  private var tail = PacketTail()

  /// The positions of the last two packets in the file, to notice a partial one after them.
  private struct PacketTail {
    var position: Int64 = -1
    var size: Int64 = 0
    var pitch: Int64?
  }

  init(path: String, options: VideoOptions) throws {
    self.path = path
    self.options = options
    input = try InputFile(path: path, options: options)
    isImage = input.formatName.hasSuffix("_pipe")
    packet = try Libav.newPacket()
    do {
      frame = try Libav.newFrame()
    } catch {
      var packet: UnsafeMutablePointer<AVPacket>? = packet
      av_packet_free(&packet)
      throw error
    }
    // From here on deinit frees whatever exists, even if opening throws.
    try openCodec()
    describe()
  }

  deinit {
    avcodec_free_context(&codec)
    var frame: UnsafeMutablePointer<AVFrame>? = frame
    av_frame_free(&frame)
    var packet: UnsafeMutablePointer<AVPacket>? = packet
    av_packet_free(&packet)
  }

  // MARK: Opening

  private func openCodec() throws {
    guard let format = input.format else { throw Libav.noMemory("a demuxer") }
    var videos = 0
    for index in 0..<Int(format.pointee.nb_streams) {
      guard let candidate = format.pointee.streams[index] else { continue }
      switch candidate.pointee.codecpar.pointee.codec_type {
      case AVMEDIA_TYPE_AUDIO: hasAudio = true
      case AVMEDIA_TYPE_VIDEO where candidate.pointee.disposition & AV_DISPOSITION_ATTACHED_PIC == 0:
        videos += 1
      default: break
      }
    }
    let best = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, nil, 0)
    guard videos > 0, best >= 0, let stream = format.pointee.streams[Int(best)],
      stream.pointee.disposition & AV_DISPOSITION_ATTACHED_PIC == 0
    else {
      throw LunervError(
        .data, "\(path): holds no video stream" + (hasAudio ? ", only audio" : ""))
    }
    self.stream = stream
    if hasAudio { warnings.append("audio dropped") }
    if videos > 1 {
      warnings.append("only the main of \(videos) video streams is read")
    }
    for index in 0..<Int(format.pointee.nb_streams) where index != Int(best) {
      format.pointee.streams[index]?.pointee.discard = AVDISCARD_ALL
    }

    let parameters = stream.pointee.codecpar
    guard let parameters else { throw Libav.noMemory("a decoder") }
    let id = parameters.pointee.codec_id
    guard let decoder = avcodec_find_decoder(id) else {
      throw LunervError(
        .data, "\(path): there is no decoder for '\(String(cString: avcodec_get_name(id)))'")
    }
    codec = avcodec_alloc_context3(decoder)
    guard let codec else { throw Libav.noMemory("a decoder") }
    let copied = avcodec_parameters_to_context(codec, parameters)
    guard copied >= 0 else {
      throw LunervError(.data, "\(path): bad stream parameters: \(Libav.text(copied))")
    }
    codec.pointee.pkt_timebase = stream.pointee.time_base
    codec.pointee.max_pixels = Int64(options.maxPixels)
    codec.pointee.thread_count = Int32(options.threads)
    codec.pointee.err_recognition |= AV_EF_CRCCHECK
    // Images have no other picture to conceal errors with.
    if isImage { codec.pointee.err_recognition |= AV_EF_EXPLODE }
    if id == AV_CODEC_ID_FFV1 {
      // Checksum errors are logged, on this thread unless threads decode whole frames.
      logsDamage = true
      codec.pointee.thread_type = FF_THREAD_SLICE
    }
    let opened = Libav.listening { avcodec_open2(codec, decoder, nil) }
    guard opened.code >= 0 else {
      throw LunervError(
        .data,
        "\(path): the decoder '\(String(cString: decoder.pointee.name))' does not start: "
          + Libav.text(opened))
    }
  }

  /// Reads rate, time base and orientation, and adds warnings.
  private func describe() {
    guard let format = input.format, let stream else { return }
    timeBase = Rational(stream.pointee.time_base)
    if !timeBase.isPositive { timeBase = Rational(1, 25) }
    // H.264 in AVI counts fields; AVI's own header counts frames.
    let nominal =
      input.isFormat("avi") && stream.pointee.r_frame_rate.num > 0
      ? Rational(stream.pointee.r_frame_rate) : Rational(av_guess_frame_rate(format, stream, nil))
    let average = Rational(stream.pointee.avg_frame_rate)
    // The nominal rate is the cleaner ratio, but if the rate varies it is only the finest.
    if nominal.isPositive,
      !average.isPositive || input.isFormat("avi")
        || abs(nominal.value - average.value) < 0.01 * average.value
    {
      frameRate = nominal
    } else if average.isPositive {
      frameRate = average
    }
    if let data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, nil) {
      setOrientation(data)
    }
    let aspect = stream.pointee.sample_aspect_ratio
    if aspect.num > 0, aspect.den > 0, aspect.num != aspect.den {
      warnings.append("pixels are not square (\(aspect.num):\(aspect.den)); kept as stored")
    }
  }

  private func setOrientation(_ data: UnsafePointer<UInt8>) {
    let read = UnsafeRawPointer(data).withMemoryRebound(to: Int32.self, capacity: 9) {
      Orientation(displayMatrix: $0)
    }
    if let read {
      orientation = read
    } else {
      warn("a rotation that is not a right angle is ignored")
    }
  }

  private func warn(_ text: String) {
    if !warnings.contains(text) { warnings.append(text) }
  }

  // MARK: Decoding

  func next() throws -> FrameTime? {
    guard let codec, !isAtEnd else { return nil }
    while true {
      try input.stopIfInterrupted()
      let received = Libav.listening { avcodec_receive_frame(codec, frame) }
      listen(received)
      switch received.code {
      case 0...:
        guard frame.pointee.width > 0, frame.pointee.height > 0 else {
          try note(failure: "an empty picture")
          continue
        }
        try input.checkSize(Int(frame.pointee.width), Int(frame.pointee.height))
        inspect()
        decoded += 1
        return time()
      case Libav.endOfFile:
        isAtEnd = true
        return nil
      case Libav.tryAgain:
        try feed(codec)
        if isAtEnd { return nil }
      case Libav.outOfMemory:
        throw Libav.noMemory("decoding \(path)")
      default:
        try note(failure: Libav.text(received))
      }
    }
  }

  /// Passes the next packet to the decoder, or the end of the stream.
  private func feed(_ codec: UnsafeMutablePointer<AVCodecContext>) throws {
    guard let format = input.format, let stream, !isDraining else {
      // A decoder that asks for more after the end has nothing left.
      isAtEnd = isDraining
      return
    }
    while true {
      try input.stopIfInterrupted()
      let read = Libav.listening { av_read_frame(format, packet) }
      if read.code == Libav.tryAgain {
        usleep(1000)
        continue
      }
      guard read.code >= 0 else {
        try input.stopIfInterrupted()
        endOfPackets(read, format, stream)
        isDraining = true
        avcodec_send_packet(codec, nil)
        return
      }
      defer { av_packet_unref(packet) }
      guard packet.pointee.stream_index == stream.pointee.index else { continue }
      if packet.pointee.flags & AV_PKT_FLAG_CORRUPT != 0 {
        // Cut off by the end of the file, or damaged in transit.
        if format.pointee.pb?.pointee.eof_reached != 0 {
          record("the file ends early", atEnd: true)
        } else {
          // Pictures are in another order than packets, but at most this far apart.
          let before = max(decoded, packets - Int(codec.pointee.has_b_frames))
          if hasBegun || decoded > 0 { record("a packet is corrupt", atLeast: before) }
          packets += 1
        }
        continue
      }
      if packet.pointee.size == 0, packet.pointee.side_data_elems == 0 {
        // The decoder would take it for the end.
        warn("empty samples (dropped frames) are skipped")
        continue
      }
      packets += 1
      if packet.pointee.flags & AV_PKT_FLAG_KEY != 0 {
        hasBegun = true
      } else if !hasBegun {
        warn(
          "the video begins in the middle of a group of pictures; frames that cannot be decoded "
            + "before the next one are left out")
      }
      if packet.pointee.pos >= 0 {
        if tail.position >= 0 { tail.pitch = packet.pointee.pos - tail.position }
        tail.position = packet.pointee.pos
        tail.size = Int64(packet.pointee.size)
      }
      let sent = Libav.listening { avcodec_send_packet(codec, packet) }
      if sent.code == Libav.outOfMemory { throw Libav.noMemory("decoding \(path)") }
      listen(sent)
      if sent.code < 0 { try note(failure: Libav.text(sent)) }
      return
    }
  }

  private func note(failure: String) throws {
    failures += 1
    // A decoder that only fails must not keep us in this loop forever.
    if failures > 100_000 {
      throw LunervError(.data, "\(path): too many decoding errors: \(failure)")
    }
    if hasBegun || decoded > 0 { record(failure) }
  }

  /// Records what a successful call logged nevertheless.
  private func listen(_ result: (code: Int32, line: String)) {
    guard logsDamage, result.code >= 0, !result.line.isEmpty else { return }
    record(result.line)
    nextIsConcealed = true
  }

  /// - Parameter atLeast: the number of sound pictures; nil is all that have been decoded.
  private func record(
    _ what: String, declared: Int? = nil, atEnd: Bool = false, atLeast: Int? = nil
  ) {
    if found == nil { found = Damage(what: what) }
    if !atEnd { firstDamaged = min(firstDamaged, atLeast ?? decoded) }
    if let declared { found?.declared = declared }
  }

  /// The damage found in the file so far.
  var damage: Damage? {
    var damage = found
    damage?.comesLater = decoded <= firstDamaged
    damage?.concealed = concealed
    return damage
  }

  /// Checks the metadata of a decoded frame.
  private func inspect() {
    if frame.pointee.decode_error_flags != 0 || frame.pointee.flags & AV_FRAME_FLAG_CORRUPT != 0 {
      record("a picture is damaged")
      nextIsConcealed = true
    }
    if nextIsConcealed { concealed += 1 }
    nextIsConcealed = false
    if let stream, av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, nil) == nil {
      // Image formats and some streams store the rotation per frame.
      if let side = av_frame_get_side_data(frame, AV_FRAME_DATA_DISPLAYMATRIX),
        side.pointee.size >= 36, let data = side.pointee.data
      {
        setOrientation(data)
      } else {
        orientation = Orientation()
      }
    }
    let format = AVPixelFormat(rawValue: frame.pointee.format)
    if let description = av_pix_fmt_desc_get(format) {
      if description.pointee.flags & UInt64(AV_PIX_FMT_FLAG_ALPHA) != 0 { warn("alpha dropped") }
      if description.pointee.comp.0.depth > 8 {
        warn("\(description.pointee.comp.0.depth)-bit samples are rounded to 8 bits")
      }
    }
    if Colour(frame, format, isImage: isImage).isApproximate {
      warn("the colour matrix is not supported; a standard one is used")
    }
  }

  /// The frame's time: the one in the file, made strictly increasing.
  private func time() -> FrameTime {
    var pts = frame.pointee.best_effort_timestamp
    if let last = lastPTS {
      // A picture without a time follows after the same interval as the previous one did.
      let nominal = FrameTime(pts: 1, timeBase: frameRate.inverse).ticks(of: timeBase) ?? 1
      let step = max(1, lastStep ?? nominal)
      if pts == Libav.noTimestamp {
        pts = last.addingReportingOverflow(step).partialValue
      }
      if pts <= last {
        warn("timestamps that do not increase were repaired")
        pts = last.addingReportingOverflow(1).partialValue
      }
    } else if pts == Libav.noTimestamp {
      pts = 0
    }
    lastStep = lastPTS.map { pts.subtractingReportingOverflow($0).partialValue }
    lastPTS = pts
    return FrameTime(pts: pts, timeBase: timeBase)
  }

  // MARK: Announced lengths

  /// Compares what was read with what the container announced.
  private func endOfPackets(
    _ read: (code: Int32, line: String), _ format: UnsafeMutablePointer<AVFormatContext>,
    _ stream: UnsafeMutablePointer<AVStream>
  ) {
    if read.code != Libav.endOfFile { record(Libav.text(read), atEnd: true) }
    if let code = format.pointee.pb?.pointee.error, code < 0, code != Libav.endOfFile {
      record(Libav.text(code), atEnd: true)
    }
    if input.isFormat("mov") {
      // The index lists every packet, and unlike `nb_frames` none that edit lists cut. Some
      // demuxers skip empty ones silently.
      let entries = avformat_index_get_entries_count(stream)
      let declared = (0..<entries).count { avformat_index_get_entry(stream, $0).pointee.size > 0 }
      if declared < entries { warn("empty samples (dropped frames) are skipped") }
      if declared > packets { record("the file ends early", declared: declared, atEnd: true) }
    }
    if let size = input.size, let end = DeclaredEnd.of(input), end > size {
      record("the file ends early", declared: declaredByDuration, atEnd: true)
    }
    if input.isFormat("yuv4mpegpipe"), let io = format.pointee.pb {
      // This demuxer silently drops a partial last frame. Frame headers may have parameters, so the
      // distance between two frames is more reliable than a frame's size.
      let end = avio_tell(io)
      let expected = tail.position + (tail.pitch ?? tail.size + 6)
      if packets > 0, end > expected {
        record("the last frame is cut short", declared: packets + 1, atEnd: true)
      }
    }
  }

  /// How many frames the container's duration holds; nil if the audio may be longer.
  private var declaredByDuration: Int? {
    guard let duration = input.format?.pointee.duration, duration > 0, !hasAudio else { return nil }
    return FrameTime(pts: duration, timeBase: Rational(1, 1_000_000))
      .ticks(of: frameRate.inverse).map { Int($0) }
  }
}
