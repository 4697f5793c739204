import LuaBridge
import Support
import Tensors

/// What lunerv.profile is made of: a ``Profiler`` for the session, told of every call between Lua
/// and Swift.
enum ProfileModule {
  private final class Calls: LuaCallObserver {
    let profiler: Profiler
    /// The profiler's number of each native function, by the function's own.
    private var operations: [Int32] = []

    init(_ profiler: Profiler) { self.profiler = profiler }

    func enterNative(_ number: Int, name: () -> String) {
      while operations.count <= number { operations.append(-1) }
      if operations[number] < 0 {
        operations[number] = Int32(profiler.operation(named: Calls.operation(name())))
      }
      // Functions of the profiler are part of the Lua code that they are called from.
      let operation = Int(operations[number])
      if operation == 0 { profiler.beginLua() } else { profiler.beginCall(operation) }
    }

    func enterLua() { profiler.beginLua() }

    func leave() { profiler.end() }

    private static func operation(_ name: String) -> String {
      if name.hasPrefix("profile_") { return "Lua" }
      // Methods of tensors are functions, too.
      return name.hasPrefix("tensor:") ? String(name.dropFirst("tensor:".count)) : name
    }
  }

  static func define(_ m: LuaModule, _ lua: LuaState, _ session: Session) {
    m.define("profile_start", doc: "Begins to measure; what is measured already is refused.") {
      [weak lua, session] in
      guard let lua else { return }
      guard session.profiler == nil else {
        throw LunervError(.argument, "profile: a profile is being made already")
      }
      lua.site = 0
      let profiler = Profiler { [weak lua] in lua?.site ?? 0 }
      session.profiler = profiler
      lua.callObserver = Calls(profiler)
    }
    m.define(
      "profile_site", params: ["number"], doc: "Says in which module Lua is; where it was.",
      polls: false
    ) { [weak lua] (number: Int) -> Int in
      guard let lua else { return 0 }
      defer { lua.site = number }
      return lua.site
    }
    m.define(
      "profile_path", params: ["path"], doc: "A number for a module's path, for profile_site.",
      polls: false
    ) { [session] (path: String) -> Int in session.profiler?.site(of: path) ?? 0 }
    m.define("profile_is_on", doc: "Whether a profile is being made.", polls: false) {
      [session] () -> Bool in session.profiler != nil
    }
    m.define("profile_stop", doc: "Stops measuring: all that was measured, or nil.", polls: false) {
      [weak lua, session] () -> LuaValue in
      guard let profiler = session.profiler else { return .nil_ }
      session.profiler = nil
      lua?.callObserver = nil
      lua?.site = 0
      return facts(profiler)
    }
  }

  private static func facts(_ profiler: Profiler) -> LuaValue {
    let seconds = Double(profiler.settle()) * 1e-9
    func table(_ fields: [(String, LuaValue)]) -> LuaValue {
      .table(fields.map { (.string($0.0), $0.1) })
    }
    let records = profiler.records.map { r in
      table([
        ("path", .string(profiler.paths[r.path])),
        ("operator", .string(profiler.operations[r.operation])),
        ("backward", .bool(r.isBackward)), ("seconds", .number(Double(r.nanoseconds) * 1e-9)),
        ("calls", .int(r.calls)), ("flops", .number(r.flops)), ("chains", .int(r.chains)),
        ("links", .int(r.links)),
      ])
    }
    let memory = profiler.memory
    let held = memory.mostHeld.enumerated().map { owner, bytes in
      (LuaValue.string(profiler.paths[owner]), LuaValue.int(bytes))
    }
    return table([
      ("seconds", .number(seconds)), ("records", .array(records)), ("held", .table(held)),
      ("peak_bytes", .int(memory.peak)),
      ("peak_path", .string(profiler.paths[memory.ownerAtPeak])),
    ])
  }
}

extension Host {
  /// Runs `body` while everything is measured, and reports to standard error.
  ///
  /// - Parameters:
  ///   - file: becomes a flame graph where it ends in ".svg", else all figures (".json").
  ///   - json: becomes all figures.
  ///
  /// However the body ends, the report is made, and Ctrl-C does not stop that.
  public func profiled(file: String?, json: String?, _ body: () throws -> Void) throws {
    let files = [file ?? "", json ?? ""]
    func call(_ function: String, _ arguments: [String]) throws {
      try lua.run(
        source: "require('lunerv.profile.command').\(function)(...)",
        chunkName: "@lunerv:profiled.lua", arguments: arguments)
    }
    try call("begin", files)
    let result = Result { try body() }
    try LuaInterrupt.shielded {
      do {
        try call("finish", files)
      } catch {
        // What stopped the script is the news.
        if case .success = result { throw error }
      }
    }
    try result.get()
  }
}
