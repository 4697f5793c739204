import Codec
import Coder
import LuaBridge
import Support
import Tensors

/// The entropy coder, as lv.coder has it.
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
        LuaField("family", \.family), LuaField("mean", \.mean), LuaField("scale", \.scale),
        LuaField("first", \.first), LuaField("count", \.count), LuaField("weights", \.weights),
      ]
    }

    enum Known {
      case fixed(FrequencyTable)
      case learning(AdaptiveModel)
    }

    func known() throws -> Known {
      func integer<T: FixedWidthInteger>(_ value: Int?, _ name: String, _ type: T.Type) throws -> T
      {
        guard let value, let exact = T(exactly: value) else {
          throw LunervError(
            .argument, "coder: \(family): expected an integer '\(name)' from \(T.min) to \(T.max)")
        }
        return exact
      }
      switch family {
      case "gaussian", "laplace":
        return .fixed(
          FrequencyTable(
            Distribution(
              family == "gaussian" ? .gaussian : .laplace,
              mean: try integer(mean, "mean", Int32.self),
              scale: try integer(scale, "scale", UInt8.self))))
      case "adaptive":
        return .learning(
          try AdaptiveModel(
            first: try integer(first, "first", Int32.self),
            count: Int(try integer(count, "count", Int32.self))))
      case "table":
        return .fixed(
          try FrequencyTable(
            first: try integer(first, "first", Int32.self),
            weights: try (weights ?? []).map { try integer($0, "weights", UInt32.self) }))
      default:
        throw LunervError(
          .argument,
          "coder: unknown family '\(family)' (known: adaptive, gaussian, laplace, table)")
      }
    }
  }

  private static func symbols(_ t: Tensor) throws -> [Int32] {
    guard t.dtype == .i32 else {
      throw LunervError(.argument, "coder: expected i32 symbols, got \(t.dtype.rawValue)")
    }
    return try t.withBytes { Array($0.bindMemory(to: Int32.self)) }
  }

  /// The coder's errors as ours.
  private static func coding<R>(_ body: () throws -> R) throws -> R {
    do { return try body() } catch let error as CoderError {
      throw LunervError(error == .tooManySymbols ? .argument : .data, "coder: \(error)")
    }
  }

  static func define(_ m: LuaModule) {
    m.define(
      "coder_fit", params: ["symbols", "families"],
      doc: "The model of these families under which i32 symbols cost least, as a table."
    ) { (t: Tensor, families: [String]?) -> [String: LuaValue] in
      let known = try CompressionModule.families(families)
      switch SymbolModel.best(for: try symbols(t), among: known) {
      case .distribution(let d):
        return [
          "family": .string("\(d.family)"), "mean": .int(Int(d.mean)), "scale": .int(Int(d.scale)),
        ]
      case .adaptive(let first, let count):
        return ["family": .string("adaptive"), "first": .int(Int(first)), "count": .int(count)]
      }
    }
    m.define(
      "coder_encode", params: ["symbols", "models"], doc: "The bytes of i32 tensors, each a model."
    ) { (tensors: [Tensor], models: [Model]) -> LuaBytes in
      guard tensors.count == models.count else {
        throw LunervError(.argument, "coder: expected a model for each tensor")
      }
      return try coding {
        var encoder = Encoder()
        for (tensor, model) in zip(tensors, models) {
          switch try model.known() {
          case .fixed(let table): encoder.encode(try symbols(tensor), with: table)
          case .learning(var learning): encoder.encode(try symbols(tensor), with: &learning)
          }
        }
        return LuaBytes(encoder.finish())
      }
    }
    m.define(
      "coder_decode", params: ["bytes", "counts", "models"],
      doc: "The i32 tensors that coder_encode was given."
    ) { (bytes: LuaBytes, counts: [Int], models: [Model]) -> [Tensor] in
      guard counts.count == models.count else {
        throw LunervError(.argument, "coder: expected a model for each count")
      }
      return try coding {
        var decoder = try Decoder(bytes.bytes)
        let tensors = try zip(counts, models).map { count, model in
          let shape = try Tensor.full(0, [count], .i32).shape
          let decoded: [Int32]
          switch try model.known() {
          case .fixed(let table): decoded = try decoder.decode(count: count, with: table)
          case .learning(var learning): decoded = try decoder.decode(count: count, with: &learning)
          }
          return try decoded.withUnsafeBytes { try Tensor.from(bytes: $0, shape, .i32) }
        }
        try decoder.finish()
        return tensors
      }
    }
  }
}
