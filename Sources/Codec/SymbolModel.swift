import Coder
import Glibc
import Support

/// The model that a run of symbols is coded with, and the coding of the model itself.
public enum SymbolModel: Hashable, Sendable {
  case distribution(Distribution)
  /// Adaptive frequencies of `count` symbols from `first` on.
  case adaptive(first: Int32, count: Int)

  /// The families that a run may choose from.
  public enum Family: String, CaseIterable, Sendable {
    case gaussian, laplace, adaptive
    /// For weights only: see ``SeededModel``. Elsewhere the gaussian replaces it.
    case context
    /// For direct users of the coder: sections of files never hold it.
    case logistic

    /// The families that sections of files may hold.
    public static let allCases: [Family] = [.gaussian, .laplace, .adaptive, .context]

    /// The families that the coder offers for runs of symbols.
    public static let ofTheCoder: [Family] = [.gaussian, .laplace, .logistic, .adaptive]
  }

  /// The model under which symbols take the fewest bits, its own description included.
  public static func best(for symbols: [Int32], among families: [Family]) -> SymbolModel {
    let n = Double(symbols.count)
    guard let lowest = symbols.min(), let highest = symbols.max() else {
      return .distribution(Distribution(.gaussian, mean: 0, scale: 0))
    }
    let histogram = Histogram(symbols, lowest, highest)
    let mean = symbols.reduce(0.0) { $0 + Double($1) } / n
    let variance = symbols.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / n
    // Means are stored in 32nds.
    let fixedMean = Int32(min(max((mean * 32).rounded(), -0x1p22), 0x1p22)) * 8
    var best: (cost: Double, model: SymbolModel)?
    func offer(_ cost: Double, _ model: SymbolModel) {
      if best.map({ cost < $0.cost }) ?? true { best = (cost, model) }
    }
    let simple = families.filter { $0 != .context }
    for family in simple.isEmpty ? [.gaussian] : simple {
      switch family {
      case .context: continue
      case .gaussian, .laplace, .logistic:
        // Rounding adds a twelfth to the variance. The variance of a Laplace distribution is 2b²,
        // that of a logistic one s²π²/3.
        let (kind, share): (Distribution.Family, Double) =
          switch family {
          case .laplace: (.laplace, 0.5)
          case .logistic: (.logistic, 3 / (Double.pi * Double.pi))
          default: (.gaussian, 1)
          }
        let spread = max(variance - 1.0 / 12, 1e-3) * share
        let middle = (16 * (0.5 * log2(spread) + 4)).rounded()
        for step in -4...4 {
          let scale = UInt8(min(max(middle + Double(step), 0), 255))
          let d = Distribution(kind, mean: fixedMean, scale: scale)
          offer(histogram.cost(FrequencyTable(d)) + 14, .distribution(d))
        }
      case .adaptive:
        let count = Int(highest) - Int(lowest) + 1
        guard count <= FrequencyTable.largestCount / 16,
          var model = try? AdaptiveModel(first: lowest, count: count)
        else { continue }
        var encoder = Encoder()
        encoder.encode(symbols, with: &model)
        // Without the overhead of a separate stream, but with the model's description.
        offer(Double(8 * encoder.finish().count) - 40 + 18, .adaptive(first: lowest, count: count))
      }
    }
    return best?.model ?? .distribution(Distribution(.gaussian, mean: fixedMean, scale: 255))
  }

  func encode(_ symbols: [Int32], into encoder: inout Encoder) throws {
    switch self {
    case .distribution(let d): encoder.encode(symbols, with: FrequencyTable(d))
    case .adaptive(let first, let count):
      var model = try AdaptiveModel(first: first, count: count)
      encoder.encode(symbols, with: &model)
    }
  }

  func decode(count n: Int, from decoder: inout Decoder) throws -> [Int32] {
    switch self {
    case .distribution(let d): return try decoder.decode(count: n, with: FrequencyTable(d))
    case .adaptive(let first, let count):
      var model = try AdaptiveModel(first: first, count: count)
      return try decoder.decode(count: n, with: &model)
    }
  }
}

extension FrequencyTable {
  /// The information of a symbol in bits; for an escaped one, including the Elias code.
  public func information(of symbol: Int32) -> Double {
    let (frequency, bits) = code(of: symbol)
    return Double(FrequencyTable.precision) - log2(Double(frequency)) + Double(bits)
  }
}

/// How often each symbol occurs.
private struct Histogram {
  private var counts: [(symbol: Int32, count: Int)]

  init(_ symbols: [Int32], _ lowest: Int32, _ highest: Int32) {
    let range = Int(highest) - Int(lowest) + 1
    if range <= 1 << 16 {
      var dense = [Int](repeating: 0, count: range)
      for s in symbols { dense[Int(s) - Int(lowest)] += 1 }
      counts = dense.enumerated().compactMap { i, n in
        n > 0 ? (Int32(Int(lowest) + i), n) : nil
      }
    } else {
      var sparse: [Int32: Int] = [:]
      for s in symbols { sparse[s, default: 0] += 1 }
      counts = sparse.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
  }

  /// The bits of all symbols; an escape and its Elias code are estimated at 36.
  func cost(_ table: FrequencyTable) -> Double {
    counts.reduce(0) { sum, entry in
      let bits = table.frequency(of: entry.symbol).map { 24 - log2($0) } ?? 36
      return sum + bits * Double(entry.count)
    }
  }
}

/// Codes models one after another, with adaptive models of their parameters. With `relative`, means
/// and scales are coded as differences from the previous model.
struct ModelCoder {
  private var families: AdaptiveModel
  private var means: AdaptiveModel
  private var scales: AdaptiveModel
  private var counts: AdaptiveModel
  private let relative: Bool
  private var before = Distribution(.gaussian, mean: 0, scale: 96)

  init(relative: Bool) throws {
    families = try AdaptiveModel(first: 0, count: 3)
    means = try AdaptiveModel(first: -64, count: 129)
    scales = try AdaptiveModel(first: relative ? -32 : 0, count: relative ? 65 : 256)
    counts = try AdaptiveModel(first: 1, count: 256)
    self.relative = relative
  }

  mutating func encode(_ model: SymbolModel, into encoder: inout Encoder) {
    switch model {
    case .distribution(let d):
      encoder.encode(Int32(d.family.rawValue), with: &families)
      encoder.encode(d.mean / 8 - (relative ? before.mean / 8 : 0), with: &means)
      encoder.encode(Int32(d.scale) - (relative ? Int32(before.scale) : 0), with: &scales)
      before = d
    case .adaptive(let first, let count):
      encoder.encode(2, with: &families)
      encoder.encode(first, with: &means)
      encoder.encode(Int32(truncatingIfNeeded: count), with: &counts)
    }
  }

  mutating func decode(from decoder: inout Decoder) throws -> SymbolModel {
    func next(_ model: inout AdaptiveModel) throws -> Int64 {
      Int64(try decoder.decode(with: &model))
    }
    let family = try next(&families)
    if family == 2 {
      let first = Int32(truncatingIfNeeded: try next(&means))
      let count = try next(&counts)
      guard count >= 0, count <= Int64(FrequencyTable.largestCount) else {
        throw CoderError.tooManySymbols
      }
      return .adaptive(first: first, count: Int(count))
    }
    let mean = try next(&means) + (relative ? Int64(before.mean / 8) : 0)
    let scale = try next(&scales) + (relative ? Int64(before.scale) : 0)
    guard let kind = UInt8(exactly: family).flatMap(Distribution.Family.init(rawValue:)),
      kind != .logistic, abs(mean) <= 1 << 27, let exact = UInt8(exactly: scale)
    else { throw CoderError.damaged }
    let d = Distribution(kind, mean: Int32(mean) * 8, scale: exact)
    before = d
    return .distribution(d)
  }
}

/// A positive step size in 16 bits: 5 of exponent, 11 of mantissa after its leading one; from 2⁻²⁴
/// to just below 2⁸, exact to 1/4096.
public enum StoredStep {
  /// The nearest number that can be stored.
  public static func rounded(_ step: Float) -> Float { value(of: code(of: step)) }

  /// Distances of numbers from `offset`, in steps, rounded to the nearest integer. There is one
  /// step, or one per row.
  ///
  /// - Throws: an error of kind `numeric` if one is more than 2³⁰.
  public static func symbols(
    of numbers: [Float], steps: [Float], offset: Float = 0
  ) throws -> [Int32] {
    let row = steps.count > 1 ? numbers.count / steps.count : max(numbers.count, 1)
    return try numbers.enumerated().map { i, x in
      let code = ((x - offset) / steps[i / row]).rounded(.toNearestOrEven)
      guard code.magnitude <= 0x1p30 else {
        throw LunervError(
          .numeric, "\(x) is not within ±2³⁰ steps of \(steps[i / row])")
      }
      return Int32(code)
    }
  }

  static func code(of step: Float) -> UInt32 {
    let magnitude = min(max(step.magnitude, 0x1p-24), 0x1.ffep7)
    return (magnitude.bitPattern + 0x800) >> 12 - (127 - 24) << 11
  }

  static func value(of code: UInt32) -> Float {
    Float(bitPattern: (min(code, 0xffff) + (127 - 24) << 11) << 12)
  }
}
