import CVector

/// Maxima over windows of a map, and their gradient: each maximum passes its gradient to the first
/// place that holds it, in row order. NaN is larger than every number.
public struct MaxPool {
  public struct Axis {
    public var inputs: Int, outputs: Int
    public var kernel: Int, stride: Int, padding: Int, dilation: Int

    public init(inputs: Int, outputs: Int, kernel: Int, stride: Int, padding: Int, dilation: Int) {
      (self.inputs, self.outputs, self.kernel) = (inputs, outputs, kernel)
      (self.stride, self.padding, self.dilation) = (stride, padding, dilation)
    }

    /// The first input of a window, which may lie before the axis, and its taps within the axis.
    @inline(__always) func window(_ o: Int) -> (start: Int, taps: Range<Int>) {
      let start = o * stride - padding
      let first = start < 0 ? (dilation - 1 - start) / dilation : 0
      let beyond = (inputs - start + dilation - 1) / dilation
      return (start, first..<max(first, min(kernel, beyond)))
    }

    /// The outputs whose windows may touch the inputs `first..<end`.
    @inline(__always) func touching(_ first: Int, _ end: Int) -> Range<Int> {
      let reach = (kernel - 1) * dilation
      let low = max(0, (first + padding - reach + stride - 1) / stride)
      let high = min(outputs, (end - 1 + padding) / stride + 1)
      return low < high ? low..<high : 0..<0
    }
  }

  /// Maps, [items][height][width][lanes]; lanes are 1, or in Float a multiple of eight, of which
  /// the first `channels` are in use and the others 0.
  public var items: Int, lanes: Int, channels: Int
  public var rows: Axis, columns: Axis

  public init(items: Int, lanes: Int, channels: Int, rows: Axis, columns: Axis) {
    (self.items, self.lanes, self.channels) = (items, lanes, channels)
    (self.rows, self.columns) = (rows, columns)
  }

  private var inputs: Int { rows.inputs * columns.inputs * lanes }
  private var outputs: Int { rows.outputs * columns.outputs * lanes }

  public func forward(_ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>) {
    if lanes % 8 == 0 { pool(V8.self, x, out) } else { pool(Float.self, x, out) }
  }
  public func forward(_ x: UnsafePointer<Double>, _ out: UnsafeMutablePointer<Double>) {
    pool(Double.self, x, out)
  }

  /// The gradient of x, from g in the shape of the maxima.
  public func gradient(
    _ g: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>
  ) {
    if lanes % 8 == 0 { spread(V8.self, g, x, dx) } else { spread(Float.self, g, x, dx) }
  }
  public func gradient(
    _ g: UnsafePointer<Double>, _ x: UnsafePointer<Double>, _ dx: UnsafeMutablePointer<Double>
  ) { spread(Double.self, g, x, dx) }

  private static let block = 8

  @inline(__always) private func pool<V: PooledLanes>(
    _: V.Type, _ x: UnsafePointer<V.Scalar>, _ out: UnsafeMutablePointer<V.Scalar>
  ) {
    let blocks = (rows.outputs + MaxPool.block - 1) / MaxPool.block
    ThreadPool.shared.run(items * blocks) { piece in
      let (item, y0) = (piece / blocks, piece % blocks * MaxPool.block)
      let map = x + item * inputs
      for y in y0..<min(rows.outputs, y0 + MaxPool.block) {
        let target = out + item * outputs + y * columns.outputs * lanes
        let (top, down) = rows.window(y)
        for i in 0..<columns.outputs {
          let (left, across) = columns.window(i)
          var c = 0
          while c < lanes {
            var best = V.least
            for ky in down {
              let row = map + ((top + ky * rows.dilation) * columns.inputs + left) * lanes + c
              for kx in across { best = best.larger(.at(row + kx * columns.dilation * lanes)) }
            }
            best.put(target + i * lanes + c)
            c += V.width
          }
          // A window without inputs has the maximum −∞, but unused lanes stay 0.
          if down.isEmpty || across.isEmpty {
            for lane in channels..<lanes { target[i * lanes + lane] = 0 }
          }
        }
      }
    }
  }

  /// Bands of rows are computed separately: a window that reaches into two bands is read by both.
  @inline(__always) private func spread<V: PooledLanes>(
    _: V.Type, _ g: UnsafePointer<V.Scalar>, _ x: UnsafePointer<V.Scalar>,
    _ dx: UnsafeMutablePointer<V.Scalar>
  ) {
    let band = max(MaxPool.block, 2 * rows.kernel * rows.dilation)
    let bands = (rows.inputs + band - 1) / band
    ThreadPool.shared.run(items * bands) { piece in
      let (item, first) = (piece / bands, piece % bands * band)
      let end = min(rows.inputs, first + band)
      let (map, change) = (x + item * inputs, dx + item * inputs)
      let width = columns.inputs * lanes
      (change + first * width).update(repeating: 0, count: (end - first) * width)
      for y in rows.touching(first, end) {
        let seeds = g + item * outputs + y * columns.outputs * lanes
        let (top, down) = rows.window(y)
        for i in 0..<columns.outputs {
          let (left, across) = columns.window(i)
          var c = 0
          while c < lanes {
            var best = V.least
            var place = V.filled(-1)
            for ky in down {
              let row = map + ((top + ky * rows.dilation) * columns.inputs + left) * lanes + c
              for kx in across {
                let v = V.at(row + kx * columns.dilation * lanes)
                place = best.place(
                  place, against: v, V.filled(ky * columns.kernel + kx))
                best = best.larger(v)
              }
            }
            let seed = V.at(seeds + i * lanes + c)
            for ky in down {
              let row = top + ky * rows.dilation
              if row < first || row >= end { continue }
              let target = change + (row * columns.inputs + left) * lanes + c
              for kx in across {
                let p = target + kx * columns.dilation * lanes
                V.at(UnsafePointer(p)).adding(seed, at: place, V.filled(ky * columns.kernel + kx))
                  .put(p)
              }
            }
            c += V.width
          }
        }
      }
    }
  }
}

/// Adjacent channels whose maxima are computed together.
protocol PooledLanes {
  associatedtype Scalar: BinaryFloatingPoint
  static var width: Int { get }
  static var least: Self { get }
  static func filled(_ number: Int) -> Self
  static func at(_ p: UnsafePointer<Scalar>) -> Self
  func put(_ p: UnsafeMutablePointer<Scalar>)
  /// `v` where it is larger or NaN, else self.
  func larger(_ v: Self) -> Self
  /// `new` where ``larger(_:)`` takes `v`, else `old`.
  func place(_ old: Self, against v: Self, _ new: Self) -> Self
  /// self + v where `place` is `number`.
  func adding(_ v: Self, at place: Self, _ number: Self) -> Self
}

extension Double: PooledLanes {
  static var least: Double { -.infinity }
  @inline(__always) static func filled(_ number: Int) -> Double { Double(number) }
  @inline(__always) func larger(_ v: Double) -> Double { v > self || v != v ? v : self }
  @inline(__always) func place(_ old: Double, against v: Double, _ new: Double) -> Double {
    v > self || v != v || old < 0 ? new : old
  }
  @inline(__always) func adding(_ v: Double, at place: Double, _ number: Double) -> Double {
    place == number ? self + v : self
  }
}

extension Float: PooledLanes {
  static var width: Int { 1 }
  static var least: Float { -.infinity }
  @inline(__always) static func filled(_ number: Int) -> Float { Float(number) }
  @inline(__always) static func at(_ p: UnsafePointer<Float>) -> Float { p.pointee }
  @inline(__always) func put(_ p: UnsafeMutablePointer<Float>) { p.pointee = self }
  @inline(__always) func larger(_ v: Float) -> Float { v > self || v != v ? v : self }
  @inline(__always) func place(_ old: Float, against v: Float, _ new: Float) -> Float {
    v > self || v != v || old < 0 ? new : old
  }
  @inline(__always) func adding(_ v: Float, at place: Float, _ number: Float) -> Float {
    place == number ? self + v : self
  }
}

extension SIMD8: PooledLanes where Scalar == Float {
  static var least: SIMD8<Float> { SIMD8(repeating: -.infinity) }
  @inline(__always) static func filled(_ number: Int) -> SIMD8<Float> {
    SIMD8(repeating: Float(number))
  }
  @inline(__always) func larger(_ v: SIMD8<Float>) -> SIMD8<Float> { chosen(self, v, self, v) }
  @inline(__always) func place(_ old: SIMD8<Float>, against v: SIMD8<Float>, _ new: SIMD8<Float>)
    -> SIMD8<Float>
  { lunerv_where_less8(old, .zero, new, chosen(self, v, old, new)) }
  @inline(__always) func adding(_ v: SIMD8<Float>, at place: SIMD8<Float>, _ number: SIMD8<Float>)
    -> SIMD8<Float>
  { self + lunerv_where_equal8(place, number, v, .zero) }
  /// `new` where v is larger than `best` or NaN, else `old`.
  @inline(__always) private func chosen(
    _ best: SIMD8<Float>, _ v: SIMD8<Float>, _ old: SIMD8<Float>, _ new: SIMD8<Float>
  ) -> SIMD8<Float> {
    let larger = lunerv_where_most8(v, best, old, new)
    // Only a NaN replaces a NaN.
    return lunerv_where_equal8(best, best, larger, lunerv_where_equal8(v, v, old, new))
  }
}
