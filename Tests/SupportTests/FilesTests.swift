// Files: errors in words, writing whole or not at all, names, folders, escapes.
import Glibc
import Testing

@testable import Support

@Suite struct FilesTests {
  @Test func replacesAtomically() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/state"
      try Files.writeAtomically(path, text: "old")
      chmod(path, 0o640)
      let file = try AtomicFile(path)
      try file.write(Array("new ".utf8))
      try file.write(Array("state".utf8))
      #expect(try Files.readText(path) == "old")
      #expect(try Files.list(folder).count == 2)
      #expect(file.count == 9)
      try file.commit()
      #expect(try Files.readText(path) == "new state")
      #expect(try Files.list(folder) == ["state"])
      #expect(Files.status(path).map { $0.st_mode & 0o777 } == 0o640)
      #expect(failure { try file.write([1]) }.kind == .io)
      #expect(failure { try file.commit() }.kind == .io)
      file.discard()
      #expect(Files.exists(path))
    }
  }

  @Test func withoutCommitNothingHappens() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/state"
      try Files.writeAtomically(path, text: "old")
      do {
        let file = try AtomicFile(path)
        try file.write([1, 2, 3])
      }
      #expect(try Files.readText(path) == "old")
      #expect(try Files.list(folder) == ["state"])
    }
  }

  @Test func linksSurvive() throws {
    try withTemporaryFolder { folder in
      try Files.makeDirectories(folder + "/elsewhere")
      try Files.writeAtomically(folder + "/elsewhere/real", text: "old")
      symlink("elsewhere/real", folder + "/link")
      try Files.writeAtomically(folder + "/link", text: "new")
      #expect(try Files.readText(folder + "/elsewhere/real") == "new")
      #expect(try Files.list(folder) == ["elsewhere", "link"])
      var found = stat()
      lstat(folder + "/link", &found)
      #expect(found.st_mode & S_IFMT == S_IFLNK)
    }
  }

  @Test(.enabled(if: Files.exists("/dev/full"), "there is no /dev/full here"))
  func fullDeviceIsReported() throws {
    let error = failure { try Files.writeAtomically("/dev/full", text: "x") }
    #expect(error.kind == .io)
    #expect(error.message.hasPrefix("cannot write '/dev/full': no space left on device"))
    #expect(Files.exists("/dev/full"))
  }

  /// A file size limit stands in for a disk that fills up half-way, on any file system. In a
  /// separate process, which takes the limit with it.
  @Test func failureHalfWayRemovesTheTemporary() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryFolder { folder in
        let path = folder + "/state"
        try Files.writeAtomically(path, text: "old")
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit(rlim_cur: 100_000, rlim_max: 100_000)
        setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
        let bytes = [UInt8](repeating: 7, count: 1 << 20)
        let error = failure { try Files.writeAtomically(path, bytes: bytes) }
        #expect(error.kind == .io && error.message.hasPrefix("cannot write '\(path)'"))
        #expect(try Files.readText(path) == "old")
        #expect(try Files.list(folder) == ["state"])
      }
    }
  }

  /// The remains of a killed process: a temporary without a lock.
  private func remains(in folder: String, isFolder: Bool = false) throws -> String {
    let first = folder + "/first"
    if isFolder {
      try Files.makeDirectories(first)
    } else {
      try Files.writeAtomically(first, text: "leftover")
    }
    let status = try #require(Files.status(first))
    let path = folder + "/" + Temporary.name(of: status)
    try Files.rename(first, to: path)
    return path
  }

  @Test func staleTemporariesGoAndLiveOnesStay() throws {
    try withTemporaryFolder { folder in
      let live = try AtomicFile(folder + "/state")
      try live.write([1])
      let stale = try remains(in: folder)
      try Files.writeAtomically(folder + "/other.tmp", text: "not ours")
      #expect(Temporary.removeStale(in: folder) == 0)
      #expect(Temporary.removeStale(in: folder, olderThan: 0) == 1)
      #expect(!Files.exists(stale))
      try live.commit()
      #expect(try Files.list(folder) == ["other.tmp", "state"])
      #expect(Temporary.removeStale(in: folder + "/absent") == 0)
    }
  }

  /// In a user's folder too: the next process that writes there removes it, after a minute.
  @Test func whatAKilledProcessLeftGoesWithTheNextFile() throws {
    try withTemporaryFolder { folder in
      let stale = try remains(in: folder)
      let minuteAgo = timeval(tv_sec: time(nil) - 61, tv_usec: 0)
      #expect(utimes(stale, [minuteAgo, minuteAgo]) == 0)
      // Another spelling of the folder, in which nothing has been written yet.
      try Files.writeAtomically(folder + "/./state", text: "new")
      #expect(try Files.list(folder) == ["state"])
    }
  }

  @Test func whatOthersMadeIsNotCleanedAway() throws {
    try withTemporaryFolder { folder in
      let precious = folder + "/precious"
      try Files.makeDirectories(precious)
      try Files.writeAtomically(precious + "/letter", text: "kept")
      let work = folder + "/work"
      try Files.makeDirectories(work)
      #expect(symlink(precious, work + "/.lunerv-1.tmp") == 0)
      #expect(symlink(precious + "/letter", work + "/.lunerv-2.tmp") == 0)
      for name in [".x.0.tmp", ".notes.tmp", ".lunerv-A.tmp", ".lunerv-.tmp", ".lunerv-1-2.tmp"] {
        try Files.writeAtomically(work + "/" + name, text: "mine")
      }
      let before = try Files.list(work)
      try WorkFolders.open(work)
      #expect(try Files.list(work) == before)
      #expect(try Files.readText(precious + "/letter") == "kept")
      // Our temporary folders are removed with their content. Anything else of such a name stays.
      let ours = try remains(in: work, isFolder: true)
      try Files.writeAtomically(ours + "/frame_00001.png", text: "")
      #expect(Temporary.removeStale(in: work, olderThan: 0) == 1)
      #expect(try Files.list(work) == before)
      // A file with the name of a temporary one in another folder is not ours.
      let one = try remains(in: folder)
      try Files.writeAtomically(work + "/" + Files.split(one).name, text: "mine")
      #expect(Temporary.removeStale(in: work, olderThan: 0) == 0)
    }
  }

  @Test func linksInWorkFoldersAreReplacedNotFollowed() throws {
    try withTemporaryFolder { folder in
      let (outside, work) = (folder + "/outside", folder + "/work")
      try Files.writeAtomically(outside, text: "kept")
      try WorkFolders.open(work)
      for target in [outside, folder, "/dev/null", folder + "/nowhere"] {
        #expect(symlink(target, work + "/metrics.json") == 0)
        try Files.writeAtomically(work + "/metrics.json", text: "new")
        #expect(!Files.isLink(work + "/metrics.json"))
        #expect(try Files.readText(work + "/metrics.json") == "new")
        #expect(unlink(work + "/metrics.json") == 0)
      }
      #expect(try Files.readText(outside) == "kept")
      #expect(!Files.exists(folder + "/nowhere"))
    }
  }

  @Test func namesThatAreNotUTF8AreListedApart() throws {
    try withTemporaryFolder { folder in
      let odd = Array((folder + "/caf").utf8CString.dropLast()) + [-23, 0]
      let file = open(odd, O_WRONLY | O_CREAT, 0o600)
      #expect(file >= 0)
      close(file)
      defer { unlink(odd) }
      try Files.writeAtomically(folder + "/plain", text: "")
      let (names, unreadable) = try Files.listAll(folder)
      #expect(names == ["plain"])
      #expect(unreadable == [#"caf\xE9"#])
    }
  }

  @Test func messagesCannotSteerATerminal() {
    let error = LunervError(.data, "a\u{1B}[31m\u{202E}b\nc\td", context: ["\u{7}"])
    #expect(error.message == #"a\u{1B}[31m\u{202E}b"# + "\nc\td")
    #expect(error.context == [#"\u{7}"#])
    var other = LunervError(.data, "")
    other.message = "\r"
    #expect(other.message == #"\u{D}"#)
    #expect("käse 🧀 字".harmless == "käse 🧀 字")
  }

  @Test func foldersAndNames() throws {
    try withTemporaryFolder { folder in
      let deep = folder + "/a/b/c/"
      try Files.makeDirectories(deep)
      try Files.makeDirectories(deep)
      #expect(Files.isDirectory(folder + "/a/b/c"))
      for name in ["z", "B", "é", ".hidden"] { try Files.writeAtomically(deep + name, bytes: []) }
      #expect(try Files.list(deep) == [".hidden", "B", "z", "é"])
      try Files.rename(deep + "z", to: folder + "/moved")
      #expect(!Files.exists(deep + "z"))
      #expect(try Files.size(folder + "/moved") == 0)
      #expect(!Files.isDirectory(folder + "/moved"))
      #expect(failure { try Files.remove(deep) }.message.contains("not empty"))
      #expect(failure { try Files.makeDirectories(folder + "/moved/x") }.kind == .io)
      try Files.remove(folder + "/moved")
      #expect(!Files.exists(folder + "/moved"))
      let long = String(repeating: "a/", count: 100_000)
      #expect(failure { try Files.makeDirectories(long) }.message.contains("too long"))
    }
  }

  @Test(arguments: [
    ("a/b/c", "a/b", "c"), ("c", ".", "c"), ("/c", "/", "c"), ("a/b//", "a", "b"),
    ("/", "/", ""), ("", ".", ""),
  ])
  func splitsPaths(_ path: String, _ folder: String, _ name: String) {
    #expect(Files.split(path) == (folder, name))
  }

  @Test func readsUpToTheLimit() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/bytes"
      for count in [0, 1, 4095, 4096, 4097, 100_000] {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try Files.writeAtomically(path, bytes: bytes)
        #expect(try Files.read(path) == bytes)
        #expect(try Files.read(path, limit: count) == bytes)
        #expect(try MappedFile(path).withBytes(Array.init) == bytes)
        if count > 0 {
          #expect(failure { _ = try Files.read(path, limit: count - 1) }.kind == .io)
        }
      }
    }
    // Size unknown beforehand, and endless.
    #expect(try Files.readText("/proc/self/status").contains("VmHWM"))
    #expect(failure { _ = try Files.read("/dev/zero", limit: 1 << 20) }.kind == .io)
  }

  @Test func errorsNamePathAndReason() throws {
    try withTemporaryFolder { folder in
      let absent = folder + "/no/such"
      let expected = "cannot open '\(absent)': no such file or folder"
      #expect(failure { _ = try Files.read(absent) }.message == expected)
      #expect(failure { _ = try MappedFile(absent) }.message == expected)
      #expect(failure { _ = try Files.read(folder) }.message.hasSuffix("it is a folder"))
      #expect(failure { _ = try MappedFile(folder) }.message.hasSuffix("it is a folder"))
      #expect(failure { _ = try AtomicFile(folder) }.message.hasSuffix("it is a folder"))
      #expect(failure { _ = try AtomicFile(absent) }.message.contains("no such file or folder"))
      #expect(failure { _ = try Files.list(absent) }.kind == .io)
      #expect(failure { try Files.remove(absent) }.kind == .io)
      #expect(failure { try Files.rename(absent, to: folder + "/x") }.kind == .io)
      let nul = folder + "/a\0b"
      #expect(failure { try Files.writeAtomically(nul, text: "") }.message.contains("NUL"))
      #expect(!Files.exists(folder + "/a"))
      mkfifo(folder + "/pipe", 0o600)
      #expect(failure { _ = try MappedFile(folder + "/pipe") }.kind == .io)
    }
  }
}
