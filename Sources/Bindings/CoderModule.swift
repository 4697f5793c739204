import Codec
import Coder
import LuaBridge
import Support
import Tensors

/// The entropy coder behind lv.coder.
enum CoderModule {
  /// A model as a table of integers.
  struct Model: LuaOptions {
    var family = ""
    var mean: Int?
    var scale: Int?
    var first: Int?
    var count: Int?
    var weights: [Int]?
    static var luaFields: [LuaField<Model>] {
      [
        LuaField("family", \.family, doc: "gaussian, laplace, logistic, adaptive or table"),
        LuaField("mean", \.mean, doc: "in 256ths of a symbol"),
        LuaField("scale", \.scale, doc: "i of 2^(i/16 − 4)"),
        LuaField("first", \.first, doc: "the smallest symbol that has a frequency"),
        LuaField("count", \.count, doc: "how many symbols have one"),
        LuaField("weights", \.weights, doc: "the frequencies, up to a common factor"),
      ]
    }

    enum Known {
      case fixed(FrequencyTable)
      case learning(AdaptiveModel)
    }

    private func integer<T: FixedWidthInteger>(_ value: Int?, _ name: String, _ type: T.Type) throws
      -> T
    {
      guard let value, let exact = T(exactly: value) else {
        let found = value.map(String.init) ?? "nil"
        throw LunervError(
          .argument,
          "\(family): \(name): expected an integer from \(T.min) to \(T.max), got \(found)")
      }
      return exact
    }

    private func distribution(_ kind: Distribution.Family) throws -> Known {
      // A table of several thousand frequencies.
      try Work.charge(1 << 15)
      return .fixed(
        FrequencyTable(
          Distribution(
            kind, mean: try integer(mean, "mean", Int32.self),
            scale: try integer(scale, "scale", UInt8.self))))
    }

    func known() throws -> Known {
      switch family {
      case "gaussian": return try distribution(.gaussian)
      case "laplace": return try distribution(.laplace)
      case "logistic": return try distribution(.logistic)
      case "adaptive":
        try Work.charge(max(0, min(count ?? 0, 1 << 16)), 16)
        return .learning(
          try AdaptiveModel(
            first: try integer(first, "first", Int32.self),
            count: Int(try integer(count, "count", Int32.self))))
      case "table":
        guard let weights, !weights.isEmpty else {
          throw LunervError(
            .argument, "table: weights: expected a list of integers, got none")
        }
        try Work.charge(weights.count, 16)
        return .fixed(
          try FrequencyTable(
            first: try integer(first, "first", Int32.self),
            weights: try weights.enumerated().map {
              try integer($1, "weights[\($0 + 1)]", UInt32.self)
            }))
      default:
        throw LunervError(
          .argument,
          "unknown family '\(family)' (known: adaptive, gaussian, laplace, logistic, own, table)"
        )
      }
    }
  }

  /// Symbols as a tensor, i32 or u8, or as a list of integers.
  struct Symbols: LuaArgument {
    private enum Source {
      case tensor(Tensor)
      case list([Int])
    }
    private let source: Source

    static var luaTypeName: String { "tensor or table" }

    static func read(_ stack: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Symbols {
      if stack.type(at: index) == .table {
        return Symbols(source: .list(try [Int].read(stack, at: index)))
      }
      do throws(LuaTypeMismatch) {
        return Symbols(source: .tensor(try Tensor.read(stack, at: index)))
      } catch {
        throw LuaTypeMismatch(expected: luaTypeName)
      }
    }

    func values() throws -> [Int32] {
      switch source {
      case .list(let list):
        return try list.enumerated().map { i, symbol in
          guard let exact = Int32(exactly: symbol) else {
            throw LunervError(
              .argument, "symbols[\(i + 1)]: expected an integer of 32 bits, got \(symbol)")
          }
          return exact
        }
      case .tensor(let t):
        switch t.dtype {
        case .i32: return try t.withBytes { Array($0.bindMemory(to: Int32.self)) }
        case .u8: return try t.withBytes { $0.map { Int32($0) } }
        default:
          throw LunervError(
            .argument, "expected symbols as i32 or u8, got \(t.dtype.rawValue)")
        }
      }
    }
  }

  /// Converts the coder's errors.
  static func coding<R>(_ body: () throws -> R) throws -> R {
    do { return try body() } catch let error as CoderError {
      throw LunervError(error == .tooManySymbols ? .argument : .data, "coder: \(error)")
    }
  }

  static func tensor(_ symbols: [Int32], _ shape: [Int]) throws -> Tensor {
    try symbols.withUnsafeBytes { try Tensor.from(bytes: $0, shape, .i32) }
  }

  static func define(_ m: LuaModule, _ lua: LuaState) {
    functions(m)
    lua.register(tables(m))
    lua.register(DistributionCoding.define(m))
    lua.register(encoders(m))
    lua.register(decoders(m))
  }

  private static func functions(_ m: LuaModule) {
    m.define(
      "coder.fit", params: ["symbols", "families"],
      doc: "The model of these families under which symbols cost least, as a table."
    ) { (symbols: Symbols, families: [String]?) -> [String: LuaValue] in
      let offered = SymbolModel.Family.ofTheCoder
      let known = try (families ?? offered.map(\.rawValue)).map { name in
        guard let family = SymbolModel.Family(rawValue: name), family != .context else {
          let names = offered.map(\.rawValue).sorted().joined(separator: ", ")
          throw LunervError(.argument, "unknown family '\(name)' (known: \(names))")
        }
        return family
      }
      switch SymbolModel.best(for: try symbols.values(), among: known) {
      case .distribution(let d):
        return [
          "family": .string("\(d.family)"), "mean": .int(Int(d.mean)), "scale": .int(Int(d.scale)),
        ]
      case .adaptive(let first, let count):
        return ["family": .string("adaptive"), "first": .int(Int(first)), "count": .int(count)]
      }
    }
    m.define(
      "coder.bits", params: ["symbols", "model"],
      doc: "The information content of symbols, in bits."
    ) { (symbols: Symbols, model: Model) -> Double in
      try coding {
        switch try model.known() {
        case .fixed(let table):
          return try symbols.values().reduce(0) { $0 + table.information(of: $1) }
        case .learning(var learning):
          return try symbols.values().reduce(0) { sum, symbol in
            defer { learning.learn(symbol) }
            return sum + learning.table.information(of: symbol)
          }
        }
      }
    }
  }

  private static func tables(_ m: LuaModule) -> LuaClass<CodingTable> {
    m.define(
      "coder_table", params: ["model"],
      doc: "The frequencies of a model that does not adapt, for one symbol after another."
    ) { (model: Model) -> CodingTable in
      try Work.decoding(symbols: model.weights?.count ?? 0) {}
      return try coding {
        guard case .fixed(let table) = try model.known() else {
          throw LunervError(
            .argument, "expected a model that does not adapt, got \(model.family)")
        }
        return CodingTable(table)
      }
    }
    let c = LuaClass<CodingTable>()
    c.method("bits", params: ["symbol"], doc: "The information of a symbol, in bits.") {
      (table: CodingTable, symbol: Int) -> Double in
      table.table.information(of: try CodingTable.symbol(symbol))
    }
    return c
  }

  private static func encoders(_ m: LuaModule) -> LuaClass<CodingWriter> {
    m.define("coder_encoder", doc: "An encoder of symbols.") { () -> CodingWriter in
      try CodingWriter()
    }
    let c = LuaClass<CodingWriter>()
    c.method("encode", params: ["symbols", "model"], doc: "Adds symbols.") {
      (writer: CodingWriter, symbols: Symbols, model: Model) in
      try coding {
        switch try model.known() {
        case .fixed(let table): writer.tensors.encoder.encode(try symbols.values(), with: table)
        case .learning(var learning):
          writer.tensors.encoder.encode(try symbols.values(), with: &learning)
        }
      }
    }
    c.method("symbol", params: ["symbol", "table"], doc: "Adds one symbol.") {
      (writer: CodingWriter, symbol: Int, table: CodingTable) in
      writer.tensors.encoder.encode(try CodingTable.symbol(symbol), with: table.table)
    }
    c.method(
      "slice", params: ["symbols", "tables", "means", "scales"],
      doc: "Adds symbols, each with its own distribution."
    ) {
      (w: CodingWriter, symbols: Symbols, tables: DistributionCoding, means: Tensor, scales: Tensor)
      in
      let list = try symbols.values()
      let parameters = try DistributionCoding.Parameters(means, scales, count: list.count)
      tables.tables.encode(
        list, means: parameters.means, scales: parameters.scales, into: &w.tensors.encoder)
    }
    c.method(
      "tensor", params: ["tensor", "step"],
      doc: "Adds the steps of a tensor; returns its symbols, which are added separately."
    ) { (writer: CodingWriter, t: Tensor, step: Tensor) -> Tensor in
      let item = try CompressionModule.item(t, step: step)
      writer.tensors.encode(steps: item.steps)
      return try tensor(item.symbols, t.shape)
    }
    c.method(
      "fitted", params: ["symbols", "families"],
      doc: "Adds the model that fits symbols best, and the symbols."
    ) { (writer: CodingWriter, symbols: Symbols, families: [String]?) in
      try writer.tensors.encode(
        try symbols.values(), among: try CompressionModule.families(families))
    }
    c.method("finish", doc: "The bytes.") { (writer: CodingWriter) -> LuaBytes in
      LuaBytes(writer.tensors.encoder.finish())
    }
    return c
  }

  private static func decoders(_ m: LuaModule) -> LuaClass<CodingReader> {
    m.define("coder_decoder", params: ["bytes"], doc: "A decoder of symbols.") {
      (bytes: LuaBytes) -> CodingReader in
      try coding { try CodingReader(bytes.bytes) }
    }
    let c = LuaClass<CodingReader>()
    c.method("decode", params: ["shape", "model"], doc: "The next symbols as an i32 tensor.") {
      (reader: CodingReader, shape: [Int], model: Model) -> Tensor in
      try coding {
        // Shapes that do not fit into memory are rejected before anything is decoded.
        let empty = try Tensor.full(0, shape, .i32)
        return try reader.decoding(empty.count) {
          let decoded: [Int32]
          switch try model.known() {
          case .fixed(let table):
            decoded = try reader.tensors.decoder.decode(count: empty.count, with: table)
          case .learning(var learning):
            decoded = try reader.tensors.decoder.decode(count: empty.count, with: &learning)
          }
          return try tensor(decoded, empty.shape)
        }
      }
    }
    c.method(
      "slice", params: ["tables", "means", "scales"],
      doc: "The next symbols, each with its own distribution, in the shape of the means."
    ) {
      (reader: CodingReader, tables: DistributionCoding, means: Tensor, scales: Tensor) -> Tensor in
      return try reader.decoding(means.count) {
        let parameters = try DistributionCoding.Parameters(means, scales, count: means.count)
        return try coding {
          try tensor(
            try tables.tables.decode(
              means: parameters.means, scales: parameters.scales, from: &reader.tensors.decoder),
            means.shape)
        }
      }
    }
    c.method("steps", params: ["rows"], doc: "The steps of a tensor: one, or one for each row.") {
      (reader: CodingReader, rows: Int) -> [Double] in
      guard rows >= 0 else {
        throw LunervError(.argument, "steps: rows: expected at least 0, got \(rows)")
      }
      return try coding { try reader.tensors.decodeSteps(rows: rows).map { Double($0) } }
    }
    c.method(
      "fitted", params: ["shape"], doc: "The next model, and the symbols that were coded with it."
    ) {
      (reader: CodingReader, shape: [Int]) -> Tensor in
      try coding {
        let empty = try Tensor.full(0, shape, .i32)
        return try reader.decoding(empty.count) {
          try tensor(try reader.tensors.decode(count: empty.count), empty.shape)
        }
      }
    }
    c.method("symbol", params: ["table"], doc: "The next symbol.") {
      (reader: CodingReader, table: CodingTable) -> Int in
      try Work.decodingSymbol()
      return try coding { Int(try reader.tensors.decoder.decode(with: table.table)) }
    }
    c.method("finish", doc: "Checks that all symbols were decoded.") { (reader: CodingReader) in
      try coding { try reader.tensors.decoder.finish() }
    }
    return c
  }
}

/// A table of frequencies that Lua holds.
final class CodingTable: LuaObject {
  static var luaName: String { "coding_table" }
  let table: FrequencyTable
  init(_ table: FrequencyTable) { self.table = table }

  static func symbol(_ symbol: Int) throws -> Int32 {
    guard let exact = Int32(exactly: symbol) else {
      throw LunervError(.argument, "expected a symbol of 32 bits, got \(symbol)")
    }
    return exact
  }
}

/// An encoder's state.
final class CodingWriter: LuaObject {
  static var luaName: String { "coding_writer" }
  var tensors: ModelledTensors.Writer
  init() throws { tensors = try ModelledTensors.Writer() }
}

/// A decoder's state.
final class CodingReader: LuaObject {
  static var luaName: String { "coding_reader" }
  var tensors: ModelledTensors.Reader
  init(_ bytes: [UInt8]) throws { tensors = try ModelledTensors.Reader(bytes) }

  /// Runs `body`, which decodes `count` symbols. If it fails, nothing has been read, so it may be
  /// called again once there is memory.
  func decoding<R>(_ symbols: Int, _ body: () throws -> R) throws -> R {
    let before = tensors
    do { return try Work.decoding(symbols: symbols, body) } catch {
      tensors = before
      throw error
    }
  }
}
