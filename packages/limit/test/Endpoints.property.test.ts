import { ApiError, Recovery } from "@effect-resilience/errors"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { Bulkhead, CircuitBreaker, Endpoints } from "@effect-resilience/limit"
import { Backoff, Hedge, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Random, References } from "effect"
import { TestClock } from "effect/testing"
import * as FastCheck from "fast-check"

const down = ApiError.reasonFromStatus(503, {})

const names = (count: number) => Array.from({ length: count }, (_, i) => `a${i}`)

const runs = { seed: 16, endOnFailure: true }

const check = <A>(arbitrary: FastCheck.Arbitrary<A>, property: (value: A) => Effect.Effect<void>, numRuns = 60) =>
  FastCheck.assert(
    FastCheck.asyncProperty(
      arbitrary,
      (value) =>
        Effect.runPromise(
          property(value).pipe(Random.withSeed("property"), Effect.provide(TestClock.layer()), Effect.scoped)
        )
    ),
    { ...runs, numRuns }
  )

type Command =
  | { readonly _tag: "Begin" }
  | { readonly _tag: "End"; readonly which: number; readonly how: "success" | "failure" | "interrupt" }
  | { readonly _tag: "Wait"; readonly millis: number }
  | { readonly _tag: "Update"; readonly from: number; readonly count: number }

const command: FastCheck.Arbitrary<Command> = FastCheck.oneof(
  { weight: 80, arbitrary: FastCheck.constant({ _tag: "Begin" } as const) },
  {
    weight: 80,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("End" as const),
      which: FastCheck.nat(50),
      how: FastCheck.constantFrom("success" as const, "failure" as const, "failure" as const, "interrupt" as const)
    })
  },
  {
    weight: 10,
    arbitrary: FastCheck.record({ _tag: FastCheck.constant("Wait" as const), millis: FastCheck.nat(40_000) })
  },
  {
    weight: 3,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Update" as const),
      from: FastCheck.nat(3),
      count: FastCheck.integer({ min: 1, max: 12 })
    })
  }
)

interface Running {
  readonly address: string
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly done: Deferred.Deferred<void, typeof down>
}

/** Which addresses are ejected and how many attempts each has: by the events, and by what was begun and ended. */
class Model {
  addresses: ReadonlyArray<string>
  now = 0
  /** Until when. */
  readonly ejected = new Map<string, number>()
  /** Those whose time is over. The next call tells it. */
  readonly returning = new Set<string>()
  readonly streaks = new Map<string, number>()
  running: Array<Running> = []
  readonly maxShare: number

  constructor(addresses: ReadonlyArray<string>, maxShare: number) {
    this.addresses = addresses
    this.maxShare = maxShare
  }

  wait(millis: number): void {
    this.now += millis
    for (const [address, until] of this.ejected) {
      if (until > this.now) continue
      this.ejected.delete(address)
      this.returning.add(address)
      this.streaks.set(address, 0)
    }
  }

  get mostEjected(): number {
    return this.maxShare === 0 ? 0 : Math.max(1, Math.floor(this.addresses.length * this.maxShare + 1e-9))
  }

  get panics(): boolean {
    const healthy = this.addresses.filter((address) => !this.ejected.has(address)).length / this.addresses.length
    return healthy * 1.4 < 1 && healthy < 0.5
  }
}

describe("Endpoints", () => {
  it("eject no more than they may, choose no ejected address but in a panic, and count what is in flight", () =>
    check(
      FastCheck.record({
        count: FastCheck.integer({ min: 1, max: 12 }),
        maxShare: FastCheck.constantFrom(0, 0.1, 0.3, 0.5, 0.8, 1),
        consecutive: FastCheck.integer({ min: 1, max: 3 }),
        commands: FastCheck.array(command, { minLength: 50, maxLength: 300, size: "max" })
      }),
      ({ commands, consecutive, count, maxShare }) =>
        Effect.gen(function*() {
          yield* TestClock.adjust("3 minutes")
          const model = new Model(names(count), maxShare)
          const endpoints = yield* Endpoints.make({ addresses: names(count), ejection: { maxShare, consecutive } })
          let shrunk = false
          // What an observer throws would end the call that it is told of.
          const surprises: Array<unknown> = []
          const observer: PolicyEvent.Observer = (event) => {
            if (event._tag === "Returned") {
              if (!model.returning.delete(event.endpoint)) surprises.push(event)
            }
            if (event._tag !== "Ejected") return
            if (model.ejected.has(event.endpoint) || model.streaks.get(event.endpoint) !== consecutive) {
              surprises.push(event, model.streaks)
            }
            model.ejected.set(event.endpoint, model.now + Duration.toMillis(event.duration))
            // An update may leave more ejected than there may be; one more is never added.
            if (model.ejected.size > model.mostEjected || model.ejected.size >= model.addresses.length) {
              surprises.push(event, model.ejected)
            }
          }
          const step = Effect.fnUntraced(function*(command: Command) {
            switch (command._tag) {
              case "Begin": {
                const done = yield* Deferred.make<void, typeof down>()
                let address = ""
                const fiber = yield* Effect.forkChild(
                  endpoints.use((chosen) => {
                    address = chosen
                    return Deferred.await(done)
                  }),
                  { startImmediately: true }
                )
                assert.include(model.addresses, address)
                if (model.ejected.has(address)) assert.isTrue(model.panics)
                model.running.push({ address, fiber, done })
                return
              }
              case "End": {
                const [ended] = model.running.splice(command.which % Math.max(1, model.running.length), 1)
                if (ended === undefined) return
                const { address, done, fiber } = ended
                const streak = model.streaks.get(address) ?? 0
                if (command.how === "interrupt") {
                  yield* Fiber.interrupt(fiber)
                  return
                }
                const next = command.how === "failure" ? streak + 1 : 0
                model.streaks.set(address, next)
                const { size } = model.ejected
                const ejects = next >= consecutive && !model.ejected.has(address) && size < model.mostEjected &&
                  size + 1 < model.addresses.length
                yield* Deferred.done(
                  done,
                  command.how === "failure" ? Effect.runSyncExit(Effect.fail(down)) : Effect.runSyncExit(Effect.void)
                )
                yield* Fiber.await(fiber)
                if (ejects) assert.isTrue(model.ejected.has(address))
                // A streak that was long enough starts anew, unless the address was ejected already.
                if ((model.streaks.get(address) ?? 0) >= consecutive) model.streaks.set(address, 0)
                return
              }
              case "Wait":
                yield* TestClock.adjust(command.millis)
                return model.wait(command.millis)
              case "Update": {
                const addresses = names(command.from + command.count).slice(command.from)
                shrunk = true
                yield* endpoints.update(addresses)
                model.addresses = addresses
                for (const known of [model.ejected, model.returning, model.streaks]) {
                  for (const address of known.keys()) if (!addresses.includes(address)) known.delete(address)
                }
                // Attempts at addresses that are gone say nothing any more.
                const gone = model.running.filter(({ address }) => !addresses.includes(address))
                model.running = model.running.filter(({ address }) => addresses.includes(address))
                for (const { fiber } of gone) yield* Fiber.interrupt(fiber)
              }
            }
          })
          yield* PolicyEvent.observe(
            Effect.forEach(commands, (command) =>
              Effect.gen(function*() {
                yield* step(command)
                assert.deepStrictEqual(surprises, [])
                const { addresses, ejected, healthy, inFlight, panic } = yield* endpoints.snapshot
                for (const { _tag, address, inFlight } of addresses) {
                  assert.strictEqual(inFlight, model.running.filter((one) => one.address === address).length)
                  assert.strictEqual(_tag === "Ejected", model.ejected.has(address))
                }
                assert.strictEqual(inFlight, model.running.length)
                assert.deepStrictEqual([ejected, ejected + healthy], [model.ejected.size, model.addresses.length])
                assert.strictEqual(panic, model.panics)
                if (!shrunk) assert.isAtMost(ejected, model.mostEjected)
              })),
            observer
          )
          for (const { fiber } of model.running) yield* Fiber.interrupt(fiber)
          assert.strictEqual((yield* endpoints.snapshot).inFlight, 0)
        })
    ))

  it("send no two attempts of a call to one address while another is eligible", () =>
    check(
      FastCheck.record({
        places: FastCheck.array(
          FastCheck.record({
            priority: FastCheck.nat(2),
            zone: FastCheck.constantFrom("here", "there", undefined),
            weight: FastCheck.constantFrom(1, 5)
          }),
          { minLength: 1, maxLength: 6 }
        ),
        retries: FastCheck.nat(6),
        hedges: FastCheck.nat(3),
        broken: FastCheck.array(FastCheck.nat(5), { maxLength: 3 }),
        calls: FastCheck.integer({ min: 1, max: 5 })
      }),
      ({ broken, calls, hedges, places, retries }) =>
        Effect.gen(function*() {
          yield* TestClock.adjust("3 minutes")
          const breakers = yield* CircuitBreaker.keyed()
          const isolated = [...new Set(broken.map((i) => `a${i % places.length}`))]
          const open = places.length - isolated.length
          const endpoints = yield* Endpoints.make({
            zone: "here",
            addresses: places.map((place, i) => ({ address: `a${i}`, ...place })),
            ejection: { maxShare: 0 },
            each: (address) => breakers.get(address)
          })
          yield* Effect.forEach(isolated, (address) => breakers.get(address).isolate)
          const hedge = yield* Hedge.make({ after: 10, times: hedges, share: 1, idempotent: true })
          const one = Effect.gen(function*() {
            const seen: Array<string> = []
            const attempt = endpoints.use((address) => {
              seen.push(address)
              return Effect.delay(Effect.fail("no"), 1000)
            })
            yield* attempt.pipe(
              Effect.timeout("1 minute"),
              hedge.execute,
              RetryPolicy.retry(RetryPolicy.make({ times: retries, backoff: Backoff.immediate }), {
                classify: () => Recovery.retry
              }),
              Effect.exit
            )
            if (open === 0) return assert.deepStrictEqual(seen, [])
            const distinct = Math.min(open, seen.length)
            assert.strictEqual(new Set(seen.slice(0, distinct)).size, distinct)
            for (let i = 1; i < seen.length && open > 1; i++) assert.notStrictEqual(seen[i], seen[i - 1])
          })
          const fiber = yield* Effect.forkChild(
            Effect.forEach(Array.from({ length: calls }), () => one, { concurrency: "unbounded" })
          )
          yield* TestClock.adjust("1 hour")
          yield* Fiber.join(fiber)
          assert.strictEqual((yield* endpoints.snapshot).inFlight, 0)
        })
    ))

  it("leave nothing in flight wherever they are interrupted", () =>
    check(
      FastCheck.record({
        each: FastCheck.constantFrom("none", "bulkhead", "breaker"),
        steps: FastCheck.nat(40)
      }),
      ({ each, steps }) =>
        Effect.gen(function*() {
          const bulkheads = yield* Bulkhead.keyed({ permits: 1, queue: 1 })
          const breakers = yield* CircuitBreaker.keyed()
          const of = { none: undefined, bulkhead: bulkheads, breaker: breakers }[each]
          const endpoints = yield* Endpoints.make<unknown>({
            addresses: names(2),
            ...of && { each: (address: string) => of.get(address) }
          })
          const call = Effect.exit(
            endpoints.use(() => Effect.andThen(Effect.yieldNow, Effect.andThen(Effect.yieldNow, Effect.fail(down))))
          )
          // A fiber that yields after almost each step can be interrupted there. With less than 3 it does nothing else.
          const fibers = yield* Effect.forEach(
            [1, 2, 3, 4, 5],
            () =>
              Effect.forkChild(Effect.provideService(call, References.MaxOpsBeforeYield, 3), { startImmediately: true })
          )
          for (let i = 0; i < steps; i++) yield* Effect.yieldNow
          yield* Fiber.interruptAll(fibers)
          const { addresses, inFlight } = yield* endpoints.snapshot
          assert.deepStrictEqual([inFlight, ...addresses.map((one) => one.inFlight)], [0, 0, 0])
        }),
      100
    ))
})
