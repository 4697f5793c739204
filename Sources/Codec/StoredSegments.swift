import Support

/// How a file's clip is split into segments, each with a network of its own.
///
///     number             of segments
///     per segment        number: its frames; one byte, a sum: 1 if it has its own decoder section,
///                        2 if it has buffers, 4 if it has embeddings
///
/// Sections of a kind are in the order of the segments that have one. All segments have weights;
/// one without a decoder section uses the decoder of the previous segment. Segments follow one
/// another without gaps, so only their lengths are stored; these must sum to the clip's.
public struct StoredSegments: Sendable, Equatable {
  public struct Segment: Sendable, Equatable {
    public var frames: Int
    public var parts: Parts

    public init(frames: Int, parts: Parts) {
      self.frames = frames
      self.parts = parts
    }
  }

  /// The sections that a segment may lack.
  public struct Parts: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let decoder = Parts(rawValue: 1)
    public static let buffers = Parts(rawValue: 2)
    public static let embeddings = Parts(rawValue: 4)
    static let known: Parts = [.decoder, .buffers, .embeddings]
  }

  public var segments: [Segment]

  /// With four sections each, they fit into a container's table.
  public static let most = 1 << 13

  public init(_ segments: [Segment]) { self.segments = segments }

  public func encoded() throws -> [UInt8] {
    guard segments.count <= StoredSegments.most else {
      throw LunervError(
        .argument,
        "a file holds at most \(StoredSegments.most) segments, got \(segments.count)")
    }
    var writer = ByteWriter()
    writer.number(UInt64(segments.count))
    for segment in segments {
      writer.number(UInt64(segment.frames))
      writer.byte(segment.parts.rawValue)
    }
    return writer.bytes
  }

  /// - Parameter frames: of the clip.
  public init(_ bytes: [UInt8], frames: Int) throws {
    var reader = ByteReader(bytes)
    let count = try reader.count(
      limit: min(frames, StoredSegments.most), "the number of segments")
    guard count > 0 else { throw LunervError(.data, "there are no segments") }
    segments = []
    var total = 0
    for index in 1...count {
      let length = try reader.count(
        limit: min(frames, StoredClip.largestVolume), "the frames of segment \(index)")
      guard length > 0 else { throw LunervError(.data, "segment \(index) has no frames") }
      let parts = Parts(rawValue: try reader.byte())
      guard parts.isSubset(of: .known), index > 1 || parts.contains(.decoder) else {
        throw LunervError(.data, "segment \(index) has parts \(parts.rawValue)")
      }
      segments.append(Segment(frames: length, parts: parts))
      total += length
    }
    try reader.finish()
    guard total == frames else {
      throw LunervError(
        .data,
        total < frames
          ? "frames \(total + 1) to \(frames) are in no segment"
          : "the segments have \(total) frames, but the clip has \(frames)")
    }
  }
}
