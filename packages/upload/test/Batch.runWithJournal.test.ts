import { Batch, Journal } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Targets from "./Targets.ts"

// Each item has a place of its own, also where several share a key.
const place = (item: Targets.Item) => item.name

const uploaded = (name: string): Journal.Entry => ({
  place: name,
  ordinal: 1,
  run: "earlier",
  revision: 1,
  action: "replace",
  name,
  state: "uploaded",
  attempts: 1,
  version: "then",
  bytes: 1,
  md5: undefined,
  verified: true,
  note: undefined,
  at: 0
})

/** Items, some of which the journal records as uploaded, and some of those have changed since. */
const versioned = (
  target: ReturnType<typeof Targets.make>,
  changed: (name: string) => boolean,
  look: (name: string) => Effect.Effect<void> = () => Effect.void
) => ({
  ...target,
  source: (item: Targets.Item) => {
    const source = target.source(item)
    const version = changed(item.name) ? "now" : "then"
    return {
      ...source,
      open: Effect.andThen(look(item.name), Effect.map(source.open, (opened) => ({ ...opened, version })))
    }
  }
})

describe("Batch.runWithJournal", () => {
  it.effect.prop(
    "keeps the order of each key whatever was uploaded before, and sends what is new or has changed",
    {
      work: Schema.Array(Schema.Tuple([
        Schema.Literals(["a", "b", "c"]),
        Schema.Literals(["new", "same", "changed"]),
        Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 }))
      ])).check(Schema.isMaxLength(40)),
      concurrency: Schema.Literals([1, 2, 6])
    },
    ({ concurrency, work }) =>
      Effect.gen(function*() {
        const running = new Set<string>()
        const sent: Array<number> = []
        const target = versioned(
          Targets.make(({ key = "", name }) =>
            Effect.gen(function*() {
              assert.isFalse(running.has(key))
              running.add(key)
              yield* Effect.sleep(work[Number(name)]?.[2] ?? 0)
              running.delete(key)
              sent.push(Number(name))
            })
          ),
          (name) => work[Number(name)]?.[1] === "changed",
          () => Effect.sleep(5)
        )
        const journal = yield* Journal.Journal
        for (const [i, [, state]] of work.entries()) if (state !== "new") yield* journal.record(uploaded(`${i}`))
        const items = work.map(([key], i) => ({ name: `${i}`, key }))
        const fiber = yield* Effect.forkChild(Batch.runWithJournal(target, items, { place, concurrency }))
        yield* TestClock.adjust("1 minute")
        const { results } = yield* Fiber.join(fiber)

        assert.deepStrictEqual(
          results.map(({ _tag }) => _tag),
          work.map(([, state]) => state === "same" ? "Skipped" : "Uploaded")
        )
        for (const key of new Set(items.map(({ key }) => key))) {
          const order = sent.filter((i) => items[i]?.key === key)
          assert.deepStrictEqual(order, order.toSorted((a, b) => a - b))
        }
      }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory)))
  )

  it.effect("uploads items of one name one after another where nothing else says which place they have", () =>
    Effect.gen(function*() {
      let running = 0
      const sent: Array<string> = []
      const target = Targets.make(({ key = "" }) =>
        Effect.gen(function*() {
          assert.strictEqual(++running, 1)
          yield* Effect.sleep("1 second")
          running--
          sent.push(key)
        })
      )
      const items = ["first", "second", "third"].map((key) => ({ name: "a", key }))
      const fiber = yield* Effect.forkChild(Batch.runWithJournal({ ...target, key: undefined }, items))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).totals.uploaded, 3)
      assert.deepStrictEqual(sent, ["first", "second", "third"])
    }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))

  it.effect("sends what is missing before it inspects the rest", () =>
    Effect.gen(function*() {
      const sent = yield* Deferred.make<string>()
      const target = versioned(Targets.make(({ name }) => Deferred.succeed(sent, name)), () =>
        false, (name) =>
        name === "0" ? Effect.void : Effect.never)
      const journal = yield* Journal.Journal
      const items = Array.from({ length: 3_000 }, (_, i) => ({ name: `${i}` }))
      for (const { name } of items.slice(1)) {
        yield* journal.record(uploaded(name))
      }
      const fiber = yield* Effect.forkChild(Batch.runWithJournal(target, items.toReversed()))
      assert.strictEqual(yield* Deferred.await(sent), "0")
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))

  it.effect("continues where all items that may be read ahead wait for ones that are not inspected yet", () =>
    Effect.gen(function*() {
      const count = 1_500
      const journal = yield* Journal.Journal
      const items = ["before", "after"].flatMap((when) =>
        Array.from({ length: count }, (_, i) => ({ name: `${when} ${i}`, key: `${i}` }))
      )
      for (const { name } of items.slice(0, count)) yield* journal.record(uploaded(name))
      const { totals } = yield* Batch.runWithJournal(versioned(Targets.make(), (name) => name.endsWith("7")), items, {
        place
      })
      assert.deepInclude(totals, { uploaded: count + 150, skipped: count - 150 })
    }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))

  describe("looks items up", () => {
    const counting = Effect.map(Journal.Journal, (journal) => {
      const asked: Array<number> = []
      const history: typeof journal.history = (places) => {
        asked.push(places.length)
        return journal.history(places)
      }
      return { asked, layer: Layer.succeed(Journal.Journal, { ...journal, history }) }
    })
    const items = Array.from({ length: 2_500 }, (_, i) => ({ name: `${i}` }))

    it.effect("all at once, those of a stream too", () =>
      Effect.gen(function*() {
        for (const [given, pages] of [[items, [2_500]], [Stream.fromIterable(items), [2_500]]] as const) {
          const { asked, layer } = yield* counting
          yield* Effect.provide(Batch.runWithJournal(Targets.make(), given), layer)
          assert.deepStrictEqual(asked, [...pages])
        }
      }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))

    it.effect("again in each run, and takes an array as it is at the beginning", () =>
      Effect.gen(function*() {
        const { asked, layer } = yield* counting
        const growing = items.slice(0, 3)
        const batch = Batch.runWithJournal(Targets.make(), growing, {
          onResult: () => Effect.sync(() => void growing.push({ name: `${growing.length}` }))
        })
        const totals = yield* Effect.provide(
          Effect.map(Effect.all([batch, batch]), (all) => all.map((s) => s.totals)),
          layer
        )
        assert.deepStrictEqual(totals.map(({ skipped, uploaded }) => [uploaded, skipped]), [[3, 0], [3, 3]])
        assert.deepStrictEqual(asked, [3, 6])
      }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))

    it.effect("and stops during it on request", () =>
      Effect.gen(function*() {
        const journal = yield* Journal.Journal
        const slow = Layer.succeed(Journal.Journal, {
          ...journal,
          history: (places) => Effect.delay(journal.history(places), "1 minute")
        })
        const batch = Batch.runWithJournal(Targets.make(), items.slice(0, 10), {
          stop: Effect.delay(Effect.succeed("finish"), "1 second")
        })
        const running = yield* Effect.forkChild(Effect.provide(batch, slow))
        yield* TestClock.adjust("2 minutes")
        assert.deepInclude((yield* Fiber.join(running)).totals, { uploaded: 0, notStarted: 10 })
      }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))
  })
})
