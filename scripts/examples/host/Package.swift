// swift-tools-version: 6.1
import PackageDescription

// lunerv says which processor it is built for, and SwiftPM admits such flags by a path, a branch or
// a revision, not by a version.
let package = Package(
  name: "host",
  dependencies: [.package(name: "lunerv", path: "../../..")],
  targets: [
    .executableTarget(
      name: "host",
      dependencies: [
        .product(name: "Lunerv", package: "lunerv"),
        .product(name: "LunervCodec", package: "lunerv"),
      ])
  ]
)
