import Support
import Tensors

/// A tensor of a session: the same object that Lua sees, not a copy of it.
///
/// Elements never change while they are being read: writing to a tensor in place gives it a new
/// value. The result of an operator may be pending, and is computed when it is first read.
///
/// Use it on the thread that uses its session. It may outlive the session, and can still be read.
public struct Tensor {
  let native: Tensors.Tensor
  /// The owner of tape and memory.
  let numbers: Tensors.Session
  weak var core: Core?

  init(_ native: Tensors.Tensor, _ core: Core) {
    (self.native, self.core, numbers) = (native, core, core.numbers)
  }

  /// The sizes of the dimensions; empty for a scalar.
  public var shape: [Int] { native.shape }
  public var dtype: DType { native.dtype }
  /// The number of elements.
  public var count: Int { native.count }
  /// Whether a gradient is computed for it.
  public var requiresGrad: Bool { native.requiresGrad }
  /// The gradient accumulated by `backward` so far.
  public var grad: Tensor? {
    guard let core else { return nil }
    return native.grad.map { Tensor($0, core) }
  }

  // MARK: - Reading

  /// Runs `body` over the elements in the order of their indices, the last one fastest.
  ///
  /// Nothing is copied if they are stored in that order, as are images, results of shape operators
  /// and everything that came from Swift. Feature maps of more than four channels are stored
  /// channels-last, and are rearranged into memory of the session. The buffer is valid until `body`
  /// returns, and must not be written.
  ///
  /// - Throws: what the computation of the elements throws, and what `body` throws.
  public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
    try numbers.use { try native.withBytes(body) }
  }

  /// The same for elements of type f32.
  ///
  /// - Throws: `.argument` for another type.
  public func withUnsafeFloats<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) throws -> R {
    guard dtype == .f32 else {
      throw LunervError(.argument, "withUnsafeFloats: expected f32, got \(dtype.rawValue)")
    }
    return try withUnsafeBytes { try body($0.bindMemory(to: Float.self)) }
  }

  /// The elements as numbers, whatever their type.
  public func values() throws -> [Double] { try numbers.use { try native.numbers() } }

  /// The element of a tensor that has exactly one.
  ///
  /// - Throws: `.argument` for any other number of elements.
  public func item() throws -> Double { try numbers.use { try native.item() } }

  // MARK: - Computing

  /// Calls a method of the tensor by its name, as `x:NAME(…)` in Lua, and returns its first result.
  ///
  /// ```swift
  /// let y = try x.call("conv2d", .tensor(weight), nil, ["stride": 2, "padding": 1])
  /// ```
  /// - Throws: `.argument` for wrong arguments, and if the result is not a tensor.
  public func call(_ name: String, _ arguments: Value...) throws -> Tensor {
    let results = try invoke(name, arguments)
    guard let tensor = results.first?.tensor else {
      throw LunervError(
        .argument,
        "\(name): expected a tensor as its result, got \(results.first?.typeName ?? "none")")
    }
    return tensor
  }

  /// Calls a method for all its results, or for its effect: `loss.invoke("backward")`.
  @discardableResult
  public func invoke(_ name: String, _ arguments: [Value] = []) throws -> [Value] {
    guard let core else { throw LunervError(.argument, "\(name): the tensor's session is closed") }
    return try core.results {
      try core.method().run(core.lua([.string(name), .tensor(self)] + arguments))
    }
  }

  /// A function of each element: a new tensor of the same shape and type, f32 or f64. No gradient
  /// flows through it.
  ///
  /// ```swift
  /// let y = try x.map { sin(3 * $0) }
  /// ```
  /// - Throws: `.argument` for another type.
  public func map(_ f: (Double) -> Double) throws -> Tensor {
    try made(of: self, "map") { _, a, _ in f(a) }
  }

  /// A function of the elements of two tensors of one shape and type, f32 or f64.
  ///
  /// - Throws: `.argument` if shapes or types differ.
  public func map(with other: Tensor, _ f: (Double, Double) -> Double) throws -> Tensor {
    try made(of: other, "map") { _, a, b in f(a, b) }
  }

  private func made(
    of other: Tensor, _ name: String, _ f: (Int, Double, Double) -> Double
  ) throws -> Tensor {
    guard other.shape == shape, other.dtype == dtype else {
      throw LunervError(
        .argument, "\(name): expected \(form), got \(other.form)")
    }
    guard let core else { throw LunervError(.argument, "\(name): the tensor's session is closed") }
    func fill<T: BinaryFloatingPoint>(_: T.Type) throws -> Tensors.Tensor {
      try Tensors.Tensor.made(shape, dtype) { out in
        let out = out.bindMemory(to: T.self)
        try native.withBytes { a in
          try other.native.withBytes { b in
            let (a, b) = (a.bindMemory(to: T.self), b.bindMemory(to: T.self))
            for i in out.indices { out[i] = T(f(i, Double(a[i]), Double(b[i]))) }
          }
        }
      }
    }
    return try numbers.use {
      switch dtype {
      case .f32: Tensor(try fill(Float.self), core)
      case .f64: Tensor(try fill(Double.self), core)
      default:
        throw LunervError(.argument, "\(name): expected f32 or f64, got \(dtype.rawValue)")
      }
    }
  }

  /// Type and shape as shown in messages: "f32 (1, 3, 720, 1280)".
  var form: String { "\(dtype.rawValue) (\(shape.map(String.init).joined(separator: ", ")))" }

  public static func + (a: Tensor, b: Tensor) throws -> Tensor { try a.call("add", .tensor(b)) }
  public static func - (a: Tensor, b: Tensor) throws -> Tensor { try a.call("sub", .tensor(b)) }
  public static func * (a: Tensor, b: Tensor) throws -> Tensor { try a.call("mul", .tensor(b)) }
  public static func / (a: Tensor, b: Tensor) throws -> Tensor { try a.call("div", .tensor(b)) }
  public static func * (a: Tensor, b: Double) throws -> Tensor { try a.call("mul", .number(b)) }
}

extension Session {
  // MARK: - Making tensors

  /// A tensor over a copy of numbers, f32 by default.
  ///
  /// - Throws: `.argument` if the numbers do not fill the shape, `.memory` beyond the limit.
  public func tensor(_ numbers: [Double], shape: [Int], dtype: DType = .f32) throws -> Tensor {
    let core = try open()
    return try core.use { Tensor(try Tensors.Tensor.from(numbers, shape, dtype), core) }
  }

  /// A tensor whose elements `fill` writes in place, all of them, in the order of their indices.
  /// The buffer is valid until `fill` returns.
  ///
  /// - Throws: `.argument` for an invalid shape, `.memory` beyond the limit, what `fill` throws.
  public func tensor(
    shape: [Int], dtype: DType = .f32, fill: (UnsafeMutableRawBufferPointer) throws -> Void
  ) throws -> Tensor {
    let core = try open()
    return try core.use { Tensor(try Tensors.Tensor.made(shape, dtype, fill: fill), core) }
  }

  /// A tensor over the program's own memory, without a copy.
  ///
  /// The program keeps ownership. The memory must hold the elements in the order of their indices,
  /// and stay in place, unchanged, until `release` is called. That happens once, after the last
  /// tensor that reads it is gone, on whichever thread dropped it. It may be long after the
  /// variable went out of scope: Lua's collector runs late, and a graph keeps what its gradients
  /// need. lunerv only reads the memory: a tensor that is written in place first gets a copy.
  ///
  /// - Parameters:
  ///   - bytes: as many as the shape needs, at a multiple of an element's size. No other alignment
  ///     and no slack after them is needed.
  ///   - release: called without arguments; must not use the session.
  /// - Throws: `.argument` if the bytes do not fill the shape, or begin within an element; then
  ///   `release` is not called.
  public func tensor(
    borrowing bytes: UnsafeRawBufferPointer, shape: [Int], dtype: DType = .f32,
    release: @escaping () -> Void
  ) throws -> Tensor {
    let core = try open()
    return try core.use {
      Tensor(try Tensors.Tensor.borrowing(bytes, shape, dtype, giveBack: release), core)
    }
  }

  /// An image (1, 3, height, width) over the program's planar f32 numbers in [0, 1]: red, then
  /// green, then blue, each row by row without gaps. As ``tensor(borrowing:shape:dtype:release:)``.
  public func image(
    borrowing planes: UnsafeBufferPointer<Float>, width: Int, height: Int,
    release: @escaping () -> Void
  ) throws -> Tensor {
    try tensor(
      borrowing: UnsafeRawBufferPointer(planes), shape: [1, 3, height, width], release: release)
  }

  /// An image (1, 3, height, width) in [0, 1] from pixels of three bytes, red, green, blue: level / 255.
  /// They are copied.
  ///
  /// - Throws: `.argument` unless there are 3·width·height bytes.
  public func image(rgb8 pixels: UnsafeBufferPointer<UInt8>, width: Int, height: Int) throws
    -> Tensor
  {
    let (area, isTooLarge) = max(width, 0).multipliedReportingOverflow(by: max(height, 0))
    guard !isTooLarge, area > 0, area <= 1 << 40, pixels.count == 3 * area else {
      throw LunervError(
        .argument,
        "image: expected 3 bytes for each of \(width)×\(height) pixels, got \(pixels.count)")
    }
    return try tensor(shape: [1, 3, height, width]) { out in
      let out = out.bindMemory(to: Float.self)
      for i in 0..<area {
        for c in 0..<3 { out[c * area + i] = Float(pixels[3 * i + c]) / 255 }
      }
    }
  }
}

extension Tensor {
  /// Writes an image (1, 3, height, width) of f32 as pixels of three bytes, red, green, blue: each
  /// value times 255, rounded to nearest with ties to even, and clamped to [0, 255]. These are the
  /// levels in the file that `lunerv decompress` writes.
  ///
  /// - Throws: `.argument` for another shape or type, a buffer of another size, or NaN.
  public func copyRGB8(to pixels: UnsafeMutableBufferPointer<UInt8>) throws {
    guard dtype == .f32, shape.count == 4, shape[0] == 1, shape[1] == 3 else {
      throw LunervError(.argument, "copyRGB8: expected f32 (1, 3, height, width), got \(form)")
    }
    guard pixels.count == count else {
      throw LunervError(.argument, "copyRGB8: expected \(count) bytes, got \(pixels.count)")
    }
    let area = count / 3
    var isSound = true
    try withUnsafeFloats { values in
      for c in 0..<3 {
        for i in 0..<area {
          let value = values[c * area + i]
          pixels[3 * i + c] = level8(value)
          isSound = isSound && value == value
        }
      }
    }
    guard isSound else { throw LunervError(.argument, "copyRGB8: the image holds nan") }
  }
}
