import Glibc

/// What codes cost in bits under a normal distribution fitted to them (consistent entropy
/// minimisation, arXiv 2402.18152 §3.3): Σ −log₂(Φ((t+½−μ)/σ) − Φ((t−½−μ)/σ) + 10⁻⁵), each term at
/// least 0, over values t, which are rounded codes or codes with uniform noise.
///
/// How work is split depends on the number of values alone. Sums are accumulated in f64.
public enum GaussianRate {
  /// Keeps the logarithm finite.
  public static let floor = 1e-5
  private static let piece = 16384

  private static func sums<T>(
    _ n: Int, _ zero: T, _ add: (T, T) -> T, _ body: (Range<Int>) -> T
  ) -> T {
    let pieces = (n + piece - 1) / piece
    let partial = UnsafeMutablePointer<T>.allocate(capacity: max(pieces, 1))
    partial.initialize(repeating: zero, count: max(pieces, 1))
    defer {
      partial.deinitialize(count: max(pieces, 1))
      partial.deallocate()
    }
    ThreadPool.shared.run(pieces) { i in
      partial[i] = body(i * piece..<min(n, (i + 1) * piece))
    }
    var total = zero
    for i in 0..<pieces { total = add(total, partial[i]) }
    return total
  }

  /// The mean and the unbiased deviation; the deviation of a single value is 0.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func moments<T: PointwiseScalar>(_ codes: UnsafePointer<T>, count n: Int) -> (
    mean: Double, deviation: Double
  ) {
    if n == 0 { return (0, 0) }
    let sum = sums(n, 0.0, +) { range in
      var s = 0.0
      for i in range { s += Double(codes[i]) }
      return s
    }
    let mean = sum / Double(n)
    if n == 1 { return (mean, 0) }
    let squares = sums(n, 0.0, +) { range in
      var s = 0.0
      for i in range {
        let d = Double(codes[i]) - mean
        s += d * d
      }
      return s
    }
    return (mean, (squares / Double(n - 1)).squareRoot())
  }

  /// The bits of all values.
  public static func bits(
    _ values: UnsafePointer<Float>, count n: Int, mean: Double, deviation: Double
  ) -> Double {
    let scale = Float(1 / (deviation * 2.0.squareRoot()))
    let (m, half) = (Float(mean), Float(0.5))
    return sums(n, 0.0, +) { range in
      var sum = 0.0
      var i = range.lowerBound
      while i < range.upperBound {
        // The product of two vectors of probabilities of at least 10⁻⁵ is at least 10⁻¹⁶⁰, so one
        // logarithm serves both.
        var product = 1.0
        for _ in 0..<2 where i < range.upperBound {
          let k = min(vectorWidth, range.upperBound - i)
          let t = (k == vectorWidth ? load(values + i) : loadFirst(k, values + i)) - m
          let high = verf((t + half) * scale), low = verf((t - half) * scale)
          let p: Vector = (high - low) * half + Float(floor)
          for lane in 0..<k { product *= Double(min(p[lane], 1)) }
          i += k
        }
        sum -= log2(product)
      }
      return sum
    }
  }

  /// The derivatives of the bits with respect to each value, into `out`, and with respect to mean
  /// and deviation. `pushesUp` means that more bits are wanted: then values whose bits are cut off
  /// at 0 have a derivative too.
  public static func derivatives(
    _ values: UnsafePointer<Float>, count n: Int, mean: Double, deviation: Double,
    pushesUp: Bool, into out: UnsafeMutablePointer<Float>
  ) -> (mean: Double, deviation: Double) {
    let inverse = Float(1 / deviation)
    let (m, half, root) = (Float(mean), Float(0.5), Float(0.5.squareRoot()))
    let factor = inverse * Float(1 / M_LN2)
    let bell = Float(1 / (2 * Double.pi).squareRoot())
    let total = sums(n, SIMD2<Double>(0, 0), +) { range in
      var (byMean, byDeviation) = (0.0, 0.0)
      var i = range.lowerBound
      while i < range.upperBound {
        let k = min(vectorWidth, range.upperBound - i)
        let t = (k == vectorWidth ? load(values + i) : loadFirst(k, values + i)) - m
        let high = (t + half) * inverse, low = (t - half) * inverse
        let p: Vector = (verf(high * root) - verf(low * root)) * half + Float(floor)
        let phiHigh: Vector = vexp(high * high * -half) * bell
        let phiLow: Vector = vexp(low * low * -half) * bell
        var d: Vector = factor / p
        if !pushesUp { d = whereLess(Vector(repeating: 1), p, .zero, d) }
        let byValue: Vector = (phiLow - phiHigh) * d
        let bySigma: Vector = (phiHigh * high - phiLow * low) * d
        for lane in 0..<k {
          out[i + lane] = byValue[lane]
          byMean -= Double(byValue[lane])
          byDeviation += Double(bySigma[lane])
        }
        i += k
      }
      return SIMD2(byMean, byDeviation)
    }
    return (total[0], total[1])
  }

  /// out ← g·(out + a + b·(code − mean)): adds the part of each derivative that comes through the
  /// mean and the deviation, which depend on all codes.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func complete<T: PointwiseScalar>(
    _ out: UnsafeMutablePointer<T>, _ codes: UnsafePointer<T>, count n: Int, g: Double,
    mean: Double, a: Double, b: Double
  ) {
    let (g, m, a, b) = (T(g), T(mean), T(a), T(b))
    ThreadPool.shared.run((n + piece - 1) / piece) { piece in
      for i in piece * GaussianRate.piece..<min(n, (piece + 1) * GaussianRate.piece) {
        out[i] = g * (out[i] + a + b * (codes[i] - m))
      }
    }
  }

  // MARK: - Reference

  private static func normal(_ z: Double) -> Double { 0.5 * erfc(-z * 0.5.squareRoot()) }

  /// The same in f64, value by value, for gradient checks.
  public static func bits(
    _ values: UnsafePointer<Double>, count n: Int, mean: Double, deviation: Double
  ) -> Double {
    (0..<n).reduce(0) { sum, i in
      let t = values[i] - mean
      let p = normal((t + 0.5) / deviation) - normal((t - 0.5) / deviation) + floor
      return sum + max(-log2(p), 0)  // NaN stays
    }
  }

  public static func derivatives(
    _ values: UnsafePointer<Double>, count n: Int, mean: Double, deviation: Double,
    pushesUp: Bool, into out: UnsafeMutablePointer<Double>
  ) -> (mean: Double, deviation: Double) {
    var (byMean, byDeviation) = (0.0, 0.0)
    let bell = 1 / (2 * Double.pi).squareRoot()
    for i in 0..<n {
      let t = values[i] - mean
      let high = (t + 0.5) / deviation, low = (t - 0.5) / deviation
      let p = normal(high) - normal(low) + floor
      let d = p > 1 && !pushesUp ? 0 : 1 / (deviation * M_LN2 * p)
      let phiHigh = bell * exp(-high * high / 2), phiLow = bell * exp(-low * low / 2)
      out[i] = (phiLow - phiHigh) * d
      byMean -= out[i]
      byDeviation += (phiHigh * high - phiLow * low) * d
    }
    return (byMean, byDeviation)
  }
}
