import Coder
import Support
import Testing

@testable import Codec

/// Pseudo-random numbers from a seed and a counter, from −2²⁴ to 2²⁴ − 1.
private func draw(_ from: Origin, _ count: Int) -> [Int32] {
  (0..<count).map { i in
    var x = (from.counter &+ UInt64(i / 4)) &* 4 &+ UInt64(i % 4) &+ from.seed &* 0x9e37_79b9
    x = (x ^ x >> 31) &* 0xbf58_476d_1ce4_e5b9
    x = (x ^ x >> 27) &* 0x94d0_49bb_1331_11eb
    return Int32(truncatingIfNeeded: Int64((x ^ x >> 31) >> 39)) - 1 << 24
  }
}

/// Symbols close to `share` times their draws.
private func trained(_ count: Int, from origin: Origin, share: Int64, far: Int32 = 1) -> [Int32] {
  let moved = draw(Origin(seed: 99, counter: origin.counter), count)
  return zip(draw(origin, count), moved).map { start, move in
    Int32((Int64(start) * share) >> 24) + Int32((Int64(move) * Int64(far)) >> 24)
  }
}

@Suite struct SeededTests {
  private let shapes = [[20, 10, 3, 3], [20], [3, 4], [0, 7], [], [500], [4]]
  private var origins: [Origin?] {
    [
      Origin(seed: 7, counter: 5), Origin(seed: 7, counter: 455), nil,
      Origin(seed: 7, counter: 470), nil, Origin(seed: 8, counter: 9),
      Origin(seed: 7, counter: .max - 3),
    ]
  }
  private var items: [StoredTensors.Item] {
    [
      .init(symbols: trained(1800, from: Origin(seed: 7, counter: 5), share: 9), steps: [0.01]),
      .init(symbols: trained(20, from: Origin(seed: 7, counter: 455), share: 90), steps: [1]),
      .init(symbols: (0..<12).map { Int32($0 * 7 % 5) }, steps: [1, 0.5, 0.25]),
      .init(symbols: [], steps: [1]),
      .init(symbols: [7], steps: [0.125]),
      .init(symbols: [Int32](repeating: -3, count: 500), steps: [2]),
      .init(symbols: [0, 1 << 30, -1 << 30, 5], steps: [1]),
    ]
  }

  @Test(arguments: [
    SymbolModel.Family.allCases, [.context], [.gaussian, .context], [.adaptive],
  ])
  func roundTrip(_ families: [SymbolModel.Family]) throws {
    let bytes = try SeededTensors.encode(
      items, shapes: shapes, origins: origins, draw: draw, among: families)
    let read = try SeededTensors.decode(bytes, shapes: shapes, draw: draw)
    for (got, expected) in zip(read, items) {
      #expect(got.symbols == expected.symbols)
      #expect(got.steps == expected.steps.map(StoredStep.rounded))
    }
  }

  /// Weights close to their initial values take a fraction of the bytes.
  @Test func originsPay() throws {
    let all = SymbolModel.Family.allCases
    let plain = try StoredTensors.encode(items, among: all).count
    let seeded = try SeededTensors.encode(
      items, shapes: shapes, origins: origins, draw: draw, among: all
    ).count
    #expect(seeded * 3 < plain * 2)
  }

  /// The same bytes on every machine.
  @Test func pinned() throws {
    let origin = Origin(seed: 3, counter: 300)
    let item = StoredTensors.Item(symbols: trained(24, from: origin, share: 20), steps: [0.5])
    let bytes = try SeededTensors.encode(
      [item], shapes: [[4, 6]], origins: [origin], draw: draw, among: [.context])
    #expect(
      bytes == [
        131, 42, 147, 128, 69, 198, 10, 0, 64, 0, 1, 56, 173, 251, 4, 227, 69, 11, 13, 79,
      ])
  }

  @Test func models() {
    let model = SeededModel(share: 640, mean: 16, spread: 64)
    #expect(model.expected(0) == 4)
    #expect(model.expected(1 << 24 - 1) == 84)
    #expect(model.expected(-1 << 24) == -76)
    let origin = Origin(seed: 1, counter: 0)
    let draws = draw(origin, 4000)
    let fitted = SeededModel(for: trained(4000, from: origin, share: 10), draws: draws)
    #expect(abs(Int(fitted.share) - 640) < 20)
    #expect(SeededModel(for: [], draws: []).share == 0)
    #expect(SeededModel(for: [5, 5, 5], draws: [1, 2, 3]).share == 0)
    #expect(origin.after(5).counter == 2)
  }

  /// Reading any bytes ends in an error of kind `data`, or in numbers.
  @Test func hostileBytes() throws {
    let good = try SeededTensors.encode(
      items, shapes: shapes, origins: origins, draw: draw, among: SymbolModel.Family.allCases)
    var largest = 0
    var state: UInt64 = 88
    for round in 0..<2000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var bytes = good
      bytes[Int(state >> 33) % bytes.count] ^= UInt8(truncatingIfNeeded: state >> 20) | 1
      if round % 3 == 0 { bytes.removeLast(Int(state >> 40) % 50) }
      do {
        _ = try SeededTensors.decode(bytes, shapes: shapes) { origin, count in
          largest = max(largest, count)
          return draw(origin, count)
        }
      } catch let error as LunervError { #expect(error.kind == .data) }
    }
    #expect(largest <= 1800)
    #expect(throws: LunervError.self) {
      try SeededTensors.decode([1, 2, 3], shapes: [[1]], draw: draw)
    }
  }

  /// Rounding moves symbols towards their initial values, not towards 0.
  @Test func rounding() {
    let origin = Origin(seed: 4, counter: 1)
    let draws = draw(origin, 2000)
    let moved = draw(Origin(seed: 5, counter: 1), 2000)
    let codes = zip(draws, moved).map { Float($0) * 0x1p-24 * 12 + Float($1) * 0x1p-24 * 2 }
    let nearest = codes.map { Int32($0.rounded(.toNearestOrEven)) }
    func rounded(_ price: Double) -> [Int32] {
      RateAwareRounding.symbols(
        codes, nearest: nearest, sensitivity: [Float](repeating: 1, count: 2000), price: price,
        among: SymbolModel.Family.allCases, draws: draws)
    }
    #expect(rounded(0) == nearest)
    func apart(_ symbols: [Int32]) -> Float {
      zip(symbols, draws).reduce(0) { $0 + abs(Float($1.0) - Float($1.1) * 0x1p-24 * 12) }
    }
    #expect(apart(rounded(0.5)) < 0.9 * apart(nearest))
  }
}

@Suite struct MixedEmbeddingsTests {
  /// Frames in which a patch changes now and then, at the end by the largest possible amount.
  private var frames: [[Int32]] {
    var frame = draw(Origin(seed: 2, counter: 0), 72).map { $0 >> 20 }
    return (0..<9).map { t in
      for i in 0..<72 where (i + 5 * t) % 11 < 3 { frame[i] &+= Int32((i * t) % 5) - 2 }
      if t == 5 { (frame[3], frame[4], frame[5]) = (.max, .min, 300) }
      if t == 6 { (frame[3], frame[4], frame[5]) = (.min, .max, 41) }
      return frame
    }
  }

  private func encoded() throws -> [UInt8] {
    try StoredEmbeddings.encode(
      frames, shape: [2, 6, 6], form: .mixed, step: 0.5, offset: 2, groupSize: 4,
      among: [.gaussian])
  }

  @Test func roundTrip() throws {
    let stored = try StoredEmbeddings(encoded(), frames: 9, shape: [2, 6, 6], form: .mixed)
    for frame in [8, 0, 5, 6, 3] {
      let (first, values) = try stored.group(of: frame)
      #expect(first == frame / 4 * 4)
      #expect(values[frame - first] == frames[frame].map { Float($0) * 0.5 + 2 })
    }
  }

  /// The same bytes on every machine.
  @Test func pinned() throws {
    #expect(CRC32C.checksum(try encoded()) == 2_288_544_832)
  }

  @Test func hostileBytes() throws {
    let good = try encoded()
    var state: UInt64 = 5
    for _ in 0..<1000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var bytes = good
      bytes[Int(state >> 33) % bytes.count] ^= UInt8(truncatingIfNeeded: state >> 20) | 1
      do {
        let stored = try StoredEmbeddings(bytes, frames: 9, shape: [2, 6, 6], form: .mixed)
        for frame in 0..<9 { _ = try stored.group(of: frame) }
      } catch let error as LunervError { #expect(error.kind == .data) }
    }
  }
}
