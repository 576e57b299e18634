import { UploadSessions } from "@effect-resilience/tbm-studio"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { KeyValueStore } from "effect/persistence"

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

  it.effect("falls back to the entry before the one that a crash cut short", () =>
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

  it.effect("costs the resumption, not the upload, where the store fails", () =>
    Effect.gen(function*() {
      const broken = (method: string) => (): Effect.Effect<never, KeyValueStore.KeyValueStoreError> =>
        Effect.fail(new KeyValueStore.KeyValueStoreError({ method, message: "no space left" }))
      const { find, remove, save } = yield* Effect.provide(
        store,
        layerKeyValueStore.pipe(Layer.provide(Layer.succeed(
          KeyValueStore.KeyValueStore,
          KeyValueStore.make({
            get: broken("get"),
            getUint8Array: broken("getUint8Array"),
            set: broken("set"),
            remove: broken("remove"),
            clear: broken("clear")(),
            size: broken("size")(),
            keys: broken("keys")()
          })
        )))
      )
      yield* save("a", session)
      assert.isUndefined(yield* find("a"))
      yield* remove("a")
    }))
})
