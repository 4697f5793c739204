import LuaBridge
import Support
import VideoIO

/// Files; safetensors have their own module.
enum FileModule {
  static func define(_ m: LuaModule, register: (LuaClass<EventFile>) -> Void) {
    files(m)
    SafetensorsModule.define(m)
    register(EventModule.define(m))
  }

  /// Turns expected failures of input and output into nil and a message.
  static func attempt(_ body: () throws -> (any LuaResult)?...) throws -> LuaResults {
    try results { try body.map { try $0() } }
  }

  /// The same for results that are lists.
  static func results(_ body: () throws -> [(any LuaResult)?]) throws -> LuaResults {
    do {
      return LuaResults(list: try body())
    } catch let error as LunervError where [.io, .data, .memory].contains(error.kind) {
      return LuaResults(LuaFailure(error))
    }
  }

  private static func files(_ m: LuaModule) {
    m.define(
      "read_file", params: ["path"],
      doc: """
        The bytes of a file as a string; nil and an error where it cannot be read.

            local text = assert(lv.read_file("list.txt"))

        @return string?
        @return lunerv.Error?
        """
    ) { (path: String) in try attempt({ LuaBytes(try Files.read(path)) }) }
    m.define(
      "write_file", params: ["path", "text"],
      doc: """
        Writes a file whole or not at all; true, or nil and an error.

        Until all bytes are on the disk, other programs see the previous file.

            assert(lv.write_file("result.json", lv.json.encode(result)))

        @return boolean?
        @return lunerv.Error?
        """
    ) { (path: String, text: LuaBytes) in
      try attempt({
        try Files.writeAtomically(path, bytes: text.bytes)
        return true
      })
    }
    m.define(
      "make_dirs", params: ["path"],
      doc: """
        Creates a folder and its missing parents.

            lv.make_dirs("runs/today")
        """
    ) { (path: String) in try Files.makeDirectories(path) }
    m.define(
      "exists", params: ["path"],
      doc: """
        Whether there is a file or folder.

            if lv.exists("runs/today") then print "there" end
        """
    ) {
      (path: String) -> Bool in Files.exists(path)
    }
    m.define(
      "same_file", params: ["path", "other"],
      doc: "Whether two paths name one file or folder, by whatever spelling or link."
    ) { (path: String, other: String) -> Bool in Files.areSame(path, other) }
    m.define(
      "file_stamp", params: ["path"],
      doc: "A text that changes when the content of a file does; nil if there is no file."
    ) { (path: String) -> String? in Files.stamp(path) }
    m.define(
      "check_writable", params: ["path", "bytes"],
      doc: "True if a file of this many bytes can be written, or nil and a message."
    ) { (path: String, bytes: Int?) in
      try attempt({
        try Files.checkWritable(path, bytes: bytes ?? 0)
        return true
      })
    }
    m.define(
      "list_dir", params: ["path"],
      doc: """
        The names in a folder, sorted.

        A second list holds, escaped for messages, those that are not UTF-8 and that no path can \
        name. A folder that cannot be read is an error.

            for _, name in ipairs(lv.list_dir "clips") do print(name) end

        @return string[]
        @return string[]
        """
    ) { (path: String) -> LuaResults in
      let (names, unreadable) = try Files.listAll(path)
      return LuaResults(names, unreadable)
    }
    m.define("remove", params: ["path"], doc: "Removes a file.") { (path: String) in
      try Files.remove(path)
    }
    m.define(
      "remove_stale", params: ["folder"],
      doc: "Removes the unfinished files that killed processes left in a folder."
    ) { (path: String) in
      Temporary.removeStale(in: path, olderThan: 0)
    }
    m.define(
      "work_folder", params: ["path"],
      doc: """
        Creates a folder, and its missing parents, in which this process names every file. Removes \
        the unfinished files of killed processes; writing to a link in it replaces the link.
        """
    ) { (path: String) in try WorkFolders.open(path) }
    m.define("rename", params: ["from", "to"], doc: "Renames a file.") {
      (from: String, to: String) in try Files.rename(from, to: to)
    }
  }
}
