/// Depthwise convolution, stride 1: one k×k filter per channel, eight channels at a time.
enum DepthwiseConvolution {
  /// The forward product, or with `rotated` weights the data gradient (padding then k − 1 −
  /// padding).
  static func forward(
    _ input: ImageOperand, weights: UnsafePointer<Float>, rotated: Bool, kh: Int, kw: Int,
    padY: Int, padX: Int, bias: UnsafePointer<Float>?, _ output: ImageTarget
  ) {
    let layout = output.layout
    let (lanes, channels, taps) = (layout.lanes, layout.channels, kh * kw)
    let (height, width) = (layout.height, layout.width)
    let blocksX = (width + 63) / 64
    let blockColumns = (width + blocksX - 1) / blocksX
    let blockRows = 8
    let blocksY = (height + blockRows - 1) / blockRows
    let laneOffsets = layout.laneOffsets()
    withScratch { scratch in
      let w = scratch.floats(taps * lanes)
      w.update(repeating: 0, count: taps * lanes)
      for c in 0..<channels {
        for tap in 0..<taps {
          w[tap * lanes + c] = weights[c * taps + (rotated ? taps - 1 - tap : tap)]
        }
      }
      let b = scratch.floats(lanes)
      laneBias(bias, layout: layout, into: b)
      let offsets = scratch.take(laneOffsets.count, of: Int.self)
      for (i, o) in laneOffsets.enumerated() { offsets[i] = o }
      ThreadPool.shared.run(layout.n * blocksY * blocksX) { index in
        let n = index / (blocksY * blocksX)
        let y0 = index / blocksX % blocksY * blockRows
        let x0 = index % blocksX * blockColumns
        let rows = min(blockRows, height - y0), columns = min(blockColumns, width - x0)
        withScratch { scratch in
          let pitch = (columns + kw - 1) * lanes
          // Columns are computed four at a time: the last group reads past the region.
          let region = scratch.floats((rows + kh - 1) * pitch + 4 * lanes)
          input.pack(
            n: n, y0: y0 - padY, rows: rows + kh - 1, x0: x0 - padX, columns: columns + kw - 1,
            into: region)
          (region + (rows + kh - 1) * pitch).update(repeating: 0, count: 4 * lanes)
          let out = scratch.floats(roundUp(columns, 4) * lanes)
          for y in 0..<rows {
            for c in Swift.stride(from: 0, to: lanes, by: 8) {
              for x in Swift.stride(from: 0, to: columns, by: 4) {
                var s0 = V8.zero, s1 = V8.zero, s2 = V8.zero, s3 = V8.zero
                for ky in 0..<kh {
                  var p = region + (y + ky) * pitch + x * lanes + c
                  var q = w + ky * kw * lanes + c
                  for _ in 0..<kw {
                    let f = load8(q)
                    s0 = fma(f, load8(p), s0)
                    s1 = fma(f, load8(p + lanes), s1)
                    s2 = fma(f, load8(p + 2 * lanes), s2)
                    s3 = fma(f, load8(p + 3 * lanes), s3)
                    p += lanes
                    q += lanes
                  }
                }
                let o = out + x * lanes + c
                store8(s0, o)
                store8(s1, o + lanes)
                store8(s2, o + 2 * lanes)
                store8(s3, o + 3 * lanes)
              }
            }
            for x in 0..<columns {
              output.store(
                out + x * lanes, n: n, y: y0 + y, x: x0 + x, bias: b, laneOffsets: offsets)
            }
          }
        }
      }
    }
  }

  /// dW[c][1][kh][kw] and, if wanted, db[c].
  static func weightGradient(
    _ input: ImageOperand, gradient: ImageOperand, kh: Int, kw: Int, padY: Int, padX: Int,
    dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    let layout = gradient.layout
    let (lanes, taps) = (layout.lanes, kh * kw)
    let (height, width) = (layout.height, layout.width)
    let blockRows = 8
    let blocksY = (height + blockRows - 1) / blockRows
    let tasks = layout.n * blocksY
    let count = (taps + 1) * lanes
    let parts = weightGradientParts(tasks: tasks, bytes: count * 4)
    withScratch { scratch in
      let sums = scratch.floats(parts * count)
      ThreadPool.shared.run(parts) { part in
        let sum = sums + part * count
        sum.update(repeating: 0, count: count)
        for index in (tasks * part / parts)..<(tasks * (part + 1) / parts) {
          let (n, y0) = (index / blocksY, index % blocksY * blockRows)
          let rows = min(blockRows, height - y0)
          withScratch { scratch in
            let pitch = (width + kw - 1) * lanes
            let region = scratch.floats((rows + kh - 1) * pitch)
            input.pack(
              n: n, y0: y0 - padY, rows: rows + kh - 1, x0: -padX, columns: width + kw - 1,
              into: region)
            let g = scratch.floats(rows * width * lanes)
            gradient.pack(n: n, y0: y0, rows: rows, x0: 0, columns: width, into: g)
            for c in Swift.stride(from: 0, to: lanes, by: 8) {
              for y in 0..<rows {
                let gRow = g + y * width * lanes + c
                for ky in 0..<kh {
                  let row = region + (y + ky) * pitch + c
                  var kx = 0
                  while kx < kw {
                    // Four taps share each gradient value.
                    let wide = kx + 4 <= kw
                    var s0 = V8.zero, s1 = V8.zero, s2 = V8.zero, s3 = V8.zero
                    var p = row + kx * lanes
                    var q = gRow
                    if wide {
                      for _ in 0..<width {
                        let v = load8(q)
                        s0 = fma(v, load8(p), s0)
                        s1 = fma(v, load8(p + lanes), s1)
                        s2 = fma(v, load8(p + 2 * lanes), s2)
                        s3 = fma(v, load8(p + 3 * lanes), s3)
                        p += lanes
                        q += lanes
                      }
                    } else {
                      for _ in 0..<width {
                        s0 = fma(load8(q), load8(p), s0)
                        p += lanes
                        q += lanes
                      }
                    }
                    let t = sum + (ky * kw + kx) * lanes + c
                    store8(load8(t) + s0, t)
                    if wide {
                      store8(load8(t + lanes) + s1, t + lanes)
                      store8(load8(t + 2 * lanes) + s2, t + 2 * lanes)
                      store8(load8(t + 3 * lanes) + s3, t + 3 * lanes)
                    }
                    kx += wide ? 4 : 1
                  }
                }
                var total = V8.zero
                for x in 0..<width { total += load8(gRow + x * lanes) }
                let b = sum + taps * lanes + c
                store8(load8(b) + total, b)
              }
            }
          }
        }
      }
      reduce(sums, parts: parts, count: count)
      for c in 0..<layout.channels {
        for tap in 0..<taps { dw[c * taps + tap] = sums[tap * lanes + c] }
        if let db { db[c] = sums[taps * lanes + c] }
      }
    }
  }
}
