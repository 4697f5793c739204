/// The structural similarity of planes (Wang et al. 2004) and its gradient.
///
/// W is the weighted mean over a window, without padding. With a = W(x), b = W(y), s = W(x² + y²)
/// and p = W(xy):
///
///     contrast    c = (2(p − ab) + C₂)/(s − a² − b² + C₂)
///     luminance   l = (2ab + C₁)/(a² + b² + C₁)
///
/// The gradient of Σ f(a, s, p) with respect to x is W*(∂f/∂a) + 2x·W*(∂f/∂s) + y·W*(∂f/∂p), where
/// W* is the adjoint of W. It is computed right after the values, while their maps are in cache.
public enum Similarity {
  /// Rows per piece of work: sums depend on it, but not on the number of threads.
  private static let block = 32

  /// Elements from row to row of the derivatives; whole vectors.
  private static func pitch(_ width: Int) -> Int { roundUp(width, 16) }

  /// The number of elements of working memory for gradients of planes of this size.
  public static func derivativeCount(planes: Int, h: Int, w: Int, window: Int) -> Int {
    3 * planes * (h - window + 1) * pitch(w - window + 1)
  }

  /// For each plane, the mean of c (of l·c if `luminance`) over x[p][h][w] and y[p][h][w].
  ///
  /// - Parameters:
  ///   - window: an odd number of symmetric weights, applied along both axes.
  ///   - derivatives: working memory of ``derivativeCount(planes:h:w:window:)`` elements; nil if no
  ///     gradient is wanted.
  ///   - gradient: that of each plane's mean with respect to x, [p][h][w].
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func means<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, window: [T], luminance: Bool, _ x: UnsafePointer<T>,
    _ y: UnsafePointer<T>, derivatives: UnsafeMutablePointer<T>?,
    gradient: UnsafeMutablePointer<T>?
  ) -> [Double] {
    let k = window.count
    let (oh, ow) = (h - k + 1, w - k + 1)
    let blocks = (oh + block - 1) / block
    let pixels = Double(oh * ow)
    var sums = [Double](repeating: 0, count: planes * blocks)
    window.withUnsafeBufferPointer { taps in
      sums.withUnsafeMutableBufferPointer { sums in
        guard let taps = taps.baseAddress, let sums = sums.baseAddress else { return }
        let maps = derivatives.map {
          Maps(first: $0, count: planes * oh * pitch(ow), pitch: pitch(ow), rows: oh)
        }
        ThreadPool.shared.run(planes * blocks) { index in
          let (plane, first) = (index / blocks, index % blocks * block)
          sums[index] = terms(
            h: h, w: w, taps, k, luminance, x + plane * h * w, y + plane * h * w, plane: plane,
            rows: first..<min(oh, first + block), into: maps)
        }
        guard let maps, let gradient else { return }
        let inputBlocks = (h + block - 1) / block
        ThreadPool.shared.run(planes * inputBlocks) { index in
          let (plane, first) = (index / inputBlocks, index % inputBlocks * block)
          let start = plane * h * w
          collect(
            h: h, w: w, taps, k, maps, x + start, y + start, plane: plane,
            rows: first..<min(h, first + block), scale: T(1 / pixels), into: gradient + start)
        }
      }
    }
    return (0..<planes).map { plane in
      sums[plane * blocks..<(plane + 1) * blocks].reduce(0, +) / pixels
    }
  }

  /// The derivatives with respect to a, s and p: three maps of rows of `pitch` elements.
  private struct Maps<T> {
    var first: UnsafeMutablePointer<T>
    /// Elements from map to map.
    var count: Int
    var pitch: Int
    /// Of a plane.
    var rows: Int

    func row(_ map: Int, _ plane: Int, _ y: Int) -> UnsafeMutablePointer<T> {
      first + map * count + (plane * rows + y) * pitch
    }
  }

  /// The sum of the terms in some rows of a plane; stores their derivatives.
  @inline(__always)
  private static func terms<T: PointwiseScalar>(
    h: Int, w: Int, _ taps: UnsafePointer<T>, _ k: Int, _ luminance: Bool, _ x: UnsafePointer<T>,
    _ y: UnsafePointer<T>, plane: Int, rows: Range<Int>, into maps: Maps<T>?
  ) -> Double {
    let ow = w - k + 1
    let whole = pitch(ow)
    return withScratch { scratch in
      let seen = rows.count + k - 1
      let squares = scratch.take(seen * w, of: T.self)
      let products = scratch.take(seen * w, of: T.self)
      let (px, py) = (x + rows.lowerBound * w, y + rows.lowerBound * w)
      for i in 0..<seen * w {
        squares[i] = px[i] * px[i] + py[i] * py[i]
        products[i] = px[i] * py[i]
      }
      let line = scratch.take(w, of: T.self)
      let means = scratch.take(4 * whole, of: T.self)
      // Beyond the last pixel, all means are zero: those terms are 1, and their derivatives unused.
      means.update(repeating: 0, count: 4 * whole)
      var sum = 0.0
      for row in 0..<rows.count {
        for (map, source) in [px, py, UnsafePointer(squares), UnsafePointer(products)].enumerated()
        {
          T.correlate(taps, k, with: source + row * w, every: w, w, into: line)
          T.correlate(taps, k, with: line, every: 1, ow, into: means + map * whole)
        }
        let place = maps.map { maps in
          let y = rows.lowerBound + row
          return (maps.row(0, plane, y), maps.row(1, plane, y), maps.row(2, plane, y))
        }
        sum +=
          T.similarity(
            means, means + whole, means + 2 * whole, means + 3 * whole, count: whole,
            luminance: luminance, derivatives: place) - Double(whole - ow)
      }
      return sum
    }
  }

  /// Some rows of a plane's gradient, times `scale`.
  @inline(__always)
  private static func collect<T: PointwiseScalar>(
    h: Int, w: Int, _ taps: UnsafePointer<T>, _ k: Int, _ maps: Maps<T>, _ x: UnsafePointer<T>,
    _ y: UnsafePointer<T>, plane: Int, rows: Range<Int>, scale: T,
    into gradient: UnsafeMutablePointer<T>
  ) {
    let (oh, ow) = (h - k + 1, w - k + 1)
    withScratch { scratch in
      // The line is padded with zeros on both sides.
      let padded = scratch.take(ow + 2 * (k - 1), of: T.self)
      padded.update(repeating: 0, count: ow + 2 * (k - 1))
      let line = padded + (k - 1)
      let sums = scratch.take(3 * w, of: T.self)
      for row in rows {
        let (first, last) = (max(0, row - oh + 1), min(k - 1, row))
        for map in 0..<3 {
          T.correlate(
            taps + first, last - first + 1, with: maps.row(map, plane, row - first),
            every: -maps.pitch, ow, into: line)
          T.correlate(taps, k, with: line, every: -1, w, into: sums + map * w)
        }
        let (px, py, out) = (x + row * w, y + row * w, gradient + row * w)
        for i in 0..<w {
          out[i] = scale * (sums[i] + 2 * px[i] * sums[w + i] + py[i] * sums[2 * w + i])
        }
      }
    }
  }
}

/// C₁ and C₂ for values from 0 to 1.
private let constants = (luminance: 0.01 * 0.01, contrast: 0.03 * 0.03)

extension Float {
  public static func similarity(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ s: UnsafePointer<Float>,
    _ p: UnsafePointer<Float>, count: Int, luminance: Bool, derivatives: Derivatives?
  ) -> Double {
    let c1 = Vector(repeating: Float(constants.luminance))
    let c2 = Vector(repeating: Float(constants.contrast))
    let (one, two) = (Vector(repeating: 1), Vector(repeating: 2))
    var total = Vector.zero
    for i in stride(from: 0, to: count, by: vectorWidth) {
      let (a, b) = (load(a + i), load(b + i))
      let squares = fma(a, a, b * b), product = a * b
      let inverse = one / (load(s + i) - squares + c2)
      let contrast = (two * (load(p + i) - product) + c2) * inverse
      var term = contrast
      var byA = two * (contrast * a - b) * inverse
      var byS = -contrast * inverse
      var byP = two * inverse
      if luminance {
        let share = one / (squares + c1)
        let light = (two * product + c1) * share
        byA = light * byA + two * contrast * (b - light * a) * share
        byS *= light
        byP *= light
        term = light * contrast
      }
      total += term
      if let derivatives {
        store(byA, derivatives.0 + i)
        store(byS, derivatives.1 + i)
        store(byP, derivatives.2 + i)
      }
    }
    return Double(total.sum())
  }
}

extension Double {
  public static func similarity(
    _ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ s: UnsafePointer<Double>,
    _ p: UnsafePointer<Double>, count: Int, luminance: Bool, derivatives: Derivatives?
  ) -> Double {
    let (c1, c2) = constants
    var total = 0.0
    for i in 0..<count {
      let (a, b) = (a[i], b[i])
      let squares = a * a + b * b
      let inverse = 1 / (s[i] - squares + c2)
      let contrast = (2 * (p[i] - a * b) + c2) * inverse
      let share = 1 / (squares + c1)
      let light = luminance ? (2 * a * b + c1) * share : 1
      total += light * contrast
      guard let derivatives else { continue }
      let byLight = luminance ? 2 * contrast * (b - light * a) * share : 0
      derivatives.0[i] = light * 2 * (contrast * a - b) * inverse + byLight
      derivatives.1[i] = -light * contrast * inverse
      derivatives.2[i] = light * 2 * inverse
    }
    return total
  }
}
