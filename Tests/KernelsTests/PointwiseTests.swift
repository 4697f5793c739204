import Testing

@testable import Kernels

/// All operators, with constants for those that have some.
private let operators: [PointwiseOperator] = (0..<UInt8.max).compactMap(PointwiseOperator.init)

private func apply<T: PointwiseScalar>(
  _ op: PointwiseOperator, p: Double, q: Double, _ a: [T], _ b: [T], _ c: [T]
) -> [T] {
  let (a, b, c, out) = (Guarded(a), Guarded(b), Guarded(c), Guarded<T>(a.count))
  T.apply(op, p: p, q: q, out.count, a.p, b.p, c.p, out.p)
  #expect(areIntact([a, b, c, out]))
  return out.values
}

extension KernelsTests {
  @Suite struct PointwiseTests {
    /// Each operator in f32 against f64, for counts that are not whole vectors.
    @Test func singleAgreesWithDouble() {
      #expect(operators.count > 40)
      var noise = Noise(1)
      for op in operators {
        for count in [1, 7, 8, 29, 64] {
          // Positive, away from zero, for logarithms and powers.
          let a = noise.numbers(count).map { $0 * 0.9 + 1.2 }
          let b = noise.numbers(count).map { $0 * 0.5 + 1.1 }
          let c = noise.numbers(count).enumerated().map { $0 % 3 == 0 ? 0 : $1 }
          let single = apply(op, p: 0.75, q: 1.5, a, b, c)
          let double = apply(
            op, p: 0.75, q: 1.5, a.map(Double.init), b.map(Double.init), c.map(Double.init))
          #expect(relativeError(single, double) < 5e-7, "\(op) of \(count)")
        }
      }
    }

    @Test func specialValues() {
      let x: [Float] = [.nan, .infinity, -.infinity, -0.0, 2.5, -2.5, 0.5, -0.5, 3.5]
      func values(_ op: PointwiseOperator, p: Double = 0, q: Double = 0, _ b: [Float]? = nil)
        -> [Float]
      {
        apply(op, p: p, q: q, x, b ?? x, x)
      }
      #expect(values(.round)[3...] == [0, 2, -2, 0, 0, 4])
      #expect(values(.floor)[3...] == [0, 2, -3, 0, -1, 3])
      #expect(values(.sign)[1...] == [1, -1, 0, 1, -1, 1, -1, 1])
      #expect(
        values(.relu)[1...] == [.infinity, 0, 0, 2.5, 0, 0.5, 0, 3.5] && values(.relu)[0].isNaN)
      #expect(values(.absolute)[1...] == [.infinity, .infinity, 0, 2.5, 2.5, 0.5, 0.5, 3.5])
      let clamped = values(.clamp, p: -1, q: 2)
      #expect(clamped[0].isNaN && clamped[1...] == [2, -1, 0, 2, -1, 0.5, -0.5, 2])
      #expect(values(.inRange, p: -0.5, q: 2.5) == [0, 0, 0, 1, 1, 0, 1, 1, 0])
      #expect(values(.equal) == [0, 1, 1, 1, 1, 1, 1, 1, 1])
      #expect(values(.notEqual) == [1, 0, 0, 0, 0, 0, 0, 0, 0])
      #expect(values(.isPositive) == [0, 1, 0, 0, 1, 0, 1, 0, 1])
    }

    /// Programs with every kind of leaf, over lanes with and without padding, against the same
    /// expression element by element; started anywhere, in pieces of any size.
    @Test(arguments: [(1, 1), (8, 5), (24, 24), (40, 35), (1032, 1027)])
    func programs(_ lanes: Int, _ channels: Int) {
      let pixels = lanes > 1000 ? 7 : 613
      let count = pixels * lanes
      var noise = Noise(lanes)
      let flat = Guarded(noise.numbers(count)), perPixel = Guarded(noise.numbers(pixels))
      let short = Guarded(noise.numbers(lanes)), long = Guarded(noise.numbers(1500 * lanes))
      let rows = (pixels + 6) / 7
      let grid = Guarded(noise.numbers(rows * lanes))
      let program = PointwiseProgram(
        count: count,
        leaves: [
          .flat(flat.p), .constant(0.5), .periodic(short.p, count: lanes),
          .periodic(long.p, count: 1500 * lanes), .repeated(perPixel.p, count: lanes),
          .strided(grid.p, sizes: [rows, 7, lanes], strides: [lanes, 0, 1]),
        ],
        instructions: [
          .init(.multiply, 0, 2), .init(.add, 6, 1), .init(.sin, 7), .init(.multiplyAdd, 3, 4, 8),
          .init(.subtract, 9, 7), .init(.multiply, 10, 5), .init(.addConstant, 11, p: 0.25),
        ],
        lanes: lanes, channels: channels, owners: [])
      let expected = (0..<count).map { i -> Double in
        if i % lanes >= channels { return 0 }
        func at(_ g: Guarded<Float>, _ i: Int) -> Double { Double(g.p[i]) }
        let shifted = at(flat, i) * at(short, i % lanes) + 0.5
        let wave = KernelsTests.sine(shifted)
        let sum = at(long, i % (1500 * lanes)) * at(perPixel, i / lanes) + wave
        return (sum - shifted) * at(grid, i / (7 * lanes) * lanes + i % lanes) + 0.25
      }
      let whole = Guarded<Float>(count)
      program.evaluateAll(into: whole.p)
      #expect(relativeError(whole.values, expected) < 1e-6)
      for start in [0, 1, 5, 100] where start < pixels {
        for length in [1, 26, 333] where start + length <= pixels {
          let part = Guarded<Float>(length * lanes)
          program.evaluate(start: start * lanes, count: length * lanes, into: part.p)
          #expect(part.values == Array(whole.values[(start * lanes)..<((start + length) * lanes)]))
          var pieces: [Float] = []
          program.forEachPiece(start: start * lanes, count: length * lanes) { offset, n, values in
            #expect(offset == pieces.count)
            for i in 0..<n { pieces.append(values[i]) }
          }
          #expect(pieces == part.values && part.isIntact)
        }
      }
      #expect(areIntact([flat, perPixel, short, long, grid, whole]))
    }

    /// Periods of trailing dimensions, shorter and longer than a piece.
    @Test(arguments: [(30, 900, 2700), (40, 1000, 3000), (7, 1400, 2800), (1, 1023, 1023 * 5)])
    func nestedPeriods(_ a: Int, _ b: Int, _ c: Int) {
      var noise = Noise(2)
      let count = 40 * c
      let (x, y, z) = (
        Guarded(noise.numbers(a)), Guarded(noise.numbers(b)), Guarded(noise.numbers(c))
      )
      let program = PointwiseProgram(
        count: count,
        leaves: [.periodic(x.p, count: a), .periodic(y.p, count: b), .periodic(z.p, count: c)],
        instructions: [.init(.multiplyAdd, 0, 1, 2)], lanes: 1, channels: 1, owners: [])
      let out = Guarded<Float>(count)
      program.evaluateAll(into: out.p)
      let expected = (0..<count).map {
        Double(x.p[$0 % a]) * Double(y.p[$0 % b]) + Double(z.p[$0 % c])
      }
      #expect(relativeError(out.values, expected) < 1e-6)
      var pieces: [Float] = []
      program.forEachPiece(start: 0, count: count) { _, n, values in
        for i in 0..<n { pieces.append(values[i]) }
      }
      #expect(pieces == out.values)
      // Reductions begin anywhere.
      for start in [1, 268, b - 1, c + 5] {
        pieces = []
        program.forEachPiece(start: start, count: count - start) { _, n, values in
          for i in 0..<n { pieces.append(values[i]) }
        }
        #expect(pieces == Array(out.values[start...]))
      }
      #expect(areIntact([x, y, z, out]))
    }

    /// Sums and extrema along every dimension, with padding lanes that the expression by itself
    /// does not keep zero.
    @Test func reductions() {
      var noise = Noise(3)
      for (outer, length, inner, valid) in [
        (1, 1, 1, 1), (1, 100_000, 1, 100_000), (5, 7, 1, 7), (5, 7, 3, 7), (100, 9, 1, 9),
        (100, 40, 1, 35), (2000, 24, 1, 17), (3, 5000, 40, 5000), (1, 33_000, 8, 33_000),
        (40, 3000, 2, 3000), (32, 1, 40, 1), (2, 65_536, 1, 65_536), (33, 0, 1, 0), (33, 0, 3, 0),
        (2, 0, 3, 0),
      ] {
        let count = outer * length * inner
        let x = Guarded(noise.numbers(count))
        let program = PointwiseProgram(
          count: count, leaves: [.flat(x.p)], instructions: [.init(.addConstant, 0, p: 0.5)],
          lanes: 1, channels: 1, owners: [])
        for op in [ReductionOperator.sum, .maximum, .minimum] where op == .sum || length > 0 {
          let out = Guarded<Float>(outer * inner)
          reduce(program, op, outer: outer, length: length, inner: inner, valid: valid, into: out.p)
          var expected: [Double] = []
          for o in 0..<outer {
            for i in 0..<inner {
              let terms = (0..<valid).map { Double(x.p[(o * length + $0) * inner + i] + 0.5) }
              switch op {
              case .sum: expected.append(terms.reduce(0, +))
              case .maximum: expected.append(terms.max() ?? 0)
              case .minimum: expected.append(terms.min() ?? 0)
              }
            }
          }
          let bound = op == .sum ? 2e-6 : 1e-12
          #expect(
            relativeError(out.values, expected) <= bound, "\(op) of \(outer)×\(length)×\(inner)")
          #expect(out.isIntact)
        }
      }
    }

    /// A long sum over whole pixels whose lanes do not divide its parts.
    @Test(arguments: [(24, 17), (40, 35), (48, 41), (8, 5)])
    func sumOfPaddedImage(_ lanes: Int, _ channels: Int) {
      let pixels = 5000
      let zeros = Guarded([Float](repeating: 0, count: pixels * lanes))
      let program = PointwiseProgram(
        count: pixels * lanes, leaves: [.flat(zeros.p)], instructions: [.init(.exp, 0)],
        lanes: lanes,
        channels: channels, owners: [])
      let out = Guarded<Float>(1)
      reduce(
        program, .sum, outer: 1, length: pixels * lanes, inner: 1, valid: pixels * lanes,
        into: out.p)
      #expect(out.p[0] == Float(pixels * channels))
    }
  }
}
