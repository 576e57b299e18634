import { ApiError, Recovery } from "@effect-resilience/errors"
import * as Field from "@effect-resilience/kernel/Field"
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { Bulkhead, CircuitBreaker, Endpoints } from "@effect-resilience/limit"
import { AttemptBudget, Backoff, Hedge, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Logger, Random } from "effect"
import { TestClock } from "effect/testing"

const Id = Context.Reference<number>("test/Id", { defaultValue: () => -1 })

const down = Effect.fail(ApiError.reasonFromStatus(503, {}))

/** An address that fails as long as it is in the set. */
const server = (failing: ReadonlySet<string>) => (address: string) =>
  failing.has(address) ? down : Effect.succeed(address)

const repeated = <A, E, R>(times: number, effect: Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: times }), () => Effect.exit(effect))

/** How many calls each address gets. */
const counted = <E>(endpoints: Endpoints.Endpoints<E>, times: number) =>
  Effect.gen(function*() {
    const counts: { [address: string]: number } = {}
    yield* repeated(
      times,
      endpoints.use((address) => Effect.sync(() => counts[address] = (counts[address] ?? 0) + 1))
    )
    return counts
  })

const share = (counts: { readonly [address: string]: number }, ...addresses: ReadonlyArray<string>): number =>
  addresses.reduce((sum, address) => sum + (counts[address] ?? 0), 0) /
  Object.values(counts).reduce((sum, count) => sum + count, 0)

const later = TestClock.adjust("5 minutes")

const seeded = <A, E, R>(effect: Effect.Effect<A, E, R>) => Random.withSeed(Effect.andThen(later, effect), "endpoints")

const immediate = (times: number) =>
  RetryPolicy.retry(RetryPolicy.make({ times, backoff: Backoff.immediate }), { classify: () => Recovery.retry })

const names = (count: number) => Array.from({ length: count }, (_, i) => `a${i}`)

const ejected = Effect.map(({ addresses }: Endpoints.Snapshot) =>
  addresses.flatMap((one) => one._tag === "Ejected" ? [one.address] : [])
)

describe("Endpoints", () => {
  it.effect("forgive an address once for each interval, though who hears of its return calls at once", () =>
    seeded(Effect.gen(function*() {
      const context = yield* Effect.context<never>()
      const durations = Effect.fnUntraced(function*(onReturn: (call: Effect.Effect<string>) => void) {
        const endpoints = yield* Endpoints.make({
          addresses: ["a", "b"],
          ejection: { consecutive: 1, duration: "30 seconds", interval: "10 seconds" }
        })
        const ejections: Array<number> = []
        const failing = repeated(20, endpoints.use(server(new Set(["a"])))).pipe(
          PolicyEvent.observe((event) => {
            if (event._tag === "Ejected") ejections.push(Duration.toMillis(event.duration))
            if (event._tag === "Returned") onReturn(endpoints.use(Effect.succeed))
          })
        )
        for (const seconds of [0, 31, 61, 115]) yield* Effect.andThen(TestClock.adjust(seconds * 1000), failing)
        return ejections
      })
      const expected = yield* durations(() => {})
      assert.deepStrictEqual(yield* durations((call) => Effect.runForkWith(context)(call)), expected)
      assert.deepStrictEqual(expected, [30_000, 60_000, 90_000, 90_000])
    })))

  it.effect("log what they eject as a warning, and what returns", () =>
    seeded(Effect.gen(function*() {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => logged.push([logLevel, message]))
      const endpoints = yield* Endpoints.make({
        name: "ledger",
        addresses: ["a", "b"],
        ejection: { consecutive: 1, duration: "30 seconds" }
      })
      yield* Effect.gen(function*() {
        yield* repeated(10, endpoints.use(server(new Set(["a"]))))
        yield* TestClock.adjust("1 minute")
        yield* endpoints.use(server(new Set()))
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(logged, [
        ["Warn", ["Endpoints \"ledger\" ejects a for 30s: ConsecutiveFailures"]],
        ["Info", ["Endpoints \"ledger\" returns calls to a"]]
      ])
    })))

  describe("choose", () => {
    it.effect("the less loaded of two: calls that stay spread far more evenly than by chance", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses: names(20) })
        yield* Effect.forEach(
          Array.from({ length: 2000 }),
          () => Effect.forkChild(endpoints.use(() => Effect.never), { startImmediately: true })
        )
        const { addresses } = yield* endpoints.snapshot
        const loads = addresses.map(({ inFlight }) => inFlight)
        const byChance = Array.from({ length: 20 }, () => 0)
        for (let i = 0; i < 2000; i++) {
          const chosen = yield* Random.nextIntBetween(0, 20)
          byChance[chosen] = (byChance[chosen] ?? 0) + 1
        }
        const range = (values: ReadonlyArray<number>) => Math.max(...values) - Math.min(...values)
        assert.strictEqual(loads.reduce((sum, load) => sum + load, 0), 2000)
        assert.isAtMost(range(loads), 6)
        assert.isAtLeast(range(byChance), 25)
      })))

    it.effect("by weight, with load and without", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({
          addresses: [{ address: "small", weight: 1 }, { address: "big", weight: 3 }]
        })
        assert.closeTo(share(yield* counted(endpoints, 4000), "big"), 0.75, 0.03)
        yield* Effect.forEach(Array.from({ length: 400 }), () =>
          Effect.forkChild(endpoints.use(() => Effect.never), { startImmediately: true }))
        const { addresses: [small, big] } = yield* endpoints.snapshot
        assert.closeTo((big?.inFlight ?? 0) / ((big?.inFlight ?? 0) + (small?.inFlight ?? 0)), 0.75, 0.02)
      })))

    it.effect("the quicker ones with peakEwma, and slower ones now and then", () =>
      seeded(Effect.gen(function*() {
        const counts: { [address: string]: number } = {}
        const endpoints = yield* Endpoints.make({
          addresses: ["slow", "quick", "quick2"],
          load: Endpoints.peakEwma({ decay: "1 second" })
        })
        const call = endpoints.use((address) => {
          counts[address] = (counts[address] ?? 0) + 1
          return Effect.sleep(address === "slow" ? 500 : 10)
        })
        for (let i = 0; i < 400; i++) {
          yield* Effect.forkChild(call, { startImmediately: true })
          yield* TestClock.adjust(20)
        }
        assert.isBelow(share(counts, "slow"), 0.1)
        assert.isAbove(counts["slow"] ?? 0, 1)
      })))

    it.effect("an address that fails quickly no more often, with peakEwma", () =>
      seeded(Effect.gen(function*() {
        const counts: { [address: string]: number } = {}
        const endpoints = yield* Endpoints.make({
          addresses: ["good", "bad"],
          load: "peakEwma",
          ejection: { maxShare: 0 }
        })
        const call = endpoints.use((address) => {
          counts[address] = (counts[address] ?? 0) + 1
          return Effect.delay(
            counts[address] > 2 && address === "bad" ? down : Effect.void,
            counts[address] > 2 && address === "bad" ? 1 : 50
          )
        })
        for (let i = 0; i < 300; i++) {
          yield* Effect.forkChild(Effect.ignore(call), { startImmediately: true })
          yield* TestClock.adjust(60)
        }
        assert.isBelow(share(counts, "bad"), 0.7)
      })))

    it.effect("addresses of the own zone, as many calls as keep all equally busy", () =>
      seeded(Effect.gen(function*() {
        const at = (zone: string, count: number) => names(count).map((name) => ({ address: `${zone}-${name}`, zone }))
        const share0 = (zones: ReadonlyArray<Endpoints.Address>) =>
          Effect.gen(function*() {
            const endpoints = yield* Endpoints.make({ zone: "here", addresses: zones })
            const counts = yield* counted(endpoints, 3000)
            return share(counts, ...Object.keys(counts).filter((address) => address.startsWith("here")))
          })
        assert.strictEqual(yield* share0([...at("here", 3), ...at("there", 3)]), 1)
        assert.strictEqual(yield* share0([...at("here", 5), ...at("there", 1)]), 1)
        assert.closeTo(yield* share0([...at("here", 1), ...at("there", 5)]), 1 / 3, 0.03)
        assert.closeTo(yield* share0([...at("here", 1), ...at("there", 2), ...at("yonder", 3)]), 1 / 2, 0.03)
        assert.strictEqual(yield* share0([...at("here", 2)]), 1)
      })))

    it.effect("other zones where the own one is not well", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({
          zone: "here",
          addresses: ["a", "b", "c"].flatMap((name) =>
            ["here", "there"].map((zone) => ({ address: zone + name, zone }))
          )
        })
        yield* Effect.repeat(Effect.exit(endpoints.use(server(new Set(["herea"])))), { times: 100 })
        assert.deepStrictEqual(yield* ejected(endpoints.snapshot), ["herea"])
        const counts = yield* counted(endpoints, 3000)
        assert.closeTo(share(counts, "hereb", "herec"), 0.8, 0.03)
      })))
  })

  describe("eject", () => {
    it.effect("an address that fails five times in a row for 30 s, and tells", () =>
      seeded(Effect.gen(function*() {
        const events: Array<string> = []
        const failing = new Set(["a0"])
        const endpoints = yield* Endpoints.make({ name: "ledger", addresses: names(3) })
        const call = PolicyEvent.observe(endpoints.use(server(failing)), (event) =>
          events.push(PolicyEvent.describe(event)))
        yield* repeated(200, call)
        assert.deepStrictEqual(events, ["Endpoints \"ledger\" ejects a0 for 30s: ConsecutiveFailures"])
        const { addresses: [first], ...rest } = yield* endpoints.snapshot
        assert.strictEqual(first?._tag, "Ejected")
        assert.deepStrictEqual(rest, { healthy: 2, ejected: 1, panic: false, inFlight: 0, rejected: 0 })
        assert.isUndefined((yield* counted(endpoints, 100))["a0"])
        failing.clear()
        yield* TestClock.adjust("29999 millis")
        assert.isUndefined((yield* counted(endpoints, 100))["a0"])
        yield* TestClock.adjust(1)
        yield* call
        assert.deepStrictEqual(events.slice(1), ["Endpoints \"ledger\" returns calls to a0"])
        assert.isAbove((yield* counted(endpoints, 100))["a0"] ?? 0, 10)
      })))

    it.effect("a quick failure before it attracts the calls of a minute", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses: names(10) })
        let failed = 0
        let ejections = 0
        const call = endpoints.use((address) => address === "a0" ? Effect.delay(down, 1) : Effect.sleep(200)).pipe(
          Effect.catch(() => Effect.sync(() => failed++)),
          PolicyEvent.observe(({ _tag }) => _tag === "Ejected" && ejections++)
        )
        // 1,500 calls, 5 under way at a time: without an ejection far more than a tenth would choose a0.
        for (let i = 0; i < 1500; i++) {
          yield* Effect.forkChild(call, { startImmediately: true })
          yield* TestClock.adjust(40)
        }
        assert.strictEqual(ejections, 2)
        assert.isAtMost(failed, 5 * (ejections + 1))
      })))

    it.effect("none for failures that say nothing about it, nor for interruptions", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses: names(3) })
        for (const status of [400, 404, 422, 401]) {
          yield* repeated(50, endpoints.use(() => Effect.fail(ApiError.reasonFromStatus(status, {}))))
        }
        const full = yield* Bulkhead.make({ permits: 1 })
        yield* repeated(50, full.execute(endpoints.use(() => full.execute(Effect.void))))
        for (let i = 0; i < 50; i++) {
          const fiber = yield* Effect.forkChild(endpoints.use(() => Effect.never), { startImmediately: true })
          yield* Fiber.interrupt(fiber)
        }
        assert.deepStrictEqual(yield* ejected(endpoints.snapshot), [])
      })))

    it.effect("not the only address, nor the last", () =>
      seeded(Effect.gen(function*() {
        for (const count of [1, 2, 3]) {
          const endpoints = yield* Endpoints.make({ addresses: names(count), ejection: { maxShare: 1 } })
          yield* repeated(300, endpoints.use(() => down))
          assert.strictEqual((yield* endpoints.snapshot).ejected, count - 1)
        }
      })))

    it.effect("none where nothing may be ejected or no rule is on", () =>
      seeded(Effect.gen(function*() {
        const off = { consecutive: Infinity, deviations: Infinity }
        for (const ejection of [{ maxShare: 0 }, off]) {
          const endpoints = yield* Endpoints.make({ addresses: names(6), ejection })
          yield* repeated(1500, endpoints.use(server(new Set(["a0"]))))
          yield* TestClock.adjust("11 seconds")
          yield* repeated(1, endpoints.use(Effect.succeed))
          assert.deepStrictEqual(yield* ejected(endpoints.snapshot), [])
        }
      })))
  })

  describe("fail over", () => {
    const addresses = [
      { address: "first", priority: 0 },
      { address: "second", priority: 0 },
      { address: "reserve", priority: 7 }
    ]

    it.effect("to the next priority where the first one is down, and back", () =>
      seeded(Effect.gen(function*() {
        const failing = new Set(["first", "second"])
        const endpoints = yield* Endpoints.make({ addresses })
        assert.isUndefined((yield* counted(endpoints, 100))["reserve"])
        yield* repeated(100, endpoints.use(server(failing)))
        assert.deepStrictEqual(yield* counted(endpoints, 100), { reserve: 100 })
        failing.clear()
        yield* TestClock.adjust("31 seconds")
        assert.isUndefined((yield* counted(endpoints, 100))["reserve"])
      })))

    it.effect("in part where a part of the first one is down", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses })
        yield* repeated(100, endpoints.use(server(new Set(["first"]))))
        assert.closeTo(share(yield* counted(endpoints, 3000), "reserve"), 0.3, 0.03)
      })))

    it.effect("of a retry that has been everywhere in the first priority", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses })
        const seen: Array<string> = []
        yield* Effect.exit(
          immediate(3)(endpoints.use((address) => {
            seen.push(address)
            return down
          }))
        )
        assert.deepStrictEqual(seen.slice(0, 2).sort(), ["first", "second"])
        assert.deepStrictEqual(seen.slice(2), ["reserve", ...seen.slice(0, 1)])
      })))
  })

  describe("each", () => {
    it.effect("tries the next address at once where the policy of one rejects", () =>
      seeded(Effect.gen(function*() {
        const breakers = yield* CircuitBreaker.keyed({ tripPolicy: CircuitBreaker.consecutive(1) })
        const endpoints = yield* Endpoints.make({
          addresses: names(3),
          each: (address) => breakers.get(address),
          ejection: { maxShare: 0 }
        })
        yield* repeated(20, endpoints.use(server(new Set(["a0", "a1"]))))
        assert.deepStrictEqual(yield* counted(endpoints, 50), { a2: 50 })
        const { inFlight, rejected } = yield* endpoints.snapshot
        assert.deepStrictEqual([inFlight, rejected], [0, 0])
      })))

    it.effect("fails with the last rejection where all reject, counts and tells it", () =>
      seeded(Effect.gen(function*() {
        const breakers = yield* CircuitBreaker.keyed()
        const endpoints = yield* Endpoints.make({
          name: "ledger",
          addresses: names(2),
          each: (address) => breakers.get(address)
        })
        yield* breakers.get("a0").isolate
        yield* breakers.get("a1").isolate
        const events: Array<string> = []
        const error = yield* Effect.flip(
          PolicyEvent.observe(endpoints.use(Effect.succeed), (event) => events.push(PolicyEvent.describe(event)))
        )
        assert.strictEqual(error._tag, "CircuitOpen")
        assert.strictEqual(events.filter((event) => event === "Endpoints \"ledger\" rejects: NoAddress").length, 1)
        const { inFlight, rejected } = yield* endpoints.snapshot
        assert.deepStrictEqual([inFlight, rejected], [0, 1])
      })))

    it.effect("passes on what the call itself rejects with", () =>
      seeded(Effect.gen(function*() {
        const breakers = yield* CircuitBreaker.keyed()
        const endpoints = yield* Endpoints.make({ addresses: names(3), each: (address) => breakers.get(address) })
        let calls = 0
        yield* Effect.exit(endpoints.use(() => {
          calls++
          return Effect.fail(
            new Bulkhead.BulkheadFull({
              policy: "inner",
              reason: "QueueFull",
              permits: 1,
              queue: 0,
              queueTimeout: undefined
            })
          )
        }))
        assert.strictEqual(calls, 1)
      })))
  })

  describe("attempts of one call", () => {
    for (const addresses of [2, 3, 5]) {
      it.effect(`go to ${addresses} different addresses, then to the one used longest ago`, () =>
        seeded(Effect.gen(function*() {
          const endpoints = yield* Endpoints.make({ addresses: names(addresses), ejection: { maxShare: 0 } })
          // One effect, run by many at once.
          const seen = new Map<number, Array<string>>()
          const call = immediate(7)(
            // A time limit forks a fiber, and an error is replaced.
            Effect.timeout(
              endpoints.use((address) =>
                Effect.withFiber((fiber) => {
                  const id = fiber.getRef(Id)
                  seen.set(id, [...seen.get(id) ?? [], address])
                  return Effect.andThen(Effect.yieldNow, down)
                })
              ),
              "1 second"
            ).pipe(Effect.mapError(() => new Error("other")))
          )
          yield* Effect.forEach(
            Array.from({ length: 30 }, (_, id) => id),
            (id) => Effect.exit(Effect.provideService(call, Id, id)),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(seen.size, 30)
          for (const used of seen.values()) {
            assert.strictEqual(used.length, 8)
            assert.strictEqual(new Set(used.slice(0, addresses)).size, addresses)
            used.slice(addresses).forEach((address, i) => assert.strictEqual(address, used[i]))
          }
        })))
    }

    it.effect("of hedges inside a retry, too", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses: names(4), ejection: { maxShare: 0 } })
        const seen: Array<string> = []
        const hedge = yield* Hedge.make({ after: 100, idempotent: true })
        const call = immediate(1)(hedge.execute(endpoints.use((address) => {
          seen.push(address)
          return Effect.delay(down, 150)
        })))
        const fiber = yield* Effect.forkChild(Effect.exit(call), { startImmediately: true })
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(fiber)
        assert.strictEqual(seen.length, 4)
        assert.strictEqual(new Set(seen).size, 4)
      })))

    it.effect("and of others know nothing of each other, also inside a larger call", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses: ["only", { address: "reserve", priority: 1 }] })
        const seen: Array<string> = []
        const one = immediate(2)(endpoints.use((address) => {
          seen.push(address)
          return Effect.void
        }))
        yield* immediate(2)(Effect.forEach([1, 2, 3], () => one))
        assert.deepStrictEqual(seen, ["only", "only", "only"])
      })))

    it.effect("share one budget", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses: names(4), ejection: { maxShare: 0 } })
        const budget = yield* AttemptBudget.make({ ratio: 0, minPerSecond: 0, burst: 3 })
        let sent = 0
        const call = immediate(3)(endpoints.use(() => {
          sent++
          return down
        }))
        yield* repeated(10, AttemptBudget.withAttemptBudget(call, budget))
        assert.strictEqual(sent, 13)
      })))
  })

  describe("update", () => {
    it.effect("keeps what is known of the addresses that stay", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses: names(3) })
        yield* repeated(100, endpoints.use(server(new Set(["a0"]))))
        const latch = yield* Deferred.make<void>()
        const fibers = yield* Effect.forEach([1, 2, 3, 4], () =>
          Effect.forkChild(endpoints.use(() => Deferred.await(latch)), { startImmediately: true }))
        yield* endpoints.update(["a0", "a1", { address: "new", weight: 5 }])
        const { addresses } = yield* endpoints.snapshot
        assert.deepStrictEqual(addresses.map(({ _tag, address, inFlight }) => [_tag, address, inFlight]), [
          ["Ejected", "a0", 0],
          ["Healthy", "a1", 2],
          ["Healthy", "new", 0]
        ])
        yield* Deferred.succeed(latch, undefined)
        yield* Effect.forEach(fibers, Fiber.join)
        yield* endpoints.reload({ addresses: ["a0", "a1"], ejection: { consecutive: 2 } })
        const after = yield* endpoints.snapshot
        assert.deepStrictEqual([after.inFlight, after.ejected, after.addresses.length], [0, 1, 2])
        yield* endpoints.update("a0")
        assert.deepStrictEqual(yield* counted(endpoints, 10), { a0: 10 })
        assert.isTrue((yield* endpoints.snapshot).panic)
      })))

    it.effect("ends calls at addresses that are gone as before", () =>
      seeded(Effect.gen(function*() {
        const endpoints = yield* Endpoints.make({ addresses: ["old"] })
        const latch = yield* Deferred.make<void>()
        const fibers = yield* Effect.forEach(names(9), () =>
          Effect.forkChild(
            Effect.exit(endpoints.use((address) => Effect.andThen(Deferred.await(latch), Effect.fail(address)))),
            { startImmediately: true }
          ))
        yield* endpoints.update(["a", "b", "c"])
        yield* Deferred.succeed(latch, undefined)
        const exits = yield* Effect.forEach(fibers, Fiber.join)
        assert.deepStrictEqual(
          exits,
          names(9).map(() => Exit.fail("old"))
        )
        const { ejected, inFlight } = yield* endpoints.snapshot
        assert.deepStrictEqual([ejected, inFlight], [0, 0])
      })))
  })

  describe("options", () => {
    it("that make no sense are rejected where they are written", () => {
      const make =
        (options: Omit<Endpoints.Options, "addresses"> & { readonly addresses?: Endpoints.Addresses }) => () =>
          Endpoints.make({ addresses: "a", ...options })
      assert.throws(make({ addresses: [] }), RangeError, "Endpoints.addresses must be a list of at least one")
      assert.throws(
        () => Endpoints.make(JSON.parse("{}")),
        RangeError,
        "addresses is missing. It must be a non-empty text"
      )
      assert.throws(make({ addresses: ["a", "b", "a"] }), RangeError, "each address once")
      assert.throws(make({ addresses: [{ address: "a", weight: 0 }] }), RangeError, "weight")
      assert.throws(
        make({ addresses: ["a", { address: "", priority: 1 }] }),
        RangeError,
        "Endpoints.addresses[1].address"
      )
      assert.throws(make({ ejection: { duration: "1 minute", maxDuration: "1 second" } }), RangeError, "maxDuration")
      assert.throws(make({ panicThreshold: 50 }), RangeError, "panicThreshold")
    })

    it.effect("are the same in JSON", () =>
      seeded(Effect.gen(function*() {
        const json = {
          name: "ledger",
          zone: "eu-1",
          load: { peakEwma: { decay: "5 seconds" } },
          ejection: { consecutive: 3, maxShare: 0.5 },
          addresses: ["https://a.example", { address: "https://b.example", zone: "eu-2", priority: 1, weight: 2 }]
        }
        const options = yield* FieldCodec.decode(Field.struct(Endpoints.fields), json)
        const endpoints = yield* Endpoints.make(options)
        assert.strictEqual(endpoints.name, "ledger")
        assert.deepStrictEqual(yield* counted(endpoints, 5), { "https://a.example": 5 })
        assert.deepStrictEqual(yield* FieldCodec.encode(Field.struct(Endpoints.fields), options), json)
      })))
  })

  it.effect("gives its address to code that does not take one", () =>
    seeded(Effect.gen(function*() {
      const endpoints = yield* Endpoints.make({ addresses: "https://a.example" })
      const address = Effect.flatMap(Endpoints.Current, Effect.succeed)
      assert.deepStrictEqual(
        yield* Effect.all([address, Endpoints.withEndpoints(address, endpoints), Endpoints.noop.use(Effect.succeed)]),
        ["", "https://a.example", ""]
      )
    })))
})
