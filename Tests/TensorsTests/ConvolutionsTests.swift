// Convolutions with options per axis, dilation and groups, transposed and over frames.
import Support
import Testing

@testable import Kernels
@testable import Tensors

extension JSON {
  /// An option that is one number or a list of numbers.
  fileprivate func numbers(_ key: String, _ otherwise: Int) throws -> [Int] {
    guard let value = self[key] else { return [otherwise] }
    if let number = value.intValue { return [number] }
    return try list(key).map(Int.init)
  }

  fileprivate func geometry() throws -> ConvolutionGeometry {
    .init(
      stride: try numbers("stride", 1),
      padding: self["padding"]?.stringValue == "same" ? .same : .sides(try numbers("padding", 0)),
      dilation: try numbers("dilation", 1), groups: self["groups"]?.intValue ?? 1)
  }
}

private func conv(
  _ name: String, _ x: [Int], _ w: [Int], bias: Bool = true, stride: [Int] = [1],
  padding: ConvolutionGeometry.Padding = .sides([0]), dilation: [Int] = [1], groups: Int = 1,
  tolerance: Double = 3e-6
) -> Operator {
  let geometry = ConvolutionGeometry(
    stride: stride, padding: padding, dilation: dilation, groups: groups)
  var op = Operator(name, tolerance: tolerance) {
    w.count == 5
      ? try $0[0].conv3d($0[1], bias ? $0[2] : nil, geometry)
      : try $0[0].conv2d($0[1], bias ? $0[2] : nil, geometry)
  }
  op.inputs = (bias ? [x, w, [w[0]]] : [x, w]).map { .init(shape: $0) }
  return op
}

private func transposed(
  _ name: String, _ x: [Int], _ w: [Int], bias: Bool = true, stride: [Int] = [1],
  padding: [Int] = [0], outputPadding: [Int] = [0], dilation: [Int] = [1], groups: Int = 1,
  tolerance: Double = 3e-6
) -> Operator {
  var op = Operator("transposed " + name, tolerance: tolerance) {
    try $0[0].convTranspose2d(
      $0[1], bias ? $0[2] : nil,
      .init(stride: stride, padding: .sides(padding), dilation: dilation, groups: groups),
      outputPadding: outputPadding)
  }
  op.inputs = (bias ? [x, w, [w[1] * groups]] : [x, w]).map { .init(shape: $0) }
  return op
}

private let catalogue: [Operator] = [
  conv("axes", [2, 5, 7, 8], [9, 5, 3, 2], stride: [2, 1], padding: .sides([1, 0])),
  conv("dilation", [1, 9, 8, 9], [5, 9, 3, 3], padding: .sides([2]), dilation: [2]),
  conv("far taps", [1, 5, 3, 4], [3, 5, 2, 2], padding: .sides([40]), dilation: [37]),
  conv("far steps", [1, 5, 30, 31], [3, 5, 2, 1], stride: [17, 13]),
  conv("same", [1, 5, 6, 7], [9, 5, 4, 2], padding: .same, dilation: [1, 3]),
  conv(
    "depthwise stride", [2, 9, 7, 8], [9, 1, 3, 3], stride: [2], padding: .sides([1]), groups: 9),
  conv(
    "depthwise far", [1, 5, 30, 9], [5, 1, 1, 3], stride: [14, 1], dilation: [1, 3], groups: 5),
  conv("depthwise dilation", [1, 17, 7, 8], [17, 1, 3, 2], dilation: [2, 3], groups: 17),
  conv("multiplied", [1, 6, 5, 6], [18, 1, 3, 3], padding: .sides([1]), groups: 6),
  conv("groups of 4", [2, 12, 5, 6], [12, 4, 3, 3], padding: .sides([1]), groups: 3),
  conv("groups of 3 to 5", [1, 12, 5, 6], [20, 3, 3, 3], stride: [1, 2], groups: 4),
  conv(
    "groups of 19", [1, 38, 5, 6], [40, 19, 3, 3], bias: false, padding: .sides([1]), groups: 2,
    tolerance: 1e-5),
  conv("groups of 19 to 1", [1, 38, 5, 6], [2, 19, 3, 3], stride: [2], groups: 2),
  transposed("stride", [2, 5, 4, 3], [5, 9, 4, 4], stride: [2], padding: [1]),
  transposed(
    "axes", [1, 9, 3, 4], [9, 3, 3, 2], stride: [3, 1], padding: [1, 0], outputPadding: [2, 0]),
  transposed("apart", [1, 5, 3, 2], [5, 6, 2, 1], stride: [5, 4], outputPadding: [4, 3]),
  transposed("dilation", [1, 5, 3, 4], [5, 4, 3, 3], bias: false, dilation: [2, 3]),
  transposed("by one", [1, 3, 6, 7], [3, 9, 3, 3], padding: [1]),
  transposed("tiles", [1, 8, 24, 23], [8, 9, 3, 3], padding: [1], tolerance: 3e-5),
  transposed("depthwise", [1, 9, 3, 4], [9, 1, 4, 4], stride: [2], padding: [1], groups: 9),
  transposed("groups", [1, 6, 4, 3], [6, 3, 3, 3], stride: [2], groups: 2),
  transposed("wide groups", [1, 34, 4, 3], [34, 18, 2, 2], stride: [2], groups: 2),
  conv("frames", [2, 3, 4, 5, 6], [5, 3, 3, 3, 3], padding: .sides([1])),
  conv(
    "frames, axes", [1, 3, 6, 5, 4], [9, 3, 2, 3, 1], stride: [2, 1, 3], dilation: [3, 1, 1]),
  conv(
    "frames, groups", [1, 6, 3, 4, 5], [4, 3, 2, 3, 3], bias: false, padding: .same, groups: 2),
  conv("frames, depthwise", [1, 9, 3, 4, 5], [9, 1, 3, 3, 3], padding: .sides([1]), groups: 9),
  conv("frames, one plane", [2, 2, 3, 4, 5], [3, 2, 1, 1, 1]),
]

extension TensorsTests {
  @Suite struct ConvolutionsTests {
    @Test(arguments: catalogue) func gradients(_ op: Operator) throws { try op.checkGradients() }

    @Test(arguments: catalogue) func singles(_ op: Operator) throws { try op.checkSingle() }

    @Test func agreesWithPyTorch() throws {
      let fixtures = try Fixtures("convolutions")
      #expect(fixtures.cases.count == 29)
      for member in fixtures.cases {
        let (name, entry) = (member.key, member.value)
        let options = entry["options"] ?? .object([])
        let geometry = try options.geometry()
        try fixtures.check(name, options, bound: 3e-6) { inputs in
          let x = try #require(inputs["x"]), w = try #require(inputs["w"])
          switch entry["op"]?.stringValue {
          case "conv2d": return try x.conv2d(w, inputs["b"], geometry)
          case "conv3d": return try x.conv3d(w, inputs["b"], geometry)
          default:
            return try x.convTranspose2d(
              w, inputs["b"], geometry, outputPadding: options.numbers("output_padding", 0))
          }
        }
      }
    }

    /// Groups add in the order of their definition: bit-exact, on every processor.
    @Test(arguments: [
      ([1, 9, 40, 70], [9, 1, 3, 3], 2, 9), ([2, 24, 17, 35], [24, 1, 5, 3], 3, 24),
      ([1, 12, 9, 33], [24, 4, 3, 3], 1, 3), ([1, 30, 9, 10], [20, 3, 3, 3], 1, 10),
      ([2, 40, 9, 33], [38, 20, 3, 3], 1, 2), ([1, 64, 7, 9], [36, 32, 1, 3], 2, 2),
    ])
    func groupsAreExact(_ x: [Int], _ w: [Int], _ stride: Int, _ groups: Int) throws {
      let image = try Tensor.leaf(x, seed: 1, gradient: false)
      let weights = try Tensor.leaf(w, seed: 2, gradient: false)
      let bias = try Tensor.leaf([w[0]], seed: 3, gradient: false)
      let y = try image.conv2d(weights, bias, stride: stride, padding: 1, groups: groups)
      let s = ConvolutionShape(
        n: x[0], inputs: x[1], height: x[2], width: x[3], outputs: w[0], kh: w[2], kw: w[3],
        stride: stride, padY: 1, padX: 1, groups: groups)
      #expect(Convolution.algorithm(for: s) == .grouped)
      var wanted = [Float](repeating: 0, count: y.count)
      ReferenceConvolution.forward(
        s, x: try image.numbers().map { Float($0) }, w: try weights.numbers().map { Float($0) },
        b: try bias.numbers().map { Float($0) }, y: &wanted)
      #expect(try y.numbers() == wanted.map(Double.init))
    }

    /// No stride, kernel or padding may trap.
    @Test func absurdGeometries() throws {
      let x = try Tensor.leaf([1, 5, 6, 7], seed: 1), w = try Tensor.leaf([3, 5, 3, 3], seed: 2)
      let most = 1 << 20
      for groups in [1, 5] {
        let w = groups == 1 ? w : try Tensor.leaf([5, 1, 3, 3], seed: 3)
        let y = try x.conv2d(
          w, nil, .init(stride: [most], padding: .sides([most]), groups: groups))
        #expect(y.shape == [1, groups == 1 ? 3 : 5, 3, 3])
        try y.sum().backward()
        let far = try x.conv2d(
          w, nil, .init(padding: .sides([most]), dilation: [most - 3], groups: groups))
        try far.sum().backward()
        #expect(far.shape[2] == 6 + 2 * most - 2 * (most - 3))
      }
      let apart = try Tensor.leaf([5, 2, 1, 2], seed: 4)
      let spread = try x.sliced(2, 0, 0).convTranspose2d(apart, nil, .init(stride: [most, 64]))
      #expect(spread.shape == [1, 2, 1, 6 * 64 + 2])
      try spread.sum().backward()

      let frames = try Tensor.leaf([1, 2, 3, 4, 5], seed: 5)
      let cube = try Tensor.leaf([2, 2, 3, 3, 3], seed: 6)
      let far = try frames.conv3d(cube, nil, .init(stride: [most], padding: .sides([most])))
      #expect(far.shape == [1, 2, 3, 3, 3])
      try far.sum().backward()
    }

    @Test func wrongGeometriesAreErrors() throws {
      let x = try Tensor.leaf([1, 5, 6, 7], seed: 1), w = try Tensor.leaf([3, 5, 3, 3], seed: 2)
      let frames = try Tensor.leaf([1, 2, 3, 4, 5], seed: 5)
      let cube = try Tensor.leaf([2, 2, 3, 3, 3], seed: 6)
      let back = try Tensor.leaf([5, 3, 3, 3], seed: 7)
      let wrong: [(String, () throws -> Tensor)] = [
        ("stride", { try x.conv2d(w, nil, .init(stride: [1, 0])) }),
        ("stride", { try x.conv2d(w, nil, .init(stride: [1, 2, 3])) }),
        ("stride", { try x.conv2d(w, nil, .init(stride: [.max, 1])) }),
        ("dilation", { try x.conv2d(w, nil, .init(dilation: [0])) }),
        ("dilation", { try x.conv2d(w, nil, .init(dilation: [.max])) }),
        ("does not fit", { try x.conv2d(w, nil, .init(dilation: [3])) }),
        ("same", { try x.conv2d(w, nil, .init(stride: [2], padding: .same)) }),
        ("padding", { try x.conv2d(w, nil, .init(padding: .sides([-1, 0]))) }),
        ("groups", { try x.conv2d(w, nil, .init(groups: 0)) }),
        ("too large", { try frames.conv3d(cube, nil, .init(padding: .sides([1 << 20]))) }),
        ("5 dimensions", { try x.conv3d(w, nil) }),
        ("does not fit", { try frames.conv3d(cube, nil, .init(dilation: [2])) }),
        ("input channels", { try x.convTranspose2d(w, nil) }),
        ("output_padding", { try x.convTranspose2d(back, nil, outputPadding: [1]) }),
        ("output_padding", { try x.convTranspose2d(back, nil, outputPadding: [-1]) }),
        ("same", { try x.convTranspose2d(back, nil, .init(padding: .same)) }),
        (
          "gives an empty result", { try x.convTranspose2d(back, nil, .init(padding: .sides([9]))) }
        ),
        ("limit", { try x.convTranspose2d(back, nil, .init(stride: [1 << 20])) }),
        ("groups", { try x.convTranspose2d(back, nil, .init(groups: .max)) }),
        ("bias", { try x.convTranspose2d(back, .full(0, [4])) }),
      ]
      for (i, (words, f)) in wrong.enumerated() {
        let error = #expect(throws: LunervError.self, "case \(i)") { try f().materialise() }
        #expect(error?.message.contains(words) == true, "case \(i): \(error?.message ?? "")")
      }
    }

    /// A program's work is charged before it runs.
    @Test func workIsCharged() throws {
      let x = try Tensor.full(1, [1, 4, 32, 32]), w = try Tensor.full(1, [4, 4, 3, 3])
      let frames = try Tensor.full(1, [1, 4, 8, 32, 32]),
        cube = try Tensor.full(1, [4, 4, 3, 3, 3])
      let session = Session.current
      defer { session.workLeft = .max }
      let calls: [() throws -> Tensor] = [
        { try x.conv2d(w, nil, .init(padding: .same, dilation: [3])) },
        { try x.convTranspose2d(w, nil, .init(stride: [2])) }, { try frames.conv3d(cube, nil) },
      ]
      for (i, call) in calls.enumerated() {
        session.workLeft = 20_000
        let error = #expect(throws: LunervError.self, "call \(i)") { try call().materialise() }
        #expect(error?.message.contains("max_work") == true, "call \(i)")
      }
    }
  }
}
