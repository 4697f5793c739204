import Coder
import Support

/// The entropy coder: any bytes, any tables.
extension FuzzTarget {
  static let coders: [FuzzTarget] = [
    FuzzTarget(name: "coder", summary: "any bytes decoded with any tables", run: decode),
    FuzzTarget(
      name: "roundtrip", summary: "any symbols with any tables, encoded and decoded",
      run: roundTrip),
  ]

  /// One way to code a few symbols.
  private enum Step {
    case table(FrequencyTable, count: Int)
    case adaptive(AdaptiveModel, count: Int)
    case bits(Int)
    case elias
    case mixed(count: Int)
    case distributions(Distribution.Family, means: [Int32], scales: [UInt8])
  }

  private static func step(_ input: inout FuzzInput) throws(CoderError) -> Step {
    let count = input.choice(40)
    switch input.choice(8) {
    case 0, 1:
      let family = input.pick(Distribution.Family.allCases)
      let mean =
        input.choice(4) == 0 ? input.symbol() : Int32(input.byte()) << 4 - Int32(input.byte())
      return .table(
        FrequencyTable(Distribution(family, mean: mean, scale: input.byte())), count: count)
    case 2:
      let wide = input.choice(4) == 0
      let weights = (0..<input.choice(60)).map { _ in
        wide ? UInt32(truncatingIfNeeded: input.word()) : UInt32(input.byte())
      }
      return .table(try FrequencyTable(first: input.symbol(), weights: weights), count: count)
    case 3:
      // A table of the largest size is rare, since it takes long.
      let size = input.choice(64) == 63 ? input.pick([65535, 65536, 65537]) : input.choice(200)
      return .adaptive(try AdaptiveModel(first: input.symbol(), count: size), count: count * 4)
    case 4: return .bits(input.choice(18))
    case 5: return .elias
    case 6: return .mixed(count: count * 4)
    default:
      return .distributions(
        input.pick(Distribution.Family.allCases),
        means: (0..<count).map { _ in input.symbol() },
        scales: (0..<count).map { _ in input.byte() })
    }
  }

  private static func steps(_ input: inout FuzzInput) throws -> [Step] {
    do { return try (0..<1 + input.choice(6)).map { _ in try step(&input) } } catch {
      throw LunervError(.argument, "\(error)")
    }
  }

  /// Contexts that depend on previous symbols.
  private static func contexts(_ i: Int, _ last: Int) -> (Int) -> Int {
    { k in (k * 5 + i + last) % 16 }
  }

  private static func decode(_ bytes: [UInt8]) throws {
    var input = FuzzInput(bytes)
    let list = try steps(&input)
    do throws(CoderError) {
      var decoder = try Decoder(input.rest())
      for step in list {
        switch step {
        case .table(let table, let count):
          let symbols = try decoder.decode(count: count, with: table)
          require(symbols.count == count, "symbols are missing")
          _ = try decoder.decode(with: table)
        case .adaptive(var model, let count):
          let symbols = try decoder.decode(count: count, with: &model)
          require(symbols.count == count, "symbols are missing")
          _ = try decoder.decode(with: &model)
        case .bits(let count): _ = try decoder.decodeBits(count: count)
        case .elias: _ = try decoder.decodeElias()
        case .mixed(let count):
          var mixer = BitMixer(inputs: 3, contexts: 16, situations: (2, 4))
          var last = 0
          for i in 0..<count {
            let bit = try decoder.decode(
              with: &mixer, contexts: contexts(i, last), situations: (i % 2, i % 4))
            last = bit ? last + 1 : 0
          }
        case .distributions(let family, let means, let scales):
          var tables = DistributionTables(family)
          _ = try tables.decode(means: means, scales: scales, from: &decoder)
        }
      }
      try decoder.finish()
    } catch {}
  }

  private static func roundTrip(_ bytes: [UInt8]) throws {
    var input = FuzzInput(bytes)
    let list = try steps(&input)
    var encoder = Encoder()
    var expectations: [[Int64]] = []
    for step in list {
      switch step {
      case .table(let table, let count):
        let symbols = (0..<count).map { _ in input.symbol() }
        encoder.encode(symbols, with: table)
        expectations.append(symbols.map(Int64.init))
      case .adaptive(var model, let count):
        let symbols = (0..<count).map { _ in input.symbol() }
        encoder.encode(symbols, with: &model)
        expectations.append(symbols.map(Int64.init))
      case .bits(let count):
        let bits = UInt32(truncatingIfNeeded: input.word())
        encoder.encodeBits(bits, count: count)
        expectations.append([Int64(bits & (1 << UInt32(min(count, 16)) - 1))])
      case .elias:
        let code = max(1, input.word() % (1 << 35))
        encoder.encodeElias(code)
        expectations.append([Int64(code)])
      case .mixed(let count):
        var mixer = BitMixer(inputs: 3, contexts: 16, situations: (2, 4))
        var last = 0
        expectations.append(
          (0..<count).map { i in
            let bit = input.choice(3) == 1
            encoder.encode(
              bit, with: &mixer, contexts: contexts(i, last), situations: (i % 2, i % 4))
            last = bit ? last + 1 : 0
            return bit ? 1 : 0
          })
      case .distributions(let family, let means, let scales):
        let symbols = means.map { _ in input.symbol() }
        var tables = DistributionTables(family)
        tables.encode(symbols, means: means, scales: scales, into: &encoder)
        expectations.append(symbols.map(Int64.init))
      }
    }
    do throws(CoderError) {
      var decoder = try Decoder(encoder.finish())
      for (step, expected) in zip(list, expectations) {
        var found: [Int64] = []
        switch step {
        case .table(let table, let count):
          found = try decoder.decode(count: count, with: table).map(Int64.init)
        case .adaptive(var model, let count):
          found = try decoder.decode(count: count, with: &model).map(Int64.init)
        case .bits(let count): found = [Int64(try decoder.decodeBits(count: count))]
        case .elias: found = [Int64(try decoder.decodeElias())]
        case .mixed(let count):
          var mixer = BitMixer(inputs: 3, contexts: 16, situations: (2, 4))
          var last = 0
          for i in 0..<count {
            let bit = try decoder.decode(
              with: &mixer, contexts: contexts(i, last), situations: (i % 2, i % 4))
            last = bit ? last + 1 : 0
            found.append(bit ? 1 : 0)
          }
        case .distributions(let family, let means, let scales):
          var tables = DistributionTables(family)
          found = try tables.decode(means: means, scales: scales, from: &decoder).map(Int64.init)
        }
        require(found == expected, "expected \(expected), decoded \(found)")
      }
      try decoder.finish()
    } catch {
      // No symbols take no bytes: the decoder of nothing accepts nothing.
      fatalError("encoded bytes are rejected: \(error)")
    }
  }
}
