import { type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import { call, form, logIn, login, part, type Session, upload, v1 } from "./client.ts"

type Service = Simulator.Simulator["Service"]

const simulated = <A, E>(
  options: Simulator.Options,
  test: (simulator: Service, session: Session) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const simulator = yield* Simulator.Simulator
    return yield* test(simulator, yield* logIn(simulator.url))
  }).pipe(Effect.provide(Simulator.layer({ seed: 1, ...options })))

const onUploads = { match: { operation: "upload" as const } }

/** Uploads once under a fault; returns the outcome and the number of stored uploads. */
const underFault = (fault: FaultRule.Fault, apply: boolean, options: Parameters<typeof upload>[1] = {}) =>
  simulated({ faults: [{ ...onUploads, fault, apply }] }, ({ state, url }, session) =>
    Effect.gen(function*() {
      const outcome = yield* Effect.result(upload(session, options))
      const { requests, uploads } = yield* state
      assert.strictEqual(requests, 3)
      const seen = Result.isSuccess(outcome)
        ? { reply: outcome.success, broken: undefined }
        : { reply: undefined, broken: outcome.failure }
      return { ...seen, stored: uploads.length, url }
    }))

const applied = [[false, 0], [true, 1]] as const

describe("faults", () => {
  it.live.each(applied)(
    "status: responds with status, headers and body; apply %j",
    ([apply, stored]) =>
      Effect.gen(function*() {
        const headers = { "Retry-After": "7", "set-cookie": ["a=1", "b=2"] }
        const json = yield* underFault({ type: "status", status: 429, headers, body: { message: "slow down" } }, apply)
        assert.strictEqual(json.reply?.status, 429)
        assert.strictEqual(json.reply?.headers["retry-after"], "7")
        assert.deepStrictEqual(json.reply?.headers["set-cookie"], ["a=1", "b=2"])
        assert.deepStrictEqual(json.reply?.json, { message: "slow down" })
        assert.strictEqual(json.stored, stored)
        const text = yield* underFault({ type: "status", status: 500, body: "oops" }, apply)
        assert.deepStrictEqual([text.reply?.body, text.reply?.headers["content-type"]], [
          "oops",
          "text/plain;charset=UTF-8"
        ])
        const bare = yield* underFault({ type: "status", status: 503 }, apply)
        assert.deepStrictEqual(bare.reply?.json, { message: "HTTP 503 Service Unavailable" })
        const empty = yield* underFault({ type: "status", status: 204 }, apply)
        assert.deepStrictEqual([empty.reply?.status, empty.reply?.body], [204, ""])
      })
  )

  it.live.each(applied)("delay: waits, then handles the call; apply %j", ([apply]) =>
    Effect.gen(function*() {
      const before = performance.now()
      const { reply, stored } = yield* underFault({ type: "delay", ms: 40 }, apply)
      assert.isAtLeast(performance.now() - before, 39)
      assert.deepStrictEqual([reply?.status, stored], [201, 1])
    }))

  it.live.each(applied)(
    "hang: never responds; apply %j",
    ([apply, stored]) =>
      simulated(
        { faults: [{ ...onUploads, times: 1, apply, fault: { type: "hang" } }] },
        ({ state }, session) =>
          Effect.gen(function*() {
            const hanging = yield* Effect.forkChild(Effect.exit(upload(session)))
            // A whole exchange on another connection, which begins after the hanging call was counted.
            while ((yield* state).requests < 3) {
              yield* call(`${session.url}/__simulator/state`)
            }
            while ((yield* state).uploads.length < stored) yield* call(`${session.url}/__simulator/state`)
            assert.strictEqual((yield* upload(session)).status, stored === 0 ? 201 : 202)
            assert.isUndefined(hanging.pollUnsafe())
            yield* Fiber.interrupt(hanging)
            assert.strictEqual((yield* state).uploads.length, stored + 1)
          })
      )
  )

  it.live.each(
    (["connect", "midRequest", "beforeResponse"] as const).flatMap((at) => applied.map((row) => [at, ...row] as const))
  )("reset at %s: breaks the connection without a response; apply %j", ([at, apply, stored]) =>
    Effect.gen(function*() {
      const { broken, stored: seen } = yield* underFault({ type: "reset", at }, apply, { content: "x".repeat(200_000) })
      assert.include(["ECONNRESET", "EPIPE"], broken?.code)
      assert.isUndefined(broken?.status)
      assert.strictEqual(seen, stored)
    }))

  it.live.each(applied)(
    "reset at midResponse: breaks within the response; apply %j",
    ([apply, stored]) =>
      Effect.gen(function*() {
        const { broken, stored: seen } = yield* underFault({ type: "reset", at: "midResponse" }, apply)
        assert.deepStrictEqual([broken?.code, broken?.status, seen], ["ECONNRESET", 201, stored])
        assert.match(broken?.body ?? "", /^\{"md5":"[^}]*$/)
      })
  )

  it.live.each(applied)("truncate: closes within the response; apply %j", ([apply, stored]) =>
    Effect.gen(function*() {
      const { broken, stored: seen } = yield* underFault({ type: "truncate" }, apply)
      // Node's client reports any end before Content-Length as a reset.
      assert.deepStrictEqual([broken?.status, seen], [201, stored])
      assert.match(broken?.body ?? "", /^\{"md5":"[^}]*$/)
    }))

  it.live.each(
    [
      ["login", "/service/apikeylogin"],
      ["environment", "/api/environment/acme.com/main"]
    ] as const
  )("reset, truncate and html apply to %s too", ([operation, path]) =>
    Effect.gen(function*() {
      const { clearFaults, addFaults, url } = yield* Simulator.Simulator
      const { headers } = yield* logIn(url)
      const attempt = operation === "login" ? login(url) : call(url + path, { headers })
      for (const at of ["connect", "midRequest", "beforeResponse", "midResponse"] as const) {
        yield* addFaults([{ match: { operation }, times: 1, fault: { type: "reset", at } }])
        const { code, status } = yield* Effect.flip(attempt)
        assert.deepStrictEqual([code, status], ["ECONNRESET", at === "midResponse" ? 200 : undefined])
      }
      yield* addFaults([{ match: { operation }, times: 1, fault: { type: "truncate" } }])
      assert.strictEqual((yield* Effect.flip(attempt)).status, 200)
      yield* addFaults([{ match: { operation }, fault: { type: "html", status: 200 } }])
      assert.include((yield* attempt).body, "<title>Log in</title>")
      yield* clearFaults
      assert.strictEqual((yield* attempt).status, 200)
    }).pipe(Effect.provide(Simulator.layer())))

  it.live.each(applied)(
    "expireTokens: ends every token, then handles the call; apply %j",
    ([apply, stored]) =>
      simulated(
        { faults: [{ ...onUploads, times: 1, apply, fault: { type: "expireTokens" } }] },
        ({ state }, session) =>
          Effect.gen(function*() {
            assert.strictEqual((yield* upload(session)).status, apply ? 201 : 401)
            assert.strictEqual((yield* upload(session)).status, 401)
            const { tokens, uploads } = yield* state
            assert.deepStrictEqual([tokens, uploads.length], [{ issued: 1, expired: 1 }, stored])
          })
      )
  )

  it.live.each(applied)("slow: reads and responds at a pace; apply %j", ([apply]) =>
    Effect.gen(function*() {
      const before = performance.now()
      const { reply, stored } = yield* underFault({ type: "slow", bytesPerSecond: 100_000 }, apply, {
        content: "x".repeat(10_000)
      })
      assert.isAtLeast(performance.now() - before, apply ? 1 : 99)
      assert.deepStrictEqual([reply?.status, stored], [201, 1])
    }))

  it.live.each(applied)("html: responds with a page; apply %j", ([apply, stored]) =>
    Effect.gen(function*() {
      const { reply, stored: seen } = yield* underFault({ type: "html", status: 502 }, apply)
      assert.deepStrictEqual([reply?.status, reply?.headers["content-type"], seen], [
        502,
        "text/html;charset=UTF-8",
        stored
      ])
      assert.include(reply?.body, "<h1>HTTP 502 Bad Gateway</h1>")
    }))

  it.live.each(applied)("redirect: responds with 307; apply %j", ([apply, stored]) =>
    Effect.gen(function*() {
      const location = "http://127.0.0.1:1/elsewhere"
      const { reply, stored: seen } = yield* underFault({ type: "redirect", location }, apply, {
        content: "x".repeat(500_000)
      })
      assert.deepStrictEqual([reply?.status, reply?.headers.location, seen], [307, location, stored])
    }))

  it.live.each(applied)("corruptMd5: responds with another md5; apply %j", ([apply, stored]) =>
    Effect.gen(function*() {
      const { reply, stored: seen } = yield* underFault({ type: "corruptMd5" }, apply, { content: "a\n" })
      assert.deepStrictEqual([reply?.status, seen], [201, stored])
      const { md5: corrupt, ...rest } = Object(reply?.json)
      assert.deepStrictEqual(rest, { length: 2, fileName: "data.csv" })
      assert.match(corrupt, /^[0-9a-f]{32}$/)
      assert.notStrictEqual(corrupt, "60b725f10c9c85c70d97880dfe8191b3")
    }))

  it.live("corruptMd5 fires on uploads only", () =>
    Effect.gen(function*() {
      const { url } = yield* Simulator.Simulator
      const { json } = yield* upload(yield* logIn(url), { content: "a\n" })
      assert.notStrictEqual(Object(json).md5, "60b725f10c9c85c70d97880dfe8191b3")
    }).pipe(Effect.provide(Simulator.layer({ faults: [{ times: 1, fault: { type: "corruptMd5" } }] }))))

  it.live("echoSecrets: repeats token and keys", () =>
    simulated({}, ({ addFaults, url }, session) =>
      Effect.gen(function*() {
        yield* addFaults([{ fault: { type: "echoSecrets", status: 500 } }])
        const { body, status } = yield* upload(session)
        assert.strictEqual(status, 500)
        assert.include(body, session.headers["apptio-opentoken"] ?? "none")
        assert.include((yield* login(url)).body, "sim-secret-key")
      })))

  it.live("apply before any check", () =>
    simulated({}, ({ addFaults, url }) =>
      Effect.gen(function*() {
        yield* addFaults([{ apply: true, fault: { type: "status", status: 503 } }])
        assert.strictEqual((yield* upload({ url, headers: {} })).status, 503)
        assert.strictEqual((yield* call(`${url}/elsewhere`)).status, 503)
      })))
})

describe("rules", () => {
  /** The statuses of `count` uploads; each rule responds with its own status. */
  const statuses = (
    count: number,
    rules: ReadonlyArray<Omit<FaultRule.FaultRule, "fault"> & { readonly status: number }>
  ) =>
    simulated(
      { faults: rules.map(({ status, ...rule }) => ({ ...onUploads, ...rule, fault: { type: "status", status } })) },
      (_, session) =>
        Effect.forEach(Array.from({ length: count }), () => Effect.map(upload(session), ({ status }) => status))
    )

  it.live.each(
    [
      ["fires on each call", [{ status: 500 }], [500, 500, 500, 500]],
      ["fires at most `times` times", [{ status: 500, times: 2 }], [500, 500, 201, 202]],
      ["fires after `after` calls", [{ status: 500, after: 3 }], [201, 202, 202, 500]],
      ["never fires", [{ status: 500, times: 0 }, { status: 501, probability: 0 }], [201, 202, 202, 202]],
      ["fires in order", [{ status: 500, times: 1 }, { status: 501, times: 1 }], [500, 501, 201, 202]],
      ["counts calls on which another rule fires", [{ status: 500, times: 1 }, { status: 501, after: 2, times: 1 }], [
        500,
        201,
        501,
        202
      ]]
    ] satisfies ReadonlyArray<[string, Parameters<typeof statuses>[1], ReadonlyArray<number>]>
  )(
    "%s",
    ([, rules, expected]) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* statuses(4, rules), expected)
      })
  )

  it.live("fires with a probability, repeatable from the seed", () =>
    Effect.gen(function*() {
      const first = yield* statuses(60, [{ status: 500, probability: 0.3 }])
      const fired = first.filter((status) => status === 500).length
      assert.isTrue(fired > 6 && fired < 36, `${fired} of 60`)
      assert.deepStrictEqual(yield* statuses(60, [{ status: 500, probability: 0.3 }]), first)
    }))

  it.live.each(
    [
      [{ operation: "login" }, [201, 200, 503]],
      [{ method: "get" }, [201, 503, 200]],
      [{ path: "/biit/api/v1" }, [503, 200, 200]],
      [{ path: "GL Data" }, [503, 200, 200]],
      [{ path: "GL%20Data" }, [503, 200, 200]],
      [{ path: "/biit/*/January" }, [503, 200, 200]],
      [{ path: "/api/environment/*/main", method: "POST" }, [201, 200, 200]],
      [{}, [503, 503, 503]]
    ] satisfies ReadonlyArray<[FaultRule.Match, ReadonlyArray<number>]>
  )("match %j", ([match, expected]) =>
    simulated({}, ({ addFaults, url }, session) =>
      Effect.gen(function*() {
        yield* addFaults([{ match, fault: { type: "status", status: 503 } }])
        const replies = [
          yield* upload(session),
          yield* call(`${url}/api/environment/acme.com/main`, { headers: session.headers }),
          yield* login(url)
        ]
        assert.deepStrictEqual(replies.map(({ status }) => status), expected)
      })))

  it.live("die of a malformed rule in code", () =>
    simulated({}, ({ addFaults }) =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(addFaults([{ times: -1, fault: { type: "hang" } }]))
        assert.isTrue(Exit.hasDies(exit))
      })))
})

describe("early responses", () => {
  const big = form(part("myfile", "big.csv", "x".repeat(8 * 1024 * 1024)))
  const headers = { "content-length": String(big.length), "app-type": "" }

  it.live("come before the body is read, whose rest is drained", () =>
    simulated({}, (_, session) =>
      Effect.gen(function*() {
        const { headers: received, status } = yield* upload(session, { body: big, headers })
        assert.deepStrictEqual([status, received.connection], [401, "close"])
      })))

  it.live("cut the connection beyond the drain limit", () =>
    simulated({ drainLimit: 1024 * 1024 }, ({ state }, session) =>
      Effect.gen(function*() {
        const outcome = yield* Effect.result(upload(session, { body: big, headers }))
        // The client may see the response or the broken pipe first.
        assert.isTrue(
          Result.isSuccess(outcome) ? outcome.success.status === 401 : /ECONNRESET|EPIPE/.test(outcome.failure.code)
        )
        assert.strictEqual((yield* state).requests, 3)
      })))

  it.live("can be turned off", () =>
    simulated({ earlyAnswers: false }, (_, session) =>
      Effect.gen(function*() {
        assert.strictEqual((yield* upload(session, { body: big, headers })).status, 401)
      })))

  it.live("respond to Expect: 100-continue without asking for the body", () =>
    simulated({}, (_, session) =>
      Effect.gen(function*() {
        const expecting = { ...headers, expect: "100-continue" }
        const { status } = yield* upload(session, {
          body: form(part("myfile", "a.csv", "1")),
          headers: { expect: "100-continue" }
        })
        assert.strictEqual(status, 201)
        assert.strictEqual((yield* upload(session, { body: big, headers: expecting, path: `${v1}append` })).status, 401)
      })))
})
