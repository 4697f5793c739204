import CVector

// The vector types of the kernels: as wide as the build's instruction set, chosen at compile time.
// Memory layouts never depend on them: channels are padded to eight.

typealias V8 = SIMD8<Float>
#if LUNERV_VECTOR512
  typealias Vector = SIMD16<Float>
  typealias Integers = SIMD16<Int32>
#else
  typealias Vector = SIMD8<Float>
  typealias Integers = SIMD8<Int32>
#endif

/// Floats in a ``Vector``.
@inline(__always) var vectorWidth: Int { Vector.scalarCount }

@inline(__always) func load8(_ p: UnsafePointer<Float>) -> V8 { lunerv_load8(p) }
@inline(__always) func store8(_ v: V8, _ p: UnsafeMutablePointer<Float>) { lunerv_store8(v, p) }

/// Whether a result of this many floats is written past the caches: it would not stay in them
/// anyway, and an ordinary store first reads the line that it overwrites.
@inline(__always) func streams(_ count: Int) -> Bool { count >= streamingFloats }
private let streamingFloats = 1 << 21

/// Copies `count` floats, a multiple of eight, past the caches to `out`, a multiple of 32 bytes, in
/// whole cache lines where possible. Call ``finishStreaming(_:)`` before another thread reads them.
@inline(__always) func stream(
  _ p: UnsafePointer<Float>, to out: UnsafeMutablePointer<Float>, count: Int
) {
  var i = 0
  #if LUNERV_VECTOR512
    if Int(bitPattern: out) & 63 != 0, count >= 8 {
      lunerv_stream8(load8(p), out)
      i = 8
    }
    while i + 16 <= count {
      lunerv_stream16(load(p + i), out + i)
      i += 16
    }
  #endif
  while i < count {
    lunerv_stream8(load8(p + i), out + i)
    i += 8
  }
}

@inline(__always) func finishStreaming(_ streaming: Bool) {
  if streaming { lunerv_fence() }
}

@inline(__always) func load(_ p: UnsafePointer<Float>) -> Vector {
  #if LUNERV_VECTOR512
    lunerv_load16(p)
  #else
    lunerv_load8(p)
  #endif
}

@inline(__always) func store(_ v: Vector, _ p: UnsafeMutablePointer<Float>) {
  #if LUNERV_VECTOR512
    lunerv_store16(v, p)
  #else
    lunerv_store8(v, p)
  #endif
}

/// The first `n` floats at `p`, fewer than a vector holds, then zeros.
@inline(__always) func loadFirst(_ n: Int, _ p: UnsafePointer<Float>) -> Vector {
  #if LUNERV_VECTOR512
    if n == 8 { return lunerv_widen8(lunerv_load8(p)) }
  #endif
  var v = Vector.zero
  for i in 0..<n { v[i] = p[i] }
  return v
}

@inline(__always) func storeFirst(_ n: Int, _ v: Vector, _ p: UnsafeMutablePointer<Float>) {
  #if LUNERV_VECTOR512
    if n == 8 { return lunerv_store_first8(v, p) }
  #endif
  for i in 0..<n { p[i] = v[i] }
}

@inline(__always) func fma(_ a: V8, _ b: V8, _ c: V8) -> V8 { c.addingProduct(a, b) }
#if LUNERV_VECTOR512
  @inline(__always) func fma(_ a: Vector, _ b: Vector, _ c: Vector) -> Vector {
    c.addingProduct(a, b)
  }
#endif

@inline(__always) func squareRoot(_ v: Vector) -> Vector {
  #if LUNERV_VECTOR512
    lunerv_sqrt16(v)
  #else
    lunerv_sqrt8(v)
  #endif
}

/// `yes` where a < b, else `no`.
@inline(__always) func whereLess(_ a: Vector, _ b: Vector, _ yes: Vector, _ no: Vector) -> Vector {
  #if LUNERV_VECTOR512
    lunerv_where_less16(a, b, yes, no)
  #else
    lunerv_where_less8(a, b, yes, no)
  #endif
}
/// `yes` where a ≤ b, else `no`.
@inline(__always) func whereAtMost(_ a: Vector, _ b: Vector, _ yes: Vector, _ no: Vector) -> Vector
{
  #if LUNERV_VECTOR512
    lunerv_where_most16(a, b, yes, no)
  #else
    lunerv_where_most8(a, b, yes, no)
  #endif
}
/// `yes` where a = b, else `no`.
@inline(__always) func whereEqual(_ a: Vector, _ b: Vector, _ yes: Vector, _ no: Vector) -> Vector {
  #if LUNERV_VECTOR512
    lunerv_where_equal16(a, b, yes, no)
  #else
    lunerv_where_equal8(a, b, yes, no)
  #endif
}

/// Lane l of the result is lane `places`[l] of `v`.
@inline(__always) func permuted(_ v: Vector, _ places: Integers) -> Vector {
  #if LUNERV_VECTOR512
    lunerv_permute16(v, places)
  #else
    lunerv_permute8(v, places)
  #endif
}

/// Calls `body` with the first lane of every vector that covers `lanes`. (The compiler stops
/// inlining `stride` in functions that have inlined much already.)
@inline(__always) func forEachVectorOfLanes(_ lanes: Int, _ body: (Int) -> Void) {
  var c = 0
  while c < lanes {
    body(c)
    c += vectorWidth
  }
}

@inline(__always) func roundUp(_ n: Int, _ m: Int) -> Int { (n + m - 1) / m * m }
