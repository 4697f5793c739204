// swift-tools-version: 6.1
import PackageDescription

// lunerv sets flags for the processor, which SwiftPM allows in a package given by a path, a branch
// or a revision, not by a version.
let package = Package(
  name: "host",
  // Only so that scripts/test can build lunerv with MPI here too: a program of yours needs neither.
  traits: [.trait(name: "MPI"), .default(enabledTraits: [])],
  dependencies: [
    .package(
      name: "lunerv", path: "../../..",
      traits: [.trait(name: "MPI", condition: .when(traits: ["MPI"]))])
  ],
  targets: [
    .executableTarget(
      name: "host",
      dependencies: [
        .product(name: "Lunerv", package: "lunerv"),
        .product(name: "LunervCodec", package: "lunerv"),
      ])
  ]
)
