import Kernels
import Support

// Samples of maps at given coordinates.

extension Tensor {
  public enum SampleMode: Sendable { case bilinear, nearest }

  /// Samples a map at a grid of coordinates: (n, c, h, w) and (n, H, W, 2) give (n, c, H, W), and
  /// (n, c, d, h, w) and (n, D, H, W, 3) give (n, c, D, H, W). Coordinates, starting with the last
  /// dimension's, are −1 and 1 at the edges of the map, or with `alignCorners` at the centres of
  /// its outermost elements.
  public func gridSampled(
    _ grid: Tensor, _ mode: SampleMode = .bilinear, border: Bool = false, alignCorners: Bool = false
  ) throws -> Tensor {
    let rank = shape.count
    guard rank == 4 || rank == 5 else {
      throw LunervError(
        .argument,
        "grid_sample: expected (n, c, h, w) or (n, c, d, h, w), got \(Shape.describe(shape))")
    }
    guard isFloating, grid.dtype == dtype else {
      throw LunervError(
        .argument,
        "grid_sample: expected a map and a grid of f32 or of f64, got \(dtype.rawValue) and "
          + "\(grid.dtype.rawValue) (use :to)")
    }
    let axes = rank - 2
    guard grid.shape.count == rank, grid.shape[0] == shape[0], grid.shape[rank - 1] == axes else {
      let wanted = axes == 2 ? "(\(shape[0]), H, W, 2)" : "(\(shape[0]), D, H, W, 3)"
      throw LunervError(
        .argument,
        "grid_sample: expected a grid of \(wanted) for a map of \(Shape.describe(shape)), got "
          + Shape.describe(grid.shape))
    }
    let space = Array(shape[2...])
    guard space.allSatisfy({ $0 > 0 }), Shape.count(space) < 1 << 31 else {
      throw LunervError(
        .argument,
        "grid_sample: expected a map of 1 to 2147483647 points, got \(Shape.describe(shape))")
    }
    let (xv, gv) = (try value.asFeatureMap(), grid.value)
    let call = SampleCall(
      shape: shape, size: Array(grid.shape[1...axes]), layout: xv.layout, mode: mode,
      border: border, alignCorners: alignCorners)
    let (needX, needGrid) = (node >= 0, grid.node >= 0)
    return Tensor.result(try call.forward(xv, gv), of: [self, grid]) { g in
      let seeds = try call.points(g)
      return [
        needX ? try call.mapGradient(seeds, gv) : nil,
        needGrid ? try call.gridGradient(seeds, xv, gv) : nil,
      ]
    }
  }
}

private struct SampleCall {
  let shape: [Int]
  /// The sizes of the grid.
  let size: [Int]
  let layout: Layout
  let mode: Tensor.SampleMode
  let border: Bool
  let alignCorners: Bool

  private var out: [Int] { Array(shape[..<2]) + size }
  private var places: Int { Shape.count(size) }
  private var isEmpty: Bool { shape[0] == 0 || shape[1] == 0 || places == 0 }

  /// Lanes of a point as kernels see it: channels-last maps in their layout, the few channels of
  /// images together.
  private func lanes(_ dtype: DType) -> Int {
    if dtype == .f64 { return shape[1] }
    return layout == .contiguous && shape[1] <= 4 ? 4 : (shape[1] + 7) / 8 * 8
  }

  private func kernel(_ dtype: DType) -> GridSample {
    let rank = shape.count
    return GridSample(
      n: shape[0], depth: rank == 5 ? shape[2] : 1, height: shape[rank - 2],
      width: shape[rank - 1], axes: rank - 2, places: places, lanes: lanes(dtype),
      channels: shape[1], nearest: mode == .nearest, border: border, alignCorners: alignCorners)
  }

  private func charge(_ dtype: DType) throws {
    try Work.charge(shape[0] * places, lanes(dtype) + 8, mode == .nearest ? 1 : 1 << size.count)
  }

  func forward(_ x: Value, _ grid: Value) throws -> Value {
    let result = try Value.allocate(out, x.dtype, layout)
    if isEmpty { return result }
    try charge(x.dtype)
    let kernel = kernel(x.dtype)
    let (source, places) = (try x.points(kernel.lanes), try grid.contiguous())
    let planar = layout == .contiguous
    if x.dtype == .f32 {
      try kernel.forward(
        source.memory(Float.self), grid: places.memory(Float.self), planar: planar,
        result.memory(Float.self))
    } else {
      try kernel.forward(
        source.memory(Double.self), grid: places.memory(Double.self), planar: planar,
        result.memory(Double.self))
    }
    return result
  }

  /// A gradient of the result in the kernels' layout.
  func points(_ g: Value) throws -> Value {
    isEmpty ? g : try g.converted(to: layout).points(lanes(g.dtype))
  }

  func mapGradient(_ seeds: Value, _ grid: Value) throws -> Value {
    if isEmpty { return try Value.zeros(shape, seeds.dtype, layout) }
    try charge(seeds.dtype)
    let kernel = kernel(seeds.dtype)
    let places = try grid.contiguous()
    let ranges = try Value.allocate([2 * shape[0] * kernel.segments], .i32)
    let isPlanar = layout == .contiguous
    let points = Shape.count(Array(shape[2...]))
    let result =
      isPlanar
      ? try Value.allocate([shape[0], points, kernel.lanes], seeds.dtype)
      : try Value.allocate(shape, seeds.dtype, layout)
    if seeds.dtype == .f32 {
      try kernel.mapGradient(
        seeds.memory(Float.self), grid: places.memory(Float.self),
        ranges: ranges.memory(Int32.self), result.memory(Float.self))
    } else {
      try kernel.mapGradient(
        seeds.memory(Double.self), grid: places.memory(Double.self),
        ranges: ranges.memory(Int32.self), result.memory(Double.self))
    }
    return isPlanar ? try result.planes(shape) : result
  }

  func gridGradient(_ seeds: Value, _ x: Value, _ grid: Value) throws -> Value {
    if isEmpty || mode == .nearest { return try Value.zeros(grid.shape, seeds.dtype) }
    try charge(seeds.dtype)
    let kernel = kernel(seeds.dtype)
    let (source, places) = (try x.points(kernel.lanes), try grid.contiguous())
    let result = try Value.allocate(grid.shape, seeds.dtype)
    if seeds.dtype == .f32 {
      try kernel.gridGradient(
        seeds.memory(Float.self), source.memory(Float.self), grid: places.memory(Float.self),
        result.memory(Float.self))
    } else {
      try kernel.gridGradient(
        seeds.memory(Double.self), source.memory(Double.self), grid: places.memory(Double.self),
        result.memory(Double.self))
    }
    return result
  }
}

extension Value {
  /// The memory as [n][points][lanes]: (n, c, …) with all channels of a point together.
  fileprivate func points(_ lanes: Int) throws -> Value {
    if layout == .channelsLast { return self }
    let (n, channels) = (shape[0], shape[1])
    let points = Shape.count(Array(shape[2...]))
    let out = try Value.allocate([n, points, lanes], dtype)
    if dtype == .f32 {
      try PointOrder.pack(
        n: n, channels: channels, points: points, lanes: lanes, memory(Float.self),
        out.memory(Float.self))
    } else {
      try PointOrder.pack(
        n: n, channels: channels, points: points, lanes: lanes, memory(Double.self),
        out.memory(Double.self))
    }
    return out
  }

  /// The inverse of ``points(_:)``: this (n, points, lanes) as planes of `shape`.
  fileprivate func planes(_ target: [Int]) throws -> Value {
    let out = try Value.allocate(target, dtype)
    if dtype == .f32 {
      try PointOrder.unpack(
        n: shape[0], channels: target[1], points: shape[1], lanes: shape[2], memory(Float.self),
        out.memory(Float.self))
    } else {
      try PointOrder.unpack(
        n: shape[0], channels: target[1], points: shape[1], lanes: shape[2], memory(Double.self),
        out.memory(Double.self))
    }
    return out
  }
}
