// Half an hour of virtual time over a network that has all faults.
import { FakeClient, Fault, HttpFault, Latency } from "@effect-resilience/chaos"
import { Parts, ResilientClient } from "@effect-resilience/client"
import { NotAsked } from "@effect-resilience/errors"
import { VirtualTime } from "@effect-resilience/lab"
import { Cause, Context, Effect, Exit, Fiber, Metric, References } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { describe, expect, it } from "vitest"

const minutes = 30

const callsPerSecond = 3

const faults: ReadonlyArray<HttpFault.HttpFault> = [
  HttpFault.status(503, { probability: 0.05 }),
  HttpFault.status(500, { name: "applied, then 500", after: true, probability: 0.01 }),
  HttpFault.status(429, { name: "too many", headers: { "retry-after": "2" }, probability: 0.02 }),
  HttpFault.unreachable({ probability: 0.02 }),
  HttpFault.unreachable({ name: "applied, then reset", code: "ECONNRESET", after: true, probability: 0.01 }),
  HttpFault.breakOff(2, { probability: 0.02 }),
  HttpFault.drip({ every: "200 millis" }, { probability: 0.02 }),
  HttpFault.headers({ "content-type": undefined }, { probability: 0.02 }),
  Fault.delay(Latency.exponential("300 millis"), { probability: 0.2 }),
  Fault.hang({ probability: 0.01 }),
  Fault.hang({ name: "an outage", from: "5 minutes", for: "20 seconds", every: "10 minutes" }),
  HttpFault.unreachable({ name: "a restart", from: "8 minutes", for: "10 seconds", every: "7 minutes" })
]

/** What bodies and policies do by promises happens between two events of virtual time. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

const soak = async (seed: number) => {
  const time = VirtualTime.make({ seed, startMillis: 1_800_000_000_000 })
  const registry = new Map()
  const context = time.context.pipe(
    Context.add(References.MinimumLogLevel, "None"),
    Context.add(Metric.MetricRegistry, registry)
  )
  const run = <A, E>(effect: Effect.Effect<A, E>) => Effect.runSyncWith(context)(effect)

  const applied = new Map<string, number>()
  const { client: network, requests } = FakeClient.make([(request) =>
    Effect.suspend(() => {
      if (request.method !== "GET") applied.set(request.url, (applied.get(request.url) ?? 0) + 1)
      return Effect.delay(
        Effect.sync(() => new Response("stored", { headers: { "content-type": "text/plain" } })),
        "20 millis"
      )
    })])
  const chaos = run(HttpFault.make({ seed, faults }))
  let sent = 0
  const counted = HttpClient.transform(HttpFault.wrap(network, chaos), (effect) => {
    sent++
    return effect
  })
  const client = run(
    ResilientClient.make({
      name: "ledger",
      baseUrl: "https://ledger.example.com",
      pipeline: {
        ...ResilientClient.standard.pipeline,
        bulkhead: { permits: 20, queue: 40 },
        concurrencyLimit: {}
      },
      timeouts: { total: "30 seconds", attempt: "2 seconds", idle: "1 second" }
    }, { parts: Parts }).pipe(Effect.provideService(HttpClient.HttpClient, counted))
  )

  const exits: Array<{ readonly path: string; readonly method: string; readonly exit: Exit.Exit<string, unknown> }> = []
  const chance = VirtualTime.random(`${seed} calls`)
  let began = 0
  const begin = () => {
    const dice = chance.nextDoubleUnsafe()
    const method = dice < 0.4 ? "GET" : dice < 0.7 ? "PUT" : "POST"
    const path = `/orders/${began++}`
    const call = client.execute(HttpClientRequest.make(method)(path)).pipe(Effect.flatMap((response) => response.text))
    const fiber = Effect.runForkWith(context)(call)
    fiber.addObserver((exit) => exits.push({ path, method, exit }))
    // Some callers go before they have a response.
    if (chance.nextDoubleUnsafe() < 0.02) time.at(1_500 * chance.nextDoubleUnsafe(), () => fiber.interruptUnsafe())
    if (time.nowMillis() < minutes * 60_000) time.at(2_000 / callsPerSecond * chance.nextDoubleUnsafe(), begin)
  }
  time.at(0, begin)
  for (let more = true; more;) {
    time.advance(0)
    await turn()
    time.advance(0)
    await turn()
    more = time.nowMillis() < (minutes + 2) * 60_000 && time.next()
  }
  const fiber = Effect.runForkWith(context)(Effect.all([client.status, chaos.counts, Metric.snapshot]))
  const [status, struck, metrics] = await Effect.runPromise(Fiber.join(fiber))
  return { applied, began, exits, metrics, requests, sent, status, struck }
}

const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, number) => total + number, 0)

describe("half an hour of a client over a network with all faults", () => {
  it.each([1, 2])("leaves nothing stuck, loses nothing and doubles nothing, with seed %i", async (seed) => {
    const { applied, began, exits, metrics, requests, sent, status, struck } = await soak(seed)
    expect(Object.entries(struck).filter(([, count]) => count === 0)).toEqual([])
    expect(Object.keys(struck).length).toBe(faults.length)

    // Each call ended, once.
    expect(exits.length).toBe(began)
    expect(new Set(exits.map(({ path }) => path)).size).toBe(began)
    const good = exits.filter(({ exit }) => Exit.isSuccess(exit))
    expect(good.length).toBeGreaterThan(0.6 * began)

    // The server has what callers were told, and what must not be repeated only once.
    const ended = exits.map(({ exit, method, path }) => ({
      method,
      path,
      times: applied.get(`https://ledger.example.com${path}`) ?? 0,
      good: Exit.isSuccess(exit),
      notAsked: Exit.isFailure(exit) && NotAsked.isNotAsked(Cause.squash(exit.cause))
    }))
    expect(ended.filter(({ good, method, times }) => good && method !== "GET" && times === 0)).toEqual([])
    expect(ended.filter(({ method, times }) => method === "POST" && times > 1)).toEqual([])
    expect(ended.filter(({ method, notAsked, times }) => method === "POST" && notAsked && times > 0)).toEqual([])
    expect(sum(applied.values())).toBe(requests.filter(({ method }) => method !== "GET").length)

    // Metrics say the same: of calls, of how they ended, of attempts.
    const histograms = (id: string) =>
      metrics.flatMap((metric) => metric.id === id && metric.type === "Histogram" ? [metric] : [])
    const calls = histograms("resilience.call.duration")
    expect(sum(calls.map(({ state }) => state.count))).toBe(began)
    const succeeded = calls.filter(({ attributes }) => attributes?.["resilience.outcome"] === "success")
    // A body can still fail when its call has succeeded.
    expect(sum(succeeded.map(({ state }) => state.count))).toBeGreaterThanOrEqual(good.length)
    expect(sum(histograms("resilience.call.attempts").map(({ state }) => state.sum))).toBe(sent)
    expect(sum(histograms("http.client.request.duration").map(({ state }) => state.count))).toBe(sent)

    // All permits are back.
    const now = Object.fromEntries(status.parts.map(({ now, part }) => [part, now]))
    expect(now["bulkhead"]).toMatchObject({ running: 0, waiting: 0 })
    expect(now["concurrencyLimit"]).toMatchObject({ running: 0, waiting: 0 })
    expect(now["circuitBreaker"]).toMatchObject({ state: "Closed" })
  }, 120_000)
})
