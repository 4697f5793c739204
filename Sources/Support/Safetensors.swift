/// The element types of safetensors files that are supported, by their names in the format.
public enum StoredType: String, Sendable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"
  case i32 = "I32"
  case u8 = "U8"
  /// One byte per element; readers take every byte except 0 as true.
  case bool = "BOOL"

  /// Bytes per element.
  public var size: Int {
    switch self {
    case .f64, .i64: 8
    case .f32, .i32: 4
    case .f16, .bf16: 2
    case .u8, .bool: 1
    }
  }

  /// Bytes of a tensor of this type; nil if that overflows an `Int`.
  public func byteCount(shape: [Int]) -> Int? {
    var total = size
    for extent in shape where extent != 0 {
      let (product, overflow) = total.multipliedReportingOverflow(by: extent)
      if overflow || extent < 0 { return nil }
      total = product
    }
    return shape.contains(0) ? 0 : total
  }
}

/// A safetensors file, mapped and validated: an 8-byte little-endian header length, a JSON header,
/// then the tensors' bytes without gaps. The whole header is checked when the file is opened, so
/// ``withBytes(of:_:)`` needs no checks. The bytes may lie at any address: load them unaligned.
public final class SafetensorsFile: Sendable {
  public struct Entry: Sendable, Equatable {
    public let name: String
    public let type: StoredType
    /// Outermost dimension first; empty for a scalar.
    public let shape: [Int]
    /// The position of its bytes from the start of the file.
    public let range: Range<Int>
  }

  /// A tensor of an unsupported type.
  public struct Foreign: Sendable, Equatable {
    public let name: String
    /// As the format names it: I16, F8_E4M3, …
    public let typeName: String
  }

  public let path: String
  /// The tensors in the order of their bytes.
  public let entries: [Entry]
  /// Those of unsupported types, in the order of their bytes; empty if they are rejected.
  public let foreign: [Foreign]
  /// The string pairs of `__metadata__`, in their order.
  public let metadata: [(key: String, value: String)]
  private let indices: [String: Int]
  private let file: MappedFile

  /// Tensors of types that ``StoredType`` lacks are an error, or are listed in ``foreign``.
  public init(_ path: String, allowsForeign: Bool = false) throws {
    file = try MappedFile(path)
    self.path = path
    let header: SafetensorsHeader
    do {
      header = try file.withBytes { try SafetensorsHeader($0, allowsForeign: allowsForeign) }
    } catch let error as LunervError {
      throw error.adding("in '\(path.printable)'")
    }
    entries = header.entries
    foreign = header.foreign
    metadata = header.metadata
    indices = header.indices
  }

  public func entry(_ name: String) -> Entry? {
    indices[name].map { entries[$0] }
  }

  /// The value of a metadata key.
  public func metadataValue(_ key: String) -> String? {
    metadata.first { $0.key == key }?.value
  }

  /// Lends the raw little-endian bytes of one of this file's entries to `body`. The pointer must
  /// not escape, since the file is unmapped after its last use.
  public func withBytes<Result>(
    of entry: Entry, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try file.withBytes { bytes in
      precondition(entry.range.upperBound <= bytes.count, "an entry of another file")
      return try body(UnsafeRawBufferPointer(rebasing: bytes[entry.range]))
    }
  }
}

/// The validated header of a safetensors image in memory.
public struct SafetensorsHeader: Sendable {
  public let entries: [SafetensorsFile.Entry]
  public let foreign: [SafetensorsFile.Foreign]
  public let metadata: [(key: String, value: String)]
  let indices: [String: Int]

  /// A longer header is rejected before it is parsed.
  public static let lengthLimit = 16 << 20
  static let rankLimit = 32
  static let metadataKey = "__metadata__"

  /// What the header states for a tensor; `type` is nil for an unsupported one.
  private struct Description {
    let name: String
    let typeName: String
    let type: StoredType?
    let shape: [Int]
    let range: Range<Int>
  }

  /// Reads and checks the header of `image`, a whole safetensors file.
  public init(_ image: UnsafeRawBufferPointer, allowsForeign: Bool = false) throws {
    guard image.count >= 8 else {
      throw LunervError(.data, "not a safetensors file: it has only \(image.count) bytes")
    }
    let length = UInt64(littleEndian: image.loadUnaligned(as: UInt64.self))
    guard length <= SafetensorsHeader.lengthLimit else {
      throw LunervError(
        .data,
        "not a safetensors file: its header has \(length) bytes, more than the "
          + "\(SafetensorsHeader.lengthLimit) allowed")
    }
    let dataStart = 8 + Int(length)
    guard dataStart <= image.count else {
      throw LunervError(
        .data,
        "truncated safetensors file: its header has \(length) bytes, "
          + "but only \(image.count - 8) follow")
    }
    let text = UnsafeRawBufferPointer(rebasing: image[8..<dataStart])
    guard text.first == UInt8(ascii: "{") else {
      throw LunervError(.data, "not a safetensors file: its header is not a JSON object")
    }
    let limits = JSON.Limits(depth: 4, bytes: SafetensorsHeader.lengthLimit)
    guard case .object(let members) = try JSON.parse(text, limits: limits) else {
      throw LunervError(.data, "not a safetensors file: its header is not a JSON object")
    }

    var all: [Description] = []
    var metadata: [(key: String, value: String)] = []
    all.reserveCapacity(members.count)
    for member in members {
      if member.key == SafetensorsHeader.metadataKey {
        metadata = try SafetensorsHeader.readMetadata(member.value)
      } else {
        do {
          let described = try SafetensorsHeader.read(
            member.key, member.value, dataStart: dataStart, dataEnd: image.count)
          if described.type == nil, !allowsForeign {
            let known = StoredType.allCases.map(\.rawValue).joined(separator: " ")
            throw LunervError(
              .data,
              "unsupported dtype '\(described.typeName.printable)' (supported: \(known))")
          }
          all.append(described)
        } catch let error as LunervError {
          throw error.adding("tensor '\(member.key.printable)'")
        }
      }
    }
    // Empty tensors start where the next tensor starts, so sort by end too.
    all.sort {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    _ = try SafetensorsHeader.index(all.map(\.name))
    try SafetensorsHeader.checkContiguous(all, from: dataStart, to: image.count)
    entries = all.compactMap { one in
      one.type.map { .init(name: one.name, type: $0, shape: one.shape, range: one.range) }
    }
    foreign = all.compactMap { one in
      one.type == nil ? .init(name: one.name, typeName: one.typeName) : nil
    }
    self.indices = try SafetensorsHeader.index(entries.map(\.name))
    self.metadata = metadata
  }

  private static func readMetadata(_ json: JSON) throws -> [(key: String, value: String)] {
    guard case .object(let members) = json else {
      throw LunervError(.data, "'\(metadataKey)' is not an object")
    }
    return try members.map { member in
      guard case .string(let text) = member.value else {
        throw LunervError(.data, "metadata '\(member.key.printable)' is not a string")
      }
      return (member.key, text)
    }
  }

  private static func read(
    _ name: String, _ json: JSON, dataStart: Int, dataEnd: Int
  ) throws -> Description {
    guard case .object(let members) = json, members.count == 3,
      let typeName = json["dtype"]?.stringValue,
      let shapeList = json["shape"]?.arrayValue,
      let offsetList = json["data_offsets"]?.arrayValue
    else {
      throw LunervError(
        .data, "expected an object of 'dtype', 'shape' and 'data_offsets', and nothing else")
    }
    guard shapeList.count <= rankLimit else {
      throw LunervError(
        .data, "\(shapeList.count) dimensions, more than the \(rankLimit) allowed")
    }
    let shape = shapeList.compactMap { naturalNumber($0) }
    guard shape.count == shapeList.count else {
      throw LunervError(.data, "expected a shape of whole numbers from 0")
    }
    let type = StoredType(rawValue: typeName)
    // The size of an unsupported type is unknown: only its positions are checked.
    var byteCount: Int?
    if let type {
      byteCount = type.byteCount(shape: shape)
      if byteCount == nil { throw LunervError(.data, "the size of shape \(shape) overflows") }
    }
    let offsets = offsetList.compactMap { naturalNumber($0) }
    guard offsetList.count == 2, offsets.count == 2, offsets[0] <= offsets[1],
      offsets[1] <= dataEnd - dataStart
    else {
      throw LunervError(
        .data,
        "'data_offsets' must be two ascending positions within the "
          + "\(dataEnd - dataStart) bytes of data")
    }
    if let byteCount, offsets[1] - offsets[0] != byteCount {
      throw LunervError(
        .data,
        "\(typeName) of shape \(shape) takes \(byteCount) bytes, but 'data_offsets' "
          + "spans \(offsets[1] - offsets[0])")
    }
    return Description(
      name: name, typeName: typeName, type: type, shape: shape,
      range: dataStart + offsets[0]..<dataStart + offsets[1])
  }

  /// Sizes and positions must be written as integers: 2.0 is not a size.
  private static func naturalNumber(_ json: JSON) -> Int? {
    if case .int(let value) = json, value >= 0 { Int(exactly: value) } else { nil }
  }

  /// The JSON parser rejects equal names. Names that only look equal (é composed in two ways) would
  /// be one key in a Swift dictionary, so they are rejected here.
  private static func index(_ names: [String]) throws -> [String: Int] {
    var indices: [String: Int] = [:]
    for (index, name) in names.enumerated() {
      guard indices.updateValue(index, forKey: name) == nil else {
        throw LunervError(.data, "two tensors are named '\(name.printable)'")
      }
    }
    return indices
  }

  private static func checkContiguous(
    _ entries: [Description], from start: Int, to end: Int
  ) throws {
    var position = start
    for entry in entries {
      guard entry.range.lowerBound == position else {
        let what = entry.range.lowerBound < position ? "overlaps" : "leaves a gap after"
        throw LunervError(
          .data,
          "its bytes start at \(entry.range.lowerBound - start), which \(what) the "
            + "previous tensor (ends at \(position - start))",
          context: ["tensor '\(entry.name.printable)'"])
      }
      position = entry.range.upperBound
    }
    guard position == end else {
      throw LunervError(
        .data, "\(end - position) bytes after the last tensor belong to no tensor")
    }
  }
}

/// Writes safetensors files.
public enum Safetensors {
  /// One tensor to be written. `produce` passes its little-endian, densely packed, row-major bytes
  /// to the closure, in any number of pieces.
  public struct Item {
    public var name: String
    public var type: StoredType
    public var shape: [Int]
    public var produce: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void

    public init(
      name: String, type: StoredType, shape: [Int],
      produce: @escaping ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) {
      self.name = name
      self.type = type
      self.shape = shape
      self.produce = produce
    }

    /// `bytes` must stay valid until the item has been written.
    public init(name: String, type: StoredType, shape: [Int], bytes: UnsafeRawBufferPointer) {
      self.init(name: name, type: type, shape: shape) { emit in try emit(bytes) }
    }
  }

  /// Writes `items` in order, atomically and durably (``AtomicFile``). Everything is checked before
  /// the first byte is written, except the number of bytes that items produce, which is checked
  /// before the file is published.
  public static func write(
    _ path: String, _ items: [Item], metadata: [(key: String, value: String)] = []
  ) throws {
    do {
      let (header, sizes) = try makeHeader(items, metadata)
      let file = try AtomicFile(path)
      try file.write(header)
      for (item, size) in zip(items, sizes) {
        let end = file.count + size
        try item.produce { try file.write($0) }
        guard file.count == end else {
          throw LunervError(
            .argument,
            "\(file.count - (end - size)) bytes were produced for \(item.type.rawValue) of "
              + "shape \(item.shape), which takes \(size)",
            context: ["tensor '\(item.name.printable)'"])
        }
      }
      try file.commit()
    } catch let error as LunervError where error.kind == .argument {
      throw error.adding("writing '\(path.printable)'")
    }
  }

  private static func makeHeader(
    _ items: [Item], _ metadata: [(key: String, value: String)]
  ) throws -> (bytes: [UInt8], sizes: [Int]) {
    var members: [JSON.Member] = []
    if !metadata.isEmpty {
      try requireDistinct(metadata.map(\.key), "metadata keys")
      let pairs = metadata.map { JSON.Member($0.key, .string($0.value)) }
      members.append(JSON.Member(SafetensorsHeader.metadataKey, .object(pairs)))
    }
    try requireDistinct(items.map(\.name), "tensors")
    var sizes: [Int] = []
    var offset = 0
    for item in items {
      guard item.name != SafetensorsHeader.metadataKey else {
        throw LunervError(.argument, "a tensor cannot be named '\(item.name)'")
      }
      guard item.shape.allSatisfy({ $0 >= 0 }), item.shape.count <= SafetensorsHeader.rankLimit,
        let size = item.type.byteCount(shape: item.shape),
        case let (end, overflow) = offset.addingReportingOverflow(size), !overflow
      else {
        throw LunervError(
          .argument, "shape \(item.shape) cannot be stored",
          context: ["tensor '\(item.name.printable)'"])
      }
      let description: JSON = [
        "dtype": .string(item.type.rawValue),
        "shape": .array(item.shape.map { .int(Int64($0)) }),
        "data_offsets": [.int(Int64(offset)), .int(Int64(end))],
      ]
      members.append(JSON.Member(item.name, description))
      sizes.append(size)
      offset = end
    }
    var text = Array(JSON.object(members).text().utf8)
    // Padded with spaces, so that the data starts at a multiple of 8.
    text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: -text.count & 7))
    guard text.count <= SafetensorsHeader.lengthLimit else {
      throw LunervError(
        .argument,
        "names and metadata make a header of \(text.count) bytes, more than the "
          + "\(SafetensorsHeader.lengthLimit) allowed")
    }
    let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
    return (length + text, sizes)
  }

  private static func requireDistinct(_ names: [String], _ what: String) throws {
    var seen: Set<String> = []
    for name in names where !seen.insert(name).inserted {
      throw LunervError(.argument, "two \(what) are named '\(name.printable)'")
    }
  }
}
