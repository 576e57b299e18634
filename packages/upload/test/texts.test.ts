import { NotAsked, Recovery } from "@effect-resilience/errors"
import { DurableUpload, Journal, UploadError } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"

const since = Date.UTC(2026, 5, 1, 12)
const at = "2026-06-01T12:00:00.000Z"
const again = "Upload it again."
const check = "Check what is stored before uploading it again."

const rows: ReadonlyArray<readonly [UploadError.Reason, Recovery.Recovery["_tag"], notAsked: boolean, string]> = [
  [
    new UploadError.SourceUnreadable({ problem: "missing", description: "it does not exist" }),
    "Correct",
    true,
    "cannot be read: it does not exist."
  ],
  [
    new UploadError.SourceUnreadable({ problem: "busy", description: "it is in use. " }),
    "Retry",
    true,
    "cannot be read: it is in use."
  ],
  [
    new UploadError.SourceChanged({ description: "it ends after 3 of 5 bytes" }),
    "Correct",
    true,
    "changed while it was uploaded: it ends after 3 of 5 bytes. Upload it again when nothing writes to it."
  ],
  [
    new UploadError.NotReplayable({ failure: undefined }),
    "GiveUp",
    false,
    "can be read only once, so it cannot be sent again."
  ],
  [
    new UploadError.NotReplayable({ failure: new Journal.PlaceTaken({ place: "a" }) }),
    "GiveUp",
    true,
    "can be read only once, so it cannot be sent again. The attempt failed: another run uploads to the same place: " +
    "run this one again when that has ended"
  ],
  [
    new UploadError.IntegrityMismatch({ what: "md5", sent: "a", stored: "b", idempotent: true }),
    "Retry",
    false,
    `did not arrive intact: md5 sent a, stored b. ${again}`
  ],
  [
    new UploadError.IntegrityMismatch({ what: "bytes", sent: "5", stored: "3", idempotent: false }),
    "Verify",
    false,
    `did not arrive intact: bytes sent 5, stored 3. ${check}`
  ],
  [
    new UploadError.IncompleteBody({ sent: 3, size: 5, idempotent: true }),
    "Retry",
    false,
    `was reported as stored after 3 of 5 bytes, before the end of its body. ${again}`
  ],
  [
    new UploadError.IncompleteBody({ sent: 3, size: undefined, idempotent: false }),
    "Verify",
    false,
    `was reported as stored after 3 bytes, before the end of its body. ${check}`
  ],
  [
    new UploadError.HashingFailed({ description: "its thread ended", idempotent: true }),
    "Retry",
    false,
    `could not be hashed while it was sent: its thread ended. ${again}`
  ],
  [
    new UploadError.HashingFailed({ description: "its thread ended", idempotent: false }),
    "Verify",
    false,
    `could not be hashed while it was sent: its thread ended. ${check}`
  ],
  [
    new UploadError.InDoubt({ since }),
    "Verify",
    false,
    `was sent by an earlier run at ${at} that did not learn whether it arrived. ` +
    "Check what is stored, then skip it or send it again."
  ],
  [
    new UploadError.ChangedSinceUpload({ since }),
    "Correct",
    true,
    `was uploaded with other content at ${at}, and what was added then stays. Leave it so, or add the new content too.`
  ],
  [
    new UploadError.ChangedSinceUpload({ since, compared: false }),
    "Correct",
    true,
    `cannot be compared with what was added at ${at}, which stays. Leave it so, or add this too.`
  ],
  [
    new UploadError.SurplusAdditions({ names: ["a", "b", "c"] }),
    "Correct",
    true,
    "is stored, but so is what was added to it from a, b, c, which the list does not name behind it. " +
    "Leave it so, or send this and what follows it again."
  ],
  [
    new UploadError.SurplusAdditions({ names: ["a", "b", "c", "d", "e"] }),
    "Correct",
    true,
    "is stored, but so is what was added to it from a, b, c and 2 more, which the list does not name behind it. " +
    "Leave it so, or send this and what follows it again."
  ]
]

describe("UploadError", () => {
  for (const [reason, recovery, notAsked, text] of rows) {
    it(`says: gl.csv ${text}`, () => {
      const error = new UploadError.UploadError({ source: "gl.csv", reason })
      assert.strictEqual(error.message, `gl.csv ${text}`)
      assert.strictEqual(Recovery.of(error)._tag, recovery)
      assert.strictEqual(NotAsked.isNotAsked(error), notAsked)
    })
  }
})

describe("JournalError", () => {
  it("says what the store failed with, where that says something", () => {
    const because = (cause: unknown) => new Journal.JournalError({ operation: "write", cause }).message
    assert.strictEqual(
      because(new Error("database or disk is full")),
      "could not write the journal: database or disk is full"
    )
    assert.strictEqual(because(undefined), "could not write the journal")
  })

  it("says that a place was taken by another run, which may end", () => {
    const taken = new Journal.PlaceTaken({ place: "a" })
    assert.strictEqual(taken.message, "another run uploads to the same place: run this one again when that has ended")
    assert.isTrue(NotAsked.isNotAsked(taken))
    assert.deepStrictEqual(Recovery.of(taken), Recovery.retry)
  })
})

describe("DurableFailure", () => {
  for (const recovery of ["Retry", "Reauthenticate", "Correct", "Authorize", "Verify", "GiveUp"] as const) {
    it(`has the message of what failed, and recovers by ${recovery}`, () => {
      const failure = new DurableUpload.DurableFailure({ error: "ApiError", description: "no", recovery, attempts: 2 })
      assert.strictEqual(failure.message, "no")
      assert.strictEqual(Recovery.of(failure)._tag, recovery)
    })
  }
})
