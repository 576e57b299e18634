import { Deadline } from "@effect-resilience/deadline"
import { AccessLog, ErrorMapping, Telemetry } from "@effect-resilience/http"
import { Direct } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Tracer } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const url = "https://api.example.com/orders"

const transport = HttpClient.make((request) =>
  Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(null, { status: 204 })))
)

const outcomes = Effect.flatMap(
  AccessLog.Memory,
  ({ entries }) => Effect.map(entries, (all) => all.map(({ kind, outcome }) => `${kind} ${outcome}`))
)

/** A tracer whose spans cannot begin, or cannot end. */
const broken = (throwsAt: "begin" | "end") =>
  Tracer.make({
    span: (options) => {
      if (throwsAt === "begin") throw new Error("broken")
      return Object.assign(new Tracer.NativeSpan(options), {
        end: () => {
          throw new Error("broken")
        }
      })
    }
  })

const started = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(
    Effect.context(),
    (context) =>
      Effect.callback<A, E>((resume) => {
        Direct.startUnsafe(self, context).addObserver(resume)
      })
  )

describe("a call whose deadline, log and span begin without a fiber", () => {
  it.effect("is interrupted where its caller gave up, and not late, however long it takes to end", () =>
    Effect.gen(function*() {
      const slow = Effect.onInterrupt(Effect.never, () => Effect.sleep("10 seconds"))
      const call = AccessLog.logCall(Deadline.withDeadline(slow, "5 seconds"))
      const running = Direct.startUnsafe(call, yield* Effect.context<never>())
      yield* TestClock.adjust("1 second")
      const interrupting = yield* Effect.forkChild(Direct.interrupt(running), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(yield* outcomes, ["call interrupted"])
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  for (const throwsAt of ["begin", "end"] as const) {
    for (
      const [name, run] of [["in a fiber", <A, E>(self: Effect.Effect<A, E>) => self], [
        "without one",
        started
      ]] as const
    ) {
      it.effect(`is logged ${name} where its span throws at its ${throwsAt}`, () =>
        Effect.gen(function*() {
          const call = AccessLog.logCall(Telemetry.observeCall(Effect.void))
          const exit = yield* Effect.exit(run(call))
          assert.include(String(exit), "Die(Error: broken)")
          assert.deepStrictEqual(yield* outcomes, ["call failure"])
        }).pipe(Effect.provideService(Tracer.Tracer, broken(throwsAt)), Effect.provide(AccessLog.layerMemory)))
    }

    it.effect(`has its attempts logged where a span of theirs throws at its ${throwsAt}`, () =>
      Effect.gen(function*() {
        const client = transport.pipe(Telemetry.observeAttempts, AccessLog.logAttempts)
        assert.include(String(yield* Effect.exit(client.get(url))), "Die(Error: broken)")
        assert.deepStrictEqual(yield* outcomes, ["attempt failure"])
      }).pipe(Effect.provideService(Tracer.Tracer, broken(throwsAt)), Effect.provide(AccessLog.layerMemory)))
  }

  it.effect("keeps what it failed with where its log dies", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(started(AccessLog.logCall(Effect.fail("lost"))))
      assert.deepStrictEqual(exit, yield* Effect.exit(AccessLog.logCall(Effect.fail("lost"))))
      assert.include(String(exit), "lost")
    }).pipe(Effect.provide(AccessLog.layer({ write: () => Effect.die("no disk") }))))

  it.effect("writes its lines within the span that is around its log, before that ends", () =>
    Effect.gen(function*() {
      const spans: Array<string> = []
      const log = AccessLog.layer({
        write: ({ kind }) =>
          Effect.map(Effect.currentSpan, ({ name, status }) => spans.push(`${kind} ${name} ${status._tag}`)).pipe(
            Effect.orDie
          )
      })
      const client = transport.pipe(AccessLog.logAttempts, Telemetry.observeAttempts)
      const call = client.get(url).pipe(AccessLog.logCall, Telemetry.observeCall)
      yield* Effect.provide(Effect.withSpan(Effect.andThen(call, started(call)), "caller"), log)
      assert.deepStrictEqual(spans, [
        "attempt GET Started",
        "call call Started",
        "attempt GET Started",
        "call call Started"
      ])
    }).pipe(Effect.provideService(Tracer.Tracer, Tracer.make({ span: (options) => new Tracer.NativeSpan(options) }))))
})

describe("an attempt's limits", () => {
  it.effect("begin when it is sent, not when its span did", () =>
    Effect.gen(function*() {
      const client = transport.pipe(
        HttpClient.transform((self) => Effect.delay(self, "1 second")),
        ErrorMapping.mapErrors({ timeout: "3 seconds" }),
        HttpClient.transform((self) => Effect.delay(self, "5 seconds")),
        Telemetry.observeAttempts
      )
      const fiber = yield* Effect.forkChild(client.get(url))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 204)
    }))
})

it.effect("a copy of an observed client that was made another one is used as it is", () =>
  Effect.gen(function*() {
    const observed = Telemetry.observeAttempts(transport)
    const client = AccessLog.logAttempts({ ...observed, postprocess: () => Effect.die("offline") })
    assert.deepStrictEqual(yield* Effect.exit(client.get(url)), Exit.die("offline"))
  }))
