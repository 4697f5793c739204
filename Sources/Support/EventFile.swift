import Glibc

/// Writes scalars, images and histograms to a TensorBoard event file.
///
/// Each process writes a new file, as TensorBoard expects. A resumed run states its first step;
/// TensorBoard then ignores that step and later ones in older files of the folder. The format is
/// TFRecord framing around the Event message of TensorFlow's `event.proto`. Not to be shared
/// between threads.
public final class EventFile {
  public let path: String
  private let descriptor: Descriptor
  private var pending: [UInt8] = []
  /// Bytes of whole records in the file.
  private var written = 0

  /// Starts a new event file in `folder`, which is created if missing. `resumedAt` is the first
  /// step that this process will compute again; nil for a new run.
  public init(folder: String, resumedAt step: Int? = nil) throws {
    try Files.makeDirectories(folder)
    // TensorBoard reads the files of a folder by name and never returns to an earlier one: even if
    // the clock was set back, this file must sort after the others.
    let last = try Files.list(folder).compactMap(EventFile.timestamp).max()
    let stamp = max(Int(time(nil)), last.map { min($0, .max - 1) + 1 } ?? 0)
    let digits = String(stamp)
    let padded = String(repeating: "0", count: max(0, 10 - digits.count)) + digits
    path = "\(folder)/\(EventFile.prefix)\(padded).\(getpid()).lunerv"
    descriptor = try Descriptor.open(path, O_WRONLY | O_CREAT | O_EXCL)
    append(step: 0) { $0.field(3, text: "brain.Event:2") }
    if let step {
      // SessionLog START makes TensorBoard purge the steps from here on.
      append(step: step) { $0.field(7) { $0.field(1, varint: 1) } }
    }
    try flush()
  }

  deinit {
    try? flush()
  }

  /// Adds one point of the curve `tag`. It is written once enough are pending, or by ``flush()``.
  public func scalar(_ tag: String, _ value: Double, step: Int) throws {
    try summary(tag, step: step) { $0.field(2, float: Float(value)) }
  }

  /// Adds an image to the row `tag`: a PNG file of this size and number of channels.
  public func image(
    _ tag: String, png: [UInt8], height: Int, width: Int, channels: Int, step: Int
  ) throws {
    try summary(tag, step: step) { value in
      value.field(4) { image in
        image.field(1, varint: UInt64(max(0, height)))
        image.field(2, varint: UInt64(max(0, width)))
        image.field(3, varint: UInt64(max(0, channels)))
        image.field(4, content: png)
      }
    }
  }

  /// Counts of numbers between edges, and the moments of all numbers.
  public struct Histogram: Sendable {
    public var minimum = 0.0
    public var maximum = 0.0
    public var count = 0.0
    public var sum = 0.0
    public var sumOfSquares = 0.0
    /// The upper edge of each bin.
    public var limits: [Double] = []
    /// The count of each bin, one per limit.
    public var counts: [Double] = []

    public init() {}
  }

  /// Adds a histogram to the row `tag`.
  public func histogram(_ tag: String, _ histogram: Histogram, step: Int) throws {
    try summary(tag, step: step) { value in
      value.field(5) { message in
        message.field(1, double: histogram.minimum)
        message.field(2, double: histogram.maximum)
        message.field(3, double: histogram.count)
        message.field(4, double: histogram.sum)
        message.field(5, double: histogram.sumOfSquares)
        message.field(6, doubles: histogram.limits)
        message.field(7, doubles: histogram.counts)
      }
    }
  }

  /// Adds an event with one value of a summary.
  private func summary(_ tag: String, step: Int, _ body: (inout ProtobufWriter) -> Void) throws {
    guard descriptor.number >= 0 else {
      throw LunervError(.io, "the event file '\(path.printable)' is already closed")
    }
    append(step: step) { event in
      event.field(5) { summary in
        summary.field(1) { value in
          value.field(1, text: tag)
          body(&value)
        }
      }
    }
    if pending.count >= 1 << 14 { try flush() }
  }

  /// Passes everything to the kernel, so that other programs see it. If that fails (a full disk),
  /// the file keeps its complete records and the points stay pending for the next attempt.
  public func flush() throws {
    do { try pending.withUnsafeBytes { try descriptor.write($0) } } catch {
      if ftruncate(descriptor.number, written) == 0 {
        lseek(descriptor.number, written, SEEK_SET)
      }
      throw error
    }
    written += pending.count
    pending.removeAll(keepingCapacity: true)
  }

  /// Flushes and closes. Nothing can be added afterwards.
  public func close() throws {
    guard descriptor.number >= 0 else { return }
    try flush()
    try descriptor.close()
  }

  private static let prefix = "events.out.tfevents."

  private static func timestamp(_ name: String) -> Int? {
    guard name.hasPrefix(prefix) else { return nil }
    return Int(name.dropFirst(prefix.count).prefix { $0.isASCII && $0.isNumber })
  }

  private func append(step: Int, _ body: (inout ProtobufWriter) -> Void) {
    var event = ProtobufWriter()
    event.field(1, double: Environment.wallTime())
    if step != 0 { event.field(2, varint: UInt64(bitPattern: Int64(step))) }
    body(&event)
    let length = withUnsafeBytes(of: UInt64(event.bytes.count).littleEndian) { Array($0) }
    pending += length + EventFile.maskedChecksum(length)
    pending += event.bytes + EventFile.maskedChecksum(event.bytes)
  }

  /// TFRecord rotates and offsets its checksums: a plain CRC is weak for data that contains CRCs.
  private static func maskedChecksum(_ bytes: [UInt8]) -> [UInt8] {
    let crc = CRC32C.checksum(bytes)
    let masked = (crc >> 15 | crc << 17) &+ 0xA282_EAD8
    return withUnsafeBytes(of: masked.littleEndian) { Array($0) }
  }
}

/// The wire types of protocol buffers that events need.
private struct ProtobufWriter {
  private(set) var bytes: [UInt8] = []

  mutating func field(_ number: UInt64, varint value: UInt64) {
    varint(number << 3)
    varint(value)
  }

  mutating func field(_ number: UInt64, double value: Double) {
    varint(number << 3 | 1)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func field(_ number: UInt64, float value: Float) {
    varint(number << 3 | 5)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func field(_ number: UInt64, text: String) {
    field(number, content: Array(text.utf8))
  }

  mutating func field(_ number: UInt64, message body: (inout ProtobufWriter) -> Void) {
    var inner = ProtobufWriter()
    body(&inner)
    field(number, content: inner.bytes)
  }

  /// A packed list.
  mutating func field(_ number: UInt64, doubles: [Double]) {
    var content: [UInt8] = []
    content.reserveCapacity(8 * doubles.count)
    for value in doubles {
      withUnsafeBytes(of: value.bitPattern.littleEndian) { content.append(contentsOf: $0) }
    }
    field(number, content: content)
  }

  mutating func field(_ number: UInt64, content: [UInt8]) {
    varint(number << 3 | 2)
    varint(UInt64(content.count))
    bytes.append(contentsOf: content)
  }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
