import Glibc

/// The most multiply-adds that this machine's cores can do: what kernels are measured
/// against, in the same run, because clocks drift with load and temperature.
public enum Roof {
  /// GFLOP/s of the pool's threads together when they do nothing but fused multiply-adds
  /// in registers; a multiply-add counts as two. The best of many short rounds, taken for
  /// about `seconds`.
  public static func measure(seconds: Double = 0.2) -> Double {
    let pool = ThreadPool.shared
    var state = [Float](repeating: 0, count: stateSize)
    let once = now()
    state.withUnsafeMutableBufferPointer { if let p = $0.baseAddress { advance(p) } }
    // Rounds of about 4 ms: long enough to hide the pool, short enough to find a quiet one.
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
    return Double(pieces * steps * chains * V8.scalarCount * 2) / fastest * 1e-9
  }

  /// GB/s at which the pool's threads together read memory, the other roof: 256 MB are
  /// streamed for about `seconds`, the best pass counts. 0 where there is no such memory.
  public static func bandwidth(seconds: Double = 0.3) -> Double {
    let pieces = 256, count = 1 << 18
    let bytes = pieces * count * 4
    let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let base, base != MAP_FAILED else { return 0 }
    defer { munmap(base, bytes) }
    madvise(base, bytes, 14 /* MADV_HUGEPAGE: what is measured is memory, not its tables */)
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
  private static var stateSize: Int { chains * V8.scalarCount }

  /// Twelve independent chains hide the latency of two multiply-adds a cycle, and fit the
  /// sixteen registers of AVX2. Their values tend to 1: neither infinite nor subnormal.
  @inline(never) private static func advance(_ p: UnsafeMutablePointer<Float>) {
    // From memory, so that the compiler sees vectors: constants it takes apart by lanes.
    let (scale, shift) = (load8(factors), load8(factors + 8))
    var (a0, a1, a2) = (load8(p), load8(p + 8), load8(p + 16))
    var (a3, a4, a5) = (load8(p + 24), load8(p + 32), load8(p + 40))
    var (a6, a7, a8) = (load8(p + 48), load8(p + 56), load8(p + 64))
    var (a9, a10, a11) = (load8(p + 72), load8(p + 80), load8(p + 88))
    for _ in 0..<steps {
      a0 = fma(a0, scale, shift)
      a1 = fma(a1, scale, shift)
      a2 = fma(a2, scale, shift)
      a3 = fma(a3, scale, shift)
      a4 = fma(a4, scale, shift)
      a5 = fma(a5, scale, shift)
      a6 = fma(a6, scale, shift)
      a7 = fma(a7, scale, shift)
      a8 = fma(a8, scale, shift)
      a9 = fma(a9, scale, shift)
      a10 = fma(a10, scale, shift)
      a11 = fma(a11, scale, shift)
    }
    store8(a0, p)
    store8(a1, p + 8)
    store8(a2, p + 16)
    store8(a3, p + 24)
    store8(a4, p + 32)
    store8(a5, p + 40)
    store8(a6, p + 48)
    store8(a7, p + 56)
    store8(a8, p + 64)
    store8(a9, p + 72)
    store8(a10, p + 80)
    store8(a11, p + 88)
  }

  /// Eight times the scale, eight times the shift.
  nonisolated(unsafe) private static let factors: UnsafePointer<Float> = {
    let p = UnsafeMutablePointer<Float>.allocate(capacity: 16)
    p.initialize(repeating: 0.75, count: 8)
    (p + 8).initialize(repeating: 0.25, count: 8)
    return UnsafePointer(p)
  }()

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
