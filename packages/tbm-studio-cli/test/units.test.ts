import { assert, it } from "@effect/vitest"
import * as units from "../src/internal/units.ts"

it("says durations as people do, and never sixty of a unit", () => {
  const cases: ReadonlyArray<readonly [number, string]> = [
    [0, "0 ms"],
    [999.4, "999 ms"],
    [999.6, "1.0 s"],
    [9_949, "9.9 s"],
    [9_950, "10 s"],
    [40_000, "40 s"],
    [59_499, "59 s"],
    [59_500, "1 min"],
    [119_600, "2 min"],
    [200_000, "3 min 20 s"],
    [3_599_600, "1 h"],
    [10_800_000, "3 h"],
    [3_900_000, "1 h 5 min"],
    [86_399_000, "1 d"],
    [273_600_000, "3 d 4 h"]
  ]
  for (const [millis, words] of cases) assert.strictEqual(units.duration(millis), words)
  for (let millis = 1; millis < 1e9; millis = Math.ceil(millis * 1.003)) {
    assert.notMatch(units.duration(millis), /\b(1000 ms|60 s|10\.0 s|60 min|24 h| 0 )/)
  }
})

it("says sizes in the unit that they round to", () => {
  const cases: ReadonlyArray<readonly [number, string]> = [
    [999, "999 B"],
    [1_000, "1.0 kB"],
    [999_949, "999.9 kB"],
    [999_950, "1.0 MB"],
    [999_999_999, "1.0 GB"],
    [1_500_000_000_000_000, "1500.0 TB"]
  ]
  for (const [count, words] of cases) assert.strictEqual(units.bytes(count), words)
})
