/// Winograd convolution F(4×4, 3×3), stride 1 (Lavin & Gray, arXiv 1509.09308), points
/// 0, ±1, ±2, ∞: 36 products where the direct form has 144.
///
/// Images are cut into tasks of a few rows of tiles; a task packs its input once (or
/// computes it there from a pointwise program), and works through batches of up to 24
/// tiles whose transforms stay in the second-level cache. Relative error against f64 is
/// about 1e-5 of the output's largest magnitude; `ConvolutionTests` measures it.

/// Bᵀ d along one axis.
@inline(__always) private func inputTransform(
  _ d0: V8, _ d1: V8, _ d2: V8, _ d3: V8, _ d4: V8, _ d5: V8
) -> (V8, V8, V8, V8, V8, V8) {
  let a = d4 - 4 * d2
  let b = d3 - 4 * d1
  let c = d4 - d2
  let d = 2 * (d3 - d1)
  return (4 * d0 - 5 * d2 + d4, a + b, a - b, c + d, c - d, 4 * d1 - 5 * d3 + d5)
}

/// Aᵀ m along one axis.
@inline(__always) private func outputTransform(
  _ m0: V8, _ m1: V8, _ m2: V8, _ m3: V8, _ m4: V8, _ m5: V8
) -> (V8, V8, V8, V8) {
  let (s, d, u, v) = (m1 + m2, m1 - m2, m3 + m4, m3 - m4)
  return (m0 + s + u, d + 2 * v, s + 4 * u, d + 8 * v + m5)
}

/// A g along one axis: the adjoint of the output transform.
@inline(__always) private func gradientTransform(
  _ g0: V8, _ g1: V8, _ g2: V8, _ g3: V8
) -> (V8, V8, V8, V8, V8, V8) {
  let (p, q) = (g0 + g2, g1 + g3)
  let (r, w) = (g0 + 4 * g2, 2 * g1 + 8 * g3)
  return (g0, p + q, p - q, r + w, r - w, g3)
}

/// Gᵀ m along one axis: the adjoint of the weight transform.
@inline(__always) private func weightGradientTransform(
  _ m0: V8, _ m1: V8, _ m2: V8, _ m3: V8, _ m4: V8, _ m5: V8
) -> (V8, V8, V8) {
  let (s, u) = ((m1 + m2) * (1 / 6), m3 + m4)
  return (
    m0 * 0.25 - s + u * (1 / 24), (m2 - m1) * (1 / 6) + (m3 - m4) * (1 / 12),
    u * (1 / 6) - s + m5
  )
}

/// How an image of output pixels is cut: by its shape alone.
struct TileGrid {
  let n: Int, height: Int, width: Int
  let tilesX: Int, tilesY: Int
  /// Tile columns of a task, tile rows of a batch, batches of a task.
  let columns: Int, batchRows: Int, batches: Int
  let blocksX: Int, blocksY: Int

  init(n: Int, height: Int, width: Int) {
    (self.n, self.height, self.width) = (n, height, width)
    tilesX = (width + 3) / 4
    tilesY = (height + 3) / 4
    let pieces = (tilesX + 23) / 24
    columns = (tilesX + pieces - 1) / pieces
    batchRows = min(max(1, 24 / columns), tilesY)
    blocksX = pieces
    // Taller tasks recompute less of a computed input; short images still want tasks.
    var batches = 4
    while batches > 1,
      blocksX * n * ((tilesY + batches * batchRows - 1) / (batches * batchRows)) < 16
    {
      batches -= 1
    }
    self.batches = batches
    blocksY = (tilesY + batches * batchRows - 1) / (batches * batchRows)
  }

  var tasks: Int { n * blocksX * blocksY }
  var batchTiles: Int { roundUp(columns * batchRows, 4) }
  var regionRows: Int { 4 * batches * batchRows + 2 }
  var regionColumns: Int { 4 * columns + 2 }

  func task(_ index: Int) -> (n: Int, ty: Int, tx: Int) {
    let (image, rest) = (index / (blocksX * blocksY), index % (blocksX * blocksY))
    return (image, rest / blocksX * batches * batchRows, rest % blocksX * columns)
  }
}

enum Winograd {
  /// Transformed weights: [36][panel][depth][panel width].
  static func weightCount(input: ImageLayout, output: ImageLayout) -> Int {
    36 * input.depth * output.lanes
  }

  static func transformWeights(
    _ w: WeightView, input: ImageLayout, output: ImageLayout, into u: UnsafeMutablePointer<Float>
  ) {
    let (depth, lanes) = (input.depth, output.lanes)
    u.update(repeating: 0, count: 36 * depth * lanes)
    // Where lane l of row k lies within one of the 36 matrices.
    var place = [Int](repeating: 0, count: lanes)
    var stride = [Int](repeating: 0, count: lanes)
    var first = 0
    for width in panelWidths(vectors: lanes / 8) {
      for l in 0..<width {
        place[first + l] = first * depth + l
        stride[first + l] = width
      }
      first += width
    }
    let matrix = depth * lanes
    let pieces = min(w.outputs, 16)
    ThreadPool.shared.run(pieces) { piece in
      for to in (w.outputs * piece / pieces)..<(w.outputs * (piece + 1) / pieces) {
        let lane = output.lane(of: to)
        for from in 0..<w.inputs {
          let base = u + place[lane] + input.lane(of: from) * stride[lane]
          var half = (
            SIMD3<Double>(), SIMD3<Double>(), SIMD3<Double>(), SIMD3<Double>(),
            SIMD3<Double>(), SIMD3<Double>()
          )
          func row(_ y: Int) -> SIMD3<Double> {
            let yy = w.transposed ? 2 - y : y
            return w.transposed
              ? SIMD3(
                Double(w.at(from: from, to: to, yy, 2)), Double(w.at(from: from, to: to, yy, 1)),
                Double(w.at(from: from, to: to, yy, 0)))
              : SIMD3(
                Double(w.at(from: from, to: to, yy, 0)), Double(w.at(from: from, to: to, yy, 1)),
                Double(w.at(from: from, to: to, yy, 2)))
          }
          let (r0, r1, r2) = (row(0), row(1), row(2))
          let (e, q) = ((r0 + r2) / 6, (r0 + 4 * r2) / 24)
          half = (r0 / 4, -e - r1 / 6, r1 / 6 - e, q + r1 / 12, q - r1 / 12, r2)
          withUnsafeBytes(of: &half) { raw in
            let rows = raw.bindMemory(to: SIMD3<Double>.self)
            for k in 0..<6 {
              let v = rows[k]
              let (e, q) = ((v[0] + v[2]) / 6, (v[0] + 4 * v[2]) / 24)
              base[(6 * k) * matrix] = Float(v[0] / 4)
              base[(6 * k + 1) * matrix] = Float(-e - v[1] / 6)
              base[(6 * k + 2) * matrix] = Float(v[1] / 6 - e)
              base[(6 * k + 3) * matrix] = Float(q + v[1] / 12)
              base[(6 * k + 4) * matrix] = Float(q - v[1] / 12)
              base[(6 * k + 5) * matrix] = Float(v[2])
            }
          }
        }
      }
    }
  }

  /// Transforms `columns × rows` tiles of a packed region to V[36][tiles][lanes].
  private static func transformInput(
    region: UnsafePointer<Float>, pitch: Int, lanes: Int, columns: Int, rows: Int, tiles: Int,
    into v: UnsafeMutablePointer<Float>
  ) {
    let plane = tiles * lanes
    withUnsafeTemporaryAllocation(of: V8.self, capacity: 36) { buffer in
      guard let tmp = buffer.baseAddress else { return }
      for t in 0..<columns * rows {
        let source = region + 4 * (t / columns) * pitch + 4 * (t % columns) * lanes
        let target = v + t * lanes
        for c in stride(from: 0, to: lanes, by: 8) {
          for j in 0..<6 {
            let p = source + j * lanes + c
            let r = inputTransform(
              load8(p), load8(p + pitch), load8(p + 2 * pitch), load8(p + 3 * pitch),
              load8(p + 4 * pitch), load8(p + 5 * pitch))
            tmp[j] = r.0
            tmp[6 + j] = r.1
            tmp[12 + j] = r.2
            tmp[18 + j] = r.3
            tmp[24 + j] = r.4
            tmp[30 + j] = r.5
          }
          for i in 0..<6 {
            let s = tmp + 6 * i
            let r = inputTransform(s[0], s[1], s[2], s[3], s[4], s[5])
            let p = target + 6 * i * plane + c
            store8(r.0, p)
            store8(r.1, p + plane)
            store8(r.2, p + 2 * plane)
            store8(r.3, p + 3 * plane)
            store8(r.4, p + 4 * plane)
            store8(r.5, p + 5 * plane)
          }
        }
      }
    }
  }

  /// Forward (or, with transposed weights, gradient by data).
  static func forward(
    _ input: ImageOperand, weights w: WeightView, bias: UnsafePointer<Float>?, padding: Int,
    _ output: ImageTarget
  ) {
    let (depth, inLanes, outLanes) = (
      input.layout.depth, input.layout.lanes, output.layout.lanes
    )
    let grid = TileGrid(
      n: input.layout.n, height: output.layout.seenHeight, width: output.layout.seenWidth)
    let panels = panelWidths(vectors: outLanes / 8)
    let offsets = output.layout.laneOffsets()
    withScratch { scratch in
      let u = scratch.floats(weightCount(input: input.layout, output: output.layout))
      transformWeights(w, input: input.layout, output: output.layout, into: u)
      let lanesBias = scratch.floats(outLanes)
      laneBias(bias, layout: output.layout, into: lanesBias)
      offsets.withUnsafeBufferPointer { offsets in
        guard let offsets = offsets.baseAddress else { return }
        ThreadPool.shared.run(grid.tasks) { index in
          let (n, ty0, tx0) = grid.task(index)
          let columns = min(grid.columns, grid.tilesX - tx0)
          withScratch { scratch in
            let pitch = (4 * columns + 2) * inLanes
            let region = scratch.floats(grid.regionRows * pitch)
            let rows = min(grid.batches * grid.batchRows, grid.tilesY - ty0)
            input.pack(
              n: n, y0: 4 * ty0 - padding, rows: 4 * rows + 2, x0: 4 * tx0 - padding,
              columns: 4 * columns + 2, into: region)
            let v = scratch.floats(36 * grid.batchTiles * inLanes)
            let m = scratch.floats(36 * grid.batchTiles * outLanes)
            for batch in stride(from: 0, to: rows, by: grid.batchRows) {
              let batchRows = min(grid.batchRows, rows - batch)
              let tiles = roundUp(columns * batchRows, 4)
              transformInput(
                region: region + 4 * batch * pitch, pitch: pitch, lanes: inLanes,
                columns: columns, rows: batchRows, tiles: tiles, into: v)
              multiply(
                v, u, m, tiles: tiles, depth: depth, inLanes: inLanes, outLanes: outLanes,
                panels: panels)
              for t in 0..<columns * batchRows {
                storeTile(
                  m + t * outLanes, plane: tiles * outLanes, output, n: n,
                  y: 4 * (ty0 + batch + t / columns), x: 4 * (tx0 + t % columns),
                  bias: lanesBias, laneOffsets: offsets)
              }
            }
          }
        }
      }
    }
  }

  @inline(__always) private static func multiply(
    _ v: UnsafePointer<Float>, _ u: UnsafePointer<Float>, _ m: UnsafeMutablePointer<Float>,
    tiles: Int, depth: Int, inLanes: Int, outLanes: Int, panels: [Int]
  ) {
    for k in 0..<36 {
      let a = PanelA(
        base: v + k * tiles * inLanes, rowStride: inLanes, kStride: 1, taps: 1,
        tapOffsets: zeroOffset, depth: depth)
      var first = 0
      for width in panels {
        runPanel(
          width: width, rows: tiles, a, u + k * depth * outLanes + first * depth, width,
          m + k * tiles * outLanes + first, outLanes, accumulate: false)
        first += width
      }
    }
  }

  private static func storeTile(
    _ m: UnsafePointer<Float>, plane: Int, _ output: ImageTarget, n: Int, y: Int, x: Int,
    bias: UnsafePointer<Float>, laneOffsets: UnsafePointer<Int>
  ) {
    let layout = output.layout
    let rows = min(4, layout.seenHeight - y), columns = min(4, layout.seenWidth - x)
    let s = layout.shuffle
    let rowStride = s * layout.width * layout.paddedChannels
    let columnStride = s * layout.paddedChannels
    let lanes = layout.lanes
    withUnsafeTemporaryAllocation(of: V8.self, capacity: 40) { buffer in
      guard let tmp = buffer.baseAddress else { return }
      let done = tmp + 24
      for c in stride(from: 0, to: lanes, by: 8) {
        for j in 0..<6 {
          let p = m + j * plane + c
          let r = outputTransform(
            load8(p), load8(p + 6 * plane), load8(p + 12 * plane), load8(p + 18 * plane),
            load8(p + 24 * plane), load8(p + 30 * plane))
          tmp[j] = r.0
          tmp[6 + j] = r.1
          tmp[12 + j] = r.2
          tmp[18 + j] = r.3
        }
        let b = load8(bias + c)
        if !layout.planar {
          let out = output.pixel(n: n, y: y, x: x) + laneOffsets[c / 8]
          for i in 0..<rows {
            let q = tmp + 6 * i
            let r = outputTransform(q[0], q[1], q[2], q[3], q[4], q[5])
            let p = out + i * rowStride
            store8(r.0 + b, p)
            if columns > 1 { store8(r.1 + b, p + columnStride) }
            if columns > 2 { store8(r.2 + b, p + 2 * columnStride) }
            if columns > 3 { store8(r.3 + b, p + 3 * columnStride) }
          }
          continue
        }
        for i in 0..<rows {
          let q = tmp + 6 * i
          let r = outputTransform(q[0], q[1], q[2], q[3], q[4], q[5])
          done[4 * i] = r.0 + b
          done[4 * i + 1] = r.1 + b
          done[4 * i + 2] = r.2 + b
          done[4 * i + 3] = r.3 + b
        }
        let group = c / layout.paddedChannels
        let channel = c % layout.paddedChannels
        for lane in 0..<min(8, layout.channels - channel) {
          let base =
            output.memory + (n * layout.channels + channel + lane) * layout.height * layout.width
          for i in 0..<rows {
            let row = base + ((y + i) * s + group / s) * layout.width + group % s
            for j in 0..<columns { row[(x + j) * s] = done[4 * i + j][lane] }
          }
        }
      }
    }
  }

  /// dW[o][i][3][3] (and, when asked, db[o]) of a convolution of `input` whose output's
  /// gradient is `gradient`. Overwrites its outputs.
  static func weightGradient(
    _ input: ImageOperand, gradient: ImageOperand, padding: Int,
    dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    let (inLanes, outLanes) = (input.layout.lanes, gradient.layout.lanes)
    let depth = roundUp(input.layout.depth, 4)
    let grid = TileGrid(
      n: input.layout.n, height: gradient.layout.seenHeight, width: gradient.layout.seenWidth)
    let panels = panelWidths(vectors: outLanes / 8)
    let count = 36 * depth * outLanes
    let parts = weightGradientParts(tasks: grid.tasks, bytes: count * 4)
    withScratch { scratch in
      let sums = scratch.floats(parts * count)
      let biases = scratch.floats(parts * outLanes)
      ThreadPool.shared.run(parts) { part in
        let sum = sums + part * count
        let bias = biases + part * outLanes
        sum.update(repeating: 0, count: count)
        bias.update(repeating: 0, count: outLanes)
        for index in (grid.tasks * part / parts)..<(grid.tasks * (part + 1) / parts) {
          let (n, ty0, tx0) = grid.task(index)
          let columns = min(grid.columns, grid.tilesX - tx0)
          withScratch { scratch in
            let pitch = (4 * columns + 2) * inLanes
            let gPitch = 4 * columns * outLanes
            let rows = min(grid.batches * grid.batchRows, grid.tilesY - ty0)
            let region = scratch.floats((4 * rows + 2) * pitch)
            let gRegion = scratch.floats(4 * rows * gPitch)
            input.pack(
              n: n, y0: 4 * ty0 - padding, rows: 4 * rows + 2, x0: 4 * tx0 - padding,
              columns: 4 * columns + 2, into: region)
            gradient.pack(
              n: n, y0: 4 * ty0, rows: 4 * rows, x0: 4 * tx0, columns: 4 * columns, into: gRegion)
            let v = scratch.floats(36 * grid.batchTiles * inLanes)
            let e = scratch.floats(36 * grid.batchTiles * outLanes)
            for batch in stride(from: 0, to: rows, by: grid.batchRows) {
              let batchRows = min(grid.batchRows, rows - batch)
              let tiles = columns * batchRows
              transformInput(
                region: region + 4 * batch * pitch, pitch: pitch, lanes: inLanes,
                columns: columns, rows: batchRows, tiles: tiles, into: v)
              transformGradient(
                region: gRegion + 4 * batch * gPitch, pitch: gPitch, lanes: outLanes,
                columns: columns, tiles: tiles, into: e)
              addBias(e + 7 * tiles * outLanes, tiles: tiles, lanes: outLanes, to: bias)
              accumulate(
                v, e, sum, tiles: tiles, depth: depth, inLanes: inLanes, outLanes: outLanes,
                panels: panels)
            }
          }
        }
      }
      reduce(sums, parts: parts, count: count)
      finish(sums, depth: depth, input: input.layout, gradient: gradient.layout, dw: dw)
      if let db {
        reduce(biases, parts: parts, count: outLanes)
        for o in 0..<gradient.layout.seenChannels { db[o] = biases[gradient.layout.lane(of: o)] }
      }
    }
  }

  private static func transformGradient(
    region: UnsafePointer<Float>, pitch: Int, lanes: Int, columns: Int, tiles: Int,
    into e: UnsafeMutablePointer<Float>
  ) {
    let plane = tiles * lanes
    withUnsafeTemporaryAllocation(of: V8.self, capacity: 24) { buffer in
      guard let tmp = buffer.baseAddress else { return }
      for t in 0..<tiles {
        let source = region + 4 * (t / columns) * pitch + 4 * (t % columns) * lanes
        let target = e + t * lanes
        for c in stride(from: 0, to: lanes, by: 8) {
          for j in 0..<4 {
            let p = source + j * lanes + c
            let r = gradientTransform(
              load8(p), load8(p + pitch), load8(p + 2 * pitch), load8(p + 3 * pitch))
            tmp[j] = r.0
            tmp[4 + j] = r.1
            tmp[8 + j] = r.2
            tmp[12 + j] = r.3
            tmp[16 + j] = r.4
            tmp[20 + j] = r.5
          }
          for i in 0..<6 {
            let s = tmp + 4 * i
            let r = gradientTransform(s[0], s[1], s[2], s[3])
            let p = target + 6 * i * plane + c
            store8(r.0, p)
            store8(r.1, p + plane)
            store8(r.2, p + 2 * plane)
            store8(r.3, p + 3 * plane)
            store8(r.4, p + 4 * plane)
            store8(r.5, p + 5 * plane)
          }
        }
      }
    }
  }

  /// Entry (1,1) of a transformed 4×4 tile is the sum of its sixteen values.
  private static func addBias(
    _ e: UnsafePointer<Float>, tiles: Int, lanes: Int, to bias: UnsafeMutablePointer<Float>
  ) {
    for c in stride(from: 0, to: lanes, by: 8) {
      var sum = V8.zero
      for t in 0..<tiles { sum += load8(e + t * lanes + c) }
      store8(load8(bias + c) + sum, bias + c)
    }
  }

  @inline(__always) private static func accumulate(
    _ v: UnsafePointer<Float>, _ e: UnsafePointer<Float>, _ sum: UnsafeMutablePointer<Float>,
    tiles: Int, depth: Int, inLanes: Int, outLanes: Int, panels: [Int]
  ) {
    for k in 0..<36 {
      let a = PanelA(
        base: v + k * tiles * inLanes, rowStride: 1, kStride: inLanes, taps: 1,
        tapOffsets: zeroOffset, depth: tiles)
      var first = 0
      for width in panels {
        runPanel(
          width: width, rows: depth, a, e + k * tiles * outLanes + first, outLanes,
          sum + k * depth * outLanes + first, outLanes, accumulate: true)
        first += width
      }
    }
  }

  private static func finish(
    _ sum: UnsafePointer<Float>, depth: Int, input: ImageLayout, gradient: ImageLayout,
    dw: UnsafeMutablePointer<Float>
  ) {
    let (inputs, lanes) = (input.seenChannels, gradient.lanes)
    let plane = depth * lanes
    // Which seen channel a lane of the gradient holds, −1 for padding.
    var channel = [Int](repeating: -1, count: lanes)
    for o in 0..<gradient.seenChannels { channel[gradient.lane(of: o)] = o }
    ThreadPool.shared.run(inputs) { i in
      let row = sum + input.lane(of: i) * lanes
      withUnsafeTemporaryAllocation(of: V8.self, capacity: 18) { buffer in
        guard let tmp = buffer.baseAddress else { return }
        for c in Swift.stride(from: 0, to: lanes, by: 8) {
          for j in 0..<6 {
            let p = row + j * plane + c
            let r = weightGradientTransform(
              load8(p), load8(p + 6 * plane), load8(p + 12 * plane), load8(p + 18 * plane),
              load8(p + 24 * plane), load8(p + 30 * plane))
            tmp[j] = r.0
            tmp[6 + j] = r.1
            tmp[12 + j] = r.2
          }
          for y in 0..<3 {
            let s = tmp + 6 * y
            let r = weightGradientTransform(s[0], s[1], s[2], s[3], s[4], s[5])
            for lane in 0..<8 where channel[c + lane] >= 0 {
              let p = dw + ((channel[c + lane] * inputs + i) * 3 + y) * 3
              p[0] = r.0[lane]
              p[1] = r.1[lane]
              p[2] = r.2[lane]
            }
          }
        }
      }
    }
  }
}

/// Into how many partial sums a gradient by weights is cut: a number that depends on the
/// shape alone, so that the sum's order does too.
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
