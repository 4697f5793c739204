import CFFmpeg
import Support

/// Converts a source's pictures to progressive BT.709-like RGB for the later stages: tone-maps high
/// dynamic range, narrows wide gamut, and deinterlaces on request. Other pictures pass unchanged.
final class FilteredFrames: FrameSource {
  private let source: any FrameSource
  private let deinterlaces: Bool
  private let filtered: UnsafeMutablePointer<AVFrame>
  private var chain: FilterChain?
  private var hasDecided = false
  private var sourceEnded = false
  private var ownWarnings: [String] = []

  init(_ source: any FrameSource, deinterlaces: Bool) throws {
    self.source = source
    self.deinterlaces = deinterlaces
    filtered = try Libav.newFrame()
  }

  deinit {
    var filtered: UnsafeMutablePointer<AVFrame>? = filtered
    av_frame_free(&filtered)
  }

  var frame: UnsafeMutablePointer<AVFrame> { chain == nil ? source.frame : filtered }
  var orientation: Orientation { source.orientation }
  var isImage: Bool { source.isImage }
  var frameRate: Rational { source.frameRate }
  var timeBase: Rational { source.timeBase }
  var hasAudio: Bool { source.hasAudio }
  var warnings: [String] { source.warnings + ownWarnings }
  var damage: Damage? { source.damage }
  var decoded: Int { source.decoded }

  func next() throws -> FrameTime? {
    while true {
      if let chain, try chain.pull(into: filtered) {
        return FrameTime(pts: filtered.pointee.pts, timeBase: chain.timeBase)
      }
      guard !sourceEnded else { return nil }
      guard let time = try source.next() else {
        sourceEnded = true
        guard let chain else { return nil }
        try chain.push(nil)
        continue
      }
      try look(time)
      guard let chain else { return time }
      source.frame.pointee.pts = time.pts
      try chain.push(source.frame)
    }
  }

  /// Decides at the first picture which filters apply to all.
  private func look(_ time: FrameTime) throws {
    if source.frame.pointee.interlaced_frame != 0, !deinterlaces {
      warn("the video is interlaced; --deinterlace makes whole frames of its fields")
    }
    guard !hasDecided else { return }
    hasDecided = true
    var steps: [FilterStep] = []
    if deinterlaces {
      guard FilterLibrary.shared?.has("bwdif") == true else {
        throw LunervError(
          .usage, "--deinterlace needs libavfilter, which is not installed")
      }
      steps.append(FilterStep("bwdif", "mode=send_frame:deint=all"))
    }
    let colour = colourSteps(for: source.frame)
    if !colour.isEmpty {
      if let library = FilterLibrary.shared, colour.allSatisfy({ library.has($0.name) }) {
        steps += colour
        warn(
          isHighRange(source.frame)
            ? "high dynamic range is tone-mapped to BT.709"
            : "wide-gamut colour (BT.2020) is converted to BT.709")
      } else {
        warn(
          "high dynamic range and wide-gamut colour are kept as coded: mapping them to BT.709 "
            + "needs libavfilter with zscale")
      }
    }
    guard !steps.isEmpty, let library = FilterLibrary.shared else { return }
    chain = try FilterChain(steps, for: source.frame, timeBase: time.timeBase, library: library)
  }

  private func isHighRange(_ frame: UnsafePointer<AVFrame>) -> Bool {
    frame.pointee.color_trc == AVCOL_TRC_SMPTE2084
      || frame.pointee.color_trc == AVCOL_TRC_ARIB_STD_B67
  }

  /// The filters that convert a picture's colours to BT.709; none if they are close to it.
  private func colourSteps(for frame: UnsafePointer<AVFrame>) -> [FilterStep] {
    let isWide = frame.pointee.color_primaries == AVCOL_PRI_BT2020
    guard isHighRange(frame) || isWide else { return [] }
    // A property that the stream leaves open is assumed to match the others.
    let isRGB = frame.pointee.colorspace == AVCOL_SPC_RGB
    let matrix =
      isRGB || frame.pointee.colorspace == AVCOL_SPC_BT2020_CL
      ? frame.pointee.colorspace : AVCOL_SPC_BT2020_NCL
    let transfer = isHighRange(frame) ? frame.pointee.color_trc : AVCOL_TRC_BT2020_10
    let full = isRGB || frame.pointee.color_range == AVCOL_RANGE_JPEG
    let coded =
      "primariesin=\(AVCOL_PRI_BT2020.rawValue):transferin=\(transfer.rawValue)"
      + ":matrixin=\(matrix.rawValue):rangein=\(full ? "full" : "limited")"
    let toLight = [
      // Light in units of 100 cd/m², the white of SDR.
      FilterStep(
        "zscale", coded + ":transfer=linear" + (isHighRange(frame) ? ":npl=100" : "")),
      FilterStep("format", "pix_fmts=gbrpf32le"), FilterStep("zscale", "primaries=bt709"),
    ]
    let mapping = isHighRange(frame) ? [FilterStep("tonemap", "tonemap=hable:desat=0")] : []
    let toCode = [
      FilterStep("zscale", "transfer=bt709:matrix=gbr:range=full"),
      FilterStep("format", "pix_fmts=gbrp"),
    ]
    return toLight + mapping + toCode
  }

  private func warn(_ text: String) {
    if !ownWarnings.contains(text) { ownWarnings.append(text) }
  }
}
