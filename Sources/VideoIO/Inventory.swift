import CFFmpeg

/// The capabilities of the installed libav.
public enum Inventory {
  /// "4.4.2-0ubuntu0.22.04.1": the release of libavutil.
  public static var version: String {
    av_version_info().map { String(cString: $0) } ?? "unknown"
  }

  /// Whether libavfilter, which is loaded on demand, is installed.
  public static var hasFilters: Bool { FilterLibrary.shared != nil }

  /// Whether there is an encoder of that name: "libx264".
  public static func hasEncoder(_ name: String) -> Bool {
    avcodec_find_encoder_by_name(name) != nil
  }

  /// Whether there is a decoder of that name: "h264".
  public static func hasDecoder(_ name: String) -> Bool {
    avcodec_find_decoder_by_name(name) != nil
  }
}
