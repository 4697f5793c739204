import Kernels
import Support

// Elements of a tensor by position, read and written. Reading gives a new value through which
// gradients flow; a written value becomes part of the tensor, and gradients flow to both.

extension Tensor {
  /// One entry of the first dimension, which is dropped.
  public func row(_ i: Int) throws -> Tensor {
    let full = shape
    guard let rows = full.first, i >= 0, i < rows else {
      throw LunervError(
        .argument, "tensor: expected a row from 1 to \(full.first ?? 0), got \(i + 1)")
    }
    let rest = Array(full.dropFirst())
    let out = try value.sliced(0, first: i, count: 1).reinterpreted(shape: rest)
    return Tensor.result(out, of: [self]) {
      [try $0.reinterpreted(shape: [1] + rest).embedded(in: full, 0, first: i)]
    }
  }

  /// The elements of a block, which lies within this tensor.
  public func picked(_ block: Block) throws -> Tensor {
    let full = shape
    return Tensor.result(try value.picked(block), of: [self]) { [try $0.spread(block, in: full)] }
  }

  /// The elements at a mask's ones (a mask of this shape, of zeros and ones): a tensor of one
  /// dimension.
  public func masked(_ mask: Tensor) throws -> Tensor {
    let (full, places) = (shape, try places(mask))
    return Tensor.result(try value.elements(places), of: [self]) { g in
      let out = try Value.zeros(full, g.dtype)
      try g.put(places, into: out.memory(UInt8.self), of: out)
      return [out]
    }
  }

  private func places(_ mask: Tensor) throws -> [Int] {
    guard mask.shape == shape else {
      throw LunervError(
        .argument,
        "tensor: expected a mask of shape \(Shape.describe(shape)), got \(Shape.describe(mask.shape))"
      )
    }
    return try mask.value.places()
  }

  /// Writes a block. The source broadcasts to its shape.
  public func write(_ block: Block, _ source: Tensor) throws {
    try checkType(source)
    let given = source.shape
    // Leading sizes of 1 beyond the block's own are dropped.
    let extra = source.shape.count - block.shape.count
    let source =
      extra > 0 && source.shape.prefix(extra).allSatisfy({ $0 == 1 })
      ? try source.viewed(Array(source.shape.dropFirst(extra))) : source
    let from = source.shape
    guard from.count <= block.shape.count,
      zip(from.reversed(), block.shape.reversed()).allSatisfy({ $0 == $1 || $0 == 1 })
    else {
      throw LunervError(
        .argument,
        "tensor: expected \(Shape.describe(block.shape)) to assign, got \(Shape.describe(given))")
    }
    // A reference, so that `rewrite` copies this tensor's memory if the source shares it.
    let numbers = source.value
    try numbers.materialise()
    try rewrite("tensor", from: source) { memory, target in
      func go<T>(_ type: T.Type) throws {
        try numbers.put(type, block, into: memory.assumingMemoryBound(to: T.self), of: target)
      }
      try Value.withType(dtype) { try go($0) }
    } backward: { g in
      ({ try g.cleared(block) }, { try g.picked(block).summed(to: from) })
    }
  }

  /// Writes the elements at a mask's ones: one number to all, or one to each.
  public func write(_ mask: Tensor, _ source: Tensor) throws {
    try checkType(source)
    let places = try places(mask)
    let from = source.shape
    guard source.count == 1 || from == [places.count] else {
      throw LunervError(
        .argument,
        "tensor: expected a number or shape (\(places.count)) to assign, got \(Shape.describe(from))"
      )
    }
    let numbers = source.value
    try numbers.materialise()
    try rewrite("tensor", from: source) { memory, target in
      try numbers.put(places, into: memory, of: target)
    } backward: { g in
      (
        {
          let out = try g.copied()
          try Value.zeros([], g.dtype).put(places, into: out.memory(UInt8.self), of: out)
          return out
        },
        {
          let chosen = try g.elements(places)
          if from == [places.count] { return chosen }
          return try chosen.summed(to: []).reinterpreted(shape: from)
        }
      )
    }
  }

  private func checkType(_ source: Tensor) throws {
    guard source.dtype == dtype else {
      throw LunervError(
        .argument,
        "tensor: expected \(dtype.rawValue) to assign, got \(source.dtype.rawValue) (use :to)")
    }
  }
}
