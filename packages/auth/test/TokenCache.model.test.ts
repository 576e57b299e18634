import { AuthError, type Token, TokenCache, type TokenSource } from "@effect-resilience/auth"
import { Recovery } from "@effect-resilience/errors"
import { RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Fiber, Redacted } from "effect"
import * as fc from "fast-check"
import * as simulation from "./simulation.ts"

const loginMillis = 30.5 // ends between two commands, which come at whole milliseconds
const life = 10_000
const refreshBefore = 2_000
const refreshRetryDelay = 1_500
const maxReloginsPerMinute = 3

/**
 * How a login ends: `declined` is a rejection that is not final, `dies` throws, `interrupts` interrupts itself, and
 * `unusable` gives a token that no header can hold.
 */
type Outcome = "granted" | "unavailable" | "rejected" | "declined" | "dies" | "interrupts" | "unusable"

const outcomes: ReadonlyArray<Outcome> = [
  "granted",
  "granted",
  "granted",
  "unavailable",
  "rejected",
  "declined",
  "dies",
  "interrupts",
  "unusable"
]

/** After `wait` milliseconds: */
type Command =
  & { readonly wait: number }
  & (
    | { readonly op: "call" }
    | { readonly op: "interrupt"; readonly back: number }
    | { readonly op: "invalidate"; readonly back: number }
    | { readonly op: "jump"; readonly millis: number }
    | { readonly op: "logins"; readonly are: Outcome }
    | { readonly op: "rotate" }
    | { readonly op: "forget" }
  )

interface Observed {
  /** What each caller got, in the order of the calls. */
  readonly callers: ReadonlyArray<string>
  /** What each `invalidate` returned. */
  readonly invalidations: ReadonlyArray<boolean>
  readonly logins: number
  readonly cutShort: number
  /** What the status counts. */
  readonly failures: number
}

// Mostly within one login, and near the instants at which something changes.
const wait = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(0, 1, 10, 31) },
  { weight: 2, arbitrary: fc.constantFrom(1_000, 1_500, 8_000, 8_000, 10_000, 30_000, 60_000, 300_000) },
  { weight: 2, arbitrary: fc.nat(3_000) }
)

const op = <Op extends string, Rest extends object>(weight: number, op: Op, rest: fc.Arbitrary<Rest>) => ({
  weight,
  arbitrary: fc.tuple(wait, rest).map(([wait, rest]) => ({ wait, op, ...rest }))
})

const command: fc.Arbitrary<Command> = fc.oneof(
  op(8, "call", fc.constant({})),
  op(3, "interrupt", fc.record({ back: fc.nat(2) })),
  op(6, "invalidate", fc.record({ back: fc.constantFrom(0, 0, 0, 1) })),
  op(1, "jump", fc.record({ millis: fc.integer({ min: -9_000, max: 9_000 }) })),
  op(2, "logins", fc.record({ are: fc.constantFrom<Outcome>(...outcomes) })),
  op(1, "rotate", fc.constant({})),
  op(1, "forget", fc.constant({}))
)

describe("TokenCache", () => {
  it("does what a plain model does, under any schedule", () => {
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 80 }), (commands) => {
        assert.deepStrictEqual(real(commands), model(commands))
      }),
      { numRuns: 3_000, seed: 20_260_101 }
    )
  })
})

const real = (commands: ReadonlyArray<Command>): Observed => {
  const exit = simulation.run(1, (jump) =>
    Effect.gen(function*() {
      let outcome: Outcome = "granted"
      let key = 1
      const record = { logins: 0, cutShort: 0, active: 0 }
      const source: TokenSource.TokenSource = {
        identity: Effect.sync(() => [`key ${key}`]),
        acquire: () =>
          Effect.gen(function*() {
            record.logins += 1
            record.active += 1
            assert.strictEqual(record.active, 1, "two logins at a time")
            yield* Effect.sleep(loginMillis).pipe(Effect.onInterrupt(() =>
              Effect.sync(() => {
                record.cutShort += 1
              })
            ))
            if (outcome === "dies") throw new SyntaxError("a bug of the source")
            if (outcome === "interrupts") return yield* Effect.interrupt
            if (outcome === "rejected") return yield* fail(new AuthError.Rejected({}))
            if (outcome === "declined") return yield* fail(new AuthError.Rejected({ final: false }))
            if (outcome === "unavailable") {
              return yield* fail(new AuthError.Unavailable({ detail: "down", recovery: Recovery.retry }))
            }
            return {
              value: Redacted.make(outcome === "unusable" ? "secret\n" : "secret"),
              expiresAt: (yield* Clock.currentTimeMillis) + life
            }
          }).pipe(
            Effect.ensuring(Effect.sync(() => {
              record.active -= 1
            }))
          )
      }
      const cache = yield* TokenCache.make(source, {
        refreshBefore,
        refreshRetryDelay,
        maxReloginsPerMinute,
        jitter: 0,
        timeout: "1 hour",
        retry: RetryPolicy.noop
      })
      const callers: Array<Fiber.Fiber<Token.Token, AuthError.AuthError>> = []
      const seen = new Map<number, Token.Token>()
      const invalidations: Array<boolean> = []
      for (const command of commands) {
        yield* Effect.sleep(command.wait)
        switch (command.op) {
          case "call":
            callers.push(
              yield* Effect.forkChild(
                Effect.tap(cache.get, (token) => Effect.sync(() => seen.set(token.generation, token)))
              )
            )
            break
          case "interrupt": {
            const caller = callers[callers.length - 1 - command.back]
            if (caller !== undefined) yield* Fiber.interrupt(caller)
            break
          }
          case "invalidate": {
            const token = [...seen.values()].sort((a, b) => b.generation - a.generation)[command.back]
            if (token !== undefined) invalidations.push(yield* cache.invalidate(token))
            break
          }
          case "jump":
            yield* jump(command.millis)
            break
          case "logins":
            outcome = command.are
            break
          case "rotate":
            key += 1
            break
          case "forget":
            yield* cache.forgetFailures
        }
      }
      yield* Effect.sleep(1_000)
      const exits = yield* Effect.forEach(callers, Fiber.await)
      const { failures } = yield* cache.status
      return {
        callers: exits.map(describeExit),
        invalidations,
        logins: record.logins,
        cutShort: record.cutShort,
        failures
      }
    }))
  if (Exit.isFailure(exit)) throw Cause.squash(exit.cause)
  return exit.value
}

const describeExit = (exit: Exit.Exit<Token.Token, AuthError.AuthError>): string => {
  if (Exit.isSuccess(exit)) return `generation ${exit.value.generation}`
  const error = Exit.findErrorOption(exit)
  if (error._tag === "Some") return error.value.reason._tag
  return Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "Defect"
}

const fail = (reason: AuthError.Reason) => Effect.fail(new AuthError.AuthError({ reason }))

/** The same rules without fibers: a list of waiters, and a login that is only the time of its end. */
const model = (commands: ReadonlyArray<Command>): Observed => {
  let now = 0
  let skew = 0
  let outcome: Outcome = "granted"
  let key = 1
  let held: { generation: number; bornAt: number; bornAtWall: number } | undefined
  let login: { endsAt: number; ahead: boolean; key: number; waiting: Set<number> } | undefined
  let rejection: { key: number; pause: number; until: number } | undefined
  let futile = 0
  let kept: { reason: string; until: number } | undefined
  let failures = 0
  let generation = 0
  let pausedUntil = 0
  let honoured: Array<number> = []
  const callers: Array<string> = []
  const seen = new Set<number>()
  const invalidations: Array<boolean> = []
  let logins = 0
  let cutShort = 0

  const succeed = (caller: number) => {
    if (held === undefined) return
    callers[caller] = `generation ${held.generation}`
    seen.add(held.generation)
  }
  const fail = (waiting: Iterable<number>, reason: string) => {
    failures += 1
    pausedUntil = now + refreshRetryDelay
    futile = reason === "Defect" || reason === "MalformedToken" ? futile + 1 : 0
    kept = futile < 2 ? undefined : { reason, until: now + Math.min(1_000 * 2 ** (futile - 2), refreshRetryDelay) }
    for (const caller of waiting) callers[caller] = reason
  }
  const start = (ahead: boolean, waiting: Set<number>) => {
    if (rejection?.key === key && now < rejection.until) return fail(waiting, "Rejected")
    logins += 1
    login = { endsAt: now + loginMillis, ahead, key, waiting }
  }
  const finish = () => {
    if (login === undefined) return
    const { key, waiting } = login
    login = undefined
    if (outcome === "dies") return fail(waiting, "Defect")
    if (outcome === "interrupts") return fail(waiting, "Unavailable")
    const before = rejection?.key === key ? rejection.pause : 150_000
    rejection = undefined
    if (outcome === "rejected" || outcome === "declined") {
      const pause = outcome === "rejected" ? Infinity : Math.min(before * 2, 3_600_000)
      rejection = { key, pause, until: now + pause }
      return fail(waiting, "Rejected")
    }
    if (outcome === "unavailable") return fail(waiting, "Unavailable")
    if (outcome === "unusable") return fail(waiting, "MalformedToken")
    futile = 0
    kept = undefined
    generation += 1
    held = { generation, bornAt: now, bornAtWall: now + skew }
    for (const caller of waiting) succeed(caller)
  }
  const passTo = (time: number) => {
    if (login !== undefined && login.endsAt <= time) {
      now = login.endsAt
      finish()
    }
    now = time
  }
  const call = (caller: number) => {
    callers[caller] = "waiting"
    const joinLogin = () => {
      if (login !== undefined) return login.waiting.add(caller)
      if (kept !== undefined && now < kept.until) return callers[caller] = kept.reason
      return start(false, new Set([caller]))
    }
    if (held === undefined) {
      joinLogin()
      return
    }
    const age = Math.max(now - held.bornAt, now + skew - held.bornAtWall)
    if (age >= life) {
      joinLogin()
      return
    }
    if (age >= life - refreshBefore && login === undefined && now >= pausedUntil) start(true, new Set())
    succeed(caller)
  }
  const invalidate = (of: number): boolean => {
    if (held === undefined) return of === generation
    if (held.generation !== of) return false
    honoured = honoured.filter((at) => now - at < 60_000)
    if (honoured.length >= maxReloginsPerMinute) return false
    honoured.push(now)
    held = undefined
    return true
  }

  for (const command of commands) {
    passTo(now + command.wait)
    switch (command.op) {
      case "call":
        call(callers.length)
        break
      case "interrupt": {
        const caller = callers.length - 1 - command.back
        if (callers[caller] === "waiting" && login !== undefined) {
          callers[caller] = "interrupted"
          login.waiting.delete(caller)
          if (login.waiting.size === 0 && !login.ahead) {
            login = undefined
            cutShort += 1
          }
        }
        break
      }
      case "invalidate": {
        const token = [...seen].sort((a, b) => b - a)[command.back]
        if (token !== undefined) invalidations.push(invalidate(token))
        break
      }
      case "jump":
        skew += command.millis
        break
      case "logins":
        outcome = command.are
        break
      case "rotate":
        key += 1
        break
      case "forget":
        rejection = undefined
        futile = 0
        kept = undefined
        pausedUntil = 0
    }
  }
  passTo(now + 1_000)
  return { callers, invalidations, logins, cutShort, failures }
}
