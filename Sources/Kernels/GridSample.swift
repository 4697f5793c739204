/// Samples of maps at given places, and the gradients of the map and of the places.
///
/// A map is [n][points][lanes], its points in the order depth, height, width; an image has depth 1.
/// The grid is [n][places][axes]: coordinates in [−1, 1], that of the fastest dimension first.
public struct GridSample {
  public var n: Int
  public var depth: Int, height: Int, width: Int
  /// Coordinates of a place: 2 in an image, 3 in a volume.
  public var axes: Int
  public var places: Int
  /// Values per point, a multiple of four (any number in Double), and how many of them are
  /// channels.
  public var lanes: Int, channels: Int
  public var nearest: Bool
  /// Whether places outside read the nearest point; otherwise they read zeros.
  public var border: Bool
  public var alignCorners: Bool

  public init(
    n: Int, depth: Int, height: Int, width: Int, axes: Int, places: Int, lanes: Int, channels: Int,
    nearest: Bool, border: Bool, alignCorners: Bool
  ) {
    (self.n, self.depth, self.height, self.width) = (n, depth, height, width)
    (self.axes, self.places, self.lanes, self.channels) = (axes, places, lanes, channels)
    (self.nearest, self.border, self.alignCorners) = (nearest, border, alignCorners)
  }

  /// Places per segment: they are located and kept one segment at a time.
  static let segment = 64
  /// Segments per item.
  public var segments: Int { (places + GridSample.segment - 1) / GridSample.segment }

  /// For its gradient, the map's rows are cut into bands. A band reads every segment that touches
  /// it; with few bands, that is cheap even if the places are unordered.
  var rows: Int { depth * height }
  var bands: Int { max(1, min(rows / 16, 16 / max(n, 1))) }

  // MARK: - For the types that tensors have

  /// The samples: [n][places][lanes], or [n][channels][places] if `planar`.
  public func forward(
    _ x: UnsafePointer<Float>, grid: UnsafePointer<Float>, planar: Bool,
    _ out: UnsafeMutablePointer<Float>
  ) {
    if lanes % 8 == 0 {
      sample(V8.self, x, grid, planar, out)
    } else {
      sample(SIMD4<Float>.self, x, grid, planar, out)
    }
  }

  public func forward(
    _ x: UnsafePointer<Double>, grid: UnsafePointer<Double>, planar: Bool,
    _ out: UnsafeMutablePointer<Double>
  ) { sample(Double.self, x, grid, planar, out) }

  /// The gradient of the map, [n][points][lanes], from g, [n][places][lanes].
  ///
  /// - Parameter ranges: working memory for 2 · n · ``segments`` numbers.
  public func mapGradient(
    _ g: UnsafePointer<Float>, grid: UnsafePointer<Float>, ranges: UnsafeMutablePointer<Int32>,
    _ dx: UnsafeMutablePointer<Float>
  ) {
    if lanes % 8 == 0 {
      scatter(V8.self, g, grid, ranges, dx)
    } else {
      scatter(SIMD4<Float>.self, g, grid, ranges, dx)
    }
  }

  public func mapGradient(
    _ g: UnsafePointer<Double>, grid: UnsafePointer<Double>, ranges: UnsafeMutablePointer<Int32>,
    _ dx: UnsafeMutablePointer<Double>
  ) { scatter(Double.self, g, grid, ranges, dx) }

  /// The gradient of the grid, in its shape.
  public func gridGradient(
    _ g: UnsafePointer<Float>, _ x: UnsafePointer<Float>, grid: UnsafePointer<Float>,
    _ dgrid: UnsafeMutablePointer<Float>
  ) {
    if lanes % 8 == 0 {
      slopes(V8.self, g, x, grid, dgrid)
    } else {
      slopes(SIMD4<Float>.self, g, x, grid, dgrid)
    }
  }

  public func gridGradient(
    _ g: UnsafePointer<Double>, _ x: UnsafePointer<Double>, grid: UnsafePointer<Double>,
    _ dgrid: UnsafeMutablePointer<Double>
  ) { slopes(Double.self, g, x, grid, dgrid) }

  // MARK: - Places

  /// Where the places of a segment lie along each axis: the point before each, the distance from
  /// that point, and the derivative of the distance with respect to the coordinate, in points.
  private struct Located<T: SampleScalar> {
    let first: UnsafeMutablePointer<Int32>
    let fraction: UnsafeMutablePointer<T>
    let slope: UnsafeMutablePointer<T>
    /// The coordinates of one axis.
    let given: UnsafeMutablePointer<T>

    init(_ scratch: Scratch) {
      given = scratch.take(GridSample.segment, of: T.self)
      first = scratch.take(3 * GridSample.segment, of: Int32.self)
      fraction = scratch.take(3 * GridSample.segment, of: T.self)
      slope = scratch.take(3 * GridSample.segment, of: T.self)
    }
  }

  /// Locates `count` places; axis 0 is the width, and the depth of an image is 0 throughout.
  @inline(__always) private func locate<T: SampleScalar>(
    _ grid: UnsafePointer<T>, _ count: Int, _ at: Located<T>
  ) {
    for axis in 0..<axes {
      let size = T.from(axis == 0 ? width : axis == 1 ? height : depth)
      let half = alignCorners ? (size - 1) / 2 : size / 2
      let shift: T = alignCorners ? 0 : 0.5
      // Places further outside than this read no point either.
      let (lowest, highest): (T, T) = border ? (0, size - 1) : (-2, size + 1)
      let offset = axis * GridSample.segment
      let (first, fraction, slope) = (
        at.first + offset, at.fraction + offset, at.slope + offset
      )
      // Constant strides, so that the compiler vectorises what follows.
      let given = at.given
      if axes == 2 {
        for i in 0..<count { given[i] = grid[2 * i + axis] }
      } else {
        for i in 0..<count { given[i] = grid[3 * i + axis] }
      }
      for i in 0..<count {
        // NaN is read as −1, as in PyTorch.
        let coordinate = given[i] == given[i] ? given[i] : -1
        var v = (coordinate + 1) * half - shift
        slope[i] = border && !(v > lowest && v < highest) ? 0 : half
        v = v > lowest ? v : lowest
        v = v < highest ? v : highest
        let whole = nearest ? v.rounded(.toNearestOrEven) : v.rounded(.down)
        first[i] = whole.truncated
        fraction[i] = v - whole
      }
    }
  }

  @inline(__always) private func isWithin(_ i: Int32, _ size: Int) -> Bool {
    UInt32(bitPattern: i) < UInt32(truncatingIfNeeded: size)
  }

  /// The points that a place reads, as offsets in the map, with their weights. In a point's number
  /// bit 0 is the step along the width, bit 1 along the height, bit 2 along the depth.
  private struct Corners<T: SampleScalar> {
    var count = 0
    let offset: UnsafeMutablePointer<Int>
    let weight: UnsafeMutablePointer<T>
    let row: UnsafeMutablePointer<Int>
    let number: UnsafeMutablePointer<Int>

    init(_ scratch: Scratch) {
      offset = scratch.take(8, of: Int.self)
      weight = scratch.take(8, of: T.self)
      row = scratch.take(8, of: Int.self)
      number = scratch.take(8, of: Int.self)
    }
  }

  @inline(__always) private func collect<T: SampleScalar>(
    _ at: Located<T>, _ i: Int, _ corners: inout Corners<T>
  ) {
    let s = GridSample.segment
    var count = 0
    for k in 0..<(nearest ? 1 : 1 << axes) {
      let (kx, ky, kz) = (k & 1, k >> 1 & 1, k >> 2)
      let x = at.first[i] + Int32(truncatingIfNeeded: kx)
      let y = at.first[s + i] + Int32(truncatingIfNeeded: ky)
      let z = axes == 3 ? at.first[2 * s + i] + Int32(truncatingIfNeeded: kz) : 0
      guard isWithin(x, width), isWithin(y, height), isWithin(z, depth) else { continue }
      var weight: T = 1
      if !nearest {
        let (fx, fy) = (at.fraction[i], at.fraction[s + i])
        weight = (kx == 0 ? 1 - fx : fx) * (ky == 0 ? 1 - fy : fy)
        if axes == 3 { weight *= kz == 0 ? 1 - at.fraction[2 * s + i] : at.fraction[2 * s + i] }
      }
      let row = Int(z) * height + Int(y)
      corners.offset[count] = (row * width + Int(x)) * lanes
      corners.weight[count] = weight
      corners.row[count] = row
      corners.number[count] = k
      count += 1
    }
    corners.count = count
  }

  /// Whether all four points around a place of an image exist.
  @inline(__always) private func isInside<T: SampleScalar>(_ at: Located<T>, _ i: Int) -> Bool {
    isWithin(at.first[i], width - 1) && isWithin(at.first[GridSample.segment + i], height - 1)
  }
  private var takesFour: Bool { axes == 2 && !nearest }

  // MARK: - Kernels

  @inline(__always) private func sample<V: SampleLanes>(
    _: V.Type, _ x: UnsafePointer<V.Scalar>, _ grid: UnsafePointer<V.Scalar>, _ planar: Bool,
    _ out: UnsafeMutablePointer<V.Scalar>
  ) {
    let s = GridSample.segment, points = depth * height * width
    let streaming = !planar && streams(n * places * lanes)
    forEachSegment { item, first, count, scratch in
      let at = Located<V.Scalar>(scratch)
      var corners = Corners<V.Scalar>(scratch)
      let map = x + item * points * lanes
      locate(grid + (item * places + first) * axes, count, at)
      let direct = planar ? out : out + (item * places + first) * lanes
      let rows = planar || streaming ? scratch.take(s * lanes, of: V.Scalar.self) : direct
      for i in 0..<count {
        let target = rows + i * lanes
        if takesFour, isInside(at, i) {
          let (fx, fy) = (at.fraction[i], at.fraction[s + i])
          let p = map + (Int(at.first[s + i]) * width + Int(at.first[i])) * lanes
          let q = p + width * lanes
          let (w0, w1) = ((1 - fx) * (1 - fy), fx * (1 - fy))
          let (w2, w3) = ((1 - fx) * fy, fx * fy)
          var c = 0
          while c < lanes {
            V.none.adding(w0, .at(p + c)).adding(w1, .at(p + lanes + c))
              .adding(w2, .at(q + c)).adding(w3, .at(q + lanes + c)).put(target + c)
            c += V.width
          }
        } else {
          collect(at, i, &corners)
          var c = 0
          while c < lanes {
            var sum = V.none
            for k in 0..<corners.count {
              sum = sum.adding(corners.weight[k], .at(map + corners.offset[k] + c))
            }
            sum.put(target + c)
            c += V.width
          }
        }
      }
      if planar {
        for c in 0..<channels {
          let plane = out + (item * channels + c) * places + first
          if lanes == 4 {
            for i in 0..<count { plane[i] = rows[i * 4 + c] }
          } else {
            for i in 0..<count { plane[i] = rows[i * lanes + c] }
          }
        }
      } else if streaming {
        V.Scalar.stream(UnsafePointer(rows), count * lanes, to: direct)
        finishStreaming(true)
      }
    }
  }

  @inline(__always) private func slopes<V: SampleLanes>(
    _: V.Type, _ g: UnsafePointer<V.Scalar>, _ x: UnsafePointer<V.Scalar>,
    _ grid: UnsafePointer<V.Scalar>, _ dgrid: UnsafeMutablePointer<V.Scalar>
  ) {
    let s = GridSample.segment, points = depth * height * width
    forEachSegment { item, first, count, scratch in
      let at = Located<V.Scalar>(scratch)
      var corners = Corners<V.Scalar>(scratch)
      let map = x + item * points * lanes
      locate(grid + (item * places + first) * axes, count, at)
      let target = dgrid + (item * places + first) * axes
      let products = scratch.take(8, of: V.Scalar.self)
      for i in 0..<count {
        let seed = g + (item * places + first + i) * lanes
        // g · (each point that the place reads); those outside are zero.
        if takesFour, isInside(at, i) {
          let p = map + (Int(at.first[s + i]) * width + Int(at.first[i])) * lanes
          let q = p + width * lanes
          var (s0, s1, s2, s3) = (V.none, V.none, V.none, V.none)
          var c = 0
          while c < lanes {
            let v = V.at(seed + c)
            s0 = s0.adding(v, .at(p + c))
            s1 = s1.adding(v, .at(p + lanes + c))
            s2 = s2.adding(v, .at(q + c))
            s3 = s3.adding(v, .at(q + lanes + c))
            c += V.width
          }
          (products[0], products[1], products[2], products[3]) = (
            s0.total, s1.total, s2.total, s3.total
          )
        } else {
          collect(at, i, &corners)
          for k in 0..<8 { products[k] = 0 }
          for k in 0..<corners.count {
            var sum = V.none
            var c = 0
            while c < lanes {
              sum = sum.adding(.at(seed + c), .at(map + corners.offset[k] + c))
              c += V.width
            }
            products[corners.number[k]] = sum.total
          }
        }
        let (fx, fy) = (at.fraction[i], at.fraction[s + i])
        let along = products
        if axes == 2 {
          target[2 * i] =
            at.slope[i] * ((along[1] - along[0]) * (1 - fy) + (along[3] - along[2]) * fy)
          target[2 * i + 1] =
            at.slope[s + i] * ((along[2] - along[0]) * (1 - fx) + (along[3] - along[1]) * fx)
        } else {
          let fz = at.fraction[2 * s + i]
          let near = (along[1] - along[0]) * (1 - fy) + (along[3] - along[2]) * fy
          let far = (along[5] - along[4]) * (1 - fy) + (along[7] - along[6]) * fy
          target[3 * i] = at.slope[i] * (near * (1 - fz) + far * fz)
          let up = (along[2] - along[0]) * (1 - fx) + (along[3] - along[1]) * fx
          let behind = (along[6] - along[4]) * (1 - fx) + (along[7] - along[5]) * fx
          target[3 * i + 1] = at.slope[s + i] * (up * (1 - fz) + behind * fz)
          let top = (along[4] - along[0]) * (1 - fx) + (along[5] - along[1]) * fx
          let bottom = (along[6] - along[2]) * (1 - fx) + (along[7] - along[3]) * fx
          target[3 * i + 2] = at.slope[2 * s + i] * (top * (1 - fy) + bottom * fy)
        }
      }
    }
  }

  /// Each point of the map sums what it receives in the order of the places, whichever thread
  /// computes it.
  @inline(__always) private func scatter<V: SampleLanes>(
    _: V.Type, _ g: UnsafePointer<V.Scalar>, _ grid: UnsafePointer<V.Scalar>,
    _ ranges: UnsafeMutablePointer<Int32>, _ dx: UnsafeMutablePointer<V.Scalar>
  ) {
    let s = GridSample.segment, points = depth * height * width, segments = segments
    forEachSegment { item, first, count, scratch in
      let at = Located<V.Scalar>(scratch)
      locate(grid + (item * places + first) * axes, count, at)
      let range = touched(at, count)
      let index = 2 * (item * segments + first / s)
      (ranges[index], ranges[index + 1]) = range
    }
    let bands = bands, rows = rows
    ThreadPool.shared.run(n * bands) { piece in
      let (item, band) = (piece / bands, piece % bands)
      let (top, end) = (rows * band / bands, rows * (band + 1) / bands)
      let map = dx + item * points * lanes
      (map + top * width * lanes).update(repeating: 0, count: (end - top) * width * lanes)
      withScratch { scratch in
        let at = Located<V.Scalar>(scratch)
        var corners = Corners<V.Scalar>(scratch)
        for segment in 0..<segments {
          let index = 2 * (item * segments + segment)
          let (lowest, highest) = (Int(ranges[index]), Int(ranges[index + 1]))
          if highest < top || lowest >= end { continue }
          let first = segment * s
          let count = min(s, places - first)
          locate(grid + (item * places + first) * axes, count, at)
          for i in 0..<count {
            let seed = g + (item * places + first + i) * lanes
            let y = Int(at.first[s + i])
            if takesFour, isInside(at, i), y >= top, y + 1 < end {
              let (fx, fy) = (at.fraction[i], at.fraction[s + i])
              let p = map + (y * width + Int(at.first[i])) * lanes
              let q = p + width * lanes
              let (w0, w1) = ((1 - fx) * (1 - fy), fx * (1 - fy))
              let (w2, w3) = ((1 - fx) * fy, fx * fy)
              var c = 0
              while c < lanes {
                let v = V.at(seed + c)
                V.at(p + c).adding(w0, v).put(p + c)
                V.at(p + lanes + c).adding(w1, v).put(p + lanes + c)
                V.at(q + c).adding(w2, v).put(q + c)
                V.at(q + lanes + c).adding(w3, v).put(q + lanes + c)
                c += V.width
              }
            } else {
              collect(at, i, &corners)
              for k in 0..<corners.count where corners.row[k] >= top && corners.row[k] < end {
                let p = map + corners.offset[k]
                var c = 0
                while c < lanes {
                  V.at(p + c).adding(corners.weight[k], .at(seed + c)).put(p + c)
                  c += V.width
                }
              }
            }
          }
        }
      }
    }
  }

  /// The first and the last row of the map that these places may read.
  @inline(__always) private func touched<T: SampleScalar>(_ at: Located<T>, _ count: Int) -> (
    Int32, Int32
  ) {
    let s = GridSample.segment
    let reach: Int32 = nearest ? 0 : 1
    var (top, bottom) = (Int32.max, Int32.min)
    var (front, back): (Int32, Int32) = axes == 3 ? (.max, .min) : (0, 0)
    for i in 0..<count {
      top = min(top, at.first[s + i])
      bottom = max(bottom, at.first[s + i])
      if axes == 3 {
        front = min(front, at.first[2 * s + i])
        back = max(back, at.first[2 * s + i])
      }
    }
    let h = Int32(truncatingIfNeeded: height), d = Int32(truncatingIfNeeded: depth)
    (top, bottom) = (max(top, 0), min(bottom + reach, h - 1))
    (front, back) = (max(front, 0), min(axes == 3 ? back + reach : 0, d - 1))
    if top > bottom || front > back { return (.max, -1) }
    return (front * h + top, back * h + bottom)
  }

  @inline(__always) private func forEachSegment(
    _ body: (_ item: Int, _ first: Int, _ count: Int, _ scratch: Scratch) -> Void
  ) {
    let s = GridSample.segment, segments = segments
    // Pieces of some work each.
    let group = max(1, 64 / lanes)
    let groups = (segments + group - 1) / group
    ThreadPool.shared.run(n * groups) { piece in
      let (item, start) = (piece / groups, piece % groups * group)
      for segment in start..<min(segments, start + group) {
        withScratch { body(item, segment * s, min(s, places - segment * s), $0) }
      }
    }
  }
}
