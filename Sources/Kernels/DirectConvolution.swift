/// Convolution as matrix products over packed rows, for every kernel size and stride.
///
/// One loop serves the forward product and, phase by phase of the stride, the gradient by
/// data: an output pixel (my·step + phase) gathers `taps` of the input at
/// (my·stride + dy, mx·stride + dx). Error is that of a plain fp32 dot product.
private struct Gather {
  struct Tap {
    var dy: Int, dx: Int
    /// Row and column of the stored kernel.
    var ky: Int, kx: Int
  }
  var taps: [Tap]
  var stride: Int
  var step: Int
  var phaseY: Int, phaseX: Int
  /// Output pixels of this phase.
  var rows: Int, columns: Int
}

enum DirectConvolution {
  static func forward(
    _ input: ImageOperand, weights: WeightView, bias: UnsafePointer<Float>?, stride: Int,
    padY: Int, padX: Int, _ output: ImageTarget
  ) {
    var taps: [Gather.Tap] = []
    for ky in 0..<weights.kh {
      for kx in 0..<weights.kw {
        taps.append(.init(dy: ky - padY, dx: kx - padX, ky: ky, kx: kx))
      }
    }
    run(
      input, weights: weights, bias: bias, output,
      Gather(
        taps: taps, stride: stride, step: 1, phaseY: 0, phaseX: 0,
        rows: output.layout.seenHeight, columns: output.layout.seenWidth))
  }

  /// Gradient by data: `gradient` is that of the convolution's output, `output` the
  /// gradient of its input.
  static func dataGradient(
    _ gradient: ImageOperand, weights: WeightView, stride: Int, padY: Int, padX: Int,
    _ output: ImageTarget
  ) {
    let (h, w) = (output.layout.seenHeight, output.layout.seenWidth)
    for phaseY in 0..<min(stride, h) {
      for phaseX in 0..<min(stride, w) {
        var taps: [Gather.Tap] = []
        for ky in 0..<weights.kh where (phaseY + padY - ky) % stride == 0 {
          for kx in 0..<weights.kw where (phaseX + padX - kx) % stride == 0 {
            taps.append(
              .init(
                dy: (phaseY + padY - ky) / stride, dx: (phaseX + padX - kx) / stride, ky: ky,
                kx: kx))
          }
        }
        run(
          gradient, weights: weights, bias: nil, output,
          Gather(
            taps: taps, stride: 1, step: stride, phaseY: phaseY, phaseX: phaseX,
            rows: (h - phaseY + stride - 1) / stride, columns: (w - phaseX + stride - 1) / stride
          ))
      }
    }
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
    let top = gather.taps.map(\.dy).min() ?? 0, bottom = gather.taps.map(\.dy).max() ?? 0
    let left = gather.taps.map(\.dx).min() ?? 0, right = gather.taps.map(\.dx).max() ?? 0
    let stride = gather.stride
    let blocksX = max(1, (gather.columns + 127) / 128)
    let blockColumns = (gather.columns + blocksX - 1) / blocksX
    let blockRows = max(1, min(gather.rows, 256 / max(blockColumns, 1)))
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
          let regionColumns = (columns - 1) * stride + 1 + right - left
          let regionRows = (rows - 1) * stride + 1 + bottom - top
          let pitch = regionColumns * inLanes
          // Whole groups of four pixels are read: up to three beyond the last.
          let slack = 4 * stride * inLanes
          let region = scratch.floats(regionRows * pitch + slack)
          input.pack(
            n: n, y0: y0 * stride + top, rows: regionRows, x0: x0 * stride + left,
            columns: regionColumns, into: region)
          (region + regionRows * pitch).update(repeating: 0, count: slack)
          let tapOffsets = scratch.take(gather.taps.count, of: Int.self)
          for (i, tap) in gather.taps.enumerated() {
            tapOffsets[i] = (tap.dy - top) * pitch + (tap.dx - left) * inLanes
          }
          let rowTiles = roundUp(columns, 4)
          let out = scratch.floats(rows * rowTiles * wideLanes)
          var first = 0
          for width in panels {
            for y in 0..<rows {
              let a = PanelA(
                base: region + y * stride * pitch, rowStride: stride * inLanes, kStride: 1,
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
                y: (y0 + y) * gather.step + gather.phaseY,
                x: (x0 + x) * gather.step + gather.phaseX, bias: lanesBias, laneOffsets: offsets)
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
    // Rows of padding are nobody's.
    if depth != w.inputs {
      out.update(repeating: 0, count: taps.count * depth * roundUp(output.lanes, vectorWidth))
    }
    let pieces = min(w.inputs, 16)
    ThreadPool.shared.run(pieces) { piece in
      withScratch { scratch in
        let zeros = scratch.floats(w.kh * w.kw)
        zeros.update(repeating: 0, count: w.kh * w.kw)
        let places = scratch.take(taps.count, of: Int.self)
        for (t, tap) in taps.enumerated() { places[t] = tap.ky * w.kw + tap.kx }
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

  /// dW[o][i][kh][kw] and, when asked, db[o]. Overwrites its outputs.
  static func weightGradient(
    _ input: ImageOperand, gradient: ImageOperand, kh: Int, kw: Int, stride: Int, padY: Int,
    padX: Int, dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    let (inLanes, outLanes) = (input.layout.lanes, gradient.layout.lanes)
    let depth = roundUp(input.layout.depth, 4)
    let (height, width) = (gradient.layout.seenHeight, gradient.layout.seenWidth)
    let wideLanes = roundUp(outLanes, vectorWidth)
    let panels = panelWidths(lanes: outLanes)
    let taps = kh * kw
    let blocksX = max(1, (width + 127) / 128)
    let blockColumns = (width + blocksX - 1) / blocksX
    let blockRows = max(1, min(height, 256 / max(blockColumns, 1)))
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
            let regionColumns = (columns - 1) * stride + kw
            let regionRows = (rows - 1) * stride + kh
            let pitch = regionColumns * inLanes
            let region = scratch.floats(regionRows * pitch)
            input.pack(
              n: n, y0: y0 * stride - padY, rows: regionRows, x0: x0 * stride - padX,
              columns: regionColumns, into: region)
            let g = scratch.floats(rows * columns * outLanes + vectorWidth)
            gradient.pack(n: n, y0: y0, rows: rows, x0: x0, columns: columns, into: g)
            for c in Swift.stride(from: 0, to: outLanes, by: 8) {
              var total = load8(bias + c)
              for p in 0..<rows * columns { total += load8(g + p * outLanes + c) }
              store8(total, bias + c)
            }
            let rowOffsets = scratch.take(rows, of: Int.self)
            for y in 0..<rows { rowOffsets[y] = y * stride * pitch }
            for tap in 0..<taps {
              let a = PanelA(
                base: region + tap / kw * pitch + tap % kw * inLanes, rowStride: 1,
                kStride: stride * inLanes, taps: rows, tapOffsets: rowOffsets, depth: columns)
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
