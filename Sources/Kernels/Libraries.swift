import CFFTW
import COpenBLAS

/// The names and versions that the libraries report.
public enum Libraries {
  /// "OpenBLAS 0.3.26".
  public static var openBLAS: String {
    guard let text = openblas_get_config() else { return "OpenBLAS" }
    return String(cString: text).split(separator: " ").prefix(2).joined(separator: " ")
  }

  /// "fftw-3.3.10".
  public static var fftw: String {
    let text = String(cString: lunerv_fftw_version())
    return String(text.prefix { $0 != "-" }) + "-"
      + String(text.drop { $0 != "-" }.dropFirst().prefix { $0 != "-" })
  }
}
