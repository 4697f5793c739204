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
  /// process of its own, which the limit then dies with.
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

  @Test func staleTemporariesGoAndLiveOnesStay() throws {
    try withTemporaryFolder { folder in
      let live = try AtomicFile(folder + "/state")
      try live.write([1])
      let stale = folder + "/.lunerv-abc.tmp"
      try Files.writeAtomically(stale, text: "left over")
      try Files.writeAtomically(folder + "/other.tmp", text: "not ours")
      #expect(AtomicFile.removeStale(in: folder) == 0)
      #expect(AtomicFile.removeStale(in: folder, olderThan: 0) == 1)
      #expect(!Files.exists(stale))
      try live.commit()
      #expect(try Files.list(folder) == ["other.tmp", "state"])
      #expect(AtomicFile.removeStale(in: folder + "/absent") == 0)
    }
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
