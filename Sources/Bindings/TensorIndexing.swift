import LuaBridge
import Support
import Tensors

// `x[i]`, `x[{ {1, 4}, {}, -1 }]` and `x[mask]`, read and assigned.

/// The index between the brackets. Reading one never fails: errors are raised later, when the
/// tensor is known.
private enum IndexKey: LuaArgument {
  enum Entry {
    case all
    case one(Int)
    case range(first: Int, last: Int, step: Int)
  }

  case row(Int)
  case block([Entry])
  case mask(Tensor)
  case name(String)
  case wrong(String)

  static var luaTypeName: String { "index" }

  static func read(_ L: LuaStack, at index: Int32) -> IndexKey {
    switch L.type(at: index) {
    case .number:
      if let i = L.integer(at: index) { return .row(i) }
      return .wrong("expected an integer as index, got \((L.number(at: index) ?? 0).printable)")
    case .string: return .name(L.string(at: index) ?? "")
    case .userdata:
      do { return .mask(try Tensor.read(L, at: index)) } catch {
        return .wrong("expected a number, a table or a mask as index, got \(L.typeName(at: index))")
      }
    case .table: return entries(L, at: index)
    default:
      return .wrong("expected a number, a table or a mask as index, got \(L.typeName(at: index))")
    }
  }

  private static let forms = "a number, {}, {first, last} or {first, last, step}"

  private static func entries(_ L: LuaStack, at index: Int32) -> IndexKey {
    guard let count = listLength(L, at: index) else {
      return .wrong("expected a list as index: \(forms) for each dimension")
    }
    var entries: [Entry] = []
    for position in 1..<(count + 1) {
      var given = ""
      let entry = L.withElement(position, of: index) { at -> Entry? in
        given = L.type(at: at) == .table ? "another table" : L.typeName(at: at)
        if let i = L.integer(at: at) { return .one(i) }
        guard L.type(at: at) == .table, let length = listLength(L, at: at) else { return nil }
        if length == 0 { return .all }
        guard length == 2 || length == 3 else { return nil }
        let numbers = (1...length).compactMap { i in
          L.withElement(i, of: at) { L.integer(at: $0) }
        }
        guard numbers.count == length else { return nil }
        return .range(first: numbers[0], last: numbers[1], step: length == 3 ? numbers[2] : 1)
      }
      guard let entry else {
        return .wrong("dimension \(position): expected \(forms), got \(given)")
      }
      entries.append(entry)
    }
    return .block(entries)
  }

  /// The length of a short list; nil for a table with other keys or more than 8 elements.
  private static func listLength(_ L: LuaStack, at index: Int32) -> Int? {
    let length = L.length(at: index)
    guard length <= 8 else { return nil }
    var count = 0
    L.forEachPair(of: index) { (_: Int32, _: Int32) in count += 1 }
    return count == length ? length : nil
  }
}

/// The value assigned: a number, a tensor, or tables of numbers.
private enum Assigned: LuaArgument {
  case tensor(Tensor)
  case number(Double)
  case numbers(Numbers)
  case wrong(String)

  static var luaTypeName: String { "number, tensor or table" }

  static func read(_ L: LuaStack, at index: Int32) -> Assigned {
    do {
      switch L.type(at: index) {
      case .number: return .number(try Double.read(L, at: index))
      case .userdata: return .tensor(try Tensor.read(L, at: index))
      case .table: return .numbers(try Numbers.read(L, at: index))
      default: break
      }
    } catch {
      return .wrong(error.text(L, at: index))
    }
    return .wrong("expected a number, a tensor or tables of numbers, got \(L.typeName(at: index))")
  }

  func tensor(like x: Tensor) throws -> Tensor {
    switch self {
    case .tensor(let t): return t
    case .number(let n): return try Operand.number(n).tensor(like: x)
    case .numbers(let n): return try Tensor.from(n.numbers, n.shape, x.dtype)
    case .wrong(let words): throw LunervError(.argument, words)
    }
  }
}

extension TensorModule {
  static func indexing(_ s: TensorSurface) {
    let names = s.names
    s.tensors.meta("__index") { (x: Tensor, key: IndexKey) -> Tensor? in
      switch key {
      case .row(let i):
        guard let row = try row(i, of: x, reading: true) else { return nil }
        return x.giving(try x.row(row), as: "x[…]")
      case .block(let entries): return x.giving(try x.picked(block(entries, of: x)), as: "x[…]")
      case .mask(let mask): return try x.masked(mask)
      case .name(let name): throw unknown(name, names)
      case .wrong(let words): throw LunervError(.argument, words)
      }
    }
    s.tensors.meta("__newindex") { (x: Tensor, key: IndexKey, value: Assigned) -> Void in
      switch key {
      case .row(let i):
        guard let row = try row(i, of: x, reading: false) else { return }
        var dims = x.shape.map { Block.Entries(first: 0, count: $0) }
        dims[0] = Block.Entries(first: row, count: 1, isDropped: true)
        try x.write(Block(dims), value.tensor(like: x))
      case .block(let entries): try x.write(block(entries, of: x), value.tensor(like: x))
      case .mask(let mask): try x.write(mask, value.tensor(like: x))
      case .name(let name):
        guard !names.all.contains(name) else {
          throw LunervError(.argument, "'\(name)' of a tensor cannot be assigned")
        }
        throw unknown(name, names)
      case .wrong(let words): throw LunervError(.argument, words)
      }
    }
  }

  private static func unknown(_ name: String, _ names: NameList) -> LunervError {
    LunervError(
      .argument, "a tensor has no field '\(name.printable)'\(didYouMean(name, among: names.all))")
  }

  /// A row, counted from 0; nil for the one after the last, where a reading loop ends.
  private static func row(_ i: Int, of x: Tensor, reading: Bool) throws -> Int? {
    guard let rows = x.shape.first else {
      throw LunervError(
        .argument, "expected no index into a tensor without dimensions (:item() is its number)")
    }
    if reading, i == rows + 1 { return nil }
    return try index(i, count: rows, "")
  }

  private static func index(_ i: Int, count: Int, _ place: String) throws -> Int {
    if i >= 1, i <= count { return i - 1 }
    if i < 0, i >= -count { return count + i }
    guard count > 0 else {
      throw LunervError(.argument, "\(place)expected no index into a size of 0, got \(i)")
    }
    throw LunervError(
      .argument, "\(place)expected an index from 1 to \(count) or -\(count) to -1, got \(i)")
  }

  private static func block(_ entries: [IndexKey.Entry], of x: Tensor) throws -> Block {
    guard entries.count <= x.shape.count else {
      throw LunervError(
        .argument,
        "expected an index of at most \(x.shape.count) dimensions, got \(entries.count)")
    }
    var dims = x.shape.map { Block.Entries(first: 0, count: $0) }
    for (d, entry) in entries.enumerated() {
      let (size, place) = (x.shape[d], "dimension \(d + 1): ")
      switch entry {
      case .all: break
      case .one(let i):
        dims[d] = Block.Entries(first: try index(i, count: size, place), count: 1, isDropped: true)
      case .range(let first, let last, let step):
        let (from, to) = (
          try index(first, count: size, place), try index(last, count: size, place)
        )
        guard from <= to, step >= 1 else {
          throw LunervError(
            .argument,
            "\(place)expected an ascending range with a step of at least 1, got {\(first), \(last), \(step)}"
          )
        }
        dims[d] = Block.Entries(first: from, count: (to - from) / step + 1, step: step)
      }
    }
    return Block(dims)
  }
}
