import { Recovery } from "@effect-resilience/errors"
import { Batch, Journal, UploadError, UploadPlan, UploadSource } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { createHash } from "node:crypto"
import { entryOf, journals, policy, stateOf } from "./journals.ts"
import * as Targets from "./Targets.ts"

for (const [store, layer] of Object.entries(journals)) {
  describe(`Journal (${store})`, () => {
    const test = <E>(name: string, body: () => Effect.Effect<void, E, Journal.Journal>) =>
      it.effect(name, () => Effect.provide(Effect.orDie(body()), layer))

    // The content of such a source is unknown: it has no version, and it can be read only once.
    const once = (content: string) => ({
      ...Targets.make(),
      source: ({ name }: Targets.Item) => ({ ...UploadSource.bytes(name, content), replayable: false })
    })
    const outcomes = <E>({ results }: Batch.Summary<Targets.Item, string, E | UploadError.UploadError>) =>
      results.map((result) =>
        result._tag === "Skipped"
          ? result.why
          : result._tag === "Failed" && result.error instanceof UploadError.UploadError
          ? result.error.reason._tag
          : result._tag
      )

    test("uploads the second time only what is missing", () =>
      Effect.gen(function*() {
        const sent: Array<string> = []
        let broken = true
        const target = Targets.make(({ name }) =>
          Effect.suspend(() => {
            sent.push(name)
            return name === "b" && broken ? Effect.fail(Targets.failure(404)) : Effect.void
          })
        )
        const items = [{ name: "a" }, { name: "b" }, { name: "c" }]
        const first = yield* Batch.runWithJournal(target, items)
        broken = false
        const second = yield* Batch.runWithJournal(target, items)
        assert.deepStrictEqual(first.results.map((result) => result._tag), ["Uploaded", "Failed", "Uploaded"])
        assert.deepStrictEqual(second.results.map((result) => result._tag), ["Skipped", "Uploaded", "Skipped"])
        assert.deepStrictEqual(sent.sort(), ["a", "b", "b", "c"])
        assert.strictEqual(second.totals.skipped, 2)
      }))

    test("keeps what was recorded", () =>
      Effect.gen(function*() {
        const journal = yield* Journal.Journal
        const states = ["started", "waiting", "retrying", "uploaded", "failed", "unknown"] as const
        const entries = states.map((state, i): Journal.Entry => ({
          place: `${i >> 1}`,
          ordinal: 1 + (i & 1),
          run: `run ${i}`,
          revision: 1,
          action: i % 2 === 0 ? "add" : "replace",
          name: i === 0 ? "" : `it's "${i}"`,
          state,
          attempts: i,
          version: i === 0 ? undefined : "1:2:3",
          bytes: i === 0 ? undefined : 2 ** 40,
          md5: i === 0 ? undefined : "d41d8cd98f00b204e9800998ecf8427e",
          verified: i % 2 === 0,
          note: i === 0 ? undefined : "it's \"broken\"",
          at: 1_700_000_000_000 + i
        }))
        for (const entry of entries.toReversed()) yield* journal.record(entry)
        assert.deepStrictEqual(yield* Stream.runCollect(journal.entries), entries)
        const found = yield* journal.history(["1", "2", "none"])
        assert.deepStrictEqual([...found], [["1", entries.slice(2, 4)], ["2", entries.slice(4, 6)]])
      }))

    test("records what a person says of an addition in doubt", () =>
      Effect.gen(function*() {
        const journal = yield* Journal.Journal
        for (const [name, choice] of [["there", "skip"], ["lost", "retry"]] as const) {
          const entry = entryOf(name, "unknown", "add")
          yield* journal.record(entry)
          yield* UploadPlan.resolve(entry, choice)
        }
        assert.strictEqual(yield* stateOf("there"), "uploaded")
        assert.strictEqual(yield* stateOf("lost"), "failed")
      }))

    test("knows an addition by its content before it is sent, so also where its outcome is never learned", () =>
      Effect.gen(function*() {
        const sending = yield* Deferred.make<void>()
        const target = Targets.make(() => Effect.andThen(Deferred.succeed(sending, undefined), Effect.never))
        const item = { name: "a", idempotent: false }
        const fiber = yield* Effect.forkChild(UploadPlan.uploadOnce(target, item))
        yield* Deferred.await(sending)
        const entry = (yield* (yield* Journal.Journal).history(["a"])).get("a")?.at(-1)
        assert.deepInclude(entry, {
          state: "started",
          md5: createHash("md5").update("content of a").digest("hex")
        })
        yield* Fiber.interrupt(fiber)
      }))

    test("records no content of an addition whose source changed after it was read", () =>
      Effect.gen(function*() {
        const sending = yield* Deferred.make<void>()
        let version = 0
        const target = {
          ...Targets.make(() => Effect.andThen(Deferred.succeed(sending, undefined), Effect.never)),
          source: ({ name }: Targets.Item) => {
            const source = UploadSource.bytes(name, "old")
            return { ...source, open: Effect.map(source.open, (opened) => ({ ...opened, version: `${++version}` })) }
          }
        }
        const fiber = yield* Effect.forkChild(UploadPlan.uploadOnce(target, { name: "a", idempotent: false }))
        yield* Deferred.await(sending)
        const entry = (yield* (yield* Journal.Journal).history(["a"])).get("a")?.at(-1)
        yield* Fiber.interrupt(fiber)
        assert.deepInclude(entry, { state: "started", version: "2", md5: undefined })
      }))

    test("keeps the content of an addition in doubt that is taken for done after its source is gone", () =>
      Effect.gen(function*() {
        const journal = yield* Journal.Journal
        const content = { version: "1", bytes: 12, md5: "d41d8cd98f00b204e9800998ecf8427e" }
        yield* journal.record({ ...entryOf("a", "unknown", "add"), ...content })
        const reason = new UploadError.SourceUnreadable({ problem: "missing", description: "it does not exist" })
        const target = {
          ...Targets.make(),
          source: ({ name }: Targets.Item) => ({
            ...UploadSource.bytes(name, ""),
            open: Effect.fail(new UploadError.UploadError({ source: name, reason }))
          })
        }
        const item = { name: "a", idempotent: false }
        assert.strictEqual((yield* UploadPlan.uploadOnce(target, item, { onUnknown: "skip" }))._tag, "Skipped")
        const entry = (yield* journal.history(["a"])).get("a")?.at(-1)
        assert.deepInclude(entry, { ...content, state: "uploaded" })
      }))

    for (const [state, why] of [["uploaded", "uploaded"], ["started", "superseded"]] as const) {
      test(`says ${why} of what a later replacement has wiped out, where it was ${state}`, () =>
        Effect.gen(function*() {
          const journal = yield* Journal.Journal
          const names = ["old", "new"]
          for (const [i, name] of names.entries()) {
            const entry = entryOf(name, name === "old" ? state : "uploaded")
            yield* journal.record({ ...entry, place: "a", ordinal: i + 1, version: name })
          }
          const target = Targets.make()
          const versioned = {
            ...target,
            source: (item: Targets.Item) => {
              const source = target.source(item)
              return { ...source, open: Effect.map(source.open, (opened) => ({ ...opened, version: item.name })) }
            }
          }
          const plan = yield* UploadPlan.make(versioned, names.map((name) => ({ name, key: "a" })))
          assert.deepStrictEqual(
            (yield* UploadPlan.verdicts(plan)).map((verdict) => verdict._tag === "Skip" ? verdict.why : verdict._tag),
            [why, "uploaded"]
          )
        }))
    }

    test("has no doubts about items that are not in its list", () =>
      Effect.gen(function*() {
        const plan = yield* UploadPlan.make(Targets.make(), [{ name: "a" }])
        assert.isFalse(plan.isNew(1))
        assert.isFalse(plan.inDoubt(1))
        assert.deepStrictEqual(yield* plan.verdict(1), { _tag: "Send" })
        assert.throws(() => plan.nextEntry(1), RangeError)
      }))

    test("rejects what another run has taken in the meantime", () =>
      Effect.gen(function*() {
        const journal = yield* Journal.Journal
        const entry = entryOf("a", "started")
        yield* journal.record({ ...entry, run: "mine" })
        const [taken] = yield* Effect.all([
          Effect.flip(journal.record({ ...entry, run: "theirs" })),
          journal.record({ ...entry, run: "mine", state: "uploaded" }),
          journal.record(entryOf("b", "started"))
        ])
        assert.isTrue(taken.cause instanceof Journal.PlaceTaken)
        assert.strictEqual(yield* stateOf("a"), "uploaded")
      }))

    test("is not changed by an earlier revision that comes late", () =>
      Effect.gen(function*() {
        const journal = yield* Journal.Journal
        yield* journal.record({ ...entryOf("a", "uploaded"), revision: 3 })
        yield* Effect.exit(journal.record({ ...entryOf("a", "started"), revision: 2 }))
        assert.strictEqual(yield* stateOf("a"), "uploaded")
      }))

    test("does not upload to a place that another run has changed since the plan was made", () =>
      Effect.gen(function*() {
        const target = Targets.make()
        const items = [{ name: "a", idempotent: false }]
        const plan = yield* UploadPlan.make(target, items)
        yield* UploadPlan.uploadOnce(target, { name: "b", key: "a", idempotent: false })
        const error = yield* Effect.flip(UploadPlan.upload(target, plan, 0))
        assert.isTrue(error._tag === "JournalError" && error.cause instanceof Journal.PlaceTaken)
        assert.match(error.message, /run this one again/)
      }))

    test("finds any number of entries", () =>
      Effect.gen(function*() {
        const journal = yield* Journal.Journal
        const names = Array.from({ length: 40_000 }, (_, i) => `item ${i}`)
        const even = names.filter((_, i) => i % 2 === 0)
        yield* Effect.forEach(even, (name) => journal.record(entryOf(name, "uploaded")), { concurrency: "unbounded" })
        for (const asked of [names, names.slice(0, 5_000)]) {
          const found = yield* journal.history(asked)
          assert.deepStrictEqual(
            asked.filter((name) => found.get(name)?.[0]?.name === name),
            asked.filter((_, i) => i % 2 === 0)
          )
        }
      }))

    test("keeps the last of many changes made at once", () =>
      Effect.gen(function*() {
        const journal = yield* Journal.Journal
        const base = entryOf("x", "started")
        yield* Effect.forEach(
          Array.from({ length: 500 }, (_, i) => i),
          (i) => journal.record({ ...base, place: `${i % 7}`, attempts: i }),
          { concurrency: "unbounded" }
        )
        const entries = yield* Stream.runCollect(journal.entries)
        assert.deepStrictEqual(entries.map(({ attempts }) => attempts).sort(), [493, 494, 495, 496, 497, 498, 499])
      }))

    for (const idempotent of [true, false]) {
      const fate = idempotent ? "sends it again" : "fails with InDoubt"
      test(`records an item before it is sent, and ${fate} after a crash`, () =>
        Effect.gen(function*() {
          const started = yield* Deferred.make<void>()
          // All of it has left when the process dies.
          const hanging = Targets.make((_, payload) =>
            Stream.runDrain(payload.stream).pipe(
              Effect.andThen(Deferred.succeed(started, undefined)),
              Effect.andThen(Effect.never)
            )
          )
          const items = [{ name: "a", idempotent }]
          const killed = yield* Effect.forkChild(Batch.runWithJournal(hanging, items))
          yield* Deferred.await(started)
          assert.strictEqual(yield* stateOf("a"), "started")
          yield* Fiber.interrupt(killed)

          const { results: [result] } = yield* Batch.runWithJournal(Targets.make(), items)
          if (idempotent) {
            assert.strictEqual(result?._tag, "Uploaded")
          } else {
            assert.isTrue(result?._tag === "Failed" && result.error._tag === "UploadError")
            assert.strictEqual(result?._tag === "Failed" && Recovery.of(result.error)._tag, "Verify")
            const plan = yield* UploadPlan.make(Targets.make(), items, { onUnknown: "skip" })
            assert.deepInclude(yield* plan.verdict(0), { _tag: "Skip", why: "assumed", resolvesDoubt: true })
            assert.strictEqual(yield* stateOf("a"), "started")
            const retried = yield* Batch.runWithJournal(Targets.make(), items, { onUnknown: "retry" })
            assert.strictEqual(retried.results[0]?._tag, "Uploaded")
          }
          assert.strictEqual(yield* stateOf("a"), "uploaded")
        }))
    }

    test("is in no doubt about an append that was interrupted before its last byte was sent", () =>
      Effect.gen(function*() {
        const started = yield* Deferred.make<void>()
        const hanging = Targets.make(() => Effect.andThen(Deferred.succeed(started, undefined), Effect.never))
        const items = [{ name: "a", idempotent: false }]
        const interrupted = yield* Effect.forkChild(Batch.runWithJournal(hanging, items))
        yield* Deferred.await(started)
        assert.strictEqual(yield* stateOf("a"), "started")
        yield* Fiber.interrupt(interrupted)
        assert.strictEqual(yield* stateOf("a"), "waiting")
      }))

    test("is in no doubt about an append that was killed between two attempts", () =>
      Effect.gen(function*() {
        const items = [{ name: "a", idempotent: false }]
        const busy = Targets.make(() => Effect.fail(Targets.failure(429)))
        const waiting = yield* Deferred.make<void>()
        const killed = yield* Effect.forkChild(
          Batch.runWithJournal(busy, items, {
            policy,
            onEvent: (event) => event._tag === "Retrying" ? Deferred.succeed(waiting, undefined) : Effect.void
          })
        )
        yield* Deferred.await(waiting)
        assert.strictEqual(yield* stateOf("a"), "waiting")
        yield* Fiber.interrupt(killed)
        const { results: [result] } = yield* Batch.runWithJournal(Targets.make(), items)
        assert.strictEqual(result?._tag, "Uploaded")
      }))

    for (const idempotent of [true, false]) {
      test(`${idempotent ? "uploads" : "does not add"} a source again that changed since`, () =>
        Effect.gen(function*() {
          let version = "1"
          const base = Targets.make()
          const target = {
            ...base,
            source: ({ name }: Targets.Item) => {
              const source = UploadSource.bytes(name, `content ${version}`)
              return { ...source, open: Effect.map(source.open, (opened) => ({ ...opened, version })) }
            }
          }
          const items = [{ name: "a", idempotent }]
          yield* Batch.runWithJournal(target, items)
          version = "2"
          const { results: [result] } = yield* Batch.runWithJournal(target, items)
          if (idempotent) assert.strictEqual(result?._tag, "Uploaded")
          else assert.isTrue(result?._tag === "Failed" && /with other content/.test(result.error.message))
        }))
    }

    for (const idempotent of [true, false]) {
      test(`knows ${idempotent ? "a replacement" : "an addition"} that was touched, moved and renamed by its content`, () =>
        Effect.gen(function*() {
          let version = "1"
          const base = Targets.make()
          const target = {
            ...base,
            source: ({ name }: Targets.Item) => {
              const source = UploadSource.bytes(name, "the same")
              return { ...source, open: Effect.map(source.open, (opened) => ({ ...opened, version })) }
            }
          }
          const upload = (name: string) => Batch.runWithJournal(target, [{ name, key: "place", idempotent }])
          yield* upload("a")
          version = "2"
          const touched = yield* upload("a")
          const renamed = yield* upload("folder/b")
          assert.deepStrictEqual([touched.totals.skipped, renamed.totals.skipped], [1, 1])
        }))
    }

    for (const idempotent of [true, false]) {
      test(`reads ${idempotent ? "a replacement" : "an addition"} that was touched in one later run, not in all`, () =>
        Effect.gen(function*() {
          let version = "1"
          let readings = 0
          const target = {
            ...Targets.make(),
            source: ({ name }: Targets.Item) => {
              const source = UploadSource.stream(name, {
                size: 1,
                stream: Stream.sync(() => {
                  readings++
                  return new Uint8Array(1)
                })
              })
              return { ...source, open: Effect.map(source.open, (opened) => ({ ...opened, version })) }
            }
          }
          const run = Effect.gen(function*() {
            const before = readings
            const { totals } = yield* Batch.runWithJournal(target, [{ name: "a", idempotent }])
            return [totals.skipped, readings - before]
          })
          yield* run
          version = "2"
          assert.deepStrictEqual([yield* run, yield* run, yield* run], [[1, 1], [1, 0], [1, 0]])
        }))
    }

    test("keeps the version of an addition when a row that was wiped out has the same content", () =>
      Effect.gen(function*() {
        const versions: Record<string, string> = { a: "1", p: "2", b: "3" }
        const target = {
          ...Targets.make(),
          source: ({ name }: Targets.Item) => {
            const source = UploadSource.bytes(name, name === "p" ? "p" : "the same")
            const open = Effect.map(source.open, (opened) => ({ ...opened, version: versions[name] }))
            return { ...source, replayable: name !== "b", open }
          }
        }
        const items = ["a", "p", "b"].map((name) => ({ name, key: "place", idempotent: name === "p" }))
        yield* Batch.runWithJournal(target, items.slice(1))
        assert.deepStrictEqual(outcomes(yield* Batch.runWithJournal(target, items)), [
          "uploaded",
          "uploaded",
          "uploaded"
        ])
        assert.deepStrictEqual(outcomes(yield* Batch.runWithJournal(target, items)), [
          "uploaded",
          "uploaded",
          "uploaded"
        ])
      }))

    test("asks once whether an addition in doubt is there", () =>
      Effect.gen(function*() {
        const items = [{ name: "base", key: "p", idempotent: true }, { name: "a", key: "p", idempotent: false }]
        const run = (onUnknown?: Journal.OnUnknown) =>
          Effect.map(Batch.runWithJournal(Targets.make(), items, { onUnknown }), ({ results }) =>
            results.map((result) => result._tag === "Skipped" ? result.why : result._tag))
        const { history, record } = yield* Journal.Journal
        yield* run()
        const doubts = Effect.map(history(["p"]), (all) =>
          UploadPlan.doubts(all.get("p") ?? []).map(({ name }) => name))
        assert.deepStrictEqual(yield* doubts, [])
        const added = (yield* history(["p"])).get("p")?.[1]
        if (added !== undefined) yield* record({ ...added, state: "unknown" })
        assert.deepStrictEqual(yield* doubts, ["a"])
        assert.deepStrictEqual(yield* run(), ["uploaded", "Failed"])
        assert.deepStrictEqual(yield* run("skip"), ["uploaded", "assumed"])
        assert.deepStrictEqual(yield* run(), ["uploaded", "uploaded"])
        assert.deepStrictEqual(yield* doubts, [])
      }))

    test("doubts each of two additions of a name that are in doubt", () =>
      Effect.gen(function*() {
        const { history, record } = yield* Journal.Journal
        for (const ordinal of [1, 2]) yield* record({ ...entryOf("a", "unknown", "add"), place: "p", ordinal })
        const doubts = UploadPlan.doubts((yield* history(["p"])).get("p") ?? [])
        assert.deepStrictEqual(doubts.map(({ ordinal }) => ordinal), [1, 2])
      }))

    for (const [settledBy, action] of [["a replacement", "replace"], ["the same", "add"]] as const) {
      test(`no longer doubts an addition behind which ${settledBy} was sent`, () =>
        Effect.gen(function*() {
          const { history, record } = yield* Journal.Journal
          yield* record({ ...entryOf("a", "started", "add"), place: "p", md5: "1" })
          const before = UploadPlan.doubts((yield* history(["p"])).get("p") ?? [])
          assert.lengthOf(before, 1)
          yield* record({ ...entryOf("a", "uploaded", action), place: "p", ordinal: 2, md5: "1" })
          assert.deepStrictEqual(UploadPlan.doubts((yield* history(["p"])).get("p") ?? []), [])
        }))
    }

    test("reports every doubt where it fails fast, so that the caller sees each before choosing", () =>
      Effect.gen(function*() {
        const items = ["a", "b", "c"].map((name) => ({ name, idempotent: false }))
        const { record } = yield* Journal.Journal
        for (const name of ["a", "b"]) yield* record({ ...entryOf(name, "started", "add"), bytes: undefined })
        const { results } = yield* Batch.runWithJournal(Targets.make(), [...items, { name: "d" }], {
          failFast: true,
          concurrency: 1
        })
        const outcomes = results.map((result) =>
          result._tag === "Failed" && result.error._tag === "UploadError" ? result.error.reason._tag : result._tag
        )
        assert.deepStrictEqual(outcomes.slice(0, 2), ["InDoubt", "InDoubt"])
      }))

    for (const mode of ["finish", "abandon"] as const) {
      test(`reports every doubt where it is stopped to ${mode}`, () =>
        Effect.gen(function*() {
          const { record } = yield* Journal.Journal
          for (const name of ["a", "b"]) yield* record({ ...entryOf(name, "started", "add"), bytes: undefined })
          const sending = yield* Deferred.make<Batch.StopMode>()
          const turns = Effect.repeat(Effect.yieldNow, { times: 100 })
          const target = Targets.make(() => Effect.andThen(Deferred.succeed(sending, mode), turns))
          const items = [{ name: "new" }, { name: "a", idempotent: false }, { name: "b", idempotent: false }, {
            name: "c"
          }]
          const stopped = yield* Batch.runWithJournal(target, items, { concurrency: 1, stop: Deferred.await(sending) })
          assert.deepStrictEqual(outcomes(stopped), [
            mode === "finish" ? "Uploaded" : "Abandoned",
            "InDoubt",
            "InDoubt",
            "NotStarted"
          ])
        }))
    }

    test("records a second replacement of a place so that it survives a power failure", () =>
      Effect.gen(function*() {
        const journal = yield* Journal.Journal
        const begun: Array<boolean> = []
        yield* Batch.runWithJournal(Targets.make(), [{ name: "a", key: "p" }, { name: "b", key: "p" }]).pipe(
          Effect.provideService(Journal.Journal, {
            ...journal,
            record: (entry, durable = false) => {
              if (entry.state === "started") begun.push(durable)
              return journal.record(entry, durable)
            }
          })
        )
        assert.deepStrictEqual(begun, [false, true])
      }))

    test("replaces again from a source that cannot be compared with what is there under its name", () =>
      Effect.gen(function*() {
        const items = [{ name: "a" }]
        yield* Batch.runWithJournal(once("old"), items)
        assert.deepStrictEqual(outcomes(yield* Batch.runWithJournal(once("new"), items)), ["Uploaded"])
      }))

    for (const name of ["a", "another name"]) {
      test(`asks about an addition that cannot be compared with one that is there, under ${name}`, () =>
        Effect.gen(function*() {
          const add = (name: string, content: string, onChanged?: Journal.OnChanged) =>
            Batch.runWithJournal(once(content), [{ name, key: "p", idempotent: false }], { onChanged })
          yield* add("a", "old")
          const second = yield* add(name, "new")
          assert.deepStrictEqual(outcomes(second), ["ChangedSinceUpload"])
          const [result] = second.results
          if (result?._tag === "Failed") assert.match(result.error.message, /cannot be compared with what was added/)
          assert.deepStrictEqual(outcomes(yield* add(name, "new", "skip")), ["assumed"])
          assert.deepStrictEqual(outcomes(yield* add("longer", "other")), ["Uploaded"], "of another size")
          assert.deepStrictEqual(outcomes(yield* add(name, "new", "send")), ["Uploaded"])
        }))
    }

    test("adds other content of the same size under a new name", () =>
      Effect.gen(function*() {
        const add = (name: string) => Batch.runWithJournal(Targets.make(), [{ name, key: "p", idempotent: false }])
        yield* add("a")
        assert.deepStrictEqual(outcomes(yield* add("b")), ["Uploaded"])
      }))

    test("adds what has a new name where the list leaves things out", () =>
      Effect.gen(function*() {
        const add = (name: string) => UploadPlan.uploadOnce(once(name), { name, key: "p", idempotent: false })
        yield* add("monday")
        assert.strictEqual((yield* add("friday"))._tag, "Uploaded")
        assert.strictEqual((yield* Effect.flip(add("monday")))._tag, "UploadError")
      }))

    test("asks whether what cannot be compared arrived, while that is in doubt", () =>
      Effect.gen(function*() {
        const items = [{ name: "a", idempotent: false }]
        const { record } = yield* Journal.Journal
        yield* record({ ...entryOf("a", "started", "add"), version: undefined, bytes: undefined })
        const run = (onUnknown?: Journal.OnUnknown) =>
          Effect.map(Batch.runWithJournal(once("x"), items, { onUnknown }), outcomes)
        assert.deepStrictEqual(yield* run(), ["InDoubt"])
        assert.deepStrictEqual(yield* run("retry"), ["Uploaded"])
        const all = (yield* (yield* Journal.Journal).history(["a"])).get("a") ?? []
        assert.deepStrictEqual(UploadPlan.doubts(all), [])
      }))

    test("forgets a doubt when the addition is sent again", () =>
      Effect.gen(function*() {
        const items = [{ name: "a", key: "p", idempotent: false }]
        const { history, record } = yield* Journal.Journal
        yield* Batch.runWithJournal(Targets.make(), items)
        const [sent] = (yield* history(["p"])).get("p") ?? []
        if (sent !== undefined) yield* record({ ...sent, state: "unknown" })
        assert.deepStrictEqual(outcomes(yield* Batch.runWithJournal(Targets.make(), items, { onUnknown: "retry" })), [
          "Uploaded"
        ])
        const states = ((yield* history(["p"])).get("p") ?? []).map(({ note, state }) => [state, note])
        assert.deepStrictEqual(states, [["failed", "was in doubt, and is sent again"], ["uploaded", undefined]])
        const twice = [...items, { name: "b", key: "p", idempotent: false }]
        const same = { ...Targets.make(), source: ({ name }: Targets.Item) => UploadSource.bytes(name, "content of a") }
        assert.deepStrictEqual(outcomes(yield* Batch.runWithJournal(same, twice)), ["uploaded", "Uploaded"])
      }))

    test("asks once whether an addition outlived a replacement in doubt that has left the list", () =>
      Effect.gen(function*() {
        const items = ["a", "b"].map((name) => ({ name, key: "p", idempotent: false }))
        const { history, record } = yield* Journal.Journal
        yield* Batch.runWithJournal(Targets.make(), items)
        yield* record({ ...entryOf("c", "unknown"), place: "p", ordinal: 3 })
        const endangered = Effect.map(
          history(["p"]),
          (all) => UploadPlan.endangered(all.get("p") ?? []).map(({ name }) => name)
        )
        const run = (onUnknown?: Journal.OnUnknown) =>
          Effect.map(Batch.runWithJournal(Targets.make(), items, { onUnknown }), outcomes)
        assert.deepStrictEqual(yield* endangered, ["a", "b"])
        assert.deepStrictEqual(yield* run(), ["InDoubt", "InDoubt"])
        assert.deepStrictEqual(yield* run("skip"), ["assumed", "assumed"])
        assert.deepStrictEqual(yield* run(), ["uploaded", "uploaded"])
        assert.deepStrictEqual(yield* endangered, [])
        const { results } = yield* Batch.runWithJournal(Targets.make(), [{ name: "c", key: "p" }, ...items])
        assert.isTrue(results.every(({ _tag }) => _tag === "Uploaded"), "the replacement is still in doubt")
      }))

    for (const idempotent of [true, false]) {
      test(`knows ${idempotent ? "a replacement" : "an addition"} by its name where its source is gone`, () =>
        Effect.gen(function*() {
          const items = [{ name: "a", idempotent }]
          yield* Batch.runWithJournal(Targets.make(), items)
          const reason = new UploadError.SourceUnreadable({ problem: "missing", description: "it does not exist" })
          const gone = {
            ...Targets.make(),
            source: ({ name }: Targets.Item) => ({
              name,
              replayable: false,
              open: Effect.fail(new UploadError.UploadError({ source: name, reason }))
            })
          }
          assert.deepStrictEqual(outcomes(yield* Batch.runWithJournal(gone, items)), ["uploaded"])
        }))
    }

    test("skips what is uploaded although its source is gone", () =>
      Effect.gen(function*() {
        const items = [{ name: "a" }]
        yield* Batch.runWithJournal(Targets.make(), items)
        const gone = {
          ...Targets.make(),
          source: () => UploadSource.stream("a", { stream: Stream.fail("gone") })
        }
        const { results: [result] } = yield* Batch.runWithJournal(gone, items)
        assert.strictEqual(result?._tag, "Skipped")
      }))
  })
}
