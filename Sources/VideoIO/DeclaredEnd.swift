@preconcurrency import Glibc
import Support

/// Where a file should end according to its own headers: a recording that was cut off ends
/// elsewhere.
enum DeclaredEnd {
  /// In bytes from the file's beginning; nil if its format, or this file, does not say.
  static func of(_ input: InputFile) -> Int? {
    guard let size = input.size else { return nil }
    guard let file = try? Descriptor.open(input.path, O_RDONLY) else { return nil }
    let bytes = Bytes(file: file, size: size)
    if input.isFormat("avi") { return riff(bytes) }
    if input.isFormat("matroska") { return segment(bytes) }
    if input.isFormat("mpegts") { return packets(bytes) }
    return nil
  }

  /// A sliding window on a file.
  private final class Bytes {
    private let file: Descriptor
    let size: Int
    private var window: [UInt8] = []
    private var start = 0

    init(file: Descriptor, size: Int) {
      self.file = file
      self.size = size
    }

    /// The byte at a position; nil past the end.
    func at(_ position: Int) -> UInt8? {
      guard position >= 0, position < size else { return nil }
      if position < start || position >= start + window.count {
        window = [UInt8](repeating: 0, count: 4096)
        let count = window.withUnsafeMutableBytes {
          pread(file.number, $0.baseAddress, $0.count, position)
        }
        window.removeLast(window.count - max(0, count))
        start = position
        if window.isEmpty { return nil }
      }
      return window[position - start]
    }
  }

  /// "RIFF", then the length of what follows, little-endian; 0 while a file is being written.
  private static func riff(_ bytes: Bytes) -> Int? {
    let head = (0..<8).compactMap(bytes.at)
    guard head.count == 8, head.starts(with: "RIFF".utf8) else { return nil }
    let length = (0..<4).reduce(0) { $0 | Int(head[4 + $1]) << (8 * $1) }
    return length == 0 || length == 0xffff_ffff ? nil : 8 + length
  }

  /// Transport streams consist of packets of 188 bytes, or of 4 or 16 more, each starting with a
  /// sync byte. A capture may begin within a packet.
  private static func packets(_ bytes: Bytes) -> Int? {
    for size in [188, 192, 204] {
      let start = (0..<size).first { at in
        (0..<5).allSatisfy { bytes.at(at + $0 * size).map { $0 == 0x47 } ?? true }
      }
      guard let start else { continue }
      let rest = (bytes.size - start) % size
      // In longer packets, the sync byte is not the first byte.
      return rest == 0 || size != 188 ? nil : bytes.size + size - rest
    }
    return nil
  }

  // MARK: Matroska

  private enum Element {
    static let header = 0x1A45_DFA3
    static let segment = 0x1853_8067
    static let cluster = 0x1F43_B675
  }

  /// An EBML number: the leading zero bits of the first byte say how many bytes follow. `value` is
  /// nil if all its bits are set, which stands for "unknown" in lengths.
  private static func number(
    _ bytes: Bytes, _ at: Int, keepingMarker: Bool
  ) -> (value: Int?, next: Int)? {
    guard let first = bytes.at(at), first != 0 else { return nil }
    let length = first.leadingZeroBitCount + 1
    var value = keepingMarker ? Int(first) : Int(first) & ((1 << (8 - length)) - 1)
    for i in 1..<max(length, 1) {
      guard let byte = bytes.at(at + i) else { return nil }
      value = value << 8 | Int(byte)
    }
    let isUnknown = !keepingMarker && value == (1 << (7 * length)) - 1
    return (isUnknown ? nil : value, at + length)
  }

  /// An element's identifier, the position of its content and the content's length.
  private static func element(_ bytes: Bytes, _ at: Int) -> (id: Int, start: Int, length: Int?)? {
    guard let id = number(bytes, at, keepingMarker: true), let name = id.value,
      let length = number(bytes, id.next, keepingMarker: false)
    else { return nil }
    return (name, length.next, length.value)
  }

  /// The EBML header, then the segment. For a segment without a length (a browser's recording, a
  /// live stream), the end of the element in which the file ends.
  private static func segment(_ bytes: Bytes) -> Int? {
    guard let header = element(bytes, 0), header.id == Element.header, let length = header.length,
      length < bytes.size, let segment = element(bytes, header.start + length),
      segment.id == Element.segment
    else { return nil }
    if let length = segment.length {
      let (end, overflows) = segment.start.addingReportingOverflow(length)
      return overflows ? nil : end
    }
    var at = segment.start
    while at < bytes.size {
      // Too few bytes remain for an identifier and a length.
      guard let next = element(bytes, at) else { return bytes.size - at < 12 ? at + 12 : nil }
      if let length = next.length {
        let (end, overflows) = next.start.addingReportingOverflow(length)
        if overflows { return nil }
        at = end
      } else {
        // A cluster without a length ends where the next one begins: its parts follow each other.
        guard next.id == Element.cluster else { return nil }
        at = next.start
      }
    }
    return at
  }
}
