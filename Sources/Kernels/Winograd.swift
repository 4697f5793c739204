/// Winograd convolution of stride 1, in one of the forms of ``WinogradForm``.
///
/// An image is split into tasks of a few rows of tiles, and a task into batches of tiles. A batch
/// is processed row by row of the transform, so that the products of one row find their operands in
/// the first-level cache.
enum Winograd {
  /// The forward product or, with transposed weights, the data gradient; `u` holds the transformed
  /// weights.
  static func forward(
    _ input: ImageOperand, transformed u: UnsafePointer<Float>, form: WinogradForm,
    bias: UnsafePointer<Float>?, padding: Int, _ output: ImageTarget
  ) {
    let (depth, inLanes, outLanes) = (
      input.layout.depth, input.layout.lanes, output.layout.lanes
    )
    let (vLanes, mLanes) = (roundUp(inLanes, vectorWidth), roundUp(outLanes, vectorWidth))
    let grid = TileGrid(
      n: input.layout.n, height: output.layout.seenHeight, width: output.layout.seenWidth,
      form: form, batch: 16, batches: 16)
    let (tile, outputs, border) = (form.tile, form.outputs, form.border)
    let panels = panelWidths(lanes: outLanes)
    let halved = lastIsHalved(lanes: outLanes)
    let widest = panels.max() ?? vectorWidth
    withScratch { scratch in
      let lanesBias = scratch.floats(mLanes + vectorWidth)
      laneBias(bias, layout: output.layout, into: lanesBias)
      ThreadPool.shared.run(grid.tasks) { index in
        let task = grid.task(index)
        let columns = task.columns
        withScratch { scratch in
          var region = Region(
            input, n: task.n, y: outputs * task.ty - padding, rows: outputs * task.rows + border,
            x: outputs * task.tx - padding, columns: outputs * columns + border,
            span: outputs * grid.batchRows + border, scratch)
          let lines = Lines(
            tile: tile, columns: outputs * columns + border, lanes: inLanes,
            batchRows: grid.batchRows, scratch)
          let v = scratch.floats(tile * grid.batchTiles * vLanes)
          let m = scratch.floats(tile * grid.batchTiles * widest)
          // Transformed back along x: [tiles][tile][outputs][mLanes].
          let half = scratch.floats(
            tile * outputs * grid.batchTiles * mLanes + vectorWidth)
          let store = TileStore(output, form: form, bias: lanesBias, scratch)
          var prefetcher = Prefetcher(scratch)
          for batch in stride(from: 0, to: task.rows, by: grid.batchRows) {
            let batchRows = min(grid.batchRows, task.rows - batch)
            let tiles = roundUp(columns * batchRows, 4)
            let end = outputs * (batch + batchRows) + border
            region.fill(outputs * batch..<end)
            prefetcher.set((region, end..<(end + outputs * grid.batchRows)))
            for y in 0..<batchRows {
              form.rows(
                .input, region.row(outputs * (batch + y)), rowPitch: region.pitch,
                count: (outputs * columns + border) * inLanes, into: lines.line(0, tileRow: y),
                pitch: lines.pitch)
            }
            for i in 0..<tile {
              for y in 0..<batchRows {
                form.columns(
                  .input, lines.line(i, tileRow: y), lanes: inLanes, columns: columns,
                  into: v + y * columns * vLanes, plane: tiles * vLanes)
              }
              var first = 0
              for width in panels {
                for j in 0..<tile {
                  let a = PanelA(
                    base: v + j * tiles * vLanes, rowStride: vLanes, kStride: 1, taps: 1,
                    tapOffsets: zeroOffset, depth: depth)
                  let weights = u + ((tile * i + j) * mLanes + first) * depth
                  if halved, first + width == mLanes {
                    runHalvedPanel(
                      width: width, rows: tiles, a, weights, m + j * tiles * width, width)
                  } else {
                    runPanel(
                      width: width, rows: tiles, a, weights, width, m + j * tiles * width, width,
                      accumulate: false)
                  }
                  if first == 0 { prefetcher.fetch(tile * i + j, of: tile * tile) }
                }
                form.outputColumns(
                  m, width: width, tiles: tiles,
                  into: half + i * outputs * mLanes + first, lanes: mLanes)
                first += width
              }
            }
            for t in 0..<columns * batchRows {
              store.run(
                half + t * tile * outputs * mLanes, lanes: mLanes, n: task.n,
                y: outputs * (task.ty + batch + t / columns),
                x: outputs * (task.tx + t % columns))
            }
          }
          store.finish()
        }
      }
    }
  }
}
