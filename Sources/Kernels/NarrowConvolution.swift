/// Convolution of stride 1 to few outputs, as the head of a decoder is: all taps of all outputs
/// are one product of the pixels with a matrix of outputs × taps columns (at most
/// ``mostColumns``), whose results are then added up where they belong. Other algorithms would
/// fill a vector of columns with three channels. Error is that of a plain fp32 dot product.
enum NarrowConvolution {
  static let mostColumns = 32

  /// Column of tap (ky, kx) of output o.
  @inline(__always)
  private static func column(_ tap: Int, _ o: Int, outputs: Int) -> Int { tap * outputs + o }

  /// Blocks of pixels, by the shape alone.
  private struct Blocks {
    let rows: Int, columns: Int, down: Int, across: Int

    init(height: Int, width: Int) {
      across = max(1, (width + 127) / 128)
      columns = (width + across - 1) / across
      rows = max(1, min(height, 2048 / max(columns, 1)))
      down = (height + rows - 1) / rows
    }
  }

  static func forward(
    _ input: ImageOperand, weights: WeightView, bias: UnsafePointer<Float>?, padY: Int,
    padX: Int, _ output: ImageTarget
  ) {
    let (kh, kw, outputs) = (weights.kh, weights.kw, weights.outputs)
    let (depth, lanes) = (input.layout.depth, input.layout.lanes)
    let layout = output.layout
    let panels = panelWidths(lanes: mostColumns)
    let blocks = Blocks(height: layout.seenHeight, width: layout.seenWidth)
    withScratch { scratch in
      // [panel][depth][panel width].
      let packed = scratch.floats(depth * mostColumns)
      packed.update(repeating: 0, count: depth * mostColumns)
      for from in 0..<weights.inputs {
        for o in 0..<outputs {
          for tap in 0..<kh * kw {
            var (first, at) = (0, column(tap, o, outputs: outputs))
            for width in panels {
              if at < width {
                packed[first * depth + input.layout.lane(of: from) * width + at] = weights.at(
                  from: from, to: o, tap / kw, tap % kw)
                break
              }
              first += width
              at -= width
            }
          }
        }
      }
      let lanesBias = scratch.floats(layout.lanes)
      laneBias(bias, layout: layout, into: lanesBias)
      let laneOffsets = layout.laneOffsets()
      let offsets = scratch.take(laneOffsets.count, of: Int.self)
      for (i, o) in laneOffsets.enumerated() { offsets[i] = o }
      let lane = scratch.take(outputs, of: Int.self)
      for o in 0..<outputs { lane[o] = layout.lane(of: o) }
      ThreadPool.shared.run(input.layout.n * blocks.down * blocks.across) { index in
        let n = index / (blocks.down * blocks.across)
        let y0 = index / blocks.across % blocks.down * blocks.rows
        let x0 = index % blocks.across * blocks.columns
        let rows = min(blocks.rows, layout.seenHeight - y0)
        let columns = min(blocks.columns, layout.seenWidth - x0)
        guard rows > 0, columns > 0 else { return }
        withScratch { scratch in
          let (regionRows, regionColumns) = (rows + kh - 1, columns + kw - 1)
          let pixels = roundUp(regionRows * regionColumns, 4)
          let region = scratch.floats(pixels * lanes)
          input.pack(
            n: n, y0: y0 - padY, rows: regionRows, x0: x0 - padX, columns: regionColumns,
            into: region)
          let products = scratch.floats(pixels * mostColumns)
          let a = PanelA(
            base: region, rowStride: lanes, kStride: 1, taps: 1, tapOffsets: zeroOffset,
            depth: depth)
          var first = 0
          for width in panels {
            runPanel(
              width: width, rows: pixels, a, packed + first * depth, width, products + first,
              mostColumns, accumulate: false)
            first += width
          }
          let sums = scratch.floats(layout.lanes)
          sums.update(repeating: 0, count: layout.lanes)
          for y in 0..<rows {
            for x in 0..<columns {
              let corner = products + (y * regionColumns + x) * mostColumns
              for o in 0..<outputs {
                var sum: Float = 0
                var p = corner + o
                for _ in 0..<kh {
                  for kx in 0..<kw { sum += p[kx * (mostColumns + outputs)] }
                  p += regionColumns * mostColumns + kw * outputs
                }
                sums[lane[o]] = sum
              }
              output.store(
                sums, n: n, y: y0 + y, x: x0 + x, bias: lanesBias, laneOffsets: offsets)
            }
          }
        }
      }
    }
  }

  /// dW[o][i][kh][kw] and, when asked, db[o]: the pixels times the gradient at every tap's
  /// distance. Overwrites its outputs.
  static func weightGradient(
    _ input: ImageOperand, gradient: ImageOperand, kh: Int, kw: Int, padY: Int, padX: Int,
    dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    let (lanes, gLanes) = (input.layout.lanes, gradient.layout.lanes)
    let (inputs, outputs) = (input.layout.seenChannels, gradient.layout.seenChannels)
    let depth = roundUp(input.layout.depth, 4)
    let panels = panelWidths(lanes: mostColumns)
    let (height, width) = (input.layout.seenHeight, input.layout.seenWidth)
    let blocks = Blocks(height: height, width: width)
    let tasks = input.layout.n * blocks.down * blocks.across
    let count = depth * mostColumns
    let parts = weightGradientParts(tasks: tasks, bytes: count * 4)
    withScratch { scratch in
      let lane = scratch.take(outputs, of: Int.self)
      for o in 0..<outputs { lane[o] = gradient.layout.lane(of: o) }
      let sums = scratch.floats(parts * count)
      ThreadPool.shared.run(parts) { part in
        let sum = sums + part * count
        sum.update(repeating: 0, count: count)
        for index in (tasks * part / parts)..<(tasks * (part + 1) / parts) {
          let n = index / (blocks.down * blocks.across)
          let y0 = index / blocks.across % blocks.down * blocks.rows
          let x0 = index % blocks.across * blocks.columns
          let rows = min(blocks.rows, height - y0), columns = min(blocks.columns, width - x0)
          guard rows > 0, columns > 0 else { continue }
          withScratch { scratch in
            let pixels = rows * columns
            let region = scratch.floats(pixels * lanes)
            input.pack(n: n, y0: y0, rows: rows, x0: x0, columns: columns, into: region)
            // Pixel (y, x) meets the gradient at (y + padY − ky, x + padX − kx).
            let gColumns = columns + kw - 1
            let g = scratch.floats((rows + kh - 1) * gColumns * gLanes)
            gradient.pack(
              n: n, y0: y0 + padY - kh + 1, rows: rows + kh - 1, x0: x0 + padX - kw + 1,
              columns: gColumns, into: g)
            let spread = scratch.floats(pixels * mostColumns)
            for y in 0..<rows {
              for x in 0..<columns {
                let row = spread + (y * columns + x) * mostColumns
                var at = row
                for ky in 0..<kh {
                  for kx in 0..<kw {
                    let q = g + ((y + kh - 1 - ky) * gColumns + x + kw - 1 - kx) * gLanes
                    for o in 0..<outputs { at[o] = q[lane[o]] }
                    at += outputs
                  }
                }
                at.update(repeating: 0, count: mostColumns - kh * kw * outputs)
              }
            }
            let a = PanelA(
              base: region, rowStride: 1, kStride: lanes, taps: 1, tapOffsets: zeroOffset,
              depth: pixels)
            var first = 0
            for width in panels {
              runPanel(
                width: width, rows: depth, a, spread + first, mostColumns, sum + first,
                mostColumns, accumulate: true)
              first += width
            }
          }
        }
      }
      reduce(sums, parts: parts, count: count)
      for i in 0..<inputs {
        let row = sums + input.layout.lane(of: i) * mostColumns
        for o in 0..<outputs {
          for tap in 0..<kh * kw {
            dw[(o * inputs + i) * kh * kw + tap] = row[column(tap, o, outputs: outputs)]
          }
        }
      }
    }
    if let db { biasGradient(gradient, db: db) }
  }

  /// Σ of the gradient, one an output.
  private static func biasGradient(_ gradient: ImageOperand, db: UnsafeMutablePointer<Float>) {
    let layout = gradient.layout
    let tasks = layout.n * layout.seenHeight
    let parts = weightGradientParts(tasks: tasks, bytes: layout.lanes * 4)
    withScratch { scratch in
      let sums = scratch.floats(parts * layout.lanes)
      sums.update(repeating: 0, count: parts * layout.lanes)
      ThreadPool.shared.run(parts) { part in
        withScratch { scratch in
          let row = scratch.floats(layout.seenWidth * layout.lanes)
          for index in (tasks * part / parts)..<(tasks * (part + 1) / parts) {
            gradient.pack(
              n: index / layout.seenHeight, y0: index % layout.seenHeight, rows: 1, x0: 0,
              columns: layout.seenWidth, into: row)
            Float.addRows(
              row, rows: layout.seenWidth, lanes: layout.lanes, to: sums + part * layout.lanes)
          }
        }
      }
      for o in 0..<layout.seenChannels {
        var total = 0.0
        for part in 0..<parts { total += Double(sums[part * layout.lanes + layout.lane(of: o)]) }
        db[o] = Float(total)
      }
    }
  }
}
