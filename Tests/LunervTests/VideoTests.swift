import Glibc
import LunervCodec
import Testing

/// Files decoded by Swift alone, to what Lua decodes.
@Suite struct VideoTests {
  private static let files =
    #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 } + "/lua/files/"

  /// The built command, next to the tests: it runs decoders from files.
  private static let hasProgram: Bool = {
    var name = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    guard readlink("/proc/self/exe", &name, Int(PATH_MAX)) > 0 else { return false }
    let own = String(cString: name)
    return own.lastIndex(of: "/").map { access(own[...$0] + "lunerv", X_OK) == 0 } ?? false
  }()

  private static let all = ["v1.lnv", "v1-segments.lnv", "v1-forms.lnv", "v1-level3.lnv"]

  private func reference(_ file: String) throws -> [[Float]] {
    let session = try Session()
    let open = "video = assert(require('lunerv').codec.open(...)) return #video"
    let count = try session.run(open, arguments: [.string(Self.files + file)])[0].integer
    let frame = try session.load("return video:frame(...)")
    return try (1...(try #require(count))).map { i in
      try #require(try frame(.integer(i))[0].tensor).withUnsafeFloats { Array($0) }
    }
  }

  @Test(.enabled(if: hasProgram, "no lunerv next to the tests"), arguments: all)
  func framesAreThoseOfLua(file: String) throws {
    let video = try Video(path: Self.files + file)
    let expected = try reference(file)
    #expect(video.count == expected.count && video.framesPerSecond > 0 && video.byteCount > 100)
    let size = 3 * video.width * video.height
    var planes = [Float](repeating: 0, count: size)
    // In order, and from the end.
    try video.forEach { #expect(Array($1) == expected[$0]) }
    for i in (0..<video.count).reversed() {
      try planes.withUnsafeMutableBufferPointer { try video.decode(i, planes: $0) }
      #expect(planes == expected[i])
    }
    var pixels = [UInt8](repeating: 0, count: size)
    try pixels.withUnsafeMutableBufferPointer { try video.decode(0, rgb8: $0) }
    for i in 0..<(size / 3) {
      for c in 0..<3 {
        let value = max(0, min(1, expected[0][c * size / 3 + i])) * 255
        #expect(pixels[3 * i + c] == UInt8(value.rounded(.toNearestOrEven)))
      }
    }
    #expect(try video.timestamp(of: 0) == video.timestamps?[0] ?? 0)
  }

  @Test(.enabled(if: hasProgram, "no lunerv next to the tests"))
  func aFileThatOneTrustsIsDecodedHere() throws {
    let frame = try {
      setenv("LUNERV_DECODER", "/nowhere/lunerv", 1)
      defer { unsetenv("LUNERV_DECODER") }
      let video = try Video(path: Self.files + "v1.lnv", limits: Limits(isConfined: false))
      return try video.withFrame(1) { Array($0) }
    }()
    #expect(try reference("v1.lnv")[1] == frame)
  }

  @Test(.enabled(if: hasProgram, "no lunerv next to the tests")) func limitsHold() throws {
    let error = #expect(throws: LunervError.self) {
      let video = try Video(path: Self.files + "v1-forms.lnv", limits: Limits(work: 1000))
      try video.forEach { _, _ in }
    }
    #expect(error?.kind == .data)
    let own = #expect(throws: LunervError.self) {
      let video = try Video(path: Self.files + "v1.lnv", limits: Limits(ownMemory: 1000))
      try video.forEach { _, _ in }
    }
    #expect(own?.message.contains("not enough memory") == true, "\(own?.text ?? "")")
    #expect(throws: LunervError.self) { try Video(bytes: [], limits: Limits(memory: 0)) }
  }

  @Test func whatIsWrongIsOfAKind() throws {
    let missing = #expect(throws: LunervError.self) { try Video(path: "/nowhere.lnv") }
    #expect(missing?.kind == .io)
    let foreign = #expect(throws: LunervError.self) { try Video(bytes: Array("no video".utf8)) }
    #expect(foreign?.kind == .data && foreign?.place == nil)
    let video = try Video(path: Self.files + "v1.lnv", limits: Limits(isConfined: false))
    for index in [-1, video.count, Int.max, Int.min] {
      let error = #expect(throws: LunervError.self) { try video.withFrame(index) { _ in } }
      #expect(error?.kind == .argument)
    }
    var pixels = [UInt8](repeating: 0, count: 5)
    #expect(throws: LunervError.self) {
      try pixels.withUnsafeMutableBufferPointer { try video.decode(0, rgb8: $0) }
    }
    var bytes = try contents(of: Self.files + "v1.lnv")
    bytes[bytes.count / 2] ^= 1
    let damaged = #expect(throws: LunervError.self) { try Video(bytes: bytes) }
    #expect(damaged?.kind == .data)
  }

  private func contents(of path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    return Array(bytes[..<fread(&bytes, 1, bytes.count, file)])
  }

  @Test func withoutAProgramAFileWithADecoderSaysWhatToDo() throws {
    setenv("LUNERV_DECODER", "/nowhere/lunerv", 1)
    defer { unsetenv("LUNERV_DECODER") }
    let error = #expect(throws: LunervError.self) { try Video(path: Self.files + "v1-forms.lnv") }
    #expect(error?.kind == .io || error?.kind == .data)
    #expect(error?.message.contains("LUNERV_DECODER: '/nowhere/lunerv' is not a program") == true)
    // Anything else than a lunerv is no decoder process either.
    setenv("LUNERV_DECODER", "/bin/cat", 1)
    #expect(throws: LunervError.self) { try Video(path: Self.files + "v1-forms.lnv") }
  }
}
