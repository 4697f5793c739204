import Coder
import Support

/// The embeddings of all frames: element i of a frame's is `symbols[i]·step + offset`.
///
///     number             of frames in a group, which are decoded together
///     two bytes          the step (``StoredStep``); four bytes: the offset, a float
///     number per group   the length of its stream
///     the streams        of each frame in turn, the model of its symbols, told by how it
///                        differs from the frame's before in the group, and the symbols
public struct StoredEmbeddings: Sendable {
  public let frames: Int
  public let count: Int
  public let step: Float
  public let offset: Float
  public let groupSize: Int
  private let groups: [[UInt8]]

  /// Frames of a group: a reader that wants one frame decodes at most so many.
  public static let usualGroup = 32

  /// - Parameter frames: the symbols of each frame, all alike in number.
  public static func encode(
    _ frames: [[Int32]], step: Float, offset: Float, groupSize: Int = usualGroup,
    among families: [SymbolModel.Family]
  ) throws -> [UInt8] {
    let size = max(1, groupSize)
    let groups = try stride(from: 0, to: frames.count, by: size).map { first in
      var encoder = Encoder()
      var models = try ModelCoder(relative: true)
      for symbols in frames[first..<min(first + size, frames.count)] {
        let model = SymbolModel.best(for: symbols, among: families)
        models.encode(model, into: &encoder)
        try model.encode(symbols, into: &encoder)
      }
      return encoder.finish()
    }
    var writer = ByteWriter()
    writer.number(UInt64(size))
    writer.fixed(UInt64(StoredStep.code(of: step)), count: 2)
    writer.fixed(UInt64(offset.bitPattern), count: 4)
    for group in groups { writer.number(UInt64(group.count)) }
    for group in groups { writer.append(group) }
    return writer.bytes
  }

  /// - Parameters:
  ///   - frames: how many there are.
  ///   - count: how many numbers each has; the caller bounds both.
  public init(_ bytes: [UInt8], frames: Int, count: Int) throws {
    var reader = ByteReader(bytes)
    groupSize = try reader.count(limit: 1 << 20, "the frames of a group")
    guard groupSize > 0 else { throw LunervError(.data, "groups of no frames") }
    step = StoredStep.value(of: UInt32(try reader.fixed(count: 2)))
    offset = Float(bitPattern: UInt32(try reader.fixed(count: 4)))
    guard offset.isFinite else { throw LunervError(.data, "the offset is not finite") }
    let lengths = try (0..<(frames + groupSize - 1) / groupSize).map { _ in
      try reader.count(limit: bytes.count, "a group's length")
    }
    groups = try lengths.map { Array(try reader.take($0)) }
    try reader.finish()
    self.frames = frames
    self.count = count
  }

  /// The numbers of all frames in the group of a frame, which counts from 0, and the first
  /// frame of that group.
  public func group(of frame: Int) throws -> (first: Int, values: [[Float]]) {
    let index = frame / groupSize
    let first = index * groupSize
    let values = try decoding {
      var decoder = try Decoder(groups[index])
      var models = try ModelCoder(relative: true)
      let values = try (first..<min(first + groupSize, frames)).map { _ in
        let model = try models.decode(from: &decoder)
        return try model.decode(count: count, from: &decoder).map { Float($0) * step + offset }
      }
      try decoder.finish()
      return values
    }
    return (first, values)
  }
}
