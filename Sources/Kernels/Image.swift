/// Where the values of an image operand come from.
public enum ImageValues {
  /// They lie in memory, in the image's layout.
  case memory(UnsafePointer<Float>)
  /// They are computed piece by piece by a pointwise program over the image's layout.
  case program(PointwiseProgram)
}

/// The physical form of an N×C×H×W image: planar (contiguous NCHW) or channels-last with
/// the channels padded to whole vectors of eight whose padding is zero.
///
/// With `shuffle` s > 1 a convolution sees the image as it was before PixelShuffle(s): as
/// C·s² channels of (H/s)×(W/s). Its lanes are then ordered (row offset, column offset,
/// padded channel), so that every vector of eight lanes is contiguous in memory.
public struct ImageLayout: Equatable, Sendable {
  public var n: Int
  public var channels: Int
  public var height: Int
  public var width: Int
  public var planar: Bool
  public var shuffle: Int

  public init(n: Int, channels: Int, height: Int, width: Int, planar: Bool, shuffle: Int = 1) {
    self.n = n
    self.channels = channels
    self.height = height
    self.width = width
    self.planar = planar
    self.shuffle = shuffle
  }

  public var paddedChannels: Int { roundUp(channels, 8) }
  /// Floats in memory.
  var count: Int { n * (planar ? channels : paddedChannels) * height * width }
  /// Height, width and channels as a convolution sees them.
  public var seenHeight: Int { height / shuffle }
  public var seenWidth: Int { width / shuffle }
  public var seenChannels: Int { channels * shuffle * shuffle }
  /// Lanes per seen pixel once packed, a multiple of eight.
  public var lanes: Int { paddedChannels * shuffle * shuffle }
  /// Lanes that can differ from zero at the front of a packed pixel.
  public var depth: Int { shuffle == 1 ? channels : lanes }

  /// The lane of a seen channel (PixelShuffle's order: channel c·s² + a·s + b).
  func lane(of channel: Int) -> Int {
    let s2 = shuffle * shuffle
    return channel % s2 * paddedChannels + channel / s2
  }

  /// For every vector of lanes, its offset from the first element of its pixel.
  func laneOffsets() -> [Int] {
    let cp = paddedChannels
    return (0..<lanes / 8).map { vector in
      let lane = vector * 8
      let (group, c) = (lane / cp, lane % cp)
      return (group / shuffle * width + group % shuffle) * cp + c
    }
  }
}

/// An image that a convolution reads.
public struct ImageOperand {
  public var layout: ImageLayout
  public var values: ImageValues

  public init(_ layout: ImageLayout, _ values: ImageValues) {
    self.layout = layout
    self.values = values
  }

  /// Where rows `y0..<y0+rows`, columns `x0..<x0+columns` of image `n` lie with each pixel's lanes
  /// together, and the floats from row to row; nil if they must be packed.
  func inPlace(n: Int, y0: Int, rows: Int, x0: Int, columns: Int) -> (
    pixels: UnsafePointer<Float>, pitch: Int
  )? {
    guard case .memory(let p) = values, !layout.planar, layout.shuffle == 1, y0 >= 0, x0 >= 0,
      y0 + rows <= layout.height, x0 + columns <= layout.width,
      columns * layout.lanes >= vectorWidth
    else { return nil }
    let pitch = layout.width * layout.lanes
    return (p + (n * layout.height + y0) * pitch + x0 * layout.lanes, pitch)
  }

  /// Calls `body(first, count)` for the ranges of memory that hold seen row `y` of image `n`,
  /// restricted to the existing columns of `x0..<x0+columns`.
  func forEachStretch(
    n: Int, y: Int, x0: Int, columns: Int, _ body: (UnsafePointer<Float>, Int) -> Void
  ) {
    let (xa, xb) = (max(x0, 0), min(x0 + columns, layout.seenWidth))
    guard y >= 0, y < layout.seenHeight, xa < xb, !layout.planar else { return }
    let (s, cp) = (layout.shuffle, layout.paddedChannels)
    for a in 0..<s {
      let start = ((n * layout.height + y * s + a) * layout.width + xa * s) * cp
      let count = (xb - xa) * s * cp
      switch values {
      case .memory(let p): body(p + start, count)
      case .program(let program):
        for case .flat(let p) in program.leaves { body(p + start, count) }
      }
    }
  }

  /// Copies the seen pixels in rows `y0..<y0+rows`, columns `x0..<x0+columns` of image `n` to
  /// `out`, `lanes` floats per pixel, row by row. Pixels outside the image are zero.
  func pack(
    n: Int, y0: Int, rows: Int, x0: Int, columns: Int, into out: UnsafeMutablePointer<Float>
  ) {
    let lanes = layout.lanes
    let ya = min(max(y0, 0), layout.seenHeight), yb = min(max(y0 + rows, ya), layout.seenHeight)
    let xa = min(max(x0, 0), layout.seenWidth), xb = min(max(x0 + columns, xa), layout.seenWidth)
    let pitch = columns * lanes
    if ya >= yb || xa >= xb {
      out.update(repeating: 0, count: rows * pitch)
      return
    }
    (out).update(repeating: 0, count: (ya - y0) * pitch)
    (out + (yb - y0) * pitch).update(repeating: 0, count: (y0 + rows - yb) * pitch)
    for y in ya..<yb {
      let row = out + (y - y0) * pitch
      row.update(repeating: 0, count: (xa - x0) * lanes)
      (row + (xb - x0) * lanes).update(repeating: 0, count: (x0 + columns - xb) * lanes)
      packRow(n: n, y: y, xa: xa, xb: xb, into: row + (xa - x0) * lanes)
    }
  }

  private func packRow(n: Int, y: Int, xa: Int, xb: Int, into out: UnsafeMutablePointer<Float>) {
    if layout.planar {
      packPlanarRow(n: n, y: y, xa: xa, xb: xb, into: out)
      return
    }
    let (cp, s, w) = (layout.paddedChannels, layout.shuffle, layout.width)
    if s == 1 {
      let start = ((n * layout.height + y) * w + xa) * cp
      read(start, (xb - xa) * cp, into: out)
      return
    }
    let lanes = layout.lanes
    withScratch { scratch in
      let count = (xb - xa) * s * cp
      let line = scratch.floats(count)
      for a in 0..<s {
        let start = ((n * layout.height + y * s + a) * w + xa * s) * cp
        let source: UnsafePointer<Float>
        if case .memory(let p) = values {
          source = p + start
        } else {
          read(start, count, into: line)
          source = UnsafePointer(line)
        }
        // The columns b of one row offset are adjacent both in memory and in the lanes.
        for x in 0..<(xb - xa) {
          (out + x * lanes + a * s * cp).update(from: source + x * s * cp, count: s * cp)
        }
      }
    }
  }

  private func packPlanarRow(
    n: Int, y: Int, xa: Int, xb: Int, into out: UnsafeMutablePointer<Float>
  ) {
    let (s, c, cp, lanes) = (
      layout.shuffle, layout.channels, layout.paddedChannels, layout.lanes
    )
    out.update(repeating: 0, count: (xb - xa) * lanes)
    withScratch { scratch in
      let count = (xb - xa) * s
      let line = scratch.floats(count)
      for channel in 0..<c {
        for a in 0..<s {
          let source = planarRow(
            n: n, channel: channel, y: y * s + a, x: xa * s, count: count, line)
          for x in 0..<(xb - xa) {
            for b in 0..<s {
              out[x * lanes + (a * s + b) * cp + channel] = source[x * s + b]
            }
          }
        }
      }
    }
  }

  /// `count` columns of row `y` of a planar channel, from `x` on: in place, or computed into
  /// `buffer`.
  func planarRow(
    n: Int, channel: Int, y: Int, x: Int, count: Int, _ buffer: UnsafeMutablePointer<Float>
  ) -> UnsafePointer<Float> {
    let start = ((n * layout.channels + channel) * layout.height + y) * layout.width + x
    if case .memory(let p) = values { return p + start }
    read(start, count, into: buffer)
    return UnsafePointer(buffer)
  }

  @inline(__always)
  private func read(_ start: Int, _ count: Int, into out: UnsafeMutablePointer<Float>) {
    switch values {
    case .memory(let p): out.update(from: p + start, count: count)
    case .program(let program): program.evaluate(start: start, count: count, into: out)
    }
  }
}

/// An image that a convolution writes, bias added.
public struct ImageTarget {
  public var layout: ImageLayout
  public var memory: UnsafeMutablePointer<Float>
  /// The activation applied to each value before it is written, where
  /// ``Convolution/applies(_:by:kernel:to:)`` allows it.
  public var activation: PointwiseOperator?

  public init(
    _ layout: ImageLayout, _ memory: UnsafeMutablePointer<Float>,
    activation: PointwiseOperator? = nil
  ) {
    self.layout = layout
    self.memory = memory
    self.activation = activation
  }

  /// The first element of a seen pixel (channels-last).
  @inline(__always) func pixel(n: Int, y: Int, x: Int) -> UnsafeMutablePointer<Float> {
    let s = layout.shuffle
    return memory
      + ((n * layout.height + y * s) * layout.width + x * s) * layout.paddedChannels
  }

  /// Stores the packed lanes of one seen pixel.
  @inline(__always) func store(
    _ source: UnsafePointer<Float>, n: Int, y: Int, x: Int, bias: UnsafePointer<Float>,
    laneOffsets: UnsafePointer<Int>
  ) {
    if layout.planar {
      storePlanar(source, n: n, y: y, x: x, bias: bias)
      return
    }
    let out = pixel(n: n, y: y, x: x)
    for v in 0..<layout.lanes / 8 {
      store8(load8(source + 8 * v) + load8(bias + 8 * v), out + laneOffsets[v])
    }
  }

  @inline(never) func storePlanar(
    _ source: UnsafePointer<Float>, n: Int, y: Int, x: Int, bias: UnsafePointer<Float>
  ) {
    let (s, cp) = (layout.shuffle, layout.paddedChannels)
    for a in 0..<s {
      for b in 0..<s {
        let lane = (a * s + b) * cp
        let at = (y * s + a) * layout.width + x * s + b
        for c in 0..<layout.channels {
          memory[(n * layout.channels + c) * layout.height * layout.width + at] =
            source[lane + c] + bias[lane + c]
        }
      }
    }
  }
}
