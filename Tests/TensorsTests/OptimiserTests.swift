// Optimisers against plain loops, their state, groups and gradient clipping.
import Kernels
import Support
import Testing

@testable import Tensors

extension TensorsTests {
  @Suite struct OptimiserTests {
    private func methods() -> [Optimiser.Method] {
      [
        .adam(beta1: 0.9, beta2: 0.999, epsilon: 1e-8),
        .adan(beta1: 0.98, beta2: 0.92, beta3: 0.99, epsilon: 1e-8),
        .sgd(momentum: 0.9, nesterov: true), .muon(momentum: 0.95, nesterov: true),
        .soap(SoapOptions(frequency: 2)),
      ]
    }

    /// Parameters stay in place: training writes the same memory over and over.
    @Test func memoryStaysInPlace() throws {
      for method in methods() {
        let parameters = [
          try Tensor.leaf([5, 3, 3, 3], seed: 1),
          try Tensor.leaf([1, 5, 3, 4], seed: 2, channelsLast: true),
        ]
        let optimiser = try Optimiser(parameters, method, lr: 1e-2)
        var places: [[UnsafeMutablePointer<Float>]] = []
        var losses: [Double] = []
        for _ in 0..<20 {
          optimiser.clearGradients()
          let loss = try parameters[1].conv2d(parameters[0].permuted([1, 0, 2, 3]), nil).squared()
            .mean()
          losses.append(try loss.item())
          try loss.backward()
          try optimiser.update()
          places.append(
            try (parameters + optimiser.states().map(\.1)).map { try $0.value.memory(Float.self) })
        }
        #expect(places.dropFirst().allSatisfy { $0 == places[0] })
        #expect(losses[19] < losses[0])
        #expect(try parameters[1].paddingIsZero())
        #expect(parameters[1].value.layout == .channelsLast)
      }
    }

    /// An empty first group only names the learning rate that others are relative to.
    @Test func anEmptyGroupKeepsTheOthersLearningRate() throws {
      let p = try Tensor.leaf([1, 2], [2])
      let plain = Optimiser.Method.sgd(momentum: 0, nesterov: false)
      let optimiser = try Optimiser([
        Optimiser.Group([], .muon(momentum: 0.9, nesterov: true), lr: 0.5),
        Optimiser.Group([p], plain, lr: 0.25),
      ])
      try p.sum().backward()
      try optimiser.update()
      #expect(try p.numbers() == [0.75, 1.75])
    }

    /// A state that cannot be loaded changes nothing.
    @Test func loadsAllOrNothing() throws {
      let p = try Tensor.leaf([1, 2], [2]), q = try Tensor.leaf([3, 4], [2])
      let optimiser = try Optimiser([p, q], .sgd(momentum: 0.9, nesterov: false), lr: 0.1)
      try p.adding(q).sum().backward()
      try optimiser.update()
      let before = try optimiser.states().map { try $0.1.numbers() }
      let names = try optimiser.states().map(\.0)
      let zeros = try Tensor.full(0, [2], .f32), wrong = try Tensor.full(0, [3], .f32)
      for states in [[names[0]: zeros], [names[0]: zeros, names[1]: wrong]] {
        #expect(throws: LunervError.self) { try optimiser.load(step: 7, states) }
        #expect(try optimiser.states().map { try $0.1.numbers() } == before)
      }
      #expect(optimiser.step == 1)
    }

    /// A step does not change a pending value computed from the parameter before it.
    @Test func stepsDoNotReachBack() throws {
      for method in methods() {
        let p = try Tensor.leaf([1, 2], [1, 2])
        let optimiser = try Optimiser([p], method, lr: 0.5)
        try p.squared().sum().backward()
        // SOAP's first step changes no parameter.
        try optimiser.update()
        let before = try p.numbers()
        let pending = try p.detach().multiplied(by: 1), alias = p.detach()
        let view = try p.detach().viewed([2, 1])
        try optimiser.update()
        #expect(
          try pending.numbers() == before && alias.numbers() == before && view.numbers() == before)
        #expect(try p.numbers() != before)
      }
    }

    /// Saved and loaded, an optimiser continues as if uninterrupted.
    @Test func resumingEqualsNeverStopping() throws {
      for method in methods() {
        func step(_ p: Tensor, _ o: Optimiser) throws {
          o.clearGradients()
          try p.sin().multiplied(by: p).sum().backward()
          try o.update()
        }
        let p = try Tensor.leaf([7, 3], seed: 3)
        let first = try Optimiser([p], method, lr: 1e-2)
        for _ in 0..<3 { try step(p, first) }
        let copy = try Tensor.leaf(p.numbers(), [7, 3])
        let second = try Optimiser([copy], method, lr: 1e-2)
        let states = try first.states().map { ($0.0, try $0.1.clone()) }
        try second.load(step: first.step, Dictionary(uniqueKeysWithValues: states))
        for _ in 0..<3 {
          try step(p, first)
          try step(copy, second)
        }
        #expect(try p.numbers() == copy.numbers() && first.step == second.step)
        #expect(throws: LunervError.self) { try second.load(step: 1, [:]) }
        #expect(throws: LunervError.self) {
          try second.load(step: -1, Dictionary(uniqueKeysWithValues: states))
        }
      }
    }

    /// A parameter without a gradient is unchanged.
    @Test func parametersWithoutGradient() throws {
      let (p, q) = (try Tensor.leaf([1], [1]), try Tensor.leaf([2], [1]))
      let optimiser = try Optimiser([p, q], methods()[0], lr: 0.1)
      try p.sum().backward()
      try optimiser.update()
      #expect(try abs(p.item() - 0.9) < 1e-6 && q.item() == 2)
      #expect(throws: LunervError.self) {
        try Optimiser([.full(1, [2])], methods()[0], lr: 0.1)
      }
    }

    /// U of the Newton–Schulz iteration in Double, as published: on the whole matrix, step by step.
    private func orthogonalised(_ g: [Double], rows: Int, columns: Int) -> [Double] {
      func transposed(_ x: [Double], rows: Int, columns: Int) -> [Double] {
        x.indices.map { x[$0 % rows * columns + $0 / rows] }
      }
      guard rows >= columns else {
        let u = orthogonalised(
          transposed(g, rows: rows, columns: columns), rows: columns, columns: rows)
        return transposed(u, rows: columns, columns: rows)
      }
      var u = g
      let norm = g.reduce(0) { $0 + $1 * $1 }.squareRoot() + 1e-7
      u = u.map { $0 / norm }
      for _ in 0..<5 {
        // (aI + b·UᵀU + c·(UᵀU)²) from the right: the same polynomial of the singular values.
        func times(_ x: [Double], _ y: [Double], _ m: Int, _ n: Int, _ k: Int) -> [Double] {
          (0..<(m * n)).map { i in
            (0..<k).reduce(0) { $0 + x[i / n * k + $1] * y[$1 * n + i % n] }
          }
        }
        let gram = times(
          transposed(u, rows: rows, columns: columns), u, columns, columns, rows)
        let square = times(gram, gram, columns, columns, columns)
        let polynomial = gram.indices.map { -4.7750 * gram[$0] + 2.0315 * square[$0] }
        let moved = times(u, polynomial, rows, columns, columns)
        u = u.indices.map { 3.4445 * u[$0] + moved[$0] }
      }
      return u
    }

    /// Wide, tall and square matrices of both ranks, longer than one piece of work.
    @Test(arguments: [[5, 7, 3, 3], [40, 3, 1, 1], [6, 6], [3, 140, 3, 3], [700, 4]])
    func muonIsThePublishedIteration(_ shape: [Int]) throws {
      let p = try Tensor.leaf(shape, seed: 1)
      let (rows, columns) = (shape[0], p.value.count / shape[0])
      let optimiser = try Optimiser(
        [.init([p], .muon(momentum: 0.9, nesterov: true), lr: 0.1, weightDecay: 0.5)])
      var momentum = [Double](repeating: 0, count: rows * columns)
      for step in 1...3 {
        let before = try p.numbers()
        let g = noise(rows * columns, seed: 10 * step, -1, 1)
        optimiser.clearGradients()
        try p.multiplied(by: Tensor.from(g, shape)).sum().backward()
        try optimiser.update()
        momentum = zip(momentum, g).map { 0.9 * $0 + $1 }
        let u = orthogonalised(
          zip(momentum, g).map { 0.9 * $0 + $1 }, rows: rows, columns: columns)
        let scale = max(1, Double(rows) / Double(columns)).squareRoot()
        let wanted = zip(before, u).map { 0.95 * $0 - 0.1 * scale * $1 }
        let error = zip(try p.numbers(), wanted).map { abs($0 - $1) }.max()!
        #expect(error < 3e-6, "step \(step)")
      }
    }

    /// The same bits for any number of threads and any layout.
    @Test func muonIsReproducible() throws {
      let pool = ThreadPool.shared, threads = pool.threads
      defer { pool.threads = threads }
      var results: [[Double]] = []
      for count in [1, 2, 8] {
        pool.threads = count
        let p = [
          try Tensor.leaf([17, 90, 3, 3], seed: 1), try Tensor.leaf([300, 9, 3, 3], seed: 2),
          try Tensor.leaf([64, 64], seed: 3),
        ]
        let optimiser = try Optimiser(p, .muon(momentum: 0.95, nesterov: true), lr: 0.02)
        for _ in 0..<3 {
          optimiser.clearGradients()
          for parameter in p { try parameter.sin().sum().backward() }
          try optimiser.update()
        }
        results.append(try p.flatMap { try $0.numbers() })
      }
      #expect(results[0] == results[1] && results[0] == results[2])
      #expect(results[0].allSatisfy { $0.isFinite })
    }

    /// Groups have their own methods and learning rates, which keep their ratio to the first
    /// group's.
    @Test func groups() throws {
      func leaves() throws -> [Tensor] {
        [try Tensor.leaf([3, 4], seed: 5), try Tensor.leaf([4], seed: 6)]
      }
      func step(_ p: [Tensor], _ optimisers: [Optimiser]) throws {
        for o in optimisers { o.clearGradients() }
        try p[0].multiplied(by: p[1]).sin().sum().backward()
        for o in optimisers { try o.update() }
      }
      let (together, apart) = (try leaves(), try leaves())
      let method = Optimiser.Method.adam(beta1: 0.9, beta2: 0.999, epsilon: 1e-8)
      let one = try Optimiser([
        .init([together[0]], .muon(momentum: 0.95, nesterov: false), lr: 0.1),
        .init([together[1]], method, lr: 0.02),
      ])
      let first = try Optimiser([apart[0]], .muon(momentum: 0.95, nesterov: false), lr: 0.1)
      let second = try Optimiser([apart[1]], method, lr: 0.02)
      for rate in [0.1, 0.05, 0.2] {
        (one.lr, first.lr, second.lr) = (rate, rate, rate * (0.02 / 0.1))
        try step(together, [one])
        try step(apart, [first, second])
      }
      for (a, b) in zip(together, apart) { #expect(try a.numbers() == b.numbers()) }
      #expect(try one.states().map(\.0) == ["m.1", "m.2", "v.2"])
      #expect(throws: LunervError.self) {
        try Optimiser([.init([together[0]], method, lr: 1), .init([together[0]], method, lr: 1)])
      }
      #expect(throws: LunervError.self) {
        try Optimiser([together[1]], .muon(momentum: 0.9, nesterov: true), lr: 1)
      }
    }

    /// A step subtracts lr · weight_decay times the value, whatever the gradient does.
    @Test func weightDecay() throws {
      for method in methods() {
        let (p, q) = (try Tensor.leaf([4, 3], seed: 7), try Tensor.leaf([4, 3], seed: 7))
        let plain = try Optimiser([p], method, lr: 0.1)
        let decayed = try Optimiser([.init([q], method, lr: 0.1, weightDecay: 0.3)])
        let before = try p.numbers()
        for (t, o) in [(p, plain), (q, decayed)] {
          try t.sin().sum().backward()
          if case .soap = method { try o.update() }
          try o.update()
        }
        for (i, pair) in zip(try p.numbers(), try q.numbers()).enumerated() {
          #expect(abs(pair.0 - 0.03 * before[i] - pair.1) < 1e-6)
        }
      }
    }
  }
}
