import { Keyed } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"

describe("Keyed", () => {
  it.effect.prop(
    "always holds the keys used last, holds those in use, and never much more than twice the capacity",
    {
      capacity: Schema.Literals([1, 2, 3, 8]),
      uses: Schema.Array(Schema.Tuple([Schema.Literals([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]), Schema.Boolean])).check(
        Schema.isMaxLength(200)
      )
    },
    ({ capacity, uses }) =>
      Effect.sync(() => {
        const keyed = Keyed.make({
          capacity,
          make: (key) => ({ key, idle: true }),
          isIdle: ({ idle }) => idle
        })
        const held = new Map<string, { readonly key: string; idle: boolean }>()
        let mostInUse = 0
        for (const [number, idle] of uses) {
          const key = String(number)
          const known = held.get(key)
          const instance = keyed.get(key)
          assert.strictEqual(instance.key, key)
          // A key that is in use, or among those used last, still has the instance that it had.
          const recent = [...held.keys()].reverse().slice(0, capacity - 1)
          if (known !== undefined && (!known.idle || recent.includes(key))) assert.strictEqual(instance, known)
          instance.idle = idle
          held.delete(key)
          held.set(key, instance)
          // What was in use when its generation began stays to its end.
          mostInUse = Math.max(mostInUse, [...held.values()].filter(({ idle }) => !idle).length)
          assert.isAtMost(keyed.size, 2 * (capacity + mostInUse))
        }
      }),
    { arbitrary: { runs: 300, seed: 6, size: 200 } }
  )

  it("makes an instance at the first use of its key only", () => {
    let made = 0
    const keyed = Keyed.make({ capacity: 100, make: () => ({ number: ++made }), isIdle: () => true })
    for (let i = 0; i < 10; i++) keyed.get("a")
    keyed.get("b")
    assert.strictEqual(made, 2)
    assert.strictEqual(keyed.size, 2)
  })
})
