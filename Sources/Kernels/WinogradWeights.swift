import CVector

extension WinogradForm {
  /// Floats of transformed weights: [tile²][panel][depth][panel width], with the last panel as in
  /// ``lastIsHalved(lanes:)``.
  func weightCount(input: ImageLayout, output: ImageLayout) -> Int {
    tile * tile * input.depth * roundUp(output.lanes, vectorWidth)
  }

  /// G k Gᵀ of every kernel, in f64, eight at a time: the kernels of adjacent output lanes, which
  /// are adjacent in each of the matrices.
  func transform(
    _ w: WeightView, input: ImageLayout, output: ImageLayout, into u: UnsafeMutablePointer<Float>
  ) {
    let (depth, lanes) = (input.depth, roundUp(output.lanes, vectorWidth))
    let matrix = depth * lanes
    let halved = lastIsHalved(lanes: output.lanes)
    let groups = LaneGroup.all(of: output, rows: depth, halved: halved)
    // No kernel writes the rows of padding.
    if depth != w.inputs || halved && depth % 2 == 1 {
      u.update(repeating: 0, count: tile * tile * matrix)
    }
    let g = weights.flatMap { $0 }
    let pieces = min(w.inputs, 16)
    ThreadPool.shared.run(pieces) { piece in
      withScratch { scratch in
        let kernels = scratch.take(taps * taps * 8, of: Double.self)
        let half = scratch.take(tile * taps * 8, of: Double.self)
        let matrices = scratch.take(g.count, of: Double.self)
        matrices.update(from: g, count: g.count)
        let zeros = scratch.floats(taps * taps)
        zeros.update(repeating: 0, count: taps * taps)
        for from in (w.inputs * piece / pieces)..<(w.inputs * (piece + 1) / pieces) {
          for group in groups {
            let of = w.kernels(from: from, to: group, zeros: zeros)
            for t in 0..<taps * taps {
              let tap = w.transposed ? taps * taps - 1 - t : t
              for l in 0..<8 { kernels[8 * t + l] = Double(of[l][tap]) }
            }
            let base = u + group.offset(row: input.lane(of: from))
            specialised { form in
              form.transform(
                kernels, half, matrices, into: base, matrix: matrix, paired: group.paired)
            }
          }
        }
      }
    }
  }

  /// Eight kernels, [tap][8].
  @inline(__always) private func transform(
    _ kernels: UnsafePointer<Double>, _ half: UnsafeMutablePointer<Double>,
    _ g: UnsafePointer<Double>, into base: UnsafeMutablePointer<Float>, matrix: Int,
    paired: Bool
  ) {
    for i in 0..<tile {
      for x in 0..<taps {
        let sum = product(g + i * taps, kernels + 8 * x, stride: taps)
        lunerv_store_double8(sum, half + 8 * (i * taps + x))
      }
    }
    for i in 0..<tile {
      for j in 0..<tile {
        let values = lunerv_narrow_double8(product(g + j * taps, half + 8 * i * taps, stride: 1))
        let out = base + (tile * i + j) * matrix
        if paired {
          for l in 0..<8 { out[2 * l] = values[l] }
        } else {
          store8(values, out)
        }
      }
    }
  }

  /// A row of G times the `taps` vectors of eight at `p`, `stride` vectors apart.
  @inline(__always) private func product(
    _ row: UnsafePointer<Double>, _ p: UnsafePointer<Double>, stride: Int
  ) -> SIMD8<Double> {
    var sum = SIMD8<Double>.zero
    for t in 0..<taps {
      sum = lunerv_fma_double8(lunerv_load_double8(p + 8 * t * stride), row[t], sum)
    }
    return sum
  }
}
