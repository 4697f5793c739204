import Bindings
import CLunervModule
import Glibc
import LuaBridge
import Support

/// Makes a host of a state that a plain Lua created. The host lives until that state is closed.
///
/// - Returns: whether it succeeded; if not, a text with the reason is on top of the state's stack.
@_cdecl("lunerv_module_start")
func startModule(_ bridge: UnsafeMutablePointer<lunerv_bridge>) -> Bool {
  let lua = LuaState(attachedTo: bridge)
  do {
    let folder = getenv("LUNERV_STDLIB").map { String(cString: $0) } ?? ""
    lua.keep(try Host(lua: lua, stdlib: folder.isEmpty ? nil : folder))
    return true
  } catch {
    lua.push(error as? LunervError ?? LunervError(.argument, "lunerv: \(error)"))
    return false
  }
}
