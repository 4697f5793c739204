/// A tensor that one step quantises, in pieces cut by its size alone.
public enum Quantisation {
  private static let piece = 16384

  /// out ← step·round(x/step), ties to even, and rest ← round(x/step) − x/step.
  public static func round(
    _ x: UnsafePointer<Float>, count n: Int, step: Float, into out: UnsafeMutablePointer<Float>,
    rest: UnsafeMutablePointer<Float>
  ) {
    ThreadPool.shared.run((n + piece - 1) / piece) { p in
      for i in p * piece..<min(n, (p + 1) * piece) {
        let code = x[i] / step
        let whole = code.rounded(.toNearestOrEven)
        out[i] = whole * step
        rest[i] = whole - code
      }
    }
  }

  /// Σ x·y, the pieces' sums added in order.
  public static func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count n: Int)
    -> Double
  {
    let pieces = (n + piece - 1) / piece
    return withScratch { scratch in
      let sums = scratch.floats(max(pieces, 1))
      ThreadPool.shared.run(pieces) { p in
        var lanes = V8.zero
        var i = p * piece
        let end = min(n, (p + 1) * piece)
        while i + 8 <= end {
          lanes += load8(x + i) * load8(y + i)
          i += 8
        }
        var sum = lanes.sum()
        while i < end {
          sum += x[i] * y[i]
          i += 1
        }
        sums[p] = sum
      }
      return (0..<pieces).reduce(0.0) { $0 + Double(sums[$1]) }
    }
  }
}
