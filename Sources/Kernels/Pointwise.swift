import Glibc

/// A pointwise operator on values; `p` and `q` are an instruction's constants.
public enum PointwiseOperator: UInt8, Sendable {
  // One operand.
  case copy, negate, absolute, exp, log, sqrt, reciprocalSqrt, sin, cos, tanh, sigmoid, relu, gelu
  case geluGradient, silu, siluGradient, erf, square, sign, round, floor, reciprocal
  /// x + p, x·p, xᵖ, min(max(x, p), q), 1 where p ≤ x ≤ q else 0, 1 where x > 0 else 0.
  case addConstant, multiplyConstant, powerConstant, clamp, inRange, isPositive
  // Two operands.
  case add, subtract, multiply, divide, maximum, minimum, power
  case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual
  // Three operands: a where c ≠ 0 else b; a·b + c.
  case choose, multiplyAdd

  public var operands: Int {
    switch self {
    case .choose, .multiplyAdd: 3
    case .add, .subtract, .multiply, .divide, .maximum, .minimum, .power, .equal, .notEqual,
      .less, .lessOrEqual, .greater, .greaterOrEqual:
      2
    default: 1
    }
  }
}

/// The scalars that pointwise programs compute with.
public protocol PointwiseScalar: BinaryFloatingPoint {
  static func apply(
    _ op: PointwiseOperator, p: Double, q: Double, _ n: Int, _ a: UnsafePointer<Self>,
    _ b: UnsafePointer<Self>, _ c: UnsafePointer<Self>, _ out: UnsafeMutablePointer<Self>)
}

/// A chain of pointwise operators over one physical index space, evaluated in one pass
/// over pieces that stay in the first-level cache.
public struct PointwiseProgramOf<T: PointwiseScalar> {
  /// How the value at physical index i of the result's space is found.
  public enum Leaf {
    case flat(UnsafePointer<T>)
    case constant(T)
    /// values[i mod count]: one value a channel, or a leading dimension broadcast. The
    /// periods of one program divide each other, as products of trailing sizes do.
    case periodic(UnsafePointer<T>, count: Int)
    /// values[i div count]: one value a pixel or a row.
    case repeated(UnsafePointer<T>, count: Int)
    /// Any broadcast: physical dimensions, outermost first, with this leaf's strides.
    case strided(UnsafePointer<T>, sizes: [Int], strides: [Int])
  }

  /// Operands are registers: leaves come first, then one for each instruction.
  public struct Instruction {
    public var op: PointwiseOperator
    public var a: Int, b: Int, c: Int
    public var p: Double, q: Double
    public init(
      _ op: PointwiseOperator, _ a: Int, _ b: Int = -1, _ c: Int = -1, p: Double = 0, q: Double = 0
    ) {
      self.op = op
      self.a = a
      self.b = b
      self.c = c
      self.p = p
      self.q = q
    }
  }

  public let count: Int
  public let leaves: [Leaf]
  public let instructions: [Instruction]
  /// Lanes of a pixel, and how many of them are channels, when the others must be made
  /// zero; (1, 1) where there is no padding to keep.
  public let lanes: Int
  public let channels: Int
  /// What the leaves' memory belongs to.
  public let owners: [AnyObject]
  private let slots: [Int]
  private let slotCount: Int
  private let piece: Int

  /// `slots` reuses buffers as soon as their last reader is done.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public init(
    count: Int, leaves: [Leaf], instructions: [Instruction], lanes: Int, channels: Int,
    owners: [AnyObject]
  ) {
    self.count = count
    self.leaves = leaves
    self.instructions = instructions
    self.lanes = lanes
    self.channels = channels
    self.owners = owners
    var align = max(lanes, 1)
    for leaf in leaves {
      if case .periodic(_, let n) = leaf, n <= 1024, align % n != 0 {
        align = n % align == 0 ? n : align * n
      }
    }
    piece = align >= 1024 ? align : 1024 / align * align
    var last = [Int](repeating: -1, count: leaves.count + instructions.count)
    for (i, ins) in instructions.enumerated() {
      for r in [ins.a, ins.b, ins.c] where r >= 0 { last[r] = i }
    }
    var slots = [Int](repeating: -1, count: instructions.count)
    var free: [Int] = []
    var used = 0
    for (i, ins) in instructions.enumerated() {
      for r in Set([ins.a, ins.b, ins.c])
      where r >= leaves.count && last[r] == i && slots[r - leaves.count] >= 0 {
        free.append(slots[r - leaves.count])
      }
      // Writing over an operand that dies here is fine: every operator is elementwise.
      if let slot = free.popLast() {
        slots[i] = slot
      } else {
        slots[i] = used
        used += 1
      }
    }
    self.slots = slots
    slotCount = used
  }

  /// The memory itself, when there is nothing to compute.
  public var memory: UnsafePointer<T>? {
    if instructions.isEmpty, leaves.count == 1, case .flat(let p) = leaves[0] { return p }
    return nil
  }

  /// Values `start..<start+count`, in order; `start` on a pixel boundary.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public func evaluate(start: Int, count: Int, into out: UnsafeMutablePointer<T>) {
    if let memory {
      out.update(from: memory + start, count: count)
      return
    }
    withScratch { scratch in
      run(start: start, count: count, scratch) { offset, n, registers in
        UnsafeMutablePointer(out + offset)
      }
    }
  }

  /// Calls `body(offset, count, values)` for consecutive pieces of `start..<start+count`.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public func forEachPiece(
    start: Int, count: Int,
    _ body: (_ offset: Int, _ count: Int, _ values: UnsafePointer<T>) -> Void
  ) {
    if let memory {
      body(0, count, memory + start)
      return
    }
    withScratch { scratch in
      let buffer = scratch.take(piece + 208, of: T.self)
      var pending: (Int, Int)?
      run(start: start, count: count, scratch) { offset, n, _ in
        if let (o, m) = pending { body(o, m, UnsafePointer(buffer)) }
        pending = (offset, n)
        return buffer
      }
      if let (o, m) = pending { body(o, m, UnsafePointer(buffer)) }
    }
  }

  private func run(
    start: Int, count: Int, _ scratch: Scratch,
    _ target: (_ offset: Int, _ count: Int, _ registers: Int) -> UnsafeMutablePointer<T>
  ) {
    let registers = scratch.take(leaves.count + instructions.count, of: UnsafePointer<T>.self)
    // Buffers a multiple of 4096 bytes apart would make every load wait for the store before
    // it, whose address looks the same: they are staggered.
    let stagger = piece + 208
    let buffers = scratch.take(slotCount * stagger, of: T.self)
    let fills = scratch.take(leaves.count, of: UnsafeMutablePointer<T>?.self)
    for (i, leaf) in leaves.enumerated() {
      fills[i] = nil
      switch leaf {
      case .flat: break
      case .constant(let v):
        let fill = scratch.take(stagger, of: T.self)
        fill.update(repeating: v, count: min(piece, count))
        registers[i] = UnsafePointer(fill)
      case .periodic(let p, let n) where n <= 1024:
        let fill = scratch.take(stagger, of: T.self)
        fillPeriodic(p, n, from: start % n, count: min(piece, count), into: fill)
        registers[i] = UnsafePointer(fill)
      default: fills[i] = scratch.take(stagger, of: T.self)
      }
    }
    var done = 0
    while done < count {
      var n = min(piece, count - done)
      let at = start + done
      for leaf in leaves {
        if case .periodic(_, let period) = leaf, period > 1024 {
          n = min(n, period - at % period)
        }
      }
      for (i, leaf) in leaves.enumerated() {
        switch leaf {
        case .flat(let p): registers[i] = p + at
        case .constant: break
        case .periodic(let p, let period):
          if fills[i] != nil { registers[i] = p + at % period }
        case .repeated(let p, let period):
          guard let fill = fills[i] else { break }
          var j = 0
          var (value, within) = (at / period, at % period)
          while j < n {
            let m = min(period - within, n - j)
            (fill + j).update(repeating: p[value], count: m)
            j += m
            within = 0
            value += 1
          }
          registers[i] = UnsafePointer(fill)
        case .strided(let p, let sizes, let strides):
          guard let fill = fills[i] else { break }
          fillStrided(p, sizes: sizes, strides: strides, at: at, count: n, into: fill)
          registers[i] = UnsafePointer(fill)
        }
      }
      let out = target(done, n, leaves.count)
      for (i, ins) in instructions.enumerated() {
        let result = i == instructions.count - 1 ? out : buffers + slots[i] * stagger
        let a = registers[ins.a]
        T.apply(
          ins.op, p: ins.p, q: ins.q, n, a, ins.b >= 0 ? registers[ins.b] : a,
          ins.c >= 0 ? registers[ins.c] : a, result)
        registers[leaves.count + i] = UnsafePointer(result)
      }
      if instructions.isEmpty { out.update(from: registers[0], count: n) }
      if channels < lanes {
        var pixel = out
        for _ in 0..<n / lanes {
          for c in channels..<lanes { pixel[c] = 0 }
          pixel += lanes
        }
      }
      done += n
    }
  }

  /// p[from], p[from + 1], … round and round: one period, then what is there, doubled.
  private func fillPeriodic(
    _ p: UnsafePointer<T>, _ n: Int, from: Int, count: Int, into fill: UnsafeMutablePointer<T>
  ) {
    let head = min(n - from, count)
    fill.update(from: p + from, count: head)
    if head < count { (fill + head).update(from: p, count: min(from, count - head)) }
    var done = min(n, count)
    while done < count {
      let m = min(done, count - done)
      (fill + done).update(from: fill, count: m)
      done += m
    }
  }

  private func fillStrided(
    _ p: UnsafePointer<T>, sizes: [Int], strides: [Int], at: Int, count: Int,
    into fill: UnsafeMutablePointer<T>
  ) {
    let rank = sizes.count
    var index = [Int](repeating: 0, count: rank)
    var rest = at
    var offset = 0
    for d in Swift.stride(from: rank - 1, through: 0, by: -1) {
      index[d] = rest % sizes[d]
      rest /= sizes[d]
      offset += index[d] * strides[d]
    }
    let inner = rank - 1
    var j = 0
    while j < count {
      let m = min(sizes[inner] - index[inner], count - j)
      let step = strides[inner]
      for k in 0..<m { fill[j + k] = p[offset + k * step] }
      j += m
      offset += m * step
      index[inner] += m
      var d = inner
      while d > 0, index[d] == sizes[d] {
        offset -= index[d] * strides[d]
        index[d] = 0
        d -= 1
        index[d] += 1
        offset += strides[d]
      }
    }
  }

  /// The whole result, shared among the threads.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public func evaluateAll(into out: UnsafeMutablePointer<T>) {
    let block = blockSize
    ThreadPool.shared.run((count + block - 1) / block) { i in
      let start = i * block
      evaluate(start: start, count: min(block, count - start), into: out + start)
    }
  }

  /// Elements that one thread takes at once, a whole number of pixels.
  var blockSize: Int { max(1, (32 << 10) / piece) * piece }
}

public typealias PointwiseProgram = PointwiseProgramOf<Float>

extension Float: PointwiseScalar {
  public static func apply(
    _ op: PointwiseOperator, p: Double, q: Double, _ n: Int, _ a: UnsafePointer<Float>,
    _ b: UnsafePointer<Float>, _ c: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
  ) {
    let pv = Vector(repeating: Float(p)), qv = Vector(repeating: Float(q))
    let (one, zero) = (Vector(repeating: 1), Vector.zero)
    @inline(__always) func unary(_ f: (Vector) -> Vector) {
      var i = 0
      while i + vectorWidth <= n {
        store(f(load(a + i)), out + i)
        i += vectorWidth
      }
      if i < n {
        var v = Vector.zero
        for k in 0..<(n - i) { v[k] = a[i + k] }
        let r = f(v)
        for k in 0..<(n - i) { out[i + k] = r[k] }
      }
    }
    @inline(__always) func binary(_ f: (Vector, Vector) -> Vector) {
      var i = 0
      while i + vectorWidth <= n {
        store(f(load(a + i), load(b + i)), out + i)
        i += vectorWidth
      }
      if i < n {
        var v = Vector.zero, w = Vector.zero
        for k in 0..<(n - i) {
          v[k] = a[i + k]
          w[k] = b[i + k]
        }
        let r = f(v, w)
        for k in 0..<(n - i) { out[i + k] = r[k] }
      }
    }
    @inline(__always) func scalar(_ f: (Float) -> Float) {
      for i in 0..<n { out[i] = f(a[i]) }
    }
    @inline(__always) func flag(_ f: (Vector, Vector) -> SIMDMask<Integers>) {
      binary { zero.replacing(with: one, where: f($0, $1)) }
    }
    switch op {
    case .copy: unary { $0 }
    case .negate: unary { -$0 }
    case .absolute: unary { $0.replacing(with: -$0, where: $0 .< zero) }
    case .exp: unary(vexp)
    case .log: scalar { Glibc.logf($0) }
    case .sqrt: unary { $0.squareRoot() }
    case .reciprocalSqrt: unary { one / $0.squareRoot() }
    case .sin: unary(vsin)
    case .cos: unary(vcos)
    case .tanh: unary(vtanh)
    case .sigmoid: unary(vsigmoid)
    case .relu: unary { $0.replacing(with: zero, where: $0 .< zero) }
    case .gelu: unary(vgelu)
    case .geluGradient: unary(vgeluGradient)
    case .silu: unary(vsilu)
    case .siluGradient: unary(vsiluGradient)
    case .erf: unary(verf)
    case .square: unary { $0 * $0 }
    case .sign:
      unary {
        zero.replacing(with: one, where: $0 .> zero).replacing(with: -one, where: $0 .< zero)
      }
    case .round: unary { $0.rounded(.toNearestOrEven) }
    case .floor: unary { $0.rounded(.down) }
    case .reciprocal: unary { one / $0 }
    case .addConstant: unary { $0 + pv }
    case .multiplyConstant: unary { $0 * pv }
    case .powerConstant: scalar { Glibc.powf($0, Float(p)) }
    case .clamp:
      unary { $0.replacing(with: pv, where: $0 .< pv).replacing(with: qv, where: $0 .> qv) }
    case .inRange: unary { zero.replacing(with: one, where: ($0 .>= pv) .& ($0 .<= qv)) }
    case .isPositive: unary { zero.replacing(with: one, where: $0 .> zero) }
    case .add: binary { $0 + $1 }
    case .subtract: binary { $0 - $1 }
    case .multiply: binary { $0 * $1 }
    case .divide: binary { $0 / $1 }
    case .maximum: binary { $0.replacing(with: $1, where: $1 .> $0) }
    case .minimum: binary { $0.replacing(with: $1, where: $1 .< $0) }
    case .power: for i in 0..<n { out[i] = Glibc.powf(a[i], b[i]) }
    case .equal: flag { $0 .== $1 }
    case .notEqual: flag { $0 .!= $1 }
    case .less: flag { $0 .< $1 }
    case .lessOrEqual: flag { $0 .<= $1 }
    case .greater: flag { $0 .> $1 }
    case .greaterOrEqual: flag { $0 .>= $1 }
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
}

extension Double: PointwiseScalar {
  public static func apply(
    _ op: PointwiseOperator, p: Double, q: Double, _ n: Int, _ a: UnsafePointer<Double>,
    _ b: UnsafePointer<Double>, _ c: UnsafePointer<Double>, _ out: UnsafeMutablePointer<Double>
  ) {
    @inline(__always) func unary(_ f: (Double) -> Double) { for i in 0..<n { out[i] = f(a[i]) } }
    @inline(__always) func binary(_ f: (Double, Double) -> Double) {
      for i in 0..<n { out[i] = f(a[i], b[i]) }
    }
    func cdf(_ x: Double) -> Double { 0.5 + 0.5 * Glibc.erf(x * 0.5.squareRoot()) }
    func sigmoid(_ x: Double) -> Double { 1 / (1 + Glibc.exp(-x)) }
    switch op {
    case .copy: unary { $0 }
    case .negate: unary { -$0 }
    case .absolute: unary { $0 < 0 ? -$0 : $0 }
    case .exp: unary { Glibc.exp($0) }
    case .log: unary { Glibc.log($0) }
    case .sqrt: unary { $0.squareRoot() }
    case .reciprocalSqrt: unary { 1 / $0.squareRoot() }
    case .sin: unary { Glibc.sin($0) }
    case .cos: unary { Glibc.cos($0) }
    case .tanh: unary { Glibc.tanh($0) }
    case .sigmoid: unary(sigmoid)
    case .relu: unary { $0 < 0 ? 0 : $0 }
    case .gelu: unary { $0 * cdf($0) }
    case .geluGradient:
      unary { cdf($0) + $0 * Glibc.exp(-0.5 * $0 * $0) / (2 * Double.pi).squareRoot() }
    case .silu: unary { $0 * sigmoid($0) }
    case .siluGradient:
      unary {
        let s = sigmoid($0)
        return s * (1 + $0 * (1 - s))
      }
    case .erf: unary { Glibc.erf($0) }
    case .square: unary { $0 * $0 }
    case .sign: unary { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }
    case .round: unary { $0.rounded(.toNearestOrEven) }
    case .floor: unary { $0.rounded(.down) }
    case .reciprocal: unary { 1 / $0 }
    case .addConstant: unary { $0 + p }
    case .multiplyConstant: unary { $0 * p }
    case .powerConstant: unary { Glibc.pow($0, p) }
    case .clamp: unary { $0 < p ? p : $0 > q ? q : $0 }
    case .inRange: unary { $0 >= p && $0 <= q ? 1 : 0 }
    case .isPositive: unary { $0 > 0 ? 1 : 0 }
    case .add: binary { $0 + $1 }
    case .subtract: binary { $0 - $1 }
    case .multiply: binary { $0 * $1 }
    case .divide: binary { $0 / $1 }
    case .maximum: binary { $1 > $0 ? $1 : $0 }
    case .minimum: binary { $1 < $0 ? $1 : $0 }
    case .power: binary { Glibc.pow($0, $1) }
    case .equal: binary { $0 == $1 ? 1 : 0 }
    case .notEqual: binary { $0 != $1 ? 1 : 0 }
    case .less: binary { $0 < $1 ? 1 : 0 }
    case .lessOrEqual: binary { $0 <= $1 ? 1 : 0 }
    case .greater: binary { $0 > $1 ? 1 : 0 }
    case .greaterOrEqual: binary { $0 >= $1 ? 1 : 0 }
    case .choose: for i in 0..<n { out[i] = c[i] != 0 ? a[i] : b[i] }
    case .multiplyAdd: for i in 0..<n { out[i] = c[i].addingProduct(a[i], b[i]) }
    }
  }
}
