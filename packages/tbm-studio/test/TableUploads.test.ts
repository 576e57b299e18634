import { type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import { ExitStatus } from "@effect-resilience/tbm-studio"
import { UploadSource } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Stream } from "effect"
import { content, logged, md5, studio, upload } from "./studio.ts"

/** How many requests it took, how often the bytes were stored, and what the caller was told. */
type End = readonly [requests: number, stored: number, told: string]

/** What the server has done when the fault strikes. */
type Phase = "body unread" | "body half read" | "body read" | "stored" | "half answered" | "stored, half answered"

/** `held` stops after half of its bytes, the first time it is read; `whole` leaves at once. */
type Body = "held" | "whole"

type Row = readonly [phase: Phase, fault: FaultRule.Fault, body: Body, overwrite: End, append: End]

const stored: End = [1, 1, "stored"]
const retried: End = [2, 1, "stored"]
const storedTwice: End = [2, 2, "stored"]
const unknown: End = [1, 0, "OutcomeUnknown"]
const storedUnknown: End = [1, 1, "OutcomeUnknown"]
const refused = (reason: string): End => [1, 0, reason]

const status = (status: number, body?: string) =>
  ({ type: "status", status, ...body === undefined ? {} : { body } }) as const
const html = (status: number) => ({ type: "html", status }) as const
const reset = (at: "connect" | "midRequest" | "beforeResponse" | "midResponse") => ({ type: "reset", at }) as const
const echo = (status: number) => ({ type: "echoSecrets", status }) as const
const redirect = { type: "redirect", location: "http://127.0.0.1:1/elsewhere" } as const
const delay = { type: "delay", ms: 20 } as const
const slow = { type: "slow", bytesPerSecond: 10_000 } as const

// Each fault strikes the first request to a table, and only that. An append is repeated where it certainly was not
// applied, and never stored twice.
const matrix: ReadonlyArray<Row> = [
  ["body unread", status(401), "held", retried, retried],
  ["body unread", status(401), "whole", retried, retried],
  ["body unread", { type: "expireTokens" }, "held", retried, retried],
  ["body unread", { type: "expireTokens" }, "whole", retried, retried],
  ["body unread", status(408), "whole", retried, retried],
  ["body unread", status(425), "whole", retried, retried],
  ["body unread", status(429), "held", retried, retried],
  ["body unread", status(429), "whole", retried, retried],
  ["body unread", status(500), "held", retried, retried],
  ["body unread", status(502), "held", retried, retried],
  ["body unread", status(503), "held", retried, retried],
  ["body unread", status(504), "held", retried, retried],
  ["body unread", html(503), "held", retried, retried],
  ["body unread", echo(500), "held", retried, retried],
  ["body unread", reset("connect"), "held", retried, retried],
  ["body unread", { type: "hang" }, "held", retried, retried],
  ["body half read", reset("midRequest"), "held", retried, retried],

  // All of it has left: nobody can tell what the server did with it.
  ["body unread", status(500), "whole", retried, unknown],
  ["body unread", status(502), "whole", retried, unknown],
  ["body unread", status(503), "whole", retried, unknown],
  ["body unread", status(504), "whole", retried, unknown],
  ["body unread", html(502), "whole", retried, unknown],
  ["body unread", echo(503), "whole", retried, unknown],
  ["body unread", { type: "hang" }, "whole", retried, unknown],
  ["body read", reset("beforeResponse"), "whole", retried, unknown],
  ["stored", status(500), "whole", storedTwice, storedUnknown],
  ["stored", status(503), "whole", storedTwice, storedUnknown],
  ["stored", html(504), "whole", storedTwice, storedUnknown],
  ["stored", echo(500), "whole", storedTwice, storedUnknown],
  ["stored", { type: "hang" }, "whole", storedTwice, storedUnknown],
  ["stored", reset("connect"), "whole", storedTwice, storedUnknown],
  ["stored", reset("beforeResponse"), "whole", storedTwice, storedUnknown],
  ["half answered", reset("midResponse"), "whole", retried, unknown],
  ["stored, half answered", reset("midResponse"), "whole", storedTwice, storedUnknown],
  ["half answered", { type: "truncate" }, "whole", retried, unknown],
  ["stored, half answered", { type: "truncate" }, "whole", storedTwice, storedUnknown],

  // What arrived is not what was sent: a second overwrite repairs it, an append is for somebody to look at.
  ["body read", { type: "corruptMd5" }, "whole", retried, refused("IntegrityMismatch")],
  ["stored", { type: "corruptMd5" }, "whole", storedTwice, [1, 1, "IntegrityMismatch"]],

  // A success that is none.
  ["body unread", html(200), "whole", refused("UndecodableAnswer"), unknown],
  ["stored", html(200), "whole", [1, 1, "UndecodableAnswer"], storedUnknown],
  ["body unread", status(200, ""), "whole", refused("UndecodableAnswer"), unknown],
  ["body unread", status(201, "created"), "whole", refused("UndecodableAnswer"), unknown],
  ["body unread", status(202, "[]"), "whole", refused("UndecodableAnswer"), unknown],
  ["body unread", status(204, ""), "whole", refused("UndecodableAnswer"), unknown],

  // Refused for good.
  ["body unread", status(400), "whole", refused("BadRequest"), refused("BadRequest")],
  ["body unread", status(400), "held", refused("BadRequest"), refused("BadRequest")],
  ["body unread", status(403), "whole", refused("Forbidden"), refused("Forbidden")],
  ["body unread", status(404), "whole", refused("NotFound"), refused("NotFound")],
  ["body unread", status(409), "whole", refused("Conflict"), refused("Conflict")],
  ["body unread", status(413), "held", refused("PayloadTooLarge"), refused("PayloadTooLarge")],
  ["body unread", status(422), "whole", refused("Unprocessable"), refused("Unprocessable")],
  ["body unread", echo(400), "whole", refused("BadRequest"), refused("BadRequest")],
  ["body unread", redirect, "whole", refused("UnexpectedStatus"), refused("UnexpectedStatus")],
  ["body unread", redirect, "held", refused("UnexpectedStatus"), refused("UnexpectedStatus")],
  ["body unread", status(501), "held", refused("UnexpectedStatus"), refused("UnexpectedStatus")],
  ["body unread", status(501), "whole", refused("UnexpectedStatus"), unknown],

  // No failure at all.
  ["body unread", delay, "whole", stored, stored],
  ["stored", delay, "whole", stored, stored],
  ["body half read", slow, "whole", stored, stored],
  ["stored", slow, "whole", stored, stored],
  ["stored", { type: "expireTokens" }, "whole", stored, stored]
]

describe("an upload, by what strikes its first request", () => {
  for (const [phase, fault, body, ...ends] of matrix) {
    for (const [which, action] of (["overwrite", "append"] as const).entries()) {
      it.live(`${action}, ${body} body, ${phase}: ${Object.values(fault).join(" ")}`, () =>
        Effect.gen(function*() {
          const simulator = yield* Simulator.Simulator
          const { entries, result } = yield* logged(Effect.result(
            upload({ table: "T", action, ...body === "held" ? { source: held() } : {} }, {
              stallTimeout: "250 millis",
              answerTimeout: "250 millis"
            })
          ))
          const { tables, uploads } = yield* simulator.state
          const requests = entries.filter((entry) => entry.kind === "attempt" && entry.operation?.endsWith("table"))
          const told = Result.isSuccess(result) ? "stored" : ExitStatus.reasonTagOf(result.failure) ?? ""
          assert.deepStrictEqual(
            [requests.length, uploads.length, told],
            [...ends[which] ?? []],
            JSON.stringify(result)
          )
          if (uploads.length > 0) {
            const expected = action === "append" ? content.repeat(uploads.length) : content
            assert.strictEqual(tables["P/T/January:2024"]?.md5, md5(expected))
          }
          if (Result.isSuccess(result)) assert.isTrue(result.success.verified)
        }).pipe(Effect.provide(studio({
          seed: 1,
          faults: [{ match: { operation: "upload" }, times: 1, apply: phase.startsWith("stored"), fault }]
        }))))
    }
  }
})

/** Bytes that stop coming after the first half, the first time they are read. */
const held = (): UploadSource.UploadSource => {
  const bytes = new TextEncoder().encode(content)
  let readings = 0
  return UploadSource.stream("gl.csv", {
    size: bytes.length,
    stream: Stream.suspend(() =>
      readings++ > 0
        ? Stream.make(bytes)
        : Stream.concat(Stream.make(bytes.subarray(0, bytes.length / 2)), Stream.never)
    )
  })
}
