import CSandbox
@preconcurrency import Glibc
import Support

/// Which program a ``DecoderProcess`` runs. This process's own program, if it has declared that it
/// can be a decoder, as `lunerv` does. Any other program would begin its own work, so a `lunerv` is
/// searched for instead.
public enum DecoderProgram {
  /// The environment variable that names it, for hosts that cannot be started again and find none.
  static let variable = "LUNERV_DECODER"

  nonisolated(unsafe) private static var canDecode = false
  /// Whether this program is `lunerv`.
  nonisolated(unsafe) private(set) static var isCommand = false

  /// Declares that this program is `lunerv`, which can be a decoder.
  public static func declareCommand() {
    canDecode = true
    isCommand = true
  }

  /// Call this first in a program that serves as its own decoder process. In a process that was
  /// started as a decoder, it decodes and exits; else it returns. No other threads may run yet.
  public static func runIfRequested() {
    canDecode = true
    let words = CommandLine.arguments.dropFirst()
    var input = stat()
    guard words.first == ConfinedDecoder.command, fstat(0, &input) == 0,
      input.st_mode & S_IFMT == S_IFSOCK
    else { return }
    exit(ConfinedDecoder.run(Array(words.dropFirst())))
  }

  /// - Throws: if there is none.
  static func path() throws -> String {
    if canDecode { return "/proc/self/exe" }
    if let named = getenv(variable).map({ String(cString: $0) }), !named.isEmpty {
      guard isProgram(named) else {
        throw LunervError(.io, "\(variable): '\(named)' is not a program")
      }
      return named
    }
    if let found = candidates().first(where: { isProgram($0) && !isThisOne($0) }) { return found }
    throw LunervError(
      .io,
      "a file is decoded in a process of its own, and no program for it was found: install lunerv, "
        + "name it in \(variable), call runIfDecoderProcess() first in main, or decode a file that you "
        + "trust with confined = false")
  }

  /// Next to the program, next to the library, in `bin` of the library's installation, in PATH.
  private static func candidates() -> [String] {
    var folders: [String] = []
    if let program = realpath("/proc/self/exe", nil) {
      folders.append(Files.split(String(cString: program)).folder)
      free(program)
    }
    if let image = lunerv_image_path(), let library = realpath(image, nil) {
      let folder = Files.split(String(cString: library)).folder
      folders += [folder, folder + "/../../../bin"]
      free(library)
    }
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    // An empty entry would be the working folder, whose files may be anyone's.
    folders += path.split(separator: ":").map(String.init).filter { $0.hasPrefix("/") }
    return folders.map { $0 + "/lunerv" }
  }

  private static func isProgram(_ path: String) -> Bool {
    var info = stat()
    return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
  }

  private static func isThisOne(_ path: String) -> Bool {
    var (one, own) = (stat(), stat())
    return stat(path, &one) == 0 && stat("/proc/self/exe", &own) == 0 && one.st_ino == own.st_ino
      && one.st_dev == own.st_dev
  }
}
