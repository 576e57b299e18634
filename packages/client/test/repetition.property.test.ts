import { Parts, ResilientClient } from "@effect-resilience/client"
import { ApiError, NotAsked, Recovery, Transport } from "@effect-resilience/errors"
import { AccessLog, Operation, SendProgress } from "@effect-resilience/http"
import { VirtualTime } from "@effect-resilience/lab"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Option, Random, References, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"

/**
 * What a server does with an attempt, after `millis`, and whether it may have applied it.
 *
 * - `reached`: how far the request comes before the rest happens.
 */
interface Behavior {
  readonly does: "respond" | "break" | "hang" | "breakBody"
  readonly status: number
  readonly retryAfter: number | undefined
  readonly millis: number
  readonly reached: Transport.Reached
}

const pick = <A>(all: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, all.length - 1), (index) => all[index] as A)

const anyBehavior = Effect.gen(function*() {
  const does = yield* pick(["respond", "respond", "respond", "break", "hang", "breakBody"] as const)
  return {
    does,
    status: yield* pick([200, 200, 204, 400, 404, 408, 409, 425, 429, 500, 502, 503, 503, 504]),
    retryAfter: yield* pick([undefined, undefined, undefined, 0, 1, 3, 3600]),
    millis: yield* pick([0, 1, 50, 700, 1_999, 2_000, 2_001, 9_000]),
    reached: does === "respond" || does === "breakBody"
      ? "all" as const
      : yield* pick(["nothing", "connected", "partOfHead", "head", "partOfBody", "all"] as const)
  } satisfies Behavior
})

interface Attempt {
  readonly behavior: Behavior
  readonly began: number
  readonly call: string
  readonly key: string | undefined
  /** Whether it ended by itself; what is cut off may have been applied or not. */
  ended: boolean
}

/** The plain model: what a server may have done with a request. */
const mayHaveBeenApplied = ({ behavior: { does, reached, status }, ended }: Attempt): boolean =>
  ended && (does === "respond" || does === "breakBody")
    ? status < 300 || status >= 500
    : Transport.isAtLeast(reached, "partOfHead")

const reset = () => Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })

class Lost extends HttpClientError.TransportError {
  readonly [Transport.TransmissionId]: Transport.Transmission
  constructor(request: HttpClientRequest.HttpClientRequest, reached: Transport.Reached) {
    super({ request, cause: reset() })
    this[Transport.TransmissionId] = { reached }
  }
}

/** A response whose body is there at once: a promise would not be waited for. */
const responseOf = (request: HttpClientRequest.HttpClientRequest, { does, retryAfter, status }: Behavior) => {
  const headers = {
    "content-type": "application/json",
    ...(retryAfter !== undefined && { "retry-after": `${retryAfter}` })
  }
  const response = HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
  const reason = new HttpClientError.DecodeError({ request, response, cause: reset() })
  const bytes = new TextEncoder().encode("{}")
  const body = does === "breakBody"
    ? Effect.fail(new HttpClientError.HttpClientError({ reason }))
    : Effect.succeed(bytes)
  return Object.defineProperties(response, {
    arrayBuffer: { value: Effect.map(body, ({ buffer }) => buffer) },
    text: { value: Effect.as(body, "{}") },
    stream: { value: Stream.fromEffect(body) }
  })
}

/** Servers that behave as they like; `mends` makes them behave. */
const unreliable = Effect.gen(function*() {
  const attempts: Array<Attempt> = []
  let mended = false
  let running = 0
  const client = HttpClient.make((request) =>
    Effect.gen(function*() {
      const behavior = mended
        ? { does: "respond", status: 200, retryAfter: undefined, millis: 0, reached: "all" } as const
        : yield* anyBehavior
      const attempt: Attempt = {
        behavior,
        began: yield* Clock.currentTimeMillis,
        call: request.headers["x-call"] ?? "",
        key: request.headers["idempotency-key"],
        ended: false
      }
      attempts.push(attempt)
      const source: { reached: Transport.Reached } = { reached: "nothing" }
      const progress = yield* SendProgress.Current
      progress?.follow(source)
      source.reached = behavior.reached
      if (behavior.does === "hang") return yield* Effect.never
      yield* Effect.sleep(behavior.millis)
      attempt.ended = true
      if (behavior.does === "break") {
        return yield* Effect.fail(new HttpClientError.HttpClientError({ reason: new Lost(request, behavior.reached) }))
      }
      return responseOf(request, behavior)
    }).pipe((effect) =>
      Effect.acquireUseRelease(Effect.sync(() => running++), () => effect, () => Effect.sync(() => running--))
    )
  )
  return { client, attempts, running: () => running, mend: () => void (mended = true) }
})

const anyPipeline = Effect.gen(function*() {
  const times = yield* pick([0, 1, 2, 5])
  return {
    retry: { times, backoff: { base: yield* pick([0, 10, 1_000]) } },
    ...(yield* pick([{}, { bulkhead: { permits: 2, queue: 100 } }, { budget: { burst: 3 } }])),
    ...(yield* pick([{}, { circuitBreaker: { tripPolicy: { consecutive: 3 } } }, {
      circuitBreaker: { tripPolicy: { proportional: {} } }
    }])),
    ...(yield* pick([{}, {}, { hedge: { after: "500 millis", times: 1, share: 1 } }])),
    ...(yield* pick([{}, {}, { concurrencyLimit: { algorithm: { aimd: { initial: 2, min: 1 } } } }]))
  }
})

const total = 10_000

const scenario = Effect.gen(function*() {
  const server = yield* unreliable
  const pipeline = yield* anyPipeline
  const key = yield* pick([false, false, true])
  const client = yield* ResilientClient.make({
    name: "ledger",
    baseUrl: "https://ledger.example.com",
    pipeline: pipeline as ResilientClient.PipelineOptions,
    timeouts: { total, attempt: yield* pick(["2 seconds", "1 minute"]) },
    idempotency: { key },
    operations: { "append": { idempotent: false }, "replace": { idempotent: true } }
  } as ResilientClient.Description, { parts: Parts }).pipe(Effect.provideService(HttpClient.HttpClient, server.client))
  const memory = yield* AccessLog.Memory

  const call = Effect.fnUntraced(function*(name: string) {
    yield* Effect.sleep(yield* pick([0, 5, 1_000, 4_000]))
    const method = yield* pick(["GET", "PUT", "POST", "POST", "PATCH"] as const)
    const named = yield* pick([undefined, undefined, "append", "replace"])
    const request = HttpClientRequest.make(method)("/entries", { headers: { "x-call": name } })
    const made = Effect.flatMap(client.execute(request), (response) => response.text)
    const running = yield* Effect.forkChild(
      named === undefined ? made : Operation.within(made, { name: named, endpoint: "/entries" })
    )
    const began = yield* Clock.currentTimeMillis
    if ((yield* Random.next) < 0.15) {
      yield* Effect.sleep(yield* pick([0, 1, 600, 2_000, 5_000]))
      yield* Fiber.interrupt(running)
    }
    const exit = yield* Fiber.await(running)
    const took = (yield* Clock.currentTimeMillis) - began
    const repeatable = named === "replace" || (named === undefined && (method === "GET" || method === "PUT")) || key
    return { name, method, repeatable, exit, took }
  })
  const calls = yield* Effect.forEach(Array.from({ length: 6 }, (_, n) => `call ${n}`), call, { concurrency: 6 })
  const rest = yield* client.status
  server.mend()
  yield* Effect.sleep("2 hours")
  const healthy = yield* Effect.exit(client.get("/entries", { headers: { "x-call": "healthy" } }))
  return { server, pipeline, key, calls, rest, healthy, entries: yield* memory.entries }
})

describe("random behaviours of a server, against a plain model", () => {
  const seeds = Array.from({ length: 300 }, (_, seed) => seed)

  it("a call that may have been applied and must not be twice is not sent again, and what is told of it is true", () => {
    for (const seed of seeds) {
      const { calls, entries, healthy, key, pipeline, rest, server } = VirtualTime.runSync(
        scenario.pipe(Effect.provide(AccessLog.layerMemory), Effect.provideService(References.MinimumLogLevel, "None")),
        { seed, startMillis: 1_700_000_000_000 }
      )
      const faults: Array<string> = []
      const check = (holds: boolean, what: string, ...details: ReadonlyArray<unknown>) => {
        if (!holds) faults.push(`seed ${seed}: ${what} ${JSON.stringify({ pipeline, details })}`)
      }
      for (const { exit, method, name, repeatable, took } of calls) {
        const attempts = server.attempts.filter((attempt) => attempt.call === name)
        const doubtful = attempts.filter(mayHaveBeenApplied)
        const allowed = (pipeline.retry.times + 1) * ("hedge" in pipeline ? 2 : 1)
        const error = Option.getOrUndefined(Exit.findErrorOption(exit))
        const details = [name, method, repeatable, attempts, exit]
        check(attempts.length <= allowed, "too many attempts", ...details)
        check(took <= total, "too long", ...details)
        if (!repeatable) {
          check(attempts.slice(0, -1).every((attempt) => !mayHaveBeenApplied(attempt)), "sent twice", ...details)
        }
        if (key) check(new Set(attempts.map(({ key }) => key)).size <= 1, "several keys", ...details)
        // A caller that repeats by the error's advice must not do so twice either.
        if (error !== undefined && !repeatable && doubtful.length > 0) {
          check(!["Retry", "Reauthenticate"].includes(Recovery.of(error)._tag), "bad advice", ...details)
          check(!NotAsked.isNotAsked(error), "it was asked", ...details)
        }
        if (error instanceof ApiError.ApiError && !repeatable && doubtful.length === 0) {
          check(error.reason._tag !== "OutcomeUnknown", "known", ...details)
        }
      }
      // A call that is interrupted before it begins has no line.
      const lines = entries.filter(({ kind }) => kind === "call").length
      check(lines >= 1 + calls.filter(({ exit }) => !Exit.hasInterrupts(exit)).length, "a line for each call")
      check(lines <= 1 + calls.length, "one line for a call")
      check(entries.length - lines === server.attempts.length, "a line for each attempt")
      check(server.running() === 0, "an attempt still runs")
      for (const { now, part } of rest.parts) {
        for (const count of ["running", "waiting", "inFlight"]) check((now?.[count] ?? 0) === 0, `${part}.${count}`)
      }
      check(Exit.isSuccess(healthy), "the client does not recover", healthy)
      assert.deepStrictEqual(faults, [])
    }
  })
})
