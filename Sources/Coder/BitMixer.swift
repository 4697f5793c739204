/// Predicts bits from several contexts at once, and learns from each bit (Mahoney, "Adaptive
/// weighing of context models for lossless data compression", 2005).
///
/// For every context the encoder and the decoder both keep the share of ones among the bits seen
/// there. The contexts' predictions are mixed in the logistic domain, ln p/(1 − p), where confident
/// predictions weigh more; a context that has seen nothing contributes nothing. Two
/// mixers, each with a set of weights for each of its situations, make a prediction each, and the
/// two are averaged.
/// All numbers are integers: probabilities count 2⁻¹⁶, logits 2⁻⁸, weights 2⁻¹⁶.
public struct BitMixer: Sendable {
  /// What was seen in a context.
  private struct Cell {
    var probability: UInt16 = 1 << 15
    var count: UInt16 = 0
  }

  private let inputs: Int
  private let contexts: Int
  private var cells: [Cell]
  private var weights: [[Int32]]
  private var logits: [Int]

  // Of the bit last predicted.
  private var places: [Int]
  private var bases = [0, 0]
  private var predictions = [1 << 15, 1 << 15]

  /// - Parameters:
  ///   - inputs: how many contexts are mixed.
  ///   - contexts: how many values each context has.
  ///   - situations: how many situations select a set of weights, for each of the two.
  public init(inputs: Int, contexts: Int, situations: (Int, Int)) {
    (self.inputs, self.contexts) = (inputs, contexts)
    cells = [Cell](repeating: Cell(), count: inputs * contexts)
    let start: Int32 = 1 << 16 / 5
    weights = [situations.0, situations.1].map {
      [Int32](repeating: start, count: $0 * (inputs + 1))
    }
    logits = [Int](repeating: 0, count: inputs + 1)
    places = [Int](repeating: 0, count: inputs)
  }

  /// The probability that a bit is set, from 23 to 65,513.
  ///
  /// - Parameters: the context of input k is `context(k)`; all are below the counts given to
  ///   `init`.
  mutating func predict(_ context: (Int) -> Int, situations: (Int, Int)) -> Int {
    for k in 0..<inputs {
      places[k] = k * contexts + context(k)
      let cell = cells[places[k]]
      let seen = 2 * Int(cell.count)
      logits[k] = Logistic.stretch(Int(cell.probability)) * seen / (seen + 1)
    }
    logits[inputs] = 256
    bases = [situations.0 * (inputs + 1), situations.1 * (inputs + 1)]
    var sum = 0
    for set in 0..<2 {
      var dot = 0
      for k in 0...inputs { dot += Int(weights[set][bases[set] + k]) * logits[k] }
      // Bounded, so that no learned weight can overflow what follows.
      let logit = min(max(dot >> 16, -Logistic.largest), Logistic.largest)
      predictions[set] = Logistic.squash(logit)
      sum += logit
    }
    return Logistic.squash(sum >> 1)
  }

  /// Learns the bit that was predicted.
  mutating func learn(_ bit: Bool) {
    let truth = bit ? 1 << 16 : 0
    for set in 0..<2 {
      let error = truth - predictions[set]
      for k in 0...inputs {
        let place = bases[set] + k
        let next = Int(weights[set][place]) + (logits[k] * error * 3) >> 16
        weights[set][place] = Int32(min(max(next, -1 << 24), 1 << 24))
      }
    }
    for place in places {
      var cell = cells[place]
      // The mean of the bits seen, starting from half a bit; a mean of about the last 255.
      let step = (truth - Int(cell.probability)) * 2 / (2 * Int(cell.count) + 3)
      cell.probability = UInt16(min(max(Int(cell.probability) + step, 32), 65504))
      if cell.count < 255 { cell.count += 1 }
      cells[place] = cell
    }
  }
}

/// 1/(1 + e^−x) and its inverse, x in 2⁻⁸, in integers.
enum Logistic {
  static let largest = 2047

  /// Q16 at −2047…2047.
  private static let squashed: [Int] = (-largest...largest).map { x in
    let e = FixedPoint.exponential(minus: Int64(abs(x)) << 20)  // Q28 to Q40
    let upper = Int((1 << 56) / (1 << 40 + e))
    return x < 0 ? 1 << 16 - upper : upper
  }

  /// For the middle of every sixteen probabilities, the least x whose squash is not below it.
  private static let stretched: [Int] = {
    var x = -largest
    return (0..<4096).map { i in
      while x < largest, squash(x) < 16 * i + 8 { x += 1 }
      return x
    }
  }()

  @inline(__always)
  static func squash(_ x: Int) -> Int { squashed[min(max(x, -largest), largest) + largest] }

  /// - Parameter p: below 2¹⁶.
  @inline(__always)
  static func stretch(_ p: Int) -> Int { stretched[p >> 4] }
}

extension Encoder {
  public mutating func encode(
    _ bit: Bool, with mixer: inout BitMixer, contexts: (Int) -> Int, situations: (Int, Int)
  ) {
    encode(bit, probability: mixer.predict(contexts, situations: situations))
    mixer.learn(bit)
  }
}

extension Decoder {
  public mutating func decode(
    with mixer: inout BitMixer, contexts: (Int) -> Int, situations: (Int, Int)
  ) throws(CoderError) -> Bool {
    let bit = try decodeBit(probability: mixer.predict(contexts, situations: situations))
    mixer.learn(bit)
    return bit
  }
}
