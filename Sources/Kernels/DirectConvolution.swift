/// Convolution as matrix products over packed rows, for every kernel size, stride and dilation.
/// The error is that of a plain fp32 dot product.
enum DirectConvolution {
  static func forward(
    _ s: ConvolutionShape, _ input: ImageOperand, weights: WeightView,
    bias: UnsafePointer<Float>?, _ output: ImageTarget
  ) { run(input, weights: weights, bias: bias, output, Gather.forward(s)) }

  /// The data gradient: `gradient` is that of the convolution's output, `output` the gradient of
  /// its input, to which `bias` is added.
  static func dataGradient(
    _ s: ConvolutionShape, _ gradient: ImageOperand, weights: WeightView,
    bias: UnsafePointer<Float>?, _ output: ImageTarget
  ) {
    let phases = Gather.adjoint(s)
    if !Gather.covers(phases, s) { output.fill(bias: bias) }
    for phase in phases { run(gradient, weights: weights, bias: bias, output, phase) }
  }

  private static func run(
    _ input: ImageOperand, weights: WeightView, bias: UnsafePointer<Float>?, _ output: ImageTarget,
    _ gather: Gather
  ) {
    let (inLanes, depth, outLanes) = (
      input.layout.lanes, input.layout.depth, output.layout.lanes
    )
    let wideLanes = roundUp(outLanes, vectorWidth)
    let panels = panelWidths(lanes: outLanes)
    let laneOffsets = output.layout.laneOffsets()
    let (blockRows, blockColumns) = Gather.block(rows: gather.rows, columns: gather.columns)
    let blocksX = (gather.columns + blockColumns - 1) / blockColumns
    let blocksY = (gather.rows + blockRows - 1) / blockRows
    withScratch { scratch in
      let packed = scratch.floats(gather.taps.count * depth * wideLanes)
      pack(weights, gather.taps, input: input.layout, output: output.layout, into: packed)
      let lanesBias = scratch.floats(outLanes)
      laneBias(bias, layout: output.layout, into: lanesBias)
      let offsets = scratch.take(laneOffsets.count, of: Int.self)
      for (i, o) in laneOffsets.enumerated() { offsets[i] = o }
      ThreadPool.shared.run(input.layout.n * blocksY * blocksX) { index in
        let n = index / (blocksY * blocksX)
        let y0 = index / blocksX % blocksY * blockRows
        let x0 = index % blocksX * blockColumns
        let rows = min(blockRows, gather.rows - y0)
        let columns = min(blockColumns, gather.columns - x0)
        guard rows > 0, columns > 0 else { return }
        withScratch { scratch in
          let shape = gather.region(rows: rows, columns: columns)
          let pitch = shape.columns * inLanes
          let step = shape.columnStep * inLanes
          // Pixels are read in groups of four: up to three past the last.
          let slack = 4 * step
          let region = scratch.floats(shape.rows * pitch + slack)
          gather.pack(input, n: n, y0: y0, x0: x0, shape, into: region)
          (region + shape.rows * pitch).update(repeating: 0, count: slack)
          let tapOffsets = scratch.take(gather.taps.count, of: Int.self)
          for (i, tap) in gather.taps.enumerated() {
            tapOffsets[i] = gather.offset(tap, in: shape) * inLanes
          }
          let rowTiles = roundUp(columns, 4)
          let out = scratch.floats(rows * rowTiles * wideLanes)
          var first = 0
          for width in panels {
            for y in 0..<rows {
              let a = PanelA(
                base: region + y * shape.rowStep * pitch, rowStride: step, kStride: 1,
                taps: gather.taps.count, tapOffsets: tapOffsets, depth: depth)
              runPanel(
                width: width, rows: rowTiles, a, packed + first * gather.taps.count * depth, width,
                out + y * rowTiles * wideLanes + first, wideLanes, accumulate: false)
            }
            first += width
          }
          for y in 0..<rows {
            for x in 0..<columns {
              output.store(
                out + (y * rowTiles + x) * wideLanes, n: n,
                y: (y0 + y) * gather.stepY + gather.phaseY,
                x: (x0 + x) * gather.stepX + gather.phaseX, bias: lanesBias, laneOffsets: offsets)
            }
          }
        }
      }
    }
  }

  /// [panel][tap][depth][panel width].
  private static func pack(
    _ w: WeightView, _ taps: [Gather.Tap], input: ImageLayout, output: ImageLayout,
    into out: UnsafeMutablePointer<Float>
  ) {
    let depth = input.depth
    let groups = LaneGroup.all(of: output, rows: taps.count * depth, halved: false)
    // No channel writes the rows of padding.
    if depth != w.inputs {
      out.update(repeating: 0, count: taps.count * depth * roundUp(output.lanes, vectorWidth))
    }
    let pieces = min(w.inputs, 16)
    ThreadPool.shared.run(pieces) { piece in
      withScratch { scratch in
        let zeros = scratch.floats(w.kh * w.kw)
        zeros.update(repeating: 0, count: w.kh * w.kw)
        let places = scratch.take(taps.count, of: Int.self)
        for (t, tap) in taps.enumerated() { places[t] = tap.place }
        for from in (w.inputs * piece / pieces)..<(w.inputs * (piece + 1) / pieces) {
          for group in groups {
            let kernels = w.kernels(from: from, to: group, zeros: zeros)
            var row = out + group.offset(row: input.lane(of: from))
            for t in 0..<taps.count {
              for l in 0..<8 { row[l] = kernels[l][places[t]] }
              row += depth * group.pitch
            }
          }
        }
      }
    }
  }

  /// dW[o][i][kh][kw] and, if wanted, db[o]. Overwrites its outputs.
  static func weightGradient(
    _ s: ConvolutionShape, _ input: ImageOperand, gradient: ImageOperand,
    dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    let gather = Gather.forward(s)
    let (inLanes, outLanes) = (input.layout.lanes, gradient.layout.lanes)
    let depth = roundUp(input.layout.depth, 4)
    let (height, width) = (gradient.layout.seenHeight, gradient.layout.seenWidth)
    let wideLanes = roundUp(outLanes, vectorWidth)
    let panels = panelWidths(lanes: outLanes)
    let taps = s.kh * s.kw
    let (blockRows, blockColumns) = Gather.block(rows: height, columns: width)
    let blocksX = (width + blockColumns - 1) / blockColumns
    let blocksY = (height + blockRows - 1) / blockRows
    let tasks = input.layout.n * blocksX * blocksY
    let count = taps * depth * wideLanes
    let parts = weightGradientParts(tasks: tasks, bytes: count * 4)
    withScratch { scratch in
      let sums = scratch.floats(parts * count)
      let biases = scratch.floats(parts * outLanes)
      ThreadPool.shared.run(parts) { part in
        let sum = sums + part * count
        let bias = biases + part * outLanes
        sum.update(repeating: 0, count: count)
        bias.update(repeating: 0, count: outLanes)
        for index in (tasks * part / parts)..<(tasks * (part + 1) / parts) {
          let n = index / (blocksY * blocksX)
          let y0 = index / blocksX % blocksY * blockRows
          let x0 = index % blocksX * blockColumns
          let rows = min(blockRows, height - y0), columns = min(blockColumns, width - x0)
          guard rows > 0, columns > 0 else { continue }
          withScratch { scratch in
            let shape = gather.region(rows: rows, columns: columns)
            let pitch = shape.columns * inLanes
            let region = scratch.floats(shape.rows * pitch)
            gather.pack(input, n: n, y0: y0, x0: x0, shape, into: region)
            let g = scratch.floats(rows * columns * outLanes + vectorWidth)
            gradient.pack(n: n, y0: y0, rows: rows, x0: x0, columns: columns, into: g)
            for c in Swift.stride(from: 0, to: outLanes, by: 8) {
              var total = load8(bias + c)
              for p in 0..<rows * columns { total += load8(g + p * outLanes + c) }
              store8(total, bias + c)
            }
            let rowOffsets = scratch.take(rows, of: Int.self)
            for y in 0..<rows { rowOffsets[y] = y * shape.rowStep * pitch }
            let tapOffsets = scratch.take(taps, of: Int.self)
            for (i, tap) in gather.taps.enumerated() {
              tapOffsets[i] = gather.offset(tap, in: shape) * inLanes
            }
            for tap in 0..<taps {
              let a = PanelA(
                base: region + tapOffsets[tap], rowStride: 1, kStride: shape.columnStep * inLanes,
                taps: rows, tapOffsets: rowOffsets, depth: columns)
              var first = 0
              for panel in panels {
                runPanel(
                  width: panel, rows: depth, a, g + first, outLanes,
                  sum + tap * depth * wideLanes + first, wideLanes, accumulate: true)
                first += panel
              }
            }
          }
        }
      }
      reduce(sums, parts: parts, count: count)
      reduce(biases, parts: parts, count: outLanes)
      let (outputs, inputs) = (gradient.layout.seenChannels, input.layout.seenChannels)
      let pieces = min(outputs, 16)
      ThreadPool.shared.run(pieces) { piece in
        for o in (outputs * piece / pieces)..<(outputs * (piece + 1) / pieces) {
          let lane = gradient.layout.lane(of: o)
          for i in 0..<inputs {
            let row = input.layout.lane(of: i)
            for tap in 0..<taps {
              dw[(o * inputs + i) * taps + tap] = sums[(tap * depth + row) * wideLanes + lane]
            }
          }
          if let db { db[o] = biases[lane] }
        }
      }
    }
  }
}
