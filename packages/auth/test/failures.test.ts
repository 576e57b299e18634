import { Authenticated, AuthError, OAuth2, Origin, TokenCache, TokenSource } from "@effect-resilience/auth"
import { NotAsked, Recovery } from "@effect-resilience/errors"
import { ErrorMapping } from "@effect-resilience/http"
import { CircuitBreaker } from "@effect-resilience/limit"
import { RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Duration, Effect, Exit, Fiber, Redacted, Scope, Stream } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const origin = Date.UTC(2026, 5, 1)
const minute = 60_000

/** How a call ends for its caller. */
const outcomeOf = <A>(exit: Exit.Exit<A, AuthError.AuthError>): string => {
  if (Exit.isSuccess(exit)) return "token"
  const error = Exit.findErrorOption(exit)
  if (error._tag === "Some") return error.value.reason._tag
  return Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "defect"
}

/** A source whose first login succeeds, with a token that lives an hour. */
const turning = (then: () => Effect.Effect<never, AuthError.AuthError>) => {
  const record = { asked: 0 }
  const source = TokenSource.fromEffect(
    Effect.suspend(() =>
      ++record.asked === 1
        ? Effect.succeed({ value: Redacted.make("t-1"), expiresAt: origin + 60 * minute })
        : Effect.andThen(Effect.yieldNow, then())
    ),
    { identity: ["turning"] }
  )
  return { record, source }
}

type Reason = AuthError.Reason["_tag"] | "Defect"

const ways: ReadonlyArray<readonly [string, () => Effect.Effect<never, AuthError.AuthError>, Reason]> = [
  ["throws", () => Effect.flatMap(Effect.sync((): unknown => JSON.parse("<html>")), () => Effect.never), "Defect"],
  ["throws before it is an effect", () => {
    throw new TypeError("no such field")
  }, "Defect"],
  ["interrupts itself", () => Effect.interrupt, "Unavailable"],
  ["fails", () =>
    Effect.fail(
      new AuthError.AuthError({ reason: new AuthError.Unavailable({ detail: "404", recovery: Recovery.giveUp }) })
    ), "Unavailable"],
  [
    "has no token",
    () => Effect.fail(new AuthError.AuthError({ reason: new AuthError.NoToken({ expected: "a header" }) })),
    "NoToken"
  ]
]

describe("a source that fails", () => {
  for (const [name, way, reason] of ways) {
    it.effect(`and ${name} during a refresh is paced, and reported`, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(origin)
        const { record, source } = turning(way)
        const cache = yield* TokenCache.make(source, { jitter: 0, retry: RetryPolicy.noop })
        yield* cache.get
        const events = yield* Effect.forkChild(Stream.runCollect(Stream.take(cache.events, 2)))
        yield* TestClock.adjust(56 * minute)
        for (let call = 0; call < 1_000; call++) {
          assert.strictEqual((yield* cache.get).generation, 1)
          yield* TestClock.adjust("1 millis")
        }
        assert.strictEqual(record.asked, 2)
        assert.deepInclude(yield* cache.status, { failures: 1, state: "refreshing" })
        yield* TestClock.adjust("30 seconds")
        yield* cache.get
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(record.asked, 3)
        const failed = { _tag: "Failed", reason, ahead: true } as const
        assert.deepStrictEqual(yield* Fiber.join(events), [failed, failed])
      }))

    it.effect(`and ${name} while callers wait fails them all, and is not asked by each`, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(origin)
        const { record, source } = turning(way)
        const cache = yield* TokenCache.make(source, { retry: RetryPolicy.noop })
        yield* cache.get
        yield* TestClock.adjust(61 * minute)
        const exits = new Set<string>()
        for (let call = 0; call < 1_000; call++) exits.add(outcomeOf(yield* Effect.exit(cache.get)))
        assert.deepStrictEqual([...exits], [reason === "Defect" ? "defect" : reason])
        assert.strictEqual((yield* cache.status).waiting, 0)
        // What a policy retries is paced by that policy.
        const retried = name === "interrupts itself"
        assert.strictEqual(record.asked, retried ? 1_001 : 3)
        if (retried) return
        for (const [pause, asked] of [[999, 3], [1, 4], [2_000, 5], [4_000, 6], [3_000, 6]] as const) {
          yield* TestClock.adjust(pause)
          yield* Effect.exit(cache.get)
          assert.strictEqual(record.asked, asked)
        }
        yield* cache.forgetFailures
        yield* Effect.exit(cache.get)
        assert.strictEqual(record.asked, 7)
      }))
  }

  it.effect("that names a time is not asked by each caller before it, nor for longer than `refreshRetryDelay`", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(origin)
      let asked = 0
      let after: Duration.Input = "5 seconds"
      const busy = Effect.suspend(() => {
        asked++
        const recovery = Recovery.retryAfter(after)
        return Effect.fail(new AuthError.AuthError({ reason: new AuthError.Unavailable({ detail: "429", recovery }) }))
      })
      const cache = yield* TokenCache.make(TokenSource.fromEffect(busy, { identity: ["x"] }), {
        retry: RetryPolicy.noop
      })
      const call = Effect.map(Effect.flip(cache.get), ({ reason }) => assert.strictEqual(reason._tag, "Unavailable"))
      for (let calls = 0; calls < 1_000; calls++) yield* call
      assert.strictEqual(asked, 1)
      yield* TestClock.adjust(4_999)
      yield* call
      assert.strictEqual(asked, 1)
      after = "1 hour"
      yield* TestClock.adjust(1)
      yield* call
      assert.strictEqual(asked, 2)
      yield* TestClock.adjust(29_999)
      yield* call
      assert.strictEqual(asked, 2)
      yield* TestClock.adjust(1)
      yield* call
      assert.strictEqual(asked, 3)
      yield* cache.forgetFailures
      yield* call
      assert.strictEqual(asked, 4)
    }))

  it.effect("is asked again at once after its first failure since a login that worked", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(origin)
      const record = { asked: 0, broken: true }
      const cache = yield* TokenCache.make(
        TokenSource.fromEffect(
          Effect.suspend(() => {
            record.asked += 1
            return record.broken
              ? Effect.die(new TypeError("no such field"))
              : Effect.succeed({ value: Redacted.make("t") })
          }),
          { identity: ["x"] }
        ),
        { retry: RetryPolicy.noop }
      )
      yield* Effect.exit(cache.get)
      yield* Effect.exit(cache.get)
      yield* TestClock.adjust("1 minute")
      record.broken = false
      yield* cache.invalidate(yield* cache.get)
      Object.assign(record, { asked: 0, broken: true })
      yield* Effect.exit(cache.get)
      record.broken = false
      assert.strictEqual(outcomeOf(yield* Effect.exit(cache.get)), "token")
      assert.strictEqual(record.asked, 2)
    }))

  it.effect("and closes the scope of its cache interrupts the callers", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const cache = yield* Scope.provide(
        TokenCache.make(
          TokenSource.fromEffect(Effect.andThen(Scope.close(scope, Exit.void), Effect.never), { identity: ["x"] })
        ),
        scope
      )
      const caller = yield* Effect.forkChild(cache.get)
      yield* TestClock.adjust(0)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(caller)))
    }))

  it.effect("retries a login that interrupts itself, by its policy", () =>
    Effect.gen(function*() {
      let asked = 0
      const source = TokenSource.fromEffect(
        Effect.suspend(() => ++asked < 3 ? Effect.interrupt : Effect.succeed({ value: Redacted.make("t") })),
        { identity: ["x"] }
      )
      const cache = yield* TokenCache.make(source)
      const call = yield* Effect.forkChild(cache.get)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(call)).generation, 1)
    }))

  it.effect("returns a token that never ends, even with an infinite `refreshBefore`", () =>
    Effect.gen(function*() {
      const cache = yield* TokenCache.make(TokenSource.constant(Redacted.make("t")), {
        refreshBefore: Duration.infinity
      })
      assert.strictEqual((yield* cache.get).generation, 1)
      yield* TestClock.adjust("1000 days")
      assert.strictEqual((yield* cache.get).generation, 1)
    }))
})

const token = () => Response.json({ access_token: "t", token_type: "Bearer", expires_in: 3_600 })

/** A token endpoint that responds with `bad` while `record.broken`. */
const endpoint = Effect.fnUntraced(function*(bad: () => Response) {
  const record = { logins: 0, broken: true }
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      record.logins += 1
      return HttpClientResponse.fromWeb(request, record.broken ? bad() : token())
    })
  )
  const source = yield* OAuth2.clientCredentials(client, {
    tokenUrl: "https://login.example.com/token",
    credentials: Effect.succeed({ clientId: "app", clientSecret: Redacted.make("s3cr3t-value") })
  })
  const cache = yield* TokenCache.make(source, { retry: RetryPolicy.noop })
  return { cache, record, call: Effect.map(Effect.exit(cache.get), outcomeOf) }
})

const json = (status: number, body: object) => () => Response.json(body, { status })
const page = (status: number) => () =>
  new Response("<html><title>Attention Required</title></html>", { status, headers: { "content-type": "text/html" } })

describe("a login that is rejected once", () => {
  for (
    const [name, bad, reason] of [
      ["403 of a firewall", page(403), "Unavailable"],
      ["400 of a proxy", page(400), "Unavailable"],
      ["temporarily_unavailable", json(400, { error: "temporarily_unavailable" }), "Unavailable"],
      ["slow_down", json(400, { error: "slow_down" }), "Unavailable"],
      ["server_error", json(400, { error: "server_error" }), "Unavailable"],
      ["403 with Retry-After", () => Response.json({}, { status: 403, headers: { "retry-after": "0" } }), undefined],
      ["503", () => new Response("busy", { status: 503 }), "Unavailable"],
      ["404 while it is deployed", () => new Response("", { status: 404 }), "Unavailable"]
    ] as const
  ) {
    it.effect(`by ${name} works as soon as the login does`, () =>
      Effect.gen(function*() {
        const { call, record } = yield* endpoint(bad)
        const first = yield* call
        if (reason !== undefined) assert.strictEqual(first, reason)
        if (first === "Rejected") yield* TestClock.adjust("5 minutes")
        record.broken = false
        assert.strictEqual(yield* call, "token")
      }))
  }

  for (
    const [name, bad] of [
      ["403 and nothing else", () => new Response(null, { status: 403 })],
      ["401 and a text", () => new Response("no", { status: 401 })],
      ["400 of an unknown kind", json(400, { message: "Unable to log the user in." })],
      ["invalid_request", json(400, { error: "invalid_request" })],
      ["401 with a page", page(401)]
    ] as const
  ) {
    it.effect(`by ${name} is not asked again for 5 minutes, then for 10`, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(origin)
        const { call, record } = yield* endpoint(bad)
        for (const [after, logins] of [[0, 1], [0, 1], [299_999, 1], [1, 2], [599_999, 2], [1, 3]] as const) {
          yield* TestClock.adjust(after)
          assert.strictEqual(yield* call, "Rejected")
          assert.strictEqual(record.logins, logins)
        }
        record.broken = false
        yield* TestClock.adjust("20 minutes")
        assert.strictEqual(yield* call, "token")
      }))
  }

  for (const code of ["invalid_client", "invalid_grant", "unauthorized_client"]) {
    it.effect(`by ${code} stays so until it is forgotten`, () =>
      Effect.gen(function*() {
        const { cache, call, record } = yield* endpoint(json(400, { error: code, error_description: "locked" }))
        const error = yield* Effect.flip(cache.get)
        assert.strictEqual(error.message, `The login was rejected: locked (${code}). Check the credentials.`)
        record.broken = false
        yield* TestClock.adjust("1000 days")
        assert.strictEqual(yield* call, "Rejected")
        assert.strictEqual(record.logins, 1)
        yield* cache.forgetFailures
        assert.strictEqual(yield* call, "token")
      }))
  }

  it.effect("is forgotten by the sources of a chain, too", () =>
    Effect.gen(function*() {
      let outcome: "rejected" | "granted" = "rejected"
      const picky = TokenSource.fromEffect(
        Effect.suspend(() =>
          outcome === "granted"
            ? Effect.succeed({ value: Redacted.make("t") })
            : Effect.fail(new AuthError.AuthError({ reason: new AuthError.Rejected({}) }))
        ),
        { identity: ["picky"] }
      )
      const cache = yield* TokenCache.make(TokenSource.chain([picky, picky]))
      assert.strictEqual(outcomeOf(yield* Effect.exit(cache.get)), "Rejected")
      outcome = "granted"
      assert.strictEqual(outcomeOf(yield* Effect.exit(cache.get)), "Rejected")
      yield* cache.forgetFailures
      assert.strictEqual(outcomeOf(yield* Effect.exit(cache.get)), "token")
    }))
})

describe("a response of a token endpoint", () => {
  const t = "a-token-that-is-long-enough"
  const form = { "content-type": "application/x-www-form-urlencoded;charset=UTF-8" }

  /** The scope of the grant and how long it lives, or the message of the failure. */
  const granted = (body: string | object, init: ResponseInit = {}) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(origin)
      const { cache } = yield* endpoint(() =>
        typeof body === "string" ? new Response(body, init) : Response.json(body, init)
      )
      const { attributes, expiresAt, value } = yield* cache.get
      assert.strictEqual(Redacted.value(value), t)
      return [(expiresAt - origin) / 1_000, attributes["scope"]]
    })

  for (
    const [name, body, life, scope] of [
      ["has no token_type", { access_token: t, expires_in: 60 }, 60, undefined],
      ["says BearerToken", { access_token: t, token_type: "BearerToken", expires_in: 60 }, 60, undefined],
      ["says bearer", { access_token: t, token_type: "bearer " }, 3_600, undefined],
      [
        "has nothing but a token",
        { access_token: t, token_type: null, expires_in: null, scope: null },
        3_600,
        undefined
      ],
      ["has a lifetime as text", { access_token: t, expires_in: "60" }, 60, undefined],
      ["has a lifetime that is none", { access_token: t, expires_in: "soon" }, 3_600, undefined],
      ["has an empty lifetime", { access_token: t, expires_in: "" }, 3_600, undefined],
      ["has its scope as a list", { access_token: t, scope: ["a", "b"] }, 3_600, "a b"],
      ["has its scope as text", { access_token: t, scope: "a b" }, 3_600, "a b"],
      ["has a scope of another kind", { access_token: t, scope: { a: 1 } }, 3_600, undefined]
    ] as const
  ) {
    it.effect(`that ${name} grants a token`, () =>
      Effect.map(granted(body), (grant) => assert.deepStrictEqual(grant, [life, scope])))
  }

  it.effect("that is form-encoded and ends its line grants a token", () =>
    Effect.map(
      granted(`access_token=${t}&token_type=bearer\n`, { headers: { "content-type": "text/plain" } }),
      (grant) => assert.deepStrictEqual(grant, [3_600, undefined])
    ))

  for (const headers of [form, { "content-type": "text/plain" }]) {
    it.effect(`that is form-encoded as ${headers["content-type"]} grants a token`, () =>
      Effect.map(
        granted(`access_token=${t}&scope=repo%2Cgist&token_type=bearer&expires_in=60`, { headers }),
        (grant) => assert.deepStrictEqual(grant, [60, "repo,gist"])
      ))
  }

  for (
    const [body, said] of [
      [{ access_token: t, token_type: "mac" }, `the token_type "mac" where the token_type Bearer was expected`],
      [{ access_token: t, token_type: 7 }, "the token_type 7 where"],
      [{ access_token: t, token_type: ["Bearer"] }, `the token_type ["Bearer"] where`],
      [{ access_token: "" }, "an empty one where an access_token was expected"],
      [{ access_token: { value: t } }, "one that is no text where an access_token was expected"],
      [{ token: t }, "none where an access_token was expected"],
      ["<html>", "an HTML page where JSON was expected"],
      [`["${t}"]`, "JSON of another shape"],
      ["", "an empty body where"],
      [`{"access_token":"${t}`, "where JSON was expected"]
    ] as const
  ) {
    it.effect(`that is ${JSON.stringify(body)} names what is wrong, and shows no token`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(granted(body))
        assert.strictEqual(error._tag === "AuthError" ? error.reason._tag : error._tag, "Unavailable")
        assert.include(error.message, said)
        assert.notInclude(error.message, t)
      }))
  }

  it.effect("that breaks off is an outage", () =>
    Effect.gen(function*() {
      const { cache } = yield* endpoint(() => new Response(new ReadableStream({ pull: (body) => body.error("reset") })))
      const error = yield* Effect.flip(cache.get)
      assert.strictEqual(error.message, "Could not log in: the response of the token endpoint broke off.")
      assert.deepStrictEqual(Recovery.of(error), Recovery.retry)
    }))

  for (
    const [body, reason] of [
      [{ error: "invalid_client", error_description: "who?" }, "Rejected"],
      [{ error: "slow_down" }, "Unavailable"],
      ["error=invalid_grant&error_description=gone", "Rejected"]
    ] as const
  ) {
    it.effect(`with status 200 that says ${JSON.stringify(body)} grants nothing`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(granted(body, typeof body === "string" ? { headers: form } : {}))
        assert.strictEqual(error._tag === "AuthError" ? error.reason._tag : error._tag, reason)
      }))
  }
})

describe("a token that no header can hold", () => {
  for (
    const [name, value, problem] of [
      ["ends in a newline", "tok-secret-1\n", "a line break at character 13 of 13"],
      ["ends in CR LF", "tok-secret-1\r\n", "a line break at character 13 of 14"],
      ["brings a header along", "tok-secret\r\nx-admin: 1", "a line break at character 11"],
      ["has a NUL", "tok\u0000secret", "a control character at character 4"],
      ["has a letter beyond Latin-1", "tok-secrét-ł", "a character outside of Latin-1 at character 12"],
      ["begins with a byte order mark", "\ufefftok-secret", "a character outside of Latin-1 at character 1"],
      ["ends in a blank", "tok-secret ", "a blank at character 11"],
      ["is empty", "", "it is empty"],
      ["is huge", "tok-secret".repeat(100_000), "it has 1000000 characters"]
    ] as const
  ) {
    it.effect(`because it ${name} fails the login, and is not retried`, () =>
      Effect.gen(function*() {
        let asked = 0
        const source = TokenSource.fromEffect(
          Effect.sync(() => {
            asked += 1
            return { value: Redacted.make(value) }
          }),
          { identity: ["x"] }
        )
        const cache = yield* TokenCache.make(source)
        const error = yield* Effect.flip(cache.get)
        assert.deepInclude(error.reason, { _tag: "MalformedToken" })
        assert.include(error.message, problem)
        assert.notInclude(`${error.message} ${JSON.stringify(error)}`, "secr")
        assert.strictEqual(asked, 1)
        assert.strictEqual(Recovery.of(error)._tag, "Correct")
        assert.isTrue(NotAsked.isNotAsked(error))
      }))
  }

  it.effect("is none of those that a header can hold", () =>
    Effect.gen(function*() {
      for (const value of ["-".repeat(4_000), `t0ken+with/odd=chars "and" quotes & more`, "\u00e9\u00ff~!"]) {
        const cache = yield* TokenCache.make(TokenSource.constant(Redacted.make(value)))
        assert.strictEqual(Redacted.value((yield* cache.get).value), value)
      }
    }))
})

describe("a rejected login", () => {
  it.effect("is no verdict on the API: a half-open circuit stays half-open", () =>
    Effect.gen(function*() {
      const record = { requests: 0, rejected: false }
      const api = HttpClient.make((request) =>
        Effect.sync(() => {
          record.requests += 1
          return HttpClientResponse.fromWeb(request, new Response("{}", { status: 503 }))
        })
      )
      const source = TokenSource.fromEffect(
        Effect.suspend(() =>
          record.rejected
            ? Effect.fail(new AuthError.AuthError({ reason: new AuthError.Rejected({}) }))
            : Effect.map(Clock.currentTimeMillis, (now) => ({
              value: Redacted.make("t"),
              expiresAt: now + 1_000
            }))
        ),
        { identity: ["x"] }
      )
      yield* TestClock.setTime(origin)
      const cache = yield* TokenCache.make(source)
      const client = Authenticated.withTokens(ErrorMapping.mapErrors(api, {}), cache, {
        origin: Origin.make("https://api.example.com"),
        attach: Authenticated.bearer
      })
      const breaker = yield* CircuitBreaker.make({
        name: "api",
        tripPolicy: CircuitBreaker.consecutive(2),
        openDuration: "2 seconds"
      })
      const call = client.get("https://api.example.com/").pipe(CircuitBreaker.withCircuitBreaker(breaker), Effect.exit)
      yield* call
      yield* call
      assert.strictEqual((yield* breaker.snapshot)._tag, "Open")
      yield* TestClock.adjust("3 seconds")
      Object.assign(record, { requests: 0, rejected: true })
      yield* call
      assert.strictEqual(record.requests, 0)
      assert.notStrictEqual((yield* breaker.snapshot)._tag, "Closed")
    }))

  it.effect("opens no circuit, however often", () =>
    Effect.gen(function*() {
      const source = TokenSource.fromEffect(
        Effect.fail(new AuthError.AuthError({ reason: new AuthError.Rejected({}) })),
        { identity: ["x"] }
      )
      const cache = yield* TokenCache.make(source)
      const breaker = yield* CircuitBreaker.make({ name: "api", tripPolicy: CircuitBreaker.consecutive(2) })
      for (let i = 0; i < 10; i++) yield* Effect.exit(cache.get.pipe(CircuitBreaker.withCircuitBreaker(breaker)))
      assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
    }))
})
