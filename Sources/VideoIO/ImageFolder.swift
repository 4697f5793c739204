import CFFmpeg
import Support

/// A folder of images, one per frame, in natural order: `frame_2.png` before `frame_10.png`.
final class ImageFolder: FrameSource {
  let frameRate: Rational
  let hasAudio = false
  let isImage = true
  private(set) var warnings: [String] = []
  private(set) var orientation = Orientation()

  private let folder: String
  private let files: [String]
  private let options: VideoOptions
  private var position = 0
  /// Holds the current picture.
  private var current: StreamDecoder

  static let extensions: Set<String> = [
    "png", "jpg", "jpeg", "bmp", "ppm", "pgm", "pnm", "pbm", "pam", "tif", "tiff", "webp", "qoi",
    "jxl", "exr", "dpx",
  ]

  init(folder: String, options: VideoOptions) throws {
    self.folder = folder
    self.options = options
    frameRate = options.inputRate ?? Rational(25)
    var files: [String] = []
    var others = 0
    for name in try names(in: folder) where !name.hasPrefix(".") {
      if Self.extensions.contains(fileExtension(name)) {
        files.append(name)
      } else {
        others += 1
      }
    }
    guard !files.isEmpty else {
      throw LunervError(.data, "\(folder): contains no image (png, jpg, bmp, ppm, …)")
    }
    self.files = files.sorted(by: naturallyBefore)
    current = try Self.open(folder, self.files[0], options)
    if others > 0 {
      warnings.append("\(others) \(others == 1 ? "entry" : "entries") that are not images ignored")
    }
  }

  var frame: UnsafeMutablePointer<AVFrame> { current.frame }
  var timeBase: Rational { frameRate.inverse }
  var decoded: Int { position }
  /// An unreadable image throws at once, so no damage is collected.
  var damage: Damage? { nil }

  func next() throws -> FrameTime? {
    guard position < files.count else { return nil }
    if position > 0 { current = try Self.open(folder, files[position], options) }
    guard try current.next() != nil else {
      let why = current.damage.map { ": \($0.what)" } ?? ""
      throw LunervError(.data, "\(current.path): the image cannot be decoded\(why)")
    }
    if let damage = current.damage {
      guard options.allowTruncated else {
        throw LunervError(.data, "\(current.path): the image is damaged: \(damage.what)")
      }
      warn("\(files[position]) is damaged: \(damage.what)")
    }
    orientation = current.orientation
    for text in current.warnings { warn(text) }
    position += 1
    return FrameTime(pts: Int64(position - 1), timeBase: timeBase)
  }

  private func warn(_ text: String) {
    if !warnings.contains(text) { warnings.append(text) }
  }

  private static func open(
    _ folder: String, _ name: String, _ options: VideoOptions
  ) throws -> StreamDecoder {
    var options = options
    options.raw = nil
    // One picture at a time: starting threads would only cost time.
    options.threads = 1
    return try StreamDecoder(
      path: folder.hasSuffix("/") ? folder + name : folder + "/" + name, options: options)
  }
}
