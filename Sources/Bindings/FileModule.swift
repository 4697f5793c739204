import LuaBridge
import Support
import Tensors
import VideoIO

/// Files and safetensors.
enum FileModule {
  static func define(_ m: LuaModule, register: (LuaClass<EventFile>) -> Void) {
    files(m)
    safetensors(m)
    register(EventModule.define(m))
  }

  /// An expected failure of input or output becomes nil and a message.
  static func attempt(_ body: () throws -> (any LuaResult)?...) throws -> LuaResults {
    try results { try body.map { try $0() } }
  }

  /// The same for what comes as a list.
  static func results(_ body: () throws -> [(any LuaResult)?]) throws -> LuaResults {
    do {
      return LuaResults(list: try body())
    } catch let error as LunervError where [.io, .data, .memory].contains(error.kind) {
      return LuaResults(LuaFailure(error))
    }
  }

  private static func files(_ m: LuaModule) {
    m.define(
      "read_file", params: ["path"],
      doc: """
        The bytes of a file as a string; nil and an error where it cannot be read.

            local text = assert(lv.read_file("list.txt"))

        @return string?
        @return lunerv.Error?
        """
    ) { (path: String) in try attempt({ LuaBytes(try Files.read(path)) }) }
    m.define(
      "write_file", params: ["path", "text"],
      doc: """
        Writes a file whole or not at all; true, or nil and an error.

        Other programs see the file that was there before until all bytes are on the disk.

            assert(lv.write_file("result.json", lv.json.encode(result)))

        @return boolean?
        @return lunerv.Error?
        """
    ) { (path: String, text: LuaBytes) in
      try attempt({
        try Files.writeAtomically(path, bytes: text.bytes)
        return true
      })
    }
    m.define(
      "make_dirs", params: ["path"],
      doc: """
        Makes a folder and those above it, where they are missing.

            lv.make_dirs("runs/today")
        """
    ) { (path: String) in try Files.makeDirectories(path) }
    m.define(
      "exists", params: ["path"],
      doc: """
        Whether there is a file or folder.

            if lv.exists("runs/today") then print "there" end
        """
    ) {
      (path: String) -> Bool in Files.exists(path)
    }
    m.define(
      "same_file", params: ["path", "other"],
      doc: "Whether two paths name one file or folder, by whatever spelling or link."
    ) { (path: String, other: String) -> Bool in Files.areSame(path, other) }
    m.define(
      "file_stamp", params: ["path"],
      doc: "A text that changes when the content of a file does; nil where there is none."
    ) { (path: String) -> String? in Files.stamp(path) }
    m.define(
      "check_writable", params: ["path", "bytes"],
      doc: "True where a file of so many bytes can be written, or nil and a message."
    ) { (path: String, bytes: Int?) in
      try attempt({
        try Files.checkWritable(path, bytes: bytes ?? 0)
        return true
      })
    }
    m.define(
      "list_dir", params: ["path"],
      doc: """
        The names in a folder, sorted.

        A second list holds, escaped for messages, those that are not UTF-8 and that no path can \
        name. A folder that cannot be read is an error.

            for _, name in ipairs(lv.list_dir "clips") do print(name) end

        @return string[]
        @return string[]
        """
    ) { (path: String) -> LuaResults in
      let (names, unreadable) = try Files.listAll(path)
      return LuaResults(names, unreadable)
    }
    m.define("remove", params: ["path"], doc: "Removes a file.") { (path: String) in
      try Files.remove(path)
    }
    m.define(
      "remove_stale", params: ["folder"],
      doc: "Removes the unfinished files that killed processes left in a folder of their own."
    ) { (path: String) in
      Temporary.removeStale(in: path, olderThan: 0)
    }
    m.define(
      "work_folder", params: ["path"],
      doc: """
        Makes a folder, and those above it, in which this process names every file: it clears it \
        of what killed processes left, and follows no link that is in it when it writes.
        """
    ) { (path: String) in try WorkFolders.open(path) }
    m.define("rename", params: ["from", "to"], doc: "Renames a file.") {
      (from: String, to: String) in try Files.rename(from, to: to)
    }
  }

  private static func safetensors(_ m: LuaModule) {
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
        @param metadata table  texts by name, which the file holds beside the tensors
        @return boolean  true, or nil and an error
        """
    ) { (path: String, tensors: LuaValue, metadata: [String: String]?) in
      let items = try namedTensors(tensors).map { name, tensor in
        Safetensors.Item(name: name, type: storedType(tensor.dtype), shape: tensor.shape) { sink in
          try tensor.withBytes(sink)
        }
      }
      let sorted = (metadata ?? [:]).sorted { $0.key < $1.key }
      return try attempt({
        try Safetensors.write(path, items, metadata: sorted.map { (key: $0.key, value: $0.value) })
        return true
      })
    }
    m.define(
      "load_safetensors", params: ["path"],
      doc: """
        Reads a safetensors file: the tensors by name, the texts beside them, and the names in the \
        file's order. Half precision is widened to f32.

            local tensors, metadata, names = lv.load_safetensors "model.safetensors"
            model:load_state_dict(tensors)

        @param path string
        @return table  tensors by name, or nil and an error
        @return table  texts by name
        @return string[]  the names in order
        """
    ) { (path: String) -> LuaResults in
      do {
        let file = try SafetensorsFile(path)
        let pairs = try file.entries.map { entry in
          do {
            return (LuaValue.string(entry.name), LuaValue.object(try tensor(of: entry, in: file)))
          } catch let error as LunervError where error.kind == .argument {
            // A rank that tensors cannot have is the file's, not the script's.
            throw LunervError(.data, "\(path): '\(entry.name)': \(error.message)")
          }
        }
        let metadata = file.metadata.map { (LuaValue.string($0.key), LuaValue.string($0.value)) }
        return LuaResults(
          LuaValue.table(pairs), LuaValue.table(metadata), file.entries.map(\.name))
      } catch let error as LunervError where [.io, .data, .memory].contains(error.kind) {
        return LuaResults(LuaFailure(error))
      }
    }
  }

  /// A list of {name, tensor} in its order, or a table by name in the order of the names.
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

  private static func tensor(of entry: SafetensorsFile.Entry, in file: SafetensorsFile) throws
    -> Tensor
  {
    try file.withBytes(of: entry) { bytes in
      func halves(_ widen: (UInt16) -> Float) throws -> Tensor {
        let numbers = (0..<bytes.count / 2).map {
          widen(bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self))
        }
        return try numbers.withUnsafeBytes { try Tensor.from(bytes: $0, entry.shape, .f32) }
      }
      switch entry.type {
      case .f32: return try Tensor.from(bytes: bytes, entry.shape, .f32)
      case .f64: return try Tensor.from(bytes: bytes, entry.shape, .f64)
      case .i32: return try Tensor.from(bytes: bytes, entry.shape, .i32)
      case .u8: return try Tensor.from(bytes: bytes, entry.shape, .u8)
      case .bool:
        let flags = bytes.map { $0 == 0 ? UInt8(0) : 1 }
        return try flags.withUnsafeBytes { try Tensor.from(bytes: $0, entry.shape, .bool) }
      case .bf16: return try halves { Float(bitPattern: UInt32($0) << 16) }
      case .f16: return try halves(widenedHalf)
      case .i64:
        let numbers = try (0..<bytes.count / 8).map {
          let n = bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)
          guard Int32(exactly: n) != nil else {
            throw LunervError(.data, "\(file.path): '\(entry.name)' holds \(n), beyond 32 bits")
          }
          return Double(n)
        }
        return try Tensor.from(numbers, entry.shape, .i32)
      }
    }
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
