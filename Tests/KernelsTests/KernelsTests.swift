import Glibc
import Testing

@testable import Kernels

/// Every test of the kernels, one at a time: some set the number of threads, and a kernel that
/// finds the pool busy would run on its caller's thread alone.
@Suite(.serialized) struct KernelsTests {
  /// OpenBLAS falls back to kernels without AVX on a processor that it does not know.
  @Test(.enabled(if: getenv("OPENBLAS_CORETYPE") == nil))
  func openBLASUsesTheProcessor() {
    #if arch(x86_64) && !LUNERV_BASELINE
      #expect(!Libraries.openBLAS.hasSuffix("Prescott"), "\(Libraries.openBLAS)")
    #endif
  }
}

/// Pseudo-random numbers that are the same on every run (xorshift).
struct Noise {
  private var state: UInt64

  init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 | 1 }

  mutating func word() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }

  /// Uniform in [−1, 1).
  mutating func number() -> Float { Float(word() >> 40) / Float(1 << 23) - 1 }
  mutating func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in number() } }
  mutating func below(_ n: Int) -> Int { Int(word() >> 33) % n }
  mutating func pick<T>(_ from: [T]) -> T { from[below(from.count)] }
}

/// Memory between two guards of NaNs: a read past the end shows in the result, a write in
/// `isIntact`.
final class Guarded<T: BinaryFloatingPoint> {
  private static var wall: Int { 512 }
  let count: Int
  private let base: UnsafeMutablePointer<T>

  /// `count` elements, all NaN until they are written.
  init(_ count: Int) {
    self.count = count
    base = .allocate(capacity: count + 2 * Guarded.wall)
    base.initialize(repeating: .nan, count: count + 2 * Guarded.wall)
  }

  convenience init(_ values: [T]) {
    self.init(values.count)
    for (i, v) in values.enumerated() { p[i] = v }
  }

  deinit { base.deallocate() }

  var p: UnsafeMutablePointer<T> { base + Guarded.wall }
  var values: [T] { (0..<count).map { p[$0] } }
  var isIntact: Bool {
    (0..<Guarded.wall).allSatisfy { base[$0].isNaN && p[count + $0].isNaN }
  }
}

func areIntact<T>(_ memory: [Guarded<T>]) -> Bool { memory.allSatisfy { $0.isIntact } }

/// The largest difference, relative to the largest magnitude expected; infinite if a value is
/// missing or NaN.
func relativeError<A: BinaryFloatingPoint>(_ got: [A], _ expected: [Double]) -> Double {
  guard got.count == expected.count else { return .infinity }
  var (worst, largest) = (0.0, 0.0)
  for (g, e) in zip(got, expected) {
    let difference = abs(Double(g) - e)
    worst = difference >= 0 ? max(worst, difference) : .infinity
    largest = max(largest, abs(e))
  }
  return worst == 0 ? 0 : worst / max(largest, 1e-30)
}
