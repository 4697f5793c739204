import Testing

@testable import LuaBridge

/// Conversion in both directions: types, deep copies, argument messages, options.
@Suite struct ValueTests {
  @Test(arguments: [
    ("m.integer(3)", "3"), ("m.integer(3.0)", "3"), ("m.sum{1, 2.5}", "3.5"), ("m.sum{}", "0.0"),
    ("m.fields{a=1, b=2}", "3"), ("m.version", "3"), ("select('#', m.nothing(1, 2, 3))", "0"),
    ("select(2, m.count(1))", "0"), ("select(2, m.count(1, nil, 'x', {}))", "3"),
    ("select(2, m.flags(true))", "nil"), ("select(3, m.flags(true, false))", "false"),
    ("select(2, m.missing())", "no such file"), ("#m.bytes('a\\0b\\255')", "4"),
    ("m.bytes('a\\0\\255') == 'a\\0\\255'", "true"), ("#m.text('a\\0b')", "3"),
    ("m.text('\\255') == '\\u{fffd}'", "true"), ("math.type(m.echo(2^53 | 0))", "integer"),
    ("math.type(m.echo(2.0))", "float"), ("m.echo({1, {x={'deep'}}})[2].x[1]", "deep"),
    ("m.echo({1, nil, 3, a='b'}).a", "b"), ("m.echo({[0.5]=true})[0.5]", "true"),
    ("m.echo(print)", "nil"), ("m.echo(m.box(4)).value", "4.0"), ("m.echo()", "nil"),
    ("m.nothing(1, 2, 3, nil, nil)", "nil"),
  ])
  func passes(_ expression: String, _ expected: String) throws {
    #expect(try result(of: "return (\(expression))") == expected)
  }

  @Test(arguments: [
    (
      "local x, w = m.box(1)\nm.conv2d(x, w)",
      "train.lua:3: conv2d: argument 2: expected box, got nil"
    ),
    (
      "m.conv2d(m.box(1))",
      "train.lua:2: conv2d: argument 2: expected box, got no value"
    ),
    (
      "m.conv2d(m.box(1), m.crate())",
      "train.lua:2: conv2d: argument 2: expected box, got crate"
    ),
    (
      "m.box(1):conv2d(3)",
      "train.lua:2: conv2d: argument 1: expected box, got number"
    ),
    (
      "m.box(1).conv2d(3)",
      "train.lua:2: conv2d: argument 1 (self): expected box, got number"
    ),
    (
      "local t = {conv2d = m.box(1).conv2d}\nt:conv2d()",
      "train.lua:3: conv2d: self: expected box, got table"
    ),
    (
      "m.nothing(1, 2, 3, 4)",
      "train.lua:2: nothing: expected at most 3 arguments, got 4"
    ),
    (
      "m.box(1):shut(4)",
      "train.lua:2: shut: expected at most 0 arguments, got 1"
    ),
    (
      "m.sum{1, 2, three = 3}",
      "train.lua:2: sum: argument 1: expected list, got a table with the key 'three'"
    ),
    (
      "m.sum{1, [2.5] = 1}",
      "train.lua:2: sum: argument 1: expected list, got a table with the key '2.5'"
    ),
    (
      "m.sum{[{}] = 1}",
      "train.lua:2: sum: argument 1: expected list, got an object"
    ),
    (
      "m.integer(2.5)",
      "train.lua:2: integer: argument 1: expected integer, got 2.5"
    ),
    (
      "m.integer('3')",
      "train.lua:2: integer: argument 1: expected number, got string"
    ),
    (
      "m.sum{1, 'x'}",
      "train.lua:2: sum: argument 1: element 2: expected number, got string"
    ),
    (
      "m.fields{a=1.5}",
      "train.lua:2: fields: argument 1: field 'a': expected integer, got 1.5"
    ),
    (
      "m.fields{7}",
      "train.lua:2: fields: argument 1: expected string keys, got 1"
    ),
    (
      "m.box(1):conv2d(m.box(1), {strid=2})",
      "train.lua:2: conv2d: argument 2: "
        + "unknown option 'strid': did you mean 'stride'? (known: stride, padding, groups, mode)"
    ),
    (
      "m.box(1):conv2d(m.box(1), {2})",
      "train.lua:2: conv2d: argument 2: "
        + "unknown option '1' (known: stride, padding, groups, mode)"
    ),
    (
      "m.box(1):conv2d(m.box(1), {stride='two'})",
      "train.lua:2: conv2d: argument 2: option 'stride': expected number, got string"
    ),
    (
      "local t = {}; t.t = t; m.echo(t)",
      "train.lua:2: echo: argument 1: table contains itself"
    ),
    (
      "local t = {}; for i = 1, 200 do t = {t} end m.echo(t)",
      "train.lua:2: echo: argument 1: table nested deeper than 100 levels"
    ),
    (
      "return m.box(1) + {}",
      "train.lua:2: '+': operand 2: expected box or number, got table"
    ),
    (
      "m.box(1).value = 'x'",
      "train.lua:2: value: expected number, got string"
    ),
  ])
  func refuses(_ source: String, _ message: String) {
    #expect(failure(of: source)?.text == message)
  }

  @Test func optionsHaveDefaults() throws {
    #expect(try result(of: "return m.box(2):conv2d(m.box(3)).value") == "7.0")
    #expect(try result(of: "return m.box(2):conv2d(m.box(3), nil).value") == "7.0")
    #expect(
      try result(of: "return m.box(2):conv2d(m.box(3), {stride=4, padding=1}).value") == "10.0")
    #expect(try result(of: "return m.conv2d(m.box(2), m.box(3), m.box(4)).value") == "11.0")
  }

  @Test func sharedTablesDoNotMultiplyWithoutEnd() {
    // Thirty levels, each holding the next one twice: 2³⁰ values if copied.
    let error = failure(of: "local t = {}; for i = 1, 30 do t = {t, t} end m.echo(t)")
    #expect(error?.text.contains("holds more than") == true)
  }

  @Test func deepDataFromSwiftIsRefused() throws {
    let state = try LuaState()
    let module = LuaModule("m")
    module.define("deep") { () -> LuaValue in
      var value = LuaValue.array([])
      for _ in 0..<500 { value = .array([value]) }
      return value
    }
    module.define("keys") { LuaValue.table([(.number(.nan), 1), (.nil_, 2), ("a", 3)]) }
    state.register(module)
    let error = failure(of: "m.deep()", in: state)
    #expect(error?.text == "train.lua:2: data nested deeper than 100 levels")
    #expect(failure(of: "assert(m.keys().a == 3)", in: state) == nil)
  }

  @Test func signaturesDescribeFunctions() {
    let module = LuaModule("m")
    module.define("conv2d", params: ["x", "w", "b", "options"], doc: "Convolves.") {
      (x: Box, w: Box, b: Box?, options: ConvOptions) in x
    }
    let signature = module.signatures[0]
    #expect(signature.parameters.map(\.name) == ["x", "w", "b", "options"])
    #expect(signature.parameters.map(\.type) == ["box", "box", "box", "table"])
    #expect(signature.parameters.map(\.isOptional) == [false, false, true, true])
    #expect(signature.results == ["box"])
  }
}
