import LuaBridge
import Support
import Tensors

/// Tensors in safetensors files.
enum SafetensorsModule {
  static func define(_ m: LuaModule) {
    m.define(
      "save_safetensors", params: ["path", "tensors", "metadata"],
      doc: """
        Writes tensors into a safetensors file, which appears when it is complete. The tensors are \
        a list of {name, tensor}, such as module:state_dict(), or a table by name, which is \
        written in the order of its names.

            assert(lv.save_safetensors("model.safetensors", model:state_dict()))
            assert(lv.save_safetensors("two.safetensors", { a = lv.ones(3), b = lv.zeros(2) }))

        @param path string
        @param tensors table  a list of {name, tensor}, or a table of tensors by name
        @param metadata? table  texts by name, stored with the tensors
        @return boolean  true, or nil and an error
        """
    ) { (path: String, tensors: LuaValue, metadata: [String: String]?) in
      let items = try namedTensors(tensors).map { name, tensor in
        Safetensors.Item(name: name, type: storedType(tensor.dtype), shape: tensor.shape) { sink in
          try tensor.withBytes(sink)
        }
      }
      let sorted = (metadata ?? [:]).sorted { $0.key < $1.key }
      return try FileModule.attempt({
        try Safetensors.write(path, items, metadata: sorted.map { (key: $0.key, value: $0.value) })
        return true
      })
    }
    m.define(
      "load_safetensors", params: ["path", "options"],
      doc: """
        Reads a safetensors file: the tensors by name, the texts stored with them, and the names in the \
        file's order. Half precision is widened to f32; `dtype` converts all floating-point \
        tensors to one type. A value out of its range is an error that names the tensor, and so is \
        a tensor of a type, rank or range that lunerv does not support, unless `extra` is "skip".

            local tensors, metadata, names = lv.load_safetensors "model.safetensors"
            model:load_state_dict(tensors)
            local narrow = lv.load_safetensors("model.safetensors", { dtype = "f32" })

        @param path string
        @return table  tensors by name, or nil and an error
        @return table  texts by name
        @return string[]  the names in order
        @return string[]  the names of those that were skipped, in order
        """
    ) { (path: String, o: Loading) -> LuaResults in
      if let dtype = o.dtype, dtype != .f32, dtype != .f64 {
        throw LunervError(
          .argument,
          "load_safetensors: option 'dtype': expected 'f32' or 'f64', got '\(dtype.rawValue)'")
      }
      guard o.extra == "refuse" || o.extra == "skip" else {
        throw LunervError(
          .argument,
          "load_safetensors: option 'extra': expected 'refuse' or 'skip', got "
            + "'\(o.extra.printable)'")
      }
      return try FileModule.results { try load(path, o) }
    }
  }

  private struct Loading: LuaOptions {
    var dtype: DType?
    var extra = "refuse"
    static var luaFields: [LuaField<Loading>] {
      [
        LuaField(
          "dtype", \.dtype, doc: "f32 or f64: the type of floating-point tensors (their own)"),
        LuaField(
          "extra", \.extra,
          doc: "'skip' leaves out tensors that lunerv cannot hold: 8- and 16-bit integers, …"),
      ]
    }
  }

  private static func load(_ path: String, _ o: Loading) throws -> [(any LuaResult)?] {
    let skips = o.extra == "skip"
    let file = try SafetensorsFile(path, allowsForeign: skips)
    var pairs: [(LuaValue, LuaValue)] = []
    var read: [String] = []
    var skipped = file.foreign.map(\.name)
    for entry in file.entries {
      do {
        pairs.append((.string(entry.name), .object(try tensor(of: entry, in: file, as: o.dtype))))
        read.append(entry.name)
      } catch let error as LunervError where error.kind == .argument && skips {
        skipped.append(entry.name)
      } catch let error as LunervError where [.argument, .data].contains(error.kind) {
        // Types that tensors cannot hold are the file's mistake, not the script's.
        throw LunervError(.data, "\(path): '\(entry.name)': \(error.message)")
      }
    }
    let metadata = file.metadata.map { (LuaValue.string($0.key), LuaValue.string($0.value)) }
    return [LuaValue.table(pairs), LuaValue.table(metadata), read, skipped]
  }

  /// A list of {name, tensor} in its order, or a table by name, sorted by name.
  private static func namedTensors(_ value: LuaValue) throws -> [(String, Tensor)] {
    let form = "save_safetensors: expected a list of {name, tensor} or a table of tensors by name"
    var list: [(String, Tensor)] = []
    switch value {
    case .array(let entries):
      for (i, entry) in entries.enumerated() {
        guard case .array(let pair) = entry, pair.count == 2, case .string(let name) = pair[0],
          case .object(let object) = pair[1], let tensor = object as? Tensor
        else { throw LunervError(.argument, "\(form), got something else at \(i + 1)") }
        list.append((name, tensor))
      }
    case .table(let pairs):
      for (key, item) in pairs {
        guard case .string(let name) = key else {
          throw LunervError(.argument, "\(form), got one without a name")
        }
        guard case .object(let object) = item, let tensor = object as? Tensor else {
          throw LunervError(.argument, "\(form), got something else under '\(name)'")
        }
        list.append((name, tensor))
      }
      list.sort { $0.0 < $1.0 }
    default: throw LunervError(.argument, form)
    }
    guard !list.isEmpty else {
      throw LunervError(.argument, "save_safetensors: expected tensors, got an empty list")
    }
    return list
  }

  private static func storedType(_ d: DType) -> StoredType {
    switch d {
    case .f32: .f32
    case .f64: .f64
    case .i32: .i32
    case .u8: .u8
    case .bool: .bool
    }
  }

  /// The tensor of an entry; floating point is converted to `dtype`, if given. A type that no
  /// tensor can hold is an error of kind "argument", a value that `dtype` cannot hold one of kind
  /// "data".
  private static func tensor(
    of entry: SafetensorsFile.Entry, in file: SafetensorsFile, as dtype: DType?
  ) throws -> Tensor {
    try file.withBytes(of: entry) { bytes in
      func numbers<Stored, Number>(
        _ stored: Stored.Type, as dtype: DType, _ number: (Stored) throws -> Number
      ) throws -> Tensor {
        let size = MemoryLayout<Stored>.size
        let list = try (0..<bytes.count / size).map {
          try number(bytes.loadUnaligned(fromByteOffset: size * $0, as: Stored.self))
        }
        return try list.withUnsafeBytes { try Tensor.from(bytes: $0, entry.shape, dtype) }
      }
      func floats<Stored>(_ stored: Stored.Type, _ widen: (Stored) -> Float) throws -> Tensor {
        dtype == .f64
          ? try numbers(stored, as: .f64) { Double(widen($0)) }
          : try numbers(stored, as: .f32, widen)
      }
      switch entry.type {
      case .f32 where dtype == .f64: return try floats(Float.self) { $0 }
      case .f32: return try Tensor.from(bytes: bytes, entry.shape, .f32)
      case .f64 where dtype == .f32: return try numbers(Double.self, as: .f32, narrowed)
      case .f64: return try Tensor.from(bytes: bytes, entry.shape, .f64)
      case .i32: return try Tensor.from(bytes: bytes, entry.shape, .i32)
      case .u8: return try Tensor.from(bytes: bytes, entry.shape, .u8)
      case .bool: return try numbers(UInt8.self, as: .bool) { $0 == 0 ? UInt8(0) : 1 }
      case .bf16: return try floats(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
      case .f16: return try floats(UInt16.self, widenedHalf)
      case .i64:
        return try numbers(Int64.self, as: .i32) { n in
          guard let number = Int32(exactly: n) else {
            throw LunervError(.argument, "expected integers of 32 bits, got \(n)")
          }
          return number
        }
      }
    }
  }

  /// The nearest single; a finite double out of range is an error.
  private static func narrowed(_ x: Double) throws -> Float {
    let y = Float(x)
    guard y.isFinite || !x.isFinite else {
      throw LunervError(.data, "expected values within the range of f32, got \(x)")
    }
    return y
  }

  /// IEEE half precision to single, subnormals included.
  private static func widenedHalf(_ h: UInt16) -> Float {
    let sign = UInt32(h & 0x8000) << 16
    let exponent = UInt32(h >> 10) & 0x1f
    let fraction = UInt32(h & 0x3ff)
    if exponent == 0 {
      let magnitude = Float(fraction) * 0x1p-24
      return sign == 0 ? magnitude : -magnitude
    }
    if exponent == 31 { return Float(bitPattern: sign | 0x7f80_0000 | fraction << 13) }
    return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
  }
}
