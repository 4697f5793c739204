import Glibc
import Testing

@testable import Support

/// A temporary folder for a test, removed with its content afterwards.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
  let folder = "\(base)/lunerv-test-\(UInt64.random(in: 0 ... .max))"
  try Files.makeDirectories(folder)
  defer { removeTree(folder) }
  return try body(folder)
}

private func removeTree(_ path: String) {
  for name in (try? Files.list(path)) ?? [] {
    let inner = path + "/" + name
    if (try? Files.remove(inner)) == nil { removeTree(inner) }
  }
  try? Files.remove(path)
}

/// The error that `body` must throw.
func failure(
  _ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation
) -> LunervError {
  do { try body() } catch let error as LunervError {
    return error
  } catch {
    Issue.record("not a LunervError: \(error)", sourceLocation: sourceLocation)
    return LunervError(.io, "")
  }
  Issue.record("no error was thrown", sourceLocation: sourceLocation)
  return LunervError(.io, "")
}

@Test func printableEscapesWhatSteersATerminal() {
  #expect("naïve 文字 #1".printable == "naïve 文字 #1")
  #expect("a\u{1B}[2J\n\u{202E}b".printable == #"a\u{1B}[2J\u{A}\u{202E}b"#)
  #expect(String(repeating: "x", count: 500).printable.count == 201)
}

@Test func environmentFiguresArePlausible() throws {
  #expect(Environment.memory() > 64 << 20)
  #expect((1...4096).contains(Environment.coreCount()))
  let block = [UInt8](repeating: 1, count: 32 << 20)
  #expect(Environment.peakResidentBytes() > block.count)
  let before = Environment.pageFaults().minor
  #expect([UInt8](repeating: UInt8(block.count & 1), count: 64 << 20).last == 0)
  #expect(Environment.pageFaults().minor > before)
  let start = Environment.monotonicTime()
  usleep(2000)
  #expect((0.002..<10).contains(Environment.monotonicTime() - start))
  #expect(Environment.wallTime() > 1.7e9)
  let null = open("/dev/null", O_RDONLY)
  defer { close(null) }
  #expect(!Environment.isTerminal(null))
}
