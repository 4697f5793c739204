import Glibc
import Synchronization
import Testing

@testable import Kernels

/// Runs `body` with 1, 2 and 8 threads and returns whether all results are equal.
private func sameForAllThreads<R: Equatable>(_ body: () -> R) -> Bool {
  let before = ThreadPool.shared.threads
  defer { ThreadPool.shared.threads = before }
  let results = [1, 2, 8].map { n in
    ThreadPool.shared.threads = n
    return body()
  }
  return results.dropFirst().allSatisfy { $0 == results[0] }
}

extension KernelsTests {
  @Suite struct ThreadPoolTests {
    @Test func everyPieceOnce() {
      let pool = ThreadPool.shared
      let before = pool.threads
      defer { pool.threads = before }
      for threads in [1, 2, 3, 8] {
        pool.threads = threads
        for count in [0, 1, 2, 7, 1000] {
          let seen = UnsafeMutablePointer<UInt8>.allocate(capacity: max(count, 1))
          seen.initialize(repeating: 0, count: max(count, 1))
          defer { seen.deallocate() }
          pool.run(count) { seen[$0] += 1 }
          #expect((0..<count).allSatisfy { seen[$0] == 1 })
        }
      }
      pool.run(-3) { _ in Issue.record("a piece of nothing") }
      pool.threads = 0
      #expect(pool.threads == 1)
      pool.threads = 100_000
      #expect(pool.threads == 256)
    }

    @Test func tinyRunsDoNotHang() {
      let pool = ThreadPool.shared
      let before = pool.threads
      defer { pool.threads = before }
      for (threads, rounds) in [(2, 100_000), (8, 10_000)] {
        pool.threads = threads
        let total = Atomic<Int>(0)
        for _ in 0..<rounds { pool.run(3) { total.wrappingAdd($0, ordering: .relaxed) } }
        #expect(total.load(ordering: .relaxed) == 3 * rounds)
      }
    }

    @Test func runInsideARun() {
      let total = Atomic<Int>(0)
      ThreadPool.shared.run(20) { outer in
        ThreadPool.shared.run(20) { inner in
          ThreadPool.shared.run(2) { _ in
            total.wrappingAdd(outer * 20 + inner, ordering: .relaxed)
          }
        }
      }
      #expect(total.load(ordering: .relaxed) == 2 * 400 * 399 / 2)
    }

    /// Several threads call at once: one gets the pool, the others work alone.
    @Test func callersFromManyThreads() {
      final class Sums: Sendable { let total = Atomic<Int>(0) }
      let sums = Sums()
      var threads: [pthread_t] = []
      for _ in 0..<6 {
        var thread = pthread_t()
        let status = pthread_create(
          &thread, nil,
          { raw in
            guard let raw else { return nil }
            let sums = Unmanaged<Sums>.fromOpaque(raw).takeRetainedValue()
            for _ in 0..<2000 {
              ThreadPool.shared.run(5) { sums.total.wrappingAdd($0, ordering: .relaxed) }
            }
            return nil
          }, Unmanaged.passRetained(sums).toOpaque())
        #expect(status == 0)
        if status == 0 { threads.append(thread) }
      }
      for thread in threads { pthread_join(thread, nil) }
      #expect(sums.total.load(ordering: .relaxed) == threads.count * 2000 * 10)
    }

    @Test(arguments: ConvolutionAlgorithm.allCases)
    func convolutionsIgnoreTheThreads(_ algorithm: ConvolutionAlgorithm) {
      var noise = Noise(3)
      let (c, h, w) = (algorithm == .narrow ? 3 : 19, 37, 70)
      let lanes = (c + 7) / 8 * 8
      let groups = algorithm == .depthwise || algorithm == .grouped ? c : 1
      let s = ConvolutionShape(
        n: 2, inputs: c, height: h, width: w, outputs: c, kh: 3, kw: 3, stride: 1, padY: 1, padX: 1,
        groups: groups)
      let layout = ImageLayout(n: 2, channels: c, height: h, width: w, planar: false)
      var x = [Float](repeating: 0, count: 2 * h * w * lanes), g = x
      for p in 0..<2 * h * w {
        for k in 0..<c { (x[p * lanes + k], g[p * lanes + k]) = (noise.number(), noise.number()) }
      }
      let weights = noise.numbers(c * c / groups * 9), bias = noise.numbers(c)
      #expect(Convolution.admits(algorithm, s))
      #expect(
        sameForAllThreads {
          var y = [Float](repeating: 0, count: x.count), dx = y
          var dw = [Float](repeating: 0, count: weights.count), db = bias
          x.withUnsafeBufferPointer { xb in
            g.withUnsafeBufferPointer { gb in
              y.withUnsafeMutableBufferPointer { yb in
                dx.withUnsafeMutableBufferPointer { dxb in
                  guard let x = xb.baseAddress, let g = gb.baseAddress, let y = yb.baseAddress,
                    let dx = dxb.baseAddress
                  else { return }
                  let (xo, go) = (
                    ImageOperand(layout, .memory(x)), ImageOperand(layout, .memory(g))
                  )
                  Convolution.forward(
                    s, by: algorithm, xo, w: weights, b: bias, ImageTarget(layout, y))
                  Convolution.dataGradient(
                    s, by: algorithm, go, w: weights, ImageTarget(layout, dx))
                  Convolution.weightGradient(s, by: algorithm, xo, go, dw: &dw, db: &db)
                }
              }
            }
          }
          return [y, dx, dw, db]
        })
    }

    @Test func pointwiseAndReductionsIgnoreTheThreads() {
      var noise = Noise(4)
      let count = 300_000
      let values = Guarded(noise.numbers(count))
      let program = PointwiseProgram(
        count: count, leaves: [.flat(values.p), .constant(3)],
        instructions: [.init(.multiply, 0, 1), .init(.exp, 2)], lanes: 1, channels: 1, owners: [])
      #expect(
        sameForAllThreads {
          let out = Guarded<Float>(count)
          program.evaluateAll(into: out.p)
          return out.values
        })
      for (outer, length, inner) in [
        (1, count, 1), (3, count / 3, 1), (100, 3000, 1), (1, 3000, 100),
        (40, 1500, 5),
      ] {
        for op in [ReductionOperator.sum, .maximum, .minimum] {
          #expect(
            sameForAllThreads {
              let out = Guarded<Float>(outer * inner)
              reduce(
                program, op, outer: outer, length: length, inner: inner, valid: length, into: out.p)
              return out.values
            })
        }
      }
    }

    @Test func productsAndTransformsIgnoreTheThreads() {
      var noise = Noise(5)
      let (m, n, k) = (130, 70, 90)
      let a = noise.numbers(m * k), b = noise.numbers(k * n)
      #expect(
        sameForAllThreads {
          var c = [Float](repeating: 0, count: m * n)
          MatrixProduct.multiply(
            m: m, n: n, k: k, a: a, transposeA: false, b: b, transposeB: false, c: &c)
          return c
        })
      let planes = Guarded(noise.numbers(3 * 60 * 50))
      let program = PointwiseProgram(
        count: planes.count, leaves: [.flat(planes.p)], instructions: [], lanes: 1, channels: 1,
        owners: [])
      #expect(
        sameForAllThreads {
          let gradient = Guarded<Float>(planes.count)
          let loss = FourierTransform.absoluteMean(
            planes: 3, h: 60, w: 50, program, gradient: gradient.p)
          return gradient.values + [Float(loss)]
        })
      let window: [Float] = [0.1, 0.2, 0.4, 0.2, 0.1]
      let others = Guarded(noise.numbers(planes.count))
      let room = Similarity.derivativeCount(planes: 3, h: 60, w: 50, window: 5)
      #expect(
        sameForAllThreads {
          let maps = Guarded<Float>(room), gradient = Guarded<Float>(planes.count)
          let means = Similarity.means(
            planes: 3, h: 60, w: 50, window: window, luminance: true, planes.p, others.p,
            derivatives: maps.p, gradient: gradient.p)
          return gradient.values + means.map { Float($0) }
        })
    }
  }
}
