/// Pointwise operators over one physical index space, evaluated in one pass over pieces that
/// stay in the first-level cache.
///
/// A program has one result, its last register, or several. Then one pass stores some and sums
/// others, and shared operands are read and computed once.
public final class PointwiseProgramOf<T: PointwiseScalar> {
  /// How the value at physical index i of the result's space is found.
  public enum Leaf {
    case flat(UnsafePointer<T>)
    case constant(T)
    /// values[i mod count]: one value per channel, or a broadcast leading dimension. The periods of
    /// one program divide each other, as products of trailing sizes do.
    case periodic(UnsafePointer<T>, count: Int)
    /// values[i div count]: one value per pixel or per row.
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
      (self.op, self.a, self.b, self.c, self.p, self.q) = (op, a, b, c, p, q)
    }
  }

  /// A register whose value is a result.
  public struct Result {
    public var register: Int
    /// Its padding lanes must be set to zero.
    public var masked: Bool
    public init(_ register: Int, masked: Bool = false) {
      (self.register, self.masked) = (register, masked)
    }
  }

  public let count: Int
  public let leaves: [Leaf]
  public let instructions: [Instruction]
  /// Lanes per pixel, and how many of them are channels; (1, 1) if there are no pixels.
  public let lanes: Int
  public let channels: Int
  public let results: [Result]
  /// The owners of the leaves' memory.
  public let owners: [AnyObject]
  private let sources: Sources
  private let slots: [Int]
  private let slotCount: Int, piece: Int

  /// One result, the last register. Its padding lanes are set to zero if there are fewer channels
  /// than lanes.
  public convenience init(
    count: Int, leaves: [Leaf], instructions: [Instruction], lanes: Int, channels: Int,
    owners: [AnyObject]
  ) {
    self.init(
      count: count, leaves: leaves, instructions: instructions, lanes: lanes, channels: channels,
      results: [.init(leaves.count + instructions.count - 1, masked: channels < lanes)],
      owners: owners)
  }

  /// Any number of results. The buffer of a register is reused after its last reader.
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
    // Whole vectors too, unless that is too large.
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
      func release(_ r: Int) {
        guard r >= leaves.count, last[r] == i else { return }
        free.append(slots[r - leaves.count])
      }
      release(ins.a)
      if ins.b != ins.a { release(ins.b) }
      if ins.c != ins.a, ins.c != ins.b { release(ins.c) }
      // The result may overwrite an operand that is not read again: every operator is elementwise.
      slots[i] = free.popLast() ?? used
      used = max(used, slots[i] + 1)
    }
    self.slots = slots
    slotCount = used
  }

  /// The memory itself, if there is nothing to compute.
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

  /// Computes the registers piece by piece and passes them to `body`. The only result goes to `out`
  /// if that is given.
  private func run(
    start: Int, count: Int, _ scratch: Scratch, out: UnsafeMutablePointer<T>?,
    _ body: (_ offset: Int, _ count: Int, _ registers: UnsafeMutablePointer<UnsafePointer<T>>) ->
      Void
  ) {
    let sources = self.sources
    let registers = scratch.take(leaves.count + instructions.count, of: UnsafePointer<T>.self)
    // Staggered against 4K aliasing: if buffers were a multiple of 4096 bytes apart, each load
    // would wait for the store before it.
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
        // A piece that was shortened for a long period ends anywhere in a short one.
        case .short: if sources.hasLong { registers[i] = source.memory + at % source.period }
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

  /// The leaves as plain data, which threads read without reference counting. A single value or a
  /// short period is repeated here, once for all pieces.
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

  /// What is done with a result.
  public enum Sink {
    case values(UnsafeMutablePointer<T>)
    /// One sum per lane, over all pixels; padding lanes are set to zero.
    case laneSums(UnsafeMutablePointer<T>)
  }

  /// All results in one pass, shared among the threads; one sink for each; lanes > 1. Sums are
  /// split by the shape alone and accumulated in f64 across the parts.
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

  /// Elements per piece of work, a whole number of pixels.
  var blockSize: Int { max(1, (32 << 10) / piece) * piece }
}

public typealias PointwiseProgram = PointwiseProgramOf<Float>
