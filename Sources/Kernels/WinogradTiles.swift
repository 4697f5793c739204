import CVector

/// How an image of output pixels is split: by its shape alone.
struct TileGrid {
  let n: Int, height: Int, width: Int
  let tilesX: Int, tilesY: Int
  /// Tile columns per task, tile rows per batch, batches per task. A batch has at most `batch`
  /// tiles, so that a row of their transforms fits in the first-level cache. Weight gradients take
  /// more: they read and write all their sums once per batch.
  let columns: Int, batchRows: Int, batches: Int
  let blocksX: Int, blocksY: Int

  init(n: Int, height: Int, width: Int, form: WinogradForm, batch: Int, batches most: Int) {
    (self.n, self.height, self.width) = (n, height, width)
    tilesX = (width + form.outputs - 1) / form.outputs
    tilesY = (height + form.outputs - 1) / form.outputs
    let pieces = (tilesX + batch - 1) / batch
    columns = (tilesX + pieces - 1) / pieces
    batchRows = min(max(1, batch / columns), tilesY)
    blocksX = pieces
    // Taller tasks recompute less of a computed input; short images still need enough tasks.
    var batches = most
    while batches > 1,
      blocksX * n * ((tilesY + batches * batchRows - 1) / (batches * batchRows)) < 32
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

/// Pixels as a task reads them, lanes together, row by row: in place, or packed into a window of
/// rows that stays in the second-level cache while it moves down the task.
struct Region {
  let image: ImageOperand
  let n: Int, y: Int, rows: Int, x: Int, columns: Int
  private let pixels: UnsafePointer<Float>
  private let window: UnsafeMutablePointer<Float>?
  /// The window's capacity in rows, its first row, and the end of the packed ones.
  private let capacity: Int
  private var top = 0, filled = 0
  /// Floats from row to row.
  let pitch: Int

  /// - Parameter span: how many rows are needed at once.
  init(
    _ image: ImageOperand, n: Int, y: Int, rows: Int, x: Int, columns: Int, span: Int,
    _ scratch: Scratch
  ) {
    self.image = image
    (self.n, self.y, self.rows, self.x, self.columns) = (n, y, rows, x, columns)
    // Twice the span: the rows still needed move to the top every other time.
    capacity = min(rows, 2 * span)
    if let (pixels, pitch) = image.inPlace(n: n, y0: y, rows: rows, x0: x, columns: columns) {
      (self.pixels, self.pitch, window) = (pixels, pitch, nil)
      return
    }
    pitch = columns * image.layout.lanes
    let window = scratch.floats(capacity * pitch)
    self.window = window
    pixels = UnsafePointer(window)
  }

  /// Makes sure that the rows `wanted` are packed; earlier ones are dropped.
  mutating func fill(_ wanted: Range<Int>) {
    guard let window, wanted.upperBound > filled else { return }
    if wanted.upperBound - top > capacity {
      window.update(
        from: window + (wanted.lowerBound - top) * pitch,
        count: max(filled - wanted.lowerBound, 0) * pitch)
      top = wanted.lowerBound
    }
    image.pack(
      n: n, y0: y + filled, rows: wanted.upperBound - filled, x0: x, columns: columns,
      into: window + (filled - top) * pitch)
    filled = wanted.upperBound
  }

  func row(_ y: Int) -> UnsafePointer<Float> { pixels + (y - top) * pitch }

  /// The memory that the rows `range` will be read from.
  func stretches(_ range: Range<Int>, _ body: (UnsafePointer<Float>, Int) -> Void) {
    for row in range.clamped(to: 0..<rows) {
      image.forEachStretch(n: n, y: y + row, x0: x, columns: columns, body)
    }
  }
}

/// Memory that the next batch will read, prefetched bit by bit while this one computes.
struct Prefetcher {
  private static let most = 96
  private let first: UnsafeMutablePointer<UnsafePointer<Float>>
  private let lines: UnsafeMutablePointer<Int>
  private var count = 0

  init(_ scratch: Scratch) {
    first = scratch.take(Prefetcher.most, of: UnsafePointer<Float>.self)
    lines = scratch.take(Prefetcher.most, of: Int.self)
  }

  mutating func set(_ regions: (Region, Range<Int>)...) {
    var n = 0
    for (region, rows) in regions {
      region.stretches(rows) { p, floats in
        guard n < Prefetcher.most else { return }
        first[n] = p
        lines[n] = floats / 16
        n += 1
      }
    }
    count = n
  }

  /// Part `k` of `parts`.
  @inline(__always) func fetch(_ k: Int, of parts: Int) {
    // One division instead of two per range.
    let (from, to) = ((k << 20) / parts, k + 1 == parts ? 1 << 20 : ((k + 1) << 20) / parts)
    for s in 0..<count {
      for line in ((lines[s] * from) >> 20)..<((lines[s] * to) >> 20) {
        lunerv_prefetch(first[s] + 16 * line)
      }
    }
  }
}

/// Calls `body` for every vector of `count` floats, `count` a multiple of eight; the last may
/// overlap the previous one. Each side has at least one vector's worth of memory after its end.
@inline(__always) func forEachVector(_ count: Int, _ body: (Int) -> Void) {
  var i = 0
  while i + vectorWidth <= count {
    body(i)
    i += vectorWidth
  }
  if i < count { body(max(0, count - vectorWidth)) }
}

// MARK: - Transforms of a batch

/// The lines of a batch, transformed along y. The caller transforms them along x, one by one.
struct Lines {
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

extension WinogradForm {
  /// Along y: `tile` rows of `count` floats each, row i at `lines + i·pitch`, from the pixels of
  /// a row of tiles.
  @inline(never) func rows(
    _ side: Side, _ p: UnsafePointer<Float>, rowPitch: Int, count: Int,
    into lines: UnsafeMutablePointer<Float>, pitch: Int
  ) {
    specialised(side) { form, side in
      forEachVector(count) { i in
        store(
          form.column(side, p + i, stride: rowPitch), count: form.tile, lines + i, stride: pitch)
      }
    }
  }

  /// Along x: V[tile][tiles][vLanes] of one line. `vLanes` is `lanes` rounded up to whole vectors:
  /// the surplus belongs to the next pixel, and no product uses it.
  @inline(never) func columns(
    _ side: Side, _ line: UnsafePointer<Float>, lanes: Int, columns: Int,
    into v: UnsafeMutablePointer<Float>, plane: Int
  ) {
    let vLanes = roundUp(lanes, vectorWidth)
    specialised(side) { form, side in
      for t in 0..<columns {
        forEachVectorOfLanes(lanes) { c in
          store(
            form.column(side, line + form.outputs * t * lanes + c, stride: lanes),
            count: form.tile, v + t * vLanes + c, stride: plane)
        }
      }
    }
  }

  /// Back along x: for each tile one row, [outputs][lanes], from the products [tile][tiles][width];
  /// all rows of a tile are stored together.
  @inline(never) func outputColumns(
    _ m: UnsafePointer<Float>, width: Int, tiles: Int, into half: UnsafeMutablePointer<Float>,
    lanes: Int
  ) {
    specialised { form in
      for t in 0..<tiles {
        forEachVectorOfLanes(width) { c in
          store(
            form.output(m + t * width + c, stride: tiles * width), count: form.outputs,
            half + t * form.tile * form.outputs * lanes + c, stride: lanes)
        }
      }
    }
  }
}
