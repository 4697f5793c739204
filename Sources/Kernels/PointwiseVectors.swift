import Glibc

// Pointwise operators on floats, one vector at a time, and the other methods of
// ``PointwiseScalar``.

@inline(__always) private func map(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>,
  _ f: (Vector) -> Vector
) {
  var i = 0
  while i + vectorWidth <= n {
    store(f(load(a + i)), out + i)
    i += vectorWidth
  }
  if i < n { storeFirst(n - i, f(loadFirst(n - i, a + i)), out + i) }
}

// The loops of the elementary functions are separate: in one function with the others they would
// exceed what the compiler is willing to inline.

@inline(never) private func expOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vexp($0) } }

@inline(never) private func sqrtOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { squareRoot($0) } }

@inline(never) private func reciprocalSqrtOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { Vector(repeating: 1) / squareRoot($0) } }

@inline(never) private func sinOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vsin($0) } }

@inline(never) private func cosOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vcos($0) } }

@inline(never) private func tanhOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vtanh($0) } }

@inline(never) private func sigmoidOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vsigmoid($0) } }

@inline(never) private func geluOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vgelu($0) } }

@inline(never) private func geluGradientOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vgeluGradient($0) } }

@inline(never) private func siluOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vsilu($0) } }

@inline(never) private func siluGradientOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vsiluGradient($0) } }

@inline(never) private func erfOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { verf($0) } }

@inline(never) private func softplusOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vsoftplus($0) } }

@inline(never) private func hardswishOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vhardswish($0) } }

@inline(never) private func hardswishGradientOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vhardswishGradient($0) } }

@inline(never) private func log1pOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vlog1p($0) } }

@inline(never) private func expm1OfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vexpm1($0) } }

@inline(never) private func log2OfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vlog2($0) } }

@inline(never) private func atan2OfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
  _ out: UnsafeMutablePointer<Float>
) {
  var i = 0
  while i + vectorWidth <= n {
    store(vatan2(load(a + i), load(b + i)), out + i)
    i += vectorWidth
  }
  if i < n { storeFirst(n - i, vatan2(loadFirst(n - i, a + i), loadFirst(n - i, b + i)), out + i) }
}

extension Float: PointwiseScalar {
  public static func apply(
    _ op: PointwiseOperator, p: Double, q: Double, _ n: Int, _ a: UnsafePointer<Float>,
    _ b: UnsafePointer<Float>, _ c: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
  ) {
    let pv = Vector(repeating: Float(p)), qv = Vector(repeating: Float(q))
    let (one, zero) = (Vector(repeating: 1), Vector.zero)
    @inline(__always) func unary(_ f: (Vector) -> Vector) { map(n, a, out, f) }
    @inline(__always) func binary(_ f: (Vector, Vector) -> Vector) {
      var i = 0
      while i + vectorWidth <= n {
        store(f(load(a + i), load(b + i)), out + i)
        i += vectorWidth
      }
      if i < n {
        storeFirst(n - i, f(loadFirst(n - i, a + i), loadFirst(n - i, b + i)), out + i)
      }
    }
    @inline(__always) func scalar(_ f: (Float) -> Float) {
      for i in 0..<n { out[i] = f(a[i]) }
    }
    switch op {
    case .copy: unary { $0 }
    case .negate: unary { -$0 }
    case .absolute: unary { whereLess($0, zero, -$0, $0) }
    case .exp: expOfAll(n, a, out)
    case .log: scalar { Glibc.logf($0) }
    case .sqrt: sqrtOfAll(n, a, out)
    case .reciprocalSqrt: reciprocalSqrtOfAll(n, a, out)
    case .sin: sinOfAll(n, a, out)
    case .cos: cosOfAll(n, a, out)
    case .tanh: tanhOfAll(n, a, out)
    case .sigmoid: sigmoidOfAll(n, a, out)
    case .relu: unary { whereLess($0, zero, zero, $0) }
    case .gelu: geluOfAll(n, a, out)
    case .geluGradient: geluGradientOfAll(n, a, out)
    case .silu: siluOfAll(n, a, out)
    case .siluGradient: siluGradientOfAll(n, a, out)
    case .erf: erfOfAll(n, a, out)
    case .square: unary { $0 * $0 }
    case .sign:
      unary { whereLess($0, zero, -one, whereLess(zero, $0, one, zero)) }
    case .round: unary { $0.rounded(.toNearestOrEven) }
    case .floor: unary { $0.rounded(.down) }
    case .reciprocal: unary { one / $0 }
    case .softplus: softplusOfAll(n, a, out)
    case .hardswish: hardswishOfAll(n, a, out)
    case .hardswishGradient: hardswishGradientOfAll(n, a, out)
    case .log1p: log1pOfAll(n, a, out)
    case .expm1: expm1OfAll(n, a, out)
    case .log2: log2OfAll(n, a, out)
    case .addConstant: unary { $0 + pv }
    case .multiplyConstant: unary { $0 * pv }
    case .powerConstant: scalar { Glibc.powf($0, Float(p)) }
    case .clamp:
      unary {
        let raised = whereLess($0, pv, pv, $0)
        return whereLess(qv, raised, qv, raised)
      }
    case .inRange: unary { whereAtMost(pv, $0, whereAtMost($0, qv, one, zero), zero) }
    case .isPositive: unary { whereLess(zero, $0, one, zero) }
    case .leakyRelu: unary { whereLess($0, zero, $0 * pv, $0) }
    case .add: binary { $0 + $1 }
    case .subtract: binary { $0 - $1 }
    case .multiply: binary { $0 * $1 }
    case .divide: binary { $0 / $1 }
    // A NaN on either side is the result.
    case .maximum: binary { whereLess($0, $1, $1, whereEqual($1, $1, $0, $1)) }
    case .minimum: binary { whereLess($1, $0, $1, whereEqual($1, $1, $0, $1)) }
    case .power: for i in 0..<n { out[i] = Glibc.powf(a[i], b[i]) }
    case .modulo:
      for i in 0..<n {
        let rest = Glibc.fmodf(a[i], b[i])
        out[i] = (rest > 0 ? b[i] < 0 : rest < 0 && b[i] > 0) ? rest + b[i] : rest
      }
    case .atan2: atan2OfAll(n, a, b, out)
    case .equal: binary { whereEqual($0, $1, one, zero) }
    case .notEqual: binary { whereEqual($0, $1, zero, one) }
    case .less: binary { whereLess($0, $1, one, zero) }
    case .lessOrEqual: binary { whereAtMost($0, $1, one, zero) }
    case .greater: binary { whereLess($1, $0, one, zero) }
    case .greaterOrEqual: binary { whereAtMost($1, $0, one, zero) }
    case .choose: for i in 0..<n { out[i] = c[i] != 0 ? a[i] : b[i] }
    case .multiplyAdd:
      var i = 0
      while i + vectorWidth <= n {
        store(fma(load(a + i), load(b + i), load(c + i)), out + i)
        i += vectorWidth
      }
      while i < n {
        out[i] = c[i].addingProduct(a[i], b[i])
        i += 1
      }
    }
  }

  public static func stream(
    _ values: UnsafePointer<Float>, _ count: Int, to out: UnsafeMutablePointer<Float>
  ) {
    guard Int(bitPattern: out) % 32 == 0 else {
      out.update(from: values, count: count)
      return
    }
    let whole = count / 8 * 8
    Kernels.stream(values, to: out, count: whole)
    (out + whole).update(from: values + whole, count: count - whole)
  }

  public static func correlate(
    _ taps: UnsafePointer<Float>, _ k: Int, with values: UnsafePointer<Float>, every stride: Int,
    _ count: Int, into out: UnsafeMutablePointer<Float>
  ) {
    // Eight sums at once fill the pipelines: a product takes four cycles, and two end per cycle.
    // The last group overlaps the previous one and computes some values again, with the same bits.
    var i = 0
    if count >= 8 * vectorWidth {
      while i < count {
        i = min(i, count - 8 * vectorWidth)
        correlateEight(taps, k, with: values + i, every: stride, into: out + i)
        i += 8 * vectorWidth
      }
    } else if count >= 4 * vectorWidth {
      while i < count {
        i = min(i, count - 4 * vectorWidth)
        correlateFour(taps, k, with: values + i, every: stride, into: out + i)
        i += 4 * vectorWidth
      }
    } else if count >= vectorWidth {
      while i < count {
        i = min(i, count - vectorWidth)
        var sum = Vector.zero
        for j in 0..<k {
          sum = fma(Vector(repeating: taps[j]), load(values + i + j * stride), sum)
        }
        store(sum, out + i)
        i += vectorWidth
      }
    }
    while i < count {
      var sum: Float = 0
      for j in 0..<k { sum = sum.addingProduct(taps[j], values[i + j * stride]) }
      out[i] = sum
      i += 1
    }
  }

  @inline(__always)
  private static func correlateEight(
    _ taps: UnsafePointer<Float>, _ k: Int, with values: UnsafePointer<Float>, every stride: Int,
    into out: UnsafeMutablePointer<Float>
  ) {
    var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var (e, f, g, h) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var p = values
    for j in 0..<k {
      let tap = Vector(repeating: taps[j])
      a = fma(tap, load(p), a)
      b = fma(tap, load(p + vectorWidth), b)
      c = fma(tap, load(p + 2 * vectorWidth), c)
      d = fma(tap, load(p + 3 * vectorWidth), d)
      e = fma(tap, load(p + 4 * vectorWidth), e)
      f = fma(tap, load(p + 5 * vectorWidth), f)
      g = fma(tap, load(p + 6 * vectorWidth), g)
      h = fma(tap, load(p + 7 * vectorWidth), h)
      p += stride
    }
    store(a, out)
    store(b, out + vectorWidth)
    store(c, out + 2 * vectorWidth)
    store(d, out + 3 * vectorWidth)
    store(e, out + 4 * vectorWidth)
    store(f, out + 5 * vectorWidth)
    store(g, out + 6 * vectorWidth)
    store(h, out + 7 * vectorWidth)
  }

  @inline(__always)
  private static func correlateFour(
    _ taps: UnsafePointer<Float>, _ k: Int, with values: UnsafePointer<Float>, every stride: Int,
    into out: UnsafeMutablePointer<Float>
  ) {
    var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var p = values
    for j in 0..<k {
      let tap = Vector(repeating: taps[j])
      a = fma(tap, load(p), a)
      b = fma(tap, load(p + vectorWidth), b)
      c = fma(tap, load(p + 2 * vectorWidth), c)
      d = fma(tap, load(p + 3 * vectorWidth), d)
      p += stride
    }
    store(a, out)
    store(b, out + vectorWidth)
    store(c, out + 2 * vectorWidth)
    store(d, out + 3 * vectorWidth)
  }

  public static func addRows(
    _ values: UnsafePointer<Float>, rows: Int, lanes: Int, to sums: UnsafeMutablePointer<Float>
  ) {
    var c = 0
    while c + vectorWidth <= lanes {
      // Two chains per vector: an addition takes four cycles.
      var (even, odd) = (Vector.zero, Vector.zero)
      var p = values + c
      for _ in 0..<rows / 2 {
        even += load(p)
        odd += load(p + lanes)
        p += 2 * lanes
      }
      if rows % 2 == 1 { even += load(p) }
      store(load(sums + c) + (even + odd), sums + c)
      c += vectorWidth
    }
    while c < lanes {
      var total = V8.zero
      for r in 0..<rows { total += load8(values + r * lanes + c) }
      store8(load8(sums + c) + total, sums + c)
      c += 8
    }
  }
}
