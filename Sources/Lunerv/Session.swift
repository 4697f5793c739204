import Bindings
import Kernels
import LuaBridge
import Support
import Tensors

/// A Lua state with all of lunerv in it, and the tensors that it computes with.
///
/// ```swift
/// let session = try Session()
/// let results = try session.run("local lv = require 'lunerv' return lv.ones(2, 3):sum():item()")
/// print(results[0].number ?? 0)                     // 6.0
/// ```
///
/// What a session has is its own: globals, loaded modules, the tape, random numbers, the limit of
/// memory. Several do not see each other. They share the kernels' threads and idle memory, and
/// Ctrl-C, if the program asks for that (the library installs no handler of its own).
///
/// **Threads.** One thread at a time uses a session, its tensors and its functions; which one does
/// not matter. A call while another thread is inside one throws. ``interrupter`` alone may be used
/// from anywhere.
///
/// **Lifetime.** The session ends with its last reference, or with ``close()``. Tensors taken out of
/// it can be read afterwards, but no longer be computed with.
public final class Session {
  private var core: Core?

  /// What stops a call from another thread.
  public let interrupter: Interrupter

  /// A new session.
  ///
  /// - Parameters:
  ///   - stdlib: a folder to read lunerv's Lua library from, in place of the embedded copy: for those
  ///     who work on it.
  ///   - memoryLimit: bytes that all tensors of the session may have together; nil for all that the
  ///     machine, or the container, has. Memory that is borrowed (``tensor(borrowing:shape:dtype:release:)``)
  ///     and the Lua heap do not count.
  ///   - threads: how many threads share the work of an operator, 1 to 256; nil leaves what is set,
  ///     at first all cores. The number is the process's, so the last one holds for all sessions.
  ///     Results do not depend on it.
  /// - Throws: `.argument` for a number out of range, `.io` for a folder that holds no library.
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
  /// calls throw. Inside a function that Lua has called, it ends when that call is over.
  public func close() { core = nil }

  /// Whether it was closed.
  public var isClosed: Bool { core == nil }

  /// Bytes of the session's living tensors, and how many there are.
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
  ///   - name: what messages call it: "NAME:3: …".
  ///   - arguments: tensors are shared, tables copied.
  /// - Throws: what the script raised, with the user's line; `.interrupted` after ``Interrupter/interrupt()``.
  @discardableResult
  public func run(_ source: String, name: String = "script", arguments: [Value] = []) throws
    -> [Value]
  {
    let core = try open()
    return try core.results {
      try core.lua.run(source: source, chunkName: "@" + name, passing: core.lua(arguments))
    }
  }

  /// Runs a script as `lunerv run` does: with `arg` and `...`, and with modules beside it for
  /// `require`.
  ///
  /// - Throws: `.io` for a file that cannot be read, and as ``run(_:name:arguments:)``.
  @discardableResult
  public func run(file path: String, arguments: [String] = []) throws -> [Value] {
    let core = try open()
    return try core.results { try core.lua.run(file: path, arguments: arguments) }
  }

  /// Lua code as a function, to be called many times, as long as the session lives.
  ///
  /// ```swift
  /// let step = try session.load("local frame, target = ... return train(frame, target)")
  /// let loss = try step(.tensor(frame), .tensor(target))[0].number
  /// ```
  /// - Throws: `.data` for text that is no Lua.
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

/// Lua code that was loaded once. It uses the session that it was loaded in, and does not keep it.
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

/// Stops what a session is doing, from any thread.
public struct Interrupter: Sendable {
  private let stop: LuaStop

  package init(_ stop: LuaStop) { self.stop = stop }

  /// Has the call that runs in the session end with an `.interrupted` error, soon: between two
  /// kernels, or two instructions of Lua. `pcall` does not hold it back; what is shielded, such as
  /// the writing of a checkpoint, comes first. Other sessions go on.
  ///
  /// The thread that runs the call gets a SIGURG, which by itself does nothing; a handler that the
  /// program has for that signal is still called.
  ///
  /// - Returns: false where no call runs: then nothing is stopped, not even a call that begins right
  ///   afterwards.
  @discardableResult
  public func interrupt() -> Bool { stop.request() }
}

/// What a session holds; kept by calls under way, so that it does not go from under them.
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

  /// What Lua returned; an error of a native function, with the library's line for want of a user's,
  /// goes without one.
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
