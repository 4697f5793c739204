/// Convolution in groups of channels, for every kernel, stride and dilation.
///
/// The forward product adds in the order of its definition (bias, inputs, taps) and rounds each
/// product, so its bits are those of ``ReferenceConvolution`` on every processor. Gradients use
/// fused multiply-adds.
enum GroupedConvolution {
  static func forward(
    _ s: ConvolutionShape, _ input: ImageOperand, weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, _ output: ImageTarget
  ) {
    let lanes = GroupLanes(s, adjoint: false)
    guard lanes.fit else {
      WideGroups.forward(s, input, weights: weights, bias: bias, output)
      return
    }
    run(
      input, weights: weights, adjoint: false, bias: bias, output, Gather.forward(s), lanes)
  }

  static func dataGradient(
    _ s: ConvolutionShape, _ gradient: ImageOperand, weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, _ output: ImageTarget
  ) {
    let lanes = GroupLanes(s, adjoint: true)
    guard lanes.fit else {
      WideGroups.dataGradient(s, gradient, weights: weights, bias: bias, output)
      return
    }
    let phases = Gather.adjoint(s)
    if !Gather.covers(phases, s) { output.fill(bias: bias) }
    for phase in phases {
      run(gradient, weights: weights, adjoint: true, bias: bias, output, phase, lanes)
    }
  }

  private static func run(
    _ input: ImageOperand, weights: UnsafePointer<Float>, adjoint: Bool,
    bias: UnsafePointer<Float>?, _ output: ImageTarget, _ gather: Gather, _ lanes: GroupLanes
  ) {
    let (outLanes, channels) = (output.layout.lanes, output.layout.channels)
    let laneOffsets = output.layout.laneOffsets()
    let (blockRows, blockColumns) = lanes.block(rows: gather.rows, columns: gather.columns)
    let blocksX = (gather.columns + blockColumns - 1) / blockColumns
    let blocksY = (gather.rows + blockRows - 1) / blockRows
    let terms = lanes.inputs * gather.taps.count
    // The last vector may extend past the lanes.
    let outPitch = max(outLanes, (lanes.vectors - 1) * lanes.step + vectorWidth)
    withScratch { scratch in
      let packed = scratch.floats(lanes.vectors * terms * vectorWidth)
      lanes.pack(weights, gather.taps, adjoint: adjoint, into: packed)
      let biases = scratch.floats(lanes.vectors * lanes.step + vectorWidth)
      biases.update(repeating: 0, count: lanes.vectors * lanes.step + vectorWidth)
      if let bias { biases.update(from: bias, count: channels) }
      let zeros = scratch.floats(outLanes)
      zeros.update(repeating: 0, count: outLanes)
      let offsets = scratch.take(laneOffsets.count, of: Int.self)
      for (i, o) in laneOffsets.enumerated() { offsets[i] = o }
      ThreadPool.shared.run(input.layout.n * blocksY * blocksX) { index in
        let n = index / (blocksY * blocksX)
        let y0 = index / blocksX % blocksY * blockRows
        let x0 = index % blocksX * blockColumns
        let rows = min(blockRows, gather.rows - y0)
        let columns = min(blockColumns, gather.columns - x0)
        withScratch { scratch in
          let source = GroupSource(
            input, n: n, y0: y0, x0: x0, rows: rows, columns: columns, gather, lanes, scratch)
          let tiles = roundUp(columns, 4)
          let out = scratch.floats(rows * tiles * outPitch)
          for v in 0..<lanes.vectors {
            let pixels = source.pixels(of: v)
            let weights = packed + v * terms * vectorWidth
            let bias = load(biases + v * lanes.step)
            for y in 0..<rows {
              sumRow(
                pixels + y * source.rowPitch, step: source.columnPitch, offsets: source.offsets,
                terms: terms, weights: weights, bias: bias,
                out: out + y * tiles * outPitch + v * lanes.step, outPitch: outPitch, count: tiles,
                fused: adjoint)
            }
          }
          for y in 0..<rows {
            for x in 0..<columns {
              let pixel = out + (y * tiles + x) * outPitch
              for c in channels..<outLanes { pixel[c] = 0 }
              output.store(
                pixel, n: n, y: (y0 + y) * gather.stepY + gather.phaseY,
                x: (x0 + x) * gather.stepX + gather.phaseX, bias: zeros, laneOffsets: offsets)
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
    let lanes = GroupLanes(s, adjoint: false)
    guard lanes.fit else {
      WideGroups.weightGradient(s, input, gradient: gradient, dw: dw, db: db)
      return
    }
    let gather = Gather.forward(s)
    let outLanes = gradient.layout.lanes
    let (blockRows, blockColumns) = lanes.block(rows: gather.rows, columns: gather.columns)
    let blocksX = (gather.columns + blockColumns - 1) / blockColumns
    let blocksY = (gather.rows + blockRows - 1) / blockRows
    let terms = lanes.inputs * gather.taps.count
    let tasks = input.layout.n * blocksX * blocksY
    let sumCount = lanes.vectors * terms * vectorWidth
    let count = sumCount + outLanes
    let parts = weightGradientParts(tasks: tasks, bytes: count * 4)
    withScratch { scratch in
      let sums = scratch.floats(parts * count)
      ThreadPool.shared.run(parts) { part in
        let sum = sums + part * count
        let bias = sum + sumCount
        sum.update(repeating: 0, count: count)
        for index in (tasks * part / parts)..<(tasks * (part + 1) / parts) {
          let n = index / (blocksY * blocksX)
          let y0 = index / blocksX % blocksY * blockRows
          let x0 = index % blocksX * blockColumns
          let rows = min(blockRows, gather.rows - y0)
          let columns = min(blockColumns, gather.columns - x0)
          withScratch { scratch in
            let source = GroupSource(
              input, n: n, y0: y0, x0: x0, rows: rows, columns: columns, gather, lanes, scratch)
            let g = scratch.floats(rows * columns * outLanes + vectorWidth)
            gradient.pack(n: n, y0: y0, rows: rows, x0: x0, columns: columns, into: g)
            for c in Swift.stride(from: 0, to: outLanes, by: 8) {
              var total = load8(bias + c)
              for p in 0..<rows * columns { total += load8(g + p * outLanes + c) }
              store8(total, bias + c)
            }
            for v in 0..<lanes.vectors {
              sumTaps(
                source.pixels(of: v), rowPitch: source.rowPitch, step: source.columnPitch,
                offsets: source.offsets, terms: terms, gradient: g + v * lanes.step,
                gradientPitch: outLanes, rows: rows, columns: columns,
                sum: sum + v * terms * vectorWidth)
            }
          }
        }
      }
      reduce(sums, parts: parts, count: count)
      for o in 0..<s.outputs {
        let (v, lane) = (o / lanes.step, o % lanes.step)
        for term in 0..<terms {
          dw[o * terms + term] = sums[(v * terms + term) * vectorWidth + lane]
        }
        if let db { db[o] = sums[sumCount + o] }
      }
    }
  }
}
