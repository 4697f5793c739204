import CFFmpeg

/// Something that yields decoded pictures in order of presentation.
protocol FrameSource: AnyObject {
  /// The picture of the last successful ``next()``, valid until the one after.
  var frame: UnsafeMutablePointer<AVFrame> { get }
  /// How that picture is turned to stand upright.
  var orientation: Orientation { get }
  /// An image format rather than video: decides how untagged colour is read.
  var isImage: Bool { get }
  var frameRate: Rational { get }
  var timeBase: Rational { get }
  var hasAudio: Bool { get }
  var warnings: [String] { get }
  /// What was found wrong with the file so far; nil while it is sound.
  var damage: Damage? { get }
  /// Pictures decoded so far.
  var decoded: Int { get }
  /// Decodes one more picture; nil at the end. Damage does not throw: it is collected.
  func next() throws -> FrameTime?
}

/// What is wrong with a file.
struct Damage {
  /// The first finding, in words.
  var what: String
  /// How many frames the container says there are, when it says so.
  var promised: Int?
  /// The pictures that have come so far are sound.
  var isBehind = false
  /// Pictures that came out although the decoder knows them to be wrong.
  var concealed = 0
}
