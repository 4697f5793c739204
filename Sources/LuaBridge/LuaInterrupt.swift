import CLuaBridge

/// Ctrl-C, SIGTERM, SIGHUP and the SIGPIPE of a standard output that has lost its reader; once per
/// process.
///
/// The first of them sets a flag, which every native function polls before it runs, and hooks the
/// running coroutine. The script stops with an error of kind `.interrupted` that `pcall` cannot
/// suppress. The second SIGINT kills.
public enum LuaInterrupt {
  /// Installs the handler. A SIGHUP or SIGTERM that is ignored stays ignored.
  public static func install() { lunerv_interrupt_install() }

  /// Asks for a stop as Ctrl-C does, from any thread. The next native function notices it.
  public static func request() { lunerv_interrupt_request() }

  /// Whether to stop now. Cheap, so that kernels can poll it. False inside `bridge.shield`, so that
  /// a checkpoint can be written.
  public static var isRequested: Bool { lunerv_interrupt_pending() }

  /// Runs `body` with Ctrl-C deferred, so that results gathered so far can be reported.
  public static func shielded<R>(_ body: () throws -> R) rethrows -> R {
    lunerv_shield(1)
    defer { lunerv_shield(-1) }
    return try body()
  }

  /// Whether the user asked to stop, shielded or not.
  public static var wasRequested: Bool { lunerv_interrupt_requested() }

  /// The signal that asked for a stop first; SIGINT if none did.
  public static var signal: Int32 { lunerv_interrupt_reason() }

  /// Requests a stop if the reader of standard output is gone. Called when a program ends; the end
  /// of a training step and the ninth lost write do the same.
  public static func requestIfUnread() { lunerv_interrupt_unread() }

  /// Directs signals to this thread while it waits for a line to be typed.
  public static func claim() { lunerv_interrupt_claim() }

  /// Forgets the request; scripts can run again and the next SIGINT counts as the first.
  public static func clear() { lunerv_interrupt_clear() }
}

/// Stops the call that runs in one state, from any thread. The others of the process are not
/// affected.
public final class LuaStop: @unchecked Sendable {
  let stop: OpaquePointer

  init?() {
    guard let stop = lunerv_stop_make() else { return nil }
    self.stop = stop
  }

  deinit { lunerv_stop_release(stop) }

  /// Ends the running call with an error of kind `.interrupted`, as Ctrl-C does. False if none is
  /// running; then nothing is done.
  @discardableResult
  public func request() -> Bool { lunerv_stop_request(stop) }

  /// Whether a call is running on another thread.
  public var isBusyElsewhere: Bool { lunerv_stop_is_elsewhere(stop) }
}
