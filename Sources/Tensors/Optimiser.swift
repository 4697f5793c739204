import Kernels
import Support

/// Adam or Adan over a list of parameters: one native pass a step.
public final class Optimiser {
  public enum Method: Sendable, Equatable {
    /// Kingma & Ba; lr·m̂/(√v̂ + eps).
    case adam(beta1: Double, beta2: Double, epsilon: Double)
    /// Xie et al. (arXiv 2208.06677), without decay.
    case adan(beta1: Double, beta2: Double, beta3: Double, epsilon: Double)

    var states: [String] {
      switch self {
      case .adam: ["m", "v"]
      case .adan: ["m", "d", "n", "g"]
      }
    }
  }

  public let parameters: [Tensor]
  public let method: Method
  public var lr: Double
  public private(set) var step = 0
  /// One tensor a state and parameter, made at its first step.
  private var state: [[Tensor]] = []

  public init(_ parameters: [Tensor], _ method: Method, lr: Double) throws {
    for (i, p) in parameters.enumerated() {
      guard p.requiresGrad, p.dtype == .f32 else {
        throw LunervError(
          .argument, "optimiser: parameter \(i + 1) must be an f32 tensor that requires a gradient")
      }
    }
    self.parameters = parameters
    self.method = method
    self.lr = lr
  }

  public func clearGradients() { for p in parameters { p.clearGrad() } }

  private func prepare() throws {
    guard state.isEmpty else { return }
    state = try method.states.map { _ in
      try parameters.map { Tensor(try Value.zeros($0.shape, .f32, $0.value.layout)) }
    }
  }

  /// One update of every parameter that has a gradient.
  public func update() throws {
    try prepare()
    step += 1
    var slices: [OptimiserSlice] = []
    var held: [Value] = []
    for (i, p) in parameters.enumerated() {
      guard let grad = p.grad else { continue }
      let g = try grad.value.converted(to: p.value.layout)
      held.append(g)
      slices.append(
        OptimiserSlice(
          count: p.value.physicalCount, parameter: try p.writableFloats(),
          gradient: try g.memory(Float.self), state: try state.map { try $0[i].writableFloats() }))
    }
    switch method {
    case .adam(let b1, let b2, let e):
      OptimiserStep.adam(slices, lr: lr, beta1: b1, beta2: b2, epsilon: e, step: step)
    case .adan(let b1, let b2, let b3, let e):
      OptimiserStep.adan(slices, lr: lr, beta1: b1, beta2: b2, beta3: b3, epsilon: e, step: step)
    }
    withExtendedLifetime(held) {}
  }

  /// Name and tensor of every state, in order: "m.1", "m.2", …
  public func states() throws -> [(String, Tensor)] {
    try prepare()
    return zip(method.states, state).flatMap { name, tensors in
      tensors.enumerated().map { ("\(name).\($0.offset + 1)", $0.element) }
    }
  }

  public func load(step: Int, _ tensors: [String: Tensor]) throws {
    try prepare()
    for (name, mine) in try states() {
      guard let theirs = tensors[name] else {
        throw LunervError(.data, "optimiser: state '\(name)' is missing")
      }
      try mine.assign(theirs, as: "optimiser state '\(name)'")
    }
    guard step >= 0 else { throw LunervError(.data, "optimiser: step \(step) is negative") }
    self.step = step
  }

  /// Scales the gradients so that their joint L2 norm is at most `limit`; returns the norm
  /// before. The factor is min(1, limit/(norm + 1e-6)).
  public static func clipGradients(of parameters: [Tensor], to limit: Double) throws -> Double {
    var total = 0.0
    for p in parameters {
      if let g = p.grad { total += try g.squared().sum().item() }
    }
    let norm = total.squareRoot()
    let factor = limit / (norm + 1e-6)
    if factor < 1 {
      for p in parameters {
        if let g = p.grad { try g.assign(g.multiplied(by: factor)) }
      }
    }
    return norm
  }
}
