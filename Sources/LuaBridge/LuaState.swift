import CLua
import CLuaBridge
import Support

/// Thrown by a native function that needs all garbage collected before it begins; it is then called
/// again with the same arguments.
public struct LuaCollectFirst: Error {
  public init() {}
}

/// A Lua state with the standard libraries, owned by one thread.
///
/// A Lua error never crosses a Swift frame: Swift calls Lua only through protected calls, and Lua
/// calls Swift only through a trampoline in C, which raises the error after Swift has returned.
public final class LuaState {
  let bridge: UnsafeMutablePointer<lunerv_bridge>
  let main: OpaquePointer
  /// Whether another program owns the state.
  let isAttached: Bool

  /// Called with ``LuaObject/luaByteCount`` when Lua receives an object. May call
  /// ``requestCollect()``, but nothing that runs Lua code.
  public var onObjectPush: ((_ bytes: Int) -> Void)?

  /// Called before Lua code begins to run, from any caller; its result is called afterwards.
  public var onEnter: (() -> () -> Void)?

  /// "Lua 5.4.6".
  public static var release: String { String(cString: lunerv_lua_release()) }

  /// Observes calls between Lua and Swift, under the profiler.
  public var callObserver: (any LuaCallObserver)?

  /// The position of the running code in its model: a number of the host's, one per coroutine. A
  /// coroutine that has not set it has that of the code that resumed it.
  public var site: Int {
    get { Int(bridge.pointee.site) }
    set { bridge.pointee.site = Int64(newValue) }
  }

  private var moduleFolders: [String] = []
  /// Objects and functions that Lua refers to by address; never removed.
  private var functions: [NativeFunction] = []
  private var infos: [LuaObjectInfo] = []
  var optionTables: [ObjectIdentifier: AnyObject] = [:]
  /// The registered functions or methods, and properties, by the name of their module or class.
  private var described: [(name: String, signatures: () -> ([LuaSignature], [LuaSignature]))] = []
  /// The interpreter's own time, if it is being measured.
  public var stopwatch = LuaStopwatch()

  /// The most values that one call may receive in tables, and their number so far.
  public var copyLimit = Int.max
  var copied = 0

  /// Called with the number of values in a table before they are read; an error ends the call. Rows
  /// that are the same table in Lua are read each time they occur.
  public var onCopy: ((_ values: Int) -> String?)?

  /// Called when a native function fails for lack of memory: whether to collect all garbage and call
  /// the function again.
  public var isWorthCollecting: (() -> Bool)?
  /// The function that is called again.
  var retried: NativeFunction?

  /// An error met while pushing results, which cannot throw.
  var pushFailure: LunervError?
  private(set) var keptSerial = 0

  /// - Parameter memoryLimit: bytes the Lua heap may hold, the libraries' own included.
  ///   Swift objects are not counted.
  /// - Throws: `.memory` if there is none for a state.
  public init(memoryLimit: Int? = nil) throws {
    let callbacks = lunerv_callbacks(call: callNative, release: releaseNative)
    guard let bridge = lunerv_open(callbacks, nil), let main = bridge.pointee.main else {
      throw LunervError(.memory, "not enough memory for a Lua state")
    }
    self.bridge = bridge
    self.main = main
    isAttached = false
    bridge.pointee.host = Unmanaged.passUnretained(self).toOpaque()
    bridge.pointee.limit = memoryLimit.map { max($0, 1) } ?? 0
    registerBridgeModule()
  }

  /// A state that another program has created and will close. ``keep(_:)`` keeps this object until
  /// then.
  public init(attachedTo bridge: UnsafeMutablePointer<lunerv_bridge>) {
    self.bridge = bridge
    main = bridge.pointee.main ?? OpaquePointer(bridge)
    isAttached = true
    bridge.pointee.callbacks = lunerv_callbacks(call: callNative, release: releaseNative)
    bridge.pointee.host = Unmanaged.passUnretained(self).toOpaque()
    registerBridgeModule()
  }

  deinit {
    if isAttached {
      bridge.pointee.host = nil
      return
    }
    let leave = onEnter?()
    lunerv_close(bridge)
    leave?()
  }

  /// Keeps an object until the state that this is attached to is closed.
  public func keep(_ owner: AnyObject) {
    lunerv_set_owner(bridge, Unmanaged.passRetained(owner).toOpaque())
  }

  /// Pushes an error object, for a caller in C that raises it.
  public func push(_ error: LunervError) { current.push(error) }

  /// An object that stops the running call of this state, from any thread; nil if another program
  /// owns the state, or for lack of memory.
  public func makeStop() -> LuaStop? {
    guard !isAttached, let stop = LuaStop() else { return nil }
    lunerv_set_stop(bridge, stop.stop)
    return stop
  }

  /// The stack of the coroutine that runs now, or of the main thread.
  private var current: LuaStack { LuaStack(bridge.pointee.running ?? main, self) }

  // MARK: Registration

  /// Makes a module available to `require`.
  public func register(_ module: LuaModule) {
    let stack = current
    described.append((module.name, { (module.signatures, []) }))
    stack.pushTable(fields: module.functions.count + module.constants.count)
    fill(stack, with: module)
    _ = lunerv_preload(stack.thread, module.name)
  }

  /// Registers a class with the state, before its first object is pushed.
  public func register<T>(_ cls: LuaClass<T>) {
    let stack = current
    described.append((T.luaName, { (cls.methods.map(\.signature), cls.getters.map(\.signature)) }))
    for list in [cls.methods, cls.getters, cls.setters] {
      stack.pushTable(fields: list.count)
      for function in list {
        function.owner = T.luaName
        setFunction(function, named: function.signature.name, on: stack)
      }
    }
    stack.pushTable(fields: cls.events.count + 8)
    for (event, function) in cls.events { setFunction(function, named: event, on: stack) }
    let info = LuaObjectInfo(T.self)
    // A class that is registered again replaces the old one; existing objects keep theirs.
    infos.insert(info, at: 0)
    _ = lunerv_make_class(stack.thread, T.luaName, Unmanaged.passUnretained(info).toOpaque())
  }

  /// Provides the source of one module. "lunerv.nn.conv" becomes the chunk
  /// "@lunerv:nn/conv.lua".
  ///
  /// - Parameter text: returns the source, or nil if there is none.
  public func addSource(_ name: String, _ text: @escaping () throws -> [UInt8]?) {
    let path = name.split(separator: ".", omittingEmptySubsequences: false)
    let inside = path.first == "lunerv" && path.count > 1 ? path.dropFirst() : path[...]
    let chunk = "@lunerv:" + inside.joined(separator: "/") + ".lua"
    addSource { module in
      guard module == name, let bytes = try text() else { return nil }
      return (bytes, chunk)
    }
  }

  /// Provides sources of modules; it is called before folders are searched.
  ///
  /// - Parameter provider: module name → source and chunk name ("@lunerv:…" for the
  ///   stdlib), or nil for a module it does not know.
  public func addSource(
    _ provider: @escaping (_ module: String) throws -> (bytes: [UInt8], chunkName: String)?
  ) {
    let stack = current
    let function = NativeFunction("require") { (module: String) -> LuaResults in
      guard let source = try provider(module) else { return LuaResults(nil, nil) }
      return LuaResults(LuaBytes(source.bytes), source.chunkName)
    }
    push(function, on: stack)
    _ = lunerv_add_searcher(stack.thread)
  }

  /// The file of a module in a folder whose path contains ';' or '?', which are special in
  /// `package.path`.
  private func fileOfModule(_ name: String) -> String? {
    let inside = name.replacing(".", with: "/")
    return moduleFolders.flatMap { ["\($0)/\(inside).lua", "\($0)/\(inside)/init.lua"] }
      .first { Files.exists($0) && !Files.isDirectory($0) }
  }

  private func registerBridgeModule() {
    let find = NativeFunction("file_of_module", params: ["name"]) {
      [weak self] (name: String) -> String? in self?.fileOfModule(name)
    }
    addSource { [weak self] name in
      try self?.fileOfModule(name).map { (try Files.read($0), "@" + $0) }
    }
    let stack = current
    lunerv_push_bridge_module(stack.thread)
    setFunction(find, named: find.signature.name, on: stack)
    _ = lunerv_preload(stack.thread, "lunerv.bridge")
  }

  private func fill(_ stack: LuaStack, with module: LuaModule) {
    for function in module.functions {
      setFunction(function, named: function.signature.name, on: stack)
    }
    for (name, value) in module.constants {
      value.push(to: stack)
      stack.setField(name)
    }
  }

  private func push(_ function: NativeFunction, on stack: LuaStack) {
    function.number = functions.count
    functions.append(function)
    stack.room()
    lunerv_push_function(
      stack.thread, Unmanaged.passUnretained(function).toOpaque(), function.polls)
  }

  private func setFunction(_ function: NativeFunction, named name: String, on stack: LuaStack) {
    push(function, on: stack)
    stack.setField(name)
  }

  /// The signatures of the modules and classes registered under a name; nil if there are none.
  public func signatures(
    of name: String
  ) -> (functions: [LuaSignature], properties: [LuaSignature])? {
    let found = described.filter { $0.name == name }.map { $0.signatures() }
    return found.isEmpty ? nil : (found.flatMap(\.0), found.flatMap(\.1))
  }

  func info(of type: ObjectIdentifier) -> LuaObjectInfo? {
    for info in infos where info.type == type { return info }
    return nil
  }

  // MARK: Running

  /// Runs a script: sets `arg`, passes the arguments as `...`, and lets `require` find
  /// modules next to the script.
  ///
  /// - Returns: copies of what the script returns.
  /// - Throws: a `LunervError` with its place and the traceback.
  @discardableResult
  public func run(file path: String, arguments: [String]) throws -> [LuaValue] {
    let stack = current
    setArguments(path, arguments, on: stack)
    // Modules are next to the given path or, if that is a link, next to its target. The folder
    // added last is searched first.
    let files = Files.isLink(path) ? [Files.destination(path), path] : [path]
    let folders = files.map { Files.split($0).folder }
    if folders.contains(where: { $0.contains(where: { ";?".contains($0) }) }) {
      moduleFolders = folders.reversed()
    } else {
      for folder in folders { try check(lunerv_prepend_path(stack.thread, folder), stack) }
    }
    try check(lunerv_load_file(stack.thread, path), stack)
    return try call(on: stack, arguments, report: true)
  }

  /// Runs source text and returns copies of its results.
  ///
  /// - Parameter chunkName: "@name" shows as "name:line:" in messages, "=name" the same;
  ///   anything else is shown as source.
  /// - Throws: as ``run(file:arguments:)``.
  @discardableResult
  public func run(source: String, chunkName: String, arguments: [String] = []) throws
    -> [LuaValue]
  {
    try run(source: source, chunkName: chunkName, passing: arguments)
  }

  /// The same with arguments of any kind.
  @discardableResult
  public func run(source: String, chunkName: String, passing arguments: [(any LuaResult)?]) throws
    -> [LuaValue]
  {
    let stack = current
    try load(source, chunkName, on: stack)
    return try call(on: stack, arguments, report: true)
  }

  /// Source text as a function that Swift may keep.
  ///
  /// - Throws: a `LunervError` if the text is not valid Lua.
  public func load(source: String, chunkName: String) throws -> LuaFunction {
    let stack = current
    try load(source, chunkName, on: stack)
    return LuaFunction(popping: stack)
  }

  private func load(_ source: String, _ chunkName: String, on stack: LuaStack) throws {
    var source = source
    let status = source.withUTF8 {
      lunerv_load_buffer(stack.thread, $0.baseAddress, $0.count, chunkName)
    }
    try check(status, stack)
  }

  private func setArguments(_ path: String, _ arguments: [String], on stack: LuaStack) {
    stack.room()
    lua_rawgeti(stack.thread, LUNERV_REGISTRY, LUNERV_GLOBALS)
    arguments.push(to: stack)
    stack.push(path)
    stack.setElement(0)
    stack.setField("arg")
    lunerv_pop(stack.thread, 1)
  }

  /// Calls the function that `push` pushes, for ``LuaFunction``.
  func call(_ arguments: [(any LuaResult)?], report: Bool, push: (LuaStack) -> Void) throws
    -> [LuaValue]
  {
    let stack = current
    stack.room()
    push(stack)
    return try call(on: stack, arguments, report: report)
  }

  /// Calls the function on top of the stack and pops its results.
  private func call(on stack: LuaStack, _ arguments: [(any LuaResult)?], report: Bool) throws
    -> [LuaValue]
  {
    let thread = stack.thread
    let base = stack.count - 1
    defer { lua_settop(thread, base) }
    LuaResults(list: arguments).push(to: stack)
    if let failure = pushFailure {
      pushFailure = nil
      throw failure
    }
    let depth = bridge.pointee.depth
    let leave = onEnter?()
    defer { leave?() }
    stopwatch.enterLua()
    let (site, observer) = (bridge.pointee.site, callObserver)
    observer?.enterLua()
    let status = lunerv_call(thread, stack.count - base - 1, LUA_MULTRET, report)
    observer?.leave()
    bridge.pointee.site = site
    stopwatch.leaveLua()
    bridge.pointee.depth = depth
    if status != LUA_OK {
      if report { throw error(stack, status) }
      throw raisedError(stack, status)
    }
    var results: [LuaValue] = []
    var index = base + 1
    while index <= stack.count {
      do {
        results.append(try LuaValue.read(stack, at: index))
      } catch {
        throw LunervError(.argument, "result \(index - base): " + error.text(stack, at: index))
      }
      index += 1
    }
    return results
  }

  /// Throws the error value on top of the stack, if `status` says there is one.
  private func check(_ status: Int32, _ stack: LuaStack) throws {
    guard status != LUA_OK else { return }
    defer { lunerv_pop(stack.thread, 1) }
    throw error(stack, status)
  }

  /// The error on top of the stack, which stays Lua's own value when it is rethrown.
  private func raisedError(_ stack: LuaStack, _ status: Int32) -> LuaRaisedError {
    let error = error(stack, status)
    lunerv_keep_error(stack.thread)
    keptSerial += 1
    return LuaRaisedError(error: error, serial: keptSerial)
  }

  /// Pushes the Lua value that was kept for the last raised error, and no longer keeps it.
  func takeKeptError(on stack: LuaStack) {
    keptSerial += 1
    stack.room()
    lunerv_take_kept_error(stack.thread)
  }

  private func error(_ stack: LuaStack, _ status: Int32) -> LunervError {
    var error =
      stack.error(at: -1)
      ?? LunervError(
        .script, stack.string(at: -1) ?? "(error object is a \(stack.typeName(at: -1)) value)")
    if status == LUA_ERRMEM { error.kind = .memory }
    if bridge.pointee.interrupt_raised, LuaInterrupt.wasRequested || bridge.pointee.stopped {
      error.kind = .interrupted
    }
    return error
  }

  // MARK: Memory

  /// Collects all garbage: now, or when Lua is running, as ``requestCollect()`` does,
  /// because finalizers run.
  public func collect() {
    if bridge.pointee.entered > 0 { requestCollect() } else { lunerv_collect(main) }
  }

  /// Requests a collection of all garbage, after the running Swift function has returned.
  public func requestCollect() { bridge.pointee.collect_requested = true }

  /// Whether a requested collection is pending.
  public var isCollectRequested: Bool { bridge.pointee.collect_requested }

  /// The size of the Lua heap.
  public var heapBytes: Int { Int(bridge.pointee.used) }

  /// The number of calls of `bridge.nested` around the running code. A coroutine's own calls stop
  /// counting while it is suspended.
  public var nestedDepth: Int { Int(bridge.pointee.depth) }

  /// Runs `body` as if outside of all calls of `bridge.nested`.
  public func unnested<R>(_ body: () throws -> R) rethrows -> R {
    let depth = bridge.pointee.depth
    bridge.pointee.depth = 0
    defer { bridge.pointee.depth = depth }
    return try body()
  }
}

/// The trampoline calls this with the function's address and the stack.
private func callNative(_ function: UnsafeMutableRawPointer, _ thread: OpaquePointer) -> Int32 {
  guard let host = lunerv_bridge_of(thread).pointee.host else { return 0 }
  return Unmanaged<LuaState>.fromOpaque(host)._withUnsafeGuaranteedRef { state in
    state.stopwatch.leaveLua()
    defer { state.stopwatch.enterLua() }
    // No caller in Swift has announced that this state's code runs.
    let leave = state.isAttached ? state.onEnter?() : nil
    defer { leave?() }
    return Unmanaged<NativeFunction>.fromOpaque(function)._withUnsafeGuaranteedRef { function in
      guard let observer = state.callObserver else { return function.call(LuaStack(thread, state)) }
      observer.enterNative(function.number) { function.displayName }
      defer { observer.leave() }
      return function.call(LuaStack(thread, state))
    }
  }
}

/// An observer of calls between Lua and Swift. Calls nest.
public protocol LuaCallObserver: AnyObject {
  /// Lua calls the native function with this number, "conv2d" or "clip:frame".
  func enterNative(_ number: Int, name: () -> String)
  /// Swift calls Lua.
  func enterLua()
  /// The call entered last is over.
  func leave()
}

private func releaseNative(_ object: UnsafeMutableRawPointer) {
  Unmanaged<AnyObject>.fromOpaque(object).release()
}
