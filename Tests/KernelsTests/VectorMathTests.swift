import Glibc
import Testing

@testable import Kernels

/// The largest errors of a function against libm in Double.
private struct Measured {
  /// In units in the last place of the correctly rounded result.
  var ulps = 0.0
  var absolute = 0.0
  var at: Float = 0

  /// Over all of `inputs`; an error of at most `floor` does not count in `ulps`.
  init(
    _ inputs: [Float], floor: Double = 0, _ f: (Vector) -> Vector,
    _ exact: (Double) -> Double
  ) {
    for start in stride(from: 0, to: inputs.count, by: vectorWidth) {
      var v = Vector.zero
      let n = min(vectorWidth, inputs.count - start)
      for i in 0..<n { v[i] = inputs[start + i] }
      let r = f(v)
      for i in 0..<n {
        let expected = exact(Double(v[i]))
        let rounded = Float(expected)
        if rounded.isInfinite || rounded.isNaN {
          if r[i] != rounded && !(r[i].isNaN && rounded.isNaN) { (ulps, at) = (.infinity, v[i]) }
          continue
        }
        let error = abs(Double(r[i]) - expected)
        absolute = error >= 0 ? max(absolute, error) : .infinity
        if error <= floor { continue }
        let units = error / Double(rounded.ulp)
        if !(units <= ulps) { (ulps, at) = (units, v[i]) }
      }
    }
  }
}

/// Floats of both signs, spread over all exponents up to `limit`.
private func floats(upTo limit: Float, step: UInt32 = 2741) -> [Float] {
  stride(from: 0, through: limit.bitPattern, by: Int(step)).flatMap {
    [Float(bitPattern: $0), -Float(bitPattern: $0)]
  }
}

private func floats(_ lo: Float, _ hi: Float, count: Int = 200_000) -> [Float] {
  (0...count).map { lo + (hi - lo) * Float($0) / Float(count) }
}

extension KernelsTests {
  @Suite struct VectorMathTests {
    @Test func exponential() {
      let range = Measured(floats(-87.3, 89), vexp, exp)
      #expect(range.ulps < 2, "at \(range.at)")
      let all = Measured(floats(upTo: .greatestFiniteMagnitude), vexp, exp)
      #expect(all.ulps < 2, "at \(all.at)")
      // Results below the smallest normal number, and the last one before infinity.
      let edges = Measured(
        floats(-104, -87) + [88.72283, 88.722_84, 88.8, -103.97, -103.98], vexp, exp)
      #expect(edges.ulps < 2, "at \(edges.at)")
    }

    @Test func sineAndCosine() {
      // Near a multiple of π the result is small: the absolute error is bounded as for a result of
      // 1.
      for (name, f, exact) in [
        ("sin", vsin as (Vector) -> Vector, sin as (Double) -> Double),
        ("cos", vcos, cos),
      ] {
        let near = Measured(floats(-30, 30), f, exact)
        #expect(near.absolute < 1.2e-7, "\(name)")
        #expect(Measured(floats(-3, 3), floor: 2e-8, f, exact).ulps < 2, "\(name)")
        let far = Measured(floats(-10_000, 10_000), f, exact)
        #expect(far.absolute < 1.5e-7, "\(name)")
        let huge = Measured(floats(upTo: .greatestFiniteMagnitude, step: 20_011), f, exact)
        #expect(huge.absolute < 1.5e-7, "\(name)")
      }
      let small = Measured(floats(upTo: 0.7), vsin, sin)
      #expect(small.ulps < 2, "at \(small.at)")
    }

    @Test func sigmoidAndHyperbolicTangent() {
      let s = Measured(floats(-80, 80) + floats(upTo: 80), vsigmoid) { 1 / (1 + exp(-$0)) }
      #expect(s.ulps < 4, "at \(s.at)")
      let wide = Measured(floats(upTo: .greatestFiniteMagnitude), vsigmoid) { 1 / (1 + exp(-$0)) }
      #expect(wide.absolute < 1.5e-7, "at \(wide.at)")
      let t = Measured(floats(upTo: .greatestFiniteMagnitude) + floats(-2, 2), vtanh, tanh)
      #expect(t.ulps < 3, "at \(t.at)")
    }

    @Test func errorFunction() {
      let e = Measured(floats(upTo: .greatestFiniteMagnitude) + floats(-5, 5), verf, erf)
      #expect(e.ulps < 7, "at \(e.at)")
    }

    @Test func activations() {
      func cdf(_ x: Double) -> Double { 0.5 * erfc(-x * 0.5.squareRoot()) }
      func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
      let inputs = floats(-20, 20) + floats(upTo: 1e30)
      let gelu = Measured(inputs, floor: 1.2e-6, vgelu) { $0 * cdf($0) }
      #expect(gelu.ulps < 6, "at \(gelu.at)")
      let slope = Measured(inputs, vgeluGradient) {
        cdf($0) + $0 * exp(-0.5 * $0 * $0) / (2 * Double.pi).squareRoot()
      }
      #expect(slope.absolute < 5e-7, "at \(slope.at)")
      let silu = Measured(inputs, floor: 1e-35, vsilu) { $0 * sigmoid($0) }
      #expect(silu.ulps < 5, "at \(silu.at)")
      let rise = Measured(inputs, vsiluGradient) { sigmoid($0) * (1 + $0 * (1 - sigmoid($0))) }
      // 1 − σ cancels: an error of one unit, times x.
      #expect(rise.absolute < 1.5e-6, "at \(rise.at)")
    }

    @Test func logarithms() {
      let positive = floats(upTo: .greatestFiniteMagnitude).filter { $0 > 0 }
      let near = floats(0.5, 2)
      let two = Measured(positive + near, vlog2, log2)
      #expect(two.ulps < 2.5, "at \(two.at)")
      let above = positive + floats(-0.999_999, 2) + floats(upTo: 0.999)
      let one = Measured(above, vlog1p, log1p)
      #expect(one.ulps < 2.5, "at \(one.at)")
      let less = Measured(
        floats(-30, 88.7) + floats(upTo: .greatestFiniteMagnitude) + floats(-2, 2), vexpm1, expm1)
      #expect(less.ulps < 2.5, "at \(less.at)")
      let soft = Measured(floats(-87, 100) + floats(upTo: 1e30), vsoftplus) {
        max($0, 0) + log1p(exp(-abs($0)))
      }
      #expect(soft.ulps < 4, "at \(soft.at)")
    }

    @Test func anglesOfPoints() {
      for x: Float in [1, -1, 3e-3, -7, 1e30, -1e-30, 0, -0.0] {
        let angle = Measured(
          floats(-4, 4) + floats(upTo: .greatestFiniteMagnitude, step: 20_011),
          { vatan2($0, Vector(repeating: x)) }, { atan2($0, Double(x)) })
        #expect(angle.ulps < 3, "next to \(x) at \(angle.at)")
      }
      let special: [Float] = [0, -0.0, 1, -1, .infinity, -.infinity, .nan]
      for y in special {
        for x in special {
          let got = vatan2(Vector(repeating: y), Vector(repeating: x))[0]
          let wanted = Float(atan2(Double(y), Double(x)))
          #expect(
            wanted.isNaN
              ? got.isNaN : abs(got - wanted) <= 2 * wanted.ulp && got.sign == wanted.sign,
            "atan2(\(y), \(x)) is \(got)")
        }
      }
    }

    @Test func hardActivations() {
      let inputs = floats(-8, 8) + floats(upTo: .greatestFiniteMagnitude, step: 20_011)
      let hard = Measured(inputs) {
        vhardswish($0)
      } _: {
        $0 <= -3 ? 0 : $0 >= 3 ? $0 : $0 * ($0 + 3) / 6
      }
      #expect(hard.absolute < 5e-7, "at \(hard.at)")
      let slope = Measured(inputs) {
        vhardswishGradient($0)
      } _: {
        $0 <= -3 ? 0 : $0 >= 3 ? 1 : $0 / 3 + 0.5
      }
      #expect(slope.absolute < 2e-7, "at \(slope.at)")
      for f in [vhardswish, vhardswishGradient, vsoftplus] as [(Vector) -> Vector] {
        #expect(f(Vector(repeating: .nan))[0].isNaN)
      }
    }

    @Test func infinitiesAndNotANumbers() {
      typealias Function = (Vector) -> Vector
      let functions: [(String, Function, atInfinity: Float, atMinusInfinity: Float)] = [
        ("exp", vexp, .infinity, 0), ("sin", vsin, .nan, .nan), ("cos", vcos, .nan, .nan),
        ("tanh", vtanh, 1, -1), ("sigmoid", vsigmoid, 1, 0), ("erf", verf, 1, -1),
        ("log2", vlog2, .infinity, .nan), ("log1p", vlog1p, .infinity, .nan),
        ("expm1", vexpm1, .infinity, -1), ("softplus", vsoftplus, .infinity, 0),
      ]
      for (name, f, above, below) in functions {
        // Special values must not affect the other lanes.
        var v = Vector(repeating: 0.5)
        (v[0], v[2], v[4], v[6]) = (.infinity, -.infinity, .nan, -0.0)
        let r = f(v), calm = f(Vector(repeating: 0.5))
        func same(_ a: Float, _ b: Float) -> Bool { a == b || (a.isNaN && b.isNaN) }
        #expect(same(r[0], above) && same(r[2], below) && r[4].isNaN, "\(name) gives \(r)")
        for i in [1, 3, 5, 7] { #expect(abs(r[i] - calm[i]) <= calm[i].ulp, "\(name)") }
      }
      #expect(vgelu(Vector(repeating: .infinity))[0] == .infinity)
      #expect(vgelu(Vector(repeating: .nan))[0].isNaN && vsilu(Vector(repeating: .nan))[0].isNaN)
      #expect(vgelu(Vector(repeating: -1e30))[0] == 0)
    }
  }
}
