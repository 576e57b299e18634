import { Timer } from "@effect-resilience/kernel"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as v8 from "node:v8"
import * as vm from "node:vm"

v8.setFlagsFromString("--expose_gc")
const collect: () => void = vm.runInNewContext("gc")

// All waits of one length are a list. One that had left it still led to the next: once it was garbage of the old generation,
// all that came after it lived until the next full collection, each with what it would have called.
it.live("a wait that was cancelled does not keep those that began after it", () =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const start = () => {
      const content = { name: "an upload" }
      return { wait: Timer.startUnsafe(context, 60_000, () => content.name), content: new WeakRef(content) }
    }
    const first = start()
    const cancelSecond = () => {
      const { content, wait } = start()
      first.wait.cancel()
      wait.cancel()
      return content
    }
    const content = cancelSecond()
    // What was made in this turn of the event loop is kept to its end.
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    collect()
    assert.isUndefined(content.deref())
    assert.isDefined(first.wait)
  }))
