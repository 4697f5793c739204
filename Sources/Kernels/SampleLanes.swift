/// A scalar type that samples are computed in.
protocol SampleScalar: PointwiseScalar {
  var truncated: Int32 { get }
  static func from(_ size: Int) -> Self
}

extension Float: SampleScalar {
  @inline(__always) var truncated: Int32 { Int32(self) }
  @inline(__always) static func from(_ size: Int) -> Float { Float(size) }
}
extension Double: SampleScalar {
  @inline(__always) var truncated: Int32 { Int32(self) }
  @inline(__always) static func from(_ size: Int) -> Double { Double(size) }
}

/// Adjacent channels that are computed together.
protocol SampleLanes {
  associatedtype Scalar: SampleScalar
  static var width: Int { get }
  static var none: Self { get }
  static func at(_ p: UnsafePointer<Scalar>) -> Self
  func put(_ p: UnsafeMutablePointer<Scalar>)
  /// self + weight·v
  func adding(_ weight: Scalar, _ v: Self) -> Self
  func adding(_ a: Self, _ b: Self) -> Self
  var total: Scalar { get }
}

extension SampleLanes {
  @inline(__always) static func at(_ p: UnsafeMutablePointer<Scalar>) -> Self {
    at(UnsafePointer(p))
  }
}

extension SIMD8: SampleLanes where Scalar == Float {
  @inline(__always) static var width: Int { 8 }
  @inline(__always) static var none: SIMD8<Float> { .zero }
  @inline(__always) static func at(_ p: UnsafePointer<Float>) -> SIMD8<Float> { load8(p) }
  @inline(__always) func put(_ p: UnsafeMutablePointer<Float>) { store8(self, p) }
  @inline(__always) func adding(_ weight: Float, _ v: SIMD8<Float>) -> SIMD8<Float> {
    addingProduct(SIMD8(repeating: weight), v)
  }
  @inline(__always) func adding(_ a: SIMD8<Float>, _ b: SIMD8<Float>) -> SIMD8<Float> {
    addingProduct(a, b)
  }
  @inline(__always) var total: Float { (lowHalf + highHalf).total }
}

extension SIMD4: SampleLanes where Scalar == Float {
  @inline(__always) static var width: Int { 4 }
  @inline(__always) static var none: SIMD4<Float> { .zero }
  /// Packed points of four lanes: they lie at multiples of 16 bytes.
  @inline(__always) static func at(_ p: UnsafePointer<Float>) -> SIMD4<Float> {
    UnsafeRawPointer(p).assumingMemoryBound(to: SIMD4<Float>.self).pointee
  }
  @inline(__always) func put(_ p: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(p).assumingMemoryBound(to: SIMD4<Float>.self).pointee = self
  }
  @inline(__always) func adding(_ weight: Float, _ v: SIMD4<Float>) -> SIMD4<Float> {
    addingProduct(SIMD4(repeating: weight), v)
  }
  @inline(__always) func adding(_ a: SIMD4<Float>, _ b: SIMD4<Float>) -> SIMD4<Float> {
    addingProduct(a, b)
  }
  @inline(__always) var total: Float { (self[0] + self[2]) + (self[1] + self[3]) }
}

extension Double: SampleLanes {
  typealias Scalar = Double
  @inline(__always) static var width: Int { 1 }
  @inline(__always) static var none: Double { 0 }
  @inline(__always) static func at(_ p: UnsafePointer<Double>) -> Double { p.pointee }
  @inline(__always) func put(_ p: UnsafeMutablePointer<Double>) { p.pointee = self }
  @inline(__always) func adding(_ weight: Double, _ v: Double) -> Double { self + weight * v }
  @inline(__always) var total: Double { self }
}
