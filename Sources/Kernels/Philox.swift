import Glibc

/// Philox4x32-10 (Salmon et al., SC 2011): random numbers as a pure function of a seed and
/// a counter, so that a generator's whole state is two integers and any draw can be made
/// on any thread.
public struct Philox: Sendable, Equatable {
  public var seed: UInt64
  /// How many blocks of four 32-bit words have been used so far.
  public var counter: UInt64

  public init(seed: UInt64, counter: UInt64 = 0) {
    self.seed = seed
    self.counter = counter
  }

  /// The four words of block `index`.
  public static func block(seed: UInt64, index: UInt64) -> SIMD4<UInt32> {
    var c = SIMD4<UInt32>(
      UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32), 0, 0)
    var k0 = UInt32(truncatingIfNeeded: seed), k1 = UInt32(truncatingIfNeeded: seed >> 32)
    for _ in 0..<10 {
      let p0 = UInt64(c[0]) &* 0xD251_1F53, p1 = UInt64(c[2]) &* 0xCD9E_8D57
      c = SIMD4(
        UInt32(truncatingIfNeeded: p1 >> 32) ^ c[1] ^ k0, UInt32(truncatingIfNeeded: p1),
        UInt32(truncatingIfNeeded: p0 >> 32) ^ c[3] ^ k1, UInt32(truncatingIfNeeded: p0))
      k0 &+= 0x9E37_79B9
      k1 &+= 0xBB67_AE85
    }
    return c
  }

  private mutating func next() -> SIMD4<UInt32> {
    let block = Philox.block(seed: seed, index: counter)
    counter &+= 1
    return block
  }

  /// [0, 1) with 24 bits.
  private static func unit(_ word: UInt32) -> Double { Double(word >> 8) * 0x1p-24 }

  /// `count` draws from [lo, hi), whose length must be finite.
  public mutating func uniform<T: BinaryFloatingPoint>(
    _ out: UnsafeMutablePointer<T>, count: Int, lo: Double, hi: Double
  ) {
    // The largest draw may be rounded to hi.
    let most = lo < hi ? max(T(lo), T(hi).nextDown) : T(hi)
    for i in Swift.stride(from: 0, to: count, by: 4) {
      let block = next()
      for j in 0..<min(4, count - i) {
        out[i + j] = min(T(lo + (hi - lo) * Philox.unit(block[j])), most)
      }
    }
  }

  /// The integers that ``uniform(_:count:lo:hi:)`` would draw from ±2²⁴.
  public mutating func integers(_ count: Int) -> [Int32] {
    var numbers: [Int32] = []
    numbers.reserveCapacity(count)
    while numbers.count < count {
      let block = next()
      for j in 0..<min(4, count - numbers.count) {
        numbers.append(Int32(block[j] >> 8) * 2 - 1 << 24)
      }
    }
    return numbers
  }

  /// `count` normal draws by Box–Muller. With `bound`, draws outside ±bound (absolute) are drawn
  /// again.
  public mutating func normal<T: BinaryFloatingPoint>(
    _ out: UnsafeMutablePointer<T>, count: Int, mean: Double, deviation: Double,
    bound: Double = .infinity
  ) {
    var i = 0
    while i < count {
      let block = next()
      for pair in 0..<2 where i < count {
        let radius = (-2 * Glibc.log(1 - Philox.unit(block[2 * pair]))).squareRoot()
        let angle = 2 * Double.pi * Philox.unit(block[2 * pair + 1])
        for z in [radius * Glibc.cos(angle), radius * Glibc.sin(angle)] where i < count {
          let value = mean + deviation * z
          if value >= -bound, value <= bound {
            out[i] = T(value)
            i += 1
          }
        }
      }
    }
  }

  /// A permutation of 0..<n (Fisher–Yates, unbiased by rejection).
  public mutating func permutation(_ n: Int) -> [Int] {
    var order = Array(0..<max(n, 0))
    guard n > 1 else { return order }
    for i in Swift.stride(from: n - 1, to: 0, by: -1) {
      let bound = UInt64(i + 1)
      let limit = UInt64.max - UInt64.max % bound
      var draw: UInt64
      repeat {
        let block = next()
        draw = UInt64(block[0]) << 32 | UInt64(block[1])
      } while draw >= limit
      order.swapAt(i, Int(draw % bound))
    }
    return order
  }
}
