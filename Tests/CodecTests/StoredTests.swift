import Coder
import Support
import Testing

@testable import Codec

/// Pseudo-random numbers that are the same on every run.
private func noise(_ count: Int, seed: UInt64) -> [UInt64] {
  var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
  return (0..<count).map { _ in
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state >> 11
  }
}

/// The sum of a few uniform numbers, which is bell-shaped.
private func bell(_ count: Int, seed: UInt64, width: Int32 = 5, mean: Int32 = 0) -> [Int32] {
  noise(count * 4, seed: seed).withUnsafeBufferPointer { raw in
    (0..<count).map { i in
      mean + (0..<4).reduce(0) { $0 + Int32(raw[4 * i + $1] % UInt64(2 * width + 1)) - width }
    }
  }
}

@Suite struct StoredTests {
  @Test func steps() {
    for step: Float in [0x1p-24, 1e-6, 0.001, 0.0123, 1, 1.9999, 77, 255] {
      let stored = StoredStep.rounded(step)
      #expect(abs(stored - step) <= step / 4096)
      #expect(StoredStep.rounded(stored) == stored)
    }
    #expect(StoredStep.rounded(-0.5) == 0.5)
    #expect(StoredStep.rounded(0) == 0x1p-24)
    #expect(StoredStep.rounded(.infinity) == 0x1.ffep7)
    for code: UInt32 in [0, 1, 2047, 2048, 65535] {
      #expect(StoredStep.code(of: StoredStep.value(of: code)) == code)
    }
  }

  private var items: [StoredTensors.Item] {
    [
      .init(symbols: bell(1800, seed: 1), steps: [0.01]),
      .init(symbols: bell(12, seed: 2, width: 40, mean: -100), steps: [1, 0.5, 0.25]),
      .init(symbols: [], steps: [1]),
      .init(symbols: [7], steps: [0.125]),
      .init(symbols: [Int32](repeating: -3, count: 500), steps: [2]),
      .init(symbols: [0, 1 << 30, -1 << 30, 5], steps: [1]),
    ]
  }
  private let shapes = [[20, 10, 3, 3], [3, 4], [0, 7], [], [500], [4]]

  /// No section holds the coder's logistic distribution: readers of these levels do not know it.
  @Test func noSectionHoldsALogistic() throws {
    var encoder = Encoder()
    var writer = try ModelCoder(relative: false)
    writer.encode(.distribution(Distribution(.laplace, mean: 16, scale: 70)), into: &encoder)
    writer.encode(.distribution(Distribution(.logistic, mean: 16, scale: 70)), into: &encoder)
    var decoder = try Decoder(encoder.finish())
    var reader = try ModelCoder(relative: false)
    #expect(
      try reader.decode(from: &decoder)
        == .distribution(Distribution(.laplace, mean: 16, scale: 70)))
    #expect(throws: CoderError.damaged) { try reader.decode(from: &decoder) }
    #expect(!SymbolModel.Family.allCases.contains(.logistic))
  }

  @Test(arguments: [SymbolModel.Family.allCases, [.gaussian], [.laplace], [.adaptive]])
  func tensors(_ families: [SymbolModel.Family]) throws {
    let bytes = try StoredTensors.encode(items, among: families)
    let read = try StoredTensors.decode(bytes, shapes: shapes)
    for (got, expected) in zip(read, items) {
      #expect(got.symbols == expected.symbols)
      #expect(got.steps == expected.steps.map(StoredStep.rounded))
    }
  }

  /// Tensors coded by functions, and tensors without a model, in one stream.
  @Test func modelledTensors() throws {
    let table = try FrequencyTable(first: -20, weights: (0..<41).map { 1 + UInt32($0 % 21) })
    var writer = try ModelledTensors.Writer()
    for (i, item) in items.enumerated() {
      writer.encode(steps: item.steps)
      if i % 2 == 0 {
        for symbol in item.symbols { writer.encoder.encode(symbol, with: table) }
      } else {
        try writer.encode(item.symbols, among: SymbolModel.Family.allCases)
      }
    }
    let bytes = writer.encoder.finish()
    func read(_ bytes: [UInt8]) throws {
      var reader = try ModelledTensors.Reader(bytes)
      for (i, (item, shape)) in zip(items, shapes).enumerated() {
        let steps = try reader.decodeSteps(rows: shape.first ?? 1)
        let symbols =
          i % 2 == 0
          ? try item.symbols.map { _ in try reader.decoder.decode(with: table) }
          : try reader.decode(count: item.symbols.count)
        #expect(symbols == item.symbols && steps == item.steps.map(StoredStep.rounded))
      }
      try reader.decoder.finish()
    }
    try read(bytes)
    for count in [0, 4, 8, bytes.count - 4] {
      #expect(throws: CoderError.self) {
        var reader = try ModelledTensors.Reader(Array(bytes[..<count]))
        for (item, shape) in zip(items, shapes) {
          _ = try reader.decodeSteps(rows: shape.first ?? 1)
          for _ in item.symbols { _ = try reader.decoder.decode(with: table) }
        }
        try reader.decoder.finish()
      }
    }
  }

  /// A choice of more models costs at most a few bytes, and pays off where they fit.
  @Test func theBestModelIsChosen() throws {
    var symbols = [Int32](repeating: 0, count: 3000)
    for i in stride(from: 0, to: 3000, by: 3) { symbols[i] = i % 2 == 0 ? 9 : -9 }
    let item = [StoredTensors.Item(symbols: symbols, steps: [1])]
    let gaussian = try StoredTensors.encode(item, among: [.gaussian]).count
    let all = try StoredTensors.encode(item, among: SymbolModel.Family.allCases).count
    #expect(all * 2 < gaussian)
  }

  @Test func embeddings() throws {
    var frames = (0..<11).map { bell(96, seed: UInt64($0) + 5, width: 9, mean: 120) }
    // Two frames similar to the previous ones.
    frames[2] = zip(frames[1], bell(96, seed: 70, width: 1)).map { $0 + $1 / 3 }
    frames[3] = frames[2]
    let bytes = try StoredEmbeddings.encode(
      frames, shape: [2, 8, 6], step: 0.02, offset: -1.5, groupSize: 4,
      among: SymbolModel.Family.allCases)
    let stored = try StoredEmbeddings(bytes, frames: 11, shape: [2, 8, 6])
    let step = StoredStep.rounded(0.02)
    for frame in [10, 0, 5, 7, 3] {
      let (first, values) = try stored.group(of: frame)
      #expect(first == frame / 4 * 4 && values.count == min(4, 11 - first))
      #expect(values[frame - first] == frames[frame].map { Float($0) * step - 1.5 })
    }
  }

  /// A picture that hardly changes costs only its changes.
  @Test func stillEmbeddings() throws {
    let first = bell(1152, seed: 3, width: 12)
    let frames = (0..<8).map { i in
      var frame = first
      for k in 0..<20 { frame[40 + k] += Int32(i * (k % 3)) }
      return frame
    }
    func size(_ predicting: Bool) throws -> Int {
      try StoredEmbeddings.encode(
        frames, shape: [8, 9, 16], step: 1, offset: 0, predicting: predicting,
        among: SymbolModel.Family.allCases
      ).count
    }
    #expect(try 5 * size(true) < size(false))
  }

  /// Reading any bytes ends in an error of kind `data`, or in numbers.
  @Test func hostileBytes() throws {
    let good = try StoredTensors.encode(items, among: SymbolModel.Family.allCases)
    var frames = (0..<5).map { bell(40, seed: UInt64($0) + 5) }
    frames[1] = frames[0]
    let group = try StoredEmbeddings.encode(
      frames, shape: [2, 4, 5], step: 1, offset: 0, groupSize: 2, among: [.gaussian])
    func attempt(_ body: () throws -> Void) {
      do { try body() } catch let error as LunervError { #expect(error.kind == .data) } catch {
        Issue.record("\(error)")
      }
    }
    for (round, random) in noise(2000, seed: 77).enumerated() {
      var (a, b) = (good, group)
      a[Int(random % UInt64(a.count))] ^= UInt8(truncatingIfNeeded: random >> 20) | 1
      b[Int(random % UInt64(b.count))] ^= UInt8(truncatingIfNeeded: random >> 30) | 1
      if round % 3 == 0 {
        a.removeLast(Int(random % 50))
        b.removeLast(Int(random % 20))
      }
      if round % 7 == 0 { a = noise(60, seed: random).map { UInt8(truncatingIfNeeded: $0) } }
      attempt { _ = try StoredTensors.decode(a, shapes: shapes) }
      attempt {
        let stored = try StoredEmbeddings(b, frames: 5, shape: [2, 4, 5])
        for frame in 0..<5 { _ = try stored.group(of: frame) }
      }
    }
  }
}

@Suite struct RateAwareRoundingTests {
  private let codes = bell(3000, seed: 4, width: 12, mean: 2).map { Float($0) / 8 }
  private var nearest: [Int32] { codes.map { Int32($0.rounded(.toNearestOrEven)) } }

  private func rounded(_ sensitivity: Float, price: Double) -> [Int32] {
    RateAwareRounding.symbols(
      codes, nearest: nearest, sensitivity: [Float](repeating: sensitivity, count: codes.count),
      price: price, among: SymbolModel.Family.allCases)
  }

  @Test func freeBitsChangeNothing() {
    #expect(rounded(1, price: 0) == nearest)
    #expect(rounded(.infinity, price: 1) == nearest)
  }

  @Test func symbolsOnlyMoveTowardsTheMode() {
    let symbols = rounded(1, price: 0.5)
    for (symbol, start) in zip(symbols, nearest) {
      #expect(abs(symbol) <= abs(start) && symbol.signum() * start.signum() >= 0)
    }
    #expect(symbols != nearest)
  }

  /// A number without any effect takes the cheapest symbol, however far away. One out of reach is
  /// kept.
  @Test func extremes() {
    #expect(rounded(0, price: 1).allSatisfy { $0 == 0 })
    let far = RateAwareRounding.symbols(
      [0, 0, 0, 1e9], nearest: [0, 0, 0, 1_000_000_000], sensitivity: [0, 0, 0, 0], price: 1,
      among: [.adaptive])
    #expect(far.count == 4 && far[3] == 1_000_000_000)
    #expect(
      RateAwareRounding.symbols([], nearest: [], sensitivity: [], price: 1, among: []).isEmpty)
  }
}
