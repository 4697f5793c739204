import Glibc

/// One tensor of an optimiser: its values, gradient and states (of its own size, except SOAP's),
/// its learning rate, and its weight decay (each value loses the fraction `lr · weightDecay` per
/// step, in addition to the update).
public struct OptimiserSlice {
  public var count: Int
  public var lr: Double
  public var decay: Float
  public var parameter: UnsafeMutablePointer<Float>
  public var gradient: UnsafePointer<Float>
  public var state: [UnsafeMutablePointer<Float>]

  public init(
    count: Int, lr: Double, weightDecay: Double, parameter: UnsafeMutablePointer<Float>,
    gradient: UnsafePointer<Float>, state: [UnsafeMutablePointer<Float>]
  ) {
    self.count = count
    self.lr = lr
    self.decay = Float(lr * weightDecay)
    self.parameter = parameter
    self.gradient = gradient
    self.state = state
  }
}

/// One update of all tensors by gradient descent, Adam or Adan.
public enum OptimiserStep {
  /// All tensors in one pass, in pieces that depend on their sizes alone.
  private static func forEachPiece(
    _ slices: [OptimiserSlice], _ body: (OptimiserSlice, Range<Int>) -> Void
  ) {
    var pieces: [(Int, Range<Int>)] = []
    for (i, s) in slices.enumerated() {
      for start in Swift.stride(from: 0, to: s.count, by: 16384) {
        pieces.append((i, start..<min(s.count, start + 16384)))
      }
    }
    ThreadPool.shared.run(pieces.count) {
      let (s, range) = (slices[pieces[$0].0], pieces[$0].1)
      if s.decay != 0 {
        for i in range { s.parameter[i] -= s.decay * s.parameter[i] }
      }
      body(s, range)
    }
  }

  /// Gradient descent. The state m holds v ← momentum·v + g; the step is lr·v, or with Nesterov's
  /// look-ahead lr·(g + momentum·v).
  public static func sgd(_ slices: [OptimiserSlice], momentum: Double, nesterov: Bool) {
    let momentum = Float(momentum)
    forEachPiece(slices) { s, range in
      let (p, g, m, lr) = (s.parameter, s.gradient, s.state[0], Float(s.lr))
      for i in range {
        let moved = momentum * m[i] + g[i]
        m[i] = moved
        p[i] -= lr * (nesterov ? g[i] + momentum * moved : moved)
      }
    }
  }

  /// Adam (Kingma & Ba): states m, v. `step` counts from 1.
  public static func adam(
    _ slices: [OptimiserSlice], beta1: Double, beta2: Double, epsilon: Double, step: Int
  ) {
    let c1 = 1 - Glibc.pow(beta1, Double(step)), c2 = 1 - Glibc.pow(beta2, Double(step))
    let (b1, b2, e) = (Float(beta1), Float(beta2), Float(epsilon))
    let (f1, f2) = (Float(1 - beta1), Float(1 - beta2))
    let root = Float(1 / c2.squareRoot())
    forEachPiece(slices) { s, range in
      let (p, g, m, v) = (s.parameter, s.gradient, s.state[0], s.state[1])
      let size = Float(s.lr / c1)
      for i in range {
        let gi = g[i]
        let mi = b1 * m[i] + f1 * gi
        let vi = b2 * v[i] + f2 * gi * gi
        m[i] = mi
        v[i] = vi
        p[i] -= size * mi / (vi.squareRoot() * root + e)
      }
    }
  }

  /// Adan (Xie et al., arXiv 2208.06677), with decoupled weight decay: states m, d (`difference`),
  /// n and the previous gradient. `step` counts from 1; at the first the previous gradient is g.
  public static func adan(
    _ slices: [OptimiserSlice], beta1: Double, beta2: Double, beta3: Double, epsilon: Double,
    step: Int
  ) {
    let k = Double(step)
    let c1 = 1 - Glibc.pow(beta1, k), c2 = 1 - Glibc.pow(beta2, k), c3 = 1 - Glibc.pow(beta3, k)
    let (b1, b2, b3, e) = (Float(beta1), Float(beta2), Float(beta3), Float(epsilon))
    let (f1, f2, f3) = (Float(1 - beta1), Float(1 - beta2), Float(1 - beta3))
    let root = Float(1 / c3.squareRoot())
    let first = step == 1
    forEachPiece(slices) { s, range in
      let (p, g) = (s.parameter, s.gradient)
      let (s1, s2) = (Float(s.lr / c1), Float(s.lr * beta2 / c2))
      let (m, d, n, previous) = (s.state[0], s.state[1], s.state[2], s.state[3])
      for i in range {
        let gi = g[i]
        let change = first ? 0 : gi - previous[i]
        let u = gi + b2 * change
        let mi = b1 * m[i] + f1 * gi
        let di = b2 * d[i] + f2 * change
        let ni = b3 * n[i] + f3 * u * u
        m[i] = mi
        d[i] = di
        n[i] = ni
        previous[i] = gi
        p[i] -= (s1 * mi + s2 * di) / (ni.squareRoot() * root + e)
      }
    }
  }
}
