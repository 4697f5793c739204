import Coder
import Glibc

/// Rate–distortion optimised quantisation: rounds numbers with regard to the bits they cost.
///
/// Among the symbols between a number's nearest one and the most probable one, it takes the one
/// with the least D + price·R. D = sensitivity·error² is the effect of this error alone on the
/// pictures, and R is the number of bits under the model of the tensor's symbols. A number of
/// little effect moves to a cheap symbol; one of large effect stays. That changes the best model,
/// so the model is refitted a few times. Step sizes do not change: parameters that were trained at
/// one step size do not tolerate another, even if it suits the symbols better.
public enum RateAwareRounding {
  private static let rounds = 3

  /// Rounds a tensor to its steps: one, or one per row.
  ///
  /// - Parameters:
  ///   - numbers: the tensor's elements.
  ///   - sensitivity: for each element, the effect of an error of 1.
  ///   - price, families, draws: see ``symbols(_:nearest:sensitivity:price:among:draws:steps:)``.
  /// - Throws: see ``StoredStep/symbols(of:steps:offset:)``.
  public static func item(
    _ numbers: [Float], steps: [Float], sensitivity: [Float], price: Double,
    among families: [SymbolModel.Family], draws: [Int32]
  ) throws -> StoredTensors.Item {
    let nearest = try StoredStep.symbols(of: numbers, steps: steps)
    let row = steps.count > 1 ? numbers.count / steps.count : Int.max
    var (codes, weights) = (numbers, sensitivity)
    for i in codes.indices {
      let step = steps[i / row]
      codes[i] /= step
      weights[i] *= step * step
    }
    return StoredTensors.Item(
      symbols: symbols(
        codes, nearest: nearest, sensitivity: weights, price: price, among: families, draws: draws,
        steps: steps), steps: steps)
  }

  /// - Parameters:
  ///   - codes: the numbers to round, in steps.
  ///   - symbols: the nearest symbol of each.
  ///   - sensitivity: for each, the effect of an error of one step.
  ///   - price: the price of a bit.
  ///   - families: the available models. The cost of an adaptive one is estimated by that of a
  ///     fitted one.
  ///   - draws: the tensor's initial values (``Origin``), one per code, or none. With them and the
  ///     family `context`, the most probable symbol is each element's own.
  ///   - steps: one, or one per row.
  static func symbols(
    _ codes: [Float], nearest symbols: [Int32], sensitivity: [Float], price: Double,
    among families: [SymbolModel.Family], draws: [Int32] = [], steps: [Float] = [1]
  ) -> [Int32] {
    if families.contains(.context), draws.count == codes.count, !codes.isEmpty {
      return seeded(codes, symbols, sensitivity, price, draws, steps)
    }
    let fitted = families.filter { $0 != .adaptive }
    var chosen = symbols
    for _ in 0..<rounds {
      let model = SymbolModel.best(for: chosen, among: fitted.isEmpty ? [.gaussian] : fitted)
      guard case .distribution(let distribution) = model else { break }
      let costs = Costs(distribution, for: symbols, price: price)
      for i in codes.indices {
        chosen[i] = costs.cheapest(
          Double(codes[i]), from: symbols[i], weight: Double(sensitivity[i]))
      }
    }
    return chosen
  }

  /// Symbols that are coded by their initial values. One deviation for all of them approximates
  /// those of rows and columns.
  private static func seeded(
    _ codes: [Float], _ symbols: [Int32], _ sensitivity: [Float], _ price: Double,
    _ draws: [Int32], _ steps: [Float]
  ) -> [Int32] {
    var chosen = symbols
    for _ in 0..<rounds {
      let model = SeededModel(for: chosen, draws: draws, steps: steps)
      let expected = model.expected(draws, steps: steps)
      let wholes = expected.map { Int32(truncatingIfNeeded: $0 >> 3) }
      let apart = zip(symbols, wholes).map { $0 &- $1 }
      let costs = (0..<8).map { fraction in
        Costs(model.distribution(fraction: fraction), for: apart, price: price)
      }
      for i in codes.indices {
        let best = costs[Int(expected[i] & 7)].cheapest(
          Double(codes[i]) - Double(wholes[i]), from: apart[i], weight: Double(sensitivity[i]))
        chosen[i] = best &+ wholes[i]
      }
    }
    return chosen
  }

  /// The cost of symbols under a distribution.
  private struct Costs {
    private static let reach: Int32 = 4096
    private let first: Int32
    private let costs: [Double]
    private let mode: Int32

    init(_ distribution: Distribution, for symbols: [Int32], price: Double) {
      let table = FrequencyTable(distribution)
      let mode = Int32((Double(distribution.mean) / 256).rounded())
      let lowest = max(min(symbols.min() ?? mode, mode), mode - Costs.reach)
      let highest = min(max(symbols.max() ?? mode, mode), mode + Costs.reach)
      costs = (lowest...highest).map { symbol in
        price * (table.frequency(of: symbol).map { 24 - log2($0) } ?? 36)
      }
      (first, self.mode) = (lowest, mode)
    }

    /// The best symbol between `start` and the mode. Symbols outside the table's reach are kept.
    func cheapest(_ code: Double, from start: Int32, weight: Double) -> Int32 {
      guard start >= first, Int(start) - Int(first) < costs.count else { return start }
      var (best, least, symbol) = (start, Double.infinity, start)
      while true {
        let error = code - Double(symbol)
        let distortion = weight * error * error
        // It only increases from here.
        if distortion >= least { break }
        let cost = distortion + costs[Int(symbol - first)]
        if cost < least { (best, least) = (symbol, cost) }
        if symbol == mode { break }
        symbol += symbol > mode ? -1 : 1
      }
      return best
    }
  }
}
