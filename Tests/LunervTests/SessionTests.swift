import Glibc
import Lunerv
import Synchronization
import Testing

/// The public API behaves as documented.
@Suite struct SessionTests {
  @Test func resultsAndArgumentsPassBothWays() throws {
    let session = try Session()
    let results = try session.run(
      "local a, b, c, d = ... return a + 1, b .. '!', not c, { 1, { x = 2 } }, d, nil, print",
      arguments: [1, "text", true, ["key": [1, 2.5]]])
    #expect(results[0].integer == 2 && results[1].string == "text!" && results[2].bool == false)
    #expect(results[3].list?[1]["x"]?.number == 2)
    #expect(results[4]["key"]?.list?[1].number == 2.5)
    #expect(results[5].typeName == "nil" && results[6].typeName == "function")
  }

  @Test func aScriptFindsItsArgumentsAndItsModules() throws {
    var template = Array("/tmp/lunerv-session-XXXXXX".utf8CString)
    let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    defer { for name in ["main.lua", "part.lua", ""] { remove(folder + "/" + name) } }
    for (name, text) in [
      ("main.lua", "return require('part') .. arg[1], ..."), ("part.lua", "return 'part of '"),
    ] {
      let file = try #require(fopen(folder + "/" + name, "w"))
      fputs(text, file)
      fclose(file)
    }
    let session = try Session()
    let results = try session.run(file: folder + "/main.lua", arguments: ["it"])
    #expect(results.map(\.string) == ["part of it", "it"])
    let error = #expect(throws: LunervError.self) { try session.run(file: "/nowhere.lua") }
    #expect(error?.kind == .io)
  }

  @Test func errorsNameTheUsersLine() throws {
    let session = try Session()
    let error = #expect(throws: LunervError.self) {
      try session.run("local lv = require 'lunerv'\nlv.ones(2):conv2d()", name: "host.lua")
    }
    #expect(error?.kind == .argument && error?.place == "host.lua:2")
    #expect(error?.message == "conv2d: argument 1 (weight): expected tensor, got no value")
    let native = #expect(throws: LunervError.self) { try session.call("ones", -1) }
    #expect(native?.place == nil && native?.kind == .argument)
    let syntax = #expect(throws: LunervError.self) { try session.load("return return", name: "x") }
    #expect(syntax?.kind == .data)
    #expect(throws: LunervError.self) { try session.call("nothing_of_that_name") }
  }

  @Test func functionsAndTheApiAreCalledByName() throws {
    let session = try Session()
    let x = try #require(try session.call("linspace", 0, 1, 5)[0].tensor)
    #expect(try x.values() == [0, 0.25, 0.5, 0.75, 1] && x.shape == [5] && x.dtype == .f32)
    let f = try session.load("local a, b = ... return (a * b):sum()")
    #expect(try f(.tensor(x), 2)[0].tensor?.item() == 5)
    #expect(try (x + x).values() == (x * 2).values())
    let y = try x.call("view", 1, 5).call("sum", 2, ["keepdim": true])
    #expect(y.shape == [1, 1])
  }

  @Test func sessionsDoNotSeeEachOtherAndShareTensors() throws {
    let (a, b) = (try Session(), try Session())
    try a.run("x = 1; lv = require 'lunerv'; lv.seed(1)")
    #expect(try b.run("return x")[0].typeName == "nil")
    let tensor = try a.tensor([1, 2, 3], shape: [3])
    let sum = try b.run("local x = ... x = x * 2 return x:sum()", arguments: [.tensor(tensor)])
    #expect(try sum[0].tensor?.item() == 12)
    #expect(a.living.tensors >= 1)
  }

  @Test func aClosedSessionRefusesWorkAndItsTensorsCanBeRead() throws {
    let session = try Session()
    try session.run("kept = setmetatable({}, { __gc = function() require('lunerv').ones(3) end })")
    let x = try #require(try session.call("arange", 1, 3)[0].tensor)
    let pending = try x * 2
    session.close()
    #expect(session.isClosed)
    #expect(try x.values() == [1, 2, 3] && pending.values() == [2, 4, 6])
    #expect(throws: LunervError.self) { try session.run("return 1") }
    #expect(throws: LunervError.self) { try x.call("exp") }
  }

  @Test func aSessionThatClosesItselfEndsAfterTheCall() throws {
    let session = try Session()
    try session.define("host") { [weak session] module in
      module.function("close") { _ in
        session?.close()
        return []
      }
    }
    let results = try session.run(
      "require('host').close() return require('lunerv').ones(2):sum():item()")
    #expect(results[0].number == 2 && session.isClosed)
  }

  @Test func optionsAreChecked() throws {
    #expect(throws: LunervError.self) { try Session(memoryLimit: 0) }
    #expect(throws: LunervError.self) { try Session(threads: 0) }
    #expect(throws: LunervError.self) { try Session(stdlib: "/nowhere") }
    let small = try Session(memoryLimit: 1 << 20)
    let error = #expect(throws: LunervError.self) { try small.call("zeros", 1_048_576) }
    #expect(error?.kind == .memory)
  }

  @Test func tenThousandFailingCallsLeaveNothingBehind() throws {
    let session = try Session()
    try session.define("host") { module in
      module.operation("refuse", [.tensor("x")]) { call in
        _ = try call.tensor("x").map { $0 + 1 }
        throw LunervError(.argument, "refuse: never")
      }
    }
    let fail = try session.load(
      """
      lv, host = lv or require 'lunerv', host or require 'host'
      x = x or lv.ones(4, { requires_grad = true })
      local ok = pcall(host.refuse, x * 2)
      assert(not ok)
      error(host.refuse(x))
      """)
    func failing(_ count: Int) {
      for _ in 0..<count { #expect(throws: LunervError.self) { try fail() } }
    }
    let settle = "collectgarbage() collectgarbage() return require('lunerv').stats().tape_entries"
    failing(10)
    let entries = try session.run(settle)[0].integer
    let living = session.living
    failing(5000)
    #expect(try session.run(settle)[0].integer == entries)
    #expect(session.living == living)
  }

  // MARK: - Stopping

  private final class Outcome: @unchecked Sendable {
    var error: LunervError?
  }

  private static func clock() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// Runs a script, and stops it from another thread after a while.
  private func stopped(_ session: Session, _ script: String) throws -> LunervError? {
    let interrupter = session.interrupter
    let thread = try background {
      usleep(100_000)
      while !interrupter.interrupt() { usleep(1000) }
    }
    let error = #expect(throws: LunervError.self) { try session.run(script) }
    pthread_join(thread, nil)
    return error
  }

  @Test(arguments: [
    "while true do end", "while true do pcall(function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    """
    local lv = require 'lunerv'
    local x, w = lv.ones(1, 16, 128, 128), lv.ones(16, 16, 3, 3)
    while true do local y = x:conv2d(w, nil, { padding = 1 }):sum():item() end
    """,
  ])
  func anotherThreadStopsACall(script: String) throws {
    let session = try Session()
    let other = try Session()
    let begun = Self.clock()
    let error = try stopped(session, script)
    #expect(error?.kind == .interrupted)
    #expect(Self.clock() - begun < 10)
    // The session still works, and others were not affected.
    #expect(try session.run("return require('lunerv').ones(2):sum():item()")[0].number == 2)
    #expect(try other.run("return 1")[0].integer == 1)
    #expect(session.interrupter.interrupt() == false)
    #expect(try session.run("return 2")[0].integer == 2)
  }

  @Test func aStopDoesNotReachTheOtherSession() throws {
    let stopping = try Session()
    nonisolated(unsafe) let going = try Session()
    let interrupter = stopping.interrupter
    let done = Outcome()
    let thread = try background {
      do { try Session().run("return 1") } catch {}
      usleep(100_000)
      while !interrupter.interrupt() { usleep(1000) }
    }
    let other = try background {
      do {
        try going.run("local t = os.clock() + 0.5 while os.clock() < t do end")
      } catch { done.error = error as? LunervError }
    }
    #expect(throws: LunervError.self) { try stopping.run("while true do end") }
    pthread_join(thread, nil)
    pthread_join(other, nil)
    #expect(done.error == nil)
  }

  @Test func aSecondThreadIsTurnedAway() throws {
    nonisolated(unsafe) let session = try Session()
    let outcome = Outcome()
    final class Signals: Sendable {
      let running = Atomic(false), turnedAway = Atomic(false)
    }
    let signals = Signals()
    try session.define("host") { module in
      module.function("wait") { _ in
        signals.running.store(true, ordering: .releasing)
        while !signals.turnedAway.load(ordering: .acquiring) { usleep(1000) }
        return []
      }
    }
    let thread = try background {
      while !signals.running.load(ordering: .acquiring) { usleep(1000) }
      do { try session.run("return 1") } catch { outcome.error = error as? LunervError }
      signals.turnedAway.store(true, ordering: .releasing)
    }
    try session.run("require('host').wait()")
    pthread_join(thread, nil)
    #expect(outcome.error?.message == "the session is in use by another thread")
  }

  @Test func sessionsOnTwoThreadsComputeWhatEachDoesAlone() throws {
    let script = """
      local lv = require 'lunerv'
      lv.seed(3)
      local x, w = lv.randn(2, 8, 24, 24), lv.randn(8, 8, 3, 3, { requires_grad = true })
      for i = 1, 20 do
        x:conv2d(w, nil, { padding = 1 }):tanh():mean():backward()
        lv.no_grad(function() w:add_(w.grad * -0.1) end)
        w.grad = nil
      end
      return ('%.9g'):format(w:sum():item())
      """
    final class Text: @unchecked Sendable { var text: String? }
    let alone = try Session().run(script)[0].string
    let texts = [Text(), Text()]
    let threads = try texts.map { text in
      try background { text.text = try? Session().run(script)[0].string }
    }
    for thread in threads { pthread_join(thread, nil) }
    #expect(texts.map(\.text) == [alone, alone] && alone != nil)
  }
}

/// Runs `body` on a separate thread, which the caller must join.
func background(_ body: @escaping @Sendable () -> Void) throws -> pthread_t {
  final class Job { let body: () -> Void; init(_ body: @escaping () -> Void) { self.body = body } }
  var thread = pthread_t()
  let status = pthread_create(
    &thread, nil,
    { raw in
      if let raw { Unmanaged<Job>.fromOpaque(raw).takeRetainedValue().body() }
      return nil
    }, Unmanaged.passRetained(Job(body)).toOpaque())
  try #require(status == 0)
  return thread
}
