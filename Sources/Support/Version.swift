/// The version of lunerv.
public enum Version {
  public static let text = "0.2.0"
  /// The version of the Lua API, `lv.api_version`: raised if a script that ran may need a change.
  public static let api = 2
}
