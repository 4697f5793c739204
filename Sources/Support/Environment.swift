import Glibc

/// The resources of the machine and the process: memory, cores, clocks, processor.
public enum Environment {
  /// The bytes of memory this process may use: the machine's, or a container's limit.
  public static func memory() -> Int {
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    let physical = max(pages, 0) * sysconf(Int32(_SC_PAGESIZE))
    let limits = controlGroupValues("memory.max").compactMap { Int($0) }
    return limits.reduce(physical) { min($0, $1) }
  }

  /// The number of threads worth starting: the processors this process may run on, or fewer in a
  /// container with a smaller share of their time. At least 1.
  public static func coreCount() -> Int {
    // Its affinity mask as hexadecimal digits (sched_getaffinity is not visible to Swift).
    let mask = processStatus("Cpus_allowed") ?? ""
    var count = mask.reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) }
    if count == 0 { count = sysconf(Int32(_SC_NPROCESSORS_ONLN)) }
    for limit in controlGroupValues("cpu.max") {
      let words = limit.split(separator: " ")
      if words.count == 2, let quota = Int(words[0]), let period = Int(words[1]), period > 0 {
        count = min(count, max(quota / period, 1))
      }
    }
    return max(count, 1)
  }

  /// The most memory in bytes that this process has had in RAM at once.
  public static func peakResidentBytes() -> Int {
    // Unlike getrusage's, this figure does not start from that of the parent process.
    let peak = processStatus("VmHWM")?.split(separator: " ").first
    if let peak, let kilobytes = Int(peak) { return kilobytes * 1024 }
    return usage().ru_maxrss * 1024
  }

  /// Page faults of the process so far: minor ones were served from memory, major ones waited
  /// for a disk.
  public static func pageFaults() -> (minor: Int, major: Int) {
    let usage = usage()
    return (usage.ru_minflt, usage.ru_majflt)
  }

  /// When a process of this machine started, in clock ticks since boot; nil if there is none.
  public static func processStart(_ pid: Int) -> Int? {
    guard let text = try? Files.readText("/proc/\(pid)/stat") else { return nil }
    // The second field is the program's name in brackets, which may contain anything.
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    return fields.count > 19 ? Int(fields[19]) : nil
  }

  /// Seconds that never jump, from an arbitrary start. For durations.
  public static func monotonicTime() -> Double { seconds(CLOCK_MONOTONIC) }

  /// Seconds since 1970, UTC.
  public static func wallTime() -> Double { seconds(CLOCK_REALTIME) }

  /// Whether a stream (0 input, 1 output, 2 errors) is a terminal.
  public static func isTerminal(_ stream: Int32) -> Bool { isatty(stream) == 1 }

  /// The width of standard output's terminal; nil if it is not a terminal or does not know.
  public static func terminalColumns() -> Int? {
    var size = winsize()
    guard ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }

  private static func usage() -> rusage {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage
  }

  /// The value of a line of `/proc/self/status`.
  private static func processStatus(_ key: String) -> String? {
    let lines = try? Files.readText("/proc/self/status").split(separator: "\n")
    guard let line = lines?.first(where: { $0.hasPrefix(key + ":") }) else { return nil }
    return String(line.dropFirst(key.count + 1).drop { $0 == "\t" || $0 == " " })
  }

  private static func seconds(_ clock: clockid_t) -> Double {
    var now = timespec()
    clock_gettime(clock, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
  }

  /// A limit of this process's control group (version 2) and of all groups around it.
  private static func controlGroupValues(_ name: String) -> [String] {
    guard let groups = try? Files.readText("/proc/self/cgroup"),
      let group = groups.split(separator: "\n").first(where: { $0.hasPrefix("0::/") })
    else { return [] }
    var components = group.dropFirst(4).split(separator: "/")
    var values: [String] = []
    while true {
      let path = (["/sys/fs/cgroup"] + components + [Substring(name)]).joined(separator: "/")
      if let text = try? Files.readText(path) {
        values.append(String(text.prefix { $0 != "\n" }))
      }
      if components.popLast() == nil { return values }
    }
  }
}
