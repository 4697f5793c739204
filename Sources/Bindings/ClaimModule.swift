@preconcurrency import Glibc
import LuaBridge
import Support

extension Claim: LuaObject {
  public static var luaName: String { "claim" }
}

/// Claims for Lua: see stdlib/lunerv/claims.lua.
enum ClaimModule {
  static func define(_ m: LuaModule) -> LuaClass<Claim> {
    m.define(
      "claim", params: ["path", "owner"],
      doc:
        "Creates a file that this process renews while it holds it; nil if the file exists already."
    ) { (path: String, owner: String) -> LuaResults in
      LuaResults(try Claim.take(path, owner: owner))
    }
    m.define("process_name", doc: "The host, the process ID, and its start time in ticks.") {
      () -> LuaResults in
      var name = [CChar](repeating: 0, count: 256)
      gethostname(&name, name.count - 1)
      let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      let host = String(decoding: bytes, as: UTF8.self)
      return LuaResults(host, Int(getpid()), Environment.processStart(Int(getpid())) ?? 0)
    }
    m.define(
      "process_start", params: ["pid"],
      doc: "When a process of this machine started, in its clock's ticks; nil if there is none."
    ) { (pid: Int) -> Int? in Environment.processStart(pid) }
    m.define("sleep", params: ["seconds"], doc: "Waits; Ctrl-C ends it.") { (seconds: Double) in
      let until = Environment.monotonicTime() + min(max(seconds, 0), 1e9)
      while Environment.monotonicTime() < until {
        if LuaInterrupt.isRequested { throw LunervError(.interrupted, "interrupted") }
        usleep(useconds_t(min(0.05, max(until - Environment.monotonicTime(), 0)) * 1e6))
      }
    }
    m.define("file_size", params: ["path"], doc: "Bytes of a file, or nil.") { (path: String) in
      LuaResults(try? Files.size(path))
    }
    let c = LuaClass<Claim>()
    c.method("release", doc: "Gives it up, and removes the file.", polls: false) {
      (claim: Claim) in claim.release()
    }
    return c
  }
}
