import Kernels
import Support

/// Updates parameters by their gradients. Groups may have their own method and learning rate; a
/// step is one native pass.
public final class Optimiser {
  public enum Method: Sendable, Equatable {
    /// Gradient descent with momentum, optionally Nesterov's.
    case sgd(momentum: Double, nesterov: Bool)
    /// Kingma & Ba; lr·m̂/(√v̂ + eps).
    case adam(beta1: Double, beta2: Double, epsilon: Double)
    /// Xie et al. (arXiv 2208.06677).
    case adan(beta1: Double, beta2: Double, beta3: Double, epsilon: Double)
    /// Jordan et al. (2024): the momentum of each matrix with its singular values set close to 1.
    /// A tensor is the matrix of its first dimension by all others.
    case muon(momentum: Double, nesterov: Bool)
    /// Vyas et al. (arXiv 2409.11321): Adam in the eigenbases of the two Gram matrices of each such
    /// matrix.
    case soap(SoapOptions)

    /// Name and shape of each state of a parameter.
    func states(of shape: [Int]) -> [(name: String, shape: [Int])] {
      switch self {
      case .sgd, .muon: [("m", shape)]
      case .adam: ["m", "v"].map { ($0, shape) }
      case .adan: ["m", "d", "n", "g"].map { ($0, shape) }
      case .soap(let options): SoapMatrix.states(of: shape, largest: options.largest)
      }
    }

    /// The layout of a parameter during an update, and always of its states. A basis of SOAP has no
    /// padding: a lane of zeros would count as a dimension.
    func layout(of parameter: Tensor) -> Layout {
      if case .soap = self { .contiguous } else { parameter.value.layout }
    }

    /// Its numbers by name, and whether each is a decay factor, below 1.
    var numbers: [(name: String, value: Double, isBelowOne: Bool)] {
      switch self {
      case .sgd(let momentum, _), .muon(let momentum, _): [("momentum", momentum, true)]
      case .adam(let b1, let b2, let epsilon):
        [("beta1", b1, true), ("beta2", b2, true), ("eps", epsilon, false)]
      case .adan(let b1, let b2, let b3, let epsilon):
        [("beta1", b1, true), ("beta2", b2, true), ("beta3", b3, true), ("eps", epsilon, false)]
      case .soap(let o):
        [
          ("beta1", o.beta1, true), ("beta2", o.beta2, true),
          ("shampoo_beta", o.shampooBeta, true), ("eps", o.epsilon, false),
        ]
      }
    }

    /// The name of a method that works on matrices.
    var nameOfMatrixMethod: String? {
      switch self {
      case .muon: "muon"
      case .soap: "soap"
      case .sgd, .adam, .adan: nil
      }
    }
  }

  /// Parameters with the same update.
  public struct Group {
    public var parameters: [Tensor]
    public var method: Method
    public var lr: Double
    /// Decoupled: each step subtracts `lr · weightDecay` times the value, apart from the update.
    public var weightDecay: Double

    public init(
      _ parameters: [Tensor], _ method: Method, lr: Double, weightDecay: Double = 0
    ) {
      self.parameters = parameters
      self.method = method
      self.lr = lr
      self.weightDecay = weightDecay
    }
  }

  public let groups: [Group]
  /// The learning rate of the first group. Those of the other groups keep their ratio to it.
  public var lr: Double
  public private(set) var step = 0
  /// For each parameter, in the order of the groups, one tensor per state of its method; allocated
  /// at the first step.
  private var state: [[Tensor]] = []

  /// - Throws: if a parameter is not an f32 leaf that requires a gradient, is listed twice, or has
  ///   fewer than two dimensions and a method for matrices; if the first of several groups has a
  ///   learning rate of 0, or a number is out of range.
  public init(_ groups: [Group]) throws {
    var seen: Set<ObjectIdentifier> = []
    var number = 0
    for group in groups {
      for p in group.parameters {
        number += 1
        guard p.requiresGrad, p.dtype == .f32 else {
          throw LunervError(
            .argument,
            "optimiser: parameter \(number) must be an f32 tensor that requires a gradient")
        }
        guard p.isLeaf else {
          throw LunervError(
            .argument,
            "optimiser: parameter \(number): expected a parameter, got a tensor computed from one")
        }
        guard seen.insert(ObjectIdentifier(p)).inserted else {
          throw LunervError(
            .argument,
            "optimiser: parameter \(number): expected each parameter once, got it twice")
        }
        if let name = group.method.nameOfMatrixMethod, p.shape.count < 2 {
          throw LunervError(
            .argument,
            "\(name): parameter \(number): expected two dimensions or more, got \(p.shape.count)")
        }
      }
      for (name, value) in [("lr", group.lr), ("weight_decay", group.weightDecay)] {
        guard value.isFinite, value >= 0 else {
          throw LunervError(
            .argument,
            "optimiser: \(name): expected a finite number of at least 0, got \(value.printable)")
        }
      }
      for (name, value, isBelowOne) in group.method.numbers {
        guard value >= 0, isBelowOne ? value < 1 : value < .infinity else {
          throw LunervError(
            .argument,
            "optimiser: \(name): expected a number \(isBelowOne ? "from 0 to below 1" : "of at least 0")"
              + ", got \(value)")
        }
      }
      if case .soap(let o) = group.method {
        guard o.frequency >= 1 else {
          throw LunervError(
            .argument, "soap: expected a frequency of at least 1, got \(o.frequency)")
        }
        guard SoapOptions.sizes.contains(o.largest) else {
          throw LunervError(
            .argument,
            "soap: expected largest from \(SoapOptions.sizes.lowerBound) to \(SoapOptions.sizes.upperBound), got \(o.largest)"
          )
        }
      }
    }
    guard groups.count <= 1 || groups[0].lr != 0 else {
      throw LunervError(
        .argument, "optimiser: lr of the first group: expected a number above 0, got 0")
    }
    self.groups = groups
    lr = groups.first?.lr ?? 0
  }

  public convenience init(_ parameters: [Tensor], _ method: Method, lr: Double) throws {
    try self.init([Group(parameters, method, lr: lr)])
  }

  public var parameters: [Tensor] { groups.flatMap(\.parameters) }

  public func clearGradients() {
    for group in groups { for p in group.parameters { p.clearGrad() } }
  }

  private func prepare() throws {
    guard state.isEmpty else { return }
    state = try groups.flatMap { group in
      try group.parameters.map { p in
        let layout = group.method.layout(of: p)
        return try group.method.states(of: p.shape).map { state in
          // Only a state of the parameter's shape can share its layout.
          Tensor(
            try Value.zeros(state.shape, .f32, state.shape == p.shape ? layout : .contiguous))
        }
      }
    }
  }

  /// One update of every parameter that has a gradient.
  public func update() throws {
    try prepare()
    step += 1
    var first = 0
    for (number, group) in groups.enumerated() {
      // The first group's learning rate is set exactly.
      let rate = number == 0 ? lr : lr * (group.lr / groups[0].lr)
      try update(group, lr: rate, states: state[first..<(first + group.parameters.count)])
      first += group.parameters.count
    }
  }

  private func update(_ group: Group, lr: Double, states: ArraySlice<[Tensor]>) throws {
    var slices: [OptimiserSlice] = []
    var numbers: [Int] = []
    var held: [Value] = []
    /// Parameters in a temporary layout, and that layout.
    var moved: [(parameter: Tensor, value: Value)] = []
    for (k, (p, tensors)) in zip(group.parameters, states).enumerated() {
      guard let grad = p.grad else { continue }
      let layout = group.method.layout(of: p)
      let g = try grad.value.converted(to: layout)
      held.append(g)
      numbers.append(k)
      var memory: UnsafeMutablePointer<Float>
      if p.value.layout == layout {
        memory = try p.writableFloats()
      } else {
        let value = try p.value.converted(to: layout)
        memory = try value.memory(Float.self)
        moved.append((p, value))
      }
      slices.append(
        OptimiserSlice(
          count: g.physicalCount, lr: lr, weightDecay: group.weightDecay, parameter: memory,
          gradient: try g.memory(Float.self), state: try tensors.map { try $0.writableFloats() }))
    }
    switch group.method {
    case .sgd(let momentum, let nesterov):
      OptimiserStep.sgd(slices, momentum: momentum, nesterov: nesterov)
    case .adam(let b1, let b2, let e):
      OptimiserStep.adam(slices, beta1: b1, beta2: b2, epsilon: e, step: step)
    case .adan(let b1, let b2, let b3, let e):
      OptimiserStep.adan(slices, beta1: b1, beta2: b2, beta3: b3, epsilon: e, step: step)
    case .muon(let momentum, let nesterov):
      // Rows stay together in every layout, and any order of columns gives the same update.
      let matrices = zip(slices, numbers).map {
        MuonMatrix($0, rows: group.parameters[$1].shape[0])
      }
      MuonStep.update(matrices, momentum: Float(momentum), nesterov: nesterov)
    case .soap(let options):
      let matrices = zip(slices, numbers).map {
        SoapMatrix(
          $0, rows: group.parameters[$1].shape[0], largest: options.largest, phase: $1)
      }
      SoapStep.update(matrices, options, step: step)
    }
    for (p, value) in moved {
      stridedCopy(
        sizes: p.shape, from: try value.memory(Float.self), strides: value.strides,
        to: try p.writableFloats(), strides: p.value.strides)
    }
    withExtendedLifetime(held) {}
  }

  /// The name and tensor of every state, in order: "m.1", "m.2", …, numbered by parameter.
  public func states() throws -> [(String, Tensor)] {
    try prepare()
    var list: [(String, Tensor)] = []
    var number = 0
    for group in groups {
      for p in group.parameters {
        number += 1
        for ((name, _), tensor) in zip(group.method.states(of: p.shape), state[number - 1]) {
          list.append(("\(name).\(number)", tensor))
        }
      }
    }
    return list
  }

  /// Restores a step and the tensors of ``states()``.
  ///
  /// - Throws: `.data` if any of them is missing or does not fit; then nothing changes.
  public func load(step: Int, _ tensors: [String: Tensor]) throws {
    guard (0...1 << 53).contains(step) else {
      throw LunervError(.data, "optimiser: step: expected from 0 to 2^53, got \(step)")
    }
    let pairs = try states().map { name, mine in
      guard let theirs = tensors[name] else {
        throw LunervError(.data, "optimiser: state '\(name)' is missing")
      }
      return (name, mine, theirs)
    }
    // Nothing changes unless all of it can.
    for (name, mine, theirs) in pairs {
      try mine.checkAssignable(theirs, as: "optimiser state '\(name)'")
    }
    for (name, mine, theirs) in pairs {
      try mine.assign(theirs, as: "optimiser state '\(name)'")
    }
    self.step = step
  }

  /// Scales the gradients so that their total L2 norm is at most `limit`; returns the norm
  /// before. The factor is min(1, limit/(norm + 1e-6)).
  public static func clipGradients(of parameters: [Tensor], to limit: Double) throws -> Double {
    guard limit >= 0, !parameters.isEmpty else {
      throw LunervError(
        .argument,
        parameters.isEmpty
          ? "clip_grad_norm: expected parameters, got an empty list"
          : "clip_grad_norm: limit: expected a number of at least 0, got \(limit.printable)")
    }
    let squares = try gradientSquares(of: parameters).reduce(0) { $0 + ($1 ?? 0) }
    return try scaleGradients(of: parameters, squares: squares, to: limit)
  }

  /// The sum of squares of each parameter's gradient; nil if it has none, or was listed before.
  public static func gradientSquares(of parameters: [Tensor]) throws -> [Double?] {
    var seen: Set<ObjectIdentifier> = []
    return try parameters.map { p in
      guard seen.insert(ObjectIdentifier(p)).inserted, let g = p.grad else { return nil }
      return try g.squared().sum().item()
    }
  }

  /// Scales the gradients, given the sum `squares` of all their squares, like
  /// ``clipGradients(of:to:)``; returns the norm before.
  public static func scaleGradients(of parameters: [Tensor], squares: Double, to limit: Double)
    throws -> Double
  {
    let norm = squares.squareRoot()
    let factor = limit / (norm + 1e-6)
    var seen: Set<ObjectIdentifier> = []
    if factor < 1 {
      for p in parameters where seen.insert(ObjectIdentifier(p)).inserted {
        if let g = p.grad { try g.assign(g.multiplied(by: factor)) }
      }
    }
    return norm
  }
}
