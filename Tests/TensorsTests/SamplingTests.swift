import Kernels
import Support
import Testing

@testable import Tensors

/// Samples, resizing, pooling and padding, as a fixture's case names them.
private func apply(_ op: String, _ o: JSON, _ inputs: [String: Tensor]) throws -> Tensor {
  let x = try #require(inputs["x"])
  func list(_ key: String) throws -> [Int] { try o.list(key).map { Int($0) } }
  func flag(_ key: String) -> Bool { o[key] == .bool(true) }
  func windows() throws -> PoolWindows {
    var windows = PoolWindows(
      kernel: try list("kernel"), stride: o["stride"] == nil ? nil : try list("stride"))
    if o["padding"] != nil { windows.padding = try list("padding") }
    if o["dilation"] != nil { windows.dilation = try list("dilation") }
    windows.ceil = flag("ceil_mode")
    return windows
  }
  switch op {
  case "grid_sample":
    return try x.gridSampled(
      #require(inputs["grid"]), o["mode"]?.stringValue == "nearest" ? .nearest : .bilinear,
      border: o["padding"]?.stringValue == "border", alignCorners: flag("align_corners"))
  case "interpolate":
    let mode = try #require(Tensor.InterpolationMode(rawValue: o["mode"]?.stringValue ?? ""))
    return try x.interpolated(
      mode, size: o["size"] == nil ? nil : try list("size"),
      scale: o["scale"] == nil ? nil : try o.list("scale"), alignCorners: flag("align_corners"),
      antialias: flag("antialias"))
  case "avg_pool2d":
    return try x.meanPooled(
      windows(), countsPadding: o["count_include_pad"] != .bool(false),
      divisor: o["divisor_override"]?.doubleValue)
  case "max_pool2d": return try x.maxPooled(windows())
  case "adaptive_avg_pool2d": return try x.adaptivelyPooled(list("size"))
  case "pad":
    var sides = [(before: Int, after: Int)](repeating: (0, 0), count: x.shape.count)
    let amounts = try list("sides")
    for i in 0..<(amounts.count / 2) {
      sides[x.shape.count - 1 - i] = (amounts[2 * i], amounts[2 * i + 1])
    }
    let modes: [String: Tensor.PaddingMode] = [
      "constant": .constant(try o.double("value")), "replicate": .edge, "reflect": .reflect,
      "circular": .circular,
    ]
    return try x.padded(sides, #require(modes[o["mode"]?.stringValue ?? ""]))
  default: throw LunervError(.argument, "no operator for the fixture's '\(op)'")
  }
}

private func windows(
  _ kernel: [Int], stride: [Int]? = nil, padding: [Int] = [0, 0], dilation: [Int] = [1, 1],
  ceil: Bool = false
) -> PoolWindows {
  var windows = PoolWindows(kernel: kernel, stride: stride)
  (windows.padding, windows.dilation, windows.ceil) = (padding, dilation, ceil)
  return windows
}

private let operators: [Operator] = {
  var all: [Operator] = []
  func sample(_ map: [Int], _ grid: [Int], _ mode: Tensor.SampleMode, smooth: Bool = true) {
    for border in [false, true] {
      for corners in [false, true] {
        let op = Operator(
          "grid_sample \(mode) border \(border) corners \(corners)", map, grid, tolerance: 2e-5,
          smooth: smooth
        ) { try $0[0].gridSampled($0[1], mode, border: border, alignCorners: corners) }
        all.append(op)
      }
    }
  }
  sample([2, 3, 4, 5], [2, 3, 6, 2], .bilinear)
  sample([1, 9, 40, 5], [1, 9, 11, 2], .bilinear)
  sample([1, 17, 1, 6], [1, 4, 3, 2], .bilinear)
  sample([1, 9, 3, 4], [1, 3, 5, 2], .nearest, smooth: false)
  sample([2, 3, 3, 4, 2], [2, 2, 3, 2, 3], .bilinear)
  sample([1, 9, 2, 3, 4], [1, 3, 1, 2, 3], .bilinear)
  for (mode, size) in [
    (Tensor.InterpolationMode.nearest, [7, 9]), (.bilinear, [7, 9]), (.bilinear, [2, 3]),
    (.bicubic, [5, 11]), (.nearest, [2, 1]),
  ] {
    for channels in [3, 9] {
      all.append(
        Operator("interpolate \(mode) of \(channels)", [2, channels, 4, 5]) {
          try $0[0].interpolated(mode, size: size, scale: nil)
        })
      if mode == .nearest { continue }
      all.append(
        Operator("interpolate \(mode) of \(channels), corners", [2, channels, 4, 5]) {
          try $0[0].interpolated(mode, size: size, scale: nil, alignCorners: true)
        })
      all.append(
        Operator("interpolate \(mode) of \(channels), antialias", [1, channels, 11, 9]) {
          try $0[0].interpolated(mode, size: size, scale: nil, antialias: true)
        })
    }
  }
  // Wide enough for several tiles, and high enough for several pieces.
  all.append(
    Operator("interpolate of a wide map", [1, 17, 3, 300], tolerance: 1e-5) {
      try $0[0].interpolated(.bilinear, size: nil, scale: [25, 2])
    })
  all.append(
    Operator("interpolate trilinear", [1, 2, 3, 4, 2]) {
      try $0[0].interpolated(.trilinear, size: [4, 3, 5], scale: nil)
    })
  all.append(
    Operator("interpolate linear", [2, 3, 6]) {
      try $0[0].interpolated(.linear, size: nil, scale: [1.5])
    })
  for channels in [3, 9] {
    for (name, w) in [
      ("2×2", windows([2, 2])), ("3×2", windows([3, 2], stride: [2, 1], padding: [1, 1])),
      ("ceil", windows([3, 3], stride: [2, 2], padding: [1, 1], ceil: true)),
    ] {
      all.append(
        Operator("avg_pool2d \(name)", [2, channels, 6, 7]) { try $0[0].meanPooled(w) })
      all.append(
        Operator("avg_pool2d \(name), without padding", [2, channels, 6, 7]) {
          try $0[0].meanPooled(w, countsPadding: false)
        })
      all.append(
        Operator("max_pool2d \(name)", [2, channels, 26, 7]) { try $0[0].maxPooled(w) })
    }
    all.append(
      Operator("max_pool2d dilated", [1, channels, 9, 8]) {
        try $0[0].maxPooled(windows([3, 2], stride: [1, 2], padding: [1, 1], dilation: [2, 3]))
      })
    all.append(
      Operator("adaptive_avg_pool2d", [2, channels, 5, 7]) { try $0[0].adaptivelyPooled([3, 2]) })
    let modes: [(String, Tensor.PaddingMode)] = [
      ("constant", .constant(0.5)), ("edge", .edge), ("reflect", .reflect),
      ("circular", .circular),
    ]
    for (name, mode) in modes {
      for sides in [
        [(0, 0), (0, 0), (1, 2), (2, 3)], [(0, 0), (0, 0), (-1, 2), (0, 0)],
        [(1, 0), (2, 1), (0, 0), (0, 0)], [(0, 1), (-1, 2), (2, -1), (1, 1)],
      ] {
        all.append(
          Operator("pad \(name) \(sides)", [2, channels, 3, 4]) {
            try $0[0].padded(sides.map { (before: $0.0, after: $0.1) }, mode)
          })
      }
    }
  }
  return all
}()

extension TensorsTests {
  @Suite struct SamplingTests {
    @Test func everyCaseAgrees() throws {
      let fixtures = try Fixtures("sampling")
      #expect(fixtures.cases.count > 80)
      for member in fixtures.cases {
        let op = try #require(member.value["op"]?.stringValue)
        let options = try #require(member.value["options"])
        do {
          // In f32, a place near an element's border is rounded to a position of its own.
          try fixtures.check(member.key, options, bound: op == "grid_sample" ? 2e-5 : 3e-6) {
            try apply(op, options, $0)
          }
        } catch { Issue.record(error, "\(member.key)") }
      }
    }

    @Test func gradientsAreSlopes() throws {
      for op in operators where op.smooth {
        do { try op.checkGradients() } catch { Issue.record(error, "\(op.testDescription)") }
      }
    }

    @Test func singleAgreesWithDouble() throws {
      for op in operators {
        do { try op.checkSingle() } catch { Issue.record(error, "\(op.testDescription)") }
      }
    }

    /// Places in random order, so that every band of the map's gradient sees every segment.
    @Test func resultsDoNotDependOnThreads() throws {
      let usual = ThreadPool.shared.threads
      defer { ThreadPool.shared.threads = usual }
      func run(_ threads: Int, _ channelsLast: Bool, _ rank: Int) throws -> [[Double]] {
        ThreadPool.shared.threads = threads
        let map = rank == 4 ? [1, 9, 67, 31] : [2, 3, 5, 33, 7]
        let grid = rank == 4 ? [1, 50, 41, 2] : [2, 3, 30, 11, 3]
        let x = try Tensor.leaf(map, seed: 1, channelsLast: channelsLast)
        let places = try Tensor.leaf(noise(elements(grid), seed: 2, -1.1, 1.1), grid)
        let y = try x.gridSampled(places)
        try y.squared().sum().backward()
        return try [y.numbers(), x.grad?.numbers() ?? [], places.grad?.numbers() ?? []]
      }
      for (channelsLast, rank) in [(false, 4), (true, 4), (false, 5)] {
        let one = try run(1, channelsLast, rank)
        #expect(!one[1].isEmpty && !one[2].isEmpty)
        for threads in [2, 8] {
          let same = try run(threads, channelsLast, rank) == one
          #expect(same, "\(threads) threads, channels-last \(channelsLast), \(rank) dimensions")
        }
      }
      func pooled(_ threads: Int) throws -> [[Double]] {
        ThreadPool.shared.threads = threads
        let x = try Tensor.leaf([1, 9, 61, 20], seed: 3, channelsLast: true)
        let y = try x.maxPooled(windows([3, 3], stride: [1, 1], padding: [1, 1]))
        let z = try y.interpolated(.bicubic, size: [130, 33], scale: nil)
        try z.squared().sum().backward()
        return try [z.numbers(), x.grad?.numbers() ?? []]
      }
      let one = try pooled(1), eight = try pooled(8)
      #expect(one == eight)
    }

    @Test func wildCoordinates() throws {
      let wild = [Double.nan, .infinity, -.infinity, 1e30, -1e30, 3.4e38, 1e-40]
      for (dtype, channelsLast) in [(DType.f32, false), (.f32, true), (.f64, false)] {
        let x = try Tensor.leaf([1, 9, 3, 4], seed: 1, dtype, channelsLast: channelsLast)
        let pairs = wild.flatMap { a in wild.flatMap { [a, $0] } }
        for mode in [Tensor.SampleMode.bilinear, .nearest] {
          for border in [false, true] {
            for corners in [false, true] {
              let grid = try Tensor.leaf(pairs, [1, 7, 7, 2], dtype)
              let y = try x.gridSampled(grid, mode, border: border, alignCorners: corners)
              #expect(try y.numbers().allSatisfy { $0.isFinite })
              try y.sum().backward()
              let slopes = try #require(try grid.grad?.numbers())
              #expect(slopes.allSatisfy { $0.isFinite })
            }
          }
        }
        let gradient = try #require(try x.grad?.numbers())
        #expect(gradient.allSatisfy { $0.isFinite })
      }
      // NaN counts as -1, which is the outermost element if corners are aligned.
      let x = try Tensor.from([1, 2, 3, 4], [1, 1, 2, 2])
      let grid = try Tensor.from([.nan, .nan, 1, .nan], [1, 1, 2, 2])
      #expect(try x.gridSampled(grid, alignCorners: true).numbers() == [1, 2])
      // A place outside of a map reads none of it.
      let endless = try Tensor.full(.infinity, [1, 1, 2, 2])
      #expect(try endless.gridSampled(.full(3, [1, 1, 1, 2])).numbers() == [0])
    }

    @Test func maximaOfNaN() throws {
      for channelsLast in [false, true] {
        var numbers = noise(9 * 6 * 6, seed: 5)
        numbers[7] = .nan
        let x = try Tensor.leaf(numbers, [1, 9, 6, 6], channelsLast: channelsLast)
        let y = try x.maxPooled(windows([2, 2]))
        #expect(try y.numbers().filter { $0.isNaN }.count == 1)
        try y.sum().backward()
        let gradient = try #require(try x.grad?.numbers())
        #expect(gradient[7] == 1 && gradient.reduce(0, +) == 81)
        let lowest = try Tensor.leaf(
          [Double](repeating: -.infinity, count: 36), [1, 9, 2, 2], channelsLast: channelsLast)
        try lowest.maxPooled(windows([2, 2])).sum().backward()
        #expect(try lowest.grad?.numbers() == (0..<36).map { $0 % 4 == 0 ? 1 : 0 })
      }
    }

    /// Programs in files have always summed 2×2 pixels in this order.
    @Test func meansOfPairsKeepTheirBits() throws {
      for channelsLast in [false, true] {
        let x = try Tensor.leaf([2, 9, 9, 7], seed: 4, channelsLast: channelsLast, gradient: false)
        let n = try x.numbers().map(Float.init)
        let expected = (0..<(18 * 4 * 3)).map { i -> Double in
          let p = i / 12 * 63 + i % 12 / 3 * 14 + i % 3 * 2
          return Double((((n[p] + n[p + 1]) + n[p + 7]) + n[p + 8]) * 0.25)
        }
        #expect(try x.meanPooled(windows([2, 2])).numbers() == expected)
      }
    }

    @Test func emptyAndIntegerTensors() throws {
      let none = try Tensor.full(1, [0, 3, 4, 5])
      #expect(try none.gridSampled(.full(0, [0, 2, 2, 2])).shape == [0, 3, 2, 2])
      #expect(try none.interpolated(.bilinear, size: [8, 9], scale: nil).shape == [0, 3, 8, 9])
      #expect(try none.maxPooled(windows([2, 2])).shape == [0, 3, 2, 2])
      #expect(try none.meanPooled(windows([2, 2])).shape == [0, 3, 2, 2])
      #expect(try none.adaptivelyPooled([1, 1]).shape == [0, 3, 1, 1])
      let image = try Tensor.leaf([1, 0, 4, 5], seed: 1)
      try image.gridSampled(.leaf([1, 2, 2, 2], seed: 1)).sum().backward()
      #expect(image.grad?.shape == [1, 0, 4, 5])
      let nowhere = try Tensor.leaf([1, 2, 4, 5], seed: 1)
      try nowhere.gridSampled(.leaf([1, 0, 2, 2], seed: 1)).sum().backward()
      #expect(try nowhere.grad?.numbers() == [Double](repeating: 0, count: 40))
      #expect(
        try Tensor.full(1, [0, 2]).padded([(1, 1), (0, 1)], .constant(7)).numbers() == [
          7, 7, 7, 7, 7, 7,
        ])
      let bytes = try Tensor.from([1, 2, 3, 200], [1, 1, 2, 2], .u8)
      #expect(
        try bytes.interpolated(.nearest, size: [1, 4], scale: nil).numbers() == [1, 1, 2, 2])
      #expect(try bytes.maxPooled(windows([2, 2])).numbers() == [200])
      #expect(
        try bytes.padded([(0, 0), (0, 0), (0, 0), (1, 0)], .constant(9)).numbers()
          == [9, 1, 2, 9, 3, 200])
    }

    @Test func wrongArgumentsAreErrors() throws {
      let x = try Tensor.leaf([2, 5, 6, 7], seed: 1)
      let huge = 1 << 62
      let wrong: [() throws -> Tensor] = [
        { try x.gridSampled(.full(0, [2, 3, 3, 3])) },
        { try x.gridSampled(.full(0, [1, 3, 3, 2])) },
        { try x.gridSampled(.full(0, [2, 3, 3, 2], .f64)) },
        { try Tensor.full(1, [2, 5, 0, 7]).gridSampled(.full(0, [2, 3, 3, 2])) },
        { try Tensor.full(1, [2, 5]).gridSampled(.full(0, [2, 2])) },
        { try x.interpolated(.trilinear, size: [2, 2], scale: nil) },
        { try x.interpolated(.nearest, size: [2, 2], scale: nil, alignCorners: true) },
        { try x.interpolated(.nearest, size: [2, 2], scale: nil, antialias: true) },
        { try x.interpolated(.bilinear, size: [0, 2], scale: nil) },
        { try x.interpolated(.bilinear, size: [huge, huge], scale: nil) },
        { try x.interpolated(.bilinear, size: [1 << 21, 1], scale: nil) },
        { try x.interpolated(.bilinear, size: nil, scale: [.nan, 1]) },
        { try x.interpolated(.bilinear, size: nil, scale: [1e300, 1]) },
        { try x.interpolated(.bilinear, size: nil, scale: [0.01, 1]) },
        { try x.cast(to: .i32).interpolated(.bilinear, size: [2, 2], scale: nil) },
        { try x.maxPooled(windows([0, 2])) },
        { try x.maxPooled(windows([2, 2], padding: [2, 0])) },
        { try x.maxPooled(windows([7, 2])) }, { try x.maxPooled(windows([huge, huge])) },
        { try x.maxPooled(windows([2, 2], stride: [0, 1])) },
        { try x.maxPooled(windows([2, 2], dilation: [huge, 1])) },
        { try x.meanPooled(windows([2, 2], padding: [.min, 0])) },
        { try x.meanPooled(windows([2, 2]), divisor: 0) },
        { try x.cast(to: .u8).meanPooled(windows([2, 2])) },
        { try x.adaptivelyPooled([0, 1]) }, { try x.adaptivelyPooled([huge, 1]) },
        { try x.padded([(0, 0), (0, 0), (0, 0), (7, 0)], .reflect) },
        { try x.padded([(0, 0), (0, 0), (0, 0), (8, 0)], .circular) },
        { try x.padded([(0, 0), (0, 0), (0, 0), (-4, -4)], .constant(0)) },
        { try x.padded([(0, 0), (0, 0), (0, 0), (.min, .max)], .edge) },
        { try x.padded([(1, 1)], .edge) },
        { try Tensor.full(1, [0, 2]).padded([(1, 1), (0, 1)], .edge) },
        { try x.cast(to: .u8).padded([(0, 0), (0, 0), (0, 0), (1, 0)], .constant(0.5)) },
      ]
      for (i, body) in wrong.enumerated() {
        #expect(throws: LunervError.self, "case \(i)") { try body().materialise() }
      }
    }

    @Test func workIsCharged() throws {
      let x = try Tensor.leaf([1, 8, 16, 16], seed: 1, channelsLast: true, gradient: false)
      let grid = try Tensor.leaf([1, 16, 16, 2], seed: 2, gradient: false)
      let before = Session.current.workLeft
      defer { Session.current.workLeft = before }
      let bodies: [() throws -> Tensor] = [
        { try x.gridSampled(grid) }, { try x.interpolated(.bilinear, size: nil, scale: [2, 2]) },
        { try x.maxPooled(windows([3, 3])) }, { try x.meanPooled(windows([3, 3])) },
        { try x.padded([(0, 0), (0, 0), (1, 1), (1, 1)], .reflect) },
      ]
      for (i, body) in bodies.enumerated() {
        Session.current.workLeft = 1500
        #expect(throws: LunervError.self, "case \(i)") { try body() }
        Session.current.workLeft = 1 << 40
        _ = try body()
        #expect(Session.current.workLeft <= 1 << 40 - 1500, "case \(i)")
      }
    }
  }
}
