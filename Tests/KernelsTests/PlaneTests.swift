// Strided copies, matrix products, windows, transforms and random numbers, against plain loops.
import Glibc
import Testing

@testable import Kernels

extension KernelsTests {
  static func sine(_ x: Double) -> Double { sin(x) }

  /// Kernels over whole planes: copies, products, windows, means, transforms.
  @Suite struct PlaneTests {
    /// Σ a·b, which verifies an adjoint: ⟨f(x), y⟩ = ⟨x, f*(y)⟩.
    private func dot(_ a: Guarded<Double>, _ b: Guarded<Double>) -> Double {
      zip(a.values, b.values).reduce(0) { $0 + $1.0 * $1.1 }
    }

    private func noise(_ count: Int, _ seed: Int) -> Guarded<Double> {
      var noise = Noise(seed)
      return Guarded(noise.numbers(count).map(Double.init))
    }

    @Test func stridedCopies() {
      var noise = Noise(1)
      let sizes = [3, 4, 5, 6]
      let count = sizes.reduce(1, *)
      let source = Guarded(noise.numbers(count))
      let from = [120, 30, 6, 1]
      for order in [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 3, 1], [1, 0, 3, 2]] {
        let shape = order.map { sizes[$0] }
        var strides = [Int](repeating: 1, count: 4)
        for d in [2, 1, 0] { strides[d] = strides[d + 1] * shape[d + 1] }
        let target = Guarded<Float>(count)
        stridedCopy(
          sizes: shape, from: source.p, strides: order.map { from[$0] }, to: target.p,
          strides: strides)
        var right = true
        for a in 0..<shape[0] {
          for b in 0..<shape[1] {
            for c in 0..<shape[2] {
              for d in 0..<shape[3] {
                let at = zip([a, b, c, d], order).reduce(0) { $0 + $1.0 * from[$1.1] }
                right =
                  right
                  && target.p[((a * shape[1] + b) * shape[2] + c) * shape[3] + d] == source.p[at]
              }
            }
          }
        }
        #expect(right && target.isIntact, "\(order)")
      }
      let one = Guarded<Float>(1)
      stridedCopy(sizes: [], from: source.p, strides: [], to: one.p, strides: [])
      #expect(one.p[0] == source.p[0])
      stridedCopy(sizes: [3, 0], from: source.p, strides: [1, 1], to: one.p, strides: [1, 1])
      // A stride of zero repeats.
      let repeated = Guarded<Float>(8)
      stridedCopy(
        sizes: [4, 2], from: source.p, strides: [0, 1], to: repeated.p, strides: [2, 1])
      #expect(repeated.values == (0..<8).map { source.p[$0 % 2] } && repeated.isIntact)
    }

    @Test(arguments: [(1, 1, 1), (5, 3, 7), (64, 64, 64), (200, 3, 500), (3, 300, 400), (7, 5, 0)])
    func matrixProducts(_ m: Int, _ n: Int, _ k: Int) {
      let a = noise(m * k, 1), b = noise(k * n, 2)
      for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
        let c = Guarded<Double>(m * n)
        MatrixProduct.multiply(
          m: m, n: n, k: k, a: a.p, transposeA: ta, b: b.p, transposeB: tb, c: c.p)
        var expected: [Double] = []
        for i in 0..<m {
          for j in 0..<n {
            expected.append(
              (0..<k).reduce(0) {
                $0 + a.p[ta ? $1 * m + i : i * k + $1] * b.p[tb ? j * k + $1 : $1 * n + j]
              })
          }
        }
        #expect(relativeError(c.values, expected) < 1e-13 && c.isIntact)
        let (sa, sb) = (Guarded(a.values.map(Float.init)), Guarded(b.values.map(Float.init)))
        let sc = Guarded<Float>(m * n)
        MatrixProduct.multiply(
          m: m, n: n, k: k, a: sa.p, transposeA: ta, b: sb.p, transposeB: tb, c: sc.p)
        #expect(relativeError(sc.values, expected) < 3e-6 && areIntact([sa, sb, sc]))
      }
    }

    @Test(
      arguments: [(5, 5, 5), (6, 9, 5), (70, 40, 11), (43, 75, 11), (12, 139, 11), (7, 7, 3)],
      [false, true])
    func similarities(_ size: (h: Int, w: Int, k: Int), _ luminance: Bool) {
      let (h, w, k) = size
      let half = k / 2
      let raw = (0..<k).map { 1 + Double(min($0, k - 1 - $0)) / Double(half + 1) }
      let window = raw.map { $0 / raw.reduce(0, +) }
      let x = noise(2 * h * w, 1), y = noise(2 * h * w, 2)
      for i in 0..<x.count { y.p[i] = 0.7 * x.p[i] + 0.3 * y.p[i] }
      let (oh, ow) = (h - k + 1, w - k + 1)
      func mean(_ plane: Int) -> Double {
        var sum = 0.0
        for r in 0..<oh {
          for c in 0..<ow {
            var (a, b, s, p) = (0.0, 0.0, 0.0, 0.0)
            for i in 0..<k {
              for j in 0..<k {
                let place = (plane * h + r + i) * w + c + j
                let (weight, u, v) = (window[i] * window[j], x.p[place], y.p[place])
                a += weight * u
                b += weight * v
                s += weight * (u * u + v * v)
                p += weight * u * v
              }
            }
            let contrast = (2 * (p - a * b) + 9e-4) / (s - a * a - b * b + 9e-4)
            sum += contrast * (luminance ? (2 * a * b + 1e-4) / (a * a + b * b + 1e-4) : 1)
          }
        }
        return sum / Double(oh * ow)
      }
      let room = Similarity.derivativeCount(planes: 2, h: h, w: w, window: k)
      let maps = Guarded<Double>(room), gradient = Guarded<Double>(x.count)
      let means = Similarity.means(
        planes: 2, h: h, w: w, window: window, luminance: luminance, x.p, y.p, derivatives: maps.p,
        gradient: gradient.p)
      #expect(relativeError(means, [mean(0), mean(1)]) < 1e-12)
      #expect(areIntact([x, y, maps, gradient]))
      // Finite differences at the corners, the edges and inside.
      for (row, column) in [(0, 0), (h / 2, w - 1), (h - 1, w / 3), (h / 3, w / 2)] {
        let place = (h + row) * w + column
        let kept = x.p[place], step = 1e-5
        x.p[place] = kept + step
        let above = mean(1)
        x.p[place] = kept - step
        let below = mean(1)
        x.p[place] = kept
        #expect(abs((above - below) / (2 * step) - gradient.p[place]) < 1e-7)
      }
      let (fx, fy) = (Guarded(x.values.map(Float.init)), Guarded(y.values.map(Float.init)))
      let narrowMaps = Guarded<Float>(room), narrow = Guarded<Float>(x.count)
      let narrowMeans = Similarity.means(
        planes: 2, h: h, w: w, window: window.map(Float.init), luminance: luminance, fx.p, fy.p,
        derivatives: narrowMaps.p, gradient: narrow.p)
      #expect(relativeError(narrowMeans, means) < 1e-4)
      #expect(relativeError(narrow.values, gradient.values) < 1e-3)
      #expect(areIntact([fx, fy, narrowMaps, narrow]))
    }

    @Test(arguments: [(4, 6, 0, 0), (5, 7, 1, 1), (5, 6, 1, 0), (5, 7, 0, 0), (2, 2, 0, 0)])
    func means(_ h: Int, _ w: Int, _ padY: Int, _ padX: Int) {
      let x = noise(3 * h * w, 1)
      let (oh, ow) = ((h + 2 * padY) / 2, (w + 2 * padX) / 2)
      let y = Guarded<Double>(3 * oh * ow)
      MeanPool.forward(planes: 3, h: h, w: w, padY: padY, padX: padX, x.p, y.p)
      var expected: [Double] = []
      for p in 0..<3 {
        for r in 0..<oh {
          for c in 0..<ow {
            var sum = 0.0
            for i in 0..<2 {
              for j in 0..<2 {
                let (row, column) = (2 * r + i - padY, 2 * c + j - padX)
                if row >= 0, row < h, column >= 0, column < w {
                  sum += x.p[(p * h + row) * w + column]
                }
              }
            }
            expected.append(sum / 4)
          }
        }
      }
      #expect(relativeError(y.values, expected) < 1e-14 && y.isIntact)
      let g = noise(3 * oh * ow, 2), back = Guarded<Double>(3 * h * w)
      MeanPool.adjoint(planes: 3, h: h, w: w, padY: padY, padX: padX, g.p, back.p)
      #expect(abs(dot(y, g) - dot(x, back)) < 1e-12 && areIntact([x, g, back]))
    }

    @Test(arguments: [(4, 6), (5, 7), (6, 5), (1, 8), (8, 1), (1, 1), (3, 2), (12, 20)])
    func transforms(_ h: Int, _ w: Int) {
      let columns = w / 2 + 1
      let x = noise(2 * h * w, 1), y = Guarded<Double>(4 * h * columns)
      FourierTransform.forwardAll(planes: 2, h: h, w: w, x.p, y.p)
      var expected: [Double] = []
      /// |Re| + |Im| over the full spectrum.
      var total = 0.0
      for p in 0..<2 {
        for u in 0..<h {
          for v in 0..<w {
            var (re, im) = (0.0, 0.0)
            for r in 0..<h {
              for c in 0..<w {
                let angle =
                  -2 * Double.pi
                  * (Double(u * r % h) / Double(h) + Double(v * c % w) / Double(w))
                re += x.p[(p * h + r) * w + c] * cos(angle)
                im += x.p[(p * h + r) * w + c] * sin(angle)
              }
            }
            if v < columns { expected += [re, im] }
            total += abs(re) + abs(im)
          }
        }
      }
      #expect(relativeError(y.values, expected) < 1e-13 && y.isIntact)
      let g = noise(4 * h * columns, 2), back = Guarded<Double>(2 * h * w)
      FourierTransform.adjointAll(planes: 2, h: h, w: w, g.p, back.p)
      #expect(abs(dot(y, g) - dot(x, back)) < 1e-11 && areIntact([x, g, back]))

      let program = PointwiseProgramOf<Double>(
        count: x.count, leaves: [.flat(x.p)], instructions: [], lanes: 1, channels: 1, owners: [])
      let gradient = Guarded<Double>(x.count)
      let mean = FourierTransform.absoluteMean(
        planes: 2, h: h, w: w, program, gradient: gradient.p)
      #expect(abs(mean - total / Double(4 * h * w)) < 1e-12 * max(1, total))
      // The mean is linear in its argument: the scalar product with its gradient gives it back.
      #expect(abs(dot(gradient, x) - mean) < 1e-11 && gradient.isIntact)
    }
  }

  @Suite struct PhiloxTests {
    /// Known answers of Random123 for a counter and key of zero.
    @Test func knownAnswers() {
      let zero: SIMD4<UInt32> = [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
      #expect(Philox.block(seed: 0, index: 0) == zero)
      #expect(Philox.block(seed: 0, index: 1) != zero && Philox.block(seed: 1, index: 0) != zero)
      #expect(Philox.block(seed: 1 << 40, index: 0) != zero)
      #expect(Philox.block(seed: 0, index: 1 << 40) != zero)
    }

    /// A generator is its seed and counter: it continues where a copy stopped.
    @Test func stateIsSeedAndCounter() {
      var a = Philox(seed: 42)
      var numbers = [Float](repeating: 0, count: 10), again = numbers
      a.normal(&numbers, count: 10, mean: 0, deviation: 1)
      var b = Philox(seed: a.seed, counter: a.counter)
      a.uniform(&numbers, count: 10, lo: -1, hi: 1)
      b.uniform(&again, count: 10, lo: -1, hi: 1)
      #expect(numbers == again && a == b)
      a.uniform(&numbers, count: 10, lo: -0x1p24, hi: 0x1p24)
      #expect(b.integers(10).map(Float.init) == numbers && a == b)
    }

    @Test func uniformDraws() {
      var random = Philox(seed: 7)
      let n = 200_000
      var draws = [Double](repeating: 0, count: n)
      random.uniform(&draws, count: n, lo: -2, hi: 3)
      #expect(draws.allSatisfy { $0 >= -2 && $0 < 3 })
      var cells = [Int](repeating: 0, count: 20)
      for d in draws { cells[Int((d + 2) * 4)] += 1 }
      // 20 cells of 10,000 draws: six standard deviations are 585.
      #expect(cells.allSatisfy { abs($0 - n / 20) < 600 })
    }

    @Test func normalDraws() {
      var random = Philox(seed: 8)
      let n = 200_001
      var draws = [Double](repeating: 0, count: n)
      random.normal(&draws, count: n, mean: 1, deviation: 2)
      let mean = draws.reduce(0, +) / Double(n)
      let variance = draws.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n)
      #expect(abs(mean - 1) < 0.03 && abs(variance - 4) < 0.08)
      let beyond = draws.filter { abs($0 - 1) > 4 }.count
      #expect(abs(Double(beyond) / Double(n) - 0.0455) < 0.003)

      random.normal(&draws, count: n, mean: 0, deviation: 1, bound: 2)
      #expect(draws.allSatisfy { abs($0) <= 2 })
      let narrow = draws.reduce(0) { $0 + $1 * $1 } / Double(n)
      // The variance of a normal distribution truncated at two deviations.
      #expect(abs(narrow - 0.7737) < 0.01)
    }

    /// All 24 orders of four are equally frequent; long ones are permutations.
    @Test func permutations() {
      var random = Philox(seed: 9)
      var counts: [[Int]: Int] = [:]
      for _ in 0..<24_000 { counts[random.permutation(4), default: 0] += 1 }
      // 24 orders of 1000: six standard deviations are 186.
      #expect(counts.count == 24 && counts.values.allSatisfy { abs($0 - 1000) < 190 })
      #expect(random.permutation(1000).sorted() == Array(0..<1000))
      #expect(
        random.permutation(1) == [0] && random.permutation(0) == [] && random.permutation(-3) == [])
    }
  }
}
