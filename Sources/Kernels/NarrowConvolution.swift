/// Convolution of stride 1 to few outputs, as in the head of a decoder. Other algorithms would use
/// only three of a vector's lanes. The error is that of a plain fp32 dot product.
///
/// A block of the image is processed row by row, keeping as many rows as the kernel has:
/// - forward, the taps of all outputs are one product of a row's pixels with a matrix of outputs ×
///   taps columns (at most ``mostColumns``). Its results are summed where they belong;
/// - backward, the gradient's pixels are stored without padding, so that the part seen by one row
///   of the kernel is one range of memory, and products read it in place.
enum NarrowConvolution {
  static let mostColumns = 32

  /// Blocks of pixels, determined by the shape alone.
  private struct Blocks {
    let n: Int, height: Int, width: Int
    private let rows: Int, columns: Int, down: Int, across: Int

    init(_ layout: ImageLayout) {
      (n, height, width) = (layout.n, layout.seenHeight, layout.seenWidth)
      across = max(1, (width + 127) / 128)
      columns = (width + across - 1) / across
      // Tall blocks pack fewer rows twice; small images still need blocks for every thread.
      rows = max(1, min(32, (height * across + 15) / 16))
      down = (height + rows - 1) / rows
    }

    var count: Int { n * down * across }

    /// Block number `index`: image, first row and column, rows and columns.
    func block(_ index: Int) -> (n: Int, y: Int, x: Int, rows: Int, columns: Int) {
      let (y, x) = (index / across % down * rows, index % across * columns)
      return (
        index / (down * across), y, x, max(0, min(rows, height - y)),
        max(0, min(columns, width - x))
      )
    }
  }

  /// The last `count` rows of an image of few channels, pixels without padding between them.
  private struct CompactRows {
    let image: ImageOperand
    let n: Int, x: Int, columns: Int, count: Int
    let pitch: Int
    private let memory: UnsafeMutablePointer<Float>
    private let lane: UnsafeMutablePointer<Int>
    private let packed: UnsafeMutablePointer<Float>

    /// Up to `slack` floats after each row may be read.
    init(
      _ image: ImageOperand, n: Int, x: Int, columns: Int, count: Int, slack: Int,
      _ scratch: Scratch
    ) {
      (self.image, self.n, self.x, self.columns, self.count) = (image, n, x, columns, count)
      let channels = image.layout.seenChannels
      pitch = roundUp(columns * channels + slack, vectorWidth)
      memory = scratch.floats(count * pitch)
      memory.update(repeating: 0, count: count * pitch)
      lane = scratch.take(channels, of: Int.self)
      for c in 0..<channels { lane[c] = image.layout.lane(of: c) }
      packed = scratch.floats(columns * image.layout.lanes)
    }

    /// The offset of row y, which may be as low as −count.
    func offset(_ y: Int) -> Int { (y + count) % count * pitch }
    func row(_ y: Int) -> UnsafePointer<Float> { UnsafePointer(memory) + offset(y) }
    var base: UnsafePointer<Float> { UnsafePointer(memory) }

    /// Replaces row y − count by row y.
    func fill(_ y: Int, of other: Int? = nil) {
      let n = other ?? n
      let (channels, lanes) = (image.layout.seenChannels, image.layout.lanes)
      let out = memory + offset(y)
      if image.layout.planar, image.layout.shuffle == 1 {
        let (from, to) = (max(x, 0), min(x + columns, image.layout.width))
        guard from < to, y >= 0, y < image.layout.height else {
          out.update(repeating: 0, count: columns * channels)
          return
        }
        for c in 0..<channels {
          let row = image.planarRow(n: n, channel: c, y: y, x: from, count: to - from, packed)
          let first = out + (from - x) * channels + c
          for i in 0..<(to - from) { first[i * channels] = row[i] }
        }
        return
      }
      image.pack(n: n, y0: y, rows: 1, x0: x, columns: columns, into: packed)
      for x in 0..<columns {
        for c in 0..<channels { out[x * channels + c] = packed[x * lanes + lane[c]] }
      }
    }
  }

  // MARK: - Forward

  static func forward(
    _ input: ImageOperand, weights: WeightView, bias: UnsafePointer<Float>?, padY: Int,
    padX: Int, _ output: ImageTarget
  ) {
    let (kh, kw, outputs) = (weights.kh, weights.kw, weights.outputs)
    let (depth, lanes) = (input.layout.depth, input.layout.lanes)
    let layout = output.layout
    let panels = panelWidths(lanes: mostColumns)
    let blocks = Blocks(layout)
    withScratch { scratch in
      // [panel][depth][panel width], columns ordered (ky, kx, output).
      let packed = scratch.floats(depth * mostColumns)
      packed.update(repeating: 0, count: depth * mostColumns)
      var first = 0
      for width in panels {
        for at in first..<max(first, min(first + width, kh * kw * outputs)) {
          let (tap, o) = (at / outputs, at % outputs)
          for from in 0..<weights.inputs {
            packed[first * depth + input.layout.lane(of: from) * width + at - first] =
              weights.at(from: from, to: o, tap / kw, tap % kw)
          }
        }
        first += width
      }
      let sums = Sums(output, bias: bias, kh: kh, kw: kw, outputs: outputs, scratch)
      ThreadPool.shared.run(blocks.count) { index in
        let block = blocks.block(index)
        guard block.rows > 0, block.columns > 0 else { return }
        withScratch { scratch in
          let regionColumns = block.columns + kw - 1
          let pixels = roundUp(regionColumns, 4)
          let line = scratch.floats(pixels * lanes)
          let pitch = pixels * mostColumns
          let products = scratch.floats(kh * pitch + 8)
          let corners = scratch.take(kh, of: UnsafePointer<Float>.self)
          let lanesOf = scratch.floats(layout.lanes)
          lanesOf.update(repeating: 0, count: layout.lanes)
          let a = PanelA(
            base: line, rowStride: lanes, kStride: 1, taps: 1, tapOffsets: zeroOffset,
            depth: depth)
          for r in 0..<block.rows + kh - 1 {
            input.pack(
              n: block.n, y0: block.y - padY + r, rows: 1, x0: block.x - padX,
              columns: regionColumns, into: line)
            var first = 0
            for width in panels {
              runPanel(
                width: width, rows: pixels, a, packed + first * depth, width,
                products + r % kh * pitch + first, mostColumns, accumulate: false)
              first += width
            }
            guard r >= kh - 1 else { continue }
            let y = r - kh + 1
            for ky in 0..<kh {
              corners[ky] = UnsafePointer(products) + (y + ky) % kh * pitch + ky * kw * outputs
            }
            sums.store(
              corners, n: block.n, y: block.y + y, x: block.x, columns: block.columns, lanesOf)
          }
        }
      }
    }
  }

  /// Sums the products of all taps, and stores them.
  private struct Sums {
    private let output: ImageTarget
    private let kh: Int, kw: Int, outputs: Int
    private let bias: UnsafeMutablePointer<Float>
    private let offsets: UnsafeMutablePointer<Int>
    private let lane: UnsafeMutablePointer<Int>

    init(
      _ output: ImageTarget, bias: UnsafePointer<Float>?, kh: Int, kw: Int, outputs: Int,
      _ scratch: Scratch
    ) {
      (self.output, self.kh, self.kw, self.outputs) = (output, kh, kw, outputs)
      let layout = output.layout
      self.bias = scratch.floats(max(layout.lanes, 8))
      laneBias(bias, layout: layout, into: self.bias)
      let laneOffsets = layout.laneOffsets()
      offsets = scratch.take(laneOffsets.count, of: Int.self)
      for (i, o) in laneOffsets.enumerated() { offsets[i] = o }
      lane = scratch.take(outputs, of: Int.self)
      for o in 0..<outputs { lane[o] = layout.lane(of: o) }
    }

    /// A row of pixels. `corners` are the products with each row of the kernel, beginning at that
    /// row's columns; eight floats after them may be read.
    func store(
      _ corners: UnsafePointer<UnsafePointer<Float>>, n: Int, y: Int, x: Int, columns: Int,
      _ lanes: UnsafeMutablePointer<Float>
    ) {
      let layout = output.layout
      if layout.planar, layout.shuffle == 1, outputs <= 8 {
        let plane = layout.height * layout.width
        let out = output.memory + n * outputs * plane + y * layout.width + x
        if kh == 3, kw == 3, outputs == 3 {
          planar(corners, out, plane: plane, columns: columns, kh: 3, kw: 3, outputs: 3)
        } else {
          planar(corners, out, plane: plane, columns: columns, kh: kh, kw: kw, outputs: outputs)
        }
        return
      }
      for i in 0..<columns {
        for o in 0..<outputs {
          var sum: Float = 0
          for ky in 0..<kh {
            let p = corners[ky] + i * mostColumns + o
            for kx in 0..<kw { sum += p[kx * (mostColumns + outputs)] }
          }
          lanes[lane[o]] = sum
        }
        output.store(lanes, n: n, y: y, x: x + i, bias: bias, laneOffsets: offsets)
      }
    }

    @inline(__always) private func planar(
      _ corners: UnsafePointer<UnsafePointer<Float>>, _ out: UnsafeMutablePointer<Float>,
      plane: Int, columns: Int, kh: Int, kw: Int, outputs: Int
    ) {
      let first = load8(bias)
      for i in 0..<columns {
        var sum = first
        for ky in 0..<kh {
          let p = corners[ky] + i * mostColumns
          for kx in 0..<kw { sum += load8(p + kx * (mostColumns + outputs)) }
        }
        for o in 0..<outputs { out[o * plane + i] = sum[o] }
      }
    }
  }

  // MARK: - Backward

  /// The gradient of the input from `g`, that of the outputs: `weights` are transposed.
  static func dataGradient(
    _ g: ImageOperand, weights: WeightView, padY: Int, padX: Int, _ dx: ImageTarget
  ) {
    let (kh, kw, channels) = (weights.kh, weights.kw, weights.inputs)
    let layout = dx.layout
    let (lanes, depth) = (layout.lanes, kh * kw * channels)
    let panels = panelWidths(lanes: lanes)
    let width = roundUp(lanes, vectorWidth)
    let blocks = Blocks(layout)
    let whole = !layout.planar && layout.shuffle == 1
    let streaming = whole && streams(layout.count)
    withScratch { scratch in
      // [panel][ky][kx][channel][panel width].
      let packed = scratch.floats(depth * width)
      packed.update(repeating: 0, count: depth * width)
      for to in 0..<weights.outputs {
        let lane = layout.lane(of: to)
        var first = 0
        for panel in panels {
          defer { first += panel }
          guard first <= lane, lane < first + panel else { continue }
          for row in 0..<depth {
            let (tap, from) = (row / channels, row % channels)
            packed[first * depth + row * panel + lane - first] = weights.at(
              from: from, to: to, kh - 1 - tap / kw, kw - 1 - tap % kw)
          }
        }
      }
      let zeros = scratch.floats(lanes)
      zeros.update(repeating: 0, count: lanes)
      let laneOffsets = layout.laneOffsets()
      let offsets = scratch.take(laneOffsets.count, of: Int.self)
      for (i, o) in laneOffsets.enumerated() { offsets[i] = o }
      ThreadPool.shared.run(blocks.count) { index in
        let block = blocks.block(index)
        let columns = block.columns
        guard block.rows > 0, columns > 0 else { return }
        withScratch { scratch in
          let rows = CompactRows(
            g, n: block.n, x: block.x - padX, columns: columns + kw - 1, count: kh,
            slack: 4 * channels, scratch)
          let results = scratch.floats(roundUp(columns, 4) * width)
          let line = scratch.floats(columns * lanes + vectorWidth)
          let taps = scratch.take(kh, of: Int.self)
          for r in 0..<block.rows + kh - 1 {
            rows.fill(block.y - padY + r)
            guard r >= kh - 1 else { continue }
            let y = block.y + r - kh + 1
            for ky in 0..<kh { taps[ky] = rows.offset(y - padY + ky) }
            let a = PanelA(
              base: rows.base, rowStride: channels, kStride: 1, taps: kh, tapOffsets: taps,
              depth: kw * channels)
            var first = 0
            for panel in panels {
              runPanel(
                width: panel, rows: roundUp(columns, 4), a, packed + first * depth, panel,
                results + first, width, accumulate: false)
              first += panel
            }
            if whole {
              // The tail of a pixel's last vector is overwritten by the next pixel.
              for x in 0..<columns {
                forEachVectorOfLanes(lanes) { c in
                  Kernels.store(load(results + x * width + c), line + x * lanes + c)
                }
              }
              let out = dx.pixel(n: block.n, y: y, x: block.x)
              if streaming {
                stream(line, to: out, count: columns * lanes)
              } else {
                out.update(from: line, count: columns * lanes)
              }
            } else {
              for x in 0..<columns {
                dx.store(
                  results + x * width, n: block.n, y: y, x: block.x + x, bias: zeros,
                  laneOffsets: offsets)
              }
            }
          }
          finishStreaming(streaming)
        }
      }
    }
  }

  /// dW[o][i][kh][kw] and, if wanted, db[o]: the pixels times the gradient, shifted by each tap.
  /// Overwrites its outputs.
  static func weightGradient(
    _ input: ImageOperand, gradient: ImageOperand, kh: Int, kw: Int, padY: Int, padX: Int,
    dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    let lanes = input.layout.lanes
    let (inputs, outputs) = (input.layout.seenChannels, gradient.layout.seenChannels)
    let depth = roundUp(input.layout.depth, 4)
    // Columns of a row of the kernel, ordered (kw − 1 − kx, output), and of all rows.
    let row = roundUp(kw * outputs, vectorWidth)
    let width = kh * row
    let panels = panelWidths(lanes: width)
    let blocks = Blocks(input.layout)
    let count = depth * width
    let parts = weightGradientParts(tasks: blocks.count, bytes: count * 4)
    withScratch { scratch in
      let sums = scratch.floats(parts * count)
      ThreadPool.shared.run(parts) { part in
        let sum = sums + part * count
        sum.update(repeating: 0, count: count)
        for index in (blocks.count * part / parts)..<(blocks.count * (part + 1) / parts) {
          let block = blocks.block(index)
          guard block.rows > 0, block.columns > 0 else { continue }
          withScratch { scratch in
            let line = scratch.floats(block.columns * lanes + vectorWidth)
            // Pixel (y, x) is multiplied by the gradient at (y + padY − ky, x + padX − kx).
            let rows = CompactRows(
              gradient, n: block.n, x: block.x + padX - kw + 1, columns: block.columns + kw - 1,
              count: kh, slack: row, scratch)
            let spread = scratch.floats(block.columns * width)
            for r in 0..<block.rows + kh - 1 {
              rows.fill(block.y + padY - kh + 1 + r)
              guard r >= kh - 1 else { continue }
              let y = block.y + r - kh + 1
              input.pack(
                n: block.n, y0: y, rows: 1, x0: block.x, columns: block.columns, into: line)
              let a = PanelA(
                base: line, rowStride: 1, kStride: lanes, taps: 1, tapOffsets: zeroOffset,
                depth: block.columns)
              for ky in 0..<kh {
                let seen = rows.row(y + padY - ky)
                for x in 0..<block.columns {
                  forEachVectorOfLanes(row) { c in
                    store(load(seen + x * outputs + c), spread + x * width + ky * row + c)
                  }
                }
              }
              var first = 0
              for panel in panels {
                runPanel(
                  width: panel, rows: depth, a, spread + first, width, sum + first, width,
                  accumulate: true)
                first += panel
              }
            }
          }
        }
      }
      reduce(sums, parts: parts, count: count)
      for i in 0..<inputs {
        for o in 0..<outputs {
          let results = sums + input.layout.lane(of: i) * width + o
          for ky in 0..<kh {
            for kx in 0..<kw {
              dw[((o * inputs + i) * kh + ky) * kw + kx] =
                results[ky * row + (kw - 1 - kx) * outputs]
            }
          }
        }
      }
    }
    if let db { biasGradient(gradient, db: db) }
  }

  /// Σ of the gradient, per output.
  private static func biasGradient(_ gradient: ImageOperand, db: UnsafeMutablePointer<Float>) {
    let layout = gradient.layout
    let channels = layout.seenChannels
    let tasks = layout.n * layout.seenHeight
    let parts = weightGradientParts(tasks: tasks, bytes: channels * 8)
    withScratch { scratch in
      let sums = scratch.take(parts * channels, of: Double.self)
      sums.update(repeating: 0, count: parts * channels)
      ThreadPool.shared.run(parts) { part in
        withScratch { scratch in
          let rows = CompactRows(
            gradient, n: 0, x: 0, columns: layout.seenWidth, count: 1, slack: 0, scratch)
          for index in (tasks * part / parts)..<(tasks * (part + 1) / parts) {
            rows.fill(index % layout.seenHeight, of: index / layout.seenHeight)
            let row = rows.row(0)
            for c in 0..<channels {
              var total: Float = 0
              for x in 0..<layout.seenWidth { total += row[x * channels + c] }
              sums[part * channels + c] += Double(total)
            }
          }
        }
      }
      for c in 0..<channels {
        var total = 0.0
        for part in 0..<parts { total += sums[part * channels + c] }
        db[c] = Float(total)
      }
    }
  }
}
