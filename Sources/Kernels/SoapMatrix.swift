import COpenBLAS

/// The settings of SOAP other than the learning rate and the decay.
public struct SoapOptions: Sendable, Equatable {
  public var beta1: Double
  public var beta2: Double
  /// The decay factor of the running means L and R, per step.
  public var shampooBeta: Double
  public var epsilon: Double
  /// Steps between two refreshes of a basis, at least 1.
  public var frequency: Int
  /// The longest dimension that has a basis; one of `sizes`.
  public var largest: Int

  /// Beyond these sizes LAPACK's integers for its working memory would overflow.
  public static let sizes = 1...16384

  public init(
    beta1: Double = 0.95, beta2: Double = 0.95, shampooBeta: Double = 0.95, epsilon: Double = 1e-8,
    frequency: Int = 10, largest: Int = 1024
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.shampooBeta = shampooBeta
    self.epsilon = epsilon
    self.frequency = frequency
    self.largest = largest
  }
}

/// One matrix that SOAP updates, with its states; all contiguous and row-major.
public struct SoapMatrix {
  /// The state of one dimension.
  struct Side {
    var size: Int
    /// The mean of GGᵀ (or GᵀG), size × size. Only the upper triangle is kept up to date.
    var gram: UnsafeMutablePointer<Float>
    /// Its eigenvectors, one per row, in descending order of their eigenvalues.
    var basis: UnsafeMutablePointer<Float>
  }

  let rows: Int
  let columns: Int
  let parameter: UnsafeMutablePointer<Float>
  let gradient: UnsafePointer<Float>
  /// Adam's moments, in the bases.
  let first: UnsafeMutablePointer<Float>
  let second: UnsafeMutablePointer<Float>
  /// How many gradients have been seen. A float that counts exactly up to 2²⁴ steps, after which
  /// nothing depends on its last digit.
  let seen: UnsafeMutablePointer<Float>
  let left: Side?
  let right: Side?
  let lr: Double
  let decay: Float
  /// Its offset within the refresh period.
  let phase: Int

  /// Names and shapes of a parameter's states: moments and count, then mean and basis for each
  /// dimension of the matrix (the first dimension by all others) that is at most `largest` long.
  public static func states(of shape: [Int], largest: Int) -> [(name: String, shape: [Int])] {
    let rows = shape.first ?? 1, columns = shape.dropFirst().reduce(1, *)
    var list = [("m", shape), ("v", shape), ("t", [1])]
    if rows <= largest { list += [("l", [rows, rows]), ("ql", [rows, rows])] }
    if columns <= largest { list += [("r", [columns, columns]), ("qr", [columns, columns])] }
    return list
  }

  /// The tensor of `slice` as a matrix of `rows` rows, with its states in the order of `states`.
  public init(_ slice: OptimiserSlice, rows: Int, largest: Int, phase: Int) {
    self.rows = rows
    columns = rows > 0 ? slice.count / rows : 0
    parameter = slice.parameter
    gradient = slice.gradient
    var states = slice.state[...]
    first = states.removeFirst()
    second = states.removeFirst()
    seen = states.removeFirst()
    func side(_ size: Int) -> Side? {
      guard size <= largest else { return nil }
      return Side(size: size, gram: states.removeFirst(), basis: states.removeFirst())
    }
    left = side(rows)
    right = side(columns)
    lr = slice.lr
    decay = slice.decay
    self.phase = phase
  }

  var count: Int { rows * columns }
  var isTall: Bool { rows > columns }
  private var longSide: Side? { isTall ? left : right }
  private var shortSide: Side? { isTall ? right : left }

  /// Blocks of the long dimension, which are the pieces of work: columns of a wide matrix, rows of
  /// a tall one.
  var blocks: [Range<Int>] { SoapMatrix.blocks(max(rows, columns)) }

  static func blocks(_ size: Int) -> [Range<Int>] {
    let length = 128
    return stride(from: 0, to: size, by: length).map { $0..<min(size, $0 + length) }
  }

  /// How many elements a block has.
  func size(_ block: Range<Int>) -> Int { block.count * min(rows, columns) }

  /// The contiguous runs of a block: the offset of each in the matrix, and in the block.
  @inline(__always)
  func forEachRun(
    _ block: Range<Int>, _ body: (_ offset: Int, _ inBlock: Int, _ count: Int) -> Void
  ) {
    if isTall {
      body(block.lowerBound * columns, 0, block.count * columns)
    } else {
      for row in 0..<rows {
        body(row * columns + block.lowerBound, row * block.count, block.count)
      }
    }
  }

  /// Rotates a block of the matrix `x` into the bases: Q_Lᵀ·X·Q_R.
  func rotate(
    _ x: UnsafePointer<Float>, _ block: Range<Int>, into out: UnsafeMutablePointer<Float>
  ) {
    withScratch { scratch in
      let (start, b, short) = (block.lowerBound, block.count, min(rows, columns))
      let along = shortSide == nil ? out : scratch.floats(size(block))
      if let side = longSide {
        let basis = side.basis + start * side.size
        if isTall {
          product(
            b, short, side.size, Operand(basis, side.size), Operand(x, columns), (along, short))
        } else {
          product(
            short, b, side.size, Operand(x, columns), Operand(basis, side.size, transposed: true),
            (along, b))
        }
      } else {
        forEachRun(block) { offset, inBlock, count in
          (along + inBlock).update(from: x + offset, count: count)
        }
      }
      guard let side = shortSide else { return }
      if isTall {
        product(
          b, short, short, Operand(along, short), Operand(side.basis, short, transposed: true),
          (out, short))
      } else {
        product(short, b, short, Operand(side.basis, short), Operand(along, b), (out, b))
      }
    }
  }

  /// Rotates back along the short dimension: writes a block of the whole matrix `out`.
  func rotateBackShort(
    _ x: UnsafePointer<Float>, _ block: Range<Int>, into out: UnsafeMutablePointer<Float>
  ) {
    let (start, b, short) = (block.lowerBound, block.count, min(rows, columns))
    guard let side = shortSide else {
      forEachRun(block) { offset, inBlock, count in
        (out + offset).update(from: x + inBlock, count: count)
      }
      return
    }
    if isTall {
      product(
        b, short, short, Operand(x, short), Operand(side.basis, short),
        (out + start * columns, columns))
    } else {
      product(
        short, b, short, Operand(side.basis, short, transposed: true), Operand(x, b),
        (out + start, columns))
    }
  }

  /// Rotates a block of the whole matrix `x` back along the long dimension: out ← keep·out +
  /// scale·(x in the original axes).
  func rotateBackLong(
    _ x: UnsafePointer<Float>, _ block: Range<Int>, scale: Float = 1, keep: Float = 0,
    into out: UnsafeMutablePointer<Float>
  ) {
    let (start, b, short) = (block.lowerBound, block.count, min(rows, columns))
    guard let side = longSide else {
      forEachRun(block) { offset, _, count in
        // `out` may be uninitialised if none of it is kept.
        for i in offset..<(offset + count) {
          out[i] = keep == 0 ? scale * x[i] : keep * out[i] + scale * x[i]
        }
      }
      return
    }
    let basis = side.basis + start
    if isTall {
      product(
        b, short, side.size, Operand(basis, side.size, transposed: true), Operand(x, columns),
        (out + start * columns, columns), scale: scale, keep: keep)
    } else {
      product(
        short, b, side.size, Operand(x, columns), Operand(basis, side.size),
        (out + start, columns), scale: scale, keep: keep)
    }
  }

  private struct Operand {
    var p: UnsafePointer<Float>
    /// The distance from one row to the next.
    var lead: Int
    var transposed: Bool

    init(_ p: UnsafePointer<Float>, _ lead: Int, transposed: Bool = false) {
      self.p = p
      self.lead = lead
      self.transposed = transposed
    }
  }

  /// C ← keep·C + scale·A·B of m × n elements, k terms per sum.
  private func product(
    _ m: Int, _ n: Int, _ k: Int, _ a: Operand, _ b: Operand,
    _ c: (p: UnsafeMutablePointer<Float>, lead: Int), scale: Float = 1, keep: Float = 0
  ) {
    cblas_sgemm(
      CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
      b.transposed ? CblasTrans : CblasNoTrans, blasint(m), blasint(n), blasint(k), scale, a.p,
      blasint(a.lead), b.p, blasint(b.lead), keep, c.p, blasint(c.lead))
  }

  /// A block of rows of L ← keep·L + (1 − keep)·GGᵀ, from its diagonal on.
  func accumulateLeft(_ block: Range<Int>, keep: Float) {
    guard let side = left else { return }
    let (start, g) = (block.lowerBound, gradient + block.lowerBound * columns)
    product(
      block.count, rows - start, columns, Operand(g, columns),
      Operand(g, columns, transposed: true),
      (side.gram + start * rows + start, rows), scale: 1 - keep, keep: keep)
  }

  /// The same for R ← keep·R + (1 − keep)·GᵀG.
  func accumulateRight(_ block: Range<Int>, keep: Float) {
    guard let side = right else { return }
    let (start, g) = (block.lowerBound, gradient + block.lowerBound)
    product(
      block.count, columns - start, rows, Operand(g, columns, transposed: true),
      Operand(g, columns),
      (side.gram + start * columns + start, columns), scale: 1 - keep, keep: keep)
  }
}
