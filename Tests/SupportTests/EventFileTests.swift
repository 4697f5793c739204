// TensorBoard event files, read back byte by byte.
import Testing

@testable import Support

@Suite struct EventFileTests {
  /// Vectors from RFC 3720, B.4, and the usual check value.
  @Test func checksumVectors() {
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32C.checksum(Array(0..<32)) == 0x46DD_794E)
    #expect(CRC32C.checksum((0..<32).reversed()) == 0x113F_DB5C)
    #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
    #expect(CRC32C.checksum([]) == 0)
    let first = CRC32C.checksum(Array("1234".utf8))
    #expect(CRC32C.checksum(Array("56789".utf8), previous: first) == 0xE306_9283)
  }

  @Test func scalarsAreReadBack() throws {
    try withTemporaryFolder { folder in
      let events = try EventFile(folder: folder + "/events")
      try events.scalar("loss/total", 0.75, step: 1)
      try events.scalar("psnr", 31.5, step: 300)
      try events.flush()
      #expect(try readEvents(events.path).count == 3)
      try events.scalar("psnr", .nan, step: 1 << 40)
      try events.close()
      try events.close()
      #expect(failure { try events.scalar("psnr", 1, step: 2) }.message.contains("closed"))

      let read = try readEvents(events.path)
      #expect(read.map(\.step) == [0, 1, 300, 1 << 40])
      #expect(read[0].version == "brain.Event:2")
      #expect(read[1].tag == "loss/total" && read[1].value == 0.75)
      #expect(read[2].tag == "psnr" && read[2].value == 31.5)
      #expect(read[3].value?.isNaN == true)
      #expect(read.allSatisfy { $0.sessionStatus == nil })
      #expect(read.allSatisfy { abs($0.wallTime - Environment.wallTime()) < 600 })
      let name = Files.split(events.path).name
      #expect(name.hasPrefix("events.out.tfevents.1") && name.hasSuffix(".lunerv"))
    }
  }

  @Test func namesWithTimesThatNoClockShows() throws {
    try withTemporaryFolder { folder in
      for time in ["9223372036854775807", "9223372036854775808", "-1", ""] {
        try Files.writeAtomically(folder + "/events.out.tfevents.\(time).1.other", bytes: [])
      }
      let events = try EventFile(folder: folder)
      try events.close()
      #expect(try readEvents(events.path).count == 1)
    }
  }

  @Test func imagesAndHistogramsAreReadBack() throws {
    try withTemporaryFolder { folder in
      let events = try EventFile(folder: folder)
      try events.image("frame", png: [1, 2, 3], height: 200, width: 300, channels: 3, step: 4)
      var histogram = EventFile.Histogram()
      (histogram.minimum, histogram.maximum, histogram.count) = (-1, 3, 4)
      (histogram.sum, histogram.sumOfSquares) = (2.5, 11)
      (histogram.limits, histogram.counts) = ([0, 1.5, 3], [1, 0, 3])
      try events.histogram("weights", histogram, step: 5)
      try events.close()
      let read = try readEvents(events.path)
      #expect(read.map(\.step) == [0, 4, 5])
      #expect(read[1].tag == "frame" && read[1].size == [200, 300, 3])
      #expect(read[1].png == [1, 2, 3])
      #expect(read[2].tag == "weights" && read[2].moments == [-1, 3, 4, 2.5, 11])
      #expect(read[2].limits == [0, 1.5, 3] && read[2].counts == [1, 0, 3])
      #expect(failure { try events.histogram("w", histogram, step: 6) }.message.contains("closed"))
    }
  }

  @Test func resumingStartsALaterFileThatSupersedes() throws {
    try withTemporaryFolder { folder in
      let first = try EventFile(folder: folder)
      try first.scalar("psnr", 1, step: 5)
      try first.close()
      // From a clock that was ahead.
      try Files.writeAtomically(folder + "/events.out.tfevents.9000000000.1.lunerv", bytes: [])
      let second = try EventFile(folder: folder, resumedAt: 3)
      try second.close()
      #expect(try Files.list(folder).last == Files.split(second.path).name)
      let read = try readEvents(second.path)
      #expect(read.count == 2)
      #expect(read[1].step == 3 && read[1].sessionStatus == 1)
      #expect(try readEvents(first.path).count == 2)
    }
  }

  @Test func manyPointsReachTheFileByThemselves() throws {
    try withTemporaryFolder { folder in
      let events = try EventFile(folder: folder)
      for step in 1...5000 { try events.scalar("lr", 1e-3, step: step) }
      #expect(try readEvents(events.path).count > 4000)
      try events.flush()
      #expect(try readEvents(events.path).last?.step == 5000)
    }
  }
}

// MARK: - A reader of its own, from the formats' descriptions

private struct Event {
  var wallTime = 0.0
  var step = 0
  var version: String?
  var tag: String?
  var value: Float?
  var sessionStatus: Int?
  var size: [Int] = []
  var png: [UInt8] = []
  var moments: [Double] = []
  var limits: [Double] = []
  var counts: [Double] = []
}

private func doubles(_ bytes: [UInt8]) throws -> [Double] {
  var rest = bytes[...]
  var list: [Double] = []
  while !rest.isEmpty {
    list.append(Double(bitPattern: UInt64(bitPattern: Int64(try integer(8, from: &rest)))))
  }
  return list
}

private func readImage(_ data: [UInt8], into event: inout Event) throws {
  for (field, value) in try fields(data) {
    if case .integer(let number) = value { event.size.append(number) }
    if case (4, .content(let bytes)) = (field, value) { event.png = bytes }
  }
}

private func readHistogram(_ data: [UInt8], into event: inout Event) throws {
  for (field, value) in try fields(data) {
    switch (field, value) {
    case (1...5, .fixed(let bits)):
      event.moments.append(Double(bitPattern: UInt64(bitPattern: Int64(bits))))
    case (6, .content(let bytes)): event.limits = try doubles(bytes)
    case (7, .content(let bytes)): event.counts = try doubles(bytes)
    default: Issue.record("unexpected field \(field) of a histogram")
    }
  }
}

private func readEvents(_ path: String) throws -> [Event] {
  var bytes = try Files.read(path)[...]
  var events: [Event] = []
  while !bytes.isEmpty {
    let header = try take(8, from: &bytes)
    let length = header.reversed().reduce(0) { $0 << 8 | Int($1) }
    #expect(try integer(4, from: &bytes) == mask(header))
    let data = try take(length, from: &bytes)
    #expect(try integer(4, from: &bytes) == mask(data))
    events.append(try readEvent(data))
  }
  return events
}

private func readEvent(_ data: [UInt8]) throws -> Event {
  var event = Event()
  for (field, value) in try fields(data) {
    switch (field, value) {
    case (1, .fixed(let bits)): event.wallTime = Double(bitPattern: UInt64(bits))
    case (2, .integer(let step)): event.step = step
    case (3, .content(let text)): event.version = String(decoding: text, as: UTF8.self)
    case (5, .content(let summary)):
      for case (1, .content(let point)) in try fields(summary) {
        for (field, value) in try fields(point) {
          if case (1, .content(let tag)) = (field, value) {
            event.tag = String(decoding: tag, as: UTF8.self)
          } else if case (2, .fixed(let bits)) = (field, value) {
            event.value = Float(bitPattern: UInt32(bits))
          } else if case (4, .content(let image)) = (field, value) {
            try readImage(image, into: &event)
          } else if case (5, .content(let histogram)) = (field, value) {
            try readHistogram(histogram, into: &event)
          }
        }
      }
    case (7, .content(let session)):
      for case (1, .integer(let status)) in try fields(session) { event.sessionStatus = status }
    default: Issue.record("unexpected field \(field)")
    }
  }
  return event
}

private enum Value {
  case integer(Int)
  case fixed(Int)
  case content([UInt8])
}

private func fields(_ data: [UInt8]) throws -> [(Int, Value)] {
  var rest = data[...]
  var found: [(Int, Value)] = []
  while !rest.isEmpty {
    let key = try varint(from: &rest)
    switch key & 7 {
    case 0: found.append((key >> 3, .integer(try varint(from: &rest))))
    case 1: found.append((key >> 3, .fixed(try integer(8, from: &rest))))
    case 2:
      let count = try varint(from: &rest)
      found.append((key >> 3, .content(try take(count, from: &rest))))
    case 5: found.append((key >> 3, .fixed(try integer(4, from: &rest))))
    default: Issue.record("unexpected wire type in \(key)")
    }
  }
  return found
}

private func varint(from bytes: inout ArraySlice<UInt8>) throws -> Int {
  var value = 0
  for shift in stride(from: 0, to: 63, by: 7) {
    let byte = try take(1, from: &bytes)[0]
    value |= Int(byte & 0x7F) << shift
    if byte < 0x80 { break }
  }
  return value
}

private func integer(_ size: Int, from bytes: inout ArraySlice<UInt8>) throws -> Int {
  try take(size, from: &bytes).reversed().reduce(0) { $0 << 8 | Int($1) }
}

private func take(_ count: Int, from bytes: inout ArraySlice<UInt8>) throws -> [UInt8] {
  try #require(count >= 0 && count <= bytes.count)
  defer { bytes = bytes.dropFirst(count) }
  return Array(bytes.prefix(count))
}

private func mask(_ bytes: [UInt8]) -> Int {
  let crc = CRC32C.checksum(bytes)
  return Int((crc >> 15 | crc << 17) &+ 0xA282_EAD8)
}
