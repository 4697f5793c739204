import Bindings
public import enum Tensors.DType
public import struct Support.LunervError

/// What is wrong, and where: the one error that everything here throws.
///
/// `kind` says what to do about it (``LunervError/Kind``), `message` is one line that says what was
/// expected and what came, `place` the "file:line" of the user's Lua code where there is one,
/// `module` the path of the network's part that computed, `traceback` Lua's stack. `text` joins them.
///
/// ```swift
/// do {
///   try session.run(file: "train.lua")
/// } catch let error as LunervError where error.kind == .interrupted {
///   print("stopped")
/// } catch let error as LunervError {
///   print(error.text)          // train.lua:12: conv2d: argument 2 (weight): expected tensor, got nil
/// }
/// ```
public typealias LunervError = Support.LunervError

/// The type of a tensor's elements: `f32` and `f64` for computing, `i32` for indices, `u8` for
/// pixels, `bool` (a byte, 0 or 1) for masks.
public typealias DType = Tensors.DType

/// The first thing that a program's `main` does, if it is to decode files.
///
/// They may be a stranger's, and bring code. So they are decoded in a process without rights, and this
/// program is started again to be that process: it has to notice, before anything else. Where it was
/// started so, this never returns; in all other cases it returns at once. No thread of the program may
/// run yet.
///
/// ```swift
/// @main struct Player {
///   static func main() throws {
///     runIfDecoderProcess()
///     …
///   }
/// }
/// ```
///
/// A program that does not call this is never started again. It decodes files with a `lunerv` that it
/// finds: the one that the environment variable `LUNERV_DECODER` names, next to the program, or in
/// `PATH`. Without any, opening a file throws an `.io` error that says so. It must be of the same
/// version. Files that one trusts, with a decoder of the library as `lunerv compress` writes them, need
/// none of this: see `Limits.isConfined` of `LunervCodec`.
public func runIfDecoderProcess() { DecoderProgram.runIfRequested() }
