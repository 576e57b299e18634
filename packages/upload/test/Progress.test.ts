import { Recovery } from "@effect-resilience/errors"
import { Progress, type Uploader } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

const events: ReadonlyArray<readonly [Uploader.Event, Progress.Progress["phase"], bytes: number, fraction: number]> = [
  [{ _tag: "Started", source: "a", size: 100 }, "opening", 0, 0],
  [{ _tag: "Attempting", attempt: 1 }, "sending", 0, 0],
  [{ _tag: "Sending", bytes: 50, size: 100 }, "sending", 50, 0.5],
  [{ _tag: "Sending", bytes: 100, size: 100 }, "sending", 100, 0.99],
  [{ _tag: "AwaitingResponse" }, "awaiting", 100, 0.99],
  [
    { _tag: "Retrying", attempt: 1, error: new Error("503"), recovery: Recovery.retry, delay: Duration.zero },
    "waiting",
    100,
    0.99
  ],
  [{ _tag: "Attempting", attempt: 2 }, "sending", 100, 0.99],
  // A second attempt that is not as far does not go back.
  [{ _tag: "Sending", bytes: 20, size: 100 }, "sending", 100, 0.99],
  [
    {
      _tag: "Done",
      report: {
        receipt: undefined,
        source: "a",
        attempts: 2,
        recoveries: [],
        bytes: 100,
        digests: {},
        verified: false,
        durationMillis: 1
      }
    },
    "done",
    100,
    1
  ]
]

describe("Progress", () => {
  it("follows an upload from event to event", () => {
    let progress = Progress.initial
    assert.deepStrictEqual(progress, { phase: "opening", bytes: 0, size: undefined, attempt: 0 })
    for (const [event, phase, bytes, fraction] of events) {
      progress = Progress.step(progress, event)
      assert.deepInclude(progress, { phase, bytes, size: 100 }, event._tag)
      assert.strictEqual(Progress.fraction(progress), fraction, event._tag)
    }
    assert.strictEqual(progress.attempt, 2)
  })

  for (const size of [undefined, 0]) {
    it(`has no share of a size of ${size} before the end`, () => {
      assert.strictEqual(Progress.fraction({ phase: "sending", bytes: 20, size, attempt: 1 }), 0)
      assert.strictEqual(Progress.fraction({ phase: "done", bytes: 20, size, attempt: 1 }), 1)
    })
  }
})
