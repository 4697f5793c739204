// Stored decoder programs.
import CZlib
import Support
import Testing

@testable import Codec

@Suite struct StoredProgramTests {
  private let modules = [
    StoredProgram.Module(name: "own", source: Array(String(repeating: "x = 1\n", count: 99).utf8)),
    StoredProgram.Module(name: "inner.part-2", source: [0, 255, 10]),
  ]

  @Test func roundTrip() throws {
    let bytes = try StoredProgram.encode(modules)
    #expect(bytes.count < 100)
    #expect(try StoredProgram.decode(bytes) == modules)
    #expect(try StoredProgram.decode(StoredProgram.encode([])).isEmpty)
  }

  @Test(arguments: ["", "lunerv", "lunerv.nn", "a..b", ".a", "a/b", "../a", "a b", "é", "a\u{1B}"])
  func names(_ name: String) {
    #expect(throws: LunervError.self) {
      try StoredProgram.encode([.init(name: name, source: [])])
    }
  }

  @Test func sizes() {
    let large = [UInt8](repeating: 65, count: StoredProgram.mostBytes)
    #expect(throws: LunervError.self) {
      try StoredProgram.encode([.init(name: "a", source: large)])
    }
    #expect(throws: LunervError.self) {
      try StoredProgram.encode((0...64).map { .init(name: "a\($0)", source: []) })
    }
  }

  /// A section whose stream holds any bytes, with a claimed length.
  private func section(_ plain: [UInt8], claimed: UInt64? = nil) -> [UInt8] {
    var deflated = [UInt8](repeating: 0, count: Int(compressBound(uLong(plain.count))))
    var count = uLongf(deflated.count)
    #expect(compress2(&deflated, &count, plain, uLong(plain.count), 9) == Z_OK)
    var writer = ByteWriter()
    writer.number(claimed ?? UInt64(plain.count))
    writer.append(Array(deflated.prefix(Int(count))))
    return writer.bytes
  }

  @Test func hostileBytes() throws {
    let good = try StoredProgram.encode(modules)
    for count in 0..<good.count {
      #expect(throws: LunervError.self) { try StoredProgram.decode(Array(good[..<count])) }
    }
    #expect(throws: LunervError.self) { try StoredProgram.decode(good + [0]) }
    for at in good.indices {
      var changed = good
      changed[at] ^= 1 << UInt8(at % 8)
      // Some bits of the stream's header do not matter.
      if let read = try? StoredProgram.decode(changed) { #expect(read == modules) }
    }
  }

  @Test func hostileLengths() throws {
    let zeros = [UInt8](repeating: 0, count: 1 << 24)
    // A stream that expands a thousandfold, whatever length it claims.
    for claimed: UInt64 in [1, 1 << 20, 1 << 24, 1 << 63, .max] {
      #expect(throws: LunervError.self) {
        try StoredProgram.decode(section(zeros, claimed: claimed))
      }
    }
    for length: UInt64 in [1 << 63, .max, 1 << 20, 200] {
      var name = ByteWriter()
      name.number(length)
      #expect(throws: LunervError.self) { try StoredProgram.decode(section(name.bytes)) }
      var source = ByteWriter()
      source.number(1)
      source.append([97])
      source.number(length)
      source.append([1, 2])
      #expect(throws: LunervError.self) { try StoredProgram.decode(section(source.bytes)) }
    }
    // Twice the same name, a library's name, and too many.
    let one: [UInt8] = [1, 97, 0]
    #expect(throws: LunervError.self) { try StoredProgram.decode(section(one + one)) }
    #expect(throws: LunervError.self) {
      try StoredProgram.decode(section([6] + Array("lunerv".utf8) + [0]))
    }
    let many = (0..<65).flatMap { [2, 97, UInt8(97 + $0 % 26), 1, UInt8($0)] as [UInt8] }
    #expect(throws: LunervError.self) { try StoredProgram.decode(section(many)) }
  }
}
