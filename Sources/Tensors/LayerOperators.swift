import Kernels
import Support

// Differentiable operators of layers: products, convolution, normalisation, pooling.

extension Tensor {
  /// Batched matrix product (…, m, k)·(…, k, n); leading sizes broadcast.
  public func matmul(_ other: Tensor) throws -> Tensor {
    let (a, b) = (shape, other.shape)
    guard a.count >= 2, b.count >= 2, a[a.count - 1] == b[b.count - 2] else {
      throw LunervError(
        .argument,
        "matmul: expected (…, m, k)·(…, k, n), got \(Shape.describe(a)) and \(Shape.describe(b))")
    }
    let batch = try Shape.broadcast(Array(a.dropLast(2)), Array(b.dropLast(2)), for: "matmul")
    let x = try expanded(to: batch + a.suffix(2)), y = try other.expanded(to: batch + b.suffix(2))
    let (av, bv) = (x.value, y.value)
    let (needA, needB) = (x.node >= 0, y.node >= 0)
    let out = try Value.product(av, false, bv, false)
    return Tensor.result(out, of: [x, y]) { g in
      [
        needA ? try Value.product(g, false, bv, true) : nil,
        needB ? try Value.product(av, true, g, false) : nil,
      ]
    }
  }

  /// x·wᵀ + b over the last dimension; w is (out, in).
  public func linear(_ w: Tensor, _ b: Tensor?) throws -> Tensor {
    guard let inputs = shape.last, w.shape.count == 2, w.shape[1] == inputs else {
      throw LunervError(
        .argument,
        "linear: weight \(Shape.describe(w.shape)) does not take inputs of shape \(Shape.describe(shape))"
      )
    }
    if let b, b.shape != [w.shape[0]] {
      throw LunervError(
        .argument, "linear: bias must have shape (\(w.shape[0])), got \(Shape.describe(b.shape))")
    }
    let rows = Shape.count(Array(shape.dropLast()))
    let x = try viewed([rows, inputs])
    let (xv, wv) = (x.value, w.value)
    let (needX, needW) = (x.node >= 0, w.node >= 0)
    let product = try Value.product(xv, false, wv, true)
    let flat = Tensor.result(product, of: [x, w]) { g in
      [
        needX ? try Value.product(g, false, wv, false) : nil,
        needW ? try Value.product(g, true, xv, false) : nil,
      ]
    }
    let out = try flat.viewed(shape.dropLast() + [w.shape[0]])
    guard let b else { return out }
    return try out.adding(b)
  }

  /// Convolution of (N, I, H, W) with w (O, I/groups, kh, kw), zero padding on all sides.
  public func conv2d(_ w: Tensor, _ b: Tensor?, stride: Int = 1, padding: Int = 0, groups: Int = 1)
    throws -> Tensor
  {
    try conv2d(
      w, b, .init(stride: [stride], padding: .sides([padding]), groups: groups))
  }

  /// The same with stride, padding and dilation for each axis.
  public func conv2d(_ w: Tensor, _ b: Tensor?, _ geometry: ConvolutionGeometry) throws -> Tensor {
    let call = try ConvolutionCall.checked(
      x: value, w: w.value, b: b?.value, geometry, recorded: Session.current.isRecording)
    let needX = node >= 0
    let needW = w.node >= 0 || (b.map { $0.node >= 0 } ?? false)
    let inputs = [self, w] + (b.map { [$0] } ?? [])
    return Tensor.result(try call.value(), of: inputs) { g in
      // Both products read the gradient: computing it once is faster than computing it twice.
      if needX, needW { try g.settled() }
      // Sums that are still pending keep maps alive that nothing else needs.
      try Value.computePendingSums()
      let dx = needX ? try call.dataGradient(g) : nil
      guard needW else { return inputs.count == 3 ? [dx, nil, nil] : [dx, nil] }
      let (dw, db) = try call.weightGradient(g)
      return inputs.count == 3 ? [dx, dw, db] : [dx, dw]
    }
  }

  public func pixelShuffled(_ s: Int) throws -> Tensor {
    Tensor.result(try value.pixelShuffled(s), of: [self]) { [try $0.pixelUnshuffled(s)] }
  }

  public func pixelUnshuffled(_ s: Int) throws -> Tensor {
    Tensor.result(try value.pixelUnshuffled(s), of: [self]) { [try $0.pixelShuffled(s)] }
  }

  /// (x − mean)/√(variance + eps) over `dims`, biased variance.
  public func normalised(_ dims: [Int], epsilon: Double) throws -> Tensor {
    let centred = try subtracting(mean(dims, keep: true))
    let variance = try centred.squared().mean(dims, keep: true)
    return try centred.multiplied(by: variance.adding(epsilon).reciprocalSquareRoot())
  }

  /// LayerNorm over one dimension, with optional weight and bias of its size.
  public func layerNorm(_ weight: Tensor?, _ bias: Tensor?, dim: Int, epsilon: Double) throws
    -> Tensor
  {
    try checked(dim: dim, for: "layer_norm")
    var sizes = [Int](repeating: 1, count: shape.count)
    sizes[dim] = shape[dim]
    for p in [weight, bias] {
      if let p, p.shape != [shape[dim]] {
        throw LunervError(
          .argument,
          "layer_norm: weight and bias must have shape (\(shape[dim])), got \(Shape.describe(p.shape))"
        )
      }
    }
    var out = try normalised([dim], epsilon: epsilon)
    if let weight { out = try out.multiplied(by: weight.viewed(sizes)) }
    if let bias { out = try out.adding(bias.viewed(sizes)) }
    return out
  }

  /// InstanceNorm of an image: every channel over its pixels, no affine.
  public func instanceNorm(epsilon: Double) throws -> Tensor {
    guard shape.count == 4 else {
      throw LunervError(
        .argument, "instance_norm: expected (N, C, H, W), got \(Shape.describe(shape))")
    }
    return try normalised([2, 3], epsilon: epsilon)
  }

  /// The exponentials along a dimension, divided by their sum.
  public func softmax(_ dim: Int) throws -> Tensor {
    guard try shape[checked(dim: dim, for: "softmax")] > 0 else {
      throw LunervError(
        .argument, "softmax: expected at least one element, got \(Shape.describe(shape))")
    }
    let peak = Tensor(try value.reduced(.maximum, over: [dim]))
    let e = try subtracting(peak).exp()
    return try e.divided(by: e.sum([dim], keep: true))
  }

  /// 2×2 mean with stride 2 over the last two dimensions of (N, C, H, W); padding counts as zeros.
  public func averagePooled(padY: Int = 0, padX: Int = 0) throws -> Tensor {
    guard shape.count == 4, (0...1).contains(padY), (0...1).contains(padX),
      shape[2] + 2 * padY >= 2, shape[3] + 2 * padX >= 2
    else {
      throw LunervError(
        .argument,
        "avg_pool2d: expected (N, C, H, W) of at least 2×2, padded by 0 or 1, got "
          + "\(Shape.describe(shape)) padded by \(padY), \(padX)")
    }
    let (planes, h, w) = (shape[0] * shape[1], shape[2], shape[3])
    let full = shape
    let out = [
      shape[0], shape[1], MeanPool.size(h, pad: padY), MeanPool.size(w, pad: padX),
    ]
    let y = try value.mapPlanes(to: out) { x, y in
      MeanPool.forward(planes: planes, h: h, w: w, padY: padY, padX: padX, x, y)
    } f64: { x, y in
      MeanPool.forward(planes: planes, h: h, w: w, padY: padY, padX: padX, x, y)
    }
    return Tensor.result(y, of: [self]) { g in
      [
        try g.mapPlanes(to: full) { g, x in
          MeanPool.adjoint(planes: planes, h: h, w: w, padY: padY, padX: padX, g, x)
        } f64: { g, x in
          MeanPool.adjoint(planes: planes, h: h, w: w, padY: padY, padX: padX, g, x)
        }
      ]
    }
  }
}

extension Value {
  /// A contiguous result of `shape` made by a kernel from this value's contiguous memory.
  func mapPlanes(
    to out: [Int], f32: (UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void,
    f64: (UnsafePointer<Double>, UnsafeMutablePointer<Double>) -> Void
  ) throws -> Value {
    let source = try contiguous()
    let result = try Value.allocate(out, dtype)
    switch dtype {
    case .f32: f32(try source.memory(Float.self), try result.memory(Float.self))
    case .f64: f64(try source.memory(Double.self), try result.memory(Double.self))
    default: throw LunervError(.argument, "expected f32 or f64, got \(dtype.rawValue)")
    }
    return result
  }

  /// Batched product of the last two dimensions; leading sizes agree.
  static func product(_ a: Value, _ ta: Bool, _ b: Value, _ tb: Bool) throws -> Value {
    guard a.isFloating, a.dtype == b.dtype else {
      throw LunervError(
        .argument, "matmul: \(a.dtype.rawValue) and \(b.dtype.rawValue) do not mix (use :to)")
    }
    let (a, b) = (try a.contiguous(), try b.contiguous())
    let rank = a.shape.count
    let (m, k) =
      ta ? (a.shape[rank - 1], a.shape[rank - 2]) : (a.shape[rank - 2], a.shape[rank - 1])
    let n = tb ? b.shape[rank - 2] : b.shape[rank - 1]
    let batch = Array(a.shape.dropLast(2))
    // BLAS counts in 32 bits.
    guard max(m, n, k) <= Int(Int32.max) else {
      throw LunervError(
        .argument, "matmul: expected sizes of at most \(Int32.max), got \(m)×\(k) by \(k)×\(n)")
    }
    try Work.charge(Shape.count(batch), m, n, k)
    let profiler = Session.current.profiler
    profiler?.begin(flops: 2 * Double(m) * Double(n) * Double(k) * Double(Shape.count(batch)))
    defer { profiler?.end() }
    let out = try Value.allocate(batch + [m, n], a.dtype)
    func go<T: PointwiseScalar>(_ type: T.Type) throws {
      let (pa, pb, pc) = (
        try a.memory(T.self), try b.memory(T.self), try out.memory(T.self)
      )
      let body: (Int) -> Void = { i in
        MatrixProduct.multiply(
          m: m, n: n, k: k, a: pa + i * m * k, transposeA: ta, b: pb + i * k * n, transposeB: tb,
          c: pc + i * m * n)
      }
      let items = Shape.count(batch)
      if items == 1 { body(0) } else { ThreadPool.shared.run(items, body) }
    }
    if a.dtype == .f32 { try go(Float.self) } else { try go(Double.self) }
    return out
  }
}
