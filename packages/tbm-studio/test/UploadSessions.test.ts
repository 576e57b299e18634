import { UploadSessions } from "@effect-resilience/tbm-studio"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"

const session: UploadSessions.Session = {
  uploadId: "u-1",
  version: "1:2:3:4",
  size: 12,
  partSize: 5,
  parts: [],
  stage: "sending",
  at: 1_700_000_000_000
}

const { Current, layerKeyValueStore, layerMemory } = UploadSessions

const store = Effect.map(Current, (sessions) => {
  assert.isDefined(sessions)
  return sessions
})

describe("UploadSessions", () => {
  it.effect("is none by default", () => Effect.map(Current, (sessions) => assert.isUndefined(sessions)))

  it.effect.each<[string, Layer.Layer<never>]>([
    ["memory", layerMemory],
    ["a key-value store", layerKeyValueStore.pipe(Layer.provide(KeyValueStore.layerMemory))]
  ])("keeps, replaces and removes sessions in %s", ([, layer]) =>
    Effect.gen(function*() {
      const { find, remove, save } = yield* store
      assert.isUndefined(yield* find("a"))
      yield* save("a", session)
      for (let part = 1; part <= 5; part++) {
        const next = { ...session, parts: [...session.parts, part] }
        yield* save("a", next)
        assert.deepStrictEqual(yield* find("a"), next)
      }
      yield* save("b", { ...session, processId: "p", stage: "processing" })
      yield* remove("a")
      assert.isUndefined(yield* find("a"))
      assert.deepInclude(yield* find("b"), { processId: "p", stage: "processing" })
    }).pipe(Effect.provide(layer)))

  it.effect("falls back to the previous entry if a crash cut the last one short", () =>
    Effect.gen(function*() {
      const values = yield* KeyValueStore.KeyValueStore
      const first = yield* Effect.provide(store, layerKeyValueStore)
      yield* first.save("a", { ...session, parts: [1] })
      yield* first.save("a", { ...session, parts: [1, 2] })
      yield* values.set("a.0", "{\"revision\":2,\"sess")
      // Another process.
      const second = yield* Effect.provide(store, Layer.fresh(layerKeyValueStore))
      assert.deepInclude(yield* second.find("a"), { parts: [1] })
      yield* second.save("a", { ...session, parts: [1, 3] })
      assert.deepInclude(yield* second.find("a"), { parts: [1, 3] })
    }).pipe(Effect.provide(KeyValueStore.layerMemory)))

  it.effect("fails within 5 seconds if its store fails or does not respond", () =>
    Effect.gen(function*() {
      const failing = () => Effect.fail(new KeyValueStore.KeyValueStoreError({ method: "x", message: "no space left" }))
      for (const [reply, says] of [[failing, "no space left"], [() => Effect.never, "5s"]] as const) {
        const { find, remove, save } = yield* Effect.provide(
          store,
          Layer.fresh(layerKeyValueStore).pipe(Layer.provide(Layer.succeed(
            KeyValueStore.KeyValueStore,
            KeyValueStore.make({
              get: reply,
              getUint8Array: reply,
              set: reply,
              remove: reply,
              clear: reply(),
              size: reply(),
              keys: reply()
            })
          )))
        )
        const calls: ReadonlyArray<readonly [string, Effect.Effect<unknown, UploadSessions.SessionsError>]> = [
          ["kept", save("a", session)],
          ["read", find("a")],
          ["removed", remove("a")]
        ]
        for (const [operation, call] of calls) {
          const asking = yield* Effect.forkChild(Effect.flip(call))
          yield* TestClock.adjust("5 seconds")
          const { message } = yield* Fiber.join(asking)
          assert.include(message, `An upload session could not be ${operation}: `)
          assert.include(message, says)
          // A store that did not respond is tried again after a pause.
          yield* TestClock.adjust("5 seconds")
        }
      }
    }))
})
