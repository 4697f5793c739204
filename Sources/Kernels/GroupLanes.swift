import CVector

/// How the groups of a product are placed in vectors: as many whole groups per vector as fit.
struct GroupLanes {
  let groups: Int
  /// Channels per group, on both sides of this product.
  let inputs: Int, outputs: Int
  /// Whether a group fits in a vector at all.
  let fit: Bool
  private let perVector: Int
  private let kernelSize: Int

  /// - Parameter adjoint: the product is the data gradient.
  init(_ s: ConvolutionShape, adjoint: Bool) {
    groups = s.groups
    let (i, o) = (s.inputs / s.groups, s.outputs / s.groups)
    (inputs, outputs) = adjoint ? (o, i) : (i, o)
    fit = max(i, o) <= vectorWidth
    perVector = max(1, vectorWidth / max(i, o))
    kernelSize = s.kh * s.kw
  }

  var vectors: Int { (groups + perVector - 1) / perVector }
  /// Output channels per vector.
  var step: Int { perVector * outputs }
  /// Whether inputs must be rearranged: one vector for each input of a group.
  var rearranges: Bool { inputs > 1 || outputs > 1 }

  /// The first input channel of a vector.
  func first(of vector: Int) -> Int { vector * perVector * inputs }

  /// For each lane, where input `j` of its group lies, in lanes from the vector's first.
  func places(of j: Int) -> Integers {
    var places = Integers.zero
    for l in 0..<min(step, vectorWidth) { places[l] = Int32(l / outputs * inputs + j) }
    return places
  }

  /// Blocks whose rearranged inputs, for one vector, stay in the nearest caches.
  func block(rows: Int, columns: Int) -> (rows: Int, columns: Int) {
    Gather.block(
      rows: rows, columns: columns, widest: 32, pixels: inputs * vectorWidth > 16 ? 128 : 256)
  }

  /// [vector][input][tap][lane], zero in lanes that have no channel.
  func pack(
    _ w: UnsafePointer<Float>, _ taps: [Gather.Tap], adjoint: Bool,
    into out: UnsafeMutablePointer<Float>
  ) {
    let terms = inputs * taps.count
    out.update(repeating: 0, count: vectors * terms * vectorWidth)
    for c in 0..<groups * outputs {
      let lane = out + c / step * terms * vectorWidth + c % step
      for j in 0..<inputs {
        let kernel =
          adjoint ? (c / outputs * inputs + j) * outputs + c % outputs : c * inputs + j
        for (t, tap) in taps.enumerated() {
          lane[(j * taps.count + t) * vectorWidth] = w[kernel * kernelSize + tap.place]
        }
      }
    }
  }
}

/// The inputs of a block of outputs: one vector for each term of a sum.
struct GroupSource {
  /// Floats from row to row and from column to column of the outputs.
  let rowPitch: Int, columnPitch: Int
  /// For each term, [input][tap]: its offset in floats from the first output's place.
  let offsets: UnsafePointer<Int>
  private let region: UnsafeMutablePointer<Float>
  private let rearranged: UnsafeMutablePointer<Float>
  private let places: UnsafePointer<Integers>
  private let pixels: Int
  private let inLanes: Int
  private let lanes: GroupLanes

  init(
    _ input: ImageOperand, n: Int, y0: Int, x0: Int, rows: Int, columns: Int, _ gather: Gather,
    _ lanes: GroupLanes, _ scratch: Scratch
  ) {
    self.lanes = lanes
    let shape = gather.region(rows: rows, columns: columns)
    pixels = shape.rows * shape.columns
    inLanes = input.layout.lanes
    let pitch = lanes.rearranges ? lanes.inputs * vectorWidth : inLanes
    rowPitch = shape.rowStep * shape.columns * pitch
    columnPitch = shape.columnStep * pitch
    // Columns are read in groups of four and lanes in whole vectors. The surplus is never used.
    let slack = 4 * shape.columnStep
    region = scratch.floats((pixels + slack) * inLanes + vectorWidth)
    gather.pack(input, n: n, y0: y0, x0: x0, shape, into: region)
    (region + pixels * inLanes).update(repeating: 0, count: slack * inLanes + vectorWidth)
    rearranged = scratch.floats(lanes.rearranges ? (pixels + slack) * pitch : 0)
    if lanes.rearranges {
      (rearranged + pixels * pitch).update(repeating: 0, count: slack * pitch)
    }
    let places = scratch.take(lanes.inputs, of: Integers.self)
    for j in 0..<lanes.inputs { places[j] = lanes.places(of: j) }
    self.places = UnsafePointer(places)
    let taps = gather.taps.count
    let offsets = scratch.take(lanes.inputs * taps, of: Int.self)
    for (t, tap) in gather.taps.enumerated() {
      let place = gather.offset(tap, in: shape) * pitch
      for j in 0..<lanes.inputs { offsets[j * taps + t] = place + j * vectorWidth }
    }
    self.offsets = UnsafePointer(offsets)
  }

  /// The inputs of a vector of outputs: valid until the next call.
  func pixels(of vector: Int) -> UnsafePointer<Float> {
    let source = region + lanes.first(of: vector)
    guard lanes.rearranges else { return UnsafePointer(source) }
    rearrange(
      source, pitch: inLanes, count: pixels, places: places, inputs: lanes.inputs, to: rearranged)
    return UnsafePointer(rearranged)
  }
}

/// Makes, for each pixel, a vector for each input of a group.
@inline(never) private func rearrange(
  _ source: UnsafePointer<Float>, pitch: Int, count: Int, places: UnsafePointer<Integers>,
  inputs: Int, to out: UnsafeMutablePointer<Float>
) {
  var (p, q) = (source, out)
  for _ in 0..<count {
    let v = load(p)
    for j in 0..<inputs {
      store(permuted(v, places[j]), q)
      q += vectorWidth
    }
    p += pitch
  }
}

/// `count` columns of a row, a multiple of four: bias + Σ weights · inputs, term by term. If
/// `fused`, products are not rounded.
func sumRow(
  _ source: UnsafePointer<Float>, step: Int, offsets: UnsafePointer<Int>, terms: Int,
  weights: UnsafePointer<Float>, bias: Vector, out: UnsafeMutablePointer<Float>, outPitch: Int,
  count: Int, fused: Bool
) {
  var x = 0
  while x + 8 <= count {
    if fused {
      eightFused(
        source + x * step, step, offsets, terms, weights, bias, out + x * outPitch, outPitch)
    } else {
      eight(source + x * step, step, offsets, terms, weights, bias, out + x * outPitch, outPitch)
    }
    x += 8
  }
  while x < count {
    if fused {
      fourFused(
        source + x * step, step, offsets, terms, weights, bias, out + x * outPitch, outPitch)
    } else {
      four(source + x * step, step, offsets, terms, weights, bias, out + x * outPitch, outPitch)
    }
    x += 4
  }
}

@inline(__always) private func columns<let P: Int>(
  _ zero: InlineArray<P, Vector>, _ source: UnsafePointer<Float>, _ step: Int,
  _ offsets: UnsafePointer<Int>, _ terms: Int, _ weights: UnsafePointer<Float>, _ bias: Vector,
  _ out: UnsafeMutablePointer<Float>, _ outPitch: Int, fused: Bool
) {
  var sums = InlineArray<P, Vector> { _ in bias }
  var q = weights
  for term in 0..<terms {
    let w = load(q)
    let p = source + offsets[term]
    for i in 0..<P {
      let v = load(p + i * step)
      sums[i] = fused ? fma(w, v, sums[i]) : sums[i] + w * v
    }
    q += vectorWidth
  }
  for i in 0..<P { store(sums[i], out + i * outPitch) }
}

@inline(__always) private func zeros<let P: Int>(_: InlineArray<P, Vector>.Type)
  -> InlineArray<P, Vector>
{ .init { _ in .zero } }

@inline(never) private func eight(
  _ source: UnsafePointer<Float>, _ step: Int, _ offsets: UnsafePointer<Int>, _ terms: Int,
  _ weights: UnsafePointer<Float>, _ bias: Vector, _ out: UnsafeMutablePointer<Float>,
  _ outPitch: Int
) {
  columns(
    zeros(InlineArray<8, Vector>.self), source, step, offsets, terms, weights, bias, out, outPitch,
    fused: false)
}

@inline(never) private func four(
  _ source: UnsafePointer<Float>, _ step: Int, _ offsets: UnsafePointer<Int>, _ terms: Int,
  _ weights: UnsafePointer<Float>, _ bias: Vector, _ out: UnsafeMutablePointer<Float>,
  _ outPitch: Int
) {
  columns(
    zeros(InlineArray<4, Vector>.self), source, step, offsets, terms, weights, bias, out, outPitch,
    fused: false)
}

@inline(never) private func eightFused(
  _ source: UnsafePointer<Float>, _ step: Int, _ offsets: UnsafePointer<Int>, _ terms: Int,
  _ weights: UnsafePointer<Float>, _ bias: Vector, _ out: UnsafeMutablePointer<Float>,
  _ outPitch: Int
) {
  columns(
    zeros(InlineArray<8, Vector>.self), source, step, offsets, terms, weights, bias, out, outPitch,
    fused: true)
}

@inline(never) private func fourFused(
  _ source: UnsafePointer<Float>, _ step: Int, _ offsets: UnsafePointer<Int>, _ terms: Int,
  _ weights: UnsafePointer<Float>, _ bias: Vector, _ out: UnsafeMutablePointer<Float>,
  _ outPitch: Int
) {
  columns(
    zeros(InlineArray<4, Vector>.self), source, step, offsets, terms, weights, bias, out, outPitch,
    fused: true)
}

/// Where a block of inputs and its gradient lie.
private struct TapOperands {
  var source: UnsafePointer<Float>
  var rowPitch: Int, step: Int
  var gradient: UnsafePointer<Float>
  var gradientPitch: Int
  var rows: Int, columns: Int
}

/// sum[term] += Σ over the block's pixels of gradient · input, a vector for each term.
func sumTaps(
  _ source: UnsafePointer<Float>, rowPitch: Int, step: Int, offsets: UnsafePointer<Int>,
  terms: Int, gradient: UnsafePointer<Float>, gradientPitch: Int, rows: Int, columns: Int,
  sum: UnsafeMutablePointer<Float>
) {
  let o = TapOperands(
    source: source, rowPitch: rowPitch, step: step, gradient: gradient,
    gradientPitch: gradientPitch, rows: rows, columns: columns)
  var term = 0
  while term < terms {
    let (at, to) = (offsets + term, sum + term * vectorWidth)
    // Each gradient that is read serves several terms.
    switch terms - term {
    case 9...:
      taps9(o, at, to)
      term += 9
    case 5...:
      taps5(o, at, to)
      term += 5
    case 3...:
      taps3(o, at, to)
      term += 3
    default:
      taps1(o, at, to)
      term += 1
    }
  }
}

@inline(__always) private func taps<let N: Int>(
  _ zero: InlineArray<N, Vector>, _ o: TapOperands, _ offsets: UnsafePointer<Int>,
  _ sum: UnsafeMutablePointer<Float>
) {
  var sums = zero
  for i in 0..<N { sums[i] = load(sum + i * vectorWidth) }
  let places = InlineArray<N, Int> { offsets[$0] }
  for y in 0..<o.rows {
    var p = o.source + y * o.rowPitch
    var q = o.gradient + y * o.columns * o.gradientPitch
    for _ in 0..<o.columns {
      let g = load(q)
      for i in 0..<N { sums[i] = fma(g, load(p + places[i]), sums[i]) }
      p += o.step
      q += o.gradientPitch
    }
  }
  for i in 0..<N { store(sums[i], sum + i * vectorWidth) }
}

@inline(never) private func taps9(
  _ o: TapOperands, _ offsets: UnsafePointer<Int>, _ sum: UnsafeMutablePointer<Float>
) { taps(zeros(InlineArray<9, Vector>.self), o, offsets, sum) }

@inline(never) private func taps5(
  _ o: TapOperands, _ offsets: UnsafePointer<Int>, _ sum: UnsafeMutablePointer<Float>
) { taps(zeros(InlineArray<5, Vector>.self), o, offsets, sum) }

@inline(never) private func taps3(
  _ o: TapOperands, _ offsets: UnsafePointer<Int>, _ sum: UnsafeMutablePointer<Float>
) { taps(zeros(InlineArray<3, Vector>.self), o, offsets, sum) }

@inline(never) private func taps1(
  _ o: TapOperands, _ offsets: UnsafePointer<Int>, _ sum: UnsafeMutablePointer<Float>
) { taps(zeros(InlineArray<1, Vector>.self), o, offsets, sum) }
