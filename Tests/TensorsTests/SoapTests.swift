import Kernels
import Support
import Testing

@testable import Tensors

/// A matrix of doubles, for the plain reference.
private struct Matrix {
  var rows: Int
  var columns: Int
  var x: [Double]

  init(_ rows: Int, _ columns: Int, _ x: [Double]? = nil) {
    self.rows = rows
    self.columns = columns
    self.x = x ?? [Double](repeating: 0, count: rows * columns)
  }

  static func identity(_ n: Int) -> Matrix {
    Matrix(n, n, (0..<(n * n)).map { $0 / n == $0 % n ? 1 : 0 })
  }

  subscript(i: Int, j: Int) -> Double {
    get { x[i * columns + j] }
    set { x[i * columns + j] = newValue }
  }

  var transposed: Matrix {
    var t = Matrix(columns, rows)
    for i in 0..<rows { for j in 0..<columns { t[j, i] = self[i, j] } }
    return t
  }

  static func * (a: Matrix, b: Matrix) -> Matrix {
    var c = Matrix(a.rows, b.columns)
    for i in 0..<a.rows {
      for k in 0..<a.columns {
        let f = a[i, k]
        for j in 0..<b.columns { c[i, j] += f * b[k, j] }
      }
    }
    return c
  }

  static func mix(_ a: Matrix, _ b: Matrix, _ f: Double, _ g: Double) -> Matrix {
    Matrix(a.rows, a.columns, zip(a.x, b.x).map { f * $0 + g * $1 })
  }

  func columns(_ order: [Int]) -> Matrix {
    var c = self
    for i in 0..<rows { for j in 0..<columns { c[i, j] = self[i, order[j]] } }
    return c
  }

  /// The Q of a QR decomposition, by Gram–Schmidt, twice for accuracy.
  var orthonormal: Matrix {
    var q = transposed
    for i in 0..<q.rows {
      for _ in 0..<2 {
        for k in 0..<i {
          let f = (0..<q.columns).reduce(0) { $0 + q[i, $1] * q[k, $1] }
          for j in 0..<q.columns { q[i, j] -= f * q[k, j] }
        }
      }
      let norm = (0..<q.columns).reduce(0) { $0 + q[i, $1] * q[i, $1] }.squareRoot()
      for j in 0..<q.columns { q[i, j] /= norm }
    }
    return q.transposed
  }

  var largest: Double { x.reduce(0) { max($0, abs($1)) } }
}

/// SOAP as published, in doubles, step by step; a dimension without a basis has the identity.
private struct Reference {
  let options: SoapOptions
  let phase: Int
  let lr: Double
  let decay: Double
  var w: Matrix
  var l: Matrix
  var r: Matrix
  var ql: Matrix
  var qr: Matrix
  var m: Matrix
  var v: Matrix
  var count = 0

  init(_ w: Matrix, _ options: SoapOptions, phase: Int, lr: Double, decay: Double) {
    (self.w, self.options, self.phase, self.lr, self.decay) = (w, options, phase, lr, decay)
    (l, r) = (Matrix(w.rows, w.rows), Matrix(w.columns, w.columns))
    (ql, qr) = (.identity(w.rows), .identity(w.columns))
    (m, v) = (Matrix(w.rows, w.columns), Matrix(w.rows, w.columns))
  }

  mutating func step(_ g: Matrix, number: Int) {
    defer { count += 1 }
    if count > 0 {
      let x = ql.transposed * g * qr
      m = .mix(m, x, options.beta1, 1 - options.beta1)
      v = .mix(v, Matrix(x.rows, x.columns, x.x.map { $0 * $0 }), options.beta2, 1 - options.beta2)
      let c1 = 1 - pow(options.beta1, count), c2 = 1 - pow(options.beta2, count)
      let n = zip(m.x, v.x).map { $0 / c1 / (($1 / c2).squareRoot() + options.epsilon) }
      w = .mix(w, ql * Matrix(w.rows, w.columns, n) * qr.transposed, 1 - lr * decay, -lr)
    }
    l = .mix(l, g * g.transposed, options.shampooBeta, 1 - options.shampooBeta)
    r = .mix(r, g.transposed * g, options.shampooBeta, 1 - options.shampooBeta)
    guard count > 0, (number - 1 + phase) % options.frequency == 0 else { return }
    let world = ql * m * qr.transposed
    if w.rows <= options.largest {
      let order = refresh(l, &ql)
      v = v.transposed.columns(order).transposed
    }
    if w.columns <= options.largest { v = v.columns(refresh(r, &qr)) }
    m = ql.transposed * world * qr
  }

  private func refresh(_ mean: Matrix, _ q: inout Matrix) -> [Int] {
    let values = q.transposed * mean * q
    let order = (0..<q.columns).sorted { values[$0, $0] > values[$1, $1] }
    q = (mean * q.columns(order)).orthonormal
    return order
  }

  private func pow(_ x: Double, _ n: Int) -> Double { (0..<n).reduce(1) { y, _ in y * x } }
}

extension TensorsTests {
  @Suite struct SoapTests {
    private func state(_ o: Optimiser, _ name: String, _ n: Int) throws -> Matrix? {
      guard let t = try o.states().first(where: { $0.0 == name })?.1 else { return nil }
      return Matrix(n, n, try t.numbers())
    }

    /// Gives every parameter its gradient and makes a step.
    private func step(_ p: [Tensor], _ g: [[Double]], _ o: Optimiser) throws {
      o.clearGradients()
      for (p, g) in zip(p, g) {
        try p.multiplied(by: Tensor.from(g, p.shape)).sum().backward()
      }
      try o.update()
    }

    /// Wide, tall and square, with one basis and with none, over several refreshes; two parameters,
    /// which are refreshed at different steps.
    @Test(arguments: [
      ([4, 7], 1024), ([7, 4], 1024), ([6, 6], 1024), ([5, 3, 2, 2], 1024), ([4, 7], 5),
      ([7, 4], 5), ([5, 6], 3), ([140, 150], 1024), ([150, 140], 1024), ([9, 300], 100),
      ([300, 9], 100), ([1, 3], 8),
    ])
    func soapIsThePublishedMethod(_ shape: [Int], largest: Int) throws {
      let (rows, columns) = (shape[0], shape.dropFirst().reduce(1, *))
      let options = SoapOptions(
        beta1: 0.9, beta2: 0.95, shampooBeta: 0.8, epsilon: 1e-8, frequency: 3, largest: largest)
      let p = [try Tensor.leaf(shape, seed: 1), try Tensor.leaf(shape, seed: 2)]
      let optimiser = try Optimiser([.init(p, .soap(options), lr: 0.1, weightDecay: 0.5)])
      var references = try p.enumerated().map { k, p in
        Reference(
          Matrix(rows, columns, try p.numbers()), options, phase: k, lr: 0.1, decay: 0.5)
      }
      for number in 1...8 {
        let g = (0..<2).map { noise(rows * columns, seed: 10 * number + $0, -1, 1) }
        try step(p, g, optimiser)
        for k in 0..<2 {
          references[k].step(Matrix(rows, columns, g[k]), number: number)
          if number == 1 {
            #expect(try p[k].numbers() == references[k].w.x)
            // Eigenvectors are unique up to their signs, and up to rotations where eigenvalues are
            // equal.
            if let q = try state(optimiser, "ql.\(k + 1)", rows) {
              references[k].ql = q.transposed
              checkEigenbasis(references[k].l, q.transposed)
            }
            if let q = try state(optimiser, "qr.\(k + 1)", columns) {
              references[k].qr = q.transposed
              checkEigenbasis(references[k].r, q.transposed)
            }
          }
          let got = Matrix(rows, columns, try p[k].numbers())
          let error = Matrix.mix(got, references[k].w, 1, -1).largest
          #expect(error < 1e-4, "parameter \(k), step \(number)")
        }
      }
      #expect(
        try optimiser.states().count == 6 + (rows <= largest ? 4 : 0) + (columns <= largest ? 4 : 0)
      )
    }

    private func checkEigenbasis(_ mean: Matrix, _ q: Matrix) {
      let n = q.rows
      let values = q.transposed * mean * q
      #expect(Matrix.mix(q.transposed * q, .identity(n), 1, -1).largest < 1e-5)
      var off = values
      for i in 0..<n { off[i, i] = 0 }
      #expect(off.largest < 1e-5 * max(values.largest, 1e-30))
      #expect((1..<max(n, 1)).allSatisfy { values[$0, $0] <= values[$0 - 1, $0 - 1] + 1e-5 })
    }

    /// The same bits for any number of threads and any layout, and after resuming at any step
    /// between two refreshes.
    @Test func soapIsReproducible() throws {
      let shapes = [[17, 30, 3, 3], [300, 9], [64, 64], [12, 5, 3, 3]]
      let options = SoapOptions(frequency: 3, largest: 280)
      func leaves(channelsLast: Bool = false) throws -> [Tensor] {
        try shapes.enumerated().map {
          try Tensor.leaf($1, seed: $0, channelsLast: channelsLast)
        }
      }
      func run(_ p: [Tensor], _ o: Optimiser, _ numbers: ClosedRange<Int>) throws {
        for number in numbers {
          let g = shapes.enumerated().map {
            noise($1.reduce(1, *), seed: 100 * number + $0, -1, 1)
          }
          try step(p, g, o)
        }
      }
      let pool = ThreadPool.shared, threads = pool.threads
      defer { pool.threads = threads }
      var results: [[Double]] = []
      for count in [1, 2, 8] {
        pool.threads = count
        let p = try leaves(channelsLast: count == 2)
        let layouts = p.map(\.value.layout)
        try run(p, try Optimiser(p, .soap(options), lr: 0.02), 1...7)
        #expect(p.map(\.value.layout) == layouts)
        #expect(try p.allSatisfy { try $0.paddingIsZero() })
        results.append(try p.flatMap { try $0.numbers() })
      }
      #expect(results[0] == results[1] && results[0] == results[2])
      #expect(results[0].allSatisfy { $0.isFinite })
      for stop in 1...6 {
        let p = try leaves()
        let first = try Optimiser(p, .soap(options), lr: 0.02)
        try run(p, first, 1...stop)
        let copies = try p.map { try Tensor.leaf($0.numbers(), $0.shape) }
        let second = try Optimiser(copies, .soap(options), lr: 0.02)
        try second.load(step: first.step, Dictionary(uniqueKeysWithValues: first.states()))
        try run(copies, second, (stop + 1)...7)
        #expect(try copies.flatMap { try $0.numbers() } == results[0], "stopped after \(stop)")
      }
    }

    /// A parameter whose first gradient comes late starts then.
    @Test func lateGradients() throws {
      let method = Optimiser.Method.soap(SoapOptions(frequency: 100))
      let (p, late, alone) = (
        try Tensor.leaf([3, 4], seed: 1), try Tensor.leaf([4, 5], seed: 2),
        try Tensor.leaf([4, 5], seed: 2)
      )
      let together = try Optimiser([p, late], method, lr: 0.1)
      let single = try Optimiser([alone], method, lr: 0.1)
      for number in 1...6 {
        let g = noise(20, seed: number, -1, 1), other = noise(12, seed: number, -1, 1)
        try step([p, late], number < 3 ? [other] : [other, g], together)
        if number >= 3 { try step([alone], [g], single) }
      }
      #expect(try late.numbers() == alone.numbers())
      #expect(try late.numbers() != Tensor.leaf([4, 5], seed: 2).numbers())
    }

    /// Gradients that are zero or NaN neither trap nor hang.
    @Test(arguments: [0, Double.nan, .infinity])
    func oddGradients(_ value: Double) throws {
      let p = try Tensor.leaf([4, 9], seed: 1)
      let optimiser = try Optimiser([p], .soap(SoapOptions(frequency: 2)), lr: 0.1)
      let before = try p.numbers()
      for _ in 0..<5 { try step([p], [[Double](repeating: value, count: 36)], optimiser) }
      let after = try p.numbers()
      #expect(after == before || value != 0 && after.allSatisfy { !$0.isFinite })
    }

    @Test func refusals() throws {
      let (matrix, vector) = (try Tensor.leaf([3, 4], seed: 1), try Tensor.leaf([4], seed: 2))
      #expect(throws: LunervError.self) { try Optimiser([vector], .soap(SoapOptions()), lr: 1) }
      for options in [
        SoapOptions(frequency: 0), SoapOptions(largest: 0), SoapOptions(largest: 20000),
      ] {
        #expect(throws: LunervError.self) { try Optimiser([matrix], .soap(options), lr: 1) }
      }
      // Without rows there is nothing to do.
      let empty = try Tensor.leaf([0, 3], seed: 1)
      try Optimiser([empty], .soap(SoapOptions()), lr: 1).update()
    }
  }
}
