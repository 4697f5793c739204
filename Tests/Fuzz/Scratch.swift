@preconcurrency import Glibc
import Support

/// A temporary folder of this process, for targets whose input is files.
enum Scratch {
  nonisolated(unsafe) private static var path: String?

  /// The folder, empty.
  static func folder() throws -> String {
    let folder = try path ?? make()
    for name in try Files.listAll(folder).names { unlink("\(folder)/\(name)") }
    return folder
  }

  /// An empty file, if it can have that name.
  static func touch(_ path: String) {
    let file = open(path, O_WRONLY | O_CREAT, 0o666)
    if file >= 0 { close(file) }
  }

  private static func make() throws -> String {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/lunerv-fuzz-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw LunervError(.io, "no temporary folder in '\(parent.printable)'")
    }
    let made = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    path = made
    atexit { Scratch.remove() }
    return made
  }

  private static func remove() {
    guard let path, let names = try? Files.listAll(path).names else { return }
    for name in names { unlink("\(path)/\(name)") }
    rmdir(path)
  }
}
