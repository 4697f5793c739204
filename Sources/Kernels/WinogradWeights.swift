extension WinogradForm {
  /// Floats of transformed weights: [tile²][panel][depth][panel width].
  func weightCount(input: ImageLayout, output: ImageLayout) -> Int {
    tile * tile * input.depth * roundUp(output.lanes, vectorWidth)
  }

  /// G k Gᵀ of every kernel.
  func transform(
    _ w: WeightView, input: ImageLayout, output: ImageLayout, into u: UnsafeMutablePointer<Float>
  ) {
    let (depth, lanes) = (input.depth, roundUp(output.lanes, vectorWidth))
    let (matrix, taps, tile) = (depth * lanes, self.taps, self.tile)
    u.update(repeating: 0, count: tile * tile * matrix)
    // Where lane l of row k lies within one of the matrices.
    var place = [Int](repeating: 0, count: lanes)
    var stride = [Int](repeating: 0, count: lanes)
    var first = 0
    for width in panelWidths(lanes: lanes) {
      for l in 0..<width {
        place[first + l] = first * depth + l
        stride[first + l] = width
      }
      first += width
    }
    let g = weights.flatMap { $0 }
    let pieces = min(w.inputs, 16)
    ThreadPool.shared.run(pieces) { piece in
      withScratch { scratch in
        let kernel = scratch.take(taps * taps, of: Double.self)
        let half = scratch.take(tile * taps, of: Double.self)
        for from in (w.inputs * piece / pieces)..<(w.inputs * (piece + 1) / pieces) {
          // Neighbouring outputs are neighbours in each of the matrices.
          for to in 0..<w.outputs {
            let lane = output.lane(of: to)
            let base = u + place[lane] + input.lane(of: from) * stride[lane]
            let (memory, turned) = w.taps(from: from, to: to)
            for t in 0..<taps * taps {
              kernel[t] = Double(memory[turned ? taps * taps - 1 - t : t])
            }
            if taps == 3 {
              let columns = (
                SIMD3(kernel[0], kernel[1], kernel[2]), SIMD3(kernel[3], kernel[4], kernel[5]),
                SIMD3(kernel[6], kernel[7], kernel[8])
              )
              if tile == 6 {
                let rows = WinogradForm.six(columns.0, columns.1, columns.2)
                for i in 0..<6 {
                  let r = WinogradForm.six(rows[i].x, rows[i].y, rows[i].z)
                  for j in 0..<6 { base[(6 * i + j) * matrix] = Float(r[j]) }
                }
              } else {
                let rows = WinogradForm.eight(columns.0, columns.1, columns.2)
                for i in 0..<8 {
                  let r = WinogradForm.eight(rows[i].x, rows[i].y, rows[i].z)
                  for j in 0..<8 { base[(8 * i + j) * matrix] = Float(r[j]) }
                }
              }
              continue
            }
            for i in 0..<tile {
              for x in 0..<taps {
                var sum = 0.0
                for y in 0..<taps { sum += g[i * taps + y] * kernel[y * taps + x] }
                half[i * taps + x] = sum
              }
            }
            for i in 0..<tile {
              for j in 0..<tile {
                var sum = 0.0
                for x in 0..<taps { sum += g[j * taps + x] * half[i * taps + x] }
                base[(tile * i + j) * matrix] = Float(sum)
              }
            }
          }
        }
      }
    }
  }

  // G k for three taps, written out: most weights are transformed by it twice a step.

  @inline(__always) private static func six(
    _ a: SIMD3<Double>, _ b: SIMD3<Double>, _ c: SIMD3<Double>
  ) -> InlineArray<6, SIMD3<Double>> {
    let (even, odd) = ((a + c) * (1.0 / 6), b * (1.0 / 6))
    let (far, half) = ((a + 4 * c) * (1.0 / 24), b * (1.0 / 12))
    return [a * 0.25, -even - odd, odd - even, far + half, far - half, c]
  }

  @inline(__always) private static func six(_ a: Double, _ b: Double, _ c: Double)
    -> InlineArray<6, Double>
  {
    let (even, odd) = ((a + c) * (1.0 / 6), b * (1.0 / 6))
    let (far, half) = ((a + 4 * c) * (1.0 / 24), b * (1.0 / 12))
    return [a * 0.25, -even - odd, odd - even, far + half, far - half, c]
  }

  @inline(__always) private static func eight(
    _ a: SIMD3<Double>, _ b: SIMD3<Double>, _ c: SIMD3<Double>
  ) -> InlineArray<8, SIMD3<Double>> {
    let (even, odd) = ((a + c) * (2.0 / 9), b * (2.0 / 9))
    let (far, half) = ((a + 4 * c) * (1.0 / 90), b * (1.0 / 45))
    let (near, whole) = ((4 * a + c) * (8.0 / 45), b * (16.0 / 45))
    return [
      a, -even - odd, odd - even, far + half, far - half, near + whole, near - whole, c,
    ]
  }

  @inline(__always) private static func eight(_ a: Double, _ b: Double, _ c: Double)
    -> InlineArray<8, Double>
  {
    let (even, odd) = ((a + c) * (2.0 / 9), b * (2.0 / 9))
    let (far, half) = ((a + 4 * c) * (1.0 / 90), b * (1.0 / 45))
    let (near, whole) = ((4 * a + c) * (8.0 / 45), b * (16.0 / 45))
    return [
      a, -even - odd, odd - even, far + half, far - half, near + whole, near - whole, c,
    ]
  }
}
