import Testing

@testable import VideoIO

/// Constant rates are recognised from rounded times.
@Suite struct TimingTests {
  /// Times of `count` frames at `rate`, rounded to ticks of a clock, the first at `start` ticks.
  private func times(
    _ count: Int, _ rate: Rational, clock: Rational, start: Double = 0, truncated: Bool = false
  ) -> [FrameTime] {
    (0..<count).map { i in
      let exact = start + Double(i) / rate.value / clock.value
      return FrameTime(
        pts: Int64(exact.rounded(truncated ? .down : .toNearestOrAwayFromZero)), timeBase: clock)
    }
  }

  @Test(arguments: [
    Rational(24000, 1001), Rational(30000, 1001), Rational(60000, 1001), Rational(25),
    Rational(120), Rational(24), Rational(30), Rational(15), Rational(23),
  ])
  func roundedTimesKeepTheirRate(rate: Rational) {
    for clock in [Rational(1, 1000), Rational(1, 90000)] {
      for start in [0, 83, 126_000.4] {
        for truncated in [false, true] {
          let given = times(120, rate, clock: clock, start: start, truncated: truncated)
          // The file's own rate may be wrong: an average distorted by a late end.
          for declared in [rate, Rational(293, 12)] {
            let timing = ClipTiming(given, declared: declared)
            #expect(timing.rate == rate, "\(rate) on \(clock) from \(start)")
            #expect(timing.times.first?.pts == 0)
            #expect(timing.times.last?.seconds == 119 / rate.value)
          }
        }
      }
    }
  }

  @Test func unevenTimesStayAsTheyAreButForTheirStart() {
    let clock = Rational(1, 1000)
    let given = [500, 540, 555, 800].map { FrameTime(pts: $0, timeBase: clock) }
    let timing = ClipTiming(given, declared: Rational(25))
    #expect(timing.times.map(\.seconds) == [0, 0.04, 0.055, 0.3])
    #expect(timing.rate == Rational(25))
    #expect(timing.timeBase == clock)
  }

  @Test func ticksAsLongAsFramesGiveNoRate() {
    // 2000 frames per second on a clock of milliseconds: only the file's own rate can be right.
    let given = [0, 1, 2, 3, 4, 5].map { FrameTime(pts: $0, timeBase: Rational(1, 1000)) }
    #expect(ClipTiming(given, declared: Rational(900)).rate == Rational(900))
    #expect(ClipTiming(given, declared: Rational(25)).rate == Rational(25))
    #expect(ClipTiming(given, declared: Rational(25)).times.last?.seconds == 0.005)
  }

  @Test func oneFrameHasTheDeclaredRate() {
    let timing = ClipTiming([FrameTime(pts: 7, timeBase: Rational(1, 50))], declared: Rational(12))
    #expect(timing.rate == Rational(12))
    #expect(timing.times == [FrameTime(pts: 0, timeBase: Rational(1, 12))])
  }

  @Test func theSimplestFractionBetweenTwoNumbers() {
    #expect(ConstantRate.simplest(from: 0.3, to: 0.34) == Rational(1, 3))
    #expect(ConstantRate.simplest(from: 3.1, to: 3.15) == Rational(22, 7))
    #expect(ConstantRate.simplest(from: 2, to: 2) == Rational(2))
    #expect(ConstantRate.simplest(from: 23.9, to: 24.1) == Rational(24))
  }
}
