/// Which input pixels contribute to an output pixel: the form that the forward product and the data
/// gradient share, for any stride, dilation and padding.
///
/// Output pixel (my·stepY + phaseY, mx·stepX + phaseX) gathers from the input at (my·strideY + dy,
/// mx·strideX + dx), for every tap. The forward product is one gather, the data gradient one for
/// each phase of the stride.
struct Gather {
  struct Tap {
    var dy: Int, dx: Int
    /// The index in the stored kernel, ky·kw + kx.
    var place: Int
    /// The index of its dy and dx among the distinct ones.
    var row = 0, column = 0
  }
  private(set) var taps: [Tap]
  let strideY: Int, strideX: Int
  let stepY: Int, stepX: Int
  let phaseY: Int, phaseX: Int
  /// Output pixels of this phase.
  let rows: Int, columns: Int
  /// The distinct dy and dx, in order.
  private let tapRows: [Int], tapColumns: [Int]

  private init(
    _ taps: [Tap], stride: (Int, Int) = (1, 1), step: (Int, Int) = (1, 1),
    phase: (Int, Int) = (0, 0), rows: Int, columns: Int
  ) {
    self.taps = taps
    (strideY, strideX) = stride
    (stepY, stepX) = step
    (phaseY, phaseX) = phase
    (self.rows, self.columns) = (rows, columns)
    tapRows = Set(taps.map(\.dy)).sorted()
    tapColumns = Set(taps.map(\.dx)).sorted()
    let row = Dictionary(uniqueKeysWithValues: zip(tapRows, tapRows.indices))
    let column = Dictionary(uniqueKeysWithValues: zip(tapColumns, tapColumns.indices))
    for i in taps.indices {
      self.taps[i].row = row[taps[i].dy] ?? 0
      self.taps[i].column = column[taps[i].dx] ?? 0
    }
  }

  static func forward(_ s: ConvolutionShape) -> Gather {
    var taps: [Tap] = []
    for ky in 0..<s.kh {
      for kx in 0..<s.kw {
        taps.append(
          Tap(
            dy: ky * s.dilationY - s.padY, dx: kx * s.dilationX - s.padX, place: ky * s.kw + kx))
      }
    }
    return Gather(
      taps, stride: (s.strideY, s.strideX), rows: s.outHeight, columns: s.outWidth)
  }

  /// The phases of the data gradient that any tap reaches.
  static func adjoint(_ s: ConvolutionShape) -> [Gather] {
    /// The taps of one axis, grouped by phase; those of a phase are in order.
    func phases(_ k: Int, _ dilation: Int, _ pad: Int, _ stride: Int, _ size: Int)
      -> [(phase: Int, taps: [Int])]
    {
      var list: [Int: [Int]] = [:]
      for tap in 0..<k {
        let phase = ((tap * dilation - pad) % stride + stride) % stride
        if phase < size { list[phase, default: []].append(tap) }
      }
      return list.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
    var all: [Gather] = []
    for (phaseY, rows) in phases(s.kh, s.dilationY, s.padY, s.strideY, s.height) {
      for (phaseX, columns) in phases(s.kw, s.dilationX, s.padX, s.strideX, s.width) {
        var taps: [Tap] = []
        for ky in rows {
          for kx in columns {
            taps.append(
              Tap(
                dy: (phaseY + s.padY - ky * s.dilationY) / s.strideY,
                dx: (phaseX + s.padX - kx * s.dilationX) / s.strideX, place: ky * s.kw + kx))
          }
        }
        all.append(
          Gather(
            taps, step: (s.strideY, s.strideX), phase: (phaseY, phaseX),
            rows: (s.height - phaseY + s.strideY - 1) / s.strideY,
            columns: (s.width - phaseX + s.strideX - 1) / s.strideX))
      }
    }
    return all
  }

  /// Whether these phases cover every pixel of an image.
  static func covers(_ phases: [Gather], _ s: ConvolutionShape) -> Bool {
    phases.count == min(s.strideY, s.height) * min(s.strideX, s.width)
  }

  /// The layout of the packed inputs of a block of output pixels. Where most pixels between the
  /// taps would not be read, each tap has rows or columns of its own.
  struct Region {
    /// Pixels.
    let rows: Int, columns: Int
    /// From one output row and column to the next.
    let rowStep: Int, columnStep: Int
    fileprivate let wholeRows: Bool, wholeColumns: Bool
    fileprivate let blockRows: Int, blockColumns: Int
  }

  func region(rows: Int, columns: Int) -> Region {
    let y = Self.extent(of: rows, strideY, span: span(tapRows), taps: tapRows.count)
    let x = Self.extent(of: columns, strideX, span: span(tapColumns), taps: tapColumns.count)
    return Region(
      rows: y.size, columns: x.size, rowStep: y.whole ? strideY : 1,
      columnStep: x.whole ? strideX : 1, wholeRows: y.whole, wholeColumns: x.whole,
      blockRows: rows, blockColumns: columns)
  }

  private func span(_ offsets: [Int]) -> Int { (offsets.last ?? 0) - (offsets.first ?? 0) + 1 }

  /// Pixels along an axis that are packed for `count` outputs.
  static func extent(of count: Int, _ stride: Int, span: Int, taps: Int) -> (
    size: Int, whole: Bool
  ) {
    let whole = (count - 1) * stride + span
    return whole <= 4 * count * taps ? (whole, true) : (count * taps, false)
  }

  /// The offset in pixels of a tap's pixel for the block's first output, from the region's first.
  func offset(_ tap: Tap, in r: Region) -> Int {
    let row = r.wholeRows ? tap.dy - (tapRows.first ?? 0) : tap.row * r.blockRows
    let column = r.wholeColumns ? tap.dx - (tapColumns.first ?? 0) : tap.column * r.blockColumns
    return row * r.columns + column
  }

  /// Packs the pixels that the output pixels from (y0, x0) of this phase gather.
  func pack(
    _ input: ImageOperand, n: Int, y0: Int, x0: Int, _ r: Region,
    into out: UnsafeMutablePointer<Float>
  ) {
    let (top, left) = (y0 * strideY + (tapRows.first ?? 0), x0 * strideX + (tapColumns.first ?? 0))
    if r.wholeRows, r.wholeColumns {
      input.pack(n: n, y0: top, rows: r.rows, x0: left, columns: r.columns, into: out)
      return
    }
    let lanes = input.layout.lanes
    for row in 0..<r.rows {
      let y =
        r.wholeRows
        ? top + row : (y0 + row % r.blockRows) * strideY + tapRows[row / r.blockRows]
      var to = out + row * r.columns * lanes
      if r.wholeColumns {
        input.pack(n: n, y0: y, rows: 1, x0: left, columns: r.columns, into: to)
        continue
      }
      for dx in tapColumns {
        if strideX == 1 {
          input.pack(n: n, y0: y, rows: 1, x0: x0 + dx, columns: r.blockColumns, into: to)
          to += r.blockColumns * lanes
          continue
        }
        for x in x0..<x0 + r.blockColumns {
          input.pack(n: n, y0: y, rows: 1, x0: x * strideX + dx, columns: 1, into: to)
          to += lanes
        }
      }
    }
  }

  /// A block of about `pixels` outputs, at most `widest` in a row.
  static func block(rows: Int, columns: Int, widest: Int = 128, pixels: Int = 256) -> (
    rows: Int, columns: Int
  ) {
    let across = max(1, (columns + widest - 1) / widest)
    let width = (columns + across - 1) / across
    return (max(1, min(rows, pixels / max(width, 1))), width)
  }

  /// Whether the working memory of such a convolution stays within bounds. The others use the path
  /// that needs none.
  static func fits(_ s: ConvolutionShape) -> Bool {
    guard s.kh <= 1 << 20, s.kw <= 1 << 20, s.kh * s.kw <= 1 << 20 else { return false }
    let b = block(rows: s.outHeight, columns: s.outWidth)
    let y = extent(of: b.rows, s.strideY, span: s.spanY, taps: s.kh).size
    let x = extent(of: b.columns, s.strideX, span: s.spanX, taps: s.kw).size
    let (inLanes, outLanes) = (roundUp(s.inputs, 16), roundUp(s.outputs, 16))
    let (region, overflow) = (y * x).multipliedReportingOverflow(by: max(inLanes, outLanes))
    let weights = Double(s.kh * s.kw) * Double(inLanes) * Double(outLanes) / Double(s.groups)
    return !overflow && region <= 1 << 28 && weights <= 0x1p30
  }
}

extension ImageTarget {
  /// Writes the channel's bias to every pixel; zeros if there is no bias.
  func fill(bias: UnsafePointer<Float>?) {
    let rows = layout.seenHeight
    let laneOffsets = layout.laneOffsets()
    ThreadPool.shared.run(layout.n * rows) { index in
      withScratch { scratch in
        let (values, zeros) = (scratch.floats(layout.lanes), scratch.floats(layout.lanes))
        laneBias(bias, layout: layout, into: values)
        zeros.update(repeating: 0, count: layout.lanes)
        laneOffsets.withUnsafeBufferPointer { offsets in
          guard let offsets = offsets.baseAddress else { return }
          for x in 0..<layout.seenWidth {
            store(
              values, n: index / rows, y: index % rows, x: x, bias: zeros, laneOffsets: offsets)
          }
        }
      }
    }
  }
}
