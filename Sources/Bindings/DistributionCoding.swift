import Coder
import LuaBridge
import Support
import Tensors

/// The frequencies of one family of distributions, for symbols that each have a mean and a scale.
/// The family "slices" of lv.coder uses it.
final class DistributionCoding: LuaObject {
  static var luaName: String { "coding_distributions" }
  var tables: DistributionTables

  private init(_ family: Distribution.Family) { tables = DistributionTables(family) }

  /// The mean and the scale of each symbol.
  struct Parameters {
    let means: [Int32]
    let scales: [UInt8]

    /// - Throws: an error of kind `argument` unless both are i32, of `count` numbers, and the
    ///   scales from 0 to 255.
    init(_ means: Tensor, _ scales: Tensor, count: Int) throws {
      for (name, t) in [("means", means), ("scales", scales)] {
        guard t.dtype == .i32, t.count == count else {
          throw LunervError(
            .argument,
            "slices: \(name): expected \(count) numbers as i32, got \(t.count) as \(t.dtype.rawValue)"
          )
        }
      }
      self.means = try means.withBytes { Array($0.bindMemory(to: Int32.self)) }
      self.scales = try scales.withBytes { bytes in
        try bytes.bindMemory(to: Int32.self).map { number in
          guard let scale = UInt8(exactly: number) else {
            throw LunervError(
              .argument, "slices: scales: expected integers from 0 to 255, got \(number)")
          }
          return scale
        }
      }
    }
  }

  static func define(_ m: LuaModule) -> LuaClass<DistributionCoding> {
    m.define(
      "coder_distributions", params: ["family"],
      doc: "The frequencies of a family, for symbols that each have a mean and a scale."
    ) { (name: String) -> DistributionCoding in
      guard let family = Distribution.Family.allCases.first(where: { "\($0)" == name }) else {
        let names = Distribution.Family.allCases.map { "\($0)" }.sorted().joined(separator: ", ")
        throw LunervError(.argument, "slices: unknown family '\(name)' (known: \(names))")
      }
      return DistributionCoding(family)
    }
    let c = LuaClass<DistributionCoding>()
    c.method(
      "bits", params: ["symbols", "means", "scales"], doc: "The information of symbols, in bits."
    ) {
      (coding: DistributionCoding, symbols: CoderModule.Symbols, means: Tensor, scales: Tensor)
        -> Double
      in
      let list = try symbols.values()
      let parameters = try Parameters(means, scales, count: list.count)
      var bits = 0.0
      coding.tables.forEach(list, means: parameters.means, scales: parameters.scales) {
        bits += $1.information(of: $0)
      }
      return bits
    }
    return c
  }
}
