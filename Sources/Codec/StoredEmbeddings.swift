import Coder
import Glibc
import Support

/// The embeddings of all frames: element i of an embedding is `symbols[i]·step + offset`.
///
///     number             the frames in a group, which are decoded together
///     two bytes          the step (``StoredStep``); four bytes: the offset, a float
///     number per group   the length of its stream
///     the streams        for each frame, a bit: 0, then the model of its symbols, coded as the
///                        difference from the previous such model in the group, and the symbols;
///                        or 1, then the difference from the previous frame
///                        (``DifferenceCoder``; in the second form ``ChangeMixer``)
public struct StoredEmbeddings: Sendable {
  public let frames: Int
  public let shape: [Int]
  public let step: Float
  public let offset: Float
  public let groupSize: Int
  private let groups: [[UInt8]]
  private let form: Form

  /// The frames in a group: a reader that wants one frame decodes at most this many.
  public static let usualGroup = 64
  /// How many frames a group may have.
  public static let groupSizes = 1...1 << 20

  /// How differences are coded.
  public enum Form: Sendable { case differences, mixed }

  /// The section in the form that takes fewer bytes. The second form is tried if frames may be
  /// coded by differences and `families` contains `context`.
  ///
  /// - Parameters: see ``encode(_:shape:form:step:offset:groupSize:predicting:among:)``.
  public static func section(
    _ frames: [[Int32]], shape: [Int], step: Float, offset: Float, groupSize: Int = usualGroup,
    predicting: Bool, among families: [SymbolModel.Family]
  ) throws -> Container.Section {
    func encoded(_ form: Form) throws -> [UInt8] {
      try encode(
        frames, shape: shape, form: form, step: step, offset: offset, groupSize: groupSize,
        predicting: predicting, among: families)
    }
    let plain = try encoded(.differences)
    let symbols = frames.first?.count ?? 0
    if predicting, families.contains(.context) {
      let mixed = try encoded(.mixed)
      if mixed.count < plain.count, StoredTensors.isReadable(symbols: symbols, bytes: mixed.count) {
        return .init(.mixedEmbeddings, mixed)
      }
    }
    try StoredTensors.check(symbols: symbols, bytes: plain.count)
    return .init(.embeddings, plain)
  }

  /// - Parameters:
  ///   - frames: the symbols of each frame, the same number for all.
  ///   - shape: of each; its last two sizes are rows and columns.
  ///   - form: how differences are coded.
  ///   - predicting: whether a frame may be coded by its differences.
  static func encode(
    _ frames: [[Int32]], shape: [Int], form: Form = .differences, step: Float, offset: Float,
    groupSize: Int = usualGroup, predicting: Bool = true, among families: [SymbolModel.Family]
  ) throws -> [UInt8] {
    let size = max(1, groupSize)
    let groups = try stride(from: 0, to: frames.count, by: size).map { first in
      var encoder = Encoder()
      var models = try ModelCoder(relative: true)
      var changes = try changeCoder(form, shape)
      for index in first..<min(first + size, frames.count) {
        let symbols = frames[index]
        if predicting, index > first, differencesAreSmaller(symbols, frames[index - 1]) {
          encoder.encodeBits(1, count: 1)
          changes.encode(symbols, after: frames[index - 1], into: &encoder)
          continue
        }
        encoder.encodeBits(0, count: 1)
        let model = SymbolModel.best(for: symbols, among: families)
        models.encode(model, into: &encoder)
        try model.encode(symbols, into: &encoder)
        changes.reset()
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

  private static func changeCoder(_ form: Form, _ shape: [Int]) throws -> any ChangeCoder {
    let (rows, columns) = (shape.dropLast().last ?? 1, shape.last ?? 1)
    return switch form {
    case .differences: try DifferenceCoder(rows: rows, columns: columns)
    case .mixed: ChangeMixer(rows: rows, columns: columns, count: shape.reduce(1, *))
    }
  }

  /// Whether a frame's differences carry less information than its symbols.
  private static func differencesAreSmaller(_ symbols: [Int32], _ last: [Int32]) -> Bool {
    func information(_ values: [Int32]) -> Double {
      var counts: [Int32: Int] = [:]
      for value in values { counts[value, default: 0] += 1 }
      return counts.values.reduce(0) { $0 - Double($1) * log2(Double($1)) }
    }
    return information(zip(symbols, last).map { $0 &- $1 }) < information(symbols)
  }

  /// - Parameters:
  ///   - frames: how many there are.
  ///   - shape: of each; the caller bounds both.
  public init(_ bytes: [UInt8], frames: Int, shape: [Int], form: Form = .differences) throws {
    var reader = ByteReader(bytes)
    groupSize = try reader.count(
      limit: StoredEmbeddings.groupSizes.upperBound, "the frames of a group")
    guard groupSize > 0 else {
      throw LunervError(.data, "expected groups of at least one frame, got 0")
    }
    step = StoredStep.value(of: UInt32(try reader.fixed(count: 2)))
    offset = Float(bitPattern: UInt32(try reader.fixed(count: 4)))
    guard offset.isFinite else { throw LunervError(.data, "the offset is not finite") }
    let count = (frames + groupSize - 1) / groupSize
    // Each takes at least a byte, which bounds the memory that is reserved for them.
    guard count <= reader.remaining else {
      throw LunervError(.data, "it ends too early")
    }
    try StoredTensors.check(symbols: shape.reduce(1, *), bytes: bytes.count)
    let lengths = try (0..<count).map { _ in
      try reader.count(limit: bytes.count, "a group's length")
    }
    groups = try lengths.map { Array(try reader.take($0)) }
    try reader.finish()
    self.frames = frames
    self.shape = shape
    self.form = form
  }

  /// The frames of the group that contains a frame, counted from 0.
  public func frames(ofGroupOf frame: Int) -> Range<Int> {
    let first = frame / groupSize * groupSize
    return first..<min(first + groupSize, frames)
  }

  /// Reads a group frame by frame.
  public struct Reader {
    private let stored: StoredEmbeddings
    private let frames: Range<Int>
    private var decoder: Decoder
    private var models: ModelCoder
    private var changes: any ChangeCoder
    private var last: [Int32] = []
    /// The index of the next frame.
    public private(set) var next: Int

    fileprivate init(_ stored: StoredEmbeddings, groupOf frame: Int) throws {
      self.stored = stored
      frames = stored.frames(ofGroupOf: frame)
      next = frames.lowerBound
      decoder = try Decoder(stored.groups[frame / stored.groupSize])
      models = try ModelCoder(relative: true)
      changes = try StoredEmbeddings.changeCoder(stored.form, stored.shape)
    }

    /// The numbers of the next frame; valid only within the group.
    public mutating func read() throws -> [Float] {
      try decoding {
        if try decoder.decodeBits(count: 1) == 1 {
          guard next > frames.lowerBound else { throw CoderError.damaged }
          last = try changes.decode(after: last, from: &decoder)
        } else {
          let count = stored.shape.reduce(1, *)
          last = try models.decode(from: &decoder).decode(count: count, from: &decoder)
          changes.reset()
        }
        next += 1
        if next == frames.upperBound { try decoder.finish() }
        return last.map { Float($0) * stored.step + stored.offset }
      }
    }
  }

  /// A reader at the start of the group that contains a frame.
  public func reader(groupOf frame: Int) throws -> Reader {
    try decoding { try Reader(self, groupOf: frame) }
  }

  /// The numbers of all frames in the group that contains a frame, and the index of its first
  /// frame.
  public func group(of frame: Int) throws -> (first: Int, values: [[Float]]) {
    let range = frames(ofGroupOf: frame)
    var reader = try reader(groupOf: frame)
    return (range.lowerBound, try range.map { _ in try reader.read() })
  }
}
