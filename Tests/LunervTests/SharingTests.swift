import Glibc
import Lunerv
import Testing

/// Memory shared with the host: who owns it, and for how long.
@Suite struct SharingTests {
  /// Memory between two inaccessible pages, aligned to its end or to its beginning.
  private final class Guarded {
    let base: UnsafeMutableRawPointer
    let bytes: UnsafeMutableRawBufferPointer
    private let size: Int
    static let page = sysconf(Int32(_SC_PAGESIZE))

    init(_ count: Int, atEnd: Bool) throws {
      let inner = (count + Self.page - 1) / Self.page * Self.page
      size = inner + 2 * Self.page
      let mapped = mmap(nil, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      base = try #require(mapped)
      mprotect(base + Self.page, inner, PROT_READ | PROT_WRITE)
      bytes = UnsafeMutableRawBufferPointer(
        start: base + Self.page + (atEnd ? inner - count : 0), count: count)
    }

    deinit { munmap(base, size) }
  }

  private func floats(_ count: Int, atEnd: Bool = true) throws -> Guarded {
    let memory = try Guarded(4 * count, atEnd: atEnd)
    let numbers = memory.bytes.bindMemory(to: Float.self)
    for i in numbers.indices { numbers[i] = Float(i % 251) / 251 }
    return memory
  }

  @Test func nothingIsCopiedIn() throws {
    let session = try Session()
    let memory = try floats(3 * 5 * 7)
    let image = try session.image(
      borrowing: UnsafeBufferPointer(memory.bytes.bindMemory(to: Float.self)), width: 7, height: 5
    ) { _ = memory }
    #expect(image.shape == [1, 3, 5, 7])
    let same = try session.run("return ...", arguments: [.tensor(image)])[0].tensor
    try #require(same).withUnsafeBytes {
      #expect($0.baseAddress == UnsafeRawPointer(memory.bytes.baseAddress))
    }
  }

  @Test func operatorsReadOnlyWhatIsThere() throws {
    let session = try Session()
    // Sizes that are no multiple of a vector, aligned to both ends, and at odd offsets.
    for (width, height) in [(37, 23), (64, 48), (17, 16), (9, 8)] {
      for atEnd in [true, false] {
        let memory = try floats(3 * width * height, atEnd: atEnd)
        let expected = try #require(
          try session.run(
            source(copying: true), arguments: [.tensor(borrowed(session, memory, width, height))]
          )[0].string)
        let found = try session.run(
          source(copying: false), arguments: [.tensor(borrowed(session, memory, width, height))])
        #expect(found[0].string == expected)
      }
    }
  }

  private func borrowed(_ session: Session, _ memory: Guarded, _ width: Int, _ height: Int) throws
    -> Tensor
  {
    try session.image(
      borrowing: UnsafeBufferPointer(memory.bytes.bindMemory(to: Float.self)), width: width,
      height: height
    ) { _ = memory }
  }

  private func source(copying: Bool) -> String {
    """
    local lv = require "lunerv"
    local x = ...
    \(copying ? "x = x:clone()" : "")
    lv.seed(1)
    local sums = {}
    local function add(y) sums[#sums + 1] = ("%.9g"):format(y:to("f64"):sum():item()) end
    for _, kernel in ipairs { 1, 3, 5 } do
      for _, stride in ipairs { 1, 2 } do
        local w = lv.randn(16, 3, kernel, kernel)
        add(x:conv2d(w, nil, { padding = kernel // 2, stride = stride }))
      end
    end
    add(x:conv2d(lv.randn(3, 1, 3, 3), nil, { padding = 1, groups = 3 }))
    local w = lv.randn(8, 3, 3, 3, { requires_grad = true })
    x:conv2d(w, nil, { padding = 1 }):gelu():mean():backward()
    add(w.grad)
    add(x:sin() * 2 + x) add(x:sum({ 1, 2, 3 })) add(x:amax(4)) add(x:softmax(2)) add(x:cumsum(4))
    add(x:permute(1, 3, 4, 2)) add(x:interpolate { scale = 2 }) add(x:avg_pool2d(2))
    add(x:slice(4, 2, -1)) add(x:flatten():sort()) add(x:mse_loss(x * 0.5))
    add(x:eq(x):to "f32") add(x:pad({ 1, 1, 1, 1 })) add(x:layer_norm(nil, nil, { dim = -1 }))
    return table.concat(sums, " ")
    """
  }

  @Test func writingInPlaceLeavesTheHostsMemoryAlone() throws {
    let session = try Session()
    let memory = try floats(100)
    let before = Array(memory.bytes)
    let x = try session.tensor(
      borrowing: UnsafeRawBufferPointer(memory.bytes), shape: [100]
    ) { _ = memory }
    try session.run("local x = ... x:fill_(3) x[1] = 7", arguments: [.tensor(x)])
    #expect(try x.values() == [7] + [Double](repeating: 3, count: 99))
    #expect(Array(memory.bytes) == before)
  }

  @Test func memoryIsGivenBackOnceWithItsLastReader() throws {
    let session = try Session()
    let memory = try floats(64)
    var count = 0
    do {
      let x = try session.tensor(
        borrowing: UnsafeRawBufferPointer(memory.bytes), shape: [64]
      ) { count += 1 }
      try session.run("x = ... y = x:view(8, 8)", arguments: [.tensor(x)])
    }
    #expect(count == 0)
    try session.run("x = nil collectgarbage() collectgarbage()")
    #expect(count == 0, "a view reads it")
    try session.run("y = nil collectgarbage() collectgarbage()")
    #expect(count == 1)
    do {
      let x = try session.tensor(
        borrowing: UnsafeRawBufferPointer(memory.bytes), shape: [64]
      ) { count += 1 }
      try session.run("kept = ...", arguments: [.tensor(x)])
    }
    session.close()
    #expect(count == 2)
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let session = try Session()
    let memory = try floats(64)
    let bytes = UnsafeRawBufferPointer(memory.bytes)
    func refuse(_ bytes: UnsafeRawBufferPointer, _ shape: [Int], _ dtype: DType = .f32) {
      let error = #expect(throws: LunervError.self) {
        try session.tensor(borrowing: bytes, shape: shape, dtype: dtype) { Issue.record("called") }
      }
      #expect(error?.kind == .argument || error?.kind == .memory)
    }
    refuse(bytes, [63])
    refuse(bytes, [-64])
    refuse(bytes, [64], .f64)
    refuse(bytes, [Int.max, Int.max])
    refuse(UnsafeRawBufferPointer(rebasing: bytes[2..<254]), [63])
    refuse(UnsafeRawBufferPointer(start: nil, count: 0), [0])
  }

  @Test func pixelsPassThroughUnchanged() throws {
    let session = try Session()
    let pixels = (0..<(3 * 6 * 4)).map { UInt8($0 * 37 % 256) }
    let image = try pixels.withUnsafeBufferPointer {
      try session.image(rgb8: $0, width: 6, height: 4)
    }
    #expect(image.shape == [1, 3, 4, 6])
    #expect(try image.values()[24] == Double(Float(pixels[1]) / 255), "green follows red")
    var back = [UInt8](repeating: 0, count: pixels.count)
    try back.withUnsafeMutableBufferPointer { try image.copyRGB8(to: $0) }
    #expect(back == pixels)
    #expect(throws: LunervError.self) {
      try back.withUnsafeMutableBufferPointer {
        try image.copyRGB8(to: UnsafeMutableBufferPointer(rebasing: $0.dropLast()))
      }
    }
    #expect(throws: LunervError.self) {
      try pixels.withUnsafeBufferPointer { try session.image(rgb8: $0, width: Int.max, height: 3) }
    }
  }

  @Test func aTensorIsFilledWhereItStays() throws {
    let session = try Session()
    let x = try session.tensor(shape: [2, 2], dtype: .f64) { bytes in
      let numbers = bytes.bindMemory(to: Double.self)
      for i in numbers.indices { numbers[i] = Double(i) }
    }
    #expect(try x.values() == [0, 1, 2, 3])
    #expect(throws: LunervError.self) { try x.withUnsafeFloats { $0.count } }
  }
}
