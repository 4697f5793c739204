import CLuaBridge

/// Ctrl-C, SIGTERM, SIGHUP and the SIGPIPE of a standard output that nobody reads any more, once
/// per process.
///
/// The first of them sets a flag, which every native function polls before it runs, and
/// hooks the running coroutine; the script stops with an error of kind `.interrupted` that
/// `pcall` cannot hold back. The second SIGINT kills.
public enum LuaInterrupt {
  /// Installs the handler; a SIGHUP or SIGTERM that is ignored stays so.
  public static func install() { lunerv_interrupt_install() }

  /// Asks for a stop as Ctrl-C does, from any thread; noticed by the next native function.
  public static func request() { lunerv_interrupt_request() }

  /// Whether to stop now. Cheap: for kernels to poll. False inside `bridge.shield`, so that
  /// a checkpoint can be written.
  public static var isRequested: Bool { lunerv_interrupt_pending() }

  /// Runs `body`, which Ctrl-C does not stop: what was gathered is to be said.
  public static func shielded<R>(_ body: () throws -> R) rethrows -> R {
    lunerv_shield(1)
    defer { lunerv_shield(-1) }
    return try body()
  }

  /// Whether the user asked to stop, shielded or not.
  public static var wasRequested: Bool { lunerv_interrupt_requested() }

  /// The signal that asked to stop first; SIGINT where none did.
  public static var signal: Int32 { lunerv_interrupt_reason() }

  /// Turns a standard output that lost its reader into a request, for when a program ends. The end
  /// of a step of training, and the ninth lost write, do so too.
  public static func requestIfUnread() { lunerv_interrupt_unread() }

  /// Has signals passed on to this thread while it waits for a line to be typed.
  public static func claim() { lunerv_interrupt_claim() }

  /// Forgets the request; scripts can run again and the next SIGINT counts as the first.
  public static func clear() { lunerv_interrupt_clear() }
}

/// Stops what runs in one state, from any thread; the others of the process do not notice.
public final class LuaStop: @unchecked Sendable {
  let stop: OpaquePointer

  init?() {
    guard let stop = lunerv_stop_make() else { return nil }
    self.stop = stop
  }

  deinit { lunerv_stop_release(stop) }

  /// Has the call that runs end with an error of kind `.interrupted`, as Ctrl-C does; false where
  /// none runs, and nothing was done.
  @discardableResult
  public func request() -> Bool { lunerv_stop_request(stop) }

  /// Whether a call runs on another thread than this one.
  public var isBusyElsewhere: Bool { lunerv_stop_is_elsewhere(stop) }
}
