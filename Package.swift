// swift-tools-version: 6.1
import Glibc
import PackageDescription

// SIMD code needs the instruction set named at compile time: without it every fused
// multiply-add is a call into libm. One value serves the whole package, because targets
// built for different processors share generic specialisations. It is the better of two that
// this machine has; LUNERV_MARCH overrides it, as for a portable binary, and
// LUNERV_MARCH=baseline builds for the platform's oldest processor.
func machineMarch() -> String {
  #if arch(x86_64)
    guard let file = fopen("/proc/cpuinfo", "r") else { return "x86-64-v3" }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 1 << 14)
    while fgets(&line, Int32(line.count), file) != nil {
      guard strncmp(line, "flags", 5) == 0 else { continue }
      let wide = ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]
      return wide.allSatisfy { strstr(line, $0) != nil } ? "x86-64-v4" : "x86-64-v3"
    }
    return "x86-64-v3"
  #else
    return "baseline"
  #endif
}
let march = Context.environment["LUNERV_MARCH"] ?? machineMarch()
let clangMarch = march == "baseline" ? [] : ["-march=\(march)"]
let swiftMarch =
  (march == "baseline" ? ["-DLUNERV_BASELINE"] : clangMarch.flatMap { ["-Xcc", $0] })
  + (march == "x86-64-v4" ? ["-DLUNERV_VECTOR512"] : [])

let c: [CSetting] = [.unsafeFlags(clangMarch)]
// SwiftPM caches this manifest, so a commit read from git here would go stale: scripts/install
// passes it.
let build: [CSetting] =
  [.define("LUNERV_MARCH", to: "\"\(march)\"")]
  + (Context.environment["LUNERV_COMMIT"].map { [.define("LUNERV_COMMIT", to: "\"\($0)\"")] } ?? [])
let swift: [SwiftSetting] = [.unsafeFlags(swiftMarch)]
// Only kernels, whose every argument has been validated above them, drop the checks.
let kernel: [SwiftSetting] = [.unsafeFlags(swiftMarch + ["-Ounchecked"])]

// The Lua module exports only what `require` looks up, and binds to its own symbols even if the
// program that loads it has others of the same name. It contains Swift's runtime, so that it works
// where Swift is not installed.
let module: [LinkerSetting] = [
  .unsafeFlags([
    "-static-stdlib", "-Xlinker",
    "--version-script=\(Context.packageDirectory)/Sources/LunervModule/exports.map",
    "-Xlinker", "-Bsymbolic",
  ])
]

// MPI's own compiler knows where it is; LUNERV_MPICC names another one than the first on PATH. Its
// flags are used only with the trait MPI: swift build --traits MPI.
func mpiFlags() -> (compile: [String], link: [String]) {
  let compiler = Context.environment["LUNERV_MPICC"] ?? "mpicc"
  let named = compiler.allSatisfy { $0.isLetter || $0.isNumber || "./_-+".contains($0) }
  guard named, let pipe = popen("\(compiler) -show 2>/dev/null", "r") else { return ([], []) }
  defer { pclose(pipe) }
  var line = [CChar](repeating: 0, count: 1 << 14)
  guard fgets(&line, Int32(line.count), pipe) != nil else { return ([], []) }
  let words = String(cString: line).split(whereSeparator: \.isWhitespace).map(String.init)
  let paths = words.filter { $0.hasPrefix("-L") }.map { $0.dropFirst(2) }
  return (
    words.filter { $0.hasPrefix("-I") || $0.hasPrefix("-D") },
    words.filter { $0.hasPrefix("-L") || $0.hasPrefix("-l") }
      + paths.flatMap { ["-Xlinker", "-rpath", "-Xlinker", String($0)] }
  )
}
let mpi = mpiFlags()

// Others need not build the fuzzer's program: only scripts/fuzz and scripts/test ask for it.
let fuzzing: [Target] =
  Context.environment["LUNERV_FUZZ"] == nil
  ? []
  : [
    .target(
      name: "CFuzz", dependencies: ["CLua"], path: "Tests/Fuzz/CFuzz", cSettings: c),
    .executableTarget(
      name: "Fuzz",
      dependencies: [
        "Support", "Coder", "Codec", "Kernels", "Tensors", "LuaBridge", "Bindings", "CFuzz",
      ],
      path: "Tests/Fuzz", exclude: ["README.md", "corpus", "CFuzz"], swiftSettings: swift),
  ]

let package = Package(
  name: "lunerv",
  products: [
    .executable(name: "lunerv", targets: ["LunervCommand"]),
    .library(name: "Lunerv", targets: ["Lunerv"]),
    .library(name: "LunervCodec", targets: ["LunervCodec"]),
    // liblunerv-lua.so, a module for a plain Lua 5.4. Product names are unique, and `lunerv` is the
    // command.
    .library(name: "lunerv-lua", type: .dynamic, targets: ["LunervModule"]),
  ],
  traits: [
    .trait(name: "MPI", description: "Several processes train together: mpirun lunerv run …"),
    .default(enabledTraits: []),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: [
    .systemLibrary(name: "CLua", pkgConfig: "lua5.4"),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas"),
    .systemLibrary(name: "CFFTW", pkgConfig: "fftw3f fftw3"),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib"),
    .systemLibrary(name: "CFFmpeg", pkgConfig: "libavformat libavcodec libavutil libswscale"),
    .systemLibrary(name: "CLibedit", pkgConfig: "libedit"),

    .target(name: "CBLASCore", dependencies: ["COpenBLAS"], cSettings: c),
    .target(name: "CBuild", cSettings: build),
    .target(name: "CLineEditor", dependencies: ["CLibedit"], cSettings: c),
    .target(name: "CLuaBridge", dependencies: ["CLua"], cSettings: c),
    .target(
      name: "CMPI",
      cSettings: c + [
        .unsafeFlags(mpi.compile), .define("LUNERV_MPI", .when(traits: ["MPI"])),
      ],
      linkerSettings: [.unsafeFlags(mpi.link, .when(traits: ["MPI"]))]),
    .target(name: "CSandbox", cSettings: c),
    .target(name: "CStdlib", cSettings: c),
    .target(name: "CVector", cSettings: c),

    .target(name: "Support", swiftSettings: swift),
    .target(name: "Ranks", dependencies: ["Support", "CMPI"], swiftSettings: swift),
    .target(name: "Coder", swiftSettings: swift),
    .target(
      name: "Kernels", dependencies: ["CBLASCore", "CVector", "COpenBLAS", "CFFTW"],
      swiftSettings: kernel),
    .target(
      name: "Tensors", dependencies: ["Support", "Kernels", "CVector"], swiftSettings: swift),
    .target(name: "Codec", dependencies: ["Support", "Coder", "CZlib"], swiftSettings: swift),
    .target(name: "VideoIO", dependencies: ["Support", "CFFmpeg"], swiftSettings: swift),
    .target(
      name: "LuaBridge", dependencies: ["Support", "CLua", "CLuaBridge"], swiftSettings: swift),
    .target(
      name: "Bindings",
      dependencies: [
        "Support", "Kernels", "Ranks", "Tensors", "Coder", "Codec", "VideoIO", "LuaBridge",
        "CStdlib", "CSandbox", "CBuild",
      ],
      swiftSettings: swift),
    .target(
      name: "Lunerv", dependencies: ["Bindings", "LuaBridge", "Tensors", "Kernels", "Support"],
      swiftSettings: swift),
    .target(
      name: "LunervCodec", dependencies: ["Lunerv", "Bindings", "LuaBridge", "Support"],
      swiftSettings: swift),
    .target(name: "CLunervModule", dependencies: ["CLua", "CLuaBridge"], cSettings: c),
    .target(
      name: "LunervModule", dependencies: ["Bindings", "LuaBridge", "CLunervModule", "Support"],
      exclude: ["exports.map"], swiftSettings: swift, linkerSettings: module),
    // On a file system that ignores case, modules `lunerv` and `Lunerv` would be one file.
    .executableTarget(
      name: "LunervCommand",
      dependencies: [
        "Bindings", "LuaBridge", "Ranks", "Support", "CLineEditor",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: swift),

    .testTarget(name: "SupportTests", dependencies: ["Support"], swiftSettings: swift),
    .testTarget(name: "RanksTests", dependencies: ["Ranks"], swiftSettings: swift),
    .testTarget(name: "CoderTests", dependencies: ["Coder"], swiftSettings: swift),
    .testTarget(
      name: "CodecTests", dependencies: ["Codec", "Coder", "Support", "CZlib"],
      swiftSettings: swift),
    .testTarget(name: "KernelsTests", dependencies: ["Kernels"], swiftSettings: swift),
    .testTarget(
      name: "TensorsTests", dependencies: ["Tensors", "Support"], exclude: ["fixtures"],
      swiftSettings: swift),
    .testTarget(name: "VideoIOTests", dependencies: ["VideoIO"], swiftSettings: swift),
    .testTarget(name: "LuaBridgeTests", dependencies: ["LuaBridge"], swiftSettings: swift),
    .target(name: "CRefusal", path: "Tests/CRefusal", cSettings: c),
    .testTarget(
      name: "BindingsTests", dependencies: ["Bindings", "CRefusal"], swiftSettings: swift),
    .testTarget(
      name: "LunervTests", dependencies: ["Lunerv", "LunervCodec", "Tensors"],
      swiftSettings: swift),
  ] + fuzzing
)
