import CStdlib
import Kernels
import LuaBridge
import Support
import Tensors

/// A Lua state with all of lunerv: the native module, the standard library, and the collector's
/// policy for memory that Lua cannot see.
public final class Host {
  public let lua: LuaState
  /// The state of this host's tensors.
  public let session = Session()
  private let pressure: Pressure
  private let library: Library

  /// The first host of a process uses all cores; the number of threads is shared by the process.
  private static let threads: Void = { ThreadPool.shared.threads = Environment.coreCount() }()

  /// - Parameters:
  ///   - lua: the state; nil for a new one.
  ///   - stdlib: a folder with a standard library that replaces the embedded one
  ///     (LUNERV_STDLIB).
  public convenience init(lua: LuaState? = nil, stdlib: String? = nil) throws {
    try self.init(lua: lua ?? LuaState(), stdlib: stdlib) { host, module in
      let lua = host.lua
      let pressure = host.pressure
      lua.register(OptimiserModule.define(module) { pressure.boundary() })
      FileModule.define(module) { events in lua.register(events) }
      let (clips, writers) = VideoModule.define(module)
      lua.register(clips)
      lua.register(writers)
      lua.register(DecoderProcess.define(module))
      lua.register(GradientExchange.define(module, pressure))
      RankModule.define(module)
      lua.register(ClaimModule.define(module))
      ProcessModule.define(module, host.session)
      // The state may outlive the host.
      DescriptionModule.define(module, lua) { [library = host.library] path in
        (try? library.text(path)) ?? nil
      }
      module.publish(
        "clip_grad_norm", "save_safetensors", "load_safetensors", "threads", "set_threads",
        "time", "stats", "list_dir", "exists", "make_dirs", "read_file", "write_file",
        "event_writer")
      BenchModule.define(module, lua, host.session)
      SystemModule.define(module)
      ProfileModule.define(module, lua, host.session)
    }
    Host.threads
    session.memoryLimit = Environment.memory()
    // A backward pass is one call that may take seconds; so may reading the first frame.
    session.betweenKernels = {
      if LuaInterrupt.isRequested { throw LunervError(.interrupted, "interrupted") }
    }
    // Finalizers may still compute while the state is closed.
    session.recordingGate = { [weak lua = self.lua] in lua?.nestedDepth == 0 }
  }

  /// A state that computes without access to anything outside: for decoders from files.
  ///
  /// - Parameters:
  ///   - heapLimit: bytes of the Lua heap.
  ///   - copying: how many values tables may pass in one call.
  ///   - define: adds functions to the native module.
  convenience init(
    confinedTo heapLimit: Int, copying: Int, _ define: (LuaModule, Host) -> Void
  ) throws {
    try self.init(lua: LuaState(memoryLimit: heapLimit), stdlib: nil) { define($1, $0) }
    session.recordingGate = { false }
    lua.copyLimit = copying
    // Collecting frees memory if garbage holds tensors, but it does not help if work is exhausted.
    lua.isWorthCollecting = { [session] in session.workLeft >= 0 && session.living.bytes > 0 }
    WorkingMemory.keep(64 << 20)
  }

  private init(
    lua: LuaState, stdlib: String?, _ define: (Host, LuaModule) throws -> Void
  ) throws {
    self.lua = lua
    library = Library(folder: stdlib)
    pressure = Pressure(lua, session)
    lua.onEnter = { [session] in session.enter() }
    lua.onCopy = { [session] count in
      session.use { () -> String? in
        // About the cost of reading a value and making a list of it.
        do {
          try Work.charge(64 + 16 * min(count, 1 << 40))
          return nil
        } catch {
          return (error as? LunervError)?.message
        }
      }
    }
    let module = LuaModule("lunerv.native")
    let tensors = LuaClass<Tensor>()
    let surface = TensorSurface(module: module, tensors: tensors)
    let pressure = self.pressure
    TensorModule.define(surface, session)
    lua.register(GradientModule.define(surface, lua, session, pressure))
    LayerModule.define(surface)
    SamplingModule.define(surface)
    IndexingModule.define(surface)
    OrderingModule.define(surface)
    ArrangingModule.define(surface)
    FunctionModule.define(surface)
    NormModule.define(surface, session)
    AlgebraModule.define(surface)
    ConvolutionModule.define(surface)
    lua.register(CompressionModule.define(surface))
    CoderModule.define(module, lua)
    lua.register(tensors)
    lua.register(JSONModule.define(module))
    module.define("step_boundary", doc: "Ends a step: garbage may be collected.") {
      pressure.boundary()
    }
    module.define(
      "nearest_names", params: ["word", "known"],
      doc: "Names that a word may be a misspelling of: at most three, nearest first."
    ) { (word: String, known: [String]) -> [String] in nearestNames(to: word, among: known) }
    module.constant("pure_operators", .array(module.pureNames.map { .string($0) }))
    module.publish(
      "seed", "rng_state", "set_rng_state", "permutation", "is_tensor", "is_grad_enabled", "grad")
    try define(self, module)
    module.constant("public_functions", .array(module.publicNames.map { .string($0) }))
    lua.register(module)
    lua.onObjectPush = { [pressure] _ in pressure.pushed() }
    addStdlib()
    // no_grad is a call with a depth, so it belongs to its coroutine.
    try lua.run(
      source: """
        local native = require "lunerv.native"
        native.no_grad = require("lunerv.bridge").nested
        native.set_hook_maker(function(...) return require "lunerv.gradients.hooks" (...) end)
        """,
      chunkName: "@lunerv:boot.lua")
  }

  private func addStdlib() {
    lua.addSource { [library] name in
      guard name == "lunerv" || name.hasPrefix("lunerv.") else { return nil }
      let inside = name.split(separator: ".").dropFirst().joined(separator: "/")
      for path in inside.isEmpty ? ["init.lua"] : [inside + ".lua", inside + "/init.lua"] {
        if let text = try library.text(path) { return (text, "@lunerv:" + path) }
      }
      return nil
    }
  }
}

/// The standard library's text: the embedded copy, or a folder's.
private final class Library {
  private let folder: String?
  private var embedded: [String: UnsafePointer<UInt8>] = [:]

  init(folder: String?) {
    self.folder = folder
    guard folder == nil else { return }
    for i in 0..<lunerv_stdlib_count {
      let file = lunerv_stdlib_file_at(i)
      guard let name = file.name, let text = file.text else { continue }
      let path = String(cString: name).split(separator: ".").dropFirst().joined(separator: "/")
      embedded[path] = text
    }
  }

  /// - Parameter path: "init.lua", "nn/conv2d.lua".
  func text(_ path: String) throws -> [UInt8]? {
    if let folder {
      let file = folder + "/lunerv/" + path
      return Files.exists(file) ? try Files.read(file) : nil
    }
    var name = path.hasSuffix(".lua") ? String(path.dropLast(4)) : path
    if name == "init" { name = "" }
    if name.hasSuffix("/init") { name = String(name.dropLast(5)) }
    return embedded[name].map { Array(String(cString: $0).utf8) }
  }
}

/// Lua sees userdata of a few bytes that hold tensors of megabytes: this requests collections for
/// them.
///
/// When backward begins, the handles of the forward pass are garbage, and so is what they hold
/// beyond the tape's own needs; at the end of a step everything it made is. Both collect if more
/// than 64 MB were allocated since the last such collection. Between steps, a soft limit protects
/// loops that never reach an end.
final class Pressure {
  /// Functions of the state hold this, so it must not keep the state alive; finalizers may run
  /// while the state ends.
  private weak var lua: LuaState?
  private let session: Session
  private var survivors = 0
  /// The bytes alive after the last collection at a checkpoint of this step.
  private var kept = 0
  private var softLimit = 256 << 20
  private var isSettling = false
  private var isBoundary = false
  private var isCheckpoint = false
  private var isCollected = false

  init(_ lua: LuaState, _ session: Session) {
    self.lua = lua
    self.session = session
  }

  private func request(boundary: Bool) {
    lua?.requestCollect()
    isBoundary = boundary || isSettling && isBoundary
    isSettling = true
  }

  /// What is alive right after a collection will survive the next one too.
  private func settle() {
    guard isSettling, lua?.isCollectRequested != true else { return }
    isSettling = false
    let live = session.living.bytes
    if isBoundary { (survivors, kept) = (live, 0) }
    if isCheckpoint { kept = live }
    isCheckpoint = false
    softLimit = max(256 << 20, live + live / 2)
  }

  func pushed() {
    settle()
    if !isSettling, session.living.bytes > softLimit { request(boundary: false) }
  }

  /// Requests to be called again after a collection, at most once per backward.
  func beforeBackward() throws {
    settle()
    let isDue = !isCollected && session.living.bytes - survivors > 64 << 20
    isCollected = isDue
    if isDue { throw LuaCollectFirst() }
  }

  /// A graph was dropped; its handles remain.
  func checkpoint() {
    settle()
    guard session.living.bytes - max(survivors, kept) > 32 << 20 else { return }
    request(boundary: false)
    isCheckpoint = true
  }

  func boundary() {
    settle()
    if session.living.bytes - survivors > 64 << 20 { request(boundary: true) }
  }
}
