// The catalogue of operators: gradients against finite differences, f32 against f64, all layouts.
import Support
import Testing

@testable import Tensors

private let image = [2, 5, 3, 4]

private enum Catalogue {
  static let pointwise: [Operator] = {
    var all: [Operator] = []
    typealias Unary = @Sendable (Tensor) throws -> Tensor
    func unary(_ name: String, lo: Double = -1.5, hi: Double = 1.5, _ f: @escaping Unary) {
      all.append(Operator(name, image, lo: lo, hi: hi) { try f($0[0]) })
      all.append(Operator(name, [7], lo: lo, hi: hi) { try f($0[0]) })
    }
    unary("neg") { try $0.negated() }
    unary("abs") { try $0.absolute() }
    unary("exp") { try $0.exp() }
    unary("log", lo: 0.2, hi: 3) { try $0.log() }
    unary("sqrt", lo: 0.2, hi: 3) { try $0.squareRoot() }
    unary("rsqrt", lo: 0.2, hi: 3) { try $0.reciprocalSquareRoot() }
    unary("sin", lo: -9, hi: 9) { try $0.sin() }
    unary("cos", lo: -9, hi: 9) { try $0.cos() }
    unary("tanh", lo: -3, hi: 3) { try $0.tanh() }
    unary("sigmoid", lo: -5, hi: 5) { try $0.sigmoid() }
    unary("relu") { try $0.relu() }
    unary("gelu", lo: -4, hi: 4) { try $0.gelu() }
    unary("silu", lo: -5, hi: 5) { try $0.silu() }
    unary("erf", lo: -3, hi: 3) { try $0.erf() }
    unary("square") { try $0.squared() }
    unary("sign") { try $0.sign() }
    unary("round", lo: -5, hi: 5) { try $0.rounded() }
    unary("floor", lo: -5, hi: 5) { try $0.floored() }
    unary("reciprocal", lo: 0.3, hi: 2) { try $0.reciprocal() }
    unary("power 3") { try $0.power(3) }
    unary("power 2") { try $0.power(2) }
    unary("power 0.5", lo: 0.2, hi: 2) { try $0.power(0.5) }
    unary("power -1.7", lo: 0.3, hi: 2) { try $0.power(-1.7) }
    unary("clamp") { try $0.clamped(-0.7, 0.9) }
    unary("add number") { try $0.adding(0.3) }
    unary("multiply by number") { try $0.multiplied(by: -1.3) }
    // Expressions that do not keep their padding lanes zero by themselves.
    unary("cos chain") { try $0.adding(1).cos().adding(-0.5).sigmoid() }

    let shapes: [([Int], [Int])] = [
      (image, image), (image, [5, 1, 1]), (image, [1, 5, 1, 1]), (image, [2, 1, 3, 4]),
      (image, [2, 5, 1, 1]), (image, [1, 1, 3, 4]), (image, [1, 5, 3, 4]), (image, [2, 5, 3, 1]),
      (image, [2, 5, 1, 4]), (image, [4]), (image, [3, 4]), (image, [1]), (image, []),
      ([2, 5, 1, 1], image), ([2, 1, 3, 1], [1, 5, 1, 4]), ([1, 17, 2, 2], [17, 1, 1]),
      ([3], [2, 3]), ([2, 3], [2, 1]), ([2, 1, 3], [4, 1]), ([], []),
    ]
    typealias Binary = @Sendable (Tensor, Tensor) throws -> Tensor
    func binary(_ name: String, lo: Double = -1.5, hi: Double = 1.5, _ f: @escaping Binary) {
      for (a, b) in shapes {
        all.append(Operator(name, a, b, lo: lo, hi: hi) { try f($0[0], $0[1]) })
      }
    }
    binary("add") { try $0.adding($1) }
    binary("subtract") { try $0.subtracting($1) }
    binary("multiply") { try $0.multiplied(by: $1) }
    binary("divide", lo: 0.4, hi: 2) { try $0.divided(by: $1) }
    binary("maximum") { try $0.maximum($1) }
    binary("minimum") { try $0.minimum($1) }
    binary("power", lo: 0.4, hi: 2) { try $0.power($1) }
    // Between the jumps: 1 < x/y < 2.
    for (a, b) in shapes {
      all.append(
        Operator("modulo", a, b, tolerance: 1e-5) {
          try $0[0].multiplied(by: 0.1).adding(1.6).modulo($0[1].multiplied(by: 0.1).adding(-1.1))
        })
    }
    binary("floor divide", lo: 1.1, hi: 1.9) {
      try $0.multiplied(by: 4).floorDivided(by: $1.floored())
    }
    for (a, b) in shapes {
      all.append(
        Operator("where", a, b, a) {
          try $0[0].chosen(where: $0[2].detach().compared(.greater, $0[1].detach()), else: $0[1])
        })
    }
    for (from, to) in [
      ([5, 1, 1], image), ([1, 5, 1, 1], image), ([2, 1, 3, 1], image), ([], [3, 2]),
      ([4], [2, 4]),
      (image, image),
    ] {
      all.append(Operator("expand to \(to)", from) { try $0[0].expanded(to: to) })
    }
    // Chains longer than the depth limit of expressions, over operands of several layouts.
    all.append(
      Operator("deep chain", [1, 17, 3, 3], [17, 1, 1], [1, 1, 3, 3], tolerance: 2e-5) { t in
        var y = t[0]
        for _ in 0..<40 { y = try y.multiplied(by: t[1]).sin().adding(t[2]) }
        return y
      })
    return all
  }()

  static let comparisons: [Operator] = {
    let all: [(String, Int)] = [("eq", 0), ("ne", 1), ("lt", 2), ("le", 3), ("gt", 4), ("ge", 5)]
    return all.map { name, index in
      Operator(name, image, [1, 5, 1, 1], smooth: false) {
        let a = try $0[0].multiplied(by: 3).rounded(), b = try $0[1].multiplied(by: 3).rounded()
        switch index {
        case 0: return try a.compared(.equal, b)
        case 1: return try a.compared(.notEqual, b)
        case 2: return try a.compared(.less, b)
        case 3: return try a.compared(.lessOrEqual, b)
        case 4: return try a.compared(.greater, b)
        default: return try a.compared(.greaterOrEqual, b)
        }
      }
    }
  }()

  static let reductions: [Operator] = {
    var all: [Operator] = []
    // Every subset of the dimensions, with channel counts around a multiple of the vector width.
    for shape in [image, [1, 17, 2, 3], [3, 8, 1, 2]] {
      for subset in 0..<16 {
        let dims = (0..<4).filter { subset >> $0 & 1 == 1 }
        let keep = subset % 2 == 0
        all.append(Operator("sum \(dims)", shape) { try $0[0].sum(dims, keep: keep) })
        all.append(Operator("sum of cos \(dims)", shape) { try $0[0].cos().sum(dims, keep: !keep) })
        if !dims.isEmpty {
          all.append(
            Operator("var \(dims)", shape) {
              try $0[0].variance(dims, keep: keep, unbiased: shape != [3, 8, 1, 2])
            })
        }
        if !dims.isEmpty, dims != [0] || shape[0] > 1 {
          all.append(
            Operator("std \(dims)", shape, tolerance: 1e-5) {
              try $0[0].deviation(dims, keep: keep)
            })
        }
        all.append(
          Operator("amax \(dims)", shape) { try $0[0].extremum(.maximum, dims, keep: keep) })
        all.append(
          Operator("amin of cos \(dims)", shape) {
            try $0[0].cos().extremum(.minimum, dims, keep: !keep)
          })
      }
    }
    all.append(Operator("sum", [3, 4]) { try $0[0].sum() })
    all.append(Operator("mean", image) { try $0[0].mean() })
    all.append(Operator("mean 1 and 3", image) { try $0[0].mean([1, 3]) })
    all.append(Operator("mean of rows", [7, 9]) { try $0[0].mean([1], keep: true) })
    all.append(Operator("sum of columns", [7, 9]) { try $0[0].sum([0]) })
    all.append(Operator("amax of all", [2, 3, 4]) { try $0[0].extremum(.maximum) })
    // More values than one piece of a reduction, with lanes that do not divide a piece.
    all.append(
      Operator("sum of exp of many", [1, 35, 40, 50], tolerance: 1e-5) { try $0[0].exp().sum() })
    all.append(
      Operator("sum of cos of many pixels", [2, 19, 30, 60], tolerance: 1e-5) {
        try $0[0].cos().sum([2, 3])
      })
    all.append(
      Operator("amax of many below zero", [2, 19, 30, 60], lo: 0.5) {
        try $0[0].negated().extremum(.maximum, [1, 2, 3])
      })
    return all
  }()

  static let movements: [Operator] = {
    var all: [Operator] = []
    all.append(Operator("view", image) { try $0[0].viewed([6, -1]) })
    all.append(Operator("view to image", [6, 20]) { try $0[0].viewed([2, 15, 2, 2]).sin() })
    all.append(Operator("view to scalar", [1, 1]) { try $0[0].viewed([]) })
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 3, 1], [1, 0, 3, 2], [0, 3, 1, 2]] {
      all.append(Operator("permute \(order)", image) { try $0[0].permuted(order) })
      all.append(Operator("permute \(order)", [2, 17, 3, 2]) { try $0[0].permuted(order).cos() })
    }
    all.append(Operator("permute", [3, 4, 2]) { try $0[0].permuted([2, 0, 1]) })
    for dim in 0..<4 {
      let last = image[dim] - 1
      all.append(Operator("slice \(dim) end", image) { try $0[0].sliced(dim, 1, last) })
      all.append(Operator("slice \(dim) start", image) { try $0[0].sliced(dim, 0, last - 1) })
      all.append(Operator("slice \(dim) one", image) { try $0[0].sliced(dim, 1, 1).cos() })
      all.append(Operator("slice \(dim) all", image) { try $0[0].sliced(dim, 0, last) })
      var other = image
      other[dim] = 3
      all.append(
        Operator("cat \(dim)", image, other, image) { try Tensor.concatenated($0, dim).cos() })
      all.append(
        Operator("index_select \(dim)", image) {
          try $0[0].selected(dim, [1, 0, 1, last])
        })
    }
    all.append(Operator("slice of 35", [1, 35, 2, 2]) { try $0[0].sliced(1, 8, 26) })
    all.append(Operator("cat of one", [3, 2]) { try Tensor.concatenated($0, 1) })
    all.append(
      Operator("cat of itself", [2, 3]) { try Tensor.concatenated([$0[0], $0[0], $0[0]], 0) })
    all.append(
      Operator("gather", [2, 4, 3]) {
        try $0[0].gathered(1, [3, 0, 0, 1, 2, 3, 3, 3, 1, 0, 2, 1], shape: [2, 2, 3])
      })
    all.append(
      Operator("gather of image", image) {
        try $0[0].gathered(1, (0..<48).map { $0 * 7 % 5 }, shape: [2, 2, 3, 4])
      })
    for edge in [false, true] {
      all.append(
        Operator("pad \(edge)", image) {
          try $0[0].padded(top: 1, bottom: 2, left: 3, right: 0, edge ? .edge : .constant(0))
        })
      all.append(
        Operator("pad of matrix \(edge)", [3, 2]) {
          try $0[0].padded(top: 0, bottom: 1, left: 0, right: 4, edge ? .edge : .constant(0))
        })
    }
    all.append(Operator("clone", image) { try $0[0].clone().cos() })
    all.append(
      Operator("cast there and back", image, tolerance: 1e-5) {
        try $0[0].cast(to: .f64).sin().cast(to: $0[0].dtype)
      })
    return all
  }()

  static let layers: [Operator] = {
    var all: [Operator] = []
    all.append(Operator("matmul", [5, 7], [7, 3]) { try $0[0].matmul($0[1]) })
    all.append(Operator("matmul", [2, 3, 5, 7], [2, 3, 7, 4]) { try $0[0].matmul($0[1]) })
    all.append(Operator("matmul", [2, 3, 5, 7], [7, 4]) { try $0[0].matmul($0[1]) })
    all.append(Operator("matmul", [3, 1, 2, 4], [2, 4, 5]) { try $0[0].matmul($0[1]) })
    all.append(Operator("matmul of one row", [1, 300], [300, 1]) { try $0[0].matmul($0[1]) })
    all.append(Operator("linear", [3, 7], [5, 7], [5]) { try $0[0].linear($0[1], $0[2]) })
    all.append(Operator("linear", [2, 3, 9], [17, 9]) { try $0[0].linear($0[1], nil) })
    all.append(Operator("linear of vector", [9], [4, 9], [4]) { try $0[0].linear($0[1], $0[2]) })
    all.append(
      Operator("linear over pixels", [2, 3, 4, 5], [6, 5], [6]) { try $0[0].linear($0[1], $0[2]) })

    func conv(
      _ x: [Int], _ w: [Int], bias: Bool = true, stride: Int = 1, padding: Int = 0, groups: Int = 1,
      tolerance: Double = 3e-6, shuffle: Int = 1
    ) {
      let shapes = bias ? [x, w, [w[0]]] : [x, w]
      var op = Operator(
        "conv2d stride \(stride) padding \(padding) groups \(groups) shuffle \(shuffle)",
        tolerance: tolerance
      ) {
        let y = try $0[0].conv2d(
          $0[1], bias ? $0[2] : nil, stride: stride, padding: padding, groups: groups)
        return try y.pixelShuffled(shuffle)
      }
      op.inputs = shapes.map { .init(shape: $0) }
      all.append(op)
    }
    conv([2, 5, 6, 7], [3, 5, 3, 3], padding: 1)
    conv([1, 3, 6, 7], [17, 3, 3, 3], bias: false, padding: 1)
    conv([1, 17, 5, 6], [5, 17, 5, 5], padding: 2)
    conv([2, 3, 9, 8], [5, 3, 3, 3], stride: 2, padding: 1)
    conv([1, 3, 11, 10], [6, 3, 5, 5], stride: 5)
    conv([2, 5, 4, 3], [35, 5, 1, 1])
    conv([1, 35, 3, 4], [3, 35, 1, 1])
    conv([2, 5, 6, 5], [5, 1, 7, 7], padding: 3, groups: 5)
    conv([1, 6, 5, 4], [9, 2, 3, 3], padding: 1, groups: 3)
    conv([1, 6, 5, 4], [6, 1, 3, 3], stride: 2, padding: 1, groups: 6)
    conv([1, 5, 24, 26], [9, 5, 3, 3], padding: 1, tolerance: 3e-5)
    conv([1, 8, 25, 26], [3, 8, 3, 3], tolerance: 3e-5)
    conv([2, 3, 24, 23], [8, 3, 3, 3], padding: 2, tolerance: 3e-5)
    conv([2, 5, 4, 3], [20, 5, 3, 3], padding: 1, shuffle: 2)
    conv([1, 4, 4, 3], [27, 4, 1, 1], shuffle: 3)
    conv([1, 5, 24, 22], [12, 5, 3, 3], padding: 1, tolerance: 3e-5, shuffle: 2)
    conv([1, 5, 23, 24], [36, 5, 3, 3], padding: 1, tolerance: 3e-5, shuffle: 2)
    conv([1, 8, 5, 4], [8, 1, 3, 3], padding: 1, groups: 8, shuffle: 2)
    conv([1, 6, 5, 4], [12, 2, 3, 3], padding: 1, groups: 3, shuffle: 2)

    // The parts of a decoder, where layouts and fusions meet.
    all.append(
      Operator(
        "block", [1, 5, 6, 7], [20, 5, 3, 3], [20], [1, 5, 1, 1], [3, 5, 1, 1], tolerance: 1e-5
      ) { t in
        let y = try t[0].conv2d(t[1], t[2], padding: 1).pixelShuffled(2).sin()
        let z = try y.multiplied(by: t[3].adding(1)).adding(t[3]).gelu()
        return try z.conv2d(t[4], nil).tanh().multiplied(by: 0.5).adding(0.5)
      })
    all.append(
      Operator("weights computed on the way", [2, 5, 6, 7], [17, 5, 3, 3], [17, 1, 1, 1]) { t in
        try t[0].cos().conv2d(t[1].multiplied(by: t[2]).sin(), nil, padding: 1)
      })
    all.append(
      Operator("two readers of one convolution", [1, 5, 6, 7], [8, 5, 3, 3]) { t in
        let y = try t[0].conv2d(t[1], nil, padding: 1)
        return try y.pixelShuffled(2).sum([1], keep: true).multiplied(by: y.sum())
      })
    all.append(Operator("pixel_shuffle", [2, 12, 2, 3]) { try $0[0].pixelShuffled(2) })
    all.append(Operator("pixel_shuffle", [1, 45, 2, 1]) { try $0[0].pixelShuffled(3).cos() })
    all.append(Operator("pixel_unshuffle", [2, 3, 4, 6]) { try $0[0].pixelUnshuffled(2).cos() })
    all.append(
      Operator("pixel_unshuffle into convolution", [1, 3, 4, 6], [5, 12, 3, 3]) {
        try $0[0].pixelUnshuffled(2).conv2d($0[1], nil, padding: 1)
      })
    all.append(
      Operator("pixel_unshuffle into depthwise", [1, 3, 4, 6], [12, 1, 3, 3]) {
        try $0[0].pixelUnshuffled(2).conv2d($0[1], nil, padding: 1, groups: 12)
      })
    all.append(
      Operator("layer_norm of channels", image, [5], [5], tolerance: 1e-5) {
        try $0[0].layerNorm($0[1], $0[2], dim: 1, epsilon: 1e-6)
      })
    all.append(
      Operator("layer_norm of 17 channels", [1, 17, 3, 2], [17], [17], tolerance: 1e-5) {
        try $0[0].layerNorm($0[1], $0[2], dim: 1, epsilon: 1e-6)
      })
    all.append(
      Operator("layer_norm of rows", [2, 3, 7], tolerance: 1e-5) {
        try $0[0].layerNorm(nil, nil, dim: 2, epsilon: 1e-6)
      })
    all.append(
      Operator("instance_norm", image, tolerance: 1e-5) { try $0[0].instanceNorm(epsilon: 1e-5) })
    for dim in 0..<4 {
      all.append(Operator("softmax \(dim)", image, lo: -4, hi: 4) { try $0[0].softmax(dim) })
    }
    all.append(Operator("softmax of rows", [3, 9], lo: -9, hi: 9) { try $0[0].softmax(1) })
    for (h, w, py, px) in [(4, 6, 0, 0), (5, 7, 1, 1), (5, 4, 1, 0), (5, 7, 0, 0)] {
      all.append(
        Operator("avg_pool2d \(py) \(px)", [2, 5, h, w]) {
          try $0[0].averagePooled(padY: py, padX: px)
        })
    }
    for (h, w) in [(4, 6), (5, 7), (1, 4), (6, 1), (3, 2)] {
      all.append(
        Operator("rfft2 \(h)×\(w)", [2, 1, h, w], tolerance: 1e-5) {
          try $0[0].fourierTransformed()
        })
    }
    all.append(Operator("rfft2", [4, 5], tolerance: 1e-5) { try $0[0].fourierTransformed() })
    return all
  }()

  static let losses: [Operator] = {
    var all: [Operator] = []
    for shape in [image, [1, 3, 6, 10], [3, 7]] {
      all.append(Operator("l1_loss", shape, shape) { try $0[0].l1Loss($0[1]) })
      all.append(Operator("mse_loss", shape, shape) { try $0[0].mseLoss($0[1]) })
      all.append(
        Operator("freq_loss", shape, shape, tolerance: 2e-5) { try $0[0].frequencyLoss($0[1]) })
    }
    all.append(
      Operator("freq_loss 9×15", [2, 1, 9, 15], [2, 1, 9, 15], tolerance: 2e-5) {
        try $0[0].frequencyLoss($0[1])
      })
    // Similar images, since contrast terms would otherwise be clamped at 0.
    func similar(
      _ name: String, _ shape: [Int], _ f: @escaping @Sendable (Tensor, Tensor) throws -> Tensor
    ) {
      all.append(
        Operator(name, shape, shape, lo: 0, hi: 1, tolerance: 1e-4) {
          try f($0[0], $0[0].multiplied(by: 0.6).adding($0[1].multiplied(by: 0.3)))
        })
    }
    similar("ssim", [2, 3, 13, 12]) { try $0.ssim($1) }
    similar("ssim of a small image", [1, 1, 6, 9]) { try $0.ssim($1) }
    similar("ssim of a wide image", [1, 2, 45, 150]) { try $0.ssim($1) }
    similar("ms_ssim of one scale", [1, 2, 9, 8]) { try $0.msSsim($1) }
    similar("ms_ssim of three scales", [1, 1, 31, 28]) { try $0.msSsim($1) }
    similar("ms_ssim of five scales", [1, 1, 161, 164]) { try $0.msSsim($1) }
    all.append(
      Operator("boosted loss", [1, 3, 33, 40], [1, 3, 33, 40], lo: 0, hi: 1, tolerance: 5e-4) {
        let (x, y) = ($0[0], try $0[0].multiplied(by: 0.8).adding($0[1].multiplied(by: 0.1)))
        let near = try x.l1Loss(y).multiplied(by: 42)
        let form = try x.msSsim(y).multiplied(by: -18).adding(18)
        return try near.adding(form).adding(x.frequencyLoss(y))
      })
    return all
  }()
}

extension TensorsTests {
  @Suite struct OperatorTests {
    private static let all =
      Catalogue.pointwise + Catalogue.reductions + Catalogue.movements + Catalogue.layers
      + Catalogue.losses

    @Test func gradientsAreSlopes() throws {
      for op in Self.all where op.smooth {
        do { try op.checkGradients() } catch { Issue.record(error, "\(op.testDescription)") }
      }
    }

    @Test func singleAgreesWithDouble() throws {
      for op in Self.all + Catalogue.comparisons {
        do { try op.checkSingle() } catch { Issue.record(error, "\(op.testDescription)") }
      }
    }

    /// The values promised where a derivative does not exist.
    @Test func gradientsAtKinks() throws {
      func gradient(_ x: [Double], _ f: (Tensor) throws -> Tensor) throws -> [Double]? {
        let leaf = try Tensor.leaf(x, [x.count])
        let y = try f(leaf)
        if y.node >= 0 { try y.sum().backward() }
        return try leaf.grad?.numbers()
      }
      #expect(try gradient([-1, 0, 1]) { try $0.absolute() } == [-1, 0, 1])
      #expect(try gradient([-1, 0, 1]) { try $0.relu() } == [0, 0, 1])
      #expect(try gradient([0, 1, 2, 3, 4]) { try $0.clamped(1, 3) } == [0, 1, 1, 1, 0])
      #expect(try gradient([1, 1]) { try $0.maximum(.from([1, 0], [2])) } == [0.5, 1])
      #expect(try gradient([1, 1]) { try $0.minimum(.from([1, 0], [2])) } == [0.5, 0])
      #expect(try gradient([3, 1, 3, 2]) { try $0.extremum(.maximum) } == [0.5, 0, 0.5, 0])
      // An infinite gradient does not pass a clamped input.
      #expect(try gradient([0, 4]) { try $0.relu().squareRoot() } == [0, 0.25])
    }

    @Test func maximumOfNotANumber() throws {
      for channelsLast in [false, true] {
        var numbers = noise(2 * 5 * 6 * 7, seed: 1)
        numbers[40] = .nan
        let x = try Tensor.leaf(numbers, [2, 5, 6, 7], channelsLast: channelsLast, gradient: false)
        for dims in [[0, 1, 2, 3], [2, 3], [1]] {
          let largest = try x.extremum(.maximum, dims).numbers()
          let smallest = try x.extremum(.minimum, dims).numbers()
          #expect(largest.contains { $0.isNaN } && smallest.contains { $0.isNaN }, "over \(dims)")
        }
      }
    }

    /// Sizes of zero are valid shapes.
    @Test func emptyTensors() throws {
      let none = try Tensor.full(1, [3, 0])
      #expect(try none.adding(Tensor.full(1, [0])).numbers() == [])
      #expect(try none.adding(Tensor.full(1, [1, 0])).sin().numbers() == [])
      #expect(try Tensor.full(1, [0, 1]).multiplied(by: .full(1, [1, 5])).shape == [0, 5])
      #expect(try Tensor.full(1, [0, 1]).multiplied(by: .full(1, [1, 5])).numbers() == [])
      #expect(try none.sum().item() == 0)
      #expect(try none.sum([1]).numbers() == [0, 0, 0])
      #expect(try Tensor.full(1, [40, 0]).sum([1]).numbers() == [Double](repeating: 0, count: 40))
      #expect(try none.permuted([1, 0]).shape == [0, 3])
      #expect(try none.viewed([0, 7]).shape == [0, 7])
      #expect(try none.sliced(0, 1, 2).shape == [2, 0])
      #expect(try Tensor.concatenated([none, .full(2, [3, 1])], 1).numbers() == [2, 2, 2])
      #expect(throws: LunervError.self) { try none.extremum(.maximum) }
    }

    @Test func wrongArgumentsAreErrors() throws {
      let x = try Tensor.leaf([2, 5, 6, 7], seed: 1), w = try Tensor.leaf([3, 5, 3, 3], seed: 2)
      let wrong: [() throws -> Tensor] = [
        { try x.adding(.full(1, [4])) }, { try x.adding(.full(1, [7], .f64)) },
        { try x.cast(to: .i32).sin() }, { try x.sum([4]) }, { try x.sum([1, 1]) },
        { try x.viewed([3, 3]) }, { try x.viewed([-1, -1]) }, { try x.viewed([-2, 5]) },
        { try x.viewed([-1, 11]) }, { try x.permuted([0, 1, 2]) },
        { try x.permuted([0, 1, 2, 2]) },
        { try x.sliced(1, 2, 5) }, { try x.sliced(1, 3, 2) }, { try x.sliced(9, 0, 0) },
        { try x.conv2d(w, nil, stride: 0) }, { try x.conv2d(w, nil, padding: -1) },
        { try x.conv2d(w, nil, groups: 2) }, { try x.conv2d(w, nil, groups: .max) },
        { try x.conv2d(w, .full(0, [4])) }, { try x.conv2d(.full(0, [3, 4, 3, 3]), nil) },
        { try x.conv2d(.full(0, [3, 5, 9, 9]), nil) }, { try w.conv2d(x, nil) },
        { try x.conv2d(w, nil, padding: .max) }, { try x.conv2d(w, nil, stride: .max) },
        { try x.pixelShuffled(2) }, { try x.pixelShuffled(0) }, { try x.pixelShuffled(.max) },
        { try x.pixelUnshuffled(4) }, { try x.matmul(w) }, { try x.linear(w, nil) },
        { try x.softmax(4) }, { try x.layerNorm(.full(1, [4]), nil, dim: 1, epsilon: 1e-6) },
        { try x.instanceNorm(epsilon: 1).viewed([5]) },
        { try x.gathered(1, [5], shape: [1, 1, 1, 1]) },
        { try x.gathered(1, [0], shape: [3, 1, 1, 1]) }, { try x.selected(1, [-1]) },
        { try x.padded(top: .min, bottom: 0, left: 0, right: 0, .edge) },
        { try x.padded(top: .max, bottom: 0, left: 0, right: 0, .edge) },
        { try x.expanded(to: [5]) }, { try x.expanded(to: [2, 5, 6, 8]) }, { try x.l1Loss(w) },
        { try x.ssim(w) }, { try Tensor.concatenated([], 0) },
        { try Tensor.concatenated([x, w], 0) },
        { try x.fourierTransformed().viewed([1]) }, { try Tensor.from([1, 2], [3]) },
        { try x.averagePooled(padY: 2) },
      ]
      for (i, f) in wrong.enumerated() {
        #expect(throws: LunervError.self, "argument \(i)") { try f().materialise() }
      }
    }
  }
}
