// The mixing of predictions, bit-exact.
import Glibc
import Testing

@testable import Coder

@Suite struct BitMixerTests {
  @Test func logistic() {
    for x in stride(from: -2047, through: 2047, by: 23) {
      let exact = 65536 / (1 + Glibc.exp(-Double(x) / 256))
      #expect(abs(Double(Logistic.squash(x)) - exact) < 2)
      // In the steep middle, the inverse is accurate.
      if abs(x) < 1024 { #expect(abs(Logistic.stretch(Logistic.squash(x)) - x) < 8) }
    }
    #expect(Logistic.squash(.max) == 65513 && Logistic.squash(.min) == 23)
    #expect(Logistic.stretch(65535) == 2047 && Logistic.stretch(0) == -2047)
  }

  /// Bits whose probability depends on two of three contexts together.
  private var bits: [(bit: Bool, a: Int, b: Int, c: Int)] {
    var draws = Draws(4)
    return (0..<20000).map { _ in
      let (a, b) = (Int(draws.integer(below: 4)), Int(draws.integer(below: 4)))
      let p = 1 / (1 + Glibc.exp(-2.0 * Double(a + b - 3)))
      return (draws.uniform() < p, a, b, Int(draws.integer(below: 4)))
    }
  }

  private func encoded() -> [UInt8] {
    var encoder = Encoder()
    var mixer = BitMixer(inputs: 3, contexts: 4, situations: (1, 2))
    for entry in bits {
      let contexts = [entry.a, entry.b, entry.c]
      encoder.encode(
        entry.bit, with: &mixer, contexts: { contexts[$0] }, situations: (0, entry.a & 1))
    }
    return encoder.finish()
  }

  @Test func roundTrip() throws {
    var decoder = try Decoder(encoded())
    var mixer = BitMixer(inputs: 3, contexts: 4, situations: (1, 2))
    for entry in bits {
      let contexts = [entry.a, entry.b, entry.c]
      let bit = try decoder.decode(
        with: &mixer, contexts: { contexts[$0] }, situations: (0, entry.a & 1))
      guard bit == entry.bit else {
        Issue.record("another bit")
        return
      }
    }
    try decoder.finish()
  }

  /// Within a few per cent of the cost under the bits' own probabilities.
  @Test func learns() {
    let ideal = bits.reduce(0.0) { sum, entry in
      let p = 1 / (1 + Glibc.exp(-2.0 * Double(entry.a + entry.b - 3)))
      return sum - log2(entry.bit ? p : 1 - p)
    }
    #expect(Double(8 * encoded().count) < 1.05 * ideal)
  }

  @Test func scalesOfVariances() {
    for scale in UInt8(0)...255 {
      let sigma = exp2(Double(scale) / 16 - 4)
      let variance = Int64(sigma * sigma * 65536)
      if variance > 1000 { #expect(Distribution.scale(ofVariance: variance) == scale) }
      #expect(abs(Double(Distribution.width(ofScale: scale)) - sigma * 256) <= 1)
    }
    #expect(Distribution.scale(ofVariance: 0) == 0)
    #expect(Distribution.scale(ofVariance: .max) == 255)
    #expect(Distribution.scale(ofVariance: 1 << 16) == 64)
  }
}
