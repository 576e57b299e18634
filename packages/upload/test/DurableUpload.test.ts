import { Recovery } from "@effect-resilience/errors"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { DurableUpload, Journal, SqlJournal, UploadSource } from "@effect-resilience/upload"
import { NodeCrypto, NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, FileSystem, Layer, Schema, Stream } from "effect"
import { ClusterError, ClusterWorkflowEngine, SingleRunner } from "effect/cluster"
import { TestClock } from "effect/testing"
import { WorkflowEngine } from "effect/workflow"
import { entryOf } from "./journals.ts"
import * as Targets from "./Targets.ts"

const Item = Schema.Struct({
  name: Schema.String,
  key: Schema.optionalKey(Schema.String),
  idempotent: Schema.optionalKey(Schema.Boolean)
})

const uploads = DurableUpload.make("test", {
  item: Item,
  name: ({ name }) => name,
  place: ({ key, name }) => key ?? name
})

const worker = <E>(send: Parameters<typeof Targets.make<E>>[0], options?: DurableUpload.WorkerOptions) =>
  uploads.layer(Effect.succeed(Targets.make(send)), options)

const memory = Layer.merge(WorkflowEngine.layerMemory, Journal.layerMemory)

/** The engine and the journal in one file: what a restart finds again. */
const onDisk = (filename: string) =>
  Layer.merge(
    ClusterWorkflowEngine.layer.pipe(
      Layer.provide(SingleRunner.layer({ runnerStorage: "memory", shardingConfig: { entityTerminationTimeout: 0 } }))
    ),
    SqlJournal.layer()
  ).pipe(
    Layer.provide(Layer.merge(SqliteClient.layer({ filename }), NodeCrypto.layerDigest)),
    Layer.orDie
  )

const items = ["a", "b", "c"].map((name) => ({ name }))

describe("DurableUpload", () => {
  it.live("uploads, and fails with the failure of the uploader", () =>
    Effect.gen(function*() {
      const { results } = yield* uploads.run("batch", items)
      assert.deepStrictEqual(results.map((result) => result._tag), ["Uploaded", "Failed", "Uploaded"])
      const failure = results[1]?._tag === "Failed" ? results[1].error : undefined
      assert.strictEqual(failure?.error, "ApiError")
      assert.strictEqual(failure?.reason, "NotFound")
      assert.strictEqual(Recovery.of(failure)._tag, "Correct")
    }).pipe(Effect.provide(
      worker(({ name }) => name === "b" ? Effect.fail(Targets.failure(404)) : Effect.void).pipe(
        Layer.provideMerge(memory)
      )
    )))

  it.live("reports what an upload recovered from, as the engine stored it", () =>
    Effect.gen(function*() {
      let calls = 0
      const busy = worker(
        () => calls++ === 0 ? Effect.fail(Targets.failure(503)) : Effect.void,
        { policy: RetryPolicy.make({ times: 1, backoff: Backoff.constant("1 millis") }) }
      ).pipe(Layer.provideMerge(memory))
      const { results: [result] } = yield* Effect.provide(uploads.run("batch", [{ name: "a" }]), busy)
      const recoveries = result?._tag === "Uploaded" ? result.report.recoveries : []
      assert.deepStrictEqual(
        recoveries.map(({ attempt, delay, recovery }) => [attempt, Duration.toMillis(delay), recovery._tag]),
        [[1, 1, "Retry"]]
      )
      const error = recoveries[0]?.error
      assert.isTrue(error instanceof DurableUpload.DurableFailure && error.reason === "ServiceUnavailable")
    }))

  it.effect("submits as many places at once as an effect says, and follows it when workers join", () =>
    Effect.gen(function*() {
      let bound = 2
      let submitted = 0
      const gate = yield* Deferred.make<void>()
      const busy = worker(
        () => Effect.andThen(Effect.sync(() => submitted++), Deferred.await(gate)),
        { concurrency: 100 }
      ).pipe(Layer.provideMerge(memory))
      const many = Array.from({ length: 20 }, (_, at) => ({ name: `${at}` }))
      const running = yield* uploads.run("batch", many, { concurrency: Effect.sync(() => bound) }).pipe(
        Effect.provide(busy),
        Effect.forkChild
      )
      // An upload takes some turns to begin, on a busy machine more of them.
      const seconds = (times: number) => TestClock.adjust("1 second").pipe(Effect.repeat({ times }))
      const settled = (expected: number) =>
        Effect.andThen(Effect.repeat(seconds(1), { until: () => submitted >= expected }), seconds(20))
      yield* settled(2)
      assert.strictEqual(submitted, 2)
      bound = 7
      yield* settled(7)
      assert.strictEqual(submitted, 7)
      bound = 3
      yield* Deferred.succeed(gate, undefined)
      const { totals } = yield* Fiber.join(running)
      assert.strictEqual(totals.uploaded, 20)
    }))

  it.live("runs an item again whose version has changed, and lets the journal decide", () =>
    Effect.gen(function*() {
      const Versioned = Schema.Struct({ name: Schema.String, version: Schema.optionalKey(Schema.String) })
      const versioned = DurableUpload.make("versioned", {
        item: Versioned,
        name: ({ name }) => name,
        version: ({ version }) => version
      })
      const current = { version: "1" }
      const sent: Array<string> = []
      const target = Targets.make(({ name }) => Effect.sync(() => void sent.push(`${name} ${current.version}`)))
      const worker = versioned.layer(Effect.succeed({
        ...target,
        source: ({ name }: typeof Versioned.Type) => {
          const source = UploadSource.bytes(name, `content ${current.version}`)
          return { ...source, open: Effect.map(source.open, (opened) => ({ ...opened, ...current })) }
        }
      })).pipe(Layer.provideMerge(memory))
      yield* Effect.gen(function*() {
        const run = (version?: string) =>
          Effect.map(
            versioned.run("batch", [{ name: "a", ...(version === undefined ? {} : { version }) }]),
            ({ results: [result] }) => result?._tag
          )
        assert.strictEqual(yield* run("1"), "Uploaded")
        assert.strictEqual(yield* run("1"), "Uploaded")
        assert.deepStrictEqual(sent, ["a 1"])
        // The journal knows that this content is there.
        assert.strictEqual(yield* run("seen elsewhere"), "Skipped")
        current.version = "2"
        assert.strictEqual(yield* run("2"), "Uploaded")
        assert.deepStrictEqual(sent, ["a 1", "a 2"])
      }).pipe(Effect.provide(worker))
    }))

  it.effect("waits again where the engine interrupts the caller", () => {
    let interruptions = 0
    const forgetful = Layer.effect(
      WorkflowEngine.WorkflowEngine,
      Effect.map(WorkflowEngine.WorkflowEngine, (engine): WorkflowEngine.WorkflowEngine["Service"] => ({
        ...engine,
        execute: (workflow, options) =>
          Effect.suspend(() => ++interruptions <= 2 ? Effect.interrupt : engine.execute(workflow, options))
      }))
    )
    return Effect.gen(function*() {
      const running = yield* Effect.forkChild(uploads.run("batch", items))
      yield* Effect.repeat(TestClock.adjust("1 second"), { until: () => running.pollUnsafe() !== undefined })
      const { results } = yield* Fiber.join(running)
      assert.deepStrictEqual(results.map((result) => result._tag), ["Uploaded", "Uploaded", "Uploaded"])
      assert.strictEqual(interruptions, 5)
    }).pipe(Effect.provide(
      worker(() => Effect.void).pipe(Layer.provideMerge(Layer.provideMerge(forgetful, memory)))
    ))
  })

  it.effect("says what to do where the engine never stops interrupting", () =>
    Effect.gen(function*() {
      const engine = yield* WorkflowEngine.WorkflowEngine
      const running = yield* uploads.run("batch", [{ name: "a" }]).pipe(
        Effect.provideService(WorkflowEngine.WorkflowEngine, { ...engine, execute: () => Effect.interrupt }),
        Effect.forkChild
      )
      yield* Effect.repeat(TestClock.adjust("1 second"), { until: () => running.pollUnsafe() !== undefined })
      const { results: [result] } = yield* Fiber.join(running)
      if (result?._tag !== "Failed") return assert.fail(result?._tag)
      assert.strictEqual(result.error.error, "Interrupted")
      assert.match(result.error.message, /submit it under another round/)
    }).pipe(Effect.provide(memory)))

  /** An engine whose storage is away for so long, from the first execution on. */
  const awayFor = (duration: Duration.Input, asked: Array<number> = []) =>
    Layer.effect(
      WorkflowEngine.WorkflowEngine,
      Effect.map(WorkflowEngine.WorkflowEngine, (engine): WorkflowEngine.WorkflowEngine["Service"] => {
        let backAt: number | undefined
        return {
          ...engine,
          execute: (workflow, options) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) => {
              asked.push(now)
              backAt ??= now + Duration.toMillis(duration)
              return now < backAt
                ? Effect.die(new ClusterError.PersistenceError({ cause: new Error("connection refused") }))
                : engine.execute(workflow, options)
            })
        }
      })
    )

  it.effect("waits for a storage of the engine that is away for a while", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const running = yield* Effect.forkChild(uploads.run("batch", items))
      yield* Effect.repeat(TestClock.adjust("1 second"), { until: () => running.pollUnsafe() !== undefined })
      const { results } = yield* Fiber.join(running)
      assert.deepStrictEqual(results.map((result) => result._tag), ["Uploaded", "Uploaded", "Uploaded"])
    }).pipe(Effect.provide(
      worker(() => Effect.void).pipe(Layer.provideMerge(Layer.provideMerge(awayFor("50 seconds"), memory)))
    )))

  it.effect("reports every item, with the cause, where the storage stays away, and waits for it once", () => {
    const asked: Array<number> = []
    return Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const running = yield* Effect.forkChild(uploads.run("batch", items, { concurrency: 1 }))
      yield* Effect.repeat(TestClock.adjust("1 second"), { until: () => running.pollUnsafe() !== undefined })
      const { results } = yield* Fiber.join(running)
      assert.isAtMost(asked.length, 60 + items.length)
      assert.strictEqual(results.length, items.length)
      for (const result of results) {
        if (result._tag !== "Failed") return assert.fail(result._tag)
        assert.strictEqual(result.error.error, "EngineUnavailable")
        assert.strictEqual(Recovery.of(result.error)._tag, "Retry")
        assert.match(result.error.message, /connection refused/)
      }
    }).pipe(Effect.provide(Layer.provideMerge(awayFor("1 day", asked), memory)))
  })

  it.effect("does not take a bug for a storage that is away", () =>
    Effect.gen(function*() {
      const engine = yield* WorkflowEngine.WorkflowEngine
      const exit = yield* uploads.run("batch", [{ name: "a" }]).pipe(
        Effect.provideService(WorkflowEngine.WorkflowEngine, { ...engine, execute: () => Effect.die("bug") }),
        Effect.exit
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }).pipe(Effect.provide(memory)))

  it.live("reports to a worker what begins and ends, by its place", () => {
    const under: Array<string> = []
    return Effect.gen(function*() {
      yield* uploads.run("batch", [{ name: "a" }])
      assert.deepStrictEqual(under, ["begin a", "send", "end a"])
    }).pipe(Effect.provide(
      worker(() => Effect.sync(() => void under.push("send")), {
        around: (place, upload) =>
          Effect.suspend(() => {
            under.push(`begin ${place}`)
            return Effect.ensuring(upload, Effect.sync(() => under.push(`end ${place}`)))
          })
      }).pipe(Layer.provideMerge(memory))
    ))
  })

  it.live("submits nothing more after a failure on request", () => {
    const sent: Array<string> = []
    return Effect.gen(function*() {
      const { results } = yield* uploads.run("batch", items, { concurrency: 1, failFast: true })
      assert.deepStrictEqual(
        results.map(({ _tag, item }) => [item.name, _tag]),
        [["a", "Uploaded"], ["b", "Failed"], ["c", "NotStarted"]]
      )
      assert.deepStrictEqual(sent, ["a", "b"])
    }).pipe(Effect.provide(
      worker(({ name }) =>
        Effect.suspend(() => {
          sent.push(name)
          return name === "b" ? Effect.fail(Targets.failure(404)) : Effect.void
        })
      ).pipe(Layer.provideMerge(memory))
    ))
  })

  it.live("leaves the uploads that run to the engine where it is told to abandon them", () =>
    Effect.gen(function*() {
      const sending = yield* Deferred.make<void>()
      const busy = worker(() => Effect.andThen(Deferred.succeed(sending, undefined), Effect.never)).pipe(
        Layer.provideMerge(memory)
      )
      const stop = Effect.as(Deferred.await(sending), "abandon" as const)
      const { results } = yield* Effect.provide(uploads.run("batch", items, { concurrency: 1, stop }), busy)
      assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Abandoned", "NotStarted", "NotStarted"])
    }))

  it.live("says behind which item one of the same place was not started", () =>
    Effect.gen(function*() {
      const { results } = yield* uploads.run("batch", [{ name: "x" }, { name: "a", key: "p" }, { name: "b", key: "p" }])
      assert.deepStrictEqual(
        results.map((result) => result._tag === "NotStarted" ? [result.item.name, result.behind] : result._tag),
        ["Uploaded", "Failed", ["b", 1]]
      )
    }).pipe(Effect.provide(
      worker(({ name }) => name === "a" ? Effect.fail(Targets.failure(404)) : Effect.void).pipe(
        Layer.provideMerge(memory)
      )
    )))

  it.live("reports as the journal has it what it takes for done", () =>
    Effect.gen(function*() {
      const { record } = yield* Journal.Journal
      yield* record({ ...entryOf("a", "unknown", "add"), version: undefined, bytes: undefined })
      const { results: [result] } = yield* uploads.run("batch", [{ name: "a", idempotent: false }])
      if (result?._tag !== "Skipped") return assert.fail(result?._tag)
      assert.deepStrictEqual([result.why, result.entry.state], ["assumed", "unknown"])
    }).pipe(Effect.provide(worker(() => Effect.void, { onUnknown: "skip" }).pipe(Layer.provideMerge(memory)))))

  it.live("does not ask about additions that a batch leaves out", () =>
    Effect.gen(function*() {
      const base = { name: "base", key: "p" }
      yield* uploads.run("all", [base, { name: "more", key: "p", idempotent: false }])
      const { results } = yield* uploads.run("some", [base])
      assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Skipped"])
    }).pipe(Effect.provide(worker(() => Effect.void).pipe(Layer.provideMerge(memory)))))

  it.live("says that another run has taken the place", () =>
    Effect.gen(function*() {
      const { results: [result] } = yield* uploads.run("batch", [{ name: "a" }])
      if (result?._tag !== "Failed") return assert.fail(result?._tag)
      assert.strictEqual(result.error.error, "PlaceTaken")
      assert.match(result.error.message, /run this one again/)
    }).pipe(Effect.provide(
      Layer.unwrap(Effect.map(Journal.Journal, ({ record }) =>
        worker(() => Effect.void, {
          around: (place, upload) =>
            Effect.andThen(Effect.orDie(record({ ...entryOf(place, "started"), run: "theirs" })), upload)
        }))).pipe(Layer.provideMerge(memory))
    )))

  it.live("remembers failures until another round, and then sends only what is missing", () => {
    const sent: Array<string> = []
    return Effect.gen(function*() {
      yield* uploads.run("batch", items)
      yield* uploads.run("batch", items)
      assert.deepStrictEqual(sent.toSorted(), ["a", "b", "c"])
      const { results } = yield* uploads.run("batch", items, { round: 2 })
      assert.deepStrictEqual(results.map((result) => result._tag), ["Skipped", "Uploaded", "Skipped"])
      assert.deepStrictEqual(sent.toSorted(), ["a", "b", "b", "c"])
    }).pipe(Effect.provide(
      worker(({ name }) =>
        Effect.suspend(() => {
          sent.push(name)
          return name === "b" && sent.filter((other) => other === "b").length === 1
            ? Effect.fail(Targets.failure(404))
            : Effect.void
        })
      ).pipe(Layer.provideMerge(memory))
    ))
  })

  it.live(
    "continues after a restart: nothing is lost, and no append is sent twice",
    () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const directory = yield* fs.makeTempDirectoryScoped()
        const file = onDisk(`${directory}/uploads.db`)
        const hanging = yield* Deferred.make<void>()
        const items = [{ name: "done" }, { name: "overwrite" }, { name: "append", idempotent: false }]
        let waiting = 0

        const done = yield* Deferred.make<void>()
        const first = yield* uploads.run("batch", items, { onResult: () => Deferred.succeed(done, undefined) }).pipe(
          Effect.provide(
            worker(({ name }, payload) =>
              name === "done" ? Effect.void : Effect.gen(function*() {
                // All of it was sent, and no response comes.
                yield* Stream.runDrain(payload.stream)
                if (++waiting === 2) yield* Deferred.succeed(hanging, undefined)
                return yield* Effect.never
              })
            ).pipe(Layer.provideMerge(file))
          ),
          Effect.forkChild
        )
        yield* Deferred.await(hanging)
        yield* Deferred.await(done)
        yield* Fiber.interrupt(first)

        const sent: Array<string> = []
        const { results } = yield* uploads.run("batch", items).pipe(
          Effect.provide(
            worker(({ name }) => Effect.sync(() => void sent.push(name))).pipe(Layer.provideMerge(Layer.fresh(file)))
          )
        )
        assert.deepStrictEqual(results.map((result) => result._tag), ["Uploaded", "Uploaded", "Failed"])
        assert.deepStrictEqual(sent, ["overwrite"])
        assert.strictEqual(Recovery.of(results[2]?._tag === "Failed" ? results[2].error : undefined)._tag, "Verify")
      }).pipe(Effect.provide(NodeFileSystem.layer))
  )
})
