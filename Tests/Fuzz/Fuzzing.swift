import CFuzz
@preconcurrency import Glibc
@testable import LuaBridge
import Support

#if FUZZ
  @_silgen_name("LLVMFuzzerRunDriver")
  private func LLVMFuzzerRunDriver(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
  ) -> Int32

  @_silgen_name("LLVMFuzzerMutate")
  private func LLVMFuzzerMutate(_ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ most: Int)
    -> Int

  /// libFuzzer's own mutations; in 15 of 16 cases the target repairs the result.
  @_cdecl("LLVMFuzzerCustomMutator")
  public func customMutator(
    _ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ most: Int, _ seed: UInt32
  ) -> Int {
    let count = LLVMFuzzerMutate(data, size, most)
    guard let mend = Fuzzing.target?.mend, seed % 16 != 0 else { return count }
    let mended = mend(Array(UnsafeBufferPointer(start: data, count: count)))
    guard mended.count <= most else { return count }
    for (i, byte) in mended.enumerated() { data[i] = byte }
    return mended.count
  }
#endif

enum Fuzzing {
  /// libFuzzer's callback has no context.
  nonisolated(unsafe) fileprivate(set) static var target: FuzzTarget?
  /// The target's name for the processes that libFuzzer starts itself.
  private static let variable = "LUNERV_FUZZ_TARGET"

  /// Whether the programs of inputs are printed.
  static let shows = getenv("LUNERV_FUZZ_SHOW") != nil

  /// Lets the fuzzer see the lines of the library that a state runs.
  static func watch(_ lua: LuaState) {
    #if FUZZ
      lunerv_fuzz_watch(lua.main)
    #endif
  }

  static func main() {
    setvbuf(stdout, nil, _IOLBF, 0)
    var words = Array(CommandLine.arguments.dropFirst())
    if words.first == "--list" {
      for target in FuzzTarget.all {
        let padding = String(repeating: " ", count: max(1, 14 - target.name.utf8.count))
        print(target.name + padding + target.summary)
      }
      return
    }
    if words.count == 2, words[0] == "--replay" { replayFolder(words[1]) }
    if let name = words.first, !name.hasPrefix("-"), let named = FuzzTarget.named(name) {
      target = named
      setenv(variable, name, 1)
      words.removeFirst()
    } else if let name = getenv(variable).map({ String(cString: $0) }) {
      target = FuzzTarget.named(name)
    }
    guard let target else { usage() }
    #if FUZZ
      fuzz(target, words)
    #else
      replay(target, words)
    #endif
  }

  private static func usage() -> Never {
    fputs("usage: Fuzz --list | --replay FOLDER | TARGET [FILES or options]\n", stderr)
    exit(2)
  }

  #if FUZZ
    private static func fuzz(_ target: FuzzTarget, _ words: [String]) -> Never {
      var all = [CommandLine.arguments[0]] + words
      if !words.contains(where: { $0.hasPrefix("-max_len=") }) {
        all.append("-max_len=\(target.longest)")
      }
      if let dictionary = dictionary(target) { all.append("-dict=\(dictionary)") }
      var count = Int32(all.count)
      let copies: [UnsafeMutablePointer<CChar>?] = all.map { strdup($0) } + [nil]
      let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(
        capacity: copies.count)
      list.initialize(from: copies, count: copies.count)
      var arguments = list
      exit(
        LLVMFuzzerRunDriver(&count, &arguments) { data, size in
          Fuzzing.target?.feed(Array(UnsafeBufferPointer(start: data, count: size)))
          return 0
        })
    }

    /// The words of a target in libFuzzer's form, in a file.
    private static func dictionary(_ target: FuzzTarget) -> String? {
      let words = target.words.split { " \n".contains($0) }
      guard !words.isEmpty, let folder = try? Scratch.folder() else { return nil }
      let text = words.map { word in
        let escaped = word.utf8.map { byte in
          let digits = String(byte, radix: 16)
          return "\\x" + (digits.utf8.count < 2 ? "0" : "") + digits
        }
        return "\"" + escaped.joined() + "\"\n"
      }
      let path = "\(folder)/words"
      do { try Files.writeAtomically(path, text: text.joined()) } catch { return nil }
      return path
    }
  #endif

  // MARK: - Replaying

  private static func replay(_ target: FuzzTarget, _ files: [String]) -> Never {
    do {
      for file in files { target.feed(try Files.read(file)) }
      print("\(target.name): \(files.count) inputs replayed")
      exit(0)
    } catch {
      fputs("\(error)\n", stderr)
      exit(1)
    }
  }

  /// The corpora of all targets. A folder without a target, or a target without a folder, is an
  /// error.
  private static func replayFolder(_ folder: String) -> Never {
    do {
      let folders = try Files.list(folder)
      var failed = false
      for name in folders where FuzzTarget.named(name) == nil {
        fputs("\(folder)/\(name): there is no such target\n", stderr)
        failed = true
      }
      var total = 0
      for target in FuzzTarget.all {
        let inputs =
          folders.contains(target.name) ? try Files.list("\(folder)/\(target.name)").sorted() : []
        if inputs.isEmpty {
          fputs("\(folder)/\(target.name): expected inputs, found none\n", stderr)
          failed = true
        }
        for input in inputs {
          // If the process ends here, this names the input.
          print("\(target.name)/\(input)")
          fflush(stdout)
          target.feed(try Files.read("\(folder)/\(target.name)/\(input)"))
        }
        total += inputs.count
      }
      print("fuzz corpora: \(total) inputs of \(FuzzTarget.all.count) targets replayed")
      exit(failed ? 1 : 0)
    } catch {
      fputs("\(error)\n", stderr)
      exit(1)
    }
  }
}
