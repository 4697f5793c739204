/// Running sums along a line.
public enum CumulativeSum {
  /// y[o][j][i] = Σ x[o][k][i] over k ≤ j, or over k ≥ j if `backwards`. Sums are accumulated in
  /// f64.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func run<T: PointwiseScalar>(
    _ x: UnsafePointer<T>, outer: Int, length: Int, inner: Int, backwards: Bool,
    into y: UnsafeMutablePointer<T>
  ) {
    if outer * length * inner == 0 { return }
    if inner == 1 {
      let together = max(1, (1 << 15) / length)
      ThreadPool.shared.run((outer + together - 1) / together) { piece in
        for o in (piece * together)..<min(outer, (piece + 1) * together) {
          var sum = 0.0
          for k in 0..<length {
            let at = o * length + (backwards ? length - 1 - k : k)
            sum += Double(x[at])
            y[at] = T(sum)
          }
        }
      }
      return
    }
    let width = 512
    let blocks = (inner + width - 1) / width
    ThreadPool.shared.run(outer * blocks) { piece in
      let (o, first) = (piece / blocks, piece % blocks * width)
      let count = min(width, inner - first)
      withScratch { scratch in
        let sums = scratch.take(count, of: Double.self)
        sums.update(repeating: 0, count: count)
        for k in 0..<length {
          let at = (o * length + (backwards ? length - 1 - k : k)) * inner + first
          let (from, to) = (x + at, y + at)
          for i in 0..<count {
            sums[i] += Double(from[i])
            to[i] = T(sums[i])
          }
        }
      }
    }
  }
}
