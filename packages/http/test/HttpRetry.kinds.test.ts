import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Recovery } from "@effect-resilience/errors"
import { ErrorMapping, HttpRetry } from "@effect-resilience/http"
import { Backoff, RetryEvent, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber } from "effect"
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { once } from "node:events"

type Step = readonly [status: number, headers?: Record<string, string>]

/** Responds with each of these in turn, the last one from then on; notes when, and to which method. */
const script = (steps: ReadonlyArray<Step>) => {
  const starts: Array<number> = []
  const client = HttpClient.make((request) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      starts.push(now)
      const [status, headers] = steps[Math.min(starts.length, steps.length) - 1] ?? [200]
      return HttpClientResponse.fromWeb(request, new Response(null, { status, ...(headers && { headers }) }))
    })
  )
  return { client: ErrorMapping.mapErrors(client), starts }
}

const untilDone = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(effect), { startImmediately: true })
    yield* TestClock.adjust("1 day")
    return yield* Fiber.join(fiber)
  })

const get = HttpClientRequest.get("https://a.example/")

describe("a policy with kinds over HTTP", () => {
  const policy = RetryPolicy.make({
    times: 4,
    backoff: Backoff.constant(1),
    kinds: {
      throttled: { backoff: Backoff.constant(10) },
      overloaded: { backoff: Backoff.constant(100) },
      expired: { backoff: Backoff.constant(1000) }
    }
  })

  it.effect("waits by the status: 429 is throttled, 503 and 529 are overloaded, 401 is expired", () =>
    Effect.gen(function*() {
      for (const [status, wait] of [[500, 1], [502, 1], [429, 10], [503, 100], [529, 100], [401, 1000]] as const) {
        const { client, starts } = script([[status], [200]])
        const exit = yield* untilDone(HttpRetry.retry(client, policy).execute(get))
        assert.isTrue(Exit.isSuccess(exit))
        assert.strictEqual((starts[1] ?? 0) - (starts[0] ?? 0), wait, `${status}`)
      }
    }))

  it.effect("repeats a 401 once, also for a request that is not repeatable, since nothing was applied", () =>
    Effect.gen(function*() {
      const { client, starts } = script([[401]])
      yield* untilDone(HttpRetry.retry(client, policy).execute(HttpClientRequest.post("https://a.example/")))
      assert.strictEqual(starts.length, 2)
    }))

  it.effect("takes x-amz-retry-after as AWS's SDKs do", () =>
    Effect.gen(function*() {
      for (const [millis, least, most] of [[1500, 1500, 1500], [60_000, 5000, 5050], [0, 0, 50]] as const) {
        const { client, starts } = script([[500, { "x-amz-retry-after": String(millis) }], [200]])
        yield* untilDone(HttpRetry.retry(client, RetryPolicy.aws2026).execute(get))
        const waited = (starts[1] ?? Number.NaN) - (starts[0] ?? 0)
        assert.isTrue(waited >= least && waited <= most, `${millis} gave ${waited}`)
      }
    }))
})

describe("HttpRetry with retryWhen", () => {
  const policy = RetryPolicy.make({ times: 2, backoff: Backoff.constant("1 second") })
  const isAccepted = ({ status }: HttpClientResponse.HttpClientResponse) => status === 202

  it.effect("sends a request again after a response, and gives the last one", () =>
    Effect.gen(function*() {
      const steps: ReadonlyArray<Step> = [[202], [500], [200]]
      const { client, starts } = script(steps)
      const seen: Array<number | string> = []
      const exit = yield* untilDone(
        HttpRetry.retry(client, policy, {
          retryWhen: isAccepted,
          onEvent: ({ error }) =>
            Effect.sync(() => seen.push(error instanceof RetryEvent.RetriedResult ? error.result.status : error._tag))
        }).execute(get)
      )
      assert.strictEqual(Exit.isSuccess(exit) && exit.value.status, 200)
      assert.deepStrictEqual(seen, [202, "ApiError"])
      assert.deepStrictEqual(starts, [0, 1000, 2000])
      const never = script([[202]])
      const last = yield* untilDone(HttpRetry.retry(never.client, policy, { retryWhen: isAccepted }).execute(get))
      assert.strictEqual(Exit.isSuccess(last) && last.value.status, 202)
      assert.strictEqual(never.starts.length, 3)
    }))

  it.effect("waits for the time that the response names", () =>
    Effect.gen(function*() {
      const { client, starts } = script([[202, { "retry-after": "7" }], [200]])
      yield* untilDone(
        HttpRetry.retry(client, policy, {
          retryWhen: (response) =>
            isAccepted(response) && Recovery.retryAfter(`${Number(response.headers["retry-after"])} seconds`)
        }).execute(get)
      )
      assert.deepStrictEqual(starts, [0, 7000])
    }))

  it.effect("never repeats a request that is not repeatable, or whose body can be read only once", () =>
    Effect.gen(function*() {
      const post = HttpClientRequest.post("https://a.example/")
      const once = new ReadableStream({ start: (controller) => controller.close() })
      const put = HttpClientRequest.setBody(HttpClientRequest.put("https://a.example/"), HttpBody.raw(once))
      for (
        const [request, options, sent] of [
          [post, {}, 1],
          [post, { repeatUnsafe: true }, 3],
          [put, {}, 1],
          [HttpClientRequest.put("https://a.example/"), {}, 3]
        ] as const
      ) {
        const { client, starts } = script([[202]])
        const retried = HttpRetry.retry(client, policy, { ...options, retryWhen: isAccepted })
        const exit = yield* untilDone(retried.execute(request))
        assert.strictEqual(Exit.isSuccess(exit) && exit.value.status, 202)
        assert.strictEqual(starts.length, sent)
      }
    }))

  it.live("frees the connection of a response that is not the last, and leaves the last one to be read", () =>
    Effect.gen(function*() {
      let requests = 0
      let closed = Promise.resolve<unknown>(undefined)
      const { url } = yield* LocalServer.http((_, response) => {
        const previous = closed
        closed = once(response, "close")
        requests++
        const isLast = requests === 3
        void previous.then(() => {
          response.writeHead(isLast ? 200 : 202)
          // The body of a 202 never ends by itself.
          if (isLast) response.end("done")
          else response.write("pending")
        })
      })
      const client = HttpRetry.retry(
        ErrorMapping.mapErrors(yield* HttpClient.HttpClient),
        RetryPolicy.make({ times: 5, backoff: Backoff.constant("200 millis") }),
        { retryWhen: isAccepted }
      )
      const response = yield* client.get(url)
      assert.strictEqual(yield* response.text, "done")
      assert.strictEqual(requests, 3)
    }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer)))
})
