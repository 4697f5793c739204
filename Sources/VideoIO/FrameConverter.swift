import CFFmpeg
@preconcurrency import Glibc
import Support

/// Three byte planes R, G, B, rows padded so that SIMD code may write past their end.
final class Planes {
  let width: Int
  let height: Int
  let stride: Int
  private let base: UnsafeMutablePointer<UInt8>

  init(width: Int, height: Int) throws {
    self.width = width
    self.height = height
    stride = (width + 127) & ~63
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, 64, 3 * stride * (height + 1)) == 0, let memory else {
      throw Libav.noMemory("a \(width)x\(height) picture")
    }
    base = memory.assumingMemoryBound(to: UInt8.self)
  }

  deinit { free(base) }

  func plane(_ channel: Int) -> UnsafeMutablePointer<UInt8> {
    base + channel * stride * (height + 1)
  }

  func row(_ channel: Int, _ y: Int) -> UnsafeMutablePointer<UInt8> {
    plane(channel) + y * stride
  }
}

/// How a stored picture is rotated or mirrored to stand upright: one of the eight orientations that
/// Exif has too.
struct Orientation: Equatable {
  /// Rows become columns.
  var transposed = false
  /// The upright x axis is opposite to the stored axis that it comes from; y likewise.
  var flippedX = false
  var flippedY = false

  /// Reads a display matrix; nil if it is not one of the eight.
  init?(displayMatrix m: UnsafePointer<Int32>) {
    // (x', y') = (m0·x + m3·y, m1·x + m4·y); only signs matter.
    if m[0] != 0, m[4] != 0, m[1] == 0, m[3] == 0 {
      self.init(transposed: false, flippedX: m[0] < 0, flippedY: m[4] < 0)
    } else if m[0] == 0, m[4] == 0, m[1] != 0, m[3] != 0 {
      self.init(transposed: true, flippedX: m[3] < 0, flippedY: m[1] < 0)
    } else {
      return nil
    }
  }

  init(transposed: Bool = false, flippedX: Bool = false, flippedY: Bool = false) {
    self.transposed = transposed
    self.flippedX = flippedX
    self.flippedY = flippedY
  }
}

/// Converts libav's pictures to planar RGB.
///
/// RGB, palette and grey pictures are unpacked here: 8-bit values are unchanged, deeper ones
/// rounded to 8 bits. YUV is converted by swscale, with explicit matrix and range, exact rounding,
/// interpolated chroma and no processor-dependent shortcuts. Chroma is assumed to be sited between
/// its luma samples, as in the ffmpeg command.
final class FrameConverter {
  private var planes: Planes?
  private var cropped: Planes?
  private var scaled: Planes?
  private var toRGB: OpaquePointer?
  private var toRGBKey: [Int32] = []
  private var scaler: OpaquePointer?
  private var scalerKey: [Int32] = []
  private var row: [UInt16] = []

  private static let flags =
    SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT

  deinit {
    sws_freeContext(toRGB)
    sws_freeContext(scaler)
  }

  /// Writes a frame, upright, cropped and scaled, to `output`.
  ///
  /// - Parameters:
  ///   - crop: inside the upright picture; the caller has checked it.
  ///   - size: height and width of the result.
  ///   - output: 3 × height × width bytes.
  func convert(
    _ frame: UnsafePointer<AVFrame>, isImage: Bool, orientation: Orientation,
    crop: VideoOptions.Crop, size: VideoOptions.Size, output: UnsafeMutablePointer<UInt8>
  ) throws {
    let source = try reuse(
      &planes, width: Int(frame.pointee.width), height: Int(frame.pointee.height))
    try unpack(frame, isImage: isImage, into: source)
    if crop.width == size.width, crop.height == size.height {
      place(source, orientation, crop, into: output, stride: size.width) { channel in
        channel * size.width * size.height
      }
      return
    }
    let upright = try reuse(&cropped, width: crop.width, height: crop.height)
    place(source, orientation, crop, into: upright.plane(0), stride: upright.stride) {
      upright.plane($0) - upright.plane(0)
    }
    let target = try reuse(&scaled, width: size.width, height: size.height)
    try scale(upright, to: target)
    for channel in 0..<3 {
      for y in 0..<size.height {
        (output + (channel * size.height + y) * size.width).update(
          from: target.row(channel, y), count: size.width)
      }
    }
  }

  private func reuse(_ slot: inout Planes?, width: Int, height: Int) throws -> Planes {
    if let old = slot, old.width == width, old.height == height { return old }
    slot = nil
    let new = try Planes(width: width, height: height)
    slot = new
    return new
  }

  // MARK: Pixels to RGB

  private func unpack(
    _ frame: UnsafePointer<AVFrame>, isImage: Bool, into target: Planes
  ) throws {
    let format = AVPixelFormat(rawValue: frame.pointee.format)
    guard let description = av_pix_fmt_desc_get(format) else {
      throw LunervError(.data, "a frame has no known pixel format")
    }
    let flags = description.pointee.flags
    func has(_ flag: Int32) -> Bool { flags & UInt64(flag) != 0 }
    let depth = description.pointee.comp.0.depth
    let isGrey = !has(AV_PIX_FMT_FLAG_RGB) && description.pointee.nb_components <= 2
    if format == AV_PIX_FMT_PAL8 {
      unpackPalette(frame, into: target)
    } else if has(AV_PIX_FMT_FLAG_FLOAT) || has(AV_PIX_FMT_FLAG_BAYER)
      || has(AV_PIX_FMT_FLAG_HWACCEL) || depth > 16
      || !(isGrey || has(AV_PIX_FMT_FLAG_RGB))
    {
      try unpackBySwscale(frame, format, isImage: isImage, into: target)
    } else if depth == 8, !has(AV_PIX_FMT_FLAG_BITSTREAM), !isGrey, isByteWide(description) {
      unpackBytes(frame, description, into: target)
    } else {
      // libav's grey is full range unless a stream says otherwise.
      let limited = isGrey && frame.pointee.color_range == AVCOL_RANGE_MPEG && depth >= 8
      unpackDeep(
        frame, description, grey: isGrey, limited: limited,
        inverted: format == AV_PIX_FMT_MONOWHITE, into: target)
    }
  }

  private func isByteWide(_ description: UnsafePointer<AVPixFmtDescriptor>) -> Bool {
    (0..<3).allSatisfy {
      let component = lunerv_component(description, Int32($0))
      return component.depth == 8 && component.shift == 0 && component.step >= 1
    }
  }

  private func unpackBytes(
    _ frame: UnsafePointer<AVFrame>, _ description: UnsafePointer<AVPixFmtDescriptor>,
    into target: Planes
  ) {
    for channel in 0..<3 {
      let component = lunerv_component(description, Int32(channel))
      guard let data = lunerv_plane(frame, component.plane) else { continue }
      let stride = Int(lunerv_stride(frame, component.plane))
      let step = Int(component.step)
      for y in 0..<target.height {
        let source = data + (y * stride + Int(component.offset))
        let row = target.row(channel, y)
        if step == 1 {
          row.update(from: source, count: target.width)
        } else {
          for x in 0..<target.width { row[x] = source[x * step] }
        }
      }
    }
  }

  private func unpackPalette(_ frame: UnsafePointer<AVFrame>, into target: Planes) {
    guard let data = lunerv_plane(frame, 0), let palette = lunerv_plane(frame, 1) else { return }
    let stride = Int(lunerv_stride(frame, 0))
    // 256 native-endian words 0xAARRGGBB.
    let words = UnsafeRawPointer(palette)
    for y in 0..<target.height {
      let (r, g, b) = (target.row(0, y), target.row(1, y), target.row(2, y))
      for x in 0..<target.width {
        let index = Int(data[y * stride + x])
        let word = words.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)
        r[x] = UInt8(truncatingIfNeeded: word >> 16)
        g[x] = UInt8(truncatingIfNeeded: word >> 8)
        b[x] = UInt8(truncatingIfNeeded: word)
      }
    }
  }

  /// Unpacks any integer depth from 1 to 16, any bit and byte order, rounded to 8 bits.
  private func unpackDeep(
    _ frame: UnsafePointer<AVFrame>, _ description: UnsafePointer<AVPixFmtDescriptor>,
    grey: Bool, limited: Bool, inverted: Bool, into target: Planes
  ) {
    let width = target.width
    if row.count < width { row = [UInt16](repeating: 0, count: width) }
    for channel in 0..<(grey ? 1 : 3) {
      let depth = Int32(lunerv_component(description, Int32(channel)).depth)
      let black = limited ? Int32(16) << (depth - 8) : 0
      let white = limited ? Int32(235) << (depth - 8) : (Int32(1) << depth) - 1
      let span = white - black
      for y in 0..<target.height {
        let out = target.row(channel, y)
        row.withUnsafeMutableBufferPointer { values in
          lunerv_read_row(
            frame, description, Int32(y), Int32(channel), Int32(width), values.baseAddress)
          for x in 0..<width {
            let value = min(max(Int32(values[x]) - black, 0), span)
            let byte = UInt8(truncatingIfNeeded: (value * 510 + span) / (2 * span))
            out[x] = inverted ? 255 - byte : byte
          }
        }
      }
    }
    guard grey else { return }
    for y in 0..<target.height {
      target.row(1, y).update(from: target.row(0, y), count: width)
      target.row(2, y).update(from: target.row(0, y), count: width)
    }
  }

  private func unpackBySwscale(
    _ frame: UnsafePointer<AVFrame>, _ format: AVPixelFormat, isImage: Bool, into target: Planes
  ) throws {
    let colour = Colour(frame, format, isImage: isImage)
    let key = [
      frame.pointee.width, frame.pointee.height, format.rawValue, colour.matrix,
      colour.fullRange ? 1 : 0,
    ]
    if key != toRGBKey {
      sws_freeContext(toRGB)
      toRGBKey = []
      toRGB = sws_getContext(
        frame.pointee.width, frame.pointee.height, format, frame.pointee.width,
        frame.pointee.height, AV_PIX_FMT_GBRP, Self.flags, nil, nil, nil)
      guard let toRGB else {
        let name = av_get_pix_fmt_name(format).map { String(cString: $0) } ?? "?"
        throw LunervError(
          .data,
          "pictures of format \(name), \(frame.pointee.width)x\(frame.pointee.height), "
            + "cannot be converted to RGB")
      }
      // Fails (-1) if there is no matrix to choose, as for floating-point RGB.
      sws_setColorspaceDetails(
        toRGB, sws_getCoefficients(colour.matrix), colour.fullRange ? 1 : 0,
        sws_getCoefficients(colour.matrix), 1, 0, 1 << 16, 1 << 16)
      toRGBKey = key
    }
    guard let toRGB else { throw Libav.noMemory("colour conversion") }
    let rows = lunerv_scale_to_gbr(
      toRGB, frame, target.plane(1), target.plane(2), target.plane(0), Int32(target.stride))
    guard rows == frame.pointee.height else {
      throw LunervError(.data, "colour conversion failed: \(Libav.text(min(rows, -1)))")
    }
  }

  // MARK: Geometry

  /// Copies the cropped, upright picture to rows of `stride` bytes.
  private func place(
    _ source: Planes, _ orientation: Orientation, _ crop: VideoOptions.Crop,
    into output: UnsafeMutablePointer<UInt8>, stride: Int, channelOffset: (Int) -> Int
  ) {
    for channel in 0..<3 {
      let plane = source.plane(channel)
      let target = output + channelOffset(channel)
      for row in 0..<crop.height {
        let out = target + row * stride
        let y = crop.y + row
        if !orientation.transposed {
          let line = plane + (orientation.flippedY ? source.height - 1 - y : y) * source.stride
          if orientation.flippedX {
            let last = source.width - 1 - crop.x
            for column in 0..<crop.width { out[column] = line[last - column] }
          } else {
            out.update(from: line + crop.x, count: crop.width)
          }
        } else {
          // An upright row is a stored column.
          let x = orientation.flippedY ? source.width - 1 - y : y
          for column in 0..<crop.width {
            let across = crop.x + column
            let stored = orientation.flippedX ? source.height - 1 - across : across
            out[column] = plane[stored * source.stride + x]
          }
        }
      }
    }
  }

  private func scale(_ source: Planes, to target: Planes) throws {
    let key = [source.width, source.height, target.width, target.height].map(Int32.init)
    if key != scalerKey {
      sws_freeContext(scaler)
      scalerKey = []
      // Each plane separately, as grey: swscale would convert RGB to YUV and back.
      scaler = sws_getContext(
        key[0], key[1], AV_PIX_FMT_GRAY8, key[2], key[3], AV_PIX_FMT_GRAY8, Self.flags, nil, nil,
        nil)
      guard scaler != nil else {
        throw LunervError(
          .argument,
          "a \(source.width)x\(source.height) picture cannot be scaled to "
            + "\(target.width)x\(target.height)")
      }
      scalerKey = key
    }
    guard let scaler else { throw Libav.noMemory("scaling") }
    for channel in 0..<3 {
      let rows = lunerv_scale_plane(
        scaler, source.plane(channel), Int32(source.stride), Int32(source.height),
        target.plane(channel), Int32(target.stride))
      guard rows == Int32(target.height) else {
        throw LunervError(.data, "scaling failed: \(Libav.text(min(rows, -1)))")
      }
    }
  }
}

/// The matrix and range that a YUV frame is converted with.
struct Colour {
  /// One of swscale's matrices.
  let matrix: Int32
  let fullRange: Bool
  /// Whether the frame names a matrix that swscale lacks, so that a standard one replaces it.
  let isApproximate: Bool

  /// The matrix of untagged video by height: BT.709 from 720 lines on, otherwise BT.601.
  static func assumedMatrix(height: Int) -> Int32 {
    height >= 720 ? SWS_CS_ITU709 : SWS_CS_ITU601
  }

  init(_ frame: UnsafePointer<AVFrame>, _ format: AVPixelFormat, isImage: Bool) {
    var approximate = false
    switch frame.pointee.colorspace {
    case AVCOL_SPC_BT709: matrix = SWS_CS_ITU709
    case AVCOL_SPC_FCC: matrix = SWS_CS_FCC
    case AVCOL_SPC_BT470BG, AVCOL_SPC_SMPTE170M: matrix = SWS_CS_ITU601
    case AVCOL_SPC_SMPTE240M: matrix = SWS_CS_SMPTE240M
    case AVCOL_SPC_BT2020_NCL: matrix = SWS_CS_BT2020
    case let other:
      // Image formats that hold YUV (JPEG, WebP) use BT.601 at every size.
      matrix = isImage ? SWS_CS_ITU601 : Self.assumedMatrix(height: Int(frame.pointee.height))
      approximate =
        other == AVCOL_SPC_BT2020_CL || other == AVCOL_SPC_YCGCO || other == AVCOL_SPC_ICTCP
        || other == AVCOL_SPC_CHROMA_DERIVED_CL || other == AVCOL_SPC_CHROMA_DERIVED_NCL
        || other == AVCOL_SPC_SMPTE2085
    }
    isApproximate = approximate
    let alwaysFull = [
      AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_YUVJ440P,
      AV_PIX_FMT_YUVJ411P,
    ]
    fullRange = frame.pointee.color_range == AVCOL_RANGE_JPEG || alwaysFull.contains(format)
  }
}
