import { Deadline, DeadlineHeader } from "@effect-resilience/deadline"
import * as DeadlineMiddleware from "@effect-resilience/deadline/DeadlineMiddleware"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const assertLeft = (left: Duration.Duration) => assert.deepStrictEqual(left, Duration.millis(1_500))

describe("Deadline", () => {
  it.effect("fails at the deadline", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.flip(Effect.never.pipe(Deadline.withDeadline("2 seconds"))))
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "DeadlineExceeded")
    }))

  describe("that is suspended", () => {
    const lasting = (millis: number, after: (resume: () => void) => Effect.Effect<unknown>) =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 minutes")
        const work = Effect.gen(function*() {
          const resume = Deadline.suspendUnsafe(yield* Deadline.Current)
          assert.deepStrictEqual(yield* Deadline.remaining, Duration.infinity)
          yield* Effect.sleep(millis)
          resume()
          yield* after(resume)
        })
        const fiber = yield* Effect.forkChild(Effect.exit(Deadline.withDeadline(work, "2 seconds")))
        yield* TestClock.adjust("1 minute")
        return yield* Fiber.join(fiber)
      })

    it.effect("goes on counting, and has the rest once it is resumed", () =>
      Effect.gen(function*() {
        const exit = yield* lasting(500, () => Effect.andThen(Effect.map(Deadline.remaining, assertLeft), Effect.never))
        assert.include(String(exit), "DeadlineExceeded")
      }))

    it.effect("is over at once where it passed meanwhile", () =>
      Effect.gen(function*() {
        assert.include(String(yield* lasting(5_000, () => Effect.never)), "DeadlineExceeded")
      }))

    it.effect("is resumed once: what it ended has no deadline while it cleans up", () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 minutes")
        let left: Duration.Duration | undefined
        const work = Effect.flatMap(Deadline.Current, (deadline) => {
          const resume = Deadline.suspendUnsafe(deadline)
          return Effect.sleep("1 second").pipe(
            Effect.andThen(Effect.sync(resume)),
            Effect.andThen(Effect.never),
            Effect.onInterrupt(() => {
              resume()
              return Effect.map(Deadline.remaining, (remaining) => left = remaining)
            })
          )
        })
        const fiber = yield* Effect.forkChild(Effect.flip(Deadline.withDeadline(work, "2 seconds")))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "DeadlineExceeded")
        assert.deepStrictEqual(left, Duration.infinity)
      }))

    it.effect("takes with it the caller's, where that is the earlier one", () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const work = Effect.gen(function*() {
          const resume = Deadline.suspendUnsafe(yield* Deadline.Current)
          yield* Effect.sleep("3 seconds")
          resume()
          return yield* Effect.never
        })
        const fiber = yield* Effect.forkChild(
          Effect.flip(work.pipe(Deadline.withDeadline("1 hour"), Deadline.withDeadline("2 seconds")))
        )
        yield* TestClock.adjust("2999 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual((yield* Fiber.join(fiber)).allowed, Duration.seconds(2))
      }))

    it.effect("is over for all that share it, whichever of them it passed first", () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const inner = Effect.flatMap(Deadline.Current, (deadline) => {
          const resume = Deadline.suspendUnsafe(deadline)
          return Effect.andThen(Effect.andThen(Effect.sleep("5 seconds"), Effect.sync(resume)), Effect.never)
        })
        // One that begins later than the other looks later, too.
        const work = Effect.sleep("100 millis").pipe(
          Effect.andThen(Effect.exit(Deadline.withDeadline(inner, "1 hour"))),
          Effect.andThen(Effect.never)
        )
        const fiber = yield* Effect.forkChild(Effect.flip(Deadline.withDeadline(work, "2 seconds")))
        yield* TestClock.adjust("5099 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual((yield* Fiber.join(fiber)).allowed, Duration.seconds(2))
      }))

    it.effect("ends nothing that is done by then, and leaves that of a caller", () =>
      Effect.gen(function*() {
        const inner = Effect.sync(() => Deadline.suspendUnsafe({ atMillis: 1 })())
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(inner)))
        const work = Effect.andThen(
          Effect.map(Deadline.Current, (own) => Deadline.suspendUnsafe(own)),
          Effect.never
        )
        const fiber = yield* Effect.forkChild(
          Effect.flip(work.pipe(Deadline.withDeadline("1 second"), Deadline.withDeadline("3 seconds")))
        )
        yield* TestClock.adjust("2999 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual((yield* Fiber.join(fiber)).allowed, Duration.seconds(3))
      }))
  })

  it.effect("is shortened by nested deadlines and never extended", () =>
    Effect.gen(function*() {
      const inner = (duration: Duration.Input) => Deadline.remaining.pipe(Deadline.withDeadline(duration))
      const [shorter, longer] = yield* Effect.all([inner("1 second"), inner("1 hour")]).pipe(
        Deadline.withDeadline("1 minute")
      )
      assert.deepStrictEqual(shorter, Duration.seconds(1))
      assert.deepStrictEqual(longer, Duration.minutes(1))
      assert.deepStrictEqual(yield* Deadline.remaining, Duration.infinity)
    }))

  it.effect("says whose deadline passed and how long it was, in whole milliseconds, also if both pass together", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const cases: ReadonlyArray<readonly [own: number, outer: number, allowed: number, inherited: boolean]> = [
        [1000, 2000, 1000, false],
        [2000, 1000, 1000, true],
        [1000, 1000, 1000, true],
        [1000.4, 2000, 1000, false]
      ]
      for (const [own, outer, allowed, inherited] of cases) {
        let error: Deadline.DeadlineExceeded | undefined
        const inner = Effect.tapError(
          Deadline.withDeadline(Effect.never, own),
          (exceeded) => Effect.sync(() => error = exceeded)
        )
        const fiber = yield* Effect.forkChild(Effect.exit(Deadline.withDeadline(inner, outer)))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(fiber)
        assert.deepInclude(
          { ...error },
          { allowed: Duration.millis(allowed), begun: true, inherited },
          `${own} ${outer}`
        )
      }
    }))

  it.effect("is over for the finalizers of what it ends, and nothing is left where it passed", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      let left: Duration.Duration | undefined
      const undone = Effect.onInterrupt(
        Effect.never,
        () => Effect.map(Deadline.remaining, (remaining) => left = remaining)
      )
      const fiber = yield* Effect.forkChild(Effect.exit(Deadline.withDeadline(undone, "1 second")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(left, Duration.infinity)
      const past = Effect.provideService(Deadline.remaining, Deadline.Current, { atMillis: 1 })
      assert.deepStrictEqual(yield* past, Duration.zero)
    }))

  it.effect("does not start an effect when no time is left", () =>
    Effect.gen(function*() {
      let started = false
      const late = Effect.sync(() => started = true).pipe(Deadline.withDeadline("1 hour"))
      const expired = Effect.provideService(late, Deadline.Current, { atMillis: 0 })
      assert.strictEqual((yield* Effect.flip(expired))._tag, "DeadlineExceeded")
      assert.isTrue(
        Exit.isFailure(yield* Effect.exit(Effect.sync(() => started = true).pipe(Deadline.withDeadline(0))))
      )
      assert.isFalse(started)
    }))

  it.effect("ends work without a limit of its own at the deadline that it was given", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const { atMillis } = yield* Deadline.Current.pipe(Deadline.withDeadline("1 second"))
      const fiber = yield* Effect.never.pipe(
        Deadline.withDeadline("Infinity"),
        Effect.provideService(Deadline.Current, { atMillis }),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isTrue((yield* Fiber.join(fiber)).inherited)
    }))

  it.effect("limits a detached fiber by its inherited deadline", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkDetach(Effect.exit(Effect.never.pipe(Deadline.withDeadline("1 hour")))).pipe(
        Deadline.withDeadline("1 second")
      )
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
    }))

  it.effect("does not limit work that starts without a deadline", () =>
    Effect.gen(function*() {
      const left = yield* Deadline.withoutDeadline(Deadline.remaining).pipe(Deadline.withDeadline("1 second"))
      assert.deepStrictEqual(left, Duration.infinity)
    }))

  it.effect("demands time before work of known length", () =>
    Effect.gen(function*() {
      const enough = yield* Effect.exit(Deadline.demand("5 seconds").pipe(Deadline.withDeadline("5 seconds")))
      const tooLittle = yield* Effect.exit(Deadline.demand("5 seconds").pipe(Deadline.withDeadline("4999 millis")))
      assert.deepStrictEqual([Exit.isSuccess(enough), Exit.isSuccess(tooLittle)], [true, false])
    }))

  it.effect("does not move with the wall clock", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      const jumped: Clock.Clock = {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + 3_600_000,
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (millis) => millis + 3_600_000),
        currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
        currentTimeNanos: clock.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: clock.monotonicTimeNanos,
        sleep: (duration) => clock.sleep(duration)
      }
      const left = yield* Deadline.remaining.pipe(
        Effect.provideService(Clock.Clock, jumped),
        Deadline.withDeadline("1 second")
      )
      assert.deepStrictEqual(left, Duration.seconds(1))
    }))

  it.effect.prop("is never exceeded by more than a tick, however deadlines nest", [
    Schema.NonEmptyArray(between(1, 50)),
    between(1, 60)
  ], ([limits, work]) =>
    Effect.gen(function*() {
      const start = yield* Clock.currentTimeMillis
      const nested = limits.reduce(
        (effect: Effect.Effect<string, Deadline.DeadlineExceeded>, limit) => Deadline.withDeadline(effect, limit),
        Effect.as(Effect.sleep(work), "done")
      )
      const fiber = yield* Effect.forkChild(
        Effect.all([
          Effect.match(nested, { onFailure: () => "late", onSuccess: (done) => done }),
          Clock.currentTimeMillis
        ]),
        { startImmediately: true }
      )
      for (let tick = 0; tick < 61; tick++) yield* TestClock.adjust(1)
      const [outcome, end] = yield* Fiber.join(fiber)
      const limit = Math.min(...limits)
      assert.strictEqual(end - start, Math.min(limit, work))
      if (limit !== work) assert.strictEqual(outcome, work < limit ? "done" : "late")
    }))
})

describe("DeadlineHeader", () => {
  it.prop("never grows in transit and loses less than one unit", [between(0, 2 ** 45)], ([millis]) => {
    const headers = DeadlineHeader.write(Duration.millis(millis))
    const read = Duration.toMillis(DeadlineHeader.read(headers) ?? Duration.infinity)
    assert.isTrue(read <= millis && read >= millis * 0.99 - 1, `${millis} -> ${read}`)
  })

  it("reads all units of gRPC, and takes the shorter of two headers", () => {
    const read = (grpc: string) => DeadlineHeader.read({ "grpc-timeout": grpc })
    assert.deepStrictEqual(read("1H"), Duration.hours(1))
    assert.deepStrictEqual(read("2M"), Duration.minutes(2))
    assert.deepStrictEqual(read("3S"), Duration.seconds(3))
    assert.deepStrictEqual(read("4m"), Duration.millis(4))
    assert.deepStrictEqual(read("5u"), Duration.micros(5n))
    assert.deepStrictEqual(read("6n"), Duration.nanos(6n))
    const both = { "grpc-timeout": "2S", "x-envoy-expected-rq-timeout-ms": "1500" }
    assert.deepStrictEqual(DeadlineHeader.read(both), Duration.millis(1500))
  })

  it("reads garbage as no deadline", () => {
    for (const garbage of ["", "S", "1", "-1S", "1.5S", "123456789S", "1s", "1S1S", "NaNm"]) {
      assert.isUndefined(DeadlineHeader.read({ "grpc-timeout": garbage, "x-envoy-expected-rq-timeout-ms": "soon" }))
    }
  })

  it("writes nothing for an infinite time, and nothing negative", () => {
    assert.deepStrictEqual(DeadlineHeader.write(Duration.infinity), {})
    for (const none of [Duration.zero, Duration.millis(-5)]) {
      assert.deepStrictEqual(DeadlineHeader.write(none), {
        "grpc-timeout": "0m",
        "x-envoy-expected-rq-timeout-ms": "0"
      })
    }
  })

  it("writes whole milliseconds, and for gRPC the finest unit with at most eight digits", () => {
    const day = 86_400_000
    const cases: ReadonlyArray<readonly [millis: number, grpc: string]> = [
      [1.9, "1m"],
      [99_999_999, "99999999m"],
      [100_000_999, "100000S"],
      [99_999_999_999, "99999999S"],
      [100_000_000_000, "1666666M"],
      [6_000_000_000_000, "1666666H"],
      [5 * 10 ** 9 * day, "99999999H"]
    ]
    for (const [millis, grpc] of cases) {
      assert.deepStrictEqual(DeadlineHeader.write(Duration.millis(millis)), {
        "grpc-timeout": grpc,
        "x-envoy-expected-rq-timeout-ms": String(Math.floor(millis))
      })
    }
  })

  it("uses the names that it is given, and reads white space around a value and milliseconds of up to 15 digits", () => {
    const names = { grpc: "g", millis: "m" }
    assert.deepStrictEqual(DeadlineHeader.write(Duration.seconds(1), names), { g: "1000m", m: "1000" })
    assert.deepStrictEqual(DeadlineHeader.read({ g: " 1S " }, names), Duration.seconds(1))
    assert.deepStrictEqual(DeadlineHeader.read({ m: " 7 " }, names), Duration.millis(7))
    assert.deepStrictEqual(DeadlineHeader.read({ m: "1".repeat(15) }, names), Duration.millis(Number("1".repeat(15))))
    for (const millis of ["1".repeat(16), "x1", "1x", ""]) assert.isUndefined(DeadlineHeader.read({ m: millis }, names))
    assert.isUndefined(DeadlineHeader.read({ "grpc-timeout": "1S" }, names))
    assert.isUndefined(DeadlineHeader.read({ g: "x1S" }, names))
  })
})

describe("DeadlineMiddleware", () => {
  const run = <E>(
    app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, HttpServerRequest.HttpServerRequest>,
    headers: Record<string, string> = {}
  ) =>
    Effect.provideService(
      app,
      HttpServerRequest.HttpServerRequest,
      HttpServerRequest.fromWeb(new Request("http://localhost/", { headers }))
    )
  const left = Effect.map(Deadline.remaining, (left) => HttpServerResponse.text(String(Duration.toMillis(left))))
  const text = (response: HttpServerResponse.HttpServerResponse) =>
    Effect.promise(() => HttpServerResponse.toWeb(response).text())

  it.effect("gives the request its caller's deadline, up to a maximum", () =>
    Effect.gen(function*() {
      const app = left.pipe(DeadlineMiddleware.make({ max: "10 seconds" }))
      assert.strictEqual(yield* Effect.flatMap(run(app, { "grpc-timeout": "2S" }), text), "2000")
      assert.strictEqual(yield* Effect.flatMap(run(app, { "grpc-timeout": "1H" }), text), "10000")
      assert.strictEqual(yield* Effect.flatMap(run(app), text), "10000")
      assert.strictEqual(yield* Effect.flatMap(run(left.pipe(DeadlineMiddleware.make())), text), "Infinity")
    }))

  it.effect("reads the names and gives the response that it is told, and passes on other failures", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const limited = DeadlineMiddleware.make({
        names: { grpc: "g", millis: "m" },
        onExceeded: ({ allowed }) => HttpServerResponse.text(`late by ${Duration.toMillis(allowed)}`)
      })
      const fiber = yield* Effect.forkChild(Effect.flatMap(run(limited(Effect.never), { m: "100" }), text))
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* Fiber.join(fiber), "late by 100")
      assert.strictEqual(yield* Effect.flip(run(limited(Effect.fail("no")))), "no")
    }))

  it.effect("responds with 504 at the deadline and interrupts the work", () =>
    Effect.gen(function*() {
      let interrupted = false
      const work = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted = true))
      const fiber = yield* Effect.forkChild(run(work.pipe(DeadlineMiddleware.make()), { "grpc-timeout": "100m" }))
      yield* TestClock.adjust(100)
      assert.strictEqual((yield* Fiber.join(fiber)).status, 504)
      assert.isTrue(interrupted)
    }))

  it("stops the work of a route when its caller leaves, as without it", async () => {
    const statusOf = async (...around: ReadonlyArray<Layer.Layer<never, never, HttpRouter.HttpRouter>>) => {
      let interrupted = 0
      const begun = Promise.withResolvers<void>()
      const work = Effect.andThen(
        Effect.sync(() => begun.resolve()),
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      )
      const routes = Layer.mergeAll(HttpRouter.add("GET", "/", work), ...around)
      const { dispose, handler } = HttpRouter.toWebHandler(Layer.provide(routes, HttpServer.layerServices), {
        disableLogger: true
      })
      const caller = new AbortController()
      const response = handler(new Request("http://localhost/", { signal: caller.signal }))
      await begun.promise
      caller.abort()
      const { status } = await response
      await dispose()
      return [status, interrupted]
    }
    const deadlines = HttpRouter.middleware(Effect.succeed(DeadlineMiddleware.make({ max: "1 hour" })), {
      global: true
    })
    assert.deepStrictEqual(await statusOf(), [499, 1])
    assert.deepStrictEqual(await statusOf(deadlines), [499, 1])
  })
})
