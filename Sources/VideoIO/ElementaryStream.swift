import CFFmpeg

/// H.264 or H.265 without a container: only what a codec needs to decode the frames, so the size of
/// the file is the size of the video.
///
/// Frames keep their order but not their times. SEI messages of H.264, which decoders may ignore,
/// are left out: x264 stores one of some 700 bytes.
final class ElementarySink: FrameSink {
  private let file: PendingFile
  private let sink: ByteSink
  private let encoder: StreamEncoder
  private let isH264: Bool

  init(path: String, settings: StreamEncoder.Settings, width: Int, height: Int) throws {
    encoder = try StreamEncoder(settings, width: width, height: height, path: path)
    isH264 = settings.name == "libx264"
    file = try PendingFile(target: path)
    sink = try ByteSink(path: file.temporary, name: path)
  }

  func write(_ rgb: UnsafePointer<UInt8>, pts: Int64) throws {
    try encoder.encode(rgb, pts: pts, put)
  }

  func finish() throws {
    try encoder.encode(nil, pts: 0, put)
    try sink.close()
    try file.publish()
  }

  func abandon() {
    try? sink.close()
    file.discard()
  }

  private func put(_ packet: UnsafeMutablePointer<AVPacket>) throws {
    let bytes = UnsafeRawBufferPointer(
      start: packet.pointee.data, count: Int(packet.pointee.size))
    for unit in Self.units(of: bytes) where !(isH264 && Self.isSEI(bytes, unit)) {
      try sink.write(UnsafeRawBufferPointer(rebasing: bytes[unit]))
    }
  }

  /// The ranges of a packet's units, each with the start code before it (ITU-T H.264, annex B).
  static func units(of bytes: UnsafeRawBufferPointer) -> [Range<Int>] {
    var starts: [Int] = []
    var i = 0
    while i + 3 <= bytes.count {
      if bytes[i] == 0, bytes[i + 1] == 0, bytes[i + 2] == 1 {
        // A start code may be led by one more zero.
        starts.append(i > 0 && bytes[i - 1] == 0 ? i - 1 : i)
        i += 3
      } else {
        i += 1
      }
    }
    // Bytes before the first start code belong to the first unit.
    if starts.isEmpty { return bytes.isEmpty ? [] : [0..<bytes.count] }
    starts[0] = 0
    return zip(starts, starts.dropFirst() + [bytes.count]).map { $0..<$1 }
  }

  /// Whether a NAL unit of H.264 is an SEI message (type 6).
  private static func isSEI(_ bytes: UnsafeRawBufferPointer, _ unit: Range<Int>) -> Bool {
    guard let one = bytes[unit].firstIndex(of: 1), one + 1 < unit.upperBound else { return false }
    return bytes[one + 1] & 0x1f == 6
  }
}
