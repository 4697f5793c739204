// Safetensors: round trips, and invalid files.
import Testing

@testable import Support

@Suite struct SafetensorsTests {
  /// The bytes of a file with a given header and data.
  private func image(_ header: String, _ data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
    let length = length ?? UInt64(header.utf8.count)
    return withUnsafeBytes(of: length.littleEndian) { Array($0) } + Array(header.utf8) + data
  }

  private func parse(_ bytes: [UInt8]) throws -> SafetensorsHeader {
    try bytes.withUnsafeBytes { try SafetensorsHeader($0) }
  }

  @Test func writesAndReadsBack() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.safetensors"
      let floats: [Float] = [1, -2.5, .infinity, 4, 5, 6]
      let bools: [UInt8] = [1, 0, 1]
      let name = "Décodeur.\"0\"\n"
      try floats.withUnsafeBytes { floats in
        try bools.withUnsafeBytes { bools in
          try Safetensors.write(
            path,
            [
              .init(name: "mask", type: .bool, shape: [3], bytes: bools),
              .init(name: name, type: .f32, shape: [2, 3]) { emit in
                try emit(UnsafeRawBufferPointer(rebasing: floats[..<4]))
                try emit(UnsafeRawBufferPointer(rebasing: floats[4...]))
              },
              .init(
                name: "empty", type: .i64, shape: [4, 0], bytes: .init(start: nil, count: 0)),
              .init(name: "scalar", type: .f32, shape: [], bytes: .init(rebasing: floats[4..<8])),
            ], metadata: [("kind", "test"), ("a", "{\"schema\":1}")])
        }
      }
      let file = try SafetensorsFile(path)
      #expect(file.entries.map(\.name) == ["mask", name, "empty", "scalar"])
      #expect(file.entries.map(\.shape) == [[3], [2, 3], [4, 0], []])
      #expect(file.entries.map(\.type) == [.bool, .f32, .i64, .f32])
      #expect(file.metadata.map(\.key) == ["kind", "a"])
      #expect(file.metadataValue("a") == "{\"schema\":1}")
      #expect(file.entry("absent") == nil)
      let entry = try #require(file.entry(name))
      file.withBytes(of: entry) { bytes in
        let read = (0..<6).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        #expect(read == floats)
      }
      let scalar = try #require(file.entry("scalar"))
      #expect(file.withBytes(of: scalar) { $0.loadUnaligned(as: Float.self) } == -2.5)
      let bytes = try Files.read(path)
      #expect(bytes[0] % 8 == 0 && bytes[8] == UInt8(ascii: "{"))
    }
  }

  @Test func foreignTypesAreListedWhereTheyAreAllowed() throws {
    func described(_ name: String, _ type: String, _ range: Range<Int>) -> String {
      """
      "\(name)":{"dtype":"\(type)","shape":[2],\
      "data_offsets":[\(range.lowerBound),\(range.upperBound)]}
      """
    }
    func read(_ parts: String...) throws -> SafetensorsHeader {
      let bytes = image("{\(parts.joined(separator: ","))}", [UInt8](repeating: 0, count: 12))
      return try bytes.withUnsafeBytes { try SafetensorsHeader($0, allowsForeign: true) }
    }
    let header = try read(described("b", "F32", 4..<12), described("a", "I16", 0..<4))
    #expect(header.foreign == [.init(name: "a", typeName: "I16")])
    #expect(header.entries.map(\.name) == ["b"])
    // Their offsets are checked like all others, and no type is rejected by default.
    let short = described("a", "I16", 0..<3)
    let long = described("a", "I16", 0..<5)
    #expect(failure { _ = try read(short, described("b", "F32", 4..<12)) }.kind == .data)
    #expect(failure { _ = try read(long, described("b", "F32", 4..<12)) }.kind == .data)
    #expect(failure { _ = try read(described("a", "I16", 0..<99)) }.kind == .data)
    let bytes = image("{\(described("a", "I16", 0..<4))}", [0, 0, 0, 0])
    #expect(failure { _ = try parse(bytes) }.description.contains("unsupported dtype 'I16'"))
  }

  @Test func writerRefusesWhatCannotBeStored() throws {
    try withTemporaryFolder { (folder: String) throws in
      let path = folder + "/x.safetensors"
      let two: [UInt8] = [1, 2]
      func refused(_ items: [Safetensors.Item], _ metadata: [(String, String)] = []) -> String {
        failure {
          try Safetensors.write(path, items, metadata: metadata.map { (key: $0, value: $1) })
        }.description
      }
      two.withUnsafeBytes { two in
        let good = Safetensors.Item(name: "a", type: .u8, shape: [2], bytes: two)
        let short = Safetensors.Item(name: "b", type: .i32, shape: [2], bytes: two)
        #expect(refused([good, good]).contains("two tensors are named 'a'"))
        #expect(refused([good], [("k", ""), ("k", "")]).contains("two metadata keys"))
        #expect(refused([good, short]).contains("2 bytes were produced for I32 of shape [2]"))
        #expect(refused([good, short]).contains("tensor 'b'; writing '\(path)'"))
        let huge = Safetensors.Item(name: "h", type: .f64, shape: [1 << 40, 1 << 40], bytes: two)
        #expect(refused([huge]).contains("cannot be stored"))
        let half = Safetensors.Item(name: "h", type: .u8, shape: [.max], bytes: two)
        var other = half
        other.name = "i"
        #expect(refused([half, other]).contains("tensor 'i'"))
        let minus = Safetensors.Item(name: "m", type: .u8, shape: [-1, -2], bytes: two)
        #expect(refused([minus]).contains("cannot be stored"))
        let meta = Safetensors.Item(name: "__metadata__", type: .u8, shape: [2], bytes: two)
        #expect(refused([meta]).contains("a tensor cannot be named"))
      }
      #expect(try Files.list(folder).isEmpty)
    }
  }

  @Test func acceptsWhatOthersWrite() throws {
    // Not in the order of the bytes, padded, without metadata; then without any tensor.
    let header = try parse(
      image(
        #"{"b":{"shape":[1],"dtype":"F16","data_offsets":[3,5]},"#
          + #""a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}   "#, [1, 2, 3, 4, 5]))
    #expect(header.entries.map(\.name) == ["a", "b"])
    #expect(header.entries.map(\.range.count) == [3, 2])
    #expect(header.metadata.isEmpty)
    #expect(try parse(image("{}")).entries.isEmpty)
    #expect(try parse(image(#"{"__metadata__":{"format":"pt"}}"#)).metadata[0].value == "pt")
  }

  @Test func byteCounts() {
    #expect(StoredType.f32.byteCount(shape: []) == 4)
    #expect(StoredType.bf16.byteCount(shape: [3, 5]) == 30)
    #expect(StoredType.f64.byteCount(shape: [.max, 0]) == nil)
    #expect(StoredType.u8.byteCount(shape: [.max, 0]) == 0)
    #expect(StoredType.u8.byteCount(shape: [1 << 32, 1 << 32]) == nil)
    #expect(StoredType.u8.byteCount(shape: [0, -1]) == nil)
  }

  /// Headers that must be rejected, each with a part of the expected message.
  @Test(arguments: [
    ("[]", "not a JSON object"),
    (" {}", "not a JSON object"),
    ("{}x", "unexpected text"),
    (#"{"a":1}"#, "tensor 'a'"),
    (#"{"a":{"dtype":"U8","shape":[4]}}"#, "'data_offsets'"),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1}}"#, "nothing else"),
    (#"{"a":{"dtype":"Q4","shape":[4],"data_offsets":[0,4]}}"#, "unsupported dtype 'Q4'"),
    (#"{"a":{"dtype":"u8","shape":[4],"data_offsets":[0,4]}}"#, "unsupported dtype"),
    (#"{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}"#, "whole numbers"),
    (#"{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}"#, "whole numbers"),
    (#"{"a":{"dtype":"U8","shape":["4"],"data_offsets":[0,4]}}"#, "whole numbers"),
    (#"{"a":{"dtype":"U8","shape":4,"data_offsets":[0,4]}}"#, "expected"),
    (#"{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,4]}}"#, "whole"),
    (#"{"a":{"dtype":"U8","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}}"#, "overflows"),
    (#"{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}"#, "overflows"),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0]}}"#, "ascending"),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,8]}}"#, "ascending"),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}"#, "ascending"),
    (#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[-1,3]}}"#, "ascending"),
    (#"{"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}}"#, "within the 4 bytes"),
    (
      #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[9223372036854775800,9223372036854775804]}}"#,
      "ascending"
    ),
    (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,4]}}"#, "takes 3 bytes"),
    (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#, "1 bytes after the last"),
    (#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}"#, "leaves a gap"),
    (
      #"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"#
        + #""data_offsets":[2,4]}}"#, "overlaps"
    ),
    (
      #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[0],"#
        + #""data_offsets":[4,4]}}"#, "occurs twice"
    ),
    (
      "{\"\u{E9}\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"e\u{301}\":"
        + "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}", "two tensors"
    ),
    (#"{"__metadata__":[],"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, "not an object"),
    (
      #"{"__metadata__":{"k":1},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
      "metadata 'k'"
    ),
    (#"{"a":{"dtype":"U8","shape":[[[4]]],"data_offsets":[0,4]}}"#, "deep"),
  ])
  func refuses(_ header: String, _ message: String) {
    let error = failure { _ = try parse(image(header, [1, 2, 3, 4])) }
    #expect(error.kind == .data)
    #expect(error.description.contains(message), "\(error)")
  }

  @Test func refusesTooManyDimensions() {
    let ones = Array(repeating: "1", count: 33).joined(separator: ",")
    let header = #"{"a":{"dtype":"U8","shape":[\#(ones)],"data_offsets":[0,1]}}"#
    #expect(failure { _ = try parse(image(header, [1])) }.message.contains("33 dimensions"))
  }

  @Test(arguments: [UInt64.max, 1 << 63, 1 << 40, 16 << 20, 3])
  func refusesHeaderLengths(_ length: UInt64) {
    #expect(failure { _ = try parse(image("{}", length: length)) }.kind == .data)
  }

  @Test func errorsNameFileAndTensor() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/bad.safetensors"
      let header = #"{"w\u001b":{"dtype":"U8","shape":[9],"data_offsets":[0,4]}}"#
      try Files.writeAtomically(path, bytes: image(header, [1, 2, 3, 4]))
      let error = failure { _ = try SafetensorsFile(path) }
      #expect(error.context == [#"tensor 'w\u{1B}'"#, "in '\(path)'"])
      #expect(failure { _ = try SafetensorsFile(path + "x") }.kind == .io)
      try Files.writeAtomically(path, bytes: [])
      #expect(failure { _ = try SafetensorsFile(path) }.kind == .data)
    }
  }

  /// Every truncated file is rejected; every one-byte change is rejected or yields entries that lie
  /// within the file.
  @Test func survivesDamage() throws {
    let good = image(
      #"{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"#
        + #""b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}}"#, Array(0..<11))
    #expect(try parse(good).entries.count == 2)
    for count in 0..<good.count {
      #expect(failure { _ = try parse(Array(good[..<count])) }.kind == .data)
    }
    for position in good.indices.dropLast(11) {
      for byte in UInt8.min ... .max {
        var bytes = good
        bytes[position] = byte
        guard let header = try? parse(bytes) else { continue }
        #expect(header.entries.allSatisfy { $0.range.upperBound <= bytes.count })
        #expect(header.entries.reduce(0) { $0 + $1.range.count } == 11)
      }
    }
    #expect(failure { _ = try parse(good + [0]) }.message.contains("after the last tensor"))
  }
}
