import { AccessLog, Operation, Telemetry } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { type Context, Effect, Fiber } from "effect"
import { HttpClient } from "effect/http"

describe("observed calls", () => {
  // Both set the fiber's context by hand, instead of by a frame of Effect's own for each reference.
  it.effect("leave the context of their caller as it was, also when they are interrupted", () =>
    Effect.gen(function*() {
      const client = HttpClient.make(() => Effect.never).pipe(Telemetry.observeAttempts, AccessLog.logAttempts)
      const contexts: Array<Context.Context<never>> = []
      const remember = Effect.withFiber((fiber) => Effect.sync(() => contexts.push(fiber.context)))
      const call = client.get("https://api.example.com/x").pipe(
        AccessLog.logCall,
        Telemetry.observeCall,
        Effect.onExit(() => remember),
        Operation.within({ name: "read", endpoint: "/x" })
      )
      const fiber = yield* Effect.forkChild(
        Effect.andThen(
          Operation.within({ name: "read", endpoint: "/x" })(remember),
          Effect.uninterruptibleMask((restore) => Effect.andThen(Effect.exit(restore(call)), remember))
        ),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(fiber)
      assert.lengthOf(contexts, 3)
      const [inside, afterCall, outside] = contexts.map((context) => [...context.mapUnsafe.keys()].sort())
      assert.deepStrictEqual(afterCall, inside)
      assert.deepStrictEqual(outside, inside?.filter((key) => key !== Operation.Current.key))
    }).pipe(Effect.provideService(AccessLog.Current, { write: () => Effect.void })))
})
