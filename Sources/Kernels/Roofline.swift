import Glibc

/// The peak rate of multiply-adds of this machine's cores. Kernels are measured against it in the
/// same run, because clocks drift with load and temperature.
public enum Roofline {
  /// GFLOP/s of the pool's threads together on fused multiply-adds in registers alone; a
  /// multiply-add counts as two. The best of many short rounds, measured for about `seconds`.
  public static func measure(seconds: Double = 0.2) -> Double {
    let pool = ThreadPool.shared
    var state = [Float](repeating: 0, count: stateSize)
    let once = now()
    state.withUnsafeMutableBufferPointer { if let p = $0.baseAddress { advance(p) } }
    // Rounds of about 4 ms: long enough to hide the pool's overhead, short enough that some are
    // undisturbed.
    let each = Int(min(max(0.004 / max(now() - once, 1e-6), 1), 1024))
    let pieces = pool.threads * each
    state = [Float](repeating: 0, count: pieces * stateSize)
    var fastest = Double.infinity
    let start = now()
    repeat {
      let began = now()
      state.withUnsafeMutableBufferPointer { state in
        guard let p = state.baseAddress else { return }
        pool.run(pieces) { advance(p + $0 * stateSize) }
      }
      fastest = min(fastest, now() - began)
    } while now() - start < seconds
    return Double(pieces * steps * chains * vectorWidth * 2) / fastest * 1e-9
  }

  /// GB/s at which the pool's threads together read memory, the other roof. 256 MB are streamed for
  /// about `seconds`, and the best pass counts. 0 if that memory is not available.
  public static func bandwidth(seconds: Double = 0.3) -> Double {
    let pieces = 256, count = 1 << 18
    let bytes = pieces * count * 4
    let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let base, base != MAP_FAILED else { return 0 }
    defer { munmap(base, bytes) }
    madvise(base, bytes, 14 /* MADV_HUGEPAGE: page tables are not measured */)
    let p = base.assumingMemoryBound(to: Float.self)
    let pool = ThreadPool.shared
    pool.run(pieces) { (p + $0 * count).update(repeating: 1, count: count) }
    var sums = [Float](repeating: 0, count: pieces)
    var fastest = Double.infinity
    let start = now()
    repeat {
      let began = now()
      sums.withUnsafeMutableBufferPointer { sums in
        guard let sums = sums.baseAddress else { return }
        pool.run(pieces) { sums[$0] = sum(p + $0 * count, count) }
      }
      fastest = min(fastest, now() - began)
    } while now() - start < seconds
    return Double(bytes) / fastest * 1e-9
  }

  @inline(never) private static func sum(_ p: UnsafePointer<Float>, _ count: Int) -> Float {
    var (a, b, c, d) = (V8.zero, V8.zero, V8.zero, V8.zero)
    for i in stride(from: 0, to: count, by: 32) {
      a += load8(p + i)
      b += load8(p + i + 8)
      c += load8(p + i + 16)
      d += load8(p + i + 24)
    }
    return (a + b + c + d).sum()
  }

  private static let steps = 4096
  private static let chains = 12
  private static var stateSize: Int { chains * vectorWidth }

  /// Twelve independent chains hide the latency of two multiply-adds per cycle, and fit the
  /// sixteen registers of AVX2. Their values tend to 1: neither infinite nor subnormal.
  @inline(never) private static func advance(_ p: UnsafeMutablePointer<Float>) {
    // Loaded from memory, so that the compiler sees vectors: it would split constants into lanes.
    let (scale, shift) = (load(factors), load(factors + vectorWidth))
    var values = InlineArray<12, Vector>(repeating: .zero)
    for i in 0..<chains { values[i] = load(p + i * vectorWidth) }
    for _ in 0..<steps {
      for i in 0..<chains { values[i] = fma(values[i], scale, shift) }
    }
    for i in 0..<chains { store(values[i], p + i * vectorWidth) }
  }

  /// A vector of the scale, a vector of the shift.
  nonisolated(unsafe) private static let factors: UnsafePointer<Float> = {
    let p = UnsafeMutablePointer<Float>.allocate(capacity: 2 * vectorWidth)
    p.initialize(repeating: 0.75, count: vectorWidth)
    (p + vectorWidth).initialize(repeating: 0.25, count: vectorWidth)
    return UnsafePointer(p)
  }()

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
