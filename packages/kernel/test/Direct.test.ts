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

/** What runs until the test ends it, and remembers who interrupts it. */
class Running extends Direct.Around<string, string> {
  readonly interruptions: Array<number | undefined> = []

  constructor() {
    super(Direct.ended(Exit.void))
  }
  override interruptUnsafe(by?: number): void {
    this.interruptions.push(by)
  }
  finish(exit: Exit.Exit<string, string>): void {
    this.end(exit)
  }
}

const context = Context.empty()

it("what follows begins with the exit of what went before, at once or later, and without a fiber where it has ended", () => {
  const next = (exit: Exit.Exit<string, string>) => Exit.isSuccess(exit) ? Exit.succeed(`after ${exit.value}`) : exit
  assert.deepStrictEqual(
    Direct.follow(Direct.ended(Exit.succeed("one")), context, next).pollUnsafe(),
    Exit.succeed("after one")
  )
  const first = new Running()
  const following = Direct.follow(first, context, next)
  const heard: Array<unknown> = []
  following.addObserver((exit) => heard.push(exit))
  assert.isUndefined(following.pollUnsafe())
  first.finish(Exit.succeed("two"))
  assert.deepStrictEqual(heard, [Exit.succeed("after two")])
  assert.deepStrictEqual(following.pollUnsafe(), Exit.succeed("after two"))
  const broken = Direct.follow(Direct.ended(Exit.void), context, () => {
    throw new Error("broken")
  })
  assert.deepStrictEqual(broken.pollUnsafe(), Exit.die(new Error("broken")))
})

it("an interruption reaches what runs of both, and what follows undoes its part undisturbed", () => {
  const [first, second] = [new Running(), new Running()]
  const effect = { ...Effect.void, [Direct.direct]: () => second } as unknown as Effect.Effect<string, string>
  const following = Direct.follow(first, context, () => effect)
  following.interruptUnsafe(1)
  assert.deepStrictEqual(first.interruptions, [1])
  first.finish(Exit.interrupt(1))
  assert.deepStrictEqual(second.interruptions, [])
  following.interruptUnsafe(2)
  assert.deepStrictEqual([first.interruptions, second.interruptions], [[1], [2]])
  second.finish(Exit.succeed("undone"))
  assert.deepStrictEqual(following.pollUnsafe(), Exit.succeed("undone"))
})

it("what follows a success that was interrupted too late is interrupted itself", () => {
  const [first, second] = [new Running(), new Running()]
  const effect = { ...Effect.void, [Direct.direct]: () => second } as unknown as Effect.Effect<string, string>
  Direct.follow(first, context, () => effect).interruptUnsafe(1)
  first.finish(Exit.succeed("in time"))
  assert.deepStrictEqual(second.interruptions, [1])
})
