import CZlib
import Support

/// Lossless images as PNG files (ISO/IEC 15948), 8 bits per sample.
public enum PNG {
  /// The file of an image whose samples are stored row by row and pixel by pixel: 1 channel of
  /// grey, or 3 of RGB. `pixels` holds height × width × channels bytes.
  public static func encode(_ pixels: [UInt8], height: Int, width: Int, channels: Int) throws
    -> [UInt8]
  {
    let sides = 1...65_535
    guard channels == 1 || channels == 3, sides.contains(height), sides.contains(width),
      pixels.count == height * width * channels
    else {
      throw LunervError(
        .argument,
        "png: expected 1 or 3 channels, sides from 1 to 65535 and a byte per sample, got "
          + "\(width)x\(height), \(channels) channels, \(pixels.count) bytes")
    }
    var file: [UInt8] = [137, 80, 78, 71, 13, 10, 26, 10]
    let kind: [UInt8] = [8, channels == 1 ? 0 : 2, 0, 0, 0]
    chunk("IHDR", big(UInt32(width)) + big(UInt32(height)) + kind, into: &file)
    let rows = filtered(pixels, rowBytes: width * channels, step: channels)
    chunk("IDAT", try deflated(rows), into: &file)
    chunk("IEND", [], into: &file)
    return file
  }

  /// Each row, preceded by the number of its filter: the one of None, Sub, Up and Paeth with the
  /// least sum of absolute differences, as the standard recommends.
  private static func filtered(_ pixels: [UInt8], rowBytes: Int, step: Int) -> [UInt8] {
    var rows: [UInt8] = []
    rows.reserveCapacity(pixels.count + pixels.count / max(rowBytes, 1))
    var above = [UInt8](repeating: 0, count: rowBytes)
    for start in stride(from: 0, to: pixels.count, by: rowBytes) {
      let row = Array(pixels[start..<start + rowBytes])
      var best: (sum: Int, filter: UInt8, bytes: [UInt8])?
      for filter in [UInt8(0), 1, 2, 4] {
        var bytes = row
        var sum = 0
        for i in 0..<rowBytes {
          let left = i >= step ? row[i - step] : 0
          let predicted =
            switch filter {
            case 0: UInt8(0)
            case 1: left
            case 2: above[i]
            default: paeth(left, above[i], i >= step ? above[i - step] : 0)
            }
          bytes[i] = row[i] &- predicted
          sum += abs(Int(Int8(bitPattern: bytes[i])))
        }
        if best.map({ sum < $0.sum }) ?? true { best = (sum, filter, bytes) }
      }
      if let best {
        rows.append(best.filter)
        rows += best.bytes
      }
      above = row
    }
    return rows
  }

  private static func paeth(_ left: UInt8, _ above: UInt8, _ corner: UInt8) -> UInt8 {
    let (a, b, c) = (Int(left), Int(above), Int(corner))
    let p = a + b - c
    let (fromA, fromB, fromC) = (abs(p - a), abs(p - b), abs(p - c))
    if fromA <= fromB && fromA <= fromC { return left }
    return fromB <= fromC ? above : corner
  }

  private static func deflated(_ bytes: [UInt8]) throws -> [UInt8] {
    var size = compressBound(UInt(bytes.count))
    var result = [UInt8](repeating: 0, count: Int(size))
    guard compress2(&result, &size, bytes, UInt(bytes.count), 6) == Z_OK else {
      throw LunervError(.memory, "png: not enough memory to compress an image")
    }
    result.removeLast(result.count - Int(size))
    return result
  }

  private static func big(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) }
  }

  private static func chunk(_ name: String, _ data: [UInt8], into file: inout [UInt8]) {
    let named = Array(name.utf8) + data
    file += big(UInt32(data.count)) + named
    file += big(UInt32(truncatingIfNeeded: crc32(0, named, UInt32(named.count))))
  }
}
