import CFFmpeg
@preconcurrency import Glibc
import Support

/// libavfilter, loaded only for videos that need it. Most do not; systems without it can still read
/// those.
struct FilterLibrary: @unchecked Sendable {
  typealias Graph = OpaquePointer
  typealias Filter = OpaquePointer

  let allocateGraph: @convention(c) () -> Graph?
  let freeGraph: @convention(c) (UnsafeMutablePointer<Graph?>?) -> Void
  let find: @convention(c) (UnsafePointer<CChar>?) -> OpaquePointer?
  let create:
    @convention(c) (
      UnsafeMutablePointer<Filter?>?, OpaquePointer?, UnsafePointer<CChar>?, UnsafePointer<CChar>?,
      UnsafeMutableRawPointer?, Graph?
    ) -> Int32
  let link: @convention(c) (Filter?, UInt32, Filter?, UInt32) -> Int32
  let configure: @convention(c) (Graph?, UnsafeMutableRawPointer?) -> Int32
  let push: @convention(c) (Filter?, UnsafeMutablePointer<AVFrame>?, Int32) -> Int32
  let pull: @convention(c) (Filter?, UnsafeMutablePointer<AVFrame>?) -> Int32
  let timeBase: @convention(c) (Filter?) -> AVRational

  /// nil if it is not installed, or does not match the libavutil in use.
  static let shared = try? FilterLibrary()

  private init() throws {
    // The major versions of both have been incremented together since libavutil 56.
    let name = "libavfilter.so.\((avutil_version() >> 16) - 49)"
    let library = dlopen(name, RTLD_NOW | RTLD_LOCAL)
    func symbol<F>(_ symbol: String) throws -> F {
      guard let library, let address = dlsym(library, symbol) else {
        throw LunervError(.io, "\(name): has no '\(symbol)', or is not installed")
      }
      return unsafeBitCast(address, to: F.self)
    }
    allocateGraph = try symbol("avfilter_graph_alloc")
    freeGraph = try symbol("avfilter_graph_free")
    find = try symbol("avfilter_get_by_name")
    create = try symbol("avfilter_graph_create_filter")
    link = try symbol("avfilter_link")
    configure = try symbol("avfilter_graph_config")
    push = try symbol("av_buffersrc_add_frame_flags")
    pull = try symbol("av_buffersink_get_frame")
    timeBase = try symbol("av_buffersink_get_time_base")
  }

  /// Whether it has a filter of this name; `zscale`, for example, needs another library.
  func has(_ filter: String) -> Bool { find(filter) != nil }
}

/// One step of a chain of filters.
struct FilterStep {
  let name: String
  let arguments: String
  init(_ name: String, _ arguments: String = "") {
    self.name = name
    self.arguments = arguments
  }
}

/// A chain of libavfilter's filters for frames of one size and format.
final class FilterChain {
  private let library: FilterLibrary
  private var graph: FilterLibrary.Graph?
  private var source: FilterLibrary.Filter?
  private var sink: FilterLibrary.Filter?

  /// - Parameters:
  ///   - frame: an example of the frames that will follow.
  ///   - timeBase: of their `pts`.
  init(
    _ steps: [FilterStep], for frame: UnsafePointer<AVFrame>, timeBase: Rational,
    library: FilterLibrary
  ) throws {
    self.library = library
    graph = library.allocateGraph()
    guard graph != nil else { throw Libav.noMemory("filters") }
    let format = "\(frame.pointee.width)x\(frame.pointee.height):pix_fmt=\(frame.pointee.format)"
    source = try add(
      FilterStep("buffer", "video_size=\(format):time_base=\(timeBase):pixel_aspect=1/1"))
    var last = source
    for step in steps + [FilterStep("buffersink")] {
      let filter = try add(step)
      try check(library.link(last, 0, filter, 0), step.name)
      last = filter
    }
    sink = last
    let result = Libav.listening { library.configure(graph, nil) }
    guard result.code >= 0 else {
      throw LunervError(.data, "frames cannot be filtered: \(Libav.text(result))")
    }
  }

  deinit { library.freeGraph(&graph) }

  private func add(_ step: FilterStep) throws -> FilterLibrary.Filter? {
    var filter: FilterLibrary.Filter?
    let result = Libav.listening {
      library.create(
        &filter, library.find(step.name), step.name, step.arguments.isEmpty ? nil : step.arguments,
        nil, graph)
    }
    guard result.code >= 0 else {
      throw LunervError(.data, "the filter '\(step.name)' cannot be created: \(Libav.text(result))")
    }
    return filter
  }

  private func check(_ code: Int32, _ name: String) throws {
    if code < 0 { throw LunervError(.data, "the filter '\(name)' failed: \(Libav.text(code))") }
  }

  /// Passes a frame in, which remains the caller's; nil marks the end.
  func push(_ frame: UnsafeMutablePointer<AVFrame>?) throws {
    let keepReference: Int32 = 8
    let result = Libav.listening { library.push(source, frame, keepReference) }
    if result.code < 0, result.code != Libav.endOfFile {
      throw LunervError(.data, "a frame cannot be filtered: \(Libav.text(result))")
    }
  }

  /// Gets a finished frame; false if the chain needs more input first, or is empty at the end.
  func pull(into frame: UnsafeMutablePointer<AVFrame>) throws -> Bool {
    av_frame_unref(frame)
    let result = Libav.listening { library.pull(sink, frame) }
    if result.code == Libav.tryAgain || result.code == Libav.endOfFile { return false }
    guard result.code >= 0 else {
      throw LunervError(.data, "a frame cannot be filtered: \(Libav.text(result))")
    }
    return true
  }

  /// The unit of the output frames' times.
  var timeBase: Rational { Rational(library.timeBase(sink)) }
}
