/// Convolution in groups that are wider than a vector. The forward pass has a product of its own,
/// which keeps the order and rounding of the definition. Gradients run group by group, each as a
/// convolution with one group.
enum WideGroups {
  static func forward(
    _ s: ConvolutionShape, _ input: ImageOperand, weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, _ output: ImageTarget
  ) {
    let (inLanes, outLanes, channels) = (
      input.layout.lanes, output.layout.lanes, output.layout.channels
    )
    let (inputs, outputs) = (s.inputs / s.groups, s.outputs / s.groups)
    let gather = Gather.forward(s)
    let taps = gather.taps.count
    let terms = inputs * taps
    let width = roundUp(outputs, vectorWidth)
    let laneOffsets = output.layout.laneOffsets()
    let (blockRows, blockColumns) = Gather.block(rows: gather.rows, columns: gather.columns)
    let blocksX = (gather.columns + blockColumns - 1) / blockColumns
    let blocksY = (gather.rows + blockRows - 1) / blockRows
    let outPitch = outLanes + width
    withScratch { scratch in
      // [group][vector][input][tap][lane].
      let packed = scratch.floats(s.groups * terms * width)
      let biases = scratch.floats(s.groups * width)
      packed.update(repeating: 0, count: s.groups * terms * width)
      biases.update(repeating: 0, count: s.groups * width)
      for o in 0..<s.outputs {
        let (group, c) = (o / outputs, o % outputs)
        let lane =
          packed + (group * width + c / vectorWidth * vectorWidth) * terms + c % vectorWidth
        for term in 0..<terms { lane[term * vectorWidth] = weights[o * terms + term] }
        if let bias { biases[group * width + c] = bias[o] }
      }
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
          let places = scratch.take(terms, of: Int.self)
          for (t, tap) in gather.taps.enumerated() {
            let place = gather.offset(tap, in: shape) * inLanes
            for i in 0..<inputs { places[i * taps + t] = place + i }
          }
          let tiles = roundUp(columns, 4)
          let out = scratch.floats(rows * tiles * outPitch)
          for group in 0..<s.groups {
            var first = 0
            while first < width {
              let pair = first + 2 * vectorWidth <= width
              let at = group * width + first
              for y in 0..<rows {
                let row = BroadcastRow(
                  source: region + y * shape.rowStep * pitch + group * inputs, step: step,
                  offsets: places, terms: terms, weights: packed + at * terms,
                  next: packed + (at + vectorWidth) * terms, bias: biases + at,
                  out: out + y * tiles * outPitch + group * outputs + first, outPitch: outPitch)
                if pair { row.pairs(tiles) } else { row.singles(tiles) }
              }
              first += pair ? 2 * vectorWidth : vectorWidth
            }
          }
          for y in 0..<rows {
            for x in 0..<columns {
              let pixel = out + (y * tiles + x) * outPitch
              for c in channels..<outLanes { pixel[c] = 0 }
              output.store(pixel, n: n, y: y0 + y, x: x0 + x, bias: zeros, laneOffsets: offsets)
            }
          }
        }
      }
    }
  }

  static func dataGradient(
    _ s: ConvolutionShape, _ gradient: ImageOperand, weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, _ output: ImageTarget
  ) {
    let one = ofOneGroup(s)
    let algorithm = chosen(one, bias: bias != nil)
    let dxLayout = ImageLayout(
      n: s.n, channels: one.inputs, height: s.height, width: s.width, planar: false)
    withScratch { scratch in
      let g = GroupSlice(gradient, channels: one.outputs, scratch)
      let dx = scratch.floats(dxLayout.count)
      for group in 0..<s.groups {
        Convolution.dataGradient(
          one, by: algorithm, g.taken(group),
          w: weights + group * one.outputs * one.inputs * s.kh * s.kw,
          bias: bias.map { $0 + group * one.inputs }, ImageTarget(dxLayout, dx))
        output.put(dx, dxLayout, channel: group * one.inputs)
      }
    }
  }

  static func weightGradient(
    _ s: ConvolutionShape, _ input: ImageOperand, gradient: ImageOperand,
    dw: UnsafeMutablePointer<Float>, db: UnsafeMutablePointer<Float>?
  ) {
    let one = ofOneGroup(s)
    let algorithm = chosen(one, bias: false)
    withScratch { scratch in
      let x = GroupSlice(input, channels: one.inputs, scratch)
      let g = GroupSlice(gradient, channels: one.outputs, scratch)
      for group in 0..<s.groups {
        Convolution.weightGradient(
          one, by: algorithm, x.taken(group), g.taken(group),
          dw: dw + group * one.outputs * one.inputs * s.kh * s.kw,
          db: db.map { $0 + group * one.outputs })
      }
    }
  }

  private static func ofOneGroup(_ s: ConvolutionShape) -> ConvolutionShape {
    var one = s
    one.inputs = s.inputs / s.groups
    one.outputs = s.outputs / s.groups
    one.groups = 1
    return one
  }

  private static func chosen(_ one: ConvolutionShape, bias: Bool) -> ConvolutionAlgorithm {
    let best = Convolution.algorithm(for: one) ?? .direct
    return bias && best == .narrow ? .direct : best
  }
}

/// The channels of one group of an image at a time, as an image of their own.
private struct GroupSlice {
  private let source: UnsafePointer<Float>
  private let from: ImageLayout
  private let layout: ImageLayout
  private let memory: UnsafeMutablePointer<Float>

  init(_ image: ImageOperand, channels: Int, _ scratch: Scratch) {
    from = image.layout
    switch image.values {
    case .memory(let p): source = p
    case .program(let program):
      let all = scratch.floats(from.count)
      program.evaluateAll(into: all)
      source = UnsafePointer(all)
    }
    layout = ImageLayout(
      n: from.n, channels: channels, height: from.height, width: from.width, planar: false)
    memory = scratch.floats(layout.count)
  }

  /// Valid until the next call.
  func taken(_ group: Int) -> ImageOperand {
    let (c, lanes, width) = (layout.channels, layout.lanes, layout.width)
    let first = group * c
    ThreadPool.shared.run(layout.n * layout.height) { row in
      let to = memory + row * width * lanes
      if lanes != c { to.update(repeating: 0, count: width * lanes) }
      if from.planar {
        let (n, y) = (row / from.height, row % from.height)
        for i in 0..<c {
          let p = source + ((n * from.channels + first + i) * from.height + y) * width
          for x in 0..<width { to[x * lanes + i] = p[x] }
        }
      } else {
        let p = source + row * width * from.lanes + first
        for x in 0..<width { (to + x * lanes).update(from: p + x * from.lanes, count: c) }
      }
    }
    return ImageOperand(layout, .memory(UnsafePointer(memory)))
  }
}

extension ImageTarget {
  /// Writes a channels-last image of some channels to its place, from `channel` on, and zeros to
  /// the padding lanes after the last channel.
  fileprivate func put(_ source: UnsafePointer<Float>, _ from: ImageLayout, channel: Int) {
    let (c, lanes, width) = (from.channels, layout.lanes, layout.width)
    let last = channel + c == layout.channels
    ThreadPool.shared.run(layout.n * layout.height) { row in
      let p = source + row * width * from.lanes
      if layout.planar {
        let (n, y) = (row / layout.height, row % layout.height)
        for i in 0..<c {
          let to = memory + ((n * layout.channels + channel + i) * layout.height + y) * width
          for x in 0..<width { to[x] = p[x * from.lanes + i] }
        }
        return
      }
      for x in 0..<width {
        let pixel = memory + (row * width + x) * lanes
        (pixel + channel).update(from: p + x * from.lanes, count: c)
        if last { for i in layout.channels..<lanes { pixel[i] = 0 } }
      }
    }
  }
}

/// A row of pixels for one or two vectors of outputs: bias + Σ weights · input, term by term, each
/// product rounded. Pixel p's input for a term is at offsets[term] + p·step.
private struct BroadcastRow {
  var source: UnsafePointer<Float>
  var step: Int
  var offsets: UnsafePointer<Int>
  var terms: Int
  /// [term][lane], for the first and the second vector.
  var weights: UnsafePointer<Float>, next: UnsafePointer<Float>
  var bias: UnsafePointer<Float>
  var out: UnsafeMutablePointer<Float>
  var outPitch: Int

  /// `count` is a multiple of four.
  func singles(_ count: Int) {
    var x = 0
    while x + 8 <= count {
      eight(self, x)
      x += 8
    }
    if x < count { four(self, x) }
  }

  func pairs(_ count: Int) {
    for x in Swift.stride(from: 0, to: count, by: 4) { fourPairs(self, x) }
  }

  @inline(__always) func sum<let P: Int>(_ zero: InlineArray<P, Vector>, from x: Int) {
    let b = load(bias)
    var sums = InlineArray<P, Vector> { _ in b }
    let source = source + x * step
    var q = weights
    for term in 0..<terms {
      let w = load(q)
      let p = source + offsets[term]
      for i in 0..<P { sums[i] = sums[i] + Vector(repeating: p[i * step]) * w }
      q += vectorWidth
    }
    let out = out + x * outPitch
    for i in 0..<P { store(sums[i], out + i * outPitch) }
  }

  @inline(__always) func sumPairs<let P: Int>(_ zero: InlineArray<P, Vector>, from x: Int) {
    let (b0, b1) = (load(bias), load(bias + vectorWidth))
    var first = InlineArray<P, Vector> { _ in b0 }
    var second = InlineArray<P, Vector> { _ in b1 }
    let source = source + x * step
    var at = 0
    for term in 0..<terms {
      let (w0, w1) = (load(weights + at), load(next + at))
      let p = source + offsets[term]
      for i in 0..<P {
        let v = Vector(repeating: p[i * step])
        first[i] = first[i] + v * w0
        second[i] = second[i] + v * w1
      }
      at += vectorWidth
    }
    let out = out + x * outPitch
    for i in 0..<P {
      store(first[i], out + i * outPitch)
      store(second[i], out + i * outPitch + vectorWidth)
    }
  }
}

@inline(never) private func eight(_ row: BroadcastRow, _ x: Int) {
  row.sum(InlineArray<8, Vector> { _ in .zero }, from: x)
}

@inline(never) private func four(_ row: BroadcastRow, _ x: Int) {
  row.sum(InlineArray<4, Vector> { _ in .zero }, from: x)
}

@inline(never) private func fourPairs(_ row: BroadcastRow, _ x: Int) {
  row.sumPairs(InlineArray<4, Vector> { _ in .zero }, from: x)
}
