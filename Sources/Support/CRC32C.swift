/// The Castagnoli checksum (reflected polynomial 0x82F63B78), as iSCSI and TFRecord use it.
public enum CRC32C {
  /// The checksum of `bytes`. If `previous` is the checksum of the bytes before them, the result
  /// covers both.
  public static func checksum(_ bytes: UnsafeRawBufferPointer, previous: UInt32 = 0) -> UInt32 {
    table.withUnsafeBufferPointer { table in
      var crc = ~previous
      for byte in bytes {
        crc = table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8
      }
      return ~crc
    }
  }

  public static func checksum(_ bytes: [UInt8], previous: UInt32 = 0) -> UInt32 {
    bytes.withUnsafeBytes { checksum($0, previous: previous) }
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { crc, _ in
      crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1
    }
  }
}
