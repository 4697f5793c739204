import CFFmpeg
import Support

/// Reads a finished container back, before it gets its name. libavformat overlooks a lack of memory
/// in places where it writes headers, indexes and pictures: the file would not play, or have wrong
/// times.
struct ContainerCheck {
  private struct Packet {
    var time: Int64
    var size: Int32
    var isKey: Bool

    init(_ packet: UnsafeMutablePointer<AVPacket>) {
      (time, size) = (packet.pointee.pts, packet.pointee.size)
      isKey = packet.pointee.flags & AV_PKT_FLAG_KEY != 0
    }
  }

  private let container: String
  private let codec: AVCodecID
  private let size: [Int32]
  private let hasHeaders: Bool
  private var written: [Packet] = []
  private var timeBase = Rational(1, 1)

  /// Nil for a container that does not store what is compared.
  ///
  /// - Parameters:
  ///   - container: the short name of its format.
  ///   - encoder: open.
  init?(container: String, encoder: UnsafeMutablePointer<AVCodecContext>) {
    guard ["matroska", "mov", "mp4"].contains(container) else { return nil }
    self.container = container
    codec = encoder.pointee.codec_id
    size = [encoder.pointee.width, encoder.pointee.height]
    hasHeaders = encoder.pointee.extradata_size > 0
  }

  /// Records a packet that is about to be written.
  mutating func add(_ packet: UnsafeMutablePointer<AVPacket>, _ base: Rational) {
    written.append(Packet(packet))
    timeBase = base
  }

  /// - Throws: unless the file has one stream of this kind with a packet at every recorded time, none
  ///   of them smaller. (H.264 may grow by its units' lengths.)
  func verify(_ url: String) throws {
    var format: UnsafeMutablePointer<AVFormatContext>?
    let opened = Libav.listening {
      avformat_open_input(&format, url, av_find_input_format(container), nil)
    }
    guard opened.code >= 0, let context = format else {
      throw LunervError(.io, "it cannot be read back: \(Libav.text(opened))")
    }
    defer { avformat_close_input(&format) }
    guard context.pointee.nb_streams == 1, let stream = context.pointee.streams[0],
      let found = stream.pointee.codecpar, found.pointee.codec_id == codec,
      [found.pointee.width, found.pointee.height] == size,
      found.pointee.extradata_size > 0 || !hasHeaders
    else { throw LunervError(.io, "read back, it has no such stream") }
    let packet = try Libav.newPacket()
    var owned: UnsafeMutablePointer<AVPacket>? = packet
    defer { av_packet_free(&owned) }
    var read: [Packet] = []
    while true {
      let code = av_read_frame(context, packet)
      if code == Libav.endOfFile { break }
      guard code >= 0 else {
        throw LunervError(.io, "it cannot be read back: \(Libav.text(code))")
      }
      defer { av_packet_unref(packet) }
      guard codec != AV_CODEC_ID_H264 || Self.isWhole(packet, found) else {
        throw LunervError(.io, "read back, frame \(read.count + 1) is damaged")
      }
      var next = Packet(packet)
      next.time = av_rescale_q(next.time, stream.pointee.time_base, timeBase.av)
      read.append(next)
    }
    guard read.count == written.count, let first = (read.map(\.time).min()),
      let start = (written.map(\.time).min())
    else {
      throw LunervError(.io, "read back, it has \(read.count) of \(written.count) frames")
    }
    let pairs = zip(read.sorted { $0.time < $1.time }, written.sorted { $0.time < $1.time })
    // A container may move all times.
    let areSame = pairs.allSatisfy {
      $0.time - first == $1.time - start && $0.size >= $1.size && $0.isKey == $1.isKey
    }
    guard areSame else {
      throw LunervError(.io, "read back, its frames are not those that were written")
    }
  }

  /// Whether a packet of H.264 is a sequence of units, each after its length.
  private static func isWhole(
    _ packet: UnsafeMutablePointer<AVPacket>, _ stream: UnsafeMutablePointer<AVCodecParameters>
  ) -> Bool {
    // ISO/IEC 14496-15, AVCDecoderConfigurationRecord: the version 1, and in byte 4 the bytes of a
    // length.
    guard let bytes = packet.pointee.data, let headers = stream.pointee.extradata,
      stream.pointee.extradata_size > 4, headers[0] == 1
    else { return false }
    let (width, count) = (Int(headers[4] & 3) + 1, Int(packet.pointee.size))
    var at = 0
    while at < count {
      guard count - at > width else { return false }
      let length = (0..<width).reduce(0) { $0 << 8 | Int(bytes[at + $1]) }
      guard length > 0 else { return false }
      at += width + length
    }
    return at == count
  }
}
