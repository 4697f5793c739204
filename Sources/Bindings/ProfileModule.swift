import LuaBridge
import Support
import Tensors

/// Parts of lunerv.profile: the session's ``Profiler``, which every call between Lua and Swift
/// notifies.
enum ProfileModule {
  private final class Calls: LuaCallObserver {
    let profiler: Profiler
    /// The profiler's number for each native function, by the function's own.
    private var operations: [Int32] = []

    init(_ profiler: Profiler) { self.profiler = profiler }

    func enterNative(_ number: Int, name: () -> String) {
      while operations.count <= number { operations.append(-1) }
      if operations[number] < 0 {
        operations[number] = Int32(profiler.operation(named: Calls.operation(name())))
      }
      // Functions of the profiler count as the Lua code that calls them.
      let operation = Int(operations[number])
      if operation == 0 { profiler.beginLua() } else { profiler.beginCall(operation) }
    }

    func enterLua() { profiler.beginLua() }

    func leave() { profiler.end() }

    private static func operation(_ name: String) -> String {
      if name.hasPrefix("profile_") { return "Lua" }
      // Methods of tensors are functions too.
      return name.hasPrefix("tensor:") ? String(name.dropFirst("tensor:".count)) : name
    }
  }

  static func define(_ m: LuaModule, _ lua: LuaState, _ session: Session) {
    m.define("profile_start", doc: "Begins to measure; an error if a profile is running.") {
      [weak lua, session] in
      guard let lua else { return }
      guard session.profiler == nil else {
        throw LunervError(.argument, "profile: a profile is already running")
      }
      lua.site = 0
      let profiler = Profiler { [weak lua] in lua?.site ?? 0 }
      session.profiler = profiler
      lua.callObserver = Calls(profiler)
    }
    m.define(
      "profile_site", params: ["number"],
      doc: "Sets the module in which Lua runs; returns the previous one.",
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
    m.define("profile_is_on", doc: "Whether a profile is running.", polls: false) {
      [session] () -> Bool in session.profiler != nil
    }
    m.define(
      "profile_stop", doc: "Stops measuring; returns all measurements, or nil.", polls: false
    ) {
      [weak lua, session] () -> LuaValue in
      guard let profiler = session.profiler else { return .nil_ }
      session.profiler = nil
      lua?.callObserver = nil
      lua?.site = 0
      return facts(profiler)
    }
  }

  private static func facts(_ profiler: Profiler) -> LuaValue {
    let seconds = Double(profiler.elapsed()) * 1e-9
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
  /// Runs `body` under the profiler, and reports to standard error.
  /// - Parameters:
  ///   - file: a flame graph if it ends in ".svg", else all figures (".json").
  ///   - json: all figures.
  ///
  /// The report is written however the body ends; Ctrl-C does not prevent that.
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
        // The body's error matters more.
        if case .success = result { throw error }
      }
    }
    try result.get()
  }
}
