/// A tensor quantised with one step size, in pieces determined by its size alone.
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
}
