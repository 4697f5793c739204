import LuaBridge
import Support
import Tensors

extension Tensor: LuaObject {
  public static var luaName: String { "tensor" }
  public var luaByteCount: Int { byteCount }
}

/// A tensor, or a number that broadcasts.
enum Operand: LuaArgument {
  case tensor(Tensor)
  case number(Double)

  static var luaTypeName: String { "tensor" }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Operand {
    if L.type(at: index) == .number { return .number(try Double.read(L, at: index)) }
    if L.type(at: index) == .userdata { return .tensor(try Tensor.read(L, at: index)) }
    throw LuaTypeMismatch(expected: "tensor or number")
  }

  /// As a tensor of the type and shape-less form that pairs with `other`.
  func tensor(like other: Tensor) throws -> Tensor {
    switch self {
    case .tensor(let t): t
    case .number(let n): try Tensor.full(n, [], other.dtype)
    }
  }
}

/// One dimension or a list of them, as Lua counts.
struct Dimensions: LuaArgument {
  var list: [Int]
  static var luaTypeName: String { "integer or table" }
  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Dimensions {
    if L.type(at: index) == .table { return Dimensions(list: try [Int].read(L, at: index)) }
    return Dimensions(list: [try Int.read(L, at: index)])
  }

  func resolved(_ t: Tensor, _ name: String) throws -> [Int] {
    try list.map { try dimension($0, t, name) }
  }
}

/// A dimension counted from 1, or from the end when negative, as Swift counts.
func dimension(_ d: Int, rank: Int, _ name: String) throws -> Int {
  if d >= 1, d <= rank { return d - 1 }
  if d < 0, d >= -rank { return rank + d }
  if d == 0 { throw LunervError(.argument, "\(name): dimensions count from 1, got 0") }
  throw LunervError(.argument, "\(name): dimension \(d) does not exist in a tensor of \(rank)")
}

func dimension(_ d: Int, _ t: Tensor, _ name: String) throws -> Int {
  try dimension(d, rank: t.shape.count, name)
}

/// A position counted from 1, or from the end when negative, as Swift counts.
func position(_ i: Int, count: Int, _ name: String) throws -> Int {
  if i >= 1, i <= count { return i - 1 }
  if i < 0, i >= -count { return count + i }
  if i == 0 { throw LunervError(.argument, "\(name): positions count from 1, got 0") }
  throw LunervError(.argument, "\(name): \(i) does not lie within 1…\(count)")
}

extension DType: LuaArgument, LuaResult {
  public static var luaTypeName: String { "dtype" }
  public static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> DType {
    guard L.type(at: index) == .string, let name = L.string(at: index) else {
      throw LuaTypeMismatch(expected: "dtype")
    }
    guard let dtype = DType(rawValue: name) else {
      let known = DType.allCases.map(\.rawValue).joined(separator: ", ")
      throw LuaTypeMismatch("unknown dtype '\(name)' (known: \(known))")
    }
    return dtype
  }
  public func push(to L: LuaStack) { L.push(rawValue) }
}

/// What constructors take last.
struct MakeOptions: LuaOptions {
  var dtype: DType?
  var requiresGrad = false
  static var luaFields: [LuaField<MakeOptions>] {
    [LuaField("dtype", \.dtype), LuaField("requires_grad", \.requiresGrad)]
  }

  func finish(_ t: Tensor) throws -> Tensor {
    if requiresGrad { try t.setRequiresGrad(true) }
    return t
  }
}

/// Sizes as separate arguments or one table, and an options table last.
struct Sizes: LuaArgument {
  var shape: [Int]
  var options = MakeOptions()

  static var luaTypeName: String { "..." }
  static var luaTakesRest: Bool { true }
  static var luaMayBeAbsent: Bool { true }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Sizes {
    var sizes = Sizes(shape: [])
    var at = index
    let top = L.count
    while at <= top {
      if L.type(at: at) == .table {
        if at == index, L.length(at: at) > 0 {
          sizes.shape = try [Int].read(L, at: at)
        } else if at == top {
          sizes.options = try MakeOptions.read(L, at: at)
        } else {
          throw LuaTypeMismatch(expected: "number")
        }
      } else {
        sizes.shape.append(try Int.read(L, at: at))
      }
      at += 1
    }
    return sizes
  }
}

/// Nested tables of numbers, or one number, with the shape they have.
struct Numbers: LuaArgument {
  var shape: [Int] = []
  var numbers: [Double] = []

  static var luaTypeName: String { "number or table" }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Numbers {
    let value = try LuaValue.read(L, at: index)
    var out = Numbers()
    try out.collect(value, depth: 0)
    return out
  }

  private mutating func collect(_ value: LuaValue, depth: Int) throws(LuaTypeMismatch) {
    switch value {
    case .int(let n): try leaf(Double(n), depth)
    case .number(let n): try leaf(n, depth)
    case .bool(let b): try leaf(b ? 1 : 0, depth)
    case .array(let elements):
      if depth == 8 { throw LuaTypeMismatch("a tensor has at most 8 dimensions") }
      if shape.count == depth {
        guard numbers.isEmpty else { throw LuaTypeMismatch("rows of different depth") }
        shape.append(elements.count)
      }
      guard shape.count > depth, shape[depth] == elements.count else {
        throw LuaTypeMismatch(
          "rows of different length: \(elements.count) where \(shape.count > depth ? shape[depth] : 0) stood before"
        )
      }
      for element in elements { try collect(element, depth: depth + 1) }
    default: throw LuaTypeMismatch("expected numbers in nested tables")
    }
  }

  private mutating func leaf(_ n: Double, _ depth: Int) throws(LuaTypeMismatch) {
    guard depth == shape.count else { throw LuaTypeMismatch("rows of different depth") }
    numbers.append(n)
  }
}

/// Defines functions of a module that are methods of tensors as well.
struct TensorSurface {
  let module: LuaModule
  let tensors: LuaClass<Tensor>

  /// The same for a pure operator: one that decoder programs in files may use, and that may
  /// therefore never change or go. It has no effect but its result.
  func pure<each A: LuaArgument, R: LuaResult>(
    _ name: String, params: [String] = [], doc: String = "",
    _ body: @escaping (Tensor, repeat each A) throws -> R
  ) {
    op(name, params: params, doc: doc, body)
    module.markPure(name)
  }

  func op<each A: LuaArgument, R: LuaResult>(
    _ name: String, params: [String] = [], doc: String = "",
    _ body: @escaping (Tensor, repeat each A) throws -> R
  ) {
    module.define(name, params: ["x"] + params, doc: doc) {
      (x: Tensor, rest: repeat each A) in try body(x, repeat each rest)
    }
    tensors.method(name, params: params, doc: doc) {
      (x: Tensor, rest: repeat each A) in try body(x, repeat each rest)
    }
    module.publish(name)
  }
}
