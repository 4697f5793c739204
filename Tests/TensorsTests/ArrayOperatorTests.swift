// Operators that sort, index, rearrange and contract, further functions and norms, and linear
// algebra: against PyTorch, against finite differences, and for edge cases. Over 500 lines: one list
// of operators serves all checks.
import Kernels
import Support
import Testing

@testable import Tensors

/// Runs the operator that a case of the fixture file names.
private func apply(_ op: String, _ o: JSON, _ inputs: [String: Tensor]) throws -> Tensor {
  func input(_ name: String) throws -> Tensor { try #require(inputs[name], "input \(name)") }
  func integers(_ key: String) throws -> [Int] { try o.list(key).map(Int.init) }
  func index() throws -> Tensor {
    let numbers = try o.list("index")
    return try Tensor.from(numbers, o["shape"] == nil ? [numbers.count] : integers("shape"), .i32)
  }
  func flag(_ key: String) throws -> Bool {
    guard case .bool(let value)? = o[key] else { throw LunervError(.data, "no \(key)") }
    return value
  }
  let x = try input("x")
  switch op {
  case "cumsum": return try x.cumulativeSum(o.int("dim"))
  case "sort": return try x.sorted(o.int("dim"), descending: flag("descending")).values
  case "topk": return try x.top(o.int("k"), o.int("dim"), largest: flag("largest")).values
  case "gather": return try x.gathered(o.int("dim"), index())
  case "scatter": return try x.scattered(o.int("dim"), index(), input("y"))
  case "scatter_add": return try x.scatterAdded(o.int("dim"), index(), input("y"))
  case "index_select": return try x.selected(o.int("dim"), index())
  case "index_add": return try x.addingSlices(o.int("dim"), index(), input("y"))
  case "flip": return try x.flipped(integers("dims"))
  case "roll":
    let dims = try integers("dims")
    return try x.rolled(integers("shifts"), dims.isEmpty ? nil : dims)
  case "tril", "triu": return try x.triangle(o.int("diagonal"), lower: op == "tril")
  case "bmm": return try x.batchedProduct(input("y"))
  case "outer": return try x.outerProduct(input("y"))
  case "einsum":
    return try Tensor.einsum(
      #require(o["equation"]?.stringValue), [x] + ["y", "z"].compactMap { inputs[$0] })
  case "softplus": return try x.softplus(o["beta"]?.doubleValue ?? 1)
  case "hardswish": return try x.hardswish()
  case "leaky_relu": return try x.leakyRelu(0.1)
  case "expm1": return try x.expm1()
  case "log1p": return try x.log1p()
  case "log2": return try x.log2()
  case "atan2": return try x.angle(over: input("y"))
  case "logsumexp": return try x.logSumExp(integers("dims"), keep: flag("keep"))
  case "batch_norm":
    func given(_ key: String) throws -> Tensor? {
      guard o[key] != nil else { return nil }
      let numbers = try o.list(key)
      return try Tensor.from(numbers, [numbers.count], x.dtype)
    }
    return try x.batchNorm(
      mean: given("mean"), variance: given("var"), inputs["w"], inputs["b"],
      epsilon: o.double("eps"))
  case "group_norm":
    return try x.groupNorm(o.int("groups"), inputs["w"], inputs["b"], epsilon: o.double("eps"))
  case "rms_norm": return try x.rmsNorm(inputs["w"], dim: o.int("dim"), epsilon: o.double("eps"))
  case "eigh":
    let (values, vectors) = try x.adding(mirrored(x)).eigenvectors()
    let row = try values.viewed(
      values.shape.dropLast() + [1, values.shape[values.shape.count - 1]])
    return try Tensor.concatenated([row, vectors.squared()], vectors.shape.count - 2)
  case "cholesky":
    return try positive(x).cholesky()
  case "solve": return try x.solve(input("y"))
  case "qr_q": return try x.qr().q
  case "qr_r": return try x.qr().r
  case "irfft2": return try x.inverseFourierTransformed(width: o.int("width"))
  default: throw LunervError(.argument, "no operator for the fixture's '\(op)'")
  }
}

private func mirrored(_ x: Tensor) throws -> Tensor {
  var order = Array(x.shape.indices)
  order.swapAt(order.count - 1, order.count - 2)
  return try x.permuted(order)
}

/// x·xᵀ + 3·1.
private func positive(_ x: Tensor) throws -> Tensor {
  let n = x.shape[x.shape.count - 1]
  let unit = try Tensor.full(3, [n, n], x.dtype).triangle(0, lower: true).triangle(0, lower: false)
  return try x.matmul(mirrored(x)).adding(unit)
}

/// Largest errors allowed in f32, relative to the largest number expected.
private func tolerance(_ op: String) -> Double {
  switch op {
  case "eigh": 1e-3
  case "cholesky", "solve", "qr_q", "qr_r": 2e-4
  case "batch_norm", "group_norm", "rms_norm", "logsumexp": 2e-5
  default: 3e-6
  }
}

private let image = [2, 5, 3, 4]

private let catalogue: [Operator] = {
  var all: [Operator] = []
  @Sendable func index(_ numbers: [Int], _ shape: [Int]? = nil) throws -> Tensor {
    try Tensor.from(numbers.map(Double.init), shape ?? [numbers.count], .i32)
  }
  for dim in 0..<4 {
    all.append(Operator("cumsum \(dim)", image) { try $0[0].cumulativeSum(dim) })
    all.append(Operator("cumsum \(dim)", [1, 17, 2, 3]) { try $0[0].sin().cumulativeSum(dim) })
    all.append(
      Operator("sort \(dim)", image) { try $0[0].sorted(dim, descending: dim % 2 == 0).values })
    all.append(Operator("topk \(dim)", image) { try $0[0].top(2, dim, largest: dim < 2).values })
    all.append(
      Operator("index_select \(dim)", image) {
        try $0[0].cos().selected(dim, index([1, 2, 1, -1]))
      })
    var source = image
    source[dim] = 4
    all.append(
      Operator("index_add \(dim)", image, source) {
        try $0[0].addingSlices(dim, index([1, 2, 1, -1]), $0[1].cos())
      })
    let places = (0..<120).map { $0 * 7 % image[dim] + 1 }
    all.append(Operator("gather \(dim)", image) { try $0[0].gathered(dim, index(places, image)) })
    all.append(
      Operator("scatter \(dim)", image, image) {
        try $0[0].scattered(dim, index(places, image), $0[1])
      })
    all.append(
      Operator("scatter_add \(dim)", image, image) {
        try $0[0].scatterAdded(dim, index(places, image), $0[1])
      })
    all.append(Operator("flip \(dim)", image) { try $0[0].flipped([dim]) })
    all.append(Operator("roll \(dim)", image) { try $0[0].rolled([1], [dim]) })
    all.append(
      Operator("logsumexp \(dim)", image) { try $0[0].logSumExp([dim], keep: dim % 2 == 0) })
  }
  // A source that is larger than the index, an index that is smaller than the tensor.
  all.append(
    Operator("scatter narrow", [3, 4, 5], [4, 6, 5]) {
      try $0[0].scattered(1, index((0..<18).map { $0 % 4 + 1 }, [2, 3, 3]), $0[1])
    })
  all.append(
    Operator("scatter_add narrow", [3, 4, 5], [4, 6, 5]) {
      try $0[0].scatterAdded(2, index((0..<18).map { $0 % 4 + 1 }, [2, 3, 3]), $0[1])
    })
  all.append(Operator("flip of all", [2, 17, 3, 2]) { try $0[0].cos().flipped([0, 1, 2, 3]) })
  all.append(Operator("roll of two", [2, 17, 3, 5]) { try $0[0].cos().rolled([-1, 7], [1, 3]) })
  all.append(Operator("tril", image) { try $0[0].cos().triangle(1, lower: true) })
  all.append(Operator("triu", [4, 3]) { try $0[0].triangle(-1, lower: false) })
  all.append(Operator("outer", [3], [4]) { try $0[0].outerProduct($0[1]) })
  all.append(
    Operator("einsum", image, [4, 5, 2]) { try Tensor.einsum("abcd,dbe->ecb", $0) })
  all.append(
    Operator("einsum of three", image, [3, 1], [5]) {
      try Tensor.einsum("ab...,...,d->d...a", $0)
    })
  all.append(Operator("einsum of one", [3, 4, 3]) { try Tensor.einsum("iji->j", $0) })
  all.append(
    Operator("meshgrid", [3], [4]) {
      let grid = try Tensor.grid($0, columnsFirst: true)
      return try grid[0].multiplied(by: grid[1].sin())
    })
  typealias Unary = @Sendable (Tensor) throws -> Tensor
  func unary(_ name: String, lo: Double = -4, hi: Double = 4, _ f: @escaping Unary) {
    all.append(Operator(name, image, lo: lo, hi: hi) { try f($0[0]) })
    all.append(Operator(name, [7], lo: lo, hi: hi) { try f($0[0]) })
  }
  unary("softplus") { try $0.softplus() }
  unary("softplus 3") { try $0.softplus(3) }
  unary("leaky_relu") { try $0.leakyRelu(0.2) }
  unary("hardswish") { try $0.hardswish() }
  unary("log1p", lo: -0.8) { try $0.log1p() }
  unary("expm1") { try $0.expm1() }
  unary("log2", lo: 0.2) { try $0.log2() }
  for (a, b) in [(image, image), (image, [5, 1, 1]), ([2, 1, 3, 1], image), ([3], [2, 3])] {
    all.append(Operator("atan2", a, b, lo: 0.3, hi: 2) { try $0[0].angle(over: $0[1]) })
    all.append(
      Operator("atan2 to the left", a, b, lo: 0.3, hi: 2) {
        try $0[0].negated().angle(over: $0[1].negated())
      })
  }
  all.append(
    Operator("batch_norm", image, [5], [5], tolerance: 1e-5) {
      try $0[0].batchNorm(mean: nil, variance: nil, $0[1], $0[2], epsilon: 1e-5)
    })
  all.append(
    Operator("batch_norm by given statistics", image, [5], [5], [5], tolerance: 1e-5) {
      try $0[0].batchNorm(mean: $0[1], variance: $0[2].squared(), $0[3], nil, epsilon: 0.1)
    })
  for groups in [1, 2, 6] {
    all.append(
      Operator("group_norm \(groups)", [2, 6, 3, 4], [6], [6], tolerance: 2e-5) {
        try $0[0].groupNorm(groups, $0[1], $0[2], epsilon: 1e-5)
      })
  }
  for dim in [1, 3] {
    all.append(
      Operator("rms_norm \(dim)", image, [image[dim]], tolerance: 1e-5) {
        try $0[0].rmsNorm($0[1], dim: dim, epsilon: 1e-6)
      })
  }
  all.append(
    Operator("eigh", [2, 4, 4], tolerance: 1e-3) {
      let (values, vectors) = try $0[0].adding(mirrored($0[0])).eigenvectors()
      return try vectors.matmul(values.sin().viewed([2, 4, 1]))
    })
  all.append(Operator("cholesky", [2, 4, 4], tolerance: 1e-4) { try positive($0[0]).cholesky() })
  all.append(
    Operator("solve", [2, 4, 4], [4, 3], tolerance: 1e-4) { try positive($0[0]).solve($0[1]) })
  for shape in [[2, 5, 3], [2, 3, 5]] {
    all.append(
      Operator("qr", shape, tolerance: 1e-3) {
        let (q, r) = try $0[0].qr()
        return try q.sin().matmul(r.cos())
      })
  }
  for width in [6, 7] {
    all.append(
      Operator("irfft2 \(width)", [2, 5, 4, 2], tolerance: 1e-5) {
        try $0[0].inverseFourierTransformed(width: width)
      })
  }
  return all
}()

extension TensorsTests {
  @Suite struct ArrayOperatorTests {
    @Test func agreesWithPyTorch() throws {
      let fixtures = try Fixtures("indexing")
      #expect(fixtures.cases.count > 100)
      for member in fixtures.cases {
        let op = try #require(member.value["op"]?.stringValue)
        let options = try #require(member.value["options"])
        do {
          try fixtures.check(member.key, options, bound: tolerance(op)) {
            try apply(op, options, $0)
          }
        } catch { Issue.record(error, "\(member.key)") }
      }
    }

    @Test func gradientsAreSlopes() throws {
      for op in catalogue {
        do { try op.checkGradients() } catch { Issue.record(error, "\(op.testDescription)") }
      }
    }

    @Test func singleAgreesWithDouble() throws {
      for op in catalogue {
        do { try op.checkSingle() } catch { Issue.record(error, "\(op.testDescription)") }
      }
    }

    private func list(_ numbers: [Double], _ dtype: DType = .f32) throws -> Tensor {
      try Tensor.from(numbers, [numbers.count], dtype)
    }

    @Test func orderIsStableAndTotal() throws {
      for dtype in DType.allCases {
        let x = try list([1, 0, 1, 1, 0], dtype)
        let (up, places) = try x.sorted(0, descending: false)
        #expect(try up.numbers() == [0, 0, 1, 1, 1] && up.dtype == dtype)
        #expect(try places.numbers() == [2, 5, 1, 3, 4] && places.dtype == .i32)
        #expect(try x.sorted(0, descending: true).places.numbers() == [1, 3, 4, 2, 5])
        #expect(try x.top(3, 0, largest: false).places.numbers() == [2, 5, 1])
        #expect(try x.argExtremum(0, largest: true, keep: false).numbers() == [1])
        #expect(try x.argExtremum(nil, largest: false, keep: true).numbers() == [2])
      }
      for dtype in [DType.f32, .f64] {
        let x = try list([0, .infinity, -0.0, .nan, -1, -.infinity, .nan], dtype)
        #expect(try x.sorted(0, descending: false).places.numbers() == [6, 5, 1, 3, 2, 4, 7])
        #expect(try x.sorted(0, descending: true).places.numbers() == [4, 7, 2, 1, 3, 5, 6])
        #expect(try x.argExtremum(nil, largest: true, keep: false).numbers() == [4])
        #expect(try x.argExtremum(nil, largest: false, keep: false).numbers() == [4])
        let (values, inverse, counts) = try x.distinct()
        #expect(
          try values.count == 6 && values.numbers().prefix(4) == [-.infinity, -1, 0, .infinity])
        #expect(try inverse.numbers() == [3, 4, 3, 5, 2, 1, 6])
        #expect(try counts.numbers() == [1, 1, 2, 1, 1, 1])
      }
    }

    /// Long lines, which are sorted by digits and searched in parts, against Swift's own sort.
    @Test func longLines() throws {
      for dtype in [DType.f32, .f64, .i32, .u8] {
        let integers = dtype == .i32 || dtype == .u8
        let numbers = noise(70_000, seed: 5, dtype == .u8 ? 0 : -90, 90).map {
          integers ? $0.rounded() : $0
        }
        let x = try Tensor.from(numbers, [70_000], dtype)
        let order = numbers.indices.sorted {
          numbers[$0] < numbers[$1] || (numbers[$0] == numbers[$1] && $0 < $1)
        }
        let (values, places) = try x.sorted(0, descending: false)
        #expect(try places.numbers() == order.map { Double($0 + 1) }, "\(dtype)")
        #expect(try values.numbers() == order.map { numbers[$0] }, "\(dtype)")
        let few = try x.top(7, 0, largest: false)
        #expect(try few.places.numbers() == order.prefix(7).map { Double($0 + 1) }, "\(dtype)")
        #expect(
          try x.argExtremum(nil, largest: false, keep: false).item() == Double(order[0] + 1))
        let columns = try x.viewed([7, 10_000])
        let best = try columns.argExtremum(0, largest: true, keep: false).numbers()
        for c in stride(from: 0, to: 10_000, by: 997) {
          let column = (0..<7).map { numbers[$0 * 10_000 + c] }
          #expect(column[Int(best[c]) - 1] == column.max())
        }
      }
    }

    /// The same bits for any number of threads.
    @Test func threadsDoNotMatter() throws {
      let pool = ThreadPool.shared, threads = pool.threads
      defer { pool.threads = threads }
      func all() throws -> [[Double]] {
        let x = try Tensor.leaf([3, 8, 60, 50], seed: 3)
        let list = try Tensor.leaf([20_000], seed: 4)
        let index = try Tensor.from(
          noise(20_000, seed: 5, 1, 40).map { $0.rounded(.down) }, [20_000], .i32)
        let sums = try Tensor.full(0, [40]).scatterAdded(0, index, list)
        let moved = try x.cumulativeSum(2).flipped([3]).rolled([3], [1])
        let slices = try Tensor.full(0, [3, 4, 60, 50]).addingSlices(
          1, Tensor.from([1, 4, 1, 2, 2, 2, 3, 1], [8], .i32), x)
        let (q, r) = try x.viewed([24, 60, 50]).qr()
        let loss = try moved.squared().sum().adding(sums.squared().sum())
          .adding(list.sorted(0, descending: true).values.cumulativeSum(0).squared().mean())
          .adding(slices.squared().sum()).adding(q.sum()).adding(r.sum())
        try loss.backward()
        return [
          try sums.numbers(), try moved.numbers(), try slices.numbers(), try q.numbers(),
          try x.grad?.numbers() ?? [], try list.grad?.numbers() ?? [],
        ]
      }
      pool.threads = 1
      let one = try all()
      pool.threads = 5
      #expect(try all() == one)
    }

    /// If a place is written twice, only the value that stays has a gradient.
    @Test func lastOneStays() throws {
      let x = try Tensor.leaf([1, 1, 1], [3]), y = try Tensor.leaf([5, 6, 7, 8], [4])
      let out = try x.scattered(0, list([2, 2, 1, 2], .i32), y)
      #expect(try out.numbers() == [7, 8, 1])
      try out.multiplied(by: list([10, 20, 30])).sum().backward()
      #expect(try x.grad?.numbers() == [0, 0, 30])
      #expect(try y.grad?.numbers() == [0, 0, 10, 20])
    }

    @Test func integersAreExact() throws {
      let x = try list([2_147_483_000, 5], .i32)
      let one = try list([1], .i32)
      #expect(try x.scatterAdded(0, one, list([600], .i32)).numbers() == [2_147_483_600, 5])
      #expect(throws: LunervError.self) { try x.scatterAdded(0, one, list([700], .i32)) }
      #expect(throws: LunervError.self) { try x.addingSlices(0, one, list([700], .i32)) }
      let sums = try x.cumulativeSum(0)
      #expect(try sums.numbers() == [2_147_483_000, 2_147_483_005] && sums.dtype == .f64)
      let levels = try list([3, 250, 3], .u8)
      #expect(try levels.rolled([1], nil).numbers() == [3, 3, 250])
      #expect(try levels.flipped([0]).dtype == .u8)
      #expect(try levels.selected(0, list([2], .i32)).numbers() == [250])
    }

    @Test func emptyTensors() throws {
      let none = try Tensor.full(1, [3, 0]), nothing = try Tensor.full(0, [0], .i32)
      #expect(try none.cumulativeSum(1).shape == [3, 0] && none.cumulativeSum(0).shape == [3, 0])
      for dim in 0...1 {
        #expect(try none.sorted(dim, descending: false).values.shape == [3, 0])
        #expect(try none.flipped([dim]).rolled([5], [dim]).shape == [3, 0])
        #expect(try none.logSumExp([dim], keep: false).shape == (dim == 0 ? [0] : [3]))
      }
      #expect(
        try none.logSumExp([1], keep: false).numbers() == [-.infinity, -.infinity, -.infinity])
      #expect(try none.top(0, 1, largest: true).values.shape == [3, 0])
      #expect(try none.distinct().values.shape == [0] && none.distinct().inverse.shape == [3, 0])
      #expect(try none.argExtremum(0, largest: true, keep: false).shape == [0])
      #expect(throws: LunervError.self) { try none.argExtremum(1, largest: true, keep: false) }
      #expect(throws: LunervError.self) { try none.argExtremum(nil, largest: true, keep: false) }
      #expect(try none.selected(0, nothing).shape == [0, 0])
      #expect(try none.gathered(1, nothing.viewed([0, 0])).shape == [0, 0])
      #expect(try none.addingSlices(0, nothing, .full(0, [0, 0])).shape == [3, 0])
      #expect(try none.triangle(0, lower: true).shape == [3, 0])
      #expect(try none.triangle(.max, lower: false).triangle(.min, lower: true).count == 0)
      #expect(try nothing.oneHot(nil, .f32).shape == [0, 0])
      #expect(
        try Tensor.einsum("ij,jk->ik", [none, .full(1, [0, 2])]).numbers() == [0, 0, 0, 0, 0, 0])
      #expect(try Tensor.einsum("ii->i", [.full(1, [0, 0])]).shape == [0])
      #expect(try Tensor.einsum(",", [.full(2, []), .full(3, [])]).item() == 6)
      let square = try Tensor.full(1, [2, 0, 0])
      #expect(
        try square.eigenvectors().values.shape == [2, 0] && square.cholesky().shape == [2, 0, 0])
      #expect(try square.solve(.full(1, [2, 0, 4])).shape == [2, 0, 4])
      #expect(try none.qr().q.shape == [3, 0])
      #expect(try none.permuted([1, 0]).qr().r.shape == [0, 3])
      #expect(
        try Tensor.full(1, [0, 4, 3, 2]).inverseFourierTransformed(width: nil).shape == [0, 4, 4])
      #expect(
        try Tensor.full(1, [0, 4]).batchNorm(
          mean: nil, variance: nil, nil, nil, epsilon: 1
        ).shape == [0, 4])
      #expect(try Tensor.full(1, [2, 4, 0]).groupNorm(2, nil, nil, epsilon: 1).shape == [2, 4, 0])
      // Sizes that would take forever to traverse.
      let vast = try Tensor.full(0, [1 << 40, 1, 0])
      #expect(try vast.selected(1, [0, 0]).shape == [1 << 40, 2, 0])
      #expect(try vast.cumulativeSum(0).flipped([0]).rolled([1], [0]).shape == vast.shape)
      #expect(try vast.sorted(1, descending: true).values.shape == vast.shape)
      #expect(try vast.triangle(0, lower: true).shape == vast.shape)
      // Tensors without dimensions are treated as lists of one element.
      let number = try Tensor.full(4, [])
      #expect(try number.cumulativeSum(0).item() == 4)
      #expect(try number.sorted(0, descending: true).values.shape == [])
      #expect(try number.argExtremum(0, largest: true, keep: true).shape == [])
      #expect(try number.distinct().values.numbers() == [4])
      #expect(try number.logSumExp(nil, keep: false).item() == 4)
      #expect(try number.flipped([]).rolled([3], nil).item() == 4)
    }

    @Test func logSumExpOfInfinities() throws {
      let low = try list([-.infinity, -.infinity]), high = try list([.infinity, 1, 1000])
      #expect(try low.logSumExp(nil, keep: false).item() == -.infinity)
      #expect(try high.logSumExp(nil, keep: false).item() == .infinity)
      #expect(try list([1000, 1000]).logSumExp(nil, keep: false).item().rounded() == 1001)
      #expect(try list([.nan, 1]).logSumExp(nil, keep: false).item().isNaN)
    }

    @Test func algebraOfMatrices() throws {
      let x = try Tensor.leaf([3, 6, 6], seed: 8, .f64)
      let symmetric = try x.adding(mirrored(x))
      let (values, vectors) = try symmetric.eigenvectors()
      let scaled = try vectors.multiplied(by: values.viewed([3, 1, 6]))
      #expect(
        try relativeError(scaled.matmul(mirrored(vectors)).numbers(), symmetric.numbers()) < 1e-12)
      #expect(try values.numbers()[0..<6].sorted() == Array(values.numbers()[0..<6]))
      // Only the lower triangle is read.
      let lower = try symmetric.triangle(0, lower: true)
      #expect(try lower.eigenvectors().values.numbers() == values.numbers())
      let (q, r) = try x.qr()
      #expect(try relativeError(q.matmul(r).numbers(), x.numbers()) < 1e-12)
      #expect(try r.triangle(0, lower: false).numbers() == r.numbers())
      let b = try Tensor.leaf([6], seed: 9, .f64)
      let y = try x.solve(b)
      #expect(y.shape == [3, 6])
      #expect(
        try relativeError(
          x.matmul(y.viewed([3, 6, 1])).numbers(), (0..<3).flatMap { _ in try b.numbers() }) < 1e-10
      )
      // Equal values have gradients too.
      let unit = try Tensor.leaf([2, 0, 0, 2], [2, 2], .f64)
      try unit.eigenvectors().values.sum().backward()
      #expect(try unit.grad?.numbers() == [1, 0, 0, 1])
    }

    @Test func spectrumAndBack() throws {
      for shape in [[2, 6, 8], [3, 5, 7], [1, 1], [4, 1], [1, 9]] {
        let x = try Tensor.leaf(shape, seed: 2, .f64)
        let y = try x.fourierTransformed().inverseFourierTransformed(width: shape[shape.count - 1])
        #expect(try y.shape == shape && relativeError(y.numbers(), x.numbers()) < 1e-13)
      }
    }

    @Test func dropoutKeepsTheMean() throws {
      var random = Philox(seed: 4)
      let x = try Tensor.leaf(
        [Double](repeating: 2, count: 20_000), [2, 5, 40, 50], channelsLast: true)
      let y = try x.dropout(0.25, &random)
      let numbers = try y.numbers()
      #expect(Set(numbers) == [0, Double(2 / Float(0.75))])
      #expect(abs(numbers.reduce(0, +) / 40_000 - 1) < 0.03)
      try y.sum().backward()
      let kept = try #require(try x.grad?.numbers())
      #expect(zip(numbers, kept).allSatisfy { ($0 == 0) == ($1 == 0) })
      #expect(try x.dropout(1, &random).numbers().allSatisfy { $0 == 0 })
      #expect(try x.dropout(0, &random) === x)
      var again = Philox(seed: 4)
      let planar = try Tensor.full(2, [2, 5, 40, 50]).dropout(0.25, &again)
      #expect(try planar.numbers() == numbers)
    }

    @Test func wrongArgumentsAreErrors() throws {
      let x = try Tensor.leaf([2, 3, 4, 4], seed: 1), list = try list([1, 2])
      func i32(_ numbers: [Double], _ shape: [Int]? = nil) throws -> Tensor {
        try Tensor.from(numbers, shape ?? [numbers.count], .i32)
      }
      let singular = try Tensor.full(1, [2, 3, 3])
      let wrong: [(String, () throws -> Tensor)] = [
        ("cumsum", { try x.cumulativeSum(4) }),
        ("sort", { try x.sorted(-1, descending: true).values }),
        ("topk", { try x.top(5, 1, largest: true).values }),
        ("topk", { try x.top(-1, 1, largest: true).values }),
        ("argmax", { try x.argExtremum(9, largest: true, keep: true) }),
        ("gather", { try list.gathered(0, list) }), ("gather", { try list.gathered(0, i32([0])) }),
        ("gather", { try list.gathered(0, i32([3])) }),
        ("gather", { try list.gathered(0, i32([-3])) }),
        ("gather", { try list.gathered(0, i32([1], [1, 1])) }),
        ("scatter", { try list.scattered(0, i32([1, 2, 1]), list) }),
        ("scatter", { try list.scattered(0, i32([1]), list.cast(to: .f64)) }),
        ("scatter_add", { try list.scatterAdded(0, i32([4]), list) }),
        ("scatter_add", { try list.scatterAdded(1, i32([1]), list) }),
        ("index_select", { try x.selected(1, i32([4])) }),
        ("index_select", { try x.selected(1, i32([1, 1], [1, 2])) }),
        ("index_add", { try x.addingSlices(1, i32([1]), x) }),
        ("one_hot", { try list.oneHot(2, .f32) }), ("one_hot", { try i32([0]).oneHot(2, .f32) }),
        ("one_hot", { try i32([3]).oneHot(2, .f32) }),
        ("a tensor of shape", { try i32([3]).oneHot(.max, .f32) }),
        ("one_hot", { try i32([1]).oneHot(-4, .f32) }),
        ("flip", { try x.flipped([1, 1]) }), ("flip", { try x.flipped([7]) }),
        ("roll", { try x.rolled([1, 1], [1]) }), ("roll", { try x.rolled([1, 1], nil) }),
        ("tril", { try list.triangle(0, lower: true) }),
        ("meshgrid", { try Tensor.grid([x], columnsFirst: false)[0] }),
        ("bmm", { try x.batchedProduct(x) }), ("outer", { try x.outerProduct(list) }),
        ("einsum", { try Tensor.einsum("..i->i", [list]) }),
        ("einsum", { try Tensor.einsum("i,j,k->i", [list, list]) }),
        ("einsum", { try Tensor.einsum("...i...->i", [list]) }),
        ("einsum", { try Tensor.einsum("...ij->i", [list]) }),
        ("einsum", { try Tensor.einsum("...a,...b->", [x, .full(1, [7, 1])]) }),
        ("einsum", { try Tensor.einsum("ij->i", [list]) }),
        ("einsum", { try Tensor.einsum("i->ii", [list]) }),
        ("einsum", { try Tensor.einsum("i->k", [list]) }),
        ("einsum", { try Tensor.einsum("i1->k", [list]) }),
        ("einsum", { try Tensor.einsum("i,i->", [list, self.list([1, 2, 3])]) }),
        ("einsum", { try Tensor.einsum("i,i->", [list, list.cast(to: .f64)]) }),
        ("einsum", { try Tensor.einsum("i->i", [i32([1])]) }),
        ("log2", { try i32([1]).log2() }), ("atan2", { try list.angle(over: x) }),
        ("softplus", { try list.softplus(0) }),
        ("logsumexp", { try i32([1]).logSumExp(nil, keep: true) }),
        ("logsumexp", { try list.logSumExp([0, 0], keep: true) }),
        ("batch_norm", { try list.batchNorm(mean: nil, variance: nil, nil, nil, epsilon: 1) }),
        ("batch_norm", { try x.batchNorm(mean: list, variance: list, nil, nil, epsilon: 1) }),
        ("batch_norm", { try x.batchNorm(mean: nil, variance: nil, nil, nil, epsilon: -1) }),
        ("group_norm", { try x.groupNorm(2, nil, nil, epsilon: 1) }),
        ("group_norm", { try x.groupNorm(0, nil, nil, epsilon: 1) }),
        ("rms_norm", { try x.rmsNorm(list, dim: 1, epsilon: 1) }),
        (
          "dropout",
          {
            var random = Philox(seed: 1)
            return try x.dropout(1.5, &random)
          }
        ),
        ("eigh", { try list.eigenvectors().values }),
        ("eigh", { try i32([1], [1, 1]).eigenvectors().values }),
        ("eigh", { try Tensor.full(.nan, [2, 2]).eigenvectors().values }),
        ("eigh", { try Tensor.full(0, [1 << 15, 0]).eigenvectors().values }),
        ("qr", { try Tensor.full(.infinity, [2, 2]).qr().q }),
        ("solve: the matrix is singular (matrix 1 of 2)", { try singular.solve(.full(1, [3])) }),
        ("solve", { try x.solve(.full(1, [2, 3, 5, 1])) }),
        ("solve", { try x.solve(.full(1, [4, 1], .f64)) }),
        ("cholesky: expected a positive definite matrix", { try singular.negated().cholesky() }),
        ("irfft2", { try x.inverseFourierTransformed(width: nil) }),
        ("irfft2", { try Tensor.full(1, [2, 3, 2]).inverseFourierTransformed(width: 6) }),
        ("irfft2", { try Tensor.full(1, [2, 3, 2]).inverseFourierTransformed(width: .max) }),
      ]
      for (i, (name, f)) in wrong.enumerated() {
        do {
          try f().materialise()
          Issue.record("argument \(i): \(name) raised no error")
        } catch let error as LunervError {
          #expect(error.message.hasPrefix(name), "argument \(i): \(error.message)")
        }
      }
      // A matrix of dependent columns has no gradient.
      let flat = try Tensor.leaf([1, 2, 1, 2], [2, 2])
      #expect(throws: LunervError.self) {
        try flat.multiplied(by: 0).qr().q.sum().backward()
      }
    }
  }
}
