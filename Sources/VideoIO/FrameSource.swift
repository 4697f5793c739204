import CFFmpeg

/// A source of decoded pictures in presentation order.
protocol FrameSource: AnyObject {
  /// The picture of the last successful ``next()``, valid until the following call.
  var frame: UnsafeMutablePointer<AVFrame> { get }
  /// How that picture is rotated or mirrored to stand upright.
  var orientation: Orientation { get }
  /// Whether this is an image format rather than video, which decides how untagged colour is read.
  var isImage: Bool { get }
  var frameRate: Rational { get }
  var timeBase: Rational { get }
  var hasAudio: Bool { get }
  var warnings: [String] { get }
  /// The damage found in the file so far; nil while it is sound.
  var damage: Damage? { get }
  /// How many pictures have been decoded so far.
  var decoded: Int { get }
  /// Decodes the next picture; nil at the end. Damage does not throw: it is collected.
  func next() throws -> FrameTime?
}

/// What is wrong with a file.
struct Damage {
  /// The first finding, as text.
  var what: String
  /// The number of frames according to the container, if it has one.
  var declared: Int?
  /// The damage comes after the pictures so far, which are sound.
  var comesLater = false
  /// How many pictures were returned although the decoder knows that they are wrong.
  var concealed = 0
}
