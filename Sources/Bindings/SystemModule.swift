import CBuild
import Codec
import Kernels
import LuaBridge
import Ranks
import Support
import VideoIO

/// The version, and what the machine and its libraries offer: for `lunerv --version` and `lunerv
/// doctor`.
enum SystemModule {
  static func define(_ m: LuaModule) {
    m.constant("api_version", .int(Version.api))
    m.define(
      "versions",
      doc: """
        The versions of the program and of what it is linked with, by name: lunerv, api, format, \
        level, commit ("" if unknown to the build), march, lua, openblas, fftw, libav, mpi ("" where \
        it was built without).
        """
    ) { () -> LuaValue in
      .table(
        Build.facts.map { (.string($0.name), $0.number.map(LuaValue.int) ?? .string($0.text)) })
    }
    m.define(
      "has_codec", params: ["name", "role"],
      doc: "Whether libav has an 'encoder' or a 'decoder' of that name."
    ) { (name: String, role: String) -> Bool in
      switch role {
      case "encoder": return Inventory.hasEncoder(name)
      case "decoder": return Inventory.hasDecoder(name)
      default:
        throw LunervError(
          .argument, "has_codec: expected 'encoder' or 'decoder', got '\(role)'")
      }
    }
    m.define("has_filters", doc: "Whether libavfilter can be found.") { () -> Bool in
      Inventory.hasFilters
    }
    m.define("memory", doc: "Bytes of memory that this process may use.") { () -> Int in
      Environment.memory()
    }
    m.define("disk_free", params: ["path"], doc: "Bytes free for a folder, or nil.") {
      (path: String) -> Int? in Files.freeBytes(path)
    }
    m.define(
      "terminal_columns",
      doc: "The width of standard output's terminal, or nil if it is not one."
    ) { () -> Int? in Environment.terminalColumns() }
  }
}

/// The text of `lunerv --version`.
public enum Build {
  struct Fact {
    var name: String
    var text: String
    var number: Int?

    init(_ name: String, _ text: String) {
      self.name = name
      self.text = text
    }

    init(_ name: String, _ number: Int) {
      self.name = name
      self.text = String(number)
      self.number = number
    }
  }

  static var facts: [Fact] {
    [
      Fact("lunerv", Version.text), Fact("api", Version.api),
      Fact("format", Int(Container.version)), Fact("level", Int(Container.level)),
      Fact("commit", String(cString: lunerv_build_commit())),
      Fact("march", String(cString: lunerv_build_march())),
      Fact("lua", LuaState.release), Fact("openblas", Libraries.openBLAS),
      Fact("fftw", Libraries.fftw), Fact("libav", Inventory.version),
      Fact("mpi", Ranks.library ?? ""),
    ]
  }

  /// The lines of `lunerv --version`.
  public static var description: String {
    let commit = String(cString: lunerv_build_commit())
    return """
      lunerv \(Version.text)\(commit.isEmpty ? "" : " (\(commit.prefix(12)))")
      API \(Version.api), .lnv format \(Container.version) level \(Container.level)
      instruction set \(String(cString: lunerv_build_march()))
      \(LuaState.release), \(Libraries.openBLAS), \(Libraries.fftw), libav \(Inventory.version)
      \(Ranks.library ?? "no MPI (swift build -c release --traits MPI)")
      """
  }
}
