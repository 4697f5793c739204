import Bindings
public import enum Tensors.DType
public import struct Support.LunervError

/// The error that everything here throws.
///
/// `kind` says what to do about it (``LunervError/Kind``); `message` is one line, with the expected
/// and the actual value; `place` is the "file:line" of the user's Lua code, if any; `module` is the
/// path of the module that was computing; `traceback` is Lua's stack. `text` joins them.
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

/// Call this first in the `main` of a program that decodes files.
///
/// Files are untrusted, and may contain programs. So they are decoded in a confined process, for which
/// this program is started a second time. In that process the call never returns; otherwise it returns
/// at once. The program must not have started any thread yet.
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
/// A program that does not call this is not started a second time. It decodes files with an executable
/// `lunerv` of the same version: the one in the environment variable `LUNERV_DECODER`, one next to the
/// program, or one in `PATH`. If there is none, opening a file throws an `.io` error. Trusted files with
/// a decoder of the library, as `lunerv compress` writes them, need neither: see `Limits.isConfined` of
/// `LunervCodec`.
public func runIfDecoderProcess() { DecoderProgram.runIfRequested() }
