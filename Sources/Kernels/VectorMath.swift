import Glibc

// Elementary functions, one vector of floats at a time, within a few units in the last place of
// the correctly rounded result (`VectorMathTests` measures each against libm).

@inline(__always) func bits(_ v: Vector) -> Integers { unsafeBitCast(v, to: Integers.self) }
@inline(__always) func floats(_ v: Integers) -> Vector { unsafeBitCast(v, to: Vector.self) }
@inline(__always) private func poly(_ x: Vector, _ a: Float, _ b: Vector) -> Vector {
  fma(b, x, Vector(repeating: a))
}

/// Adding 1.5·2²³ leaves a float's nearest integer (ties to even) in its low bits.
private let roundingMagic: Float = 12_582_912

@inline(__always) private func lanewise(_ x: Vector, _ f: (Float) -> Float) -> Vector {
  var r = x
  for i in 0..<vectorWidth { r[i] = f(x[i]) }
  return r
}

/// ±sin(x − q·π) for |x − q·π| up to π/2, negated where `sign` is odd.
@inline(__always) private func sine(_ x: Vector, halfTurns q: Vector, sign: Integers) -> Vector {
  // π in three parts: the products are exact enough for |x| up to 10⁴.
  var r = fma(q, Vector(repeating: -3.141_592_7), x)
  r = fma(q, Vector(repeating: 8.742_278e-8), r)
  r = fma(q, Vector(repeating: 3.430_249e-15), r)
  let r2 = r * r
  // Minimax over ±π/2: 6e-9 of the sine.
  var p = poly(r2, -1.980_954e-4, Vector(repeating: 2.605_631_2e-6))
  p = poly(r2, 8.333_066e-3, p)
  p = poly(r2, -1.666_666e-1, p)
  return floats(bits(fma(r * r2, p, r)) ^ (sign &<< 31))
}

@inline(__always) private func anyLarge(_ x: Vector) -> Bool {
  // NaNs compare false and take the careful path too.
  !all(floats(bits(x) & 0x7fff_ffff) .<= Vector(repeating: 10_000))
}

@inline(__always) func vsin(_ x: Vector) -> Vector {
  if anyLarge(x) { return lanewise(x) { Float(sin(Double($0))) } }
  let shifted = fma(x, Vector(repeating: 0.318_309_9), Vector(repeating: roundingMagic))
  return sine(x, halfTurns: shifted - roundingMagic, sign: bits(shifted))
}

@inline(__always) func vcos(_ x: Vector) -> Vector {
  if anyLarge(x) { return lanewise(x) { Float(cos(Double($0))) } }
  // cos(r + (n + ½)·π) = −(−1)ⁿ·sin r.
  let shifted =
    fma(x, Vector(repeating: 0.318_309_9), Vector(repeating: -0.5)) + roundingMagic
  return sine(x, halfTurns: shifted - roundingMagic + 0.5, sign: bits(shifted) &+ 1)
}

@inline(__always) func vexp(_ x: Vector) -> Vector {
  let top = Vector(repeating: 88.722_84), bottom = Vector(repeating: -103.98)
  let inside = whereLess(x, bottom, bottom, whereLess(top, x, top, x))
  let shifted = fma(inside, Vector(repeating: 1.442_695), Vector(repeating: roundingMagic))
  let n = shifted - roundingMagic
  var r = fma(n, Vector(repeating: -0.693_359_4), inside)
  r = fma(n, Vector(repeating: 2.121_944_4e-4), r)
  var p = poly(r, 1.398_199_9e-3, Vector(repeating: 1.987_569_1e-4))
  p = poly(r, 8.333_452e-3, p)
  p = poly(r, 4.166_579_6e-2, p)
  p = poly(r, 1.666_666_5e-1, p)
  p = poly(r, 0.5, p)
  let e = fma(p, r * r, r + 1)
  // 2ⁿ as two factors, so that n = 128 does not overflow the exponent field.
  let k = bits(shifted) &- Int32(bitPattern: roundingMagic.bitPattern)
  let half = k &>> 1
  let value =
    e * floats((half &+ 127) &<< 23) * floats((k &- half &+ 127) &<< 23)
  let finite = whereLess(
    top, x, Vector(repeating: .infinity), whereLess(x, bottom, .zero, value))
  return whereEqual(x, x, finite, x)
}

@inline(__always) func vsigmoid(_ x: Vector) -> Vector { 1 / (1 + vexp(-x)) }

@inline(__always) func vtanh(_ x: Vector) -> Vector {
  let x2 = x * x
  let e = vexp(floats(bits(x) & 0x7fff_ffff) * 2)
  let large = 1 - 2 / (e + 1)
  let signed = floats(bits(large) | (bits(x) & Int32(bitPattern: 0x8000_0000)))
  var p = poly(x2, 2.063_908_9e-2, Vector(repeating: -5.704_988_7e-3))
  p = poly(x2, -5.373_971_6e-2, p)
  p = poly(x2, 1.333_144_2e-1, p)
  p = poly(x2, -3.333_328_2e-1, p)
  let small = fma(p * x2, x, x)
  return whereLess(x2, Vector(repeating: 0.390_625), small, signed)
}

/// The error function by a rational approximation; ±1 where that is its rounded value.
@inline(__always) func verf(_ v: Vector) -> Vector {
  let four = Vector(repeating: 4)
  let x = whereLess(v, -four, -four, whereLess(four, v, four, v))
  let x2 = x * x
  var a = poly(x2, 2.770_681_4e-8, Vector(repeating: -2.726_142_3e-10))
  a = poly(x2, -2.101_024e-6, a)
  a = poly(x2, -5.692_506_4e-5, a)
  a = poly(x2, -7.349_906_3e-4, a)
  a = poly(x2, -2.954_599_8e-3, a)
  a = poly(x2, -1.609_603_3e-2, a)
  var b = poly(x2, -2.133_740_6e-4, Vector(repeating: -1.456_607_2e-5))
  b = poly(x2, -1.682_827e-3, b)
  b = poly(x2, -7.373_329_2e-3, b)
  b = poly(x2, -1.426_473_9e-2, b)
  let sign = bits(v) & Int32(bitPattern: 0x8000_0000)
  let one = floats(sign | bits(Vector(repeating: 1)))
  return whereAtMost(Vector(repeating: 3.92), floats(bits(v) ^ sign), one, x * (a / b))
}

@inline(__always) private func normalCDF(_ x: Vector) -> Vector {
  fma(verf(x * 0.707_106_77), Vector(repeating: 0.5), Vector(repeating: 0.5))
}
@inline(__always) func vgelu(_ x: Vector) -> Vector { x * normalCDF(x) }
@inline(__always) func vgeluGradient(_ x: Vector) -> Vector {
  fma(x * 0.398_942_3, vexp(x * x * -0.5), normalCDF(x))
}
@inline(__always) func vsilu(_ x: Vector) -> Vector { x * vsigmoid(x) }
@inline(__always) func vsiluGradient(_ x: Vector) -> Vector {
  let s = vsigmoid(x)
  return s * fma(x, 1 - s, Vector(repeating: 1))
}
