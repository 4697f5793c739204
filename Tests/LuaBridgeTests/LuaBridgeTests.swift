import Support
import Testing

@testable import LuaBridge

@Test func runs() throws {
  let state = LuaState()
  let module = LuaModule("m")
  module.define("add") { (a: Int, b: Int) in a + b }
  module.define("none") { (a: Int) in }
  module.define("two") { (a: Int) in (a, "x") }
  module.define("three") { (a: Int) in (a, "x", 2.5) }
  state.register(module)
  let r = try state.run(
    source: "local m = require 'm'; return m.add(1,2), m.two(3)", chunkName: "@t.lua")
  #expect(r.count == 3)
  do {
    try state.run(source: "local m = require 'm'\nm.add(1)", chunkName: "@t.lua")
  } catch let error as LunervError {
    #expect(error.message == "t.lua:2: bad argument #2 to 'add' (number expected, got no value)")
  }
}
