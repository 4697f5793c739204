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

  static var luaTypeName: String { "tensor or number" }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Operand {
    if L.type(at: index) == .number { return .number(try Double.read(L, at: index)) }
    if L.type(at: index) == .userdata { return .tensor(try Tensor.read(L, at: index)) }
    throw LuaTypeMismatch(expected: "tensor or number")
  }

  /// As a tensor; a number gets the dtype of `other`.
  func tensor(like other: Tensor) throws -> Tensor { try tensor(other.dtype) }

  func tensor(_ dtype: DType) throws -> Tensor {
    switch self {
    case .tensor(let t): return t
    case .number(let n):
      if dtype == .bool, n != 0, n != 1 {
        throw LunervError(.argument, "expected 0 or 1 with a bool tensor, got \(n)")
      }
      return try Tensor.full(n, [], dtype)
    }
  }
}

/// The type of any value, for messages.
struct TypeName: LuaArgument {
  let name: String
  static var luaTypeName: String { "any" }
  static func read(_ L: LuaStack, at index: Int32) -> TypeName {
    TypeName(name: L.typeName(at: index))
  }
}

/// Whether a value of any type is a tensor; tables are not copied to find out.
struct IsTensor: LuaArgument {
  let holds: Bool
  static var luaTypeName: String { "any" }
  static var luaMayBeAbsent: Bool { true }
  static func read(_ L: LuaStack, at index: Int32) -> IsTensor {
    IsTensor(holds: L.type(at: index) == .userdata && (try? Tensor.read(L, at: index)) != nil)
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
  throw LunervError(.argument, "\(name): expected a dimension from 1 to \(rank), got \(d)")
}

func dimension(_ d: Int, _ t: Tensor, _ name: String) throws -> Int {
  try dimension(d, rank: t.shape.count, name)
}

/// A position counted from 1, or from the end when negative, as Swift counts.
func position(_ i: Int, count: Int, _ name: String) throws -> Int {
  if i >= 1, i <= count { return i - 1 }
  if i < 0, i >= -count { return count + i }
  if i == 0 { throw LunervError(.argument, "\(name): positions count from 1, got 0") }
  throw LunervError(.argument, "\(name): expected a position from 1 to \(count), got \(i)")
}

extension DType: LuaArgument, LuaResult {
  public static var luaTypeName: String { "dtype" }
  public static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> DType {
    guard L.type(at: index) == .string, let name = L.string(at: index) else {
      throw LuaTypeMismatch(expected: "dtype")
    }
    guard let dtype = DType(rawValue: name) else {
      let known = DType.allCases.map(\.rawValue).joined(separator: ", ")
      let hint = didYouMean(name, among: DType.allCases.map(\.rawValue))
      throw LuaTypeMismatch("unknown dtype '\(name)'\(hint) (known: \(known))")
    }
    return dtype
  }
  public func push(to L: LuaStack) { L.push(rawValue) }
}

/// Options that constructors take last.
struct MakeOptions: LuaOptions {
  var dtype: DType?
  var requiresGrad = false
  static var luaFields: [LuaField<MakeOptions>] {
    [
      LuaField("dtype", \.dtype, doc: "f32, f64, i32, u8 or bool (f32, or the tensor's own)"),
      LuaField("requires_grad", \.requiresGrad, doc: "whether it requires a gradient"),
    ]
  }

  func finish(_ t: Tensor) throws -> Tensor {
    if requiresGrad { try t.setRequiresGrad(true) }
    return t
  }
}

/// Integers as separate arguments or one table.
struct Sizes: LuaArgument {
  var shape: [Int]

  static var luaTypeName: String { "..." }
  static var luaTakesRest: Bool { true }
  static var luaMayBeAbsent: Bool { true }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Sizes {
    let all = try NewSizes.read(L, at: index, allowsOptions: false)
    return Sizes(shape: all.shape)
  }
}

/// Sizes as separate arguments or one table, and an options table last.
struct NewSizes: LuaArgument {
  var shape: [Int] = []
  var options = MakeOptions()

  static var luaTypeName: String { "..." }
  static var luaTakesRest: Bool { true }
  static var luaMayBeAbsent: Bool { true }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> NewSizes {
    try read(L, at: index, allowsOptions: true)
  }

  fileprivate static func read(_ L: LuaStack, at index: Int32, allowsOptions: Bool)
    throws(LuaTypeMismatch) -> NewSizes
  {
    var sizes = NewSizes()
    let top = L.count
    var at = index
    while at <= top {
      if L.type(at: at) == .table {
        if at == index, L.length(at: at) > 0 {
          sizes.shape = try [Int].read(L, at: at)
        } else if at == top, allowsOptions {
          sizes.options = try MakeOptions.read(L, at: at)
        } else if at != index || at != top {
          throw LuaTypeMismatch("expected sizes, got a table as size \(at - index + 1)")
        } else {
          sizes.shape = try [Int].read(L, at: at)
        }
      } else {
        sizes.shape.append(try Int.read(L, at: at))
      }
      at += 1
    }
    return sizes
  }
}

/// Nested tables of numbers, or one number, with their shape.
struct Numbers: LuaArgument {
  var shape: [Int] = []
  var numbers: [Double] = []

  static var luaTypeName: String { "number or table" }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Numbers {
    var out = Numbers()
    try out.collect(L, at: index, depth: 0)
    return out
  }

  private mutating func collect(_ L: LuaStack, at index: Int32, depth: Int)
    throws(LuaTypeMismatch)
  {
    if let n = L.number(at: index) { return try leaf(n, depth) }
    if let b = L.bool(at: index) { return try leaf(b ? 1 : 0, depth) }
    guard L.type(at: index) == .table else {
      if L.isNil(at: index), depth == 0 {
        throw LuaTypeMismatch(expected: "numbers in nested tables")
      }
      throw LuaTypeMismatch(
        "expected numbers in nested tables, got a \(L.typeName(at: index))")
    }
    if depth == 8 { throw LuaTypeMismatch("a tensor has at most 8 dimensions") }
    let count = try length(L, at: index)
    if shape.count == depth {
      guard numbers.isEmpty else { throw LuaTypeMismatch("rows of different depth") }
      shape.append(count)
    }
    guard shape.count > depth, shape[depth] == count else {
      throw LuaTypeMismatch(
        "rows of different length: \(count) after \(shape.count > depth ? shape[depth] : 0)"
      )
    }
    // The same row may occur several times.
    try L.willCopy(count)
    guard numbers.count + count <= LuaValue.maximumCount else {
      throw LuaTypeMismatch("table holds more than \(LuaValue.maximumCount) values")
    }
    for position in 0..<count {
      try L.withElement(position + 1, of: index) { (at: Int32) throws(LuaTypeMismatch) in
        try collect(L, at: at, depth: depth + 1)
      }
    }
  }

  /// The length of a list; other keys are an error.
  private func length(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Int {
    let length = L.length(at: index)
    try L.forEachPair(of: index) { (key: Int32, _: Int32) throws(LuaTypeMismatch) in
      guard L.isInteger(at: key), let i = L.integer(at: key), i >= 1, i <= length else {
        throw LuaTypeMismatch("expected numbers in nested tables, got a table")
      }
    }
    return length
  }

  private mutating func leaf(_ n: Double, _ depth: Int) throws(LuaTypeMismatch) {
    guard depth == shape.count else { throw LuaTypeMismatch("rows of different depth") }
    numbers.append(n)
  }
}

/// A value, or a table of named options instead: `clamp(0, 1)` and `clamp { max = 1 }`.
enum Form<Value: LuaArgument, Options: LuaOptions>: LuaArgument {
  case absent
  case value(Value)
  case options(Options)

  static var luaTypeName: String {
    Value.luaTypeName.hasSuffix("table") ? Value.luaTypeName : "\(Value.luaTypeName) or table"
  }
  static var luaMayBeAbsent: Bool { true }
  static var luaOptionDescriptions: [LuaOptionDescription] { Options.luaOptionDescriptions }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Form {
    if L.isNil(at: index) { return .absent }
    // Every table is options, unless the value may be a list: then only a table with names is.
    if L.type(at: index) == .table, isOptions(L, at: index) {
      return .options(try Options.read(L, at: index))
    }
    do {
      return .value(try Value.read(L, at: index))
    } catch {
      throw L.type(at: index) == .number ? error : LuaTypeMismatch(expected: luaTypeName)
    }
  }

  private static func isOptions(_ L: LuaStack, at index: Int32) -> Bool {
    if Value.self != Dimensions.self { return true }
    var hasNames = false
    L.forEachPair(of: index) { (key: Int32, _: Int32) in
      if L.type(at: key) == .string, L.string(at: key) != "n" { hasNames = true }
    }
    return hasNames
  }
}

/// A list of names that grows.
final class NameList {
  fileprivate(set) var all: [String] = []
}

/// Defines functions of a module that are methods of tensors as well.
struct TensorSurface {
  let module: LuaModule
  let tensors: LuaClass<Tensor>
  /// The methods and properties of a tensor, for suggestions.
  let names = NameList()

  /// Defines a pure operator: its only effect is its result. Decoder programs in files may use it,
  /// so it may never change or be removed. The result is never x itself, even if there is nothing
  /// to do: a write to one must not reach the other.
  func pure<each A: LuaArgument, R: LuaResult>(
    _ name: String, params: [String] = [], doc: String = "",
    _ body: @escaping (Tensor, repeat each A) throws -> R
  ) {
    op(name, params: params, doc: doc) { (x: Tensor, rest: repeat each A) -> R in
      let result = try body(x, repeat each rest)
      if let same = result as? Tensor, same === x, let other = x.another() as? R { return other }
      return result
    }
    module.markPure(name)
  }

  func op<each A: LuaArgument, R: LuaResult>(
    _ name: String, params: [String] = [], doc: String = "",
    _ body: @escaping (Tensor, repeat each A) throws -> R
  ) {
    module.define(name, params: ["x"] + params, doc: doc) {
      (x: Tensor, rest: repeat each A) in
      // At least one call: some operators only look at a shape.
      try Work.charge(Work.call)
      return try body(x, repeat each rest)
    }
    module.publish(name)
    method(name, params: params, doc: doc, body)
  }

  /// A method only: another name, or one that only reads well after a tensor.
  func method<each A: LuaArgument, R: LuaResult>(
    _ name: String, params: [String] = [], doc: String = "",
    _ body: @escaping (Tensor, repeat each A) throws -> R
  ) {
    names.all.append(name)
    tensors.method(name, params: params, doc: doc) {
      (x: Tensor, rest: repeat each A) in
      try Work.charge(Work.call)
      return try body(x, repeat each rest)
    }
  }

  func property<R: LuaResult>(
    _ name: String, doc: String, get: @escaping (Tensor) throws -> R
  ) {
    names.all.append(name)
    tensors.property(name, doc: doc) { (x: Tensor) in
      try Work.charge(Work.call)
      return try get(x)
    }
  }

  func property<R: LuaResult & LuaArgument>(
    _ name: String, doc: String, get: @escaping (Tensor) throws -> R,
    set: @escaping (Tensor, R) throws -> Void
  ) {
    names.all.append(name)
    let charged = { (x: Tensor) -> R in
      try Work.charge(Work.call)
      return try get(x)
    }
    tensors.property(name, doc: doc, get: charged, set: set)
  }
}

/// The remaining arguments, all of them tensors.
struct MoreTensors: LuaArgument {
  var list: [Tensor] = []

  static var luaTypeName: String { "..." }
  static var luaTakesRest: Bool { true }
  static var luaMayBeAbsent: Bool { true }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> MoreTensors {
    var tensors = MoreTensors()
    var at = index
    while at <= L.count {
      tensors.list.append(try Tensor.read(L, at: at))
      at += 1
    }
    return tensors
  }
}
