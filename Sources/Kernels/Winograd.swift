import CVector

/// Winograd convolution of stride 1 (Lavin & Gray, arXiv 1509.09308): F(4×4, 3×3) over tiles
/// of 6×6 inputs, points 0, ±1, ±2, ∞, 36 products where the direct form has 144; and
/// F(4×4, 5×5) over tiles of 8×8, points 0, ±1, ±2, ±½, ∞, 64 where it has 400.
///
/// An image is cut into tasks of a few rows of tiles, a task into batches of tiles, and a batch
/// goes through row by row of the transform: the products of one row find their operands in
/// the first-level cache. Relative error against f64 is about 1e-5 of the output's largest
/// magnitude for either; `ConvolutionTests` measures it.

/// What a transform of one tile makes of one column, eight numbers at most.
private typealias Column = (
  Vector, Vector, Vector, Vector, Vector, Vector, Vector, Vector
)

/// Bᵀ d along one axis, for tiles of six: the first six results count.
@inline(__always) private func inputTransform(
  _ d0: Vector, _ d1: Vector, _ d2: Vector, _ d3: Vector, _ d4: Vector, _ d5: Vector
) -> Column {
  let a = d4 - 4 * d2
  let b = d3 - 4 * d1
  let c = d4 - d2
  let d = 2 * (d3 - d1)
  return (4 * d0 - 5 * d2 + d4, a + b, a - b, c + d, c - d, 4 * d1 - 5 * d3 + d5, d5, d5)
}

/// Bᵀ d along one axis, for tiles of eight.
@inline(__always) private func inputTransform(
  _ d0: Vector, _ d1: Vector, _ d2: Vector, _ d3: Vector, _ d4: Vector, _ d5: Vector, _ d6: Vector,
  _ d7: Vector
) -> Column {
  let (a, b) = (d2 + d6 - 4.25 * d4, d1 + d5 - 4.25 * d3)
  let (c, e) = (d6 + 0.25 * d2 - 1.25 * d4, 0.5 * d1 - 2.5 * d3 + 2 * d5)
  let (f, h) = (d6 + 4 * d2 - 5 * d4, 2 * d1 - 2.5 * d3 + 0.5 * d5)
  return (
    d0 - d6 + 5.25 * (d4 - d2), a + b, a - b, c + e, c - e, f + h, f - h,
    d7 - d1 + 5.25 * (d3 - d5)
  )
}

/// Aᵀ m along one axis, four outputs, of the `tile` numbers at p, p + stride, …
@inline(__always) private func outputTransform(
  _ p: UnsafePointer<Float>, stride: Int, tile: Int
) -> (Vector, Vector, Vector, Vector) {
  let (m1, m2) = (load(p + stride), load(p + 2 * stride))
  let (m3, m4) = (load(p + 3 * stride), load(p + 4 * stride))
  let (s, d, u, v) = (m1 + m2, m1 - m2, m3 + m4, m3 - m4)
  let m5 = load(p + 5 * stride)
  if tile == 6 { return (load(p) + s + u, d + 2 * v, s + 4 * u, d + 8 * v + m5) }
  let m6 = load(p + 6 * stride)
  let (x, y) = (m5 + m6, m5 - m6)
  return (
    load(p) + s + u + x, d + 2 * v + 0.5 * y, s + 4 * u + 0.25 * x,
    d + 8 * v + 0.125 * y + load(p + 7 * stride)
  )
}

/// A g along one axis, of the four numbers at p, p + stride, …: the adjoint of the output
/// transform.
@inline(__always) private func gradientTransform(
  _ p: UnsafePointer<Float>, stride: Int, tile: Int
) -> Column {
  let (g0, g1) = (load(p), load(p + stride))
  let (g2, g3) = (load(p + 2 * stride), load(p + 3 * stride))
  let (a, b) = (g0 + g2, g1 + g3)
  let (r, w) = (g0 + 4 * g2, 2 * g1 + 8 * g3)
  if tile == 6 { return (g0, a + b, a - b, r + w, r - w, g3, g3, g3) }
  let (x, y) = (g0 + 0.25 * g2, 0.5 * g1 + 0.125 * g3)
  return (g0, a + b, a - b, r + w, r - w, x + y, x - y, g3)
}

/// Stores the first `tile` results `stride` floats apart.
@inline(__always) private func store(
  _ r: Column, _ q: UnsafeMutablePointer<Float>, stride: Int, tile: Int
) {
  store(r.0, q)
  store(r.1, q + stride)
  store(r.2, q + 2 * stride)
  store(r.3, q + 3 * stride)
  store(r.4, q + 4 * stride)
  store(r.5, q + 5 * stride)
  if tile == 8 {
    store(r.6, q + 6 * stride)
    store(r.7, q + 7 * stride)
  }
}

/// Inputs of a tile along one axis.
private func tileSize(kernel: Int) -> Int { outputs + kernel - 1 }
/// Outputs of a tile along one axis.
private let outputs = 4

/// G for a kernel of `taps` taps: point p has a row of scale·(1, p, p², …), ∞ the last tap.
private func weightTransform(taps: Int) -> [[Double]] {
  var points: [(point: Double, scale: Double)]
  if taps == 3 {
    points = [(0, 0.25), (1, -1.0 / 6), (-1, -1.0 / 6), (2, 1.0 / 24), (-2, 1.0 / 24)]
  } else {
    points = [(0, 1), (1, -2.0 / 9), (-1, -2.0 / 9), (2, 1.0 / 90), (-2, 1.0 / 90)]
    points += [(0.5, 32.0 / 45), (-0.5, 32.0 / 45)]
  }
  return points.map { p in
    var power = p.scale
    return (0..<taps).map { _ in
      defer { power *= p.point }
      return power
    }
  } + [(0..<taps).map { $0 == taps - 1 ? 1 : 0 }]
}

/// How an image of output pixels is cut: by its shape alone.
private struct TileGrid {
  let n: Int, height: Int, width: Int
  /// What a tile has in inputs beyond its outputs, along one axis.
  let border: Int
  let tilesX: Int, tilesY: Int
  /// Tile columns of a task, tile rows of a batch, batches of a task. `batch` tiles are a
  /// batch: few enough that a row of their transforms fits the first-level cache, more for
  /// gradients by weights, whose sums pass through it too.
  let columns: Int, batchRows: Int, batches: Int
  let blocksX: Int, blocksY: Int

  init(n: Int, height: Int, width: Int, kernel: Int, batch: Int, batches most: Int) {
    (self.n, self.height, self.width) = (n, height, width)
    border = kernel - 1
    tilesX = (width + outputs - 1) / outputs
    tilesY = (height + outputs - 1) / outputs
    let pieces = (tilesX + batch - 1) / batch
    columns = (tilesX + pieces - 1) / pieces
    batchRows = min(max(1, batch / columns), tilesY)
    blocksX = pieces
    // Taller tasks recompute less of a computed input; short images still want tasks.
    var batches = most
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

  /// Task number `index`: image, first tile row and column, tile rows and columns.
  func task(_ index: Int) -> (n: Int, ty: Int, tx: Int, rows: Int, columns: Int) {
    let (image, rest) = (index / (blocksX * blocksY), index % (blocksX * blocksY))
    let (ty, tx) = (rest / blocksX * batches * batchRows, rest % blocksX * columns)
    return (image, ty, tx, min(batches * batchRows, tilesY - ty), min(columns, tilesX - tx))
  }
}

/// Pixels as a task reads them, lanes together: where they lie, or packed as far as needed.
private struct Region {
  let image: ImageOperand
  let n: Int, y: Int, rows: Int, x: Int, columns: Int
  private let pixels: UnsafePointer<Float>
  private let packed: UnsafeMutablePointer<Float>?
  /// Rows that are there.
  private var filled = 0
  /// Floats from row to row.
  let pitch: Int

  init(
    _ image: ImageOperand, n: Int, y: Int, rows: Int, x: Int, columns: Int, _ scratch: Scratch
  ) {
    self.image = image
    (self.n, self.y, self.rows, self.x, self.columns) = (n, y, rows, x, columns)
    if let (pixels, pitch) = image.inPlace(n: n, y0: y, rows: rows, x0: x, columns: columns) {
      (self.pixels, self.pitch, packed) = (pixels, pitch, nil)
      return
    }
    pitch = columns * image.layout.lanes
    let packed = scratch.floats(rows * pitch)
    self.packed = packed
    pixels = UnsafePointer(packed)
  }

  /// Makes sure that the rows before `end` are there.
  mutating func fill(to end: Int) {
    guard let packed, end > filled else { return }
    image.pack(
      n: n, y0: y + filled, rows: end - filled, x0: x, columns: columns,
      into: packed + filled * pitch)
    filled = end
  }

  func row(_ y: Int) -> UnsafePointer<Float> { pixels + y * pitch }

  /// What the rows `range` will be read from.
  func stretches(_ range: Range<Int>, _ body: (UnsafePointer<Float>, Int) -> Void) {
    for row in range.clamped(to: 0..<rows) {
      image.forEachStretch(n: n, y: y + row, x0: x, columns: columns, body)
    }
  }
}

/// Memory that the next batch will read, fetched little by little while this one computes.
private struct Ahead {
  private static let most = 96
  private let first: UnsafeMutablePointer<UnsafePointer<Float>>
  private let lines: UnsafeMutablePointer<Int>
  private var count = 0

  init(_ scratch: Scratch) {
    first = scratch.take(Ahead.most, of: UnsafePointer<Float>.self)
    lines = scratch.take(Ahead.most, of: Int.self)
  }

  mutating func set(_ regions: (Region, Range<Int>)...) {
    var n = 0
    for (region, rows) in regions {
      region.stretches(rows) { p, floats in
        guard n < Ahead.most else { return }
        first[n] = p
        lines[n] = floats / 16
        n += 1
      }
    }
    count = n
  }

  /// Part `k` of `parts`.
  @inline(__always) func fetch(_ k: Int, of parts: Int) {
    for s in 0..<count {
      for line in (lines[s] * k / parts)..<(lines[s] * (k + 1) / parts) {
        lunerv_prefetch(first[s] + 16 * line)
      }
    }
  }
}

/// Calls `body` for every vector of `count` floats, `count` a multiple of eight; the last
/// may overlap the one before. At least one vector's worth of memory lies behind each side.
@inline(__always) private func forEachVector(_ count: Int, _ body: (Int) -> Void) {
  var i = 0
  while i + vectorWidth <= count {
    body(i)
    i += vectorWidth
  }
  if i < count { body(max(0, count - vectorWidth)) }
}

enum Winograd {
  /// Kernel sizes there is a form for.
  static func serves(kernel: Int) -> Bool { kernel == 3 || kernel == 5 }

  /// Floats of transformed weights: [tile²][panel][depth][panel width].
  static func weightCount(kernel: Int, input: ImageLayout, output: ImageLayout) -> Int {
    let tile = tileSize(kernel: kernel)
    return tile * tile * input.depth * roundUp(output.lanes, vectorWidth)
  }

  static func transformWeights(
    _ w: WeightView, input: ImageLayout, output: ImageLayout, into u: UnsafeMutablePointer<Float>
  ) {
    let (depth, lanes) = (input.depth, roundUp(output.lanes, vectorWidth))
    let (matrix, taps) = (depth * lanes, w.kh)
    let tile = tileSize(kernel: taps)
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
    let g = weightTransform(taps: taps).flatMap { $0 }
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
              let rows = threeTaps(
                SIMD3(kernel[0], kernel[1], kernel[2]), SIMD3(kernel[3], kernel[4], kernel[5]),
                SIMD3(kernel[6], kernel[7], kernel[8]))
              for i in 0..<6 {
                let v = rows[i]
                let r = threeTaps(v.x, v.y, v.z)
                for j in 0..<6 { base[(6 * i + j) * matrix] = Float(r[j]) }
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

  /// G k for three taps, written out: most weights are transformed by it twice a step.
  @inline(__always) private static func threeTaps(
    _ a: SIMD3<Double>, _ b: SIMD3<Double>, _ c: SIMD3<Double>
  ) -> InlineArray<6, SIMD3<Double>> {
    let (even, odd) = ((a + c) * (1.0 / 6), b * (1.0 / 6))
    let (far, half) = ((a + 4 * c) * (1.0 / 24), b * (1.0 / 12))
    return [a * 0.25, -even - odd, odd - even, far + half, far - half, c]
  }

  @inline(__always) private static func threeTaps(_ a: Double, _ b: Double, _ c: Double)
    -> InlineArray<6, Double>
  {
    let (even, odd) = ((a + c) * (1.0 / 6), b * (1.0 / 6))
    let (far, half) = ((a + 4 * c) * (1.0 / 24), b * (1.0 / 12))
    return [a * 0.25, -even - odd, odd - even, far + half, far - half, c]
  }

  // MARK: - Transforms of a batch

  /// Along y: `tile` rows of `count` floats each, row i at `lines + i·pitch`, from as many
  /// rows of pixels.
  @inline(never) private static func transformRows(
    _ p0: UnsafePointer<Float>, rowPitch s: Int, tile: Int, count: Int,
    into lines: UnsafeMutablePointer<Float>, pitch: Int
  ) {
    if tile == 6 {
      forEachVector(count) { i in
        let p = p0 + i
        let r = inputTransform(
          load(p), load(p + s), load(p + 2 * s), load(p + 3 * s), load(p + 4 * s),
          load(p + 5 * s))
        store(r, lines + i, stride: pitch, tile: 6)
      }
    } else {
      forEachVector(count) { i in
        let p = p0 + i
        let r = inputTransform(
          load(p), load(p + s), load(p + 2 * s), load(p + 3 * s), load(p + 4 * s),
          load(p + 5 * s), load(p + 6 * s), load(p + 7 * s))
        store(r, lines + i, stride: pitch, tile: 8)
      }
    }
  }

  /// Along x: V[tile][tiles][vLanes] of one line. `vLanes` is `lanes` in whole vectors: what
  /// lies beyond `lanes` belongs to the next pixel, and no product uses it.
  @inline(never) private static func transformColumns(
    _ line: UnsafePointer<Float>, tile: Int, lanes: Int, columns: Int,
    into v: UnsafeMutablePointer<Float>, plane: Int
  ) {
    let vLanes = roundUp(lanes, vectorWidth)
    for t in 0..<columns {
      for c in stride(from: 0, to: lanes, by: vectorWidth) {
        let p = line + outputs * t * lanes + c
        let q = v + t * vLanes + c
        if tile == 6 {
          let r = inputTransform(
            load(p), load(p + lanes), load(p + 2 * lanes), load(p + 3 * lanes),
            load(p + 4 * lanes), load(p + 5 * lanes))
          store(r, q, stride: plane, tile: 6)
        } else {
          let r = inputTransform(
            load(p), load(p + lanes), load(p + 2 * lanes), load(p + 3 * lanes),
            load(p + 4 * lanes), load(p + 5 * lanes), load(p + 6 * lanes), load(p + 7 * lanes))
          store(r, q, stride: plane, tile: 8)
        }
      }
    }
  }

  /// Both transforms of an input's batch, the second left to the caller row by row.
  private struct Lines {
    let memory: UnsafeMutablePointer<Float>
    /// Floats of one line, and of the lines of all tile rows.
    let line: Int, pitch: Int

    init(tile: Int, columns: Int, lanes: Int, batchRows: Int, _ scratch: Scratch) {
      line = roundUp(columns * lanes + vectorWidth, 16)
      pitch = line * batchRows
      memory = scratch.floats(tile * pitch)
    }

    func line(_ i: Int, tileRow: Int) -> UnsafeMutablePointer<Float> {
      memory + i * pitch + tileRow * line
    }
  }

  // MARK: - Forward

  /// Forward (or, with transposed weights, gradient by data); `u` holds the transformed
  /// weights.
  static func forward(
    _ input: ImageOperand, transformed u: UnsafePointer<Float>, kernel: Int,
    bias: UnsafePointer<Float>?, padding: Int, _ output: ImageTarget
  ) {
    let (depth, inLanes, outLanes) = (
      input.layout.depth, input.layout.lanes, output.layout.lanes
    )
    let (vLanes, mLanes) = (roundUp(inLanes, vectorWidth), roundUp(outLanes, vectorWidth))
    let grid = TileGrid(
      n: input.layout.n, height: output.layout.seenHeight, width: output.layout.seenWidth,
      kernel: kernel, batch: 16, batches: 8)
    let border = grid.border
    let tile = tileSize(kernel: kernel)
    let panels = panelWidths(lanes: outLanes)
    let widest = panels.max() ?? vectorWidth
    let offsets = output.layout.laneOffsets()
    let streaming = !output.layout.planar && streams(output.layout.count)
    withScratch { scratch in
      let lanesBias = scratch.floats(mLanes)
      laneBias(bias, layout: output.layout, into: lanesBias)
      offsets.withUnsafeBufferPointer { offsets in
        guard let offsets = offsets.baseAddress else { return }
        ThreadPool.shared.run(grid.tasks) { index in
          let task = grid.task(index)
          let columns = task.columns
          withScratch { scratch in
            var region = Region(
              input, n: task.n, y: outputs * task.ty - padding, rows: outputs * task.rows + border,
              x: outputs * task.tx - padding, columns: outputs * columns + border, scratch)
            let lines = Lines(
              tile: tile, columns: outputs * columns + border, lanes: inLanes,
              batchRows: grid.batchRows, scratch)
            let v = scratch.floats(tile * grid.batchTiles * vLanes)
            let m = scratch.floats(tile * grid.batchTiles * widest)
            // Transformed back along x: [tile][outputs][tiles][mLanes].
            let half = scratch.floats(tile * outputs * grid.batchTiles * mLanes)
            var ahead = Ahead(scratch)
            for batch in stride(from: 0, to: task.rows, by: grid.batchRows) {
              let batchRows = min(grid.batchRows, task.rows - batch)
              let tiles = roundUp(columns * batchRows, 4)
              let end = outputs * (batch + batchRows) + border
              region.fill(to: end)
              ahead.set((region, end..<(end + outputs * grid.batchRows)))
              for y in 0..<batchRows {
                transformRows(
                  region.row(outputs * (batch + y)), rowPitch: region.pitch, tile: tile,
                  count: (outputs * columns + border) * inLanes, into: lines.line(0, tileRow: y),
                  pitch: lines.pitch)
              }
              for i in 0..<tile {
                for y in 0..<batchRows {
                  transformColumns(
                    lines.line(i, tileRow: y), tile: tile, lanes: inLanes, columns: columns,
                    into: v + y * columns * vLanes, plane: tiles * vLanes)
                }
                var first = 0
                for width in panels {
                  for j in 0..<tile {
                    let a = PanelA(
                      base: v + j * tiles * vLanes, rowStride: vLanes, kStride: 1, taps: 1,
                      tapOffsets: zeroOffset, depth: depth)
                    runPanel(
                      width: width, rows: tiles, a, u + ((tile * i + j) * mLanes + first) * depth,
                      width, m + j * tiles * width, width, accumulate: false)
                    if first == 0 { ahead.fetch(tile * i + j, of: tile * tile) }
                  }
                  outputColumns(
                    m, width: width, tiles: tiles, tile: tile,
                    into: half + i * outputs * tiles * mLanes + first, lanes: mLanes)
                  first += width
                }
              }
              for t in 0..<columns * batchRows {
                storeTile(
                  half + t * mLanes, plane: tiles * mLanes, tile: tile, output, n: task.n,
                  y: outputs * (task.ty + batch + t / columns),
                  x: outputs * (task.tx + t % columns), bias: lanesBias, laneOffsets: offsets,
                  streaming: streaming)
              }
            }
          }
          finishStreaming(streaming)
        }
      }
    }
  }

  /// Back along x: [outputs][tiles][lanes] from the products of one row, [tile][tiles][width].
  @inline(never) private static func outputColumns(
    _ m: UnsafePointer<Float>, width: Int, tiles: Int, tile: Int,
    into half: UnsafeMutablePointer<Float>, lanes: Int
  ) {
    let (from, to) = (tiles * width, tiles * lanes)
    withTile(tile) { tile in
      for t in 0..<tiles {
        for c in stride(from: 0, to: width, by: vectorWidth) {
          let r = outputTransform(m + t * width + c, stride: from, tile: tile)
          let q = half + t * lanes + c
          store(r.0, q)
          store(r.1, q + to)
          store(r.2, q + 2 * to)
          store(r.3, q + 3 * to)
        }
      }
    }
  }

  /// Calls `body` with a constant, so that each size of tile has code of its own.
  @inline(__always) private static func withTile(_ tile: Int, _ body: (Int) -> Void) {
    if tile == 6 { body(6) } else { body(8) }
  }

  /// Back along y, bias added, to the image. `half` is [tile][outputs] planes of one tile's
  /// lanes.
  private static func storeTile(
    _ half: UnsafePointer<Float>, plane: Int, tile: Int, _ output: ImageTarget, n: Int, y: Int,
    x: Int, bias: UnsafePointer<Float>, laneOffsets: UnsafePointer<Int>, streaming: Bool
  ) {
    let layout = output.layout
    let rows = min(outputs, layout.seenHeight - y), columns = min(outputs, layout.seenWidth - x)
    let s = layout.shuffle
    let rowStride = s * layout.width * layout.paddedChannels
    let columnStride = s * layout.paddedChannels
    let next = outputs * plane
    let pixel = output.pixel(n: n, y: y, x: x)
    withTile(tile) { tile in
      // Pixel by pixel, so that each row of the image is written in order.
      for j in 0..<columns {
        for c in stride(from: 0, to: layout.lanes, by: vectorWidth) {
          var r = outputTransform(half + j * plane + c, stride: next, tile: tile)
          let b = load(bias + c)
          r = (r.0 + b, r.1 + b, r.2 + b, r.3 + b)
          let eights = min(vectorWidth, layout.lanes - c) / 8
          if layout.planar {
            storePlanar(
              r, output, n: n, y: y, x: x + j, rows: rows, lane: c, lanes: 8 * eights)
            continue
          }
          for e in 0..<eights {
            let q = pixel + laneOffsets[c / 8 + e] + j * columnStride
            store8(eight(r.0, e), q, streaming: streaming)
            if rows > 1 { store8(eight(r.1, e), q + rowStride, streaming: streaming) }
            if rows > 2 { store8(eight(r.2, e), q + 2 * rowStride, streaming: streaming) }
            if rows > 3 { store8(eight(r.3, e), q + 3 * rowStride, streaming: streaming) }
          }
        }
      }
    }
  }

  @inline(never) private static func storePlanar(
    _ r: (Vector, Vector, Vector, Vector), _ output: ImageTarget, n: Int, y: Int, x: Int,
    rows: Int, lane: Int, lanes: Int
  ) {
    let layout = output.layout
    let (s, cp) = (layout.shuffle, layout.paddedChannels)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 4 * vectorWidth) { buffer in
      guard let values = buffer.baseAddress else { return }
      store(r.0, values)
      store(r.1, values + vectorWidth)
      store(r.2, values + 2 * vectorWidth)
      store(r.3, values + 3 * vectorWidth)
      var l = 0
      while l < lanes {
        let (group, channel) = ((lane + l) / cp, (lane + l) % cp)
        // The rest of this group is padding.
        guard channel < layout.channels else {
          l += cp - channel
          continue
        }
        let column =
          output.memory
          + ((n * layout.channels + channel) * layout.height + y * s + group / s) * layout.width
          + x * s + group % s
        for i in 0..<rows { column[i * s * layout.width] = values[i * vectorWidth + l] }
        l += 1
      }
    }
  }

  // MARK: - Gradient by weights

  /// dW[o][i][k][k] (and, when asked, db[o]) of a convolution of `input` whose output's
  /// gradient is `gradient`. Overwrites its outputs.
  static func weightGradient(
    _ input: ImageOperand, gradient: ImageOperand, kernel: Int, padding: Int,
    dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    let (inLanes, outLanes) = (input.layout.lanes, gradient.layout.lanes)
    let (vLanes, eLanes) = (roundUp(inLanes, vectorWidth), roundUp(outLanes, vectorWidth))
    let depth = roundUp(input.layout.depth, 4)
    let grid = TileGrid(
      n: input.layout.n, height: gradient.layout.seenHeight, width: gradient.layout.seenWidth,
      kernel: kernel, batch: 24, batches: 4)
    let border = grid.border
    let tile = tileSize(kernel: kernel)
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
              x: outputs * task.tx - padding, columns: outputs * columns + border, scratch)
            var gRegion = Region(
              gradient, n: task.n, y: outputs * task.ty, rows: outputs * task.rows,
              x: outputs * task.tx, columns: outputs * columns, scratch)
            let lines = Lines(
              tile: tile, columns: outputs * columns + border, lanes: inLanes,
              batchRows: grid.batchRows, scratch)
            let gLines = Lines(
              tile: tile, columns: outputs * columns, lanes: outLanes, batchRows: grid.batchRows,
              scratch)
            let v = scratch.floats(tile * grid.batchTiles * vLanes)
            let e = scratch.floats(tile * grid.batchTiles * eLanes)
            var ahead = Ahead(scratch)
            for batch in stride(from: 0, to: task.rows, by: grid.batchRows) {
              let batchRows = min(grid.batchRows, task.rows - batch)
              let tiles = columns * batchRows
              let end = outputs * (batch + batchRows), next = outputs * grid.batchRows
              region.fill(to: end + border)
              gRegion.fill(to: end)
              ahead.set(
                (region, (end + border)..<(end + border + next)), (gRegion, end..<(end + next)))
              for y in 0..<batchRows {
                transformRows(
                  region.row(outputs * (batch + y)), rowPitch: region.pitch, tile: tile,
                  count: (outputs * columns + border) * inLanes, into: lines.line(0, tileRow: y),
                  pitch: lines.pitch)
                gradientRows(
                  gRegion.row(outputs * (batch + y)), rowPitch: gRegion.pitch, tile: tile,
                  count: outputs * columns * outLanes, into: gLines.line(0, tileRow: y),
                  pitch: gLines.pitch)
              }
              for i in 0..<tile {
                for y in 0..<batchRows {
                  transformColumns(
                    lines.line(i, tileRow: y), tile: tile, lanes: inLanes, columns: columns,
                    into: v + y * columns * vLanes, plane: tiles * vLanes)
                  gradientColumns(
                    gLines.line(i, tileRow: y), tile: tile, lanes: outLanes, columns: columns,
                    into: e + y * columns * eLanes, plane: tiles * eLanes)
                }
                // Entry (1, 1) of a transformed tile is the sum of its gradients.
                if i == 1 { addRows(e + tiles * eLanes, rows: tiles, lanes: eLanes, to: bias) }
                for j in 0..<tile {
                  let a = PanelA(
                    base: v + j * tiles * vLanes, rowStride: 1, kStride: vLanes, taps: 1,
                    tapOffsets: zeroOffset, depth: tiles)
                  ahead.fetch(tile * i + j, of: tile * tile)
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
        sums, taps: kernel, depth: depth, input: input.layout, gradient: gradient.layout, dw: dw)
      if let db {
        reduce(biases, parts: parts, count: eLanes)
        for o in 0..<gradient.layout.seenChannels { db[o] = biases[gradient.layout.lane(of: o)] }
      }
    }
  }

  @inline(never) private static func gradientRows(
    _ p: UnsafePointer<Float>, rowPitch: Int, tile: Int, count: Int,
    into lines: UnsafeMutablePointer<Float>, pitch: Int
  ) {
    withTile(tile) { tile in
      forEachVector(count) { i in
        store(
          gradientTransform(p + i, stride: rowPitch, tile: tile), lines + i, stride: pitch,
          tile: tile)
      }
    }
  }

  @inline(never) private static func gradientColumns(
    _ line: UnsafePointer<Float>, tile: Int, lanes: Int, columns: Int,
    into e: UnsafeMutablePointer<Float>, plane: Int
  ) {
    let eLanes = roundUp(lanes, vectorWidth)
    withTile(tile) { tile in
      for t in 0..<columns {
        for c in stride(from: 0, to: lanes, by: vectorWidth) {
          store(
            gradientTransform(line + outputs * t * lanes + c, stride: lanes, tile: tile),
            e + t * eLanes + c, stride: plane, tile: tile)
        }
      }
    }
  }

  private static func addRows(
    _ e: UnsafePointer<Float>, rows: Int, lanes: Int, to sum: UnsafeMutablePointer<Float>
  ) {
    for c in stride(from: 0, to: lanes, by: vectorWidth) {
      var total = Vector.zero
      for r in 0..<rows { total += load(e + r * lanes + c) }
      store(load(sum + c) + total, sum + c)
    }
  }

  /// Gᵀ M G of the sums: back to the kernel's taps.
  private static func finish(
    _ sum: UnsafePointer<Float>, taps: Int, depth: Int, input: ImageLayout,
    gradient: ImageLayout, dw: UnsafeMutablePointer<Float>
  ) {
    let (inputs, lanes) = (input.seenChannels, roundUp(gradient.lanes, vectorWidth))
    let plane = depth * lanes
    let tile = tileSize(kernel: taps)
    let g = weightTransform(taps: taps).map { $0.map(Float.init) }
    // Which seen channel a lane of the gradient holds, −1 for padding.
    var channel = [Int](repeating: -1, count: lanes)
    for o in 0..<gradient.seenChannels { channel[gradient.lane(of: o)] = o }
    ThreadPool.shared.run(inputs) { i in
      let row = sum + input.lane(of: i) * lanes
      withUnsafeTemporaryAllocation(of: Vector.self, capacity: tile * taps) { buffer in
        guard let tmp = buffer.baseAddress else { return }
        for c in Swift.stride(from: 0, to: lanes, by: vectorWidth) {
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
