extension Winograd {
  /// dW[o][i][k][k] and, if wanted, db[o] of a convolution of `input`, where `gradient` is the
  /// gradient of its output. Overwrites its outputs.
  static func weightGradient(
    _ input: ImageOperand, gradient: ImageOperand, form: WinogradForm, padding: Int,
    dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    let (inLanes, outLanes) = (input.layout.lanes, gradient.layout.lanes)
    let (vLanes, eLanes) = (roundUp(inLanes, vectorWidth), roundUp(outLanes, vectorWidth))
    let depth = roundUp(input.layout.depth, 4)
    let grid = TileGrid(
      n: input.layout.n, height: gradient.layout.seenHeight, width: gradient.layout.seenWidth,
      form: form, batch: 24, batches: 4)
    let (tile, outputs, border) = (form.tile, form.outputs, form.border)
    let panels = panelWidths(lanes: outLanes)
    let count = tile * tile * depth * eLanes
    let parts = weightGradientParts(tasks: grid.tasks, bytes: count * 4)
    withScratch { scratch in
      let sums = scratch.floats(parts * count)
      let biases = scratch.floats(parts * eLanes)
      ThreadPool.shared.run(parts) { part in
        let sum = sums + part * count
        let bias = biases + part * eLanes
        sum.update(repeating: 0, count: count)
        bias.update(repeating: 0, count: eLanes)
        for index in (grid.tasks * part / parts)..<(grid.tasks * (part + 1) / parts) {
          let task = grid.task(index)
          let columns = task.columns
          withScratch { scratch in
            var region = Region(
              input, n: task.n, y: outputs * task.ty - padding, rows: outputs * task.rows + border,
              x: outputs * task.tx - padding, columns: outputs * columns + border,
              span: outputs * grid.batchRows + border, scratch)
            var gRegion = Region(
              gradient, n: task.n, y: outputs * task.ty, rows: outputs * task.rows,
              x: outputs * task.tx, columns: outputs * columns, span: outputs * grid.batchRows,
              scratch)
            let lines = Lines(
              tile: tile, columns: outputs * columns + border, lanes: inLanes,
              batchRows: grid.batchRows, scratch)
            let gLines = Lines(
              tile: tile, columns: outputs * columns, lanes: outLanes, batchRows: grid.batchRows,
              scratch)
            let v = scratch.floats(tile * grid.batchTiles * vLanes)
            let e = scratch.floats(tile * grid.batchTiles * eLanes)
            var prefetcher = Prefetcher(scratch)
            for batch in stride(from: 0, to: task.rows, by: grid.batchRows) {
              let batchRows = min(grid.batchRows, task.rows - batch)
              let tiles = columns * batchRows
              let end = outputs * (batch + batchRows), next = outputs * grid.batchRows
              region.fill(outputs * batch..<end + border)
              gRegion.fill(outputs * batch..<end)
              prefetcher.set(
                (region, (end + border)..<(end + border + next)), (gRegion, end..<(end + next)))
              for y in 0..<batchRows {
                form.rows(
                  .input, region.row(outputs * (batch + y)), rowPitch: region.pitch,
                  count: (outputs * columns + border) * inLanes, into: lines.line(0, tileRow: y),
                  pitch: lines.pitch)
                form.rows(
                  .gradient, gRegion.row(outputs * (batch + y)), rowPitch: gRegion.pitch,
                  count: outputs * columns * outLanes, into: gLines.line(0, tileRow: y),
                  pitch: gLines.pitch)
              }
              for i in 0..<tile {
                for y in 0..<batchRows {
                  form.columns(
                    .input, lines.line(i, tileRow: y), lanes: inLanes, columns: columns,
                    into: v + y * columns * vLanes, plane: tiles * vLanes)
                  form.columns(
                    .gradient, gLines.line(i, tileRow: y), lanes: outLanes, columns: columns,
                    into: e + y * columns * eLanes, plane: tiles * eLanes)
                }
                // Entry (1, 1) of a transformed tile is the sum of its gradients.
                if i == 1 { addRows(e + tiles * eLanes, rows: tiles, lanes: eLanes, to: bias) }
                for j in 0..<tile {
                  let a = PanelA(
                    base: v + j * tiles * vLanes, rowStride: 1, kStride: vLanes, taps: 1,
                    tapOffsets: zeroOffset, depth: tiles)
                  prefetcher.fetch(tile * i + j, of: tile * tile)
                  var first = 0
                  for width in panels {
                    runPanel(
                      width: width, rows: depth, a, e + j * tiles * eLanes + first, eLanes,
                      sum + (tile * i + j) * depth * eLanes + first, eLanes, accumulate: true)
                    first += width
                  }
                }
              }
            }
          }
        }
      }
      reduce(sums, parts: parts, count: count)
      finish(
        sums, form: form, depth: depth, input: input.layout, gradient: gradient.layout, dw: dw)
      if let db {
        reduce(biases, parts: parts, count: eLanes)
        for o in 0..<gradient.layout.seenChannels { db[o] = biases[gradient.layout.lane(of: o)] }
      }
    }
  }

  private static func addRows(
    _ e: UnsafePointer<Float>, rows: Int, lanes: Int, to sum: UnsafeMutablePointer<Float>
  ) {
    forEachVectorOfLanes(lanes) { c in
      var total = Vector.zero
      for r in 0..<rows { total += load(e + r * lanes + c) }
      store(load(sum + c) + total, sum + c)
    }
  }

  /// Gᵀ M G of the sums: back to the kernel's taps.
  private static func finish(
    _ sum: UnsafePointer<Float>, form: WinogradForm, depth: Int, input: ImageLayout,
    gradient: ImageLayout, dw: UnsafeMutablePointer<Float>
  ) {
    let (inputs, lanes) = (input.seenChannels, roundUp(gradient.lanes, vectorWidth))
    let plane = depth * lanes
    let (tile, taps) = (form.tile, form.taps)
    let g = form.weights.map { $0.map(Float.init) }
    // The seen channel of each lane of the gradient, −1 for padding.
    var channel = [Int](repeating: -1, count: lanes)
    for o in 0..<gradient.seenChannels { channel[gradient.lane(of: o)] = o }
    ThreadPool.shared.run(inputs) { i in
      let row = sum + input.lane(of: i) * lanes
      withUnsafeTemporaryAllocation(of: Vector.self, capacity: tile * taps) { buffer in
        guard let tmp = buffer.baseAddress else { return }
        forEachVectorOfLanes(lanes) { c in
          for j in 0..<tile {
            for y in 0..<taps {
              var total = Vector.zero
              for k in 0..<tile {
                total = fma(
                  Vector(repeating: g[k][y]), load(row + (tile * k + j) * plane + c), total)
              }
              tmp[tile * y + j] = total
            }
          }
          for y in 0..<taps {
            for x in 0..<taps {
              var total = Vector.zero
              for k in 0..<tile {
                total = fma(Vector(repeating: g[k][x]), tmp[tile * y + k], total)
              }
              for lane in 0..<vectorWidth where channel[c + lane] >= 0 {
                dw[((channel[c + lane] * inputs + i) * taps + y) * taps + x] = total[lane]
              }
            }
          }
        }
      }
    }
  }
}

/// How many partial sums a weight gradient is split into. The number depends on the shape alone, so
/// the order of the sum does too.
func weightGradientParts(tasks: Int, bytes: Int) -> Int {
  min(tasks, max(2, min(8, (64 << 20) / max(bytes, 1))))
}

/// Adds parts 1… to part 0, in order.
func reduce(_ sums: UnsafeMutablePointer<Float>, parts: Int, count: Int) {
  guard parts > 1 else { return }
  let pieces = min(16, max(1, count / 4096))
  ThreadPool.shared.run(pieces) { piece in
    let (from, to) = (count * piece / pieces, count * (piece + 1) / pieces)
    for part in 1..<parts {
      let source = sums + part * count
      for i in from..<to { sums[i] += source[i] }
    }
  }
}
