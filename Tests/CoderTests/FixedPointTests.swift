// The coder's integer arithmetic, compared with doubles.
import Glibc
import Testing

@testable import Coder

@Suite struct FixedPointTests {
  @Test func normalAgreesWithTheLibrary() {
    var worst = 0.0
    for i in -9000...9000 {
      let fixed = Int64(i) * 268_435
      let z = Double(fixed) * 0x1p-28
      let got = Double(FixedPoint.normal(fixed)) * 0x1p-40
      worst = max(worst, abs(got - 0.5 * erfc(-z / 2.0.squareRoot())))
    }
    #expect(worst < 0x1p-32)
  }

  @Test func normalIsSymmetricAndReachesItsEnds() {
    #expect(FixedPoint.normal(0) == 1 << 39)
    #expect(FixedPoint.normal(1 << 40) == 1 << 40)
    #expect(FixedPoint.normal(-1 << 40) == 0)
    for z in stride(from: Int64(0), to: 9 << 28, by: 12_345_677) {
      #expect(FixedPoint.normal(z) + FixedPoint.normal(-z) == 1 << 40)
    }
  }

  @Test func exponentialAgreesWithTheLibrary() {
    var worst = 0.0
    for i in 0...3000 {
      let x = Double(i) / 100
      let got = Double(FixedPoint.exponential(minus: Int64((x * 0x1p28).rounded()))) * 0x1p-40
      worst = max(worst, abs(got - Glibc.exp(-x)))
    }
    #expect(worst < 0x1p-25)
    #expect(FixedPoint.exponential(minus: 1 << 50) == 0)
  }

  @Test func logisticAgreesWithTheLibrary() {
    var worst = 0.0
    for i in -3000...3000 {
      let x = Double(i) / 100
      let got = Double(FixedPoint.logistic(Int64((x * 0x1p28).rounded()))) * 0x1p-40
      worst = max(worst, abs(got - 1 / (1 + Glibc.exp(-x))))
    }
    #expect(worst < 0x1p-25)
    #expect(FixedPoint.logistic(0) == 1 << 39)
    for z in stride(from: Int64(1), to: 40 << 28, by: 12_345_677) {
      #expect(FixedPoint.logistic(z) + FixedPoint.logistic(-z) == 1 << 40)
      #expect(FixedPoint.logistic(z) >= FixedPoint.logistic(z - 1))
    }
    #expect(FixedPoint.logistic(1 << 50) == 1 << 40 && FixedPoint.logistic(-1 << 50) == 0)
  }

  /// The tabulated roots match their definition: the 16th power of root k is 2^-k.
  @Test func rootsOfTwo() {
    for k in 1..<16 {
      var product = 1.0
      for _ in 0..<16 { product *= Double(FixedPoint.roots[k]) * 0x1p-30 }
      #expect(abs(product * Double(1 << k) - 1) < 1e-7)
    }
  }
}
