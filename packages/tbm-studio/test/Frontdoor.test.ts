import { AccessLog } from "@effect-resilience/http"
import { Account, type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import { Frontdoor } from "@effect-resilience/tbm-studio"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { recorder, settings } from "./recorder.ts"
import { client, impatient, studio, told, until } from "./studio.ts"

const tokens = Effect.flatMap(Frontdoor.Frontdoor, ({ tokens }) => tokens.get)
const environmentId = Effect.flatMap(Frontdoor.Frontdoor, ({ environmentId }) => environmentId)
const state = Effect.flatMap(Simulator.Simulator, ({ state }) => state)

const login = (fault: FaultRule.Fault, times?: number): FaultRule.FaultRule => ({
  match: { operation: "login" },
  fault,
  ...times === undefined ? {} : { times }
})

const lookUp = (fault: FaultRule.Fault, times?: number): FaultRule.FaultRule => ({
  match: { operation: "environment" },
  fault,
  ...times === undefined ? {} : { times }
})

describe("Frontdoor", { concurrent: true }, () => {
  for (const tokenIn of ["header", "cookie", "both"] as const) {
    it.live(`takes a token in ${tokenIn === "both" ? "header and cookie" : `the ${tokenIn}`}`, () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* environmentId, Account.sample.environments["main"])
        assert.lengthOf(Redacted.value((yield* tokens).value), 48)
      }).pipe(Effect.provide(studio({ tokenIn }))))
  }

  for (const [tokenIn, reason] of [["different", "AmbiguousToken"], ["none", "NoToken"]] as const) {
    it.live(`rejects a login whose token is ${tokenIn}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(told(yield* Effect.flip(environmentId)), [reason, "GiveUp"])
        assert.deepInclude(yield* state, { logins: 1, environmentLookups: 0 })
      }).pipe(Effect.provide(studio({ tokenIn }))))
  }

  for (
    const said of [
      { validTill: "seconds" },
      { validTill: "millis" },
      { validTill: "iso", validTillHeader: "valid-till" },
      { cookieExpiry: "maxAge" },
      { cookieExpiry: "expires" }
    ] as const
  ) {
    it.live(`learns when a token expires from ${Object.values(said).join(" in ")}`, () =>
      Effect.gen(function*() {
        const { expiresAt } = yield* tokens
        const seconds = (expiresAt - (yield* Clock.currentTimeMillis)) / 1_000
        assert.isTrue(seconds > 80 && seconds <= 92, `${seconds}`)
      }).pipe(Effect.provide(studio({ tokenLifetime: "90 seconds", ...said }))))
  }

  it.effect("keeps a token for an hour if the server names no expiry, and refreshes it in the background 5 minutes early", () =>
    Effect.gen(function*() {
      const first = yield* tokens
      assert.strictEqual(first.expiresAt - (yield* Clock.currentTimeMillis), 3_600_000)
      yield* TestClock.adjust("54 minutes")
      assert.strictEqual(yield* tokens, first)
      yield* TestClock.adjust("2 minutes")
      // A caller does not wait now.
      assert.strictEqual(yield* tokens, first)
      const second = yield* TestClock.withLive(until(Effect.map(tokens, ({ generation }) => generation === 2)))
      assert.isTrue(second)
      assert.deepInclude(yield* state, { logins: 2 })
    }).pipe(Effect.provide(studio())))

  it.live("logs in and looks the environment up once for 50 cold callers", () =>
    Effect.gen(function*() {
      const ids = yield* Effect.forEach(Array.from({ length: 50 }), () => environmentId, { concurrency: "unbounded" })
      assert.strictEqual(new Set(ids).size, 1)
      assert.deepInclude(yield* state, { logins: 1, environmentLookups: 1, requests: 2 })
    }).pipe(Effect.provide(studio({ faults: [lookUp({ type: "delay", ms: 50 })] }))))

  it.live("continues to look the environment up when one of two callers leaves", () =>
    Effect.gen(function*() {
      const [leaving, staying] = yield* Effect.forEach([1, 2], () =>
        Effect.forkScoped(environmentId, { startImmediately: true }))
      yield* until(Effect.map(state, ({ environmentLookups }) =>
        environmentLookups === 1))
      if (leaving !== undefined) yield* Fiber.interrupt(leaving)
      if (staying !== undefined) assert.strictEqual(yield* Fiber.join(staying), Account.sample.environments["main"])
      assert.deepInclude(yield* state, { logins: 1, environmentLookups: 1 })
    }).pipe(Effect.provide(studio({ faults: [lookUp({ type: "delay", ms: 100 })] }))))

  for (const id of ["", "a\r\nx-evil: 1", "a\u001b[31m", "a\u202eb", "łódź", " a"]) {
    it.live(`rejects the environment ${JSON.stringify(id)}, which no header can hold`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(told(yield* Effect.flip(environmentId)), ["UndecodableAnswer", "GiveUp"])
      }).pipe(Effect.provide(studio({
        faults: [lookUp({ type: "status", status: 200, body: JSON.stringify({ id }) })]
      }))))
  }

  for (const rejectedLogin of [400, 401, 403] as const) {
    it.live(`never retries a login that was rejected with ${rejectedLogin}`, () =>
      Effect.gen(function*() {
        const errors = yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.flip(environmentId), {
          concurrency: 5
        })
        for (const error of errors) assert.deepStrictEqual(told(error), ["Rejected", "Authorize"])
        assert.deepInclude(yield* state, { logins: 1, requests: 1 })
      }).pipe(Effect.provide(studio({
        rejectedLogin,
        accounts: [{ ...Account.sample, secretKey: "another" }]
      }))))
  }

  it.live("applies the same timeout to a look-up whose response trickles as to one without a response", () => {
    let open = 0
    return Effect.gen(function*() {
      const { requests, url } = yield* recorder((request, response) => {
        if (request.url?.startsWith("/api/") !== true) return false
        open += 1
        response.writeHead(200, { "content-type": "application/json" }).write("{")
        const drip = setInterval(() => response.write(" "), 50)
        response.on("close", () => {
          clearInterval(drip)
          open -= 1
        })
        return true
      })
      const error = yield* Effect.flip(Effect.provide(environmentId, client.pipe(Layer.provide(settings(url)))))
      assert.deepStrictEqual(told(error), ["Timeout", "Retry"])
      assert.strictEqual(requests.filter(({ path }) => path.startsWith("/api/")).length, 4)
      yield* until(Effect.sync(() => open === 0))
    }).pipe(Effect.scoped, (test) => impatient(test, () => open > 0))
  })

  it.live("retries a login that hangs, within bounds", () => {
    let open = 0
    return Effect.gen(function*() {
      let hanging = Infinity
      const { requests, url } = yield* recorder((request, response) => {
        if (request.url !== "/service/apikeylogin" || hanging === 0) return false
        hanging -= 1
        open += 1
        response.on("close", () => open -= 1)
        return true
      })
      yield* Effect.gen(function*() {
        const error = yield* Effect.flip(environmentId)
        assert.deepStrictEqual(told(error), ["Unavailable", "Retry"])
        assert.notMatch(error.message, /the-(public|secret)-key/)
        assert.isTrue(requests.length >= 2 && requests.length <= 4, `${requests.length}`)

        yield* until(Effect.sync(() => open === 0))
        hanging = 1
        const before = requests.length
        assert.strictEqual(yield* environmentId, "42")
        assert.deepStrictEqual(requests.slice(before).map(({ path }) => path.split("/")[1]), [
          "service",
          "service",
          "api"
        ])
      }).pipe(Effect.provide(client.pipe(Layer.provide(settings(url)))))
    }).pipe(Effect.scoped, (test) => impatient(test, () => open > 0))
  })

  const outages: ReadonlyArray<readonly [FaultRule.Fault, string, recovery: string]> = [
    [{ type: "status", status: 503 }, "Unavailable", "Retry"],
    [{ type: "status", status: 429 }, "Unavailable", "Retry"],
    [{ type: "html", status: 502 }, "Unavailable", "Retry"],
    [{ type: "echoSecrets", status: 500 }, "Unavailable", "Retry"],
    [{ type: "reset", at: "connect" }, "Unavailable", "Retry"],
    [{ type: "reset", at: "beforeResponse" }, "Unavailable", "Retry"]
  ]
  for (const [fault, reason, recovery] of outages) {
    it.live(
      `retries a login that fails with ${Object.values(fault).join(" ")}, within bounds`,
      () =>
        Effect.gen(function*() {
          const { addFaults, clearFaults, reset } = yield* Simulator.Simulator
          yield* addFaults([login(fault)])
          const error = yield* Effect.flip(environmentId)
          assert.deepStrictEqual(told(error), [reason, recovery])
          assert.notMatch(error.message, /sim-(public|secret)-key/)
          assert.isTrue((yield* state).logins >= 2 && (yield* state).logins <= 4)

          yield* clearFaults
          yield* reset
          yield* addFaults([login(fault, 1)])
          assert.isString(yield* environmentId)
          assert.deepInclude(yield* state, { logins: 2, environmentLookups: 1 })
        }).pipe(Effect.provide(studio()), impatient)
    )
  }

  const nonsense: ReadonlyArray<readonly [FaultRule.Fault, string, recovery: string]> = [
    [{ type: "html", status: 200 }, "NoToken", "GiveUp"],
    [{ type: "status", status: 200, body: "" }, "NoToken", "GiveUp"],
    [{ type: "status", status: 404 }, "Unavailable", "Correct"],
    [{ type: "redirect", location: "http://127.0.0.1:1/" }, "Unavailable", "Correct"]
  ]
  for (const [fault, reason, recovery] of nonsense) {
    it.live(`does not retry a login after the response ${Object.values(fault).join(" ")}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(told(yield* Effect.flip(environmentId)), [reason, recovery])
        assert.deepInclude(yield* state, { logins: 1, requests: 1 })
      }).pipe(Effect.provide(studio({ faults: [login(fault)] }))))
  }

  const lookUps: ReadonlyArray<
    readonly [FaultRule.Fault, logins: number, lookUps: number, reason?: string, recovery?: string]
  > = [
    [{ type: "status", status: 401 }, 2, 2],
    [{ type: "expireTokens" }, 2, 2],
    [{ type: "status", status: 503 }, 1, 2],
    [{ type: "reset", at: "beforeResponse" }, 1, 2],
    [{ type: "truncate" }, 1, 2],
    [{ type: "status", status: 400 }, 1, 1, "BadRequest", "Correct"],
    [{ type: "status", status: 403 }, 1, 1, "Forbidden", "Authorize"],
    [{ type: "status", status: 404 }, 1, 1, "NotFound", "Correct"],
    [{ type: "html", status: 200 }, 1, 1, "UndecodableAnswer", "GiveUp"],
    [{ type: "status", status: 200, body: {} }, 1, 1, "UndecodableAnswer", "GiveUp"],
    [{ type: "status", status: 200, body: { id: "" } }, 1, 1, "UndecodableAnswer", "GiveUp"]
  ]
  for (const [fault, logins, environmentLookups, ...end] of lookUps) {
    const what = end.length === 0 ? "recovers from" : "reports"
    it.live(`${what} ${Object.values(fault).map((part) => JSON.stringify(part)).join(" ")} of a look-up`, () =>
      Effect.gen(function*() {
        if (end.length === 0) assert.isString(yield* environmentId)
        else assert.deepStrictEqual<unknown>(told(yield* Effect.flip(environmentId)), end)
        assert.deepInclude(yield* state, { logins, environmentLookups })
        // A failure is not remembered, a success is.
        assert.isString(yield* environmentId)
        assert.deepInclude(yield* state, {
          logins,
          environmentLookups: environmentLookups + (end.length === 0 ? 0 : 1)
        })
      }).pipe(Effect.provide(studio({ faults: [lookUp(fault, 1)] })), impatient))
  }

  it.live("logs a login as one call, with each of its tries", () =>
    Effect.gen(function*() {
      yield* environmentId
      const { entries } = yield* AccessLog.Memory
      const logins = (yield* entries).filter(({ operation }) => operation === "log in")
      assert.deepStrictEqual(
        logins.map(({ attempt, kind, outcome, resendReason }) => [kind, attempt, outcome, resendReason]),
        [
          ["attempt", 1, "failure", undefined],
          ["attempt", 2, "success", "ServiceUnavailable"],
          ["call", 2, "success", undefined]
        ]
      )
      assert.lengthOf(new Set(logins.map(({ call }) => call)), 1)
    }).pipe(
      Effect.provide(
        studio({ faults: [login({ type: "status", status: 503 }, 1)] }).pipe(Layer.provideMerge(AccessLog.layerMemory))
      ),
      impatient
    ))
})
