// Logarithms and functions built on them, and the angle of a point, one vector of floats at a time.
// `VectorMathTests` measures them against libm.

@inline(__always) private func poly(_ x: Vector, _ a: Float, _ b: Vector) -> Vector {
  fma(b, x, Vector(repeating: a))
}
@inline(__always) private func all(_ x: Float) -> Vector { Vector(repeating: x) }
/// Adding 1.5·2²³ leaves a float's nearest integer in its low bits.
private let roundingMagic: Float = 12_582_912

/// Splits finite x > 0 into (1 + f)·2ᵉ, with 1 + f from √½ to below √2. `rest` is log(1 + f) − f.
@inline(__always) private func decomposed(_ x: Vector) -> (
  f: Vector, exponent: Vector, rest: Vector
) {
  let smallestNormal = all(1.175_494_4e-38)
  let scaled = whereLess(x, smallestNormal, x * 8_388_608, x)
  let b = bits(scaled)
  let e = (b &- 0x3f35_04f3) &>> 23
  let f = floats(b &- (e &<< 23)) - 1
  let exponent = floats(e &+ Int32(bitPattern: roundingMagic.bitPattern)) - roundingMagic
  var p = poly(f, -1.151_461_03e-1, all(7.037_683_6e-2))
  p = poly(f, 1.167_699_9e-1, p)
  p = poly(f, -1.242_014_1e-1, p)
  p = poly(f, 1.424_932_3e-1, p)
  p = poly(f, -1.666_805_8e-1, p)
  p = poly(f, 2.000_071_5e-1, p)
  p = poly(f, -2.499_999_4e-1, p)
  p = poly(f, 3.333_333_1e-1, p)
  let f2 = f * f
  return (f, whereLess(x, smallestNormal, exponent - 23, exponent), fma(f * f2, p, f2 * -0.5))
}

/// The special values of a logarithm: zero, negative, infinite and NaN arguments.
@inline(__always) private func settled(_ x: Vector, _ value: Vector) -> Vector {
  let outside = whereLess(x, .zero, all(.nan), whereEqual(x, .zero, all(-.infinity), value))
  return whereEqual(x, x, whereEqual(x, all(.infinity), x, outside), x)
}

@inline(__always) private func logarithm(_ x: Vector) -> Vector {
  let (f, e, rest) = decomposed(x)
  // ln 2 in two parts.
  return fma(e, all(0.693_359_4), f + fma(e, all(-2.121_944_4e-4), rest))
}

@inline(__always) func vlog2(_ x: Vector) -> Vector {
  let (f, e, rest) = decomposed(x)
  // log₂e = 1 + 0.4427: the 1 is exact.
  let part = all(0.442_695_04)
  let small = fma(f, part, fma(rest, part, rest)) + f
  return settled(x, small + e)
}

@inline(__always) func vlog1p(_ x: Vector) -> Vector {
  let u = x + 1
  // The rounding error of 1 + x.
  let lost = x - (u - 1)
  let value = settled(u, logarithm(u) + lost / u)
  return whereEqual(
    u, all(.infinity), u, whereEqual(x, .zero, x, whereEqual(u, .zero, settled(u, u), value)))
}

@inline(__always) func vexpm1(_ x: Vector) -> Vector {
  let top = all(88.722_84), bottom = all(-20)
  let inside = whereLess(x, bottom, bottom, whereLess(top, x, top, x))
  let shifted = fma(inside, all(1.442_695), all(roundingMagic))
  let n = shifted - roundingMagic
  var r = fma(n, all(-0.693_359_4), inside)
  r = fma(n, all(2.121_944_4e-4), r)
  var p = poly(r, 1.398_199_9e-3, all(1.987_569_1e-4))
  p = poly(r, 8.333_452e-3, p)
  p = poly(r, 4.166_579_6e-2, p)
  p = poly(r, 1.666_666_5e-1, p)
  p = poly(r, 0.5, p)
  // eʳ − 1; then times 2ⁿ, plus 2ⁿ − 1. Half of it is taken first, so that n = 128 does not
  // overflow.
  let e = fma(p, r * r, r)
  let half = (bits(shifted) &- Int32(bitPattern: roundingMagic.bitPattern)) &+ 126
  let scale = floats(half &<< 23)
  let value = fma(scale, e, scale - 0.5) * 2
  let finite = whereLess(top, x, all(.infinity), whereEqual(x, .zero, x, value))
  return whereEqual(x, x, finite, x)
}

/// log(1 + eˣ).
@inline(__always) func vsoftplus(_ x: Vector) -> Vector {
  let size = floats(bits(x) & 0x7fff_ffff)
  return whereLess(.zero, x, x, .zero) + vlog1p(vexp(-size))
}

/// The angle of (x, y) from −π to π.
@inline(__always) func vatan2(_ y: Vector, _ x: Vector) -> Vector {
  let mask: Int32 = 0x7fff_ffff
  let (ax, ay) = (floats(bits(x) & mask), floats(bits(y) & mask))
  let (small, large) = (whereLess(ax, ay, ax, ay), whereLess(ax, ay, ay, ax))
  // The quotient of two zeros is 0, of two infinities 1.
  var q = whereEqual(small, .zero, .zero, small / large)
  q = whereEqual(small, all(.infinity), all(1), q)
  // Beyond tan π/8, the angle is π/4 plus that of the remainder.
  let tanOfEighth = all(0.414_213_56)
  let t = whereLess(tanOfEighth, q, (q - 1) / (q + 1), q)
  let t2 = t * t
  var p = poly(t2, -1.387_768_6e-1, all(8.053_744_5e-2))
  p = poly(t2, 1.997_771_1e-1, p)
  p = poly(t2, -3.333_294_9e-1, p)
  var angle = fma(p * t2, t, t)
  angle = whereLess(tanOfEighth, q, angle + 0.785_398_16, angle)
  angle = whereLess(ax, ay, (all(1.570_796_4) - angle) - 4.371_139e-8, angle)
  // The sign bit of x decides: −0 is on the left.
  let isLeft = floats((bits(x) &>> 31) & 0x3f80_0000)
  angle = whereEqual(isLeft, all(1), (all(3.141_592_7) - angle) - 8.742_278e-8, angle)
  let signed = floats((bits(angle) & mask) | (bits(y) & ~mask))
  return whereEqual(x, x, whereEqual(y, y, signed, y), x)
}

@inline(__always) func vhardswish(_ x: Vector) -> Vector {
  let three = all(3)
  let middle = x * (x + 3) / 6
  return whereAtMost(x, -three, .zero, whereAtMost(three, x, x, middle))
}

@inline(__always) func vhardswishGradient(_ x: Vector) -> Vector {
  let three = all(3)
  return whereAtMost(x, -three, .zero, whereAtMost(three, x, all(1), x / 3 + 0.5))
}
