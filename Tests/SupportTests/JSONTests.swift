// JSON: valid and rejected texts, numbers, depth, positions in messages.
import Testing

@testable import Support

@Suite struct JSONTests {
  @Test func keepsOrderAndKinds() throws {
    let text = #"{"z":[1,-2.5,true,null,"a\"b"],"a":{"nested":[]},"m":{}}"#
    let json = try JSON.parse(text)
    #expect(json.text() == text)
    #expect(json.objectValue?.map(\.key) == ["z", "a", "m"])
    #expect(json["z"]?.arrayValue?[0] == .int(1))
    #expect(json["z"]?.arrayValue?[1] == .number(-2.5))
    #expect(json["absent"] == nil)
  }

  @Test func prettyText() {
    let json: JSON = ["a": [1, 2], "b": [:], "c": ["d": "e"]]
    #expect(
      json.text(pretty: true) == """
        {
          "a": [
            1,
            2
          ],
          "b": {},
          "c": {
            "d": "e"
          }
        }

        """)
  }

  @Test(arguments: [
    0.1, 1, -0.0, 1e16, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 123456.789, 3e-3, 1 / 3.0,
    100, 0x1p53,
  ])
  func doublesReadBackTheSame(_ value: Double) throws {
    let text = JSON.number(value).text()
    #expect(try JSON.parse(text).doubleValue?.bitPattern == value.bitPattern)
    #expect(try JSON.parse(text) == .number(value))
  }

  @Test func integersStayExact() throws {
    for value in [Int64.max, .min, 0, 9_007_199_254_740_993] {
      #expect(try JSON.parse(JSON.int(value).text()) == .int(value))
    }
    #expect(try JSON.parse("9223372036854775808") == .number(0x1p63))
    #expect(try JSON.parse("-0").doubleValue?.sign == .minus)
    #expect(JSON.number(3).intValue == 3)
    #expect(JSON.number(3.5).intValue == nil)
    #expect(JSON.number(1e300).intValue == nil)
  }

  @Test func nonFiniteNumbers() {
    let json: JSON = ["loss": [1, .number(.nan)], "lr": .number(.infinity)]
    #expect(json.text() == #"{"loss":[1,null],"lr":null}"#)
    let error = failure { try json.requireFinite() }
    #expect(error.context == ["in element 2", "in key 'loss'"])
    #expect(throws: Never.self) { try JSON.parse(json.text()).requireFinite() }
  }

  @Test func escapes() throws {
    let text = #""\u00e9\ud83d\ude00\/\b\f\n\r\t\\\"\u0000""#
    let expected = "é😀/\u{8}\u{C}\n\r\t\\\"\0"
    #expect(try JSON.parse(text) == .string(expected))
    #expect(JSON.string(expected).text() == #""é😀/\b\f\n\r\t\\\"\u0000""#)
    #expect(JSON.string("\u{1B}\u{7F}").text() == #""\u001b\u007f""#)
    #expect(try JSON.parse(" \t\r\n[ 1 , 2 ] ") == [1, 2])
  }

  @Test func brokenTextIsRepaired() throws {
    #expect(try JSON.parse(#""\ud800x""#) == "\u{FFFD}x")
    #expect(try JSON.parse(#""\ud800\u0041""#) == "\u{FFFD}A")
    #expect(try JSON.parse(#""\udc00\n""#) == "\u{FFFD}\n")
    #expect(try JSON.parse([0x22, 0x61, 0xFF, 0x22]) == "a\u{FFFD}")
  }

  @Test(arguments: [
    "", " ", "{", "[", "[1,]", "[,1]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "{'a':1}", "01", "-",
    "+1", "1.", ".5", "1e", "1e+", "0x1", "NaN", "Infinity", "-Infinity", "tru", "nul", "True",
    "\"a", "\"a\nb\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u12", "\"\\", "1 2", "[1] x", "[1}", "{]",
    "\u{FEFF}1", "// a\n1", "1e400", "{\"a\":1,\"a\":2}", "[1 2]", "\"\\ud800\\u12\"",
  ])
  func refuses(_ text: String) {
    let error = failure { _ = try JSON.parse(text) }
    #expect(error.kind == .data)
    #expect(error.message.contains("line"))
  }

  @Test func errorsNameTheirPosition() {
    let error = failure { _ = try JSON.parse("{\n  \"a\": [1,\n  x]\n}") }
    #expect(error.message == "invalid JSON at line 3, column 3: expected a value")
    let twice = failure { _ = try JSON.parse(#"{"k":1,"k":2}"#) }
    #expect(
      twice.message == "invalid JSON at line 1, column 8: key 'k' occurs twice in one object")
  }

  @Test func keysAreComparedByTheirBytes() throws {
    let json = try JSON.parse("{\"\u{E9}\":1,\"e\u{301}\":2}")
    #expect(json.objectValue?.count == 2)
  }

  @Test func limitsHold() throws {
    let deep = { (depth: Int) in
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try JSON.parse(deep(128))
    #expect(failure { _ = try JSON.parse(deep(129)) }.message.contains("128 deep"))
    #expect(failure { _ = try JSON.parse(String(repeating: "[", count: 1 << 20)) }.kind == .data)
    let small = JSON.Limits(depth: 1, bytes: 4)
    #expect(try JSON.parse("[12]", limits: small) == [12])
    #expect(failure { _ = try JSON.parse("[123]", limits: small) }.message.contains("5 bytes"))
  }

  /// Every one-byte change of a text must either parse or be rejected, never trap.
  @Test func survivesDamage() {
    let good = Array(#"{"a":[1.5e-3,"\ud83d\ude00\n",{"b":null}],"c":-0,"d":false}"#.utf8)
    var parsed = 0
    for position in good.indices {
      for byte in UInt8.min ... .max {
        var bytes = good
        bytes[position] = byte
        if (try? JSON.parse(bytes)) != nil { parsed += 1 }
      }
      #expect((try? JSON.parse(Array(good[..<position]))) == nil)
    }
    #expect(parsed > good.count)
  }
}
