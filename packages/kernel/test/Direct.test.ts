import { Direct } from "@effect-resilience/kernel"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber } from "effect"

const Place = Context.Reference<string>("test/Place", { defaultValue: () => "outside" })

const within = Direct.updateContext(
  Effect.withFiber((fiber) => Effect.succeed(fiber.getRef(Place))),
  (context) => Context.add(context, Place, "inside")
)

it.effect("an effect with another context has it in a fiber and without one, and leaves the caller's as it was", () =>
  Effect.gen(function*() {
    assert.strictEqual(yield* within, "inside")
    assert.strictEqual(yield* Place, "outside")
    assert.deepStrictEqual(Direct.startUnsafe(within, yield* Effect.context()).pollUnsafe(), Exit.succeed("inside"))
  }))

/** Ends later than what it is around. */
class Later extends Direct.Around<string, never> {
  finish(): void {
    this.end(Exit.succeed("ended"))
  }
}

it.effect("what interrupts it waits for its own end, and not only for that of what it is around", () =>
  Effect.gen(function*() {
    const inner = Effect.runFork(Effect.never)
    const later = new Later(inner)
    const heard: Array<unknown> = []
    later.addObserver((exit) => heard.push(exit))
    const interrupting = yield* Effect.forkChild(Direct.interrupt(later), { startImmediately: true })
    assert.isDefined(inner.pollUnsafe())
    assert.isUndefined(interrupting.pollUnsafe())
    later.finish()
    yield* Fiber.join(interrupting)
    assert.deepStrictEqual(heard, [Exit.succeed("ended")])
    yield* Direct.interrupt(later)
    later.addObserver((exit) => heard.push(exit))
    assert.strictEqual(heard.length, 2)
  }))

it.effect("what has ended as it began is what its waiting ends with", () =>
  Effect.gen(function*() {
    const failed: Direct.Direct<never, string> = { [Direct.direct]: () => Direct.ended(Exit.fail("at once")) }
    assert.strictEqual(yield* Effect.flip(Direct.wait(failed)), "at once")
  }))

it("what throws as it begins has ended with that", () => {
  const broken = Direct.updateContext(Effect.void, () => {
    throw new Error("broken")
  })
  assert.deepStrictEqual(
    Direct.startUnsafe(broken, Context.empty()).pollUnsafe(),
    Exit.die(new Error("broken"))
  )
})
