/// Weighted sums along one axis: out[o] = Σ weights[offsets[o] + j] · in[starts[o] + j]. Resizing,
/// mean pooling and their adjoints are such sums along each axis.
public struct AxisTaps {
  public let inputs: Int
  public private(set) var starts: [Int] = []
  /// One more than the number of outputs.
  public private(set) var offsets: [Int] = [0]
  public private(set) var weights: [Double] = []

  public init(inputs: Int) { self.inputs = inputs }

  public var outputs: Int { starts.count }
  public func count(_ output: Int) -> Int { offsets[output + 1] - offsets[output] }

  /// Whether every output equals its input.
  public var isIdentity: Bool {
    outputs == inputs && weights.count == inputs && weights.allSatisfy { $0 == 1 }
      && starts.indices.allSatisfy { starts[$0] == $0 && count($0) == 1 }
  }

  public mutating func append(start: Int, _ taps: some Sequence<Double>) {
    starts.append(start)
    weights.append(contentsOf: taps)
    offsets.append(weights.count)
  }

  /// The adjoint. Starts and ends must not decrease: then the outputs that read one input are
  /// consecutive.
  public var transposed: AxisTaps {
    var first = [Int](repeating: outputs, count: inputs)
    var last = [Int](repeating: -1, count: inputs)
    for o in 0..<outputs {
      for j in 0..<count(o) {
        first[starts[o] + j] = min(first[starts[o] + j], o)
        last[starts[o] + j] = o
      }
    }
    var out = AxisTaps(inputs: outputs)
    for i in 0..<inputs {
      let range = last[i] < 0 ? 0..<0 : first[i]..<(last[i] + 1)
      out.append(
        start: range.lowerBound,
        range.map { o in
          let j = i - starts[o]
          return (0..<count(o)).contains(j) ? weights[offsets[o] + j] : 0
        })
    }
    return out
  }
}

/// Resamples maps along their height and width.
public enum Resample {
  /// [items][height][width][lanes] by `rows` along the height, then by `columns` along the width.
  /// Lanes are 1, or in Float a multiple of eight. A nil axis is unchanged.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func apply<T: ResampleScalar>(
    items: Int, height: Int, width: Int, lanes: Int, rows: AxisTaps?, columns: AxisTaps?,
    _ x: UnsafePointer<T>, _ out: UnsafeMutablePointer<T>
  ) {
    let (outHeight, outWidth) = (rows?.outputs ?? height, columns?.outputs ?? width)
    // The lines of a tile stay in the first-level cache, its rows in the second.
    let perColumn = lanes * max(1, (width + outWidth - 1) / outWidth)
    let tile = min(outWidth, max(16, 6144 / perColumn))
    let tiles = (outWidth + tile - 1) / tile
    let block = max(1, min(32, (1 << 17) / (tile * lanes)))
    let blocks = (outHeight + block - 1) / block
    let streaming = lanes > 1 && columns != nil && streams(items * outHeight * outWidth * lanes)
    withScratch { scratch in
      let down = rows.map { TapList<T>($0, scratch) }
      let across = columns.map { TapList<T>($0, scratch) }
      ThreadPool.shared.run(items * blocks * tiles) { piece in
        let item = piece / (blocks * tiles)
        let (y0, x0) = (piece / tiles % blocks * block, piece % tiles * tile)
        let outputs = min(tile, outWidth - x0)
        // The columns that this tile reads.
        let (first, end) = across?.span(x0, outputs) ?? (x0, x0 + outputs)
        let length = (end - first) * lanes
        let map = x + item * height * width * lanes
        withScratch { scratch in
          let line = scratch.take(length, of: T.self)
          let row = scratch.take(streaming ? outputs * lanes : 0, of: T.self)
          for y in y0..<min(outHeight, y0 + block) {
            let target = out + ((item * outHeight + y) * outWidth + x0) * lanes
            let start = down?.starts[y] ?? y
            let source = map + (start * width + first) * lanes
            let copies = down?.copies(y) ?? true
            let into = across == nil ? target : line
            if !copies, let down {
              T.correlate(
                down.weights + down.offsets[y], down.count(y), with: source, every: width * lanes,
                length, into: into)
            }
            guard let across else {
              if copies { target.update(from: source, count: length) }
              continue
            }
            let summed = (copies ? source : UnsafePointer(line)) - first * lanes
            let place = streaming ? row : target
            if lanes == 1 {
              T.combine(across, summed, from: x0, outputs, into: place)
            } else {
              T.combineLanes(across, summed, lanes: lanes, from: x0, outputs, into: place)
            }
            if streaming { T.stream(UnsafePointer(row), outputs * lanes, to: target) }
          }
        }
        finishStreaming(streaming)
      }
    }
  }
}

/// The taps of an axis in the type of the sums.
public struct TapList<T: PointwiseScalar> {
  let starts: UnsafeMutablePointer<Int>
  let offsets: UnsafeMutablePointer<Int>
  let weights: UnsafeMutablePointer<T>

  @inline(__always) init(_ taps: AxisTaps, _ scratch: Scratch) {
    starts = scratch.take(taps.outputs, of: Int.self)
    offsets = scratch.take(taps.outputs + 1, of: Int.self)
    weights = scratch.take(taps.weights.count, of: T.self)
    for o in 0..<taps.outputs { starts[o] = taps.starts[o] }
    for o in 0...taps.outputs { offsets[o] = taps.offsets[o] }
    for i in 0..<taps.weights.count { weights[i] = T(taps.weights[i]) }
  }

  @inline(__always) func count(_ o: Int) -> Int { offsets[o + 1] - offsets[o] }
  @inline(__always) func copies(_ o: Int) -> Bool { count(o) == 1 && weights[offsets[o]] == 1 }

  /// The range of inputs that these outputs read, as its first and its end.
  @inline(__always) func span(_ first: Int, _ count: Int) -> (Int, Int) {
    var (low, high) = (Int.max, 0)
    for o in first..<(first + count) where offsets[o + 1] > offsets[o] {
      low = min(low, starts[o])
      high = max(high, starts[o] + offsets[o + 1] - offsets[o])
    }
    return low < high ? (low, high) : (0, 0)
  }
}

/// A scalar type that sums are computed in.
public protocol ResampleScalar: PointwiseScalar {
  /// Weighted sums of single elements.
  static func combine(
    _ taps: TapList<Self>, _ line: UnsafePointer<Self>, from first: Int, _ count: Int,
    into out: UnsafeMutablePointer<Self>)
  /// Weighted sums of pixels of several lanes.
  static func combineLanes(
    _ taps: TapList<Self>, _ line: UnsafePointer<Self>, lanes: Int, from first: Int, _ count: Int,
    into out: UnsafeMutablePointer<Self>)
}

extension Double: ResampleScalar {
  public static func combine(
    _ taps: TapList<Double>, _ line: UnsafePointer<Double>, from first: Int, _ count: Int,
    into out: UnsafeMutablePointer<Double>
  ) {
    for i in 0..<count {
      let o = first + i
      let (w, p) = (taps.weights + taps.offsets[o], line + taps.starts[o])
      var sum = 0.0
      for j in 0..<taps.count(o) { sum += w[j] * p[j] }
      out[i] = sum
    }
  }
  public static func combineLanes(
    _ taps: TapList<Double>, _ line: UnsafePointer<Double>, lanes: Int, from first: Int,
    _ count: Int, into out: UnsafeMutablePointer<Double>
  ) {
    for c in 0..<lanes {
      for i in 0..<count {
        let o = first + i
        var sum = 0.0
        for j in 0..<taps.count(o) {
          sum += taps.weights[taps.offsets[o] + j] * line[(taps.starts[o] + j) * lanes + c]
        }
        out[i * lanes + c] = sum
      }
    }
  }
}

extension Float: ResampleScalar {
  public static func combine(
    _ taps: TapList<Float>, _ line: UnsafePointer<Float>, from first: Int, _ count: Int,
    into out: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count {
      let o = first + i
      let n = taps.count(o)
      let (w, p) = (taps.weights + taps.offsets[o], line + taps.starts[o])
      if n == 2 {
        out[i] = w[0] * p[0] + w[1] * p[1]
      } else if n == 1 {
        out[i] = w[0] * p[0]
      } else {
        var sum: Float = 0
        for j in 0..<n { sum += w[j] * p[j] }
        out[i] = sum
      }
    }
  }

  public static func combineLanes(
    _ taps: TapList<Float>, _ line: UnsafePointer<Float>, lanes: Int, from first: Int, _ count: Int,
    into out: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count {
      let o = first + i
      let n = taps.count(o)
      let w = taps.weights + taps.offsets[o]
      let (p, target) = (line + taps.starts[o] * lanes, out + i * lanes)
      var c = 0
      if n == 2 {
        let (a, b) = (V8(repeating: w[0]), V8(repeating: w[1]))
        while c < lanes {
          store8(fma(b, load8(p + lanes + c), a * load8(p + c)), target + c)
          c += 8
        }
      } else {
        while c < lanes {
          var sum = V8.zero
          for j in 0..<n { sum = fma(V8(repeating: w[j]), load8(p + j * lanes + c), sum) }
          store8(sum, target + c)
          c += 8
        }
      }
    }
  }
}
