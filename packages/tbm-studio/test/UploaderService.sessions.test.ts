import { Recovery } from "@effect-resilience/errors"
import { type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import { UploadSessions } from "@effect-resilience/tbm-studio"
import { UploadSource } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { writeFileSync } from "node:fs"
import { inTurns } from "../../chaos/test/turns.ts"
import {
  content,
  file,
  match,
  md5,
  mebibyte,
  quick,
  reaches,
  receiptOf,
  state,
  upload,
  withStudio
} from "./largeUploads.ts"
import { told } from "./studio.ts"

describe("with a store of sessions", () => {
  const broken: FaultRule.FaultRule = { match: match("part"), after: 2, fault: { type: "status", status: 503 } }

  it.live("sends only what is missing after a failure", () =>
    withStudio(
      { faults: [broken] },
      Effect.gen(function*() {
        const simulator = yield* Simulator.Simulator
        const bytes = content(23 * mebibyte)
        const path = yield* file(bytes)
        yield* Effect.flip(upload(UploadSource.file(path)))
        const before = (yield* state).uploader.sessions[0]
        assert.deepInclude(before, { state: "open" })
        const accepted = before?.parts.length ?? 0
        assert.isAbove(accepted, 0)
        yield* simulator.clearFaults
        const sent: Array<number> = []
        const { receipt } = yield* upload(UploadSource.file(path), {
          onEvent: (event) =>
            Effect.sync(() => {
              if (event._tag === "Sending") sent.push(event.bytes)
            })
        })
        const { uploader, uploads } = yield* state
        assert.deepStrictEqual(receipt, { ...receipt, parts: 5, resumed: accepted })
        assert.deepStrictEqual(uploader.sessions.map(({ parts }) => parts.map(({ puts }) => puts)), [[1, 1, 1, 1, 1]])
        assert.deepStrictEqual(uploads.map(({ md5 }) => md5), [md5(bytes)])
        assert.strictEqual(sent[0], before?.parts.reduce((sum, { bytes }) => sum + bytes, 0))
        assert.strictEqual(sent.at(-1), bytes.length)
        yield* upload(UploadSource.file(path))
        assert.strictEqual((yield* state).uploader.sessions.length, 2)
      }).pipe(Effect.provide(UploadSessions.layerMemory)),
      { concurrency: 1 }
    ))

  it.live("resumes after an interruption", () =>
    withStudio(
      { faults: [{ match: match("part"), after: 2, times: 1, fault: { type: "hang" } }] },
      Effect.gen(function*() {
        const bytes = content(23 * mebibyte)
        const path = yield* file(bytes)
        const fiber = yield* Effect.forkChild(upload(UploadSource.file(path), { action: "append" }))
        // Log in, look up, initiate, and the third part.
        yield* reaches(({ requests }) => requests === 6)
        yield* Fiber.interrupt(fiber)
        const { receipt } = yield* upload(UploadSource.file(path), { action: "append" })
        assert.strictEqual(receipt.resumed, 2)
        assert.deepStrictEqual((yield* state).uploads.map(({ md5 }) => md5), [md5(bytes)])
      }).pipe(Effect.provide(UploadSessions.layerMemory)),
      { concurrency: 1 }
    ))

  it.live.each([1, 12])(
    "says that it waits for the response when it resumes %i MiB that have all arrived",
    (size) =>
      withStudio(
        { faults: [{ match: match("process"), times: 1, fault: { type: "status", status: 403 } }] },
        Effect.gen(function*() {
          const path = yield* file(content(size * mebibyte))
          yield* Effect.flip(upload(UploadSource.file(path), { action: "append" }))
          const simulator = yield* Simulator.Simulator
          const events: Array<string> = []
          yield* upload(UploadSource.file(path), {
            action: "append",
            onEvent: ({ _tag }) =>
              Effect.map(simulator.state, ({ uploads }) => {
                if (uploads.length === 0) events.push(_tag)
              })
          })
          assert.deepStrictEqual(events, ["Started", "Attempting", "Sending", "AwaitingResponse"])
          assert.lengthOf((yield* state).uploads, 1)
        }).pipe(Effect.provide(UploadSessions.layerMemory))
      )
  )

  it.live("aborts and starts again if the file has changed meanwhile", () =>
    withStudio(
      { faults: [broken] },
      Effect.gen(function*() {
        const simulator = yield* Simulator.Simulator
        const path = yield* file(content(12 * mebibyte))
        yield* Effect.flip(upload(UploadSource.file(path)))
        yield* simulator.clearFaults
        const changed = content(13 * mebibyte)
        writeFileSync(path, changed)
        const { receipt } = yield* upload(UploadSource.file(path))
        const { uploader, uploads } = yield* state
        assert.strictEqual(receipt.resumed, 0)
        assert.deepStrictEqual(uploader.sessions.map(({ state }) => state), ["aborted", "finalized"])
        assert.deepStrictEqual(uploads.map(({ md5 }) => md5), [md5(changed)])
      }).pipe(Effect.provide(UploadSessions.layerMemory)),
      { concurrency: 1 }
    ))

  it.live("starts again if the service has removed the session", () =>
    withStudio(
      { faults: [broken] },
      Effect.gen(function*() {
        const simulator = yield* Simulator.Simulator
        const bytes = content(12 * mebibyte)
        const path = yield* file(bytes)
        yield* Effect.flip(upload(UploadSource.file(path)))
        yield* simulator.reset
        yield* simulator.clearFaults
        const { receipt } = yield* upload(UploadSource.file(path))
        assert.strictEqual(receipt.resumed, 0)
        assert.deepStrictEqual((yield* state).uploads.map(({ md5 }) => md5), [md5(bytes)])
      }).pipe(Effect.provide(UploadSessions.layerMemory)),
      { concurrency: 1 }
    ))

  it.live("starts an overwrite again if the service no longer knows its processing", () =>
    withStudio(
      {},
      Effect.gen(function*() {
        const simulator = yield* Simulator.Simulator
        const bytes = content(100)
        const path = yield* file(bytes)
        yield* simulator.addFaults([{ match: match("status"), fault: { type: "hang" } }])
        yield* Effect.flip(upload(UploadSource.file(path)))
        yield* simulator.reset
        const { receipt } = yield* upload(UploadSource.file(path))
        assert.strictEqual(receipt.resumed, 0)
        assert.deepStrictEqual((yield* state).uploads.map(({ md5 }) => md5), [md5(bytes)])
      }).pipe(Effect.provide(UploadSessions.layerMemory)),
      { processingTimeout: "1 second" }
    ))

  it.live("does not keep a session that cannot succeed", () =>
    withStudio(
      { faults: [{ match: match("process"), fault: { type: "status", status: 400 } }] },
      Effect.gen(function*() {
        const path = yield* file(content(12 * mebibyte))
        yield* Effect.flip(upload(UploadSource.file(path)))
        assert.deepStrictEqual((yield* state).uploader.sessions.map(({ state }) => state), ["aborted"])
      }).pipe(Effect.provide(UploadSessions.layerMemory))
    ))

  it.effect("continues to ask for the outcome of an append that is still being processed, and stores it once", () =>
    withStudio(
      { processingTime: "400 millis" },
      Effect.gen(function*() {
        const path = yield* file(content(12 * mebibyte))
        yield* Effect.flip(upload(UploadSource.file(path), { action: "append" }))
        const { receipt } = yield* upload(UploadSource.file(path), { action: "append" }).pipe(
          Effect.retry({ times: 20 })
        )
        const { uploader, uploads } = yield* state
        assert.deepInclude(uploader.processes, { ...receiptOf(receipt), status: "Success" })
        assert.deepStrictEqual([uploader.processes.length, uploads.length], [1, 1])
      }).pipe(Effect.provide(UploadSessions.layerMemory)),
      { processingTimeout: "100 millis" }
    ).pipe(inTurns))

  // An append whose processing started without a response to an earlier run.
  const inDoubt = Effect.gen(function*() {
    const path = yield* file(content(1))
    const fiber = yield* Effect.forkChild(upload(UploadSource.file(path), { action: "append" }))
    yield* reaches(({ uploader }) => uploader.processes.length === 1)
    yield* Fiber.interrupt(fiber)
    return UploadSource.file(path)
  })
  const hanging: FaultRule.FaultRule = { match: match("process"), times: 1, apply: true, fault: { type: "hang" } }
  const processes = Effect.map(state, ({ uploader }) => uploader.processes.length)

  const failing = (broken: (stage: string | undefined) => boolean) => {
    const saved: Array<UploadSessions.Session> = []
    const unless = <A>(stage: string | undefined, self: Effect.Effect<A>) =>
      broken(stage)
        ? Effect.fail(
          new UploadSessions.SessionsError({ operation: "kept", cause: { message: "no space left on device" } })
        )
        : self
    const sessions: UploadSessions.UploadSessions = {
      find: () => unless("find", Effect.sync(() => saved.at(-1))),
      save: (_, session) =>
        unless(
          session.stage,
          Effect.sync(() => {
            saved.push(session)
          })
        ),
      remove: () => unless("remove", Effect.void)
    }
    return { saved, keeping: Effect.provideService(UploadSessions.Current, sessions) }
  }
  const quickly = { policy: quick }

  it.live.each(["processing", "find"])(
    "does not start to process an append whose session it cannot save or read: %s",
    (at) =>
      withStudio(
        {},
        Effect.gen(function*() {
          const source = UploadSource.file(yield* file(content(1)))
          let broken = true
          const { keeping, saved } = failing((stage) => broken && stage === at)
          const error = yield* Effect.flip(keeping(upload(source, { action: "append", ...quickly })))
          assert.deepStrictEqual(told(error), ["SessionStoreFailed", "Retry"])
          assert.strictEqual(
            error.message,
            "gl.csv was not processed. An upload session could not be kept: no space left on device"
          )
          assert.strictEqual(yield* processes, 0)
          assert.notInclude(saved.map(({ stage }) => stage), "processing")
          // No outcome is unknown: the next run does what this one did not.
          broken = false
          yield* keeping(upload(source, { action: "append" }))
          assert.strictEqual(yield* processes, 1)
        })
      )
  )

  it.live("uploads everything else although no session can be read or saved", () =>
    withStudio(
      {},
      Effect.gen(function*() {
        const source = UploadSource.file(yield* file(content(6 * mebibyte)))
        yield* failing(() => true).keeping(upload(source, { action: "overwrite" }))
        yield* failing((stage) => stage !== "processing" && stage !== "find").keeping(
          upload(source, { action: "append" })
        )
        assert.strictEqual(yield* processes, 2)
      })
    ))

  it.live("reports an append of unknown outcome until it is told to send it again", () =>
    withStudio(
      { faults: [hanging] },
      Effect.gen(function*() {
        const source = yield* inDoubt
        for (let run = 2; run <= 4; run++) {
          const error = yield* Effect.flip(upload(source, { action: "append" }))
          assert.strictEqual(error._tag === "UploadError" ? error.reason._tag : error._tag, "InDoubt")
          assert.strictEqual(yield* processes, 1)
        }
        yield* Effect.provideService(upload(source, { action: "append" }), UploadSessions.OnUnknown, "retry")
        assert.strictEqual(yield* processes, 2)
        // A completed upload leaves no session.
        yield* upload(source, { action: "append" })
        assert.strictEqual(yield* processes, 3)
      }).pipe(Effect.provide(UploadSessions.layerMemory))
    ))

  it.live("reports an append of unknown outcome although its file has changed meanwhile", () =>
    withStudio(
      { faults: [hanging] },
      Effect.gen(function*() {
        const source = yield* inDoubt
        const opened = yield* source.open
        const changed = {
          ...source,
          open: Effect.succeed({ ...opened, version: "another" })
        }
        for (let run = 2; run <= 3; run++) {
          const error = yield* Effect.flip(upload(changed, { action: "append" }))
          assert.strictEqual(error._tag === "UploadError" ? error.reason._tag : error._tag, "InDoubt")
        }
        assert.strictEqual(yield* processes, 1)
      }).pipe(Effect.provide(UploadSessions.layerMemory))
    ))

  it.live.each<[string, Simulator.Options, number]>([
    ["whose processing the service has forgotten", {
      faults: [{ match: match("status"), fault: { type: "status", status: 404 } }]
    }, 2],
    ["whose check-in failed", { processingOutcome: "FailedGroupCheckin" }, 2]
  ])("reports an append %s until it is told to send it again", ([, options, after]) =>
    withStudio(
      options,
      Effect.gen(function*() {
        const source = UploadSource.file(yield* file(content(1)))
        for (let run = 1; run <= 3; run++) {
          const error = yield* Effect.flip(upload(source, { action: "append" }))
          assert.strictEqual(Recovery.of(error)._tag, "Verify")
          assert.strictEqual(yield* processes, 1)
        }
        yield* Effect.exit(
          Effect.provideService(upload(source, { action: "append" }), UploadSessions.OnUnknown, "retry")
        )
        assert.strictEqual(yield* processes, after)
      }).pipe(Effect.provide(UploadSessions.layerMemory))
    ))

  it.effect("asks the service before it sends an append again, also if it is told to send it", () =>
    withStudio(
      { processingTime: "300 millis" },
      Effect.gen(function*() {
        const source = UploadSource.file(yield* file(content(1)))
        yield* Effect.flip(upload(source, { action: "append" }))
        yield* reaches(({ uploads }) => uploads.length === 1)
        yield* Effect.provideService(upload(source, { action: "append" }), UploadSessions.OnUnknown, "retry")
        assert.deepStrictEqual([yield* processes, (yield* state).uploads.length], [1, 1])
      }).pipe(Effect.provide(UploadSessions.layerMemory)),
      { processingTimeout: "50 millis" }
    ).pipe(inTurns))

  it.live("sends an append again that the service did not store", () =>
    withStudio(
      { processingOutcome: "Failed" },
      Effect.gen(function*() {
        const source = UploadSource.file(yield* file(content(1)))
        for (let run = 1; run <= 2; run++) {
          const error = yield* Effect.flip(upload(source, { action: "append" }))
          assert.strictEqual(Recovery.of(error)._tag, "Correct")
          assert.strictEqual(yield* processes, run)
        }
      }).pipe(Effect.provide(UploadSessions.layerMemory))
    ))
})
