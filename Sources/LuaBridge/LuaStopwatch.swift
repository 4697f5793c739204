import Glibc

/// How long the Lua interpreter itself has worked, the garbage collector included and native
/// functions excluded. While it runs, each native call reads the clock twice.
public struct LuaStopwatch {
  private var isRunning = false
  private var entered = 0
  private var nanoseconds = 0

  /// Seconds so far. The first reading starts the watch.
  public var seconds: Double {
    mutating get {
      isRunning = true
      return Double(nanoseconds) * 1e-9
    }
  }

  mutating func enterLua() { if isRunning { entered = Self.now() } }

  mutating func leaveLua() {
    guard isRunning, entered > 0 else { return }
    nanoseconds += Self.now() - entered
    entered = 0
  }

  private static func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }
}
