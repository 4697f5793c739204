import Support
import Testing

@testable import LuaBridge

/// The lifetime of objects, and the memory limit on both sides of the bridge.
@Suite struct MemoryTests {
  private let counter = Box.Counter()
  private var state: LuaState { makeState(counter: counter) }

  @Test func collectingAndClosingTwiceIsHarmless() throws {
    let state = state
    try state.run(
      source: """
        local m = require 'm'
        do
          local b <close> = m.box(1)
          local meta = debug.getmetatable(b)
          meta.__close(b) meta.__close(b) meta.__gc(b) meta.__gc(b)
          assert(not pcall(function() b:__gc() end))
          for _, other in ipairs{1, 'x', {}, print, io.stdout, m.crate()} do
            pcall(meta.__gc, other) pcall(meta.__close, other)
          end
          pcall(meta.__gc) pcall(meta.__close)
        end
        assert(io.type(io.stdout) == 'file')
        """, chunkName: "@t.lua")
    #expect(counter.live == 0)
  }

  @Test func useAfterCloseIsAnError() {
    let close = "local b = m.box(1)\ndo local c <close> = b end\n"
    let state = state
    #expect(
      failure(of: close + "b:conv2d(b)", in: state)?.text
        == "train.lua:4: conv2d: self: box is closed")
    #expect(
      failure(of: close + "m.conv2d(m.box(1), b)", in: state)?.text
        == "train.lua:4: conv2d: argument 2: box is closed")
    #expect(failure(of: close + "return b.value", in: state)?.text.contains("closed") == true)
    #expect(failure(of: close + "m.echo(b)", in: state)?.text.contains("box is closed") == true)
    #expect(failure(of: close + "assert(tostring(b) == 'box (closed)')", in: state) == nil)
  }

  @Test func propertiesOperatorsAndIdentity() throws {
    let source = """
      local b = m.box(2)
      b.value = 5
      assert(b.value == 5 and b.double == 10 and b.other == nil)
      assert((b + 1).value == 6 and (1 + b).value == 6 and (-b).value == -5 and #b == 5)
      assert(m.echo(b) == b and m.box(5) ~= b)
      assert(getmetatable(b) == false and not pcall(setmetatable, b, {}))
      assert(tostring(b):find('^box: '))
      return 'done'
      """
    #expect(try result(of: source, in: state) == "done")
    #expect(
      failure(of: "m.box(1).double = 1", in: state)?.text
        == "train.lua:2: 'double' of a box cannot be assigned")
    #expect(
      failure(of: "m.box(1).other = 1", in: state)?.text
        == "train.lua:2: a box has no field 'other'")
  }

  @Test func aStolenMetatableFoolsNoOne() {
    // A file that claims to be a box, a box that claims to be a crate.
    let source = """
      local box, file = m.box(1), io.tmpfile()
      local meta, filemeta = debug.getmetatable(box), debug.getmetatable(file)
      debug.setmetatable(file, meta)
      assert(not pcall(m.conv2d, file, box))
      assert(not pcall(function() return file.value end))
      debug.setmetatable(file, filemeta)
      debug.setmetatable(box, debug.getmetatable(m.crate()))
      assert(not pcall(m.conv2d, box, box))
      debug.setmetatable(box, filemeta)
      assert(not pcall(m.conv2d, box, box))
      debug.setmetatable(box, meta)
      """
    let state = state
    #expect(failure(of: source, in: state) == nil)
    state.collect()
    #expect(counter.live == 0)
  }

  @Test func closingTheStateReleasesEverything() throws {
    do {
      let state = state
      try state.run(
        source: """
          local m = require 'm'
          kept = m.box(1)
          setmetatable({}, {__gc = function() local b = m.box(2) + kept end})
          """, chunkName: "@t.lua")
      #expect(counter.live == 1)
    }
    #expect(counter.live == 0)
  }

  @Test func aMillionObjectsStayFlat() throws {
    let state = state
    let source = "local m = require 'm' for i = 1, 100000 do local b = m.box(i) + 1 end"
    try state.run(source: source, chunkName: "@t.lua")
    state.collect()
    let before = state.heapBytes
    for _ in 0..<5 { try state.run(source: source, chunkName: "@t.lua") }
    #expect(state.heapBytes < 4 * before + (1 << 20))
    state.collect()
    #expect(state.heapBytes < before + 20_000)
    #expect(counter.live == 0)
  }

  @Test func pressureCollectsAfterTheSwiftFrame() throws {
    let state = state
    var pushed = 0
    var most = 0
    state.onObjectPush = { [unowned state, counter] bytes in
      pushed += bytes
      most = max(most, counter.live)
      if pushed.isMultiple(of: 100_000) { state.requestCollect() }
    }
    try state.run(
      source: "local m = require 'm' collectgarbage('stop') for i = 1, 1000 do m.box(i) end",
      chunkName: "@t.lua")
    #expect(pushed == 1_000_000)
    #expect(most <= 102)
  }

  @Test func theLimitHoldsInLua() throws {
    let state = makeState(memoryLimit: 4 << 20, counter: counter)
    let error = failure(of: "local t = {} for i = 1, 1e9 do t[i] = {m.box(i)} end", in: state)
    #expect(error?.kind == .memory)
    #expect(error?.text.contains("not enough memory") == true)
    #expect(state.heapBytes <= 4 << 20)
    #expect(failure(of: "local s = ('x'):rep(1 << 24)", in: state)?.kind == .memory)
    state.collect()
    #expect(counter.live == 0)
    #expect(try result(of: "return 'usable'", in: state) == "usable")
  }

  @Test func theLimitHoldsInsideSwift() throws {
    let state = makeState(memoryLimit: 4 << 20, counter: counter)
    let module = LuaModule("big")
    let counter = counter
    module.define("string") { (count: Int) -> LuaBytes in
      let local = Box(1, counter)
      defer { local.value = 2 }
      return LuaBytes([UInt8](repeating: 1, count: count))
    }
    module.define("list") { (count: Int) in [Int](repeating: 1, count: count) }
    module.define("results") { (count: Int) in
      LuaResults(list: [Int](repeating: 1, count: count))
    }
    state.register(module)
    let big = "local big = require 'big'\n"
    for call in ["big.string(1 << 26)", "big.string(5 << 20)", "big.list(1 << 20)"] {
      let error = failure(of: big + call, in: state)
      #expect(error?.kind == .memory, "\(call): \(error as Any)")
      let caught = failure(of: big + "assert(not pcall(function() \(call) end))", in: state)
      #expect(caught == nil)
    }
    #expect(failure(of: big + "assert(#big.string(1 << 20) == 1 << 20)", in: state) == nil)
    #expect(
      failure(of: big + "big.results(2000000)", in: state)?.text.contains("too many") == true)
    state.collect()
    #expect(counter.live == 0)
    #expect(state.heapBytes <= 4 << 20)
  }

  @Test func theLimitHoldsInLuaCalledBySwift() throws {
    let state = makeState(memoryLimit: 4 << 20, counter: counter)
    let error = failure(
      of: "m.call(function() local t = {} for i = 1, 1e9 do t[i] = {} end end)", in: state)
    #expect(error?.kind == .memory)
    #expect(try result(of: "return 'usable'", in: state) == "usable")
  }

  @Test func customCloseRunsOnce() throws {
    let state = try LuaState()
    let module = LuaModule("m")
    let counter = counter
    module.define("box") { Box(1, counter) }
    state.register(module)
    let cls = LuaClass<Box>()
    var closed = 0
    cls.method("close") { (box: Box) in box.isShut = true }
    cls.meta("__close") { (box: Box) in closed += 1 }
    state.register(cls)
    try state.run(
      source: """
        local m = require 'm'
        do local a <close> = m.box(); a:close() end
        for b in m.box, nil, nil, m.box() do break end
        local c = m.box()
        debug.getmetatable(c).__close(c) debug.getmetatable(c).__close(c)
        """, chunkName: "@t.lua")
    #expect(closed == 3)
  }
}
