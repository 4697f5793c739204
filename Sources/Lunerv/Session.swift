import Bindings
import Kernels
import LuaBridge
import Support
import Tensors

/// A Lua state with all of lunerv in it, and its tensors.
///
/// ```swift
/// let session = try Session()
/// let results = try session.run("local lv = require 'lunerv' return lv.ones(2, 3):sum():item()")
/// print(results[0].number ?? 0)                     // 6.0
/// ```
///
/// A session has its own globals, loaded modules, tape, random numbers and memory limit. Sessions
/// do not see each other. They share the kernels' threads and idle memory, and Ctrl-C if the
/// program asks for that (the library installs no handler by itself).
///
/// **Threads.** A session, its tensors and its functions are used by one thread at a time; any
/// thread may do so. A call throws while another thread is inside one. Only ``interrupter`` may be
/// used from anywhere.
///
/// **Lifetime.** The session ends with its last reference, or with ``close()``. Tensors taken out
/// of it can still be read afterwards, but not be computed with.
public final class Session {
  private var core: Core?

  /// Stops a call from another thread.
  public let interrupter: Interrupter

  /// A new session.
  ///
  /// - Parameters:
  ///   - stdlib: a folder to read lunerv's Lua library from, instead of the embedded copy: for work
  ///     on the library itself.
  ///   - memoryLimit: bytes that all tensors of the session may have together; nil for all that the
  ///     machine or the container has. Borrowed memory (``tensor(borrowing:shape:dtype:release:)``)
  ///     and the Lua heap do not count.
  ///   - threads: how many threads share the work of an operator, 1 to 256; nil keeps the current
  ///     number, initially all cores. It is one number per process, so the last one set applies to
  ///     all sessions. Results do not depend on it.
  /// - Throws: `.argument` for a number out of range, `.io` for a folder without the library.
  public init(stdlib: String? = nil, memoryLimit: Int? = nil, threads: Int? = nil) throws {
    if let stdlib, !Files.exists(stdlib + "/lunerv/init.lua") {
      throw LunervError(.io, "stdlib: '\(stdlib)' holds no lunerv/init.lua")
    }
    let core = try Core(stdlib: stdlib)
    if let memoryLimit {
      guard memoryLimit > 0 else {
        throw LunervError(.argument, "memoryLimit: expected a number above 0, got \(memoryLimit)")
      }
      core.numbers.memoryLimit = memoryLimit
    }
    if let threads {
      guard (1...256).contains(threads) else {
        throw LunervError(.argument, "threads: expected 1 to 256, got \(threads)")
      }
      ThreadPool.shared.threads = threads
    }
    self.core = core
    interrupter = Interrupter(core.stop)
  }

  /// Ends the session: Lua's objects are finalised, clips and writers closed, memory freed. Further
  /// calls throw. If Lua has called the current function, the session ends when that call is over.
  public func close() { core = nil }

  /// Whether it was closed.
  public var isClosed: Bool { core == nil }

  /// Bytes of the session's live tensors, and their number.
  public var living: (bytes: Int, tensors: Int) {
    guard let living = core?.numbers.living else { return (0, 0) }
    return (living.bytes, living.blocks)
  }

  func open() throws -> Core {
    guard let core else { throw LunervError(.argument, "the session is closed") }
    guard !core.stop.isBusyElsewhere else {
      throw LunervError(.argument, "the session is in use by another thread")
    }
    return core
  }

  // MARK: - Running Lua

  /// Runs Lua code and returns copies of its results; tensors among them are shared, not copied.
  ///
  /// - Parameters:
  ///   - source: the code; `...` are the arguments.
  ///   - name: the code's name in messages: "NAME:3: …".
  ///   - arguments: tensors are shared, tables copied.
  /// - Throws: the error that the script raised, with the user's line; `.interrupted` after
  ///   ``Interrupter/interrupt()``.
  @discardableResult
  public func run(_ source: String, name: String = "script", arguments: [Value] = []) throws
    -> [Value]
  {
    let core = try open()
    return try core.results {
      try core.lua.run(source: source, chunkName: "@" + name, passing: core.lua(arguments))
    }
  }

  /// Runs a script as `lunerv run` does: with `arg` and `...`, and with `require` finding modules
  /// in its folder.
  ///
  /// - Throws: `.io` for a file that cannot be read, otherwise as ``run(_:name:arguments:)``.
  @discardableResult
  public func run(file path: String, arguments: [String] = []) throws -> [Value] {
    let core = try open()
    return try core.results { try core.lua.run(file: path, arguments: arguments) }
  }

  /// Compiles Lua code to a function that can be called many times, as long as the session lives.
  ///
  /// ```swift
  /// let step = try session.load("local frame, target = ... return train(frame, target)")
  /// let loss = try step(.tensor(frame), .tensor(target))[0].number
  /// ```
  /// - Throws: `.data` for text that is not Lua.
  public func load(_ source: String, name: String = "script") throws -> Function {
    let core = try open()
    return Function(self, try core.lua.load(source: source, chunkName: "@" + name))
  }

  /// Calls a function of the API by its name: `lv.NAME(…)`.
  ///
  /// ```swift
  /// let x = try session.call("linspace", 0, 1, 11)[0].tensor
  /// ```
  @discardableResult
  public func call(_ name: String, _ arguments: Value...) throws -> [Value] {
    let core = try open()
    return try core.results {
      try core.api().run(core.lua([.string(name)] + arguments))
    }
  }
}

/// Compiled Lua code. It uses the session that compiled it, and does not keep it alive.
public final class Function {
  private weak var session: Session?
  private let function: LuaFunction

  init(_ session: Session, _ function: LuaFunction) {
    (self.session, self.function) = (session, function)
  }

  /// Calls it, as ``Session/run(_:name:arguments:)`` runs code.
  @discardableResult
  public func callAsFunction(_ arguments: Value...) throws -> [Value] {
    guard let core = try session?.open() else {
      throw LunervError(.argument, "the session is closed")
    }
    return try core.results { try function.run(core.lua(arguments)) }
  }
}

/// Stops the running call of a session, from any thread.
public struct Interrupter: Sendable {
  private let stop: LuaStop

  package init(_ stop: LuaStop) { self.stop = stop }

  /// Makes the running call end soon with an `.interrupted` error: between two kernels, or two
  /// instructions of Lua. `pcall` does not suppress it; shielded code, such as the writing of a
  /// checkpoint, is finished first. Other sessions continue.
  ///
  /// The thread that runs the call gets a SIGURG, which has no effect by itself. If the program has
  /// a handler for that signal, it is still called.
  ///
  /// - Returns: false if no call is running. Then nothing is stopped, not even a call that begins
  ///   right afterwards.
  @discardableResult
  public func interrupt() -> Bool { stop.request() }
}

/// The contents of a session; calls that are running keep it alive.
package final class Core {
  package let host: Host
  package let stop: LuaStop
  package var lua: LuaState { host.lua }
  package var numbers: Tensors.Session { host.session }
  private var functions: [String: LuaFunction] = [:]

  package init(stdlib: String?) throws {
    host = try Host(stdlib: stdlib)
    guard let stop = host.lua.makeStop() else {
      throw LunervError(.memory, "not enough memory for a session")
    }
    self.stop = stop
  }

  /// Runs `body` with this session's tensors.
  func use<R>(_ body: () throws -> R) rethrows -> R { try numbers.use(body) }

  func lua(_ values: [Value]) -> [(any LuaResult)?] { values.map { $0.lua } }

  /// The results of Lua code. An error that no line of a user caused names a line of the library,
  /// which is removed.
  package func results(_ body: () throws -> [LuaValue]) throws -> [Value] {
    do {
      return try body().map { Value($0, self) }
    } catch var error as LunervError {
      if let place = error.place, place.hasPrefix("lunerv:") { error.place = nil }
      throw error
    }
  }

  func api() throws -> LuaFunction {
    try function("local name = ... return require('lunerv')[name](select(2, ...))")
  }

  func method() throws -> LuaFunction {
    try function("local name, x = ... return x[name](x, select(3, ...))")
  }

  private func function(_ source: String) throws -> LuaFunction {
    if let known = functions[source] { return known }
    let loaded = try lua.load(source: source, chunkName: "@lunerv:embedding.lua")
    functions[source] = loaded
    return loaded
  }
}
