import { AuthError, type Grant, TokenSource } from "@effect-resilience/auth"
import { ApiError } from "@effect-resilience/errors"
import { Clock, Effect, Random, Redacted, Stream } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"

/** A login that takes `millis` and ends as `outcome` says. Its tokens live for `life`. */
export const login = (options: {
  readonly millis?: number | undefined
  readonly life?: number | undefined
  readonly outcome?: ((login: number) => AuthError.Reason | undefined) | undefined
} = {}) => {
  const record = { started: 0, succeeded: 0, interrupted: 0 }
  const acquire = Effect.gen(function*() {
    const login = ++record.started
    yield* Effect.sleep(options.millis ?? 30)
    const failure = options.outcome?.(login)
    if (failure !== undefined) return yield* Effect.fail(new AuthError.AuthError({ reason: failure }))
    record.succeeded += 1
    const now = yield* Clock.currentTimeMillis
    const grant: Grant.Grant = {
      value: Redacted.make(`token-${login}`),
      expiresAt: options.life === undefined ? undefined : now + options.life
    }
    return grant
  }).pipe(Effect.onInterrupt(() =>
    Effect.sync(() => {
      record.interrupted += 1
    })
  ))
  return { record, source: TokenSource.fromEffect(acquire, { identity: ["fake"] }) }
}

export interface Seen {
  readonly url: string
  readonly token: string | undefined
  readonly body: string
}

/** An API that responds after a random time below `latency`: 200 to the tokens that it accepts, 401 to all others. */
export const api = (options: {
  readonly accepts: (token: string | undefined) => boolean
  readonly latency?: number | undefined
  readonly respond?: ((request: HttpClientRequest.HttpClientRequest) => Response | undefined) | undefined
}) => {
  const seen: Array<Seen> = []
  const client = HttpClient.make((request) =>
    Effect.gen(function*() {
      const body = yield* readBody(request)
      if (options.latency !== undefined) yield* Effect.sleep((yield* Random.next) * options.latency)
      const token = request.headers["authorization"]?.slice("Bearer ".length)
      seen.push({ url: request.url, token, body })
      const response = options.accepts(token)
        ? options.respond?.(request) ?? new Response("{}")
        : Response.json({ message: "who are you?" }, { status: 401 })
      return HttpClientResponse.fromWeb(request, response)
    }).pipe(Effect.orDie)
  )
  return { client, seen }
}

const ok = HttpClientResponse.fromWeb(HttpClientRequest.get("https://api.example.com"), new Response("{}"))

/** The same without bodies, and with the failure that error mapping makes of a 401. For thousands of calls. */
export const quickApi = (options: {
  readonly accepts: (token: string | undefined) => boolean
  readonly latency: number
}) => {
  const record = { requests: 0 }
  const respond = Effect.fnUntraced(function*(request: HttpClientRequest.HttpClientRequest) {
    yield* Effect.sleep((yield* Random.next) * options.latency)
    record.requests += 1
    if (options.accepts(request.headers["authorization"]?.slice("Bearer ".length))) return ok
    return yield* Effect.fail(
      new ApiError.ApiError({ method: "GET", endpoint: "/a", reason: ApiError.reasonFromStatus(401) })
    )
  })
  const client = HttpClient.makeWith<ApiError.ApiError, never, ApiError.ApiError, never>(
    (request) => Effect.flatMap(request, respond),
    Effect.succeed
  )
  return { client, record }
}

const readBody = (request: HttpClientRequest.HttpClientRequest) => {
  switch (request.body._tag) {
    case "Stream":
      return Stream.mkString(Stream.decodeText(request.body.stream))
    case "Uint8Array":
      return Effect.succeed(new TextDecoder().decode(request.body.body))
    default:
      return Effect.succeed("")
  }
}
