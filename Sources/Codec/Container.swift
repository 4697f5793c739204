import Support

/// The `.lnv` container, version 1: a header with the table of sections, then the sections.
///
///     4C 4E 56 1A        the mark of the format: "LNV", and a byte that ends text
///     version            one byte
///     level              one byte: what a reader must know to decode it
///     number             of sections
///     per section        one byte: its kind, and 128 for one that readers may skip;
///                        number: its length; four bytes: its checksum
///     four bytes         the checksum of all of the above
///     the sections' bytes, in the table's order, to the end of the file
///
/// A kind has one section, or one for each segment (``StoredSegments``).
/// Numbers are in groups of seven bits (``ByteWriter/number(_:)``), checksums CRC-32C, low
/// byte first. Checksums cover every byte, and all are checked before anything is decoded.
public struct Container: Sendable {
  /// What a section holds.
  public enum Kind: UInt8, CaseIterable, Sendable {
    /// Frame size, number of frames, their times.
    case clip = 1
    /// The network that makes frames, and its settings.
    case decoder
    /// The decoder's quantised parameters.
    case weights
    /// The input of the decoder for each frame.
    case embeddings
    /// Constants of the decoder that its settings do not imply.
    case buffers
    /// Weights in their second form (``SeededTensors``).
    case seededWeights
    /// Embeddings in their second form (``ChangeMixer``).
    case mixedEmbeddings
    /// Weights in their third form (``ModelledTensors``).
    case modelledWeights
    /// A decoder whose frames depend on other frames of their group.
    case orderedDecoder
    /// Weights in their third form, whose models depend on whole slices or on other tensors.
    case slicedWeights
    /// The Lua modules of a decoder or a probability model that is not built in.
    case program = 16
    /// How the clip is split into segments; absent for a single one.
    case segments = 17

    public var name: String {
      switch self {
      case .program: "decoder program"
      case .seededWeights: "seeded weights"
      case .mixedEmbeddings: "mixed embeddings"
      case .modelledWeights: "modelled weights"
      case .orderedDecoder: "ordered decoder"
      case .slicedWeights: "sliced weights"
      default: "\(self)"
      }
    }

    /// What a reader must support to decode it.
    var level: UInt8 {
      switch self {
      case .seededWeights, .mixedEmbeddings: 2
      case .modelledWeights: 3
      case .orderedDecoder, .slicedWeights: 4
      default: 1
      }
    }
  }

  public struct Section: Sendable {
    public var kind: Kind
    public var bytes: [UInt8]

    public init(_ kind: Kind, _ bytes: [UInt8]) {
      self.kind = kind
      self.bytes = bytes
    }
  }

  public static let version: UInt8 = 1
  /// The newest level that this program decodes. Level 2 adds second forms of sections, level 3
  /// modelled weights, level 4 ordered decoders and sliced weights. Release 0.2.0 has level 4: what
  /// is added later needs 5. Names that programs call have
  /// levels too (stdlib/lunerv/codec/required_level.lua).
  public static let level: UInt8 = 4
  static let mark: [UInt8] = [0x4c, 0x4e, 0x56, 0x1a]
  private static let largestTable = 1 << 16

  public var sections: [Section]
  /// What a reader must support beyond the kinds of sections, such as names that programs in the
  /// file call. For a file that was read: the level in its header.
  public var level: UInt8
  /// Bytes before the first section.
  public private(set) var headerCount = 0
  /// Bytes of optional sections that are unknown to this version.
  public private(set) var skippedCount = 0

  public init(_ sections: [Section], level: UInt8 = 1) {
    self.sections = sections
    self.level = level
  }

  /// - Throws: an error of kind `argument` for more sections than a file can have.
  public func encoded() throws -> [UInt8] {
    guard sections.count <= Container.largestTable else {
      throw LunervError(
        .argument, "expected at most \(Container.largestTable) sections, got \(sections.count)")
    }
    var writer = ByteWriter()
    writer.append(Container.mark)
    writer.byte(Container.version)
    writer.byte(sections.map(\.kind.level).reduce(level, max))
    writer.number(UInt64(sections.count))
    for section in sections {
      writer.byte(section.kind.rawValue)
      writer.number(UInt64(section.bytes.count))
      writer.fixed(UInt64(CRC32C.checksum(section.bytes)), count: 4)
    }
    writer.fixed(UInt64(CRC32C.checksum(writer.bytes)), count: 4)
    for section in sections { writer.append(section.bytes) }
    return writer.bytes
  }

  /// - Parameter known: the highest level that is accepted; an older program's is lower.
  /// - Throws: an error of kind `data` that names the section that is damaged, unknown or cut off,
  ///   or the level that the file needs.
  public init(decoding bytes: [UInt8], known: UInt8 = Container.level) throws {
    var reader = ByteReader(bytes)
    let table: [(kind: UInt8, count: Int, checksum: UInt32)]
    do {
      guard bytes.count >= 4, Array(bytes[..<4]) == Container.mark else {
        throw LunervError(.data, "this is not an .lnv file")
      }
      _ = try reader.take(4)
      let version = try reader.byte()
      guard version == Container.version else {
        throw LunervError(
          .data,
          "this file has format version \(version), this program reads version \(Container.version)"
        )
      }
      level = try reader.byte()
      table = try Container.table(&reader, bytes)
      guard level <= known else {
        throw LunervError(
          .data,
          "this file needs level \(level) of the format, lunerv \(Version.text) supports \(known): update it"
        )
      }
    } catch let error as LunervError {
      throw LunervError(error.kind, "header: " + error.message)
    }
    headerCount = reader.position
    var found: [(UInt8, ArraySlice<UInt8>)] = []
    for (index, (kind, count, checksum)) in table.enumerated() {
      let payload = try reader.take(count)
      guard payload.withUnsafeBytes({ CRC32C.checksum($0) }) == checksum else {
        let name = Container.name(of: index, in: table.map(\.kind))
        throw LunervError(.data, "\(name) is damaged: its checksum does not match")
      }
      found.append((kind, payload))
    }
    sections = []
    for (kind, payload) in found {
      if let known = Kind(rawValue: kind & 0x7f) {
        sections.append(Section(known, Array(payload)))
      } else if kind & 0x80 != 0 {
        skippedCount += payload.count
      } else {
        throw LunervError(
          .data, "section number \(kind) is required but unknown to this program: update it")
      }
    }
  }

  /// "section 'weights'", or if there are several, "section 'weights' (2 of 3)".
  private static func name(of index: Int, in kinds: [UInt8]) -> String {
    let kind = kinds[index] & 0x7f
    let name = "section '\(Kind(rawValue: kind)?.name ?? "number \(kind)")'"
    let alike = kinds.indices.filter { kinds[$0] & 0x7f == kind }
    guard alike.count > 1, let place = alike.firstIndex(of: index) else { return name }
    return "\(name) (\(place + 1) of \(alike.count))"
  }

  private static func table(
    _ reader: inout ByteReader, _ bytes: [UInt8]
  ) throws -> [(kind: UInt8, count: Int, checksum: UInt32)] {
    let count = try reader.count(limit: largestTable, "the number of sections")
    var table: [(kind: UInt8, count: Int, checksum: UInt32)] = []
    var total = 0
    for _ in 0..<count {
      let kind = try reader.byte()
      // The sum of 2¹⁶ such lengths does not overflow.
      let length = try reader.count(limit: 1 << 40, "a section's length")
      table.append((kind, length, UInt32(try reader.fixed(count: 4))))
      total += length
    }
    let end = reader.position
    let checksum = UInt32(try reader.fixed(count: 4))
    guard bytes[..<end].withUnsafeBytes({ CRC32C.checksum($0) }) == checksum else {
      throw LunervError(.data, "it is damaged: its checksum does not match")
    }
    let rest = reader.remaining
    guard total <= rest else {
      var missing = rest
      let cut = table.firstIndex { entry in
        missing -= entry.count
        return missing < 0
      }
      let name = Container.name(of: cut ?? 0, in: table.map(\.kind))
      throw LunervError(
        .data, "\(name) is cut off: expected \(total) bytes after the header, got \(rest)")
    }
    guard total == rest else {
      throw LunervError(.data, "\(rest - total) bytes follow the last section")
    }
    return table
  }
}
