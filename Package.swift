// swift-tools-version: 6.1
import PackageDescription

// SIMD code needs the instruction set named at compile time: without it every fused
// multiply-add is a call into libm. One value serves the whole package, because targets
// built for different processors share generic specialisations. LUNERV_MARCH overrides
// it; LUNERV_MARCH=baseline builds for the platform's oldest processor.
#if arch(x86_64)
  let defaultMarch = "x86-64-v3"
#else
  let defaultMarch = "baseline"
#endif
let march = Context.environment["LUNERV_MARCH"] ?? defaultMarch
let clangMarch = march == "baseline" ? [] : ["-march=\(march)"]
let swiftMarch =
  march == "baseline" ? ["-DLUNERV_BASELINE"] : clangMarch.flatMap { ["-Xcc", $0] }

let c: [CSetting] = [.unsafeFlags(clangMarch)]
let swift: [SwiftSetting] = [.unsafeFlags(swiftMarch)]
// Only kernels, whose every argument has been validated above them, drop the checks.
let kernel: [SwiftSetting] = [.unsafeFlags(swiftMarch + ["-Ounchecked"])]

let package = Package(
  name: "lunerv",
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: [
    .systemLibrary(name: "CLua", pkgConfig: "lua5.4"),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas"),
    .systemLibrary(name: "CFFTW", pkgConfig: "fftw3f fftw3"),
    .systemLibrary(name: "CFFmpeg", pkgConfig: "libavformat libavcodec libavutil libswscale"),

    .target(name: "CLuaBridge", dependencies: ["CLua"], cSettings: c),
    .target(name: "CStdlib", cSettings: c),
    .target(name: "CVector", cSettings: c),

    .target(name: "Support", swiftSettings: swift),
    .target(name: "Coder", swiftSettings: swift),
    .target(
      name: "Kernels", dependencies: ["CVector", "COpenBLAS", "CFFTW"], swiftSettings: kernel),
    .target(name: "Tensors", dependencies: ["Support", "Kernels"], swiftSettings: swift),
    .target(name: "Codec", dependencies: ["Support", "Coder"], swiftSettings: swift),
    .target(name: "VideoIO", dependencies: ["Support", "CFFmpeg"], swiftSettings: swift),
    .target(
      name: "LuaBridge", dependencies: ["Support", "CLua", "CLuaBridge"], swiftSettings: swift),
    .target(
      name: "Bindings",
      dependencies: [
        "Support", "Kernels", "Tensors", "Coder", "Codec", "VideoIO", "LuaBridge", "CStdlib",
      ],
      swiftSettings: swift),
    .executableTarget(
      name: "lunerv",
      dependencies: [
        "Bindings", "LuaBridge", "Support",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: swift),

    .testTarget(name: "SupportTests", dependencies: ["Support"], swiftSettings: swift),
    .testTarget(name: "CoderTests", dependencies: ["Coder"], swiftSettings: swift),
    .testTarget(
      name: "CodecTests", dependencies: ["Codec", "Coder", "Support"], swiftSettings: swift),
    .testTarget(name: "KernelsTests", dependencies: ["Kernels"], swiftSettings: swift),
    .testTarget(
      name: "TensorsTests", dependencies: ["Tensors", "Support"], exclude: ["fixtures"],
      swiftSettings: swift),
    .testTarget(name: "VideoIOTests", dependencies: ["VideoIO"], swiftSettings: swift),
    .testTarget(name: "LuaBridgeTests", dependencies: ["LuaBridge"], swiftSettings: swift),
    .testTarget(name: "BindingsTests", dependencies: ["Bindings"], swiftSettings: swift),
  ]
)
