import Testing

@testable import Kernels

/// The memory layout of an image on one side of a convolution.
private struct Side: CustomStringConvertible {
  var planar = false
  var shuffle = 1

  var description: String {
    (planar ? "planar" : "channels-last") + (shuffle > 1 ? "/\(shuffle)" : "")
  }

  func layout(n: Int, channels: Int, height: Int, width: Int) -> ImageLayout {
    ImageLayout(
      n: n, channels: channels / (shuffle * shuffle), height: height * shuffle,
      width: width * shuffle, planar: planar, shuffle: shuffle)
  }
}

extension ImageLayout {
  fileprivate var elements: Int {
    n * (planar ? channels : paddedChannels) * height * width
  }

  /// Calls `body(index among the seen N×C×H×W, index in memory)` for every seen value.
  fileprivate func forEach(_ body: (Int, Int) -> Void) {
    let s = shuffle
    var seen = 0
    for image in 0..<n {
      for c in 0..<seenChannels {
        let (channel, a, b) = (c / (s * s), c % (s * s) / s, c % s)
        for y in 0..<seenHeight {
          for x in 0..<seenWidth {
            let (row, column) = (y * s + a, x * s + b)
            body(
              seen,
              planar
                ? ((image * channels + channel) * height + row) * width + column
                : ((image * height + row) * width + column) * paddedChannels + channel)
            seen += 1
          }
        }
      }
    }
  }

  /// The memory of an image with these seen values, its padding zero.
  fileprivate func stored(_ seen: [Float]) -> Guarded<Float> {
    let memory = Guarded<Float>([Float](repeating: 0, count: elements))
    forEach { memory.p[$1] = seen[$0] }
    return memory
  }

  fileprivate func seen(_ memory: Guarded<Float>) -> [Float] {
    var out = [Float](repeating: 0, count: n * seenChannels * seenHeight * seenWidth)
    forEach { out[$0] = memory.p[$1] }
    return out
  }

  fileprivate func paddingIsZero(_ memory: Guarded<Float>) -> Bool {
    var used = [Bool](repeating: false, count: elements)
    forEach { used[$1] = true }
    return (0..<elements).allSatisfy { used[$0] || memory.p[$0] == 0 }
  }
}

private struct Case: CustomTestStringConvertible {
  var shape: ConvolutionShape
  var x = Side()
  var y = Side()

  init(
    n: Int = 1, _ inputs: Int, _ outputs: Int, _ height: Int, _ width: Int, k: Int = 3,
    kw: Int? = nil, stride: Int = 1, pad: Int = 1, groups: Int = 1, x: Side = Side(),
    y: Side = Side(), _ change: (inout ConvolutionShape) -> Void = { _ in }
  ) {
    shape = ConvolutionShape(
      n: n, inputs: inputs, height: height, width: width, outputs: outputs, kh: k, kw: kw ?? k,
      stride: stride, padY: pad, padX: pad, groups: groups)
    change(&shape)
    (self.x, self.y) = (x, y)
  }

  var testDescription: String {
    let s = shape
    return
      "\(s.n)×\(s.inputs)→\(s.outputs) \(s.height)×\(s.width) k\(s.kh)×\(s.kw) s\(s.strideY),\(s.strideX) d\(s.dilationY),\(s.dilationX) p\(s.padY),\(s.padX) e\(s.padEndY),\(s.padEndX) g\(s.groups) \(x)→\(y)"
  }

  var algorithms: [ConvolutionAlgorithm] {
    let s = shape
    let plain =
      s.strideY == 1 && s.strideX == 1 && s.dilationY == 1 && s.dilationX == 1
      && s.padEndY == s.padY && s.padEndX == s.padX
    if s.groups > 1 {
      return plain && s.groups == s.inputs && s.groups == s.outputs
        ? [.depthwise, .grouped] : [.grouped]
    }
    let fits =
      plain && s.kh == s.kw && [3, 5].contains(s.kh) && s.padY < s.kh && s.padY == s.padX
    let narrow = plain && s.outputs * s.kh * s.kw <= 32
    return (fits ? [.winograd, .direct] : [.direct]) + (fits && s.kh == 3 ? [.winograd6] : [])
      + (narrow ? [.narrow] : [])
  }
}

/// The largest error allowed, relative to the largest result: winograd's transforms cost two
/// digits, its weight gradient a third.
private struct Bounds {
  var image: Double
  var weights: Double

  init(_ algorithm: ConvolutionAlgorithm) {
    switch algorithm {
    case .winograd, .winograd6: (image, weights) = (2e-5, 5e-5)
    case .narrow: (image, weights) = (2e-5, 4e-6)
    case .direct, .depthwise, .grouped: (image, weights) = (4e-6, 4e-6)
    }
  }
}

/// The three products and the bias gradient in Double, from the same floats.
private struct Exact {
  var y: [Double], dx: [Double], dw: [Double], db: [Double]

  init(_ s: ConvolutionShape, x: [Float], w: [Float], b: [Float], g: [Float]) {
    let (x, w, b, g) = (
      x.map(Double.init), w.map(Double.init), b.map(Double.init), g.map(Double.init)
    )
    y = [Double](repeating: 0, count: g.count)
    dx = [Double](repeating: 0, count: x.count)
    dw = [Double](repeating: 0, count: w.count)
    db = [Double](repeating: 0, count: b.count)
    ReferenceConvolution.forward(s, x: x, w: w, b: b, y: &y)
    ReferenceConvolution.dataGradient(s, g: g, w: w, dx: &dx)
    ReferenceConvolution.weightGradient(s, x: x, g: g, dw: &dw, db: &db)
  }
}

extension ConvolutionShape {
  fileprivate var outCount: Int { n * outputs * outHeight * outWidth }
}

/// Runs all products of a case with every applicable algorithm and compares.
private func check(_ c: Case, seed: Int) {
  var noise = Noise(seed)
  let s = c.shape
  let x = noise.numbers(s.n * s.inputs * s.height * s.width)
  let w = noise.numbers(s.outputs * s.inputs / s.groups * s.kh * s.kw)
  let b = noise.numbers(s.outputs), g = noise.numbers(s.outCount)
  let exact = Exact(s, x: x, w: w, b: b, g: g)
  let xLayout = c.x.layout(n: s.n, channels: s.inputs, height: s.height, width: s.width)
  let yLayout = c.y.layout(n: s.n, channels: s.outputs, height: s.outHeight, width: s.outWidth)
  var dxLayout = xLayout
  if xLayout.shuffle > 1 {
    dxLayout = Side(planar: c.x.planar).layout(
      n: s.n, channels: s.inputs, height: s.height, width: s.width)
  }
  let (xm, gm) = (xLayout.stored(x), yLayout.stored(g))
  let (wm, bm) = (Guarded(w), Guarded(b))
  let (xo, go) = (ImageOperand(xLayout, .memory(xm.p)), ImageOperand(yLayout, .memory(gm.p)))
  for algorithm in c.algorithms {
    let bounds = Bounds(algorithm)
    let y = Guarded<Float>(yLayout.elements), bare = Guarded<Float>(yLayout.elements)
    let dx = Guarded<Float>(dxLayout.elements)
    let dw = Guarded<Float>(w.count), db = Guarded<Float>(b.count), alone = Guarded<Float>(w.count)
    Convolution.forward(s, by: algorithm, xo, w: wm.p, b: bm.p, ImageTarget(yLayout, y.p))
    Convolution.forward(s, by: algorithm, xo, w: wm.p, b: nil, ImageTarget(yLayout, bare.p))
    Convolution.dataGradient(s, by: algorithm, go, w: wm.p, ImageTarget(dxLayout, dx.p))
    Convolution.weightGradient(s, by: algorithm, xo, go, dw: dw.p, db: db.p)
    Convolution.weightGradient(s, by: algorithm, xo, go, dw: alone.p, db: nil)

    let plane = s.outHeight * s.outWidth
    let unbiased = exact.y.enumerated().map { $1 - Double(b[$0 / plane % s.outputs]) }
    let errors = [
      relativeError(yLayout.seen(y), exact.y), relativeError(yLayout.seen(bare), unbiased),
      relativeError(dxLayout.seen(dx), exact.dx), relativeError(dw.values, exact.dw),
      relativeError(db.values, exact.db),
    ]
    let name = "\(c.testDescription) by \(algorithm)"
    #expect(errors[0] < bounds.image, "forward of \(name)")
    #expect(errors[1] < bounds.image, "forward without bias of \(name)")
    #expect(errors[2] < bounds.image, "data gradient of \(name)")
    #expect(errors[3] < bounds.weights, "weight gradient of \(name)")
    #expect(errors[4] < 4e-6, "gradient by bias of \(name)")
    #expect(alone.values == dw.values, "only the weight gradient of \(name)")
    #expect(yLayout.paddingIsZero(y) && dxLayout.paddingIsZero(dx), "padding lanes of \(name)")
    #expect(
      areIntact([xm, gm, wm, bm, y, bare, dx, dw, db, alone]),
      "memory around the operands of \(name)")
    for activation in [PointwiseOperator.sin, .tanh, .relu, .gelu, .silu]
    where Convolution.applies(activation, by: algorithm, kernel: s.kh, to: yLayout) {
      let activated = Guarded<Float>(yLayout.elements)
      Convolution.forward(
        s, by: algorithm, xo, w: wm.p, b: bm.p,
        ImageTarget(yLayout, activated.p, activation: activation))
      let after = Guarded(y.values)
      Float.apply(activation, p: 0, q: 0, yLayout.elements, y.p, y.p, y.p, after.p)
      #expect(activated.values == after.values, "\(activation) after \(name)")
      #expect(areIntact([activated]), "memory around \(activation) after \(name)")
    }
  }
}

extension KernelsTests {
  @Suite struct ConvolutionTests {
    /// Channel counts around multiples of the vector width, alone and in pairs.
    @Test(arguments: [3, 5, 8, 16, 17, 24, 35, 40, 72, 86])
    func channels(_ channels: Int) {
      check(Case(channels, channels, 9, 16), seed: channels)
      check(Case(channels, 5, 10, 13, x: Side(), y: Side(planar: true)), seed: channels + 1)
      check(Case(3, channels, 7, 11, x: Side(planar: true)), seed: channels + 2)
      check(Case(channels, 17, 6, 9, k: 1, pad: 0), seed: channels + 3)
      check(Case(channels, channels, 9, 16, k: 7, pad: 3, groups: channels), seed: channels + 4)
    }

    private static let shapes = [
      Case(17, 35, 3, 1280), Case(35, 12, 1, 1280), Case(5, 8, 16, 9), Case(35, 35, 9, 16),
      Case(n: 2, 24, 17, 1, 37), Case(n: 2, 8, 5, 41, 1), Case(3, 8, 1, 1), Case(8, 8, 2, 2),
      Case(8, 16, 45, 80), Case(5, 12, 100, 7), Case(n: 3, 16, 8, 4, 4, pad: 0),
      Case(16, 9, 5, 3, pad: 2), Case(n: 2, 10, 11, 30, 97, pad: 0), Case(4, 4, 97, 98, pad: 2),
      Case(5, 9, 900, 40), Case(4, 6, 700, 30, k: 5, pad: 2), Case(86, 72, 12, 20),
      Case(6, 3, 20, 300, k: 1, pad: 0), Case(5, 6, 3, 400, k: 5, pad: 2),
    ]
    @Test(arguments: shapes) private func sizes(_ c: Case) { check(c, seed: c.shape.width) }

    @Test(arguments: [1, 2, 3, 5, 7], [1, 2, 5])
    func kernelsAndStrides(_ k: Int, _ stride: Int) {
      for pad in 0...3 where pad < k || k == 1 {
        check(Case(n: 2, 5, 17, 13, 19, k: k, stride: stride, pad: pad), seed: 100 * k + pad)
        check(
          Case(
            10, 3, 11, 10, k: k, stride: stride, pad: pad, x: Side(planar: true),
            y: Side(planar: true)), seed: 100 * k + pad + 50)
      }
    }

    @Test func kernelThatIsNotSquare() {
      check(Case(5, 8, 12, 11, k: 1, kw: 5, pad: 0), seed: 1)
      check(Case(9, 3, 12, 11, k: 3, kw: 2, stride: 2, pad: 0), seed: 2)
      check(Case(9, 9, 12, 11, k: 3, kw: 5, pad: 1, groups: 9), seed: 3)
    }

    /// The result is written, and its gradient read, in PixelShuffle's order.
    @Test(arguments: [2, 3, 5], [true, false])
    func shuffledResult(_ s: Int, _ planar: Bool) {
      for (channels, k) in [(3, 3), (8, 3), (12, 1), (17, 5)] {
        check(
          Case(7, channels * s * s, 7, 10, k: k, pad: k / 2, y: Side(planar: planar, shuffle: s)),
          seed: s + k)
      }
      check(
        Case(
          n: 2, 5, 3 * s * s, 11, 6, stride: 2, x: Side(planar: true),
          y: Side(planar: planar, shuffle: s)), seed: s)
    }

    /// The input is read in PixelUnshuffle's order.
    @Test(arguments: [2, 3, 5], [true, false])
    func unshuffledInput(_ s: Int, _ planar: Bool) {
      for (channels, k) in [(3, 3), (9, 3), (2, 1)] {
        check(
          Case(
            n: 2, channels * s * s, 10, 6, 9, k: k, pad: k / 2,
            x: Side(planar: planar, shuffle: s)), seed: s + k)
      }
    }

    /// Random shapes.
    @Test(arguments: 0..<48) func anyShape(_ seed: Int) {
      var noise = Noise(seed + 1000)
      let k = noise.pick([1, 2, 3, 3, 3, 4, 5, 7])
      let depthwise = seed % 6 == 0
      let stride = depthwise ? 1 : noise.pick([1, 1, 1, 2, 3, 5])
      let shuffle = depthwise ? 1 : noise.pick([1, 1, 1, 2, 3])
      let channels = noise.pick([1, 2, 3, 5, 7, 8, 9, 16, 17, 24, 31])
      let inputs = depthwise ? channels : noise.pick([1, 3, 4, 8, 13, 16, 20])
      let pad = noise.below(min(k, 4))
      if depthwise && channels == 1 { return }
      check(
        Case(
          n: 1 + noise.below(2), inputs, channels * shuffle * shuffle, k + noise.below(20),
          k + noise.below(30), k: k, stride: stride, pad: pad, groups: depthwise ? channels : 1,
          x: Side(planar: noise.below(2) == 0),
          y: Side(planar: noise.below(2) == 0, shuffle: shuffle)),
        seed: seed)
    }

    /// Strides, dilations and paddings that differ between the axes and the sides.
    @Test(arguments: 0..<40) func anyGeometry(_ seed: Int) {
      var noise = Noise(seed + 3000)
      let (kh, kw) = (noise.pick([1, 2, 3, 5]), noise.pick([1, 2, 3, 4]))
      // One group, depthwise, groups of a vector, of more, and of different sizes on both sides.
      let (groups, inputs, outputs) = [
        (1, 5, 9), (1, 17, 3), (9, 9, 9), (17, 17, 17), (3, 12, 12), (2, 6, 10), (5, 5, 15),
        (2, 34, 36), (2, 40, 4), (3, 15, 60),
      ][seed % 10]
      check(
        Case(
          n: 1 + noise.below(2), inputs, outputs, 9 + noise.below(9), 12 + noise.below(30), k: kh,
          kw: kw, groups: groups, x: Side(planar: noise.below(2) == 0),
          y: Side(planar: noise.below(2) == 0)
        ) {
          ($0.strideY, $0.strideX) = (noise.pick([1, 2, 3, 8]), noise.pick([1, 1, 2, 7]))
          ($0.dilationY, $0.dilationX) = (noise.pick([1, 2]), noise.pick([1, 2, 3]))
          ($0.padY, $0.padX) = (noise.below(4), noise.below(3))
          ($0.padEndY, $0.padEndX) = (noise.below(4), noise.below(3) - 1)
        }, seed: seed)
    }

    /// Taps and strides so large that most pixels between them are not read.
    @Test(arguments: [1, 5, 34]) func farApart(_ channels: Int) {
      for groups in [1, channels == 34 ? 2 : channels] {
        check(
          Case(channels, channels, 90, 61, k: 2, kw: 3, pad: 0, groups: groups) {
            ($0.strideY, $0.strideX) = (30, 19)
          }, seed: channels)
        check(
          Case(channels, channels, 3, 4, k: 2, pad: 50, groups: groups) {
            ($0.dilationY, $0.dilationX) = (47, 51)
          }, seed: channels + 1)
      }
    }

    /// Operands computed by a program give the same result as operands in memory.
    @Test(arguments: [3, 16, 35], [true, false])
    func computedOperands(_ channels: Int, _ planar: Bool) {
      var noise = Noise(channels)
      for (k, groups, shuffle) in [(3, 1, 1), (5, 1, 1), (3, 1, 2), (7, channels, 1)] {
        let outputs = groups > 1 ? channels : 12
        let c = Case(
          n: 2, channels, outputs, 15, 34, k: k, pad: k / 2, groups: groups,
          x: Side(planar: planar),
          y: Side(planar: planar, shuffle: shuffle))
        let s = c.shape
        let xLayout = c.x.layout(n: s.n, channels: s.inputs, height: s.height, width: s.width)
        let yLayout = c.y.layout(
          n: s.n, channels: s.outputs, height: s.outHeight, width: s.outWidth)
        let x = xLayout.stored(noise.numbers(s.n * s.inputs * s.height * s.width))
        let g = yLayout.stored(noise.numbers(s.outCount))
        let rows = Guarded(noise.numbers(max(xLayout.elements, yLayout.elements)))
        let w = Guarded(noise.numbers(s.outputs * s.inputs / s.groups * k * k))
        let (xp, gp) = (
          program(xLayout, over: x, periodic: rows), program(yLayout, over: g, periodic: rows)
        )
        let (xs, gs) = (Guarded<Float>(xLayout.elements), Guarded<Float>(yLayout.elements))
        xp.evaluateAll(into: xs.p)
        gp.evaluateAll(into: gs.p)
        #expect(xLayout.paddingIsZero(xs) && yLayout.paddingIsZero(gs))
        for algorithm in c.algorithms {
          func all(_ x: ImageValues, _ g: ImageValues) -> [[Float]] {
            let (x, g) = (ImageOperand(xLayout, x), ImageOperand(yLayout, g))
            let y = Guarded<Float>(yLayout.elements), dx = Guarded<Float>(xLayout.elements)
            let dw = Guarded<Float>(w.count), db = Guarded<Float>(s.outputs)
            Convolution.forward(s, by: algorithm, x, w: w.p, b: nil, ImageTarget(yLayout, y.p))
            Convolution.dataGradient(s, by: algorithm, g, w: w.p, ImageTarget(xLayout, dx.p))
            Convolution.weightGradient(s, by: algorithm, x, g, dw: dw.p, db: db.p)
            #expect(areIntact([y, dx, dw, db]))
            return [y.values, dx.values, dw.values, db.values]
          }
          #expect(
            all(.program(xp), .program(gp)) == all(.memory(xs.p), .memory(gs.p)),
            "\(c.testDescription) by \(algorithm)")
        }
        #expect(areIntact([x, g, rows, xs, gs, w]))
      }
    }

    /// cos(v · periodic + constant), which is not zero in padding lanes by itself.
    private func program(
      _ layout: ImageLayout, over v: Guarded<Float>, periodic: Guarded<Float>
    ) -> PointwiseProgram {
      let period = layout.planar ? layout.width : layout.paddedChannels
      return PointwiseProgram(
        count: layout.elements,
        leaves: [.flat(v.p), .periodic(periodic.p, count: period), .constant(0.25)],
        instructions: [.init(.multiply, 0, 1), .init(.add, 3, 2), .init(.cos, 4)],
        lanes: layout.planar ? 1 : layout.paddedChannels,
        channels: layout.planar ? 1 : layout.channels, owners: [])
    }

    @Test func algorithmsByShape() {
      func algorithm(_ c: Case) -> ConvolutionAlgorithm? { Convolution.algorithm(for: c.shape) }
      #expect(algorithm(Case(35, 35, 720, 1280)) == .winograd6)
      #expect(algorithm(Case(35, 35, 9, 16)) == .direct)
      #expect(algorithm(Case(35, 3, 720, 1280)) == .narrow)
      #expect(algorithm(Case(35, 35, 90, 160, k: 5, pad: 2)) == .winograd)
      #expect(algorithm(Case(35, 35, 90, 160, k: 7, pad: 3)) == .direct)
      #expect(algorithm(Case(35, 35, 90, 160, stride: 2)) == .direct)
      #expect(algorithm(Case(64, 64, 90, 160, k: 7, pad: 3, groups: 64)) == .depthwise)
      #expect(algorithm(Case(64, 64, 90, 160, stride: 2, groups: 64)) == .grouped)
      #expect(algorithm(Case(6, 9, 9, 16, groups: 3)) == .grouped)
      #expect(algorithm(Case(35, 3, 720, 1280) { $0.dilationX = 2 }) == .direct)
      #expect(algorithm(Case(35, 35, 720, 1280) { $0.padX = 2 }) == .direct)
      #expect(algorithm(Case(35, 35, 720, 1280) { $0.padEndY = 0 }) == .direct)
      #expect(algorithm(Case(64, 64, 90, 160, groups: 64) { $0.dilationY = 2 }) == .grouped)
      // Shapes that would exceed the working memory use the reference path.
      #expect(algorithm(Case(1, 1, 1 << 21, 1, k: 1 << 21, kw: 1, pad: 0)) == nil)
    }

    /// The reference itself, on numbers that can be checked by hand.
    @Test func reference() {
      let s = ConvolutionShape(
        n: 1, inputs: 1, height: 2, width: 3, outputs: 1, kh: 2, kw: 2, stride: 1, padY: 0, padX: 0,
        groups: 1)
      let x: [Double] = [1, 2, 3, 4, 5, 6], w: [Double] = [1, 10, 100, 1000]
      var y = [0.0, 0.0], dx = [Double](repeating: 0, count: 6), dw = [0.0, 0, 0, 0], db = [0.0]
      ReferenceConvolution.forward(s, x: x, w: w, b: [0.5], y: &y)
      #expect(y == [5421.5, 6532.5])
      ReferenceConvolution.dataGradient(s, g: [1, 2], w: w, dx: &dx)
      #expect(dx == [1, 12, 20, 100, 1200, 2000])
      ReferenceConvolution.weightGradient(s, x: x, g: [1, 2], dw: &dw, db: &db)
      #expect(dw == [5, 8, 14, 17] && db == [3])
    }
  }
}
