import Coder
import Glibc

/// The random numbers from which a tensor was initialised, by seed and counter.
///
/// Training moves a weight by less than its initial value: in a network that was fitted in ten
/// passes, that value is half of a weight's information. The decoder draws the same numbers.
public struct Origin: Sendable, Equatable {
  public var seed: UInt64
  public var counter: UInt64

  public init(seed: UInt64, counter: UInt64) {
    self.seed = seed
    self.counter = counter
  }

  /// Draws `count` numbers from there on, each from −2²⁴ to 2²⁴ − 1.
  public typealias Draw = (_ from: Origin, _ count: Int) -> [Int32]

  /// The counter advances by one for every four numbers.
  func after(_ count: Int) -> Origin {
    Origin(seed: seed, counter: counter &+ UInt64(count / 4 + (count % 4 == 0 ? 0 : 1)))
  }
}

/// Models a tensor's symbols as normally distributed around their initial values.
///
/// The mean of symbol i is `mean` + `share`·draw i; where rows have their own steps, the draw is
/// scaled by the ratio of the first row's step to its row's. Training moves some rows and columns
/// more than others, so the deviation adapts: it follows the previous errors in the symbol's row
/// and column (its first and second dimension), relative to those of the whole tensor.
struct SeededModel: Equatable {
  /// How much of a draw of 1 remains in a symbol, in 64ths.
  var share: UInt16
  /// In 32nds, as in ``SymbolModel``.
  var mean: Int32
  /// The mean magnitude of errors over the whole tensor, as the scale of a ``Distribution``.
  var spread: UInt8

  /// The model that fits symbols best; `draws` has one for each or is empty, `steps` has one or one
  /// per row.
  ///
  /// Least squares: the share that leaves the smallest residual.
  init(for symbols: [Int32], draws: [Int32], steps: [Float] = [1]) {
    let n = Double(max(symbols.count, 1))
    let usesDraws = draws.count == symbols.count && symbols.count > 3
    let rows = RowRatios(steps, count: symbols.count)
    let starts =
      usesDraws ? draws.indices.map { Double(rows.scaled(draws[$0], at: $0)) * 0x1p-24 } : []
    let average = symbols.reduce(0) { $0 + Double($1) } / n
    let middle = starts.reduce(0, +) / n
    var (square, product) = (0.0, 0.0)
    for i in starts.indices {
      square += (starts[i] - middle) * (starts[i] - middle)
      product += (starts[i] - middle) * (Double(symbols[i]) - average)
    }
    let slope = square > 0 ? (product / square * 64).rounded() : 0
    share = UInt16(min(max(slope, 0), 65535))
    let offset = (average - Double(share) / 64 * middle) * 32
    mean = Int32(min(max(offset.rounded(), -0x1p22), 0x1p22))
    var sum = 0.0
    for i in symbols.indices {
      let start = usesDraws ? starts[i] * Double(share) / 64 : 0
      sum += abs(Double(symbols[i]) - start - Double(mean) / 32)
    }
    spread = UInt8(min(max((16 * (log2(max(sum / n, 1e-3)) + 4)).rounded(), 0), 255))
  }

  init(share: UInt16, mean: Int32, spread: UInt8) {
    (self.share, self.mean, self.spread) = (share, mean, spread)
  }

  /// The expected value of a symbol, in eighths.
  /// - Parameter draw: scaled by its row's ratio, at most 2³⁸.
  @inline(__always)
  func expected(_ draw: Int64) -> Int64 {
    (Int64(mean) * 8 + (Int64(share) * draw) >> 22 + 16) >> 5
  }

  /// The expected values of all symbols, in eighths.
  func expected(_ draws: [Int32], steps: [Float]) -> [Int64] {
    let rows = RowRatios(steps, count: draws.count)
    return draws.indices.map { expected(rows.scaled(draws[$0], at: $0)) }
  }

  /// The distribution around an expected value, without knowledge of its row and column.
  /// - Parameter fraction: of the expected value, in eighths.
  func distribution(fraction: Int) -> Distribution {
    SeededModel.distribution(
      magnitude: min(Distribution.width(ofScale: spread), 1 << 24), fraction: fraction)
  }

  /// - Parameter magnitude: the mean error, in 256ths, at most 2²⁴.
  private static func distribution(magnitude: Int64, fraction: Int) -> Distribution {
    // σ² = π/2·(mean magnitude)², minus the twelfth that rounding adds; Q16.
    let variance = max((magnitude * magnitude * 201) >> 7 - 5461, 655)
    return Distribution(
      .gaussian, mean: Int32(fraction) * 32, scale: Distribution.scale(ofVariance: variance))
  }

  /// - Parameters:
  ///   - draws: one per symbol, or none.
  ///   - steps: one, or one per row, as stored.
  func encode(
    _ symbols: [Int32], shape: [Int], draws: [Int32], steps: [Float], into encoder: inout Encoder
  ) {
    let rows = RowRatios(steps, count: symbols.count)
    var errors = Errors(shape: shape, count: symbols.count, spread: spread)
    for i in symbols.indices {
      let e = expected(draws.isEmpty ? 0 : rows.scaled(draws[i], at: i))
      let whole = Int32(truncatingIfNeeded: e >> 3)
      encoder.encode(symbols[i] &- whole, with: errors.table(at: i, fraction: e & 7))
      errors.learn(Int64(symbols[i]) * 8 - e, at: i)
    }
  }

  func decode(
    count: Int, shape: [Int], draws: [Int32], steps: [Float], from decoder: inout Decoder
  ) throws(CoderError) -> [Int32] {
    let rows = RowRatios(steps, count: count)
    var errors = Errors(shape: shape, count: count, spread: spread)
    var symbols = [Int32](repeating: 0, count: count)
    for i in 0..<count {
      let e = expected(draws.isEmpty ? 0 : rows.scaled(draws[i], at: i))
      let whole = Int32(truncatingIfNeeded: e >> 3)
      symbols[i] = try decoder.decode(with: errors.table(at: i, fraction: e & 7)) &+ whole
      errors.learn(Int64(symbols[i]) * 8 - e, at: i)
    }
    return symbols
  }

  /// The ratio of the first row's step to each row's.
  private struct RowRatios {
    /// Q16, at most 2³⁰.
    private let ratios: [Int64]
    private let stride: Int

    init(_ steps: [Float], count: Int) {
      stride = max(1, count / max(1, steps.count))
      let first = Int64(StoredStep.code(of: steps.first ?? 1))
      ratios = steps.map { step in
        // As whole numbers, from 2¹¹ to 2⁴³.
        func whole(_ code: Int64) -> Int64 { (2048 + code & 2047) << (code >> 11) }
        let (a, b) = (whole(first), whole(Int64(StoredStep.code(of: step))))
        return min(a << 16 / b, 1 << 30)
      }
    }

    @inline(__always)
    func scaled(_ draw: Int32, at i: Int) -> Int64 {
      if ratios.count == 1 { return Int64(draw) }
      return (Int64(draw) * ratios[min(i / stride, ratios.count - 1)]) >> 16
    }
  }

  /// The sums of errors so far, in 256ths of a symbol.
  private struct Errors {
    /// The prior of a row or column: this many errors of the whole tensor's magnitude.
    private static let prior: Int64 = 20
    /// Larger errors are clipped to this: a row of 2³⁰ then sums to at most 2⁵⁸.
    private static let largest: Int64 = 1 << 28

    private let whole: Int64
    /// The elements in a row, the columns in a row, and the elements of a column within it.
    private let (stride, columns, depth): (Int, Int, Int)
    private var rowSums: [Int64]
    private var rowCounts: [Int64]
    private var columnSums: [Int64]
    private var columnCounts: [Int64]
    private var tables: [Int: FrequencyTable] = [:]

    init(shape: [Int], count: Int, spread: UInt8) {
      whole = max(1, Distribution.width(ofScale: spread))
      let rows = max(1, shape.first ?? 1)
      // A tensor of one dimension has one element per row: nothing to learn from. Without elements,
      // the sizes of single dimensions are unlimited.
      let isFlat = shape.count < 2 || count == 0
      stride = isFlat ? max(1, count) : max(1, count / rows)
      columns = isFlat ? 1 : max(1, shape[1])
      depth = max(1, stride / columns)
      rowSums = [Int64](repeating: 0, count: isFlat ? 1 : rows)
      rowCounts = rowSums
      columnSums = [Int64](repeating: 0, count: columns)
      columnCounts = columnSums
    }

    @inline(__always)
    private func place(_ i: Int) -> (row: Int, column: Int) {
      (min(i / stride, rowSums.count - 1), min(i % stride / depth, columns - 1))
    }

    mutating func table(at i: Int, fraction: Int64) -> FrequencyTable {
      let (row, column) = place(i)
      let prior = Errors.prior
      let r = (rowSums[row] + whole * prior) / (rowCounts[row] + prior)
      let c = (columnSums[column] + whole * prior) / (columnCounts[column] + prior)
      let distribution = SeededModel.distribution(
        magnitude: min(r * c / whole, 1 << 24), fraction: Int(fraction))
      let key = Int(distribution.scale) << 3 | Int(fraction)
      if let known = tables[key] { return known }
      let table = FrequencyTable(distribution)
      tables[key] = table
      return table
    }

    /// - Parameter error: in eighths of a symbol.
    mutating func learn(_ error: Int64, at i: Int) {
      let (row, column) = place(i)
      let magnitude = min(abs(error) * 32, Errors.largest)
      rowSums[row] += magnitude
      rowCounts[row] += 1
      columnSums[column] += magnitude
      columnCounts[column] += 1
    }
  }
}
