import Glibc
import Support

/// The positional encoding of time (arXiv 2110.13903): (n, 2L), sines of v·base for every base,
/// then cosines. Products, sines and cosines are computed in Double; with `narrow`, the values are
/// first rounded to fp32, as in the t-only models.
public func positionEncoding(_ values: [Double], bases: Tensor, narrow: Bool) throws -> Tensor {
  guard bases.shape.count == 1, bases.count > 0 else {
    throw LunervError(
      .argument,
      "position_encoding: bases must have one dimension, got \(Shape.describe(bases.shape))")
  }
  let b = try bases.numbers()
  try Work.charge(values.count, b.count, 64)
  return try Tensor.made([values.count, Shape.product(2, b.count)], .f32) { memory in
    var out = memory.bindMemory(to: Float.self)[...]
    func put(_ number: Double) { out[out.startIndex] = Float(number); out = out.dropFirst() }
    for v in values {
      let v = narrow ? Double(Float(v)) : v
      for base in b { put(Glibc.sin(v * base)) }
      for base in b { put(Glibc.cos(v * base)) }
    }
  }
}
