import CBLASCore
import CFFTW
import COpenBLAS

/// The names and versions that the libraries report.
public enum Libraries {
  /// "OpenBLAS 0.3.26 for SkylakeX": the version, and the processor type of its kernels.
  public static var openBLAS: String {
    let version =
      openblas_get_config().map {
        String(cString: $0).split(separator: " ").prefix(2).joined(separator: " ")
      } ?? "OpenBLAS"
    return "\(version) for \(String(cString: lunerv_blas_core()))"
  }

  /// The name and version of FFTW, as in "fftw-3.3.10".
  public static var fftw: String {
    let text = String(cString: lunerv_fftw_version())
    return String(text.prefix { $0 != "-" }) + "-"
      + String(text.drop { $0 != "-" }.dropFirst().prefix { $0 != "-" })
  }
}
