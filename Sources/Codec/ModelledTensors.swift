import Coder

/// Quantised tensors whose symbols are coded with models that functions in the file select: the
/// third form of ``StoredTensors``.
///
///     a byte             the length of a name; then the name: the module of ``StoredProgram`` that
///                        returns the model
///     stream             for each tensor, its steps as in the first form, then its symbols, coded
///                        with the model that the module returns; if it returns none, a model as in
///                        the first form, and the symbols coded with that
///
/// The functions are Lua. They receive tensors one by one, and symbols too if a model depends on
/// the previous ones: stdlib/lunerv/codec/modelled.lua.
public enum ModelledTensors {
  /// Makes the stream.
  public struct Writer: Sendable {
    /// Encodes the symbols that have a model.
    public var encoder = Encoder()
    private var models: ModelCoder

    public init() throws { models = try ModelCoder(relative: false) }

    public mutating func encode(steps: [Float]) {
      StoredTensors.encodeSteps(steps, into: &encoder)
    }

    /// Encodes symbols without a model, with the best model of these families.
    public mutating func encode(_ symbols: [Int32], among families: [SymbolModel.Family]) throws {
      let model = SymbolModel.best(for: symbols, among: families)
      models.encode(model, into: &encoder)
      try model.encode(symbols, into: &encoder)
    }
  }

  /// Reads the stream.
  public struct Reader {
    public var decoder: Decoder
    private var models: ModelCoder

    public init(_ bytes: [UInt8]) throws {
      decoder = try Decoder(bytes)
      models = try ModelCoder(relative: false)
    }

    public mutating func decodeSteps(rows: Int) throws(CoderError) -> [Float] {
      try StoredTensors.decodeSteps(rows: rows, from: &decoder)
    }

    /// Symbols that were written without a model.
    public mutating func decode(count: Int) throws -> [Int32] {
      try models.decode(from: &decoder).decode(count: count, from: &decoder)
    }
  }
}
