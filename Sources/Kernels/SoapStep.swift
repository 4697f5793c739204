import Glibc

/// SOAP (Vyas et al., arXiv 2409.11321): Adam in the eigenbases of Shampoo's two matrices.
///
/// L and R are running means of GGᵀ and GᵀG, Q_L and Q_R their eigenvectors. Adam's moments are
/// those of Q_LᵀGQ_R, and its step is rotated back: W ← (1 − decay)·W − lr·Q_L·m̂/(√v̂ + ε)·Q_Rᵀ. A
/// dimension longer than `largest` has the identity as its basis. The first gradient of a matrix
/// only initialises its bases, as in the authors' program, so no gradient is rotated by a basis
/// made from it.
///
/// The bases are refreshed every `frequency` steps (see `SoapBasis`). The authors refresh all
/// matrices at once. Here matrix k is refreshed when step − 1 + k is a multiple of the frequency,
/// which spreads the work evenly.
public enum SoapStep {
  private struct Piece {
    enum Work { case step, left, right }
    var work: Work
    var matrix: Int
    var block: Range<Int>
  }

  /// One update of every matrix. `step` counts from 1 and sets the phase of the refreshes.
  public static func update(_ matrices: [SoapMatrix], _ options: SoapOptions, step: Int) {
    _ = singleThreaded
    let matrices = matrices.filter { $0.count > 0 }
    advance(matrices, options)
    SoapBasis.find(matrices.filter { $0.seen[0] == 0 })
    SoapBasis.refresh(
      matrices.filter { $0.seen[0] != 0 && (step - 1 + $0.phase) % options.frequency == 0 })
    for m in matrices { m.seen[0] += 1 }
  }

  /// Adam's step for matrices that have bases, and the means L and R of all matrices.
  private static func advance(_ matrices: [SoapMatrix], _ options: SoapOptions) {
    var pieces: [Piece] = []
    for (k, m) in matrices.enumerated() {
      if m.seen[0] != 0 { pieces += m.blocks.map { Piece(work: .step, matrix: k, block: $0) } }
      if let side = m.left {
        pieces += SoapMatrix.blocks(side.size).map { Piece(work: .left, matrix: k, block: $0) }
      }
      if let side = m.right {
        pieces += SoapMatrix.blocks(side.size).map { Piece(work: .right, matrix: k, block: $0) }
      }
    }
    let keep = Float(options.shampooBeta)
    withScratch { scratch in
      let updates = matrices.map { scratch.floats($0.seen[0] == 0 ? 0 : $0.count) }
      ThreadPool.shared.run(pieces.count) { i in
        let p = pieces[i]
        let m = matrices[p.matrix]
        switch p.work {
        case .step: moments(m, p.block, options, into: updates[p.matrix])
        case .left: m.accumulateLeft(p.block, keep: keep)
        case .right: m.accumulateRight(p.block, keep: keep)
        }
      }
      let steps = pieces.filter { $0.work == .step }
      ThreadPool.shared.run(steps.count) { i in
        let m = matrices[steps[i].matrix]
        let correction = 1 - Glibc.pow(options.beta1, Double(m.seen[0]))
        m.rotateBackLong(
          updates[steps[i].matrix], steps[i].block, scale: Float(-m.lr / correction),
          keep: 1 - m.decay, into: m.parameter)
      }
    }
  }

  /// A block of m/(√v̂ + ε), rotated back along the short dimension.
  private static func moments(
    _ m: SoapMatrix, _ block: Range<Int>, _ options: SoapOptions,
    into update: UnsafeMutablePointer<Float>
  ) {
    let c2 = 1 - Glibc.pow(options.beta2, Double(m.seen[0]))
    let root = Float(1 / c2.squareRoot())
    let (b1, b2, e) = (Float(options.beta1), Float(options.beta2), Float(options.epsilon))
    let (f1, f2) = (Float(1 - options.beta1), Float(1 - options.beta2))
    withScratch { scratch in
      let turned = scratch.floats(m.size(block))
      m.rotate(m.gradient, block, into: turned)
      m.forEachRun(block) { offset, inBlock, count in
        let (x, first, second) = (turned + inBlock, m.first + offset, m.second + offset)
        for i in 0..<count {
          let mi = b1 * first[i] + f1 * x[i]
          let vi = b2 * second[i] + f2 * x[i] * x[i]
          first[i] = mi
          second[i] = vi
          x[i] = mi / (vi.squareRoot() * root + e)
        }
      }
      m.rotateBackShort(turned, block, into: update)
    }
  }
}
