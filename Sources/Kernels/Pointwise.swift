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

  /// Copies, past the caches where `out` is a multiple of 32 bytes.
  static func stream(
    _ values: UnsafePointer<Self>, _ count: Int, to out: UnsafeMutablePointer<Self>)

  /// Adds `rows` rows of `lanes` values each, a multiple of eight, to `sums`.
  static func addRows(
    _ values: UnsafePointer<Self>, rows: Int, lanes: Int, to sums: UnsafeMutablePointer<Self>)

  /// out[i] = Σ taps[j]·values[i + j·stride], j from 0 to `k` − 1, for `count` numbers i.
  static func correlate(
    _ taps: UnsafePointer<Self>, _ k: Int, with values: UnsafePointer<Self>, every stride: Int,
    _ count: Int, into out: UnsafeMutablePointer<Self>)
}

/// Pointwise operators over one physical index space, evaluated in one pass over pieces that
/// stay in the first-level cache.
///
/// A program has one result, its last register, or several: then the pass that stores one
/// also sums others, and what they share is read and computed once.
public final class PointwiseProgramOf<T: PointwiseScalar> {
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

  /// A register that somebody wants.
  public struct Result {
    public var register: Int
    /// Its padding lanes must be made zero.
    public var masked: Bool
    public init(_ register: Int, masked: Bool = false) {
      self.register = register
      self.masked = masked
    }
  }

  public let count: Int
  public let leaves: [Leaf]
  public let instructions: [Instruction]
  /// Lanes of a pixel, and how many of them are channels; (1, 1) where there are no pixels.
  public let lanes: Int
  public let channels: Int
  public let results: [Result]
  /// What the leaves' memory belongs to.
  public let owners: [AnyObject]
  private let sources: Sources
  private let slots: [Int]
  private let slotCount: Int
  private let piece: Int

  /// One result, the last register; its padding lanes are made zero when there are fewer
  /// channels than lanes.
  public convenience init(
    count: Int, leaves: [Leaf], instructions: [Instruction], lanes: Int, channels: Int,
    owners: [AnyObject]
  ) {
    self.init(
      count: count, leaves: leaves, instructions: instructions, lanes: lanes, channels: channels,
      results: [
        .init(leaves.count + instructions.count - 1, masked: channels < lanes)
      ], owners: owners)
  }

  /// `slots` reuses buffers as soon as their last reader is done.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public init(
    count: Int, leaves: [Leaf], instructions: [Instruction], lanes: Int, channels: Int,
    results: [Result], owners: [AnyObject]
  ) {
    self.count = count
    self.leaves = leaves
    self.instructions = instructions
    self.lanes = lanes
    self.channels = channels
    self.results = results
    self.owners = owners
    var align = max(lanes, 1)
    for leaf in leaves {
      if case .periodic(_, let n) = leaf, n <= 1024, align % n != 0 {
        align = n % align == 0 ? n : align * n
      }
    }
    // Whole vectors too, where that is not too much.
    if align % vectorWidth != 0, align % 8 == 0 { align *= vectorWidth / 8 }
    piece = align >= 1024 ? align : 1024 / align * align
    sources = Sources(leaves: leaves, piece: min(piece, count))
    var last = [Int](repeating: -1, count: leaves.count + instructions.count)
    for (i, ins) in instructions.enumerated() {
      last[ins.a] = i
      if ins.b >= 0 { last[ins.b] = i }
      if ins.c >= 0 { last[ins.c] = i }
    }
    for result in results { last[result.register] = instructions.count }
    var slots = [Int](repeating: -1, count: instructions.count)
    var free: [Int] = []
    var used = 0
    for (i, ins) in instructions.enumerated() {
      func giveBack(_ r: Int) {
        guard r >= leaves.count, last[r] == i else { return }
        free.append(slots[r - leaves.count])
      }
      giveBack(ins.a)
      if ins.b != ins.a { giveBack(ins.b) }
      if ins.c != ins.a, ins.c != ins.b { giveBack(ins.c) }
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

  /// Values `start..<start+count` of the only result, in order; `start` on a pixel boundary.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public func evaluate(start: Int, count: Int, into out: UnsafeMutablePointer<T>) {
    if let memory {
      out.update(from: memory + start, count: count)
      return
    }
    withScratch { scratch in
      run(start: start, count: count, scratch, out: out) { offset, n, registers in
        let values = registers[results[0].register]
        if UnsafePointer(out + offset) != values { (out + offset).update(from: values, count: n) }
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
      run(start: start, count: count, scratch, out: nil) { offset, n, registers in
        body(offset, n, registers[results[0].register])
      }
    }
  }

  /// Computes the registers piece by piece and hands them to `body`; the only result goes
  /// to `out` where that is given.
  private func run(
    start: Int, count: Int, _ scratch: Scratch, out: UnsafeMutablePointer<T>?,
    _ body: (_ offset: Int, _ count: Int, _ registers: UnsafeMutablePointer<UnsafePointer<T>>) ->
      Void
  ) {
    let sources = self.sources
    let registers = scratch.take(leaves.count + instructions.count, of: UnsafePointer<T>.self)
    // Buffers a multiple of 4096 bytes apart would make every load wait for the store before
    // it, whose address looks the same: they are staggered.
    let stagger = piece + 208
    let buffers = scratch.take(slotCount * stagger, of: T.self)
    let fills = scratch.take(leaves.count, of: UnsafeMutablePointer<T>?.self)
    for i in 0..<sources.count {
      let source = sources.all[i]
      fills[i] = nil
      switch source.kind {
      case .flat, .long: break
      case .short: registers[i] = source.memory + start % source.period
      case .repeated, .strided: fills[i] = scratch.take(stagger, of: T.self)
      }
    }
    var done = 0
    while done < count {
      var n = min(piece, count - done)
      let at = start + done
      if sources.hasLong {
        for i in 0..<sources.count where sources.all[i].kind == .long {
          let period = sources.all[i].period
          n = min(n, period - at % period)
        }
      }
      for i in 0..<sources.count {
        let source = sources.all[i]
        switch source.kind {
        case .flat: registers[i] = source.memory + at
        case .short: break
        case .long: registers[i] = source.memory + at % source.period
        case .repeated:
          guard let fill = fills[i] else { break }
          var j = 0
          var (value, within) = (at / source.period, at % source.period)
          while j < n {
            let m = min(source.period - within, n - j)
            (fill + j).update(repeating: source.memory[value], count: m)
            j += m
            within = 0
            value += 1
          }
          registers[i] = UnsafePointer(fill)
        case .strided:
          guard let fill = fills[i], case .strided(let p, let sizes, let strides) = leaves[i]
          else { break }
          fillStrided(p, sizes: sizes, strides: strides, at: at, count: n, into: fill)
          registers[i] = UnsafePointer(fill)
        }
      }
      for (i, ins) in instructions.enumerated() {
        var result = buffers + slots[i] * stagger
        if let out, i == instructions.count - 1 { result = out + done }
        let a = registers[ins.a]
        T.apply(
          ins.op, p: ins.p, q: ins.q, n, a, ins.b >= 0 ? registers[ins.b] : a,
          ins.c >= 0 ? registers[ins.c] : a, result)
        registers[leaves.count + i] = UnsafePointer(result)
      }
      for result in results where result.masked && result.register >= leaves.count {
        var pixel = UnsafeMutablePointer(mutating: registers[result.register])
        for _ in 0..<n / lanes {
          for c in channels..<lanes { pixel[c] = 0 }
          pixel += lanes
        }
      }
      body(done, n, registers)
      done += n
    }
  }

  /// The leaves as plain data, which threads read without counting references. One number or
  /// a short period is repeated here, once for all pieces.
  private final class Sources {
    enum Kind: UInt8 { case flat, short, long, repeated, strided }
    struct Source {
      var kind: Kind
      var memory: UnsafePointer<T>
      var period = 1
    }
    let all: UnsafeMutablePointer<Source>
    let count: Int
    let hasLong: Bool
    private var owned: [UnsafeMutablePointer<T>] = []

    init(leaves: [Leaf], piece: Int) {
      count = leaves.count
      all = .allocate(capacity: max(count, 1))
      var hasLong = false
      for (i, leaf) in leaves.enumerated() {
        let source: Source
        switch leaf {
        case .flat(let p): source = Source(kind: .flat, memory: p)
        case .constant(let v):
          let p = UnsafeMutablePointer<T>.allocate(capacity: max(piece, 1))
          p.initialize(repeating: v, count: max(piece, 1))
          owned.append(p)
          source = Source(kind: .short, memory: p)
        case .periodic(let values, let n) where n <= 1024:
          // A piece may begin anywhere within a period.
          let p = UnsafeMutablePointer<T>.allocate(capacity: piece + n)
          var done = 0
          while done < piece + n {
            let m = min(n, piece + n - done)
            (p + done).initialize(from: values, count: m)
            done += m
          }
          owned.append(p)
          source = Source(kind: .short, memory: p, period: n)
        case .periodic(let p, let n):
          hasLong = true
          source = Source(kind: .long, memory: p, period: n)
        case .repeated(let p, let n): source = Source(kind: .repeated, memory: p, period: n)
        case .strided(let p, _, _): source = Source(kind: .strided, memory: p)
        }
        (all + i).initialize(to: source)
      }
      self.hasLong = hasLong
    }

    deinit {
      all.deallocate()
      for p in owned { p.deallocate() }
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

  /// The whole of the only result, shared among the threads.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public func evaluateAll(into out: UnsafeMutablePointer<T>) {
    let block = blockSize
    let streaming = streams(count)
    ThreadPool.shared.run((count + block - 1) / block) { i in
      let start = i * block
      let n = min(block, count - start)
      if streaming {
        forEachPiece(start: start, count: n) { T.stream($2, $1, to: out + start + $0) }
        finishStreaming(true)
      } else {
        evaluate(start: start, count: n, into: out + start)
      }
    }
  }

  /// What becomes of a result.
  public enum Sink {
    case values(UnsafeMutablePointer<T>)
    /// One sum a lane, over all pixels; padding lanes are made zero.
    case laneSums(UnsafeMutablePointer<T>)
  }

  /// All results in one pass, shared among the threads; a sink for each, lanes > 1. Sums are
  /// cut by the shape alone and carried in f64 between the cuts.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public func evaluateAll(into sinks: [Sink]) {
    let block = max(1, blockSize / lanes) * lanes
    let blocks = (count + block - 1) / block
    let streaming = streams(count)
    withScratch { scratch in
      let partial = scratch.take(blocks * sinks.count * lanes, of: T.self)
      partial.update(repeating: 0, count: blocks * sinks.count * lanes)
      ThreadPool.shared.run(blocks) { i in
        let start = i * block
        withScratch { scratch in
          run(start: start, count: min(block, count - start), scratch, out: nil) {
            offset, n, registers in
            for (k, sink) in sinks.enumerated() {
              let values = registers[results[k].register]
              switch sink {
              case .values(let out):
                if streaming {
                  T.stream(values, n, to: out + start + offset)
                } else {
                  (out + start + offset).update(from: values, count: n)
                }
              case .laneSums:
                T.addRows(
                  values, rows: n / lanes, lanes: lanes,
                  to: partial + (i * sinks.count + k) * lanes)
              }
            }
          }
        }
        finishStreaming(streaming)
      }
      for (k, sink) in sinks.enumerated() {
        guard case .laneSums(let out) = sink else { continue }
        for lane in 0..<lanes {
          var total = 0.0
          for i in 0..<blocks { total += Double(partial[(i * sinks.count + k) * lanes + lane]) }
          out[lane] = lane < channels ? T(total) : 0
        }
      }
    }
  }

  /// Elements that one thread takes at once, a whole number of pixels.
  var blockSize: Int { max(1, (32 << 10) / piece) * piece }
}

public typealias PointwiseProgram = PointwiseProgramOf<Float>

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

// The elementary functions' loops stand alone: in one function with the others they would
// exceed what the compiler is willing to inline into it.

@inline(never) private func expOfAll(
  _ n: Int, _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>
) { map(n, a, out) { vexp($0) } }

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
    case .sqrt: unary { $0.squareRoot() }
    case .reciprocalSqrt: unary { one / $0.squareRoot() }
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
    case .addConstant: unary { $0 + pv }
    case .multiplyConstant: unary { $0 * pv }
    case .powerConstant: scalar { Glibc.powf($0, Float(p)) }
    case .clamp:
      unary { whereLess($0, pv, pv, whereLess(qv, $0, qv, $0)) }
    case .inRange: unary { whereAtMost(pv, $0, whereAtMost($0, qv, one, zero), zero) }
    case .isPositive: unary { whereLess(zero, $0, one, zero) }
    case .add: binary { $0 + $1 }
    case .subtract: binary { $0 - $1 }
    case .multiply: binary { $0 * $1 }
    case .divide: binary { $0 / $1 }
    // A not-a-number on either side is the result.
    case .maximum: binary { whereLess($0, $1, $1, whereEqual($1, $1, $0, $1)) }
    case .minimum: binary { whereLess($1, $0, $1, whereEqual($1, $1, $0, $1)) }
    case .power: for i in 0..<n { out[i] = Glibc.powf(a[i], b[i]) }
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
}

extension Float {
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
    var i = 0
    // Eight sums at once: each waits four cycles for its last product, two of which end a cycle.
    while i + 8 * vectorWidth <= count {
      var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
      var (e, f, g, h) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
      var p = values + i
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
      let target = out + i
      store(a, target)
      store(b, target + vectorWidth)
      store(c, target + 2 * vectorWidth)
      store(d, target + 3 * vectorWidth)
      store(e, target + 4 * vectorWidth)
      store(f, target + 5 * vectorWidth)
      store(g, target + 6 * vectorWidth)
      store(h, target + 7 * vectorWidth)
      i += 8 * vectorWidth
    }
    while i + vectorWidth <= count {
      var sum = Vector.zero
      for j in 0..<k { sum = fma(Vector(repeating: taps[j]), load(values + i + j * stride), sum) }
      store(sum, out + i)
      i += vectorWidth
    }
    while i < count {
      var sum: Float = 0
      for j in 0..<k { sum = sum.addingProduct(taps[j], values[i + j * stride]) }
      out[i] = sum
      i += 1
    }
  }

  public static func addRows(
    _ values: UnsafePointer<Float>, rows: Int, lanes: Int, to sums: UnsafeMutablePointer<Float>
  ) {
    var c = 0
    while c + vectorWidth <= lanes {
      // Two chains a vector: additions wait four cycles for each other.
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

extension Double: PointwiseScalar {
  public static func correlate(
    _ taps: UnsafePointer<Double>, _ k: Int, with values: UnsafePointer<Double>,
    every stride: Int, _ count: Int, into out: UnsafeMutablePointer<Double>
  ) {
    out.update(repeating: 0, count: count)
    for j in 0..<k { for i in 0..<count { out[i] += taps[j] * values[i + j * stride] } }
  }

  public static func stream(
    _ values: UnsafePointer<Double>, _ count: Int, to out: UnsafeMutablePointer<Double>
  ) { out.update(from: values, count: count) }

  public static func addRows(
    _ values: UnsafePointer<Double>, rows: Int, lanes: Int, to sums: UnsafeMutablePointer<Double>
  ) {
    for r in 0..<rows { for c in 0..<lanes { sums[c] += values[r * lanes + c] } }
  }

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
    case .maximum: binary { $1 > $0 || $1 != $1 ? $1 : $0 }
    case .minimum: binary { $1 < $0 || $1 != $1 ? $1 : $0 }
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
