import Coder

/// Quantised tensors, some of them coded relative to the random numbers from which they were
/// initialised: the second form of ``StoredTensors``.
///
///     a bit              whether there is an origin; if so, its seed and counter
///     for each tensor    its steps as in the first form; whether its model is a ``SeededModel``,
///                        and if not, the rest as in the first form; if so, a bit: whether it has
///                        draws; the distance of the counter from where the last tensor's draws
///                        ended; the share, 16 bits; mean and spread; the symbols
///
/// All tensors share the seed of the first that has an origin.
public enum SeededTensors {
  /// - Parameters:
  ///   - shapes: of the items.
  ///   - origins: where each item's initial values were drawn, if known.
  static func encode(
    _ items: [StoredTensors.Item], shapes: [[Int]], origins: [Origin?], draw: Origin.Draw,
    among families: [SymbolModel.Family]
  ) throws -> [UInt8] {
    var encoder = Encoder()
    var models = try ModelCoder(relative: false)
    var seeded = try SeededModelCoder()
    seeded.begin(origins.lazy.compactMap { $0 }.first, into: &encoder)
    let others = families.filter { $0 != .context }
    for (index, item) in items.enumerated() {
      StoredTensors.encodeSteps(item.steps, into: &encoder)
      // The cost of each in a separate stream, without the tables' own cost.
      let origin = seeded.reaches(origins[index])
      let draws = origin.map { draw($0, item.symbols.count) } ?? []
      let model = SeededModel(for: item.symbols, draws: draws, steps: item.steps)
      let simple = SymbolModel.best(for: item.symbols, among: others)
      var (first, second) = (Encoder(), Encoder())
      try simple.encode(item.symbols, into: &first)
      model.encode(
        item.symbols, shape: shapes[index], draws: draws, steps: item.steps, into: &second)
      let isSeeded =
        others.isEmpty || second.finish().count + (origin == nil ? 0 : 3) < first.finish().count
      seeded.encode(isSeeded, into: &encoder)
      if isSeeded {
        seeded.encode(model, from: origin, count: item.symbols.count, into: &encoder)
        model.encode(
          item.symbols, shape: shapes[index], draws: draws, steps: item.steps, into: &encoder)
      } else {
        models.encode(simple, into: &encoder)
        try simple.encode(item.symbols, into: &encoder)
      }
    }
    return encoder.finish()
  }

  /// - Parameters: see ``StoredTensors/decode(_:shapes:)``; `draw` is asked for at most as many
  ///   numbers as a tensor has.
  public static func decode(_ bytes: [UInt8], shapes: [[Int]], draw: Origin.Draw) throws
    -> [StoredTensors.Item]
  {
    try StoredTensors.check(shapes: shapes, bytes: bytes.count)
    return try decoding {
      var decoder = try Decoder(bytes)
      var models = try ModelCoder(relative: false)
      var seeded = try SeededModelCoder()
      // Encoders write nothing for no tensors.
      if shapes.isEmpty && bytes.isEmpty { return [] }
      try seeded.begin(from: &decoder)
      let items = try shapes.map { shape in
        let steps = try StoredTensors.decodeSteps(rows: shape.first ?? 1, from: &decoder)
        let count = shape.reduce(1, *)
        guard try seeded.decodeIsSeeded(from: &decoder) else {
          let model = try models.decode(from: &decoder)
          return StoredTensors.Item(
            symbols: try model.decode(count: count, from: &decoder), steps: steps)
        }
        let (model, origin) = try seeded.decode(count: count, from: &decoder)
        let draws = origin.map { draw($0, count) } ?? []
        return StoredTensors.Item(
          symbols: try model.decode(
            count: count, shape: shape, draws: draws, steps: steps, from: &decoder),
          steps: steps)
      }
      try decoder.finish()
      return items
    }
  }
}

/// Codes the parameters of seeded models one after another, and where their draws begin.
private struct SeededModelCoder {
  private var choices: AdaptiveModel
  private var gaps: AdaptiveModel
  private var means: AdaptiveModel
  private var spreads: AdaptiveModel
  /// Where the last draws ended; nil for tensors without origins.
  private var last: Origin?

  init() throws(CoderError) {
    choices = try AdaptiveModel(first: 0, count: 2)
    // Most tensors follow the last one directly, or follow one whose origin is not used.
    gaps = try AdaptiveModel(first: 0, count: 16)
    means = try AdaptiveModel(first: -64, count: 129)
    spreads = try AdaptiveModel(first: 0, count: 256)
  }

  mutating func begin(_ origin: Origin?, into encoder: inout Encoder) {
    last = origin
    encoder.encodeBits(origin == nil ? 0 : 1, count: 1)
    guard let origin else { return }
    for number in [origin.seed, origin.counter] {
      // The number of bytes, then the bytes.
      let count = 8 - number.leadingZeroBitCount / 8
      encoder.encodeBits(UInt32(count), count: 4)
      for i in 0..<count {
        encoder.encodeBits(UInt32(truncatingIfNeeded: number >> UInt64(8 * i)) & 255, count: 8)
      }
    }
  }

  mutating func begin(from decoder: inout Decoder) throws(CoderError) {
    guard try decoder.decodeBits(count: 1) == 1 else { return }
    func number() throws(CoderError) -> UInt64 {
      let count = try decoder.decodeBits(count: 4)
      guard count <= 8 else { throw .damaged }
      var value: UInt64 = 0
      for i in 0..<UInt64(count) { value |= UInt64(try decoder.decodeBits(count: 8)) << (8 * i) }
      return value
    }
    let seed = try number()
    last = Origin(seed: seed, counter: try number())
  }

  /// The origin, if it can be coded: of the same seed, not too far from the last.
  func reaches(_ origin: Origin?) -> Origin? {
    guard let origin, let last, origin.seed == last.seed,
      Int32(exactly: Int64(bitPattern: origin.counter &- last.counter)) != nil
    else { return nil }
    return origin
  }

  mutating func encode(_ isSeeded: Bool, into encoder: inout Encoder) {
    encoder.encode(isSeeded ? 1 : 0, with: &choices)
  }

  mutating func decodeIsSeeded(from decoder: inout Decoder) throws(CoderError) -> Bool {
    try decoder.decode(with: &choices) == 1
  }

  /// - Parameter origin: one that `reaches` has returned.
  mutating func encode(
    _ model: SeededModel, from origin: Origin?, count: Int, into encoder: inout Encoder
  ) {
    encoder.encodeBits(origin == nil ? 0 : 1, count: 1)
    if let origin, let before = last {
      encoder.encode(Int32(truncatingIfNeeded: origin.counter &- before.counter), with: &gaps)
      encoder.encodeBits(UInt32(model.share), count: 16)
      last = origin.after(count)
    }
    encoder.encode(model.mean, with: &means)
    encoder.encode(Int32(model.spread), with: &spreads)
  }

  mutating func decode(count: Int, from decoder: inout Decoder) throws(CoderError)
    -> (SeededModel, Origin?)
  {
    var (share, origin): (UInt16, Origin?) = (0, nil)
    if try decoder.decodeBits(count: 1) == 1 {
      guard let before = last else { throw .damaged }
      let gap = Int64(try decoder.decode(with: &gaps))
      let from = Origin(
        seed: before.seed, counter: before.counter &+ UInt64(bitPattern: gap))
      share = UInt16(truncatingIfNeeded: try decoder.decodeBits(count: 16))
      (origin, last) = (from, from.after(count))
    }
    let mean = try decoder.decode(with: &means)
    guard mean.magnitude <= 1 << 27,
      let spread = UInt8(exactly: try decoder.decode(with: &spreads))
    else { throw .damaged }
    return (SeededModel(share: share, mean: mean, spread: spread), origin)
  }
}
