import Coder
import Support

/// Quantised tensors, one for each parameter of a decoder, in one stream of symbols.
///
/// For each tensor, the stream holds whether it has one step or one per index of its first
/// dimension, the steps (``StoredStep``, 16 bits each), the model of its symbols, and the symbols.
/// ``SeededTensors`` is the second form, ``ModelledTensors`` the third.
public enum StoredTensors {
  /// One tensor: element i is `symbols[i]` times its step.
  public struct Item: Sendable {
    public var symbols: [Int32]
    /// One, or one per row of the symbols.
    public var steps: [Float]

    public init(symbols: [Int32], steps: [Float]) {
      self.symbols = symbols
      self.steps = steps
    }

    /// The tensor's elements.
    public var values: [Float] {
      let row = steps.count > 1 ? symbols.count / steps.count : Int.max
      return symbols.enumerated().map { Float($1) * steps[$0 / row] }
    }
  }

  /// The section in the form that takes fewer bytes. The second form is tried if `families`
  /// contains `context`.
  ///
  /// - Parameters: see ``SeededTensors/encode(_:shapes:origins:draw:among:)``.
  public static func section(
    _ items: [Item], shapes: [[Int]], origins: [Origin?], draw: Origin.Draw,
    among families: [SymbolModel.Family]
  ) throws -> Container.Section {
    let plain = try encode(items, among: families)
    let symbols = items.reduce(0) { $0 + $1.symbols.count }
    if families.contains(.context) {
      let seeded = try SeededTensors.encode(
        items, shapes: shapes, origins: origins, draw: draw, among: families)
      if seeded.count < plain.count, isReadable(symbols: symbols, bytes: seeded.count) {
        return .init(.seededWeights, seeded)
      }
    }
    try check(symbols: symbols, bytes: plain.count)
    return .init(.weights, plain)
  }

  /// Steps are stored as ``StoredStep`` rounds them.
  static func encode(_ items: [Item], among families: [SymbolModel.Family]) throws
    -> [UInt8]
  {
    var encoder = Encoder()
    var models = try ModelCoder(relative: false)
    for item in items {
      encodeSteps(item.steps, into: &encoder)
      let model = SymbolModel.best(for: item.symbols, among: families)
      models.encode(model, into: &encoder)
      try model.encode(item.symbols, into: &encoder)
    }
    return encoder.finish()
  }

  /// A symbol of high probability takes almost no bits. This bounds the symbols of a section: a
  /// fixed number, plus a number per byte.
  static let freeSymbols = 1 << 20
  static let symbolsOfByte = 1 << 10

  static func isReadable(symbols: Int, bytes: Int) -> Bool {
    symbols <= freeSymbols + symbolsOfByte * bytes
  }

  /// - Throws: an error of kind `data` for more symbols than that.
  static func check(symbols: Int, bytes: Int) throws {
    guard isReadable(symbols: symbols, bytes: bytes) else {
      throw LunervError(.data, "\(symbols) numbers are more than \(bytes) bytes can hold")
    }
  }

  static func check(shapes: [[Int]], bytes: Int) throws {
    try check(symbols: shapes.reduce(0) { $0 + $1.reduce(1, *) }, bytes: bytes)
  }

  /// - Parameter shapes: of the tensors, known from the decoder's settings; the caller bounds their
  ///   sizes.
  public static func decode(_ bytes: [UInt8], shapes: [[Int]]) throws -> [Item] {
    try check(shapes: shapes, bytes: bytes.count)
    return try decoding {
      var decoder = try Decoder(bytes)
      var models = try ModelCoder(relative: false)
      var items: [Item] = []
      for shape in shapes {
        let steps = try decodeSteps(rows: shape.first ?? 1, from: &decoder)
        let model = try models.decode(from: &decoder)
        let count = shape.reduce(1, *)
        items.append(Item(symbols: try model.decode(count: count, from: &decoder), steps: steps))
      }
      try decoder.finish()
      return items
    }
  }

  static func encodeSteps(_ steps: [Float], into encoder: inout Encoder) {
    encoder.encodeBits(steps.count == 1 ? 0 : 1, count: 1)
    for step in steps { encoder.encodeBits(StoredStep.code(of: step), count: 16) }
  }

  static func decodeSteps(rows: Int, from decoder: inout Decoder) throws(CoderError) -> [Float] {
    let perRow = try decoder.decodeBits(count: 1) == 1
    var steps: [Float] = []
    for _ in 0..<(perRow ? rows : 1) {
      steps.append(StoredStep.value(of: try decoder.decodeBits(count: 16)))
    }
    return steps
  }
}

/// Coder errors as errors about data.
func decoding<R>(_ body: () throws -> R) throws -> R {
  do { return try body() } catch let error as CoderError {
    throw LunervError(.data, error.description)
  }
}
