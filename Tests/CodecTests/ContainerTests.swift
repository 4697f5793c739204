// The container of a .lnv: sections, checksums, and every damage that must be found.
import Support
import Testing

@testable import Codec

@Suite struct ContainerTests {
  private let sections: [Container.Section] = [
    .init(.clip, [1, 2, 3]), .init(.decoder, Array("hnerv@1{}".utf8)), .init(.weights, []),
    .init(.embeddings, (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 7) }),
  ]

  @Test func roundTrip() throws {
    let bytes = try Container(sections).encoded()
    let read = try Container(decoding: bytes)
    #expect(read.sections.map(\.kind) == sections.map(\.kind))
    #expect(read.sections.map(\.bytes) == sections.map(\.bytes))
    #expect(read.headerCount + sections.reduce(0) { $0 + $1.bytes.count } == bytes.count)
  }

  @Test func exactBytes() throws {
    let bytes = try Container([.init(.clip, [5])]).encoded()
    let payload = CRC32C.checksum([5])
    var expected: [UInt8] = [0x4c, 0x4e, 0x56, 0x1a, 1, 1, 1, 1, 1]
    expected += (0..<4).map { UInt8(truncatingIfNeeded: payload >> (8 * $0)) }
    let header = CRC32C.checksum(expected)
    expected += (0..<4).map { UInt8(truncatingIfNeeded: header >> (8 * $0)) } + [5]
    #expect(bytes == expected)
  }

  private func message(_ bytes: [UInt8]) -> String? {
    do {
      _ = try Container(decoding: bytes)
      return nil
    } catch let error as LunervError {
      #expect(error.kind == .data)
      return error.message
    } catch {
      return "\(error)"
    }
  }

  /// Every bit of the file is covered, and the error says where it was found.
  @Test func everyBitCounts() throws {
    let bytes = try Container(sections).encoded()
    for at in bytes.indices {
      for bit in 0..<8 {
        var changed = bytes
        changed[at] ^= 1 << UInt8(bit)
        let message = message(changed) ?? "none"
        #expect(message.contains("header") || message.contains("section '"), "byte \(at)")
      }
    }
    for count in 0..<bytes.count { #expect(message(Array(bytes[..<count])) != nil) }
    #expect(message(bytes + [0])?.contains("follow the last section") == true)
    #expect(message(Array(bytes.dropLast()))?.contains("'embeddings' is cut off") == true)
  }

  /// A header with sound checksums and any table.
  private func file(
    version: UInt8 = 1, level: UInt8 = 1, _ table: (inout ByteWriter) -> Void,
    _ rest: [UInt8] = []
  ) -> [UInt8] {
    var writer = ByteWriter()
    writer.append([0x4c, 0x4e, 0x56, 0x1a, version, level])
    table(&writer)
    writer.fixed(UInt64(CRC32C.checksum(writer.bytes)), count: 4)
    return writer.bytes + rest
  }

  /// A file states the level that its sections need, so that older programs can name it.
  @Test func levels() throws {
    for kind in Container.Kind.allCases {
      let bytes = try Container([.init(.clip, [1]), .init(kind, [2])]).encoded()
      let level: UInt8 =
        switch kind {
        case .seededWeights, .mixedEmbeddings: 2
        case .modelledWeights: 3
        case .orderedDecoder, .slicedWeights: 4
        default: 1
        }
      #expect(bytes[5] == level)
      #expect(try Container(decoding: bytes).sections.map(\.kind) == [.clip, kind])
    }
  }

  /// A program in a file may need a higher level than its sections.
  @Test func levelsBeyondThoseOfSections() throws {
    let plain = Container([.init(.clip, [1])], level: 3)
    #expect(try plain.encoded()[5] == 3)
    #expect(try Container(decoding: plain.encoded()).level == 3)
    #expect(try Container([.init(.orderedDecoder, [1])], level: 2).encoded()[5] == 4)
  }

  /// A program that knows only lower levels names the level that a file needs, and reads the
  /// other files, whose sections need no more than the file states.
  @Test(arguments: UInt8(1)..<Container.level) func olderPrograms(_ known: UInt8) throws {
    let tests = "\(#filePath)".split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 }
    let path = tests + "/lua/files/versions"
    let names = try Files.list(path).filter { $0.hasSuffix(".lnv") && !$0.hasPrefix("refused") }
    #expect(names.count >= 40)
    var refused = 0
    for name in names {
      let bytes = try Files.read(path + "/" + name)
      if bytes[5] <= known {
        let file = try Container(decoding: bytes, known: known)
        #expect(file.sections.allSatisfy { $0.kind.level <= known }, "\(name)")
        continue
      }
      refused += 1
      do {
        _ = try Container(decoding: bytes, known: known)
        Issue.record("\(name) was read")
      } catch let error as LunervError {
        #expect(error.kind == .data)
        let expected =
          "header: this file needs level \(bytes[5]) of the format, "
          + "lunerv \(Version.text) supports \(known): update it"
        #expect(error.message == expected, "\(name)")
      }
    }
    #expect(refused > 0)
  }

  @Test func hostileTables() {
    for length: UInt64 in [1 << 63, .max, 1 << 40, 1 << 62, 2] {
      let bytes = file { w in
        w.number(1)
        w.byte(Container.Kind.weights.rawValue)
        w.number(length)
        w.fixed(0, count: 4)
      }
      #expect(message(bytes) != nil, "\(length)")
    }
    for count: UInt64 in [1 << 63, .max, 65537, 65536, 3] {
      #expect(message(file { $0.number(count) }) != nil, "\(count)")
    }
    #expect(message(file(version: 2) { $0.number(0) })?.contains("version 2") == true)
    #expect(message(file(level: 9) { $0.number(0) })?.contains("level 9") == true)
    #expect(message([]) != nil)
    // A number that is longer than it needs to be, or than 64 bits.
    #expect(message(file { $0.append([0x81, 0x00]) }) != nil)
    #expect(message(file { $0.append([UInt8](repeating: 0xff, count: 11)) }) != nil)
  }

  @Test func unknownSections() throws {
    func one(_ kind: UInt8) -> [UInt8] {
      file(
        { w in
          w.number(1)
          w.byte(kind)
          w.number(2)
          w.fixed(UInt64(CRC32C.checksum([7, 8])), count: 4)
        }, [7, 8])
    }
    #expect(message(one(99))?.contains("99") == true)
    let skipped = try Container(decoding: one(99 | 128))
    #expect(skipped.sections.isEmpty && skipped.skippedCount == 2)
  }
}

@Suite struct StoredSegmentsTests {
  private let table = StoredSegments([
    .init(frames: 300, parts: [.decoder, .embeddings]), .init(frames: 1, parts: .embeddings),
    .init(frames: 7, parts: [.decoder, .buffers]),
  ])

  @Test func roundTrip() throws {
    let bytes = try table.encoded()
    #expect(bytes == [3, 0xac, 2, 5, 1, 4, 7, 3])
    #expect(try StoredSegments(bytes, frames: 308) == table)
  }

  private func message(_ bytes: [UInt8], frames: Int = 308) -> String {
    do {
      _ = try StoredSegments(bytes, frames: frames)
      return "none"
    } catch let error as LunervError {
      return error.kind == .data ? error.message : "\(error)"
    } catch {
      return "\(error)"
    }
  }

  @Test func whatIsCorrupt() throws {
    let good = try table.encoded()
    #expect(message(good, frames: 309) == "frames 309 to 309 are in no segment")
    #expect(message(good, frames: 307).contains("308 frames, but the clip has 307"))
    #expect(message([0]) == "there are no segments")
    #expect(message([1, 0, 1]) == "segment 1 has no frames")
    #expect(message([1, 0xb4, 2, 4]) == "segment 1 has parts 4")
    #expect(message([1, 0xb4, 2, 9]) == "segment 1 has parts 9")
    #expect(message(good + [0]) == "expected the end, got 1 more bytes")
    for count in good.indices { #expect(message(Array(good[..<count])) != "none") }
    // 2⁶³, as the number of segments and of frames.
    let huge = [UInt8](repeating: 0x80, count: 9) + [1]
    #expect(message(huge + good).contains("the number of segments"))
    #expect(message([2] + huge + [1, 8, 1]).contains("the frames of segment 1"))
    #expect(message([0x81, 0x40]).contains("the number of segments"))
    let many = StoredSegments(
      (0...StoredSegments.most).map { _ in .init(frames: 1, parts: .decoder) })
    #expect(throws: LunervError.self) { try many.encoded() }
  }

  /// A damaged section of many says which of them it is.
  @Test func sectionsOfOneKind() throws {
    var bytes = try Container([.init(.weights, [1]), .init(.weights, [2]), .init(.clip, [3])])
      .encoded()
    bytes[bytes.count - 2] ^= 1
    do {
      _ = try Container(decoding: bytes)
      Issue.record("damage went unnoticed")
    } catch let error as LunervError {
      #expect(error.message.hasPrefix("section 'weights' (2 of 2) is damaged"))
    }
  }
}

@Suite struct StoredClipTests {
  private func clip(_ seconds: [Double]) throws -> StoredClip {
    try StoredClip(
      height: 180, width: 320, frames: max(1, seconds.count), rate: (24000, 1001),
      seconds: seconds)
  }

  @Test func constantRates() throws {
    let stored = try clip((0..<50).map { (Double($0) * 1001 / 24).rounded() / 1000 })
    #expect(stored.times == nil)
    #expect(try stored.encoded().count == 11)
    #expect(try StoredClip(stored.encoded()) == stored)
    #expect(abs(stored.seconds(24) - 1.001) < 1e-6)
  }

  @Test func variableRates() throws {
    let seconds = [3.5, 3.52, 3.61, 3.65, 4.9, 4.91]
    let read = try StoredClip(clip(seconds).encoded())
    for (i, time) in seconds.enumerated() { #expect(abs(read.seconds(i) - time) < 1e-6) }
  }

  /// Times between frames that the reader would refuse are not written.
  @Test func longGaps() throws {
    // Each gap is half an hour longer than the previous one.
    let seconds = (0..<40).map { (i: Int) -> Double in Double(900 * i * (i + 1)) }
    let read = try StoredClip(clip(Array(seconds[..<30])).encoded())
    #expect(read.seconds(29) == seconds[29])
    let stored = try clip(seconds)
    #expect(throws: LunervError.self) { try stored.encoded() }
  }

  @Test func whatIsOutOfRange() throws {
    let good = try clip([0, 1, 5]).encoded()
    for count in 0..<good.count {
      #expect(throws: LunervError.self) { try StoredClip(Array(good[..<count])) }
    }
    #expect(throws: LunervError.self) { try StoredClip(good + [0]) }
    for fields in [
      [0, 1, 1, 1, 1], [1, 65537, 1, 1, 1], [65536, 65536, 17, 1, 1], [1, 1, 1, 0, 1],
      [1, 1, 1 << 62, 1, 1], [1, 1, 1 << 35, 1, 1 << 30],
    ] {
      var writer = ByteWriter()
      for field in fields { writer.number(UInt64(field)) }
      writer.byte(0)
      #expect(throws: LunervError.self) { try StoredClip(writer.bytes) }
    }
    #expect(throws: LunervError.self) {
      try StoredClip(height: 1, width: 1, frames: 1 << 35, rate: (1, 1 << 30), seconds: [])
    }
    // Times that grow beyond the limit.
    var writer = ByteWriter()
    for field in [1, 1, 1 << 24, 1, 1] { writer.number(UInt64(field)) }
    writer.byte(1)
    writer.signed(1 << 49)
    #expect(throws: LunervError.self) { try StoredClip(writer.bytes) }
    // The smallest Int64, whose magnitude is no Int64.
    writer = ByteWriter()
    for field in [4, 4, 1, 25, 1] { writer.number(UInt64(field)) }
    writer.byte(1)
    writer.signed(.min)
    #expect(throws: LunervError.self) { try StoredClip(writer.bytes) }
  }
}
