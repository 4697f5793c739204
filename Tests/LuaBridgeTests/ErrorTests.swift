import Glibc
import Support
import Testing

@testable import LuaBridge

/// The place and the message of an error, and what the host receives.
@Suite struct ErrorTests {
  @Test func errorsAreObjectsThatBehaveAsTheirText() throws {
    let state = makeState()
    let source = """
      local set = require('lunerv.bridge').set_error_path
      set(function() return 'Decoder.body[2]' end)
      local ok, e = pcall(m.fail, nil, 'no')
      set()
      local text = 'train.lua:4: Decoder.body[2]: fail: no'
      assert(type(e) == 'table' and tostring(e) == text and #e == #text)
      assert(e.kind == 'argument' and e.message == 'fail: no' and e.where == 'train.lua:4')
      assert(e.module == 'Decoder.body[2]' and e.data == nil and e.absent == nil)
      assert(e .. '!' == text .. '!' and '!' .. e == '!' .. text and 1 .. e == '1' .. text)
      assert(e:find 'fail' == text:find 'fail' and e:upper() == text:upper())
      assert(string.rep(e, 2) == text .. text and ('%s|%d'):format(e, 1) == text .. '|1')
      assert(string.gsub('x', 'x', e) == text)
      assert(e < 'z' and not (e < 'a') and e <= e and m.text(e) == text and m.echo {e}[1] == text)
      local file <close> = io.tmpfile()
      file:write('a ', e)
      file:seek('set')
      assert(file:read 'a' == 'a ' .. text)
      assert(select(2, pcall(function() return e .. {} end)):find 'concatenate a table value')
      assert(not pcall(function() return e < 1 end) and getmetatable(e) == false)
      return debug.traceback(e):sub(1, #text + 17)
      """
    #expect(
      try result(of: source, in: state)
        == "train.lua:4: Decoder.body[2]: fail: no\nstack traceback:")
  }

  @Test func errorsKeepTheirFacts() throws {
    let source = """
      local bridge = require 'lunerv.bridge'
      local e = bridge.new_error('data', 'too few', {least = 3})
      local _, same = pcall(m.call, function() error(e) end)
      assert(rawequal(same, e) and bridge.is_error(e) and not bridge.is_error {kind = 'data'})
      return e.kind .. e.data.least .. tostring(e)
      """
    #expect(try result(of: source) == "data3too few")
    let missing = "local _, e = m.missing() return e.kind .. ': ' .. e"
    #expect(try result(of: missing) == "io: no such file")
  }

  @Test func everyKindIsReadBack() {
    for kind in LunervError.Kind.allCases {
      let source = "error(require('lunerv.bridge').new_error('\(kind.rawValue)', 'x'))"
      #expect(failure(of: source)?.kind == kind)
    }
  }

  @Test func swiftErrorsKeepTheirKind() throws {
    let state = makeState()
    #expect(
      try result(of: "return select(2, pcall(m.fail, nil, 'no'))", in: state)
        == "train.lua:2: fail: no")
    let error = failure(of: "m.usage()", in: state)
    #expect(error?.kind == .usage)
    #expect(error?.text == "train.lua:2: usage: unknown model 'x'")
    #expect(error?.traceback?.contains("train.lua:2: in main chunk") == true)
  }

  @Test func theKindSurvivesWrapping() {
    let traced = failure(of: "local ok, e = xpcall(m.usage, debug.traceback)\nerror(e, 0)")
    #expect(traced?.kind == .usage)
    #expect(traced?.text == "train.lua:2: usage: unknown model 'x'")
    #expect(failure(of: "local ok, e = pcall(m.usage)\nerror(e, 0)")?.kind == .usage)
    #expect(failure(of: "pcall(m.usage)\nerror('other')")?.kind == .script)
    #expect(failure(of: "error(require('lunerv.bridge').new_error('usage', 'no'))")?.kind == .usage)
  }

  @Test func aMessageThatNamesTheFunctionIsNotNamedTwice() {
    #expect(failure(of: "m.fail(nil, 'fail: no')")?.text == "train.lua:2: fail: no")
  }

  @Test func plainLuaErrors() {
    #expect(failure(of: "error('x')")?.text == "train.lua:2: x")
    #expect(failure(of: "error('x', 0)")?.text == "x")
    #expect(failure(of: "error({})")?.text == "(error object is a table value)")
    // Also as the first error of a state, when none has been recorded.
    #expect(failure(of: "error()")?.text == "(error object is a nil value)")
    #expect(failure(of: "pcall(error, 'x') error()")?.text == "(error object is a nil value)")
    #expect(
      failure(of: "error(setmetatable({}, {__tostring = function() return 'own' end}))")?.text
        == "own")
    #expect(
      failure(of: "local x; x.y = 1")?.text.hasPrefix("train.lua:2: attempt to index") == true)
  }

  private func stateWithLibrary() -> LuaState {
    let state = makeState()
    state.addSource("lunerv.nn") {
      Array(
        """
        local m = require 'm'
        local nn = {}
        function nn.conv(x) return (m.conv2d(x)) end
        function nn.check() error('wrong shape') end
        function nn.outer() error('wrong call', 2) end
        function nn.index() local t; return t.x end
        function nn.call(f, ...) return (f(...)) end
        return nn
        """.utf8)
    }
    return state
  }

  @Test(arguments: [
    ("nn.conv(m.box(1))", "conv2d: argument 2: expected box, got no value"),
    ("nn.check()", "wrong shape"),
    ("nn.outer()", "wrong call"),
    ("nn.call(nn.check)", "wrong shape"),
    ("nn.index()", "index: attempt to index a nil value (local 't')"),
    ("nn.call(m.fail, nil, 'no')", "fail: no"),
    ("coroutine.wrap(nn.check)()", "wrong shape"),
    ("coroutine.wrap(nn.call)(nn.conv, m.box(1))", "conv2d: argument 2: "),
  ])
  func positionsSkipTheStdlib(_ call: String, _ message: String) {
    let error = failure(of: "local nn = require 'lunerv.nn'\n\(call)", in: stateWithLibrary())
    #expect(error?.text.hasPrefix("train.lua:3: " + message) == true, "\(error as Any)")
    #expect(error?.text.contains("lunerv:") == false)
  }

  @Test func positionsInsideCallbacksAreTheUsers() {
    let source = """
      local nn = require 'lunerv.nn'
      nn.call(function()
        nn.conv(m.box(1))
      end)
      """
    let error = failure(of: source, in: stateWithLibrary())
    #expect(error?.text.hasPrefix("train.lua:4: ") == true)
  }

  @Test func theModulePathIsNamedOnce() {
    let set = "require('lunerv.bridge').set_error_path(function() return 'Decoder.body[2]' end)\n"
    #expect(
      failure(of: set + "m.fail(nil, 'no')")?.text == "train.lua:3: Decoder.body[2]: fail: no")
    #expect(
      failure(of: set + "local t; t()")?.text
        == "train.lua:3: Decoder.body[2]: attempt to call a nil value (local 't')")
    #expect(
      failure(of: set + "local _, e = pcall(m.fail, nil, 'no')\nerror(e, 0)")?.text
        == "train.lua:3: Decoder.body[2]: fail: no")
    let failing = "require('lunerv.bridge').set_error_path(function() error('oh') end)\n"
    #expect(failure(of: failing + "m.fail(nil, 'no')")?.text == "train.lua:3: fail: no")
  }

  @Test func failingCallsLeakNothing() throws {
    let counter = Box.Counter()
    let state = makeState(counter: counter)
    try state.run(
      source: """
        local m = require 'm'
        local box = m.box(1)
        for i = 1, 10000 do
          assert(not pcall(m.fail, box, 'no'))
          assert(not pcall(m.conv2d, box, box, box, {unknown = 1}))
          assert(not pcall(m.conv2d, box, 3))
        end
        """, chunkName: "@t.lua")
    state.collect()
    #expect(counter.live == 0)
  }

  @Test func errorsPassThroughSwiftUnchanged() throws {
    let state = makeState()
    #expect(
      try result(
        of: """
          local object = {}
          local ok, e = pcall(m.call, function() error(object) end, nil)
          return not ok and e == object
          """, in: state) == "true")
    #expect(
      try result(
        of: "return select(2, pcall(m.call, function() m.call(m.usage) end))", in: state)
        == "train.lua:2: usage: unknown model 'x'")
    #expect(
      try result(of: "return m.call(function(x) return x .. '!' end, 'a')", in: state) == "a!")
    #expect(failure(of: "m.call(function() m.usage() end)", in: state)?.kind == .usage)
  }

  @Test func deepRecursionEndsInAnError() {
    let lua = failure(of: "local function f(b) return 1 + f(m.box(1)) end f()")
    #expect(lua?.text.contains("stack overflow") == true)
    let swift = failure(of: "local function f() m.call(f) end f()")
    #expect(swift?.text.contains("stack overflow") == true)
    let mixed = failure(
      of:
        "local function f(n) if n == 0 then return m.call(f, 190000) end return 1 + f(n - 1) end f(9)"
    )
    #expect(mixed?.text.contains("stack overflow") == true)
  }

  @Test func cleanupRunsAndTheErrorIsPassedOn() throws {
    let source = """
      local bridge = require 'lunerv.bridge'
      local seen
      local ok, e = pcall(bridge.on_error, function(a) error('x' .. a) end,
        function(e) seen = e; error('hidden') end, 1)
      return tostring(ok) .. e .. '|' .. seen
      """
    #expect(try result(of: source) == "falsetrain.lua:4: x1|train.lua:4: x1")
    #expect(
      try result(
        of: "return select('#', require('lunerv.bridge').on_error(select, print, 2, 1, 2, 3))")
        == "2")
    // The traceback is that of the place where the error was raised.
    let error = failure(
      of: """
        local function deep() error('x') end
        require('lunerv.bridge').on_error(function() deep() end, function() end)
        """)
    #expect(error?.traceback?.contains("in upvalue 'deep'") == true)
  }

  @Test func nestedDepthFollowsCoroutines() throws {
    let state = try LuaState()
    let module = LuaModule("m")
    module.define("depth") { [unowned state] in state.nestedDepth }
    state.register(module)
    let source = """
      local nested = require('lunerv.bridge').nested
      local log = {}
      local function note() log[#log + 1] = m.depth() end
      local co = coroutine.wrap(function()
        nested(function() note() coroutine.yield() note() end)
        note()
      end)
      co()                    -- 1 inside
      note()                  -- 0 outside, while it has yielded
      nested(function() co() end)  -- 2 inside, then 1: its own share is over
      pcall(nested, error, 'x')
      note()                  -- 0
      return table.concat(log, ' ')
      """
    #expect(try result(of: source, in: state) == "1 0 2 1 0")
  }

  @Test func coroutinesWorkAsInLua() throws {
    let source = """
      local co = coroutine.create(function(a, b)
        local c = coroutine.yield(a + b)
        local t <close> = setmetatable({}, {__close = function() f_closed = true end})
        coroutine.yield(c)
      end)
      local log = {}
      local function add(...) for i = 1, select('#', ...) do
        log[#log + 1] = tostring((select(i, ...))) end end
      add(coroutine.resume(co, 1, 2))
      add(coroutine.resume(co, 'c'))
      add(coroutine.close(co))
      add(f_closed, coroutine.status(co))
      add(coroutine.resume(co))
      add(pcall(coroutine.close, coroutine.running()))
      add(coroutine.resume(coroutine.running()))
      add(coroutine.resume(coroutine.create(function() error({}, 0) end)) == false)
      for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do add(v) end
      local inner
      inner = coroutine.wrap(function() return pcall(inner) end)
      add(inner())
      return table.concat(log, ',')
      """
    #expect(
      try result(of: source)
        == "true,3,true,c,true,true,dead,false,cannot resume dead coroutine,"
        + "false,cannot close a running coroutine,false,cannot resume non-suspended coroutine,"
        + "true,1,2,3,false,cannot resume non-suspended coroutine")
  }
}
