/**
 * Gives many callers one token: they share one login, the token is refreshed before it expires and replaced once when it is
 * rejected.
 *
 * **Details**
 *
 * - A fresh token is returned without waiting.
 * - Within `refreshBefore` of the expiry callers still get the token at once, and one refresh runs in the background. If it fails,
 *   the token stays in use, and the next refresh starts no sooner than `refreshRetryDelay` later.
 * - Without a usable token callers wait for one login together. All of them get its failure, and the next caller starts another
 *   login, with three exceptions. Rejected credentials are not tried again until they change, or for a while where the server did
 *   not name them (`AuthError.Rejected`). A login that failed in a way that no policy retries, such as a defect of the source or
 *   a response without a token, is tried again at once only the first time: after that callers get the same failure for 1
 *   second, doubling up to `refreshRetryDelay`. Where the server names a time, callers get the same failure until then, for
 *   `refreshRetryDelay` at most.
 * - A source that throws fails its callers with that defect, and counts as a failure for pauses and events. A source that
 *   interrupts itself is `Unavailable`, worth a retry.
 * - A token that no header can hold is `MalformedToken`.
 * - `Scrubber` removes each token from texts until an hour after its end.
 * - A login continues when some of its waiters are interrupted, and stops when all are.
 * - A login that asks for the token itself waits for itself until `timeout` is over. So give it a client of its own, not the one
 *   that it logs in for.
 * - `invalidate` names the token that was rejected: a late caller with an older one causes no second login.
 * - A token expires by the monotonic clock or by the wall clock, whichever is first. A wall clock that jumps back does not
 *   prolong its life.
 *
 * **Example** (Two callers, one login)
 *
 * ```ts import.meta.vitest
 * import { TokenCache, TokenSource } from "@effect-resilience/auth"
 * import { Effect, Redacted } from "effect"
 *
 * let logins = 0
 * const source = TokenSource.fromEffect(
 *   Effect.sync(() => ({ value: Redacted.make(`token-${++logins}`) })),
 *   { identity: ["example"] }
 * )
 *
 * const generations = Effect.gen(function*() {
 *   const cache = yield* TokenCache.make(source)
 *   const [a, b] = yield* Effect.all([cache.get, cache.get], { concurrency: 2 })
 *   yield* cache.invalidate(a)
 *   const c = yield* cache.get
 *   return [a.generation, b.generation, c.generation]
 * }).pipe(Effect.scoped)
 *
 * await Effect.runPromise(generations) // => [1, 1, 2]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import type * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Field from "@effect-resilience/kernel/Field"
import * as Time from "@effect-resilience/kernel/Time"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as AuthError from "./AuthError.ts"
import type { Grant } from "./Grant.ts"
import { stopAfterRejection } from "./internal/rejection.ts"
import { problemOf } from "./internal/tokenText.ts"
import type { Token } from "./Token.ts"
import type { TokenSource } from "./TokenSource.ts"

/**
 * Keeps the token of one identity, and logs in again before it expires or once it was rejected.
 *
 * - `get`: the token to use now.
 * - `invalidate`: reports that the token was rejected. Returns whether this ended the current token's life: `false` for an older
 *   generation, and once `maxReloginsPerMinute` is reached.
 * - `forgetFailures`: forgets rejected credentials and pauses after failures, so that the next call logs in. For an operator who
 *   knows that the cause is gone.
 * - `status`: for display.
 * - `events`: what happens from now on, for logs and counts. A slow reader misses the oldest.
 *
 * @category services
 * @since 0.1.0
 */
export class TokenCache extends Context.Service<TokenCache, {
  readonly get: Effect.Effect<Token, AuthError.AuthError>
  readonly invalidate: (token: Token) => Effect.Effect<boolean>
  readonly forgetFailures: Effect.Effect<void>
  readonly status: Effect.Effect<Status>
  readonly events: Stream.Stream<Event>
}>()("@effect-resilience/auth/TokenCache") {}

/**
 * How long tokens live, and how logins are made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Of a token whose server does not say; 1 hour by default. Also of a token that has expired already when it arrives: then the
   * clocks differ.
   */
  readonly lifetime?: Duration.Input | undefined
  /** How long before its expiry a token is refreshed; 5 minutes by default, at most half of its life. */
  readonly refreshBefore?: Duration.Input | undefined
  /**
   * The part of `refreshBefore` by which a refresh is delayed at random, so that a fleet does not refresh all at once; 0.2 by
   * default.
   */
  readonly jitter?: number | undefined
  /** The pause after a refresh that failed; 30 seconds by default, longer where the server says so. */
  readonly refreshRetryDelay?: Duration.Input | undefined
  /** Of a whole login, with its retries; 1 minute by default. */
  readonly timeout?: Duration.Input | undefined
  /** For logins that failed and may succeed; `RetryPolicy.standard` by default. */
  readonly retry?: RetryPolicy.RetryPolicy<Timeout.TimedOut> | undefined
  /** Wraps each login with all of its tries, for example to log it as one call; nothing by default. */
  readonly around?: Around | undefined
  /**
   * How many rejected tokens per minute a new login replaces; 10 by default. An API that rejects every token would otherwise
   * cost a login per call.
   */
  readonly maxReloginsPerMinute?: number | undefined
}

type Around = <A, E>(login: Effect.Effect<A, E>) => Effect.Effect<A, E>

/**
 * A look at a cache.
 *
 * - `logins`, `failures`: how many logins succeeded and failed, refreshes included.
 *
 * @category models
 * @since 0.1.0
 */
export interface Status {
  /** `empty` before the first login and after a rejection; `fresh`; `refreshing` within `refreshBefore`; `expired`. */
  readonly state: "empty" | "fresh" | "refreshing" | "expired"
  /** That of the current token, or of the last one; 0 before the first login. */
  readonly generation: number
  /** When the current token expires, in epoch milliseconds; `undefined` without a token. */
  readonly expiresAt: number | undefined
  readonly logins: number
  readonly failures: number
  /** How many callers wait for the login in progress. */
  readonly waiting: number
}

/**
 * What happens in a cache.
 *
 * - `Acquired`: the source gave a token. `ahead` is true for a refresh before the expiry.
 * - `Failed`: it gave none. `reason` is the tag of the `AuthError`'s reason, or `Defect` where the source threw.
 * - `Invalidated`: `invalidate` ended a token's life.
 *
 * Their fields:
 *
 * - `generation`: the number of the token, as in `Token.generation`.
 * - `expiresAt`: when the token expires, in epoch milliseconds.
 * - `took`: how long the login took, with its retries.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | {
    readonly _tag: "Acquired"
    readonly generation: number
    readonly expiresAt: number
    readonly ahead: boolean
    readonly took: Duration.Duration
  }
  | { readonly _tag: "Failed"; readonly reason: AuthError.Reason["_tag"] | "Defect"; readonly ahead: boolean }
  | { readonly _tag: "Invalidated"; readonly generation: number }

/**
 * A cache over a source. Closing the scope stops a login in progress and waits for its finalizers.
 *
 * **Details**
 *
 * Logins run in the context in which the cache is made, not in that of the first caller: they use its loggers, its tracer and
 * its `AttemptBudget`, and no caller's deadline cuts a login that others wait for. The spans of a login form a trace of their
 * own, with a link to the span of the call that started it.
 *
 * Throws `RangeError` for a jitter outside 0 to 1, for negative counts and durations, and for an option that does not exist.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  source: TokenSource,
  { around = unwrapped, retry = RetryPolicy.standard, ...options }: Options = {}
): Effect.Effect<TokenCache["Service"], never, Scope.Scope> => {
  const settings = Field.read("TokenCache", fields, options)
  return Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const events = yield* Effect.acquireRelease(PubSub.sliding<Event>(256), PubSub.shutdown)
    const cache = new Cache(stopAfterRejection(source), settings, retry, around, context, (event) => {
      PubSub.publishUnsafe(events, event)
    })
    yield* Effect.addFinalizer(() => cache.close)
    return TokenCache.of({
      get: cache.get,
      invalidate: (token) => Effect.sync(() => cache.invalidate(token)),
      forgetFailures: cache.forgetFailures,
      status: Effect.sync(() => cache.status()),
      events: Stream.fromPubSub(events)
    })
  })
}

/**
 * The cache as a service.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(
  source: Effect.Effect<TokenSource, E, R>,
  options?: Options
): Layer.Layer<TokenCache, E, Exclude<R, Scope.Scope>> =>
  Layer.effect(TokenCache, Effect.flatMap(source, (source) => make(source, options)))

const millis = (byDefault: Duration.Input): Field.Field<Duration.Input | undefined, number> =>
  Field.map(Field.withDefault(Field.duration(), byDefault), Duration.toMillis)

const fields = {
  lifetime: /* @__PURE__ */ millis("1 hour"),
  refreshBefore: /* @__PURE__ */ millis("5 minutes"),
  jitter: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 1 }), 0.2),
  refreshRetryDelay: /* @__PURE__ */ millis("30 seconds"),
  timeout: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "1 minute"),
  maxReloginsPerMinute: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, infinite: true }), 10)
} satisfies Field.Fields<Omit<Options, "around" | "retry">>

type Settings = Field.Settings<typeof fields>

const unwrapped: Around = (login) => login

type Resume = (result: Effect.Effect<Token, AuthError.AuthError>) => void

interface Held {
  readonly token: Token
  /** Ages, in milliseconds, at which it is refreshed and at which it ends. */
  readonly refreshAge: number
  readonly endAge: number
  /** When it was obtained, by both clocks. */
  readonly bornAt: number
  readonly bornAtWall: number
}

interface Acquired {
  readonly grant: Grant
  readonly bornAt: number
  readonly took: Duration.Duration
  readonly random: number
}

/** The failure that callers get until `until`, by the monotonic clock. */
interface Kept {
  readonly exit: Exit.Exit<never, AuthError.AuthError>
  readonly until: number
}

interface Flight {
  readonly ahead: boolean
  readonly waiters: Set<Resume>
  fiber: Fiber.Fiber<Acquired, AuthError.AuthError> | undefined
}

class Cache {
  readonly #source: TokenSource
  readonly #settings: Settings
  readonly #retry: RetryPolicy.RetryPolicy<Timeout.TimedOut>
  readonly #around: Around
  readonly #context: Context.Context<never>
  readonly #publish: (event: Event) => void
  readonly #clock: Clock.Clock

  #held: Held | undefined
  #flight: Flight | undefined
  #rejected: Redacted.Redacted | undefined
  #generation = 0
  #logins = 0
  #failures = 0
  #pausedUntil = Number.NEGATIVE_INFINITY
  #kept: Kept | undefined
  #futile = 0
  #closed = false
  readonly #rejections: Array<number> = []
  readonly #running = new Set<Fiber.Fiber<unknown, unknown>>()

  constructor(
    source: TokenSource,
    settings: Settings,
    retry: RetryPolicy.RetryPolicy<Timeout.TimedOut>,
    around: Around,
    context: Context.Context<never>,
    publish: (event: Event) => void
  ) {
    this.#source = source
    this.#settings = settings
    this.#retry = retry
    this.#around = around
    this.#context = context
    this.#publish = publish
    this.#clock = Context.get(context, Clock.Clock)
  }

  readonly get: Effect.Effect<Token, AuthError.AuthError> = Effect.suspend(() => {
    const held = this.#usable()
    return held === undefined ? this.#wait : Effect.succeed(held.token)
  })

  #usable(): Held | undefined {
    const held = this.#held
    if (held === undefined) return undefined
    const now = this.#nowMillis()
    const age = this.#ageOf(held, now)
    if (age >= held.endAge) return undefined
    if (age >= held.refreshAge && this.#mayRefresh(now)) this.#begin(true, new Set())
    // A refresh that needs no waiting is done already.
    return this.#held ?? held
  }

  readonly #wait = Effect.callback<Token, AuthError.AuthError>((resume) => {
    if (this.#closed) return resume(Effect.interrupt)
    const kept = this.#kept
    if (kept !== undefined && this.#nowMillis() < kept.until) return resume(kept.exit)
    const flight = this.#flight ?? this.#begin(false, new Set([resume]))
    flight.waiters.add(resume)
    return Effect.sync(() => {
      flight.waiters.delete(resume)
      if (flight.waiters.size === 0 && !flight.ahead) this.#abandon(flight)
    })
  })

  invalidate(token: Token): boolean {
    const held = this.#held
    if (held === undefined) return token.generation === this.#generation
    if (held.token.generation !== token.generation) return false
    const now = this.#nowMillis()
    while (this.#rejections[0] !== undefined && now - this.#rejections[0] >= minute) this.#rejections.shift()
    if (this.#rejections.length >= this.#settings.maxReloginsPerMinute) return false
    this.#rejections.push(now)
    this.#held = undefined
    this.#rejected = token.value
    this.#publish({ _tag: "Invalidated", generation: token.generation })
    return true
  }

  status(): Status {
    const held = this.#held
    const age = held === undefined ? 0 : this.#ageOf(held, this.#nowMillis())
    return {
      state: held === undefined
        ? "empty"
        : age >= held.endAge
        ? "expired"
        : age >= held.refreshAge
        ? "refreshing"
        : "fresh",
      generation: this.#generation,
      expiresAt: held?.token.expiresAt,
      logins: this.#logins,
      failures: this.#failures,
      waiting: this.#flight?.waiters.size ?? 0
    }
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#closed = true
    const flight = this.#flight
    if (flight !== undefined) {
      this.#abandon(flight)
      for (const resume of flight.waiters) resume(Effect.interrupt)
    }
    return Fiber.interruptAll(this.#running)
  })

  #begin(ahead: boolean, waiters: Set<Resume>): Flight {
    const flight: Flight = this.#flight = { ahead, waiters, fiber: undefined }
    // Not in the context of the first caller, whose deadline, operation and span are not those of the other waiters.
    const fiber = Effect.runForkWith(this.#linkedContext())(this.#acquire(flight))
    flight.fiber = fiber
    // It was abandoned in its first steps.
    if (this.#flight !== flight) this.#abandon(flight)
    this.#running.add(fiber)
    fiber.addObserver((exit) => {
      this.#running.delete(fiber)
      this.#settle(flight, exit)
    })
    return flight
  }

  // The login is a trace of its own. A link leads to the call that started it.
  #linkedContext(): Context.Context<never> {
    const caller = Fiber.getCurrent()
    const span = caller === undefined ? undefined : Context.getOrUndefined(caller.context, Tracer.ParentSpan)
    if (span === undefined || Context.get(span.annotations, Tracer.DisablePropagation)) return this.#context
    const links = Context.get(this.#context, References.TracerSpanLinks)
    return Context.add(this.#context, References.TracerSpanLinks, [...links, { span, attributes: {} }])
  }

  #abandon(flight: Flight): void {
    if (this.#flight === flight) this.#flight = undefined
    flight.fiber?.interruptUnsafe()
  }

  #settle(flight: Flight, exit: Exit.Exit<Acquired, AuthError.AuthError>): void {
    if (this.#flight !== flight) return // abandoned: no caller waits
    this.#flight = undefined
    const result = this.#resultOf(flight, exit)
    for (const resume of flight.waiters) resume(result)
  }

  // A defect here reaches the waiters too: they never hang.
  #resultOf(
    { ahead }: Flight,
    exit: Exit.Exit<Acquired, AuthError.AuthError>
  ): Exit.Exit<Token, AuthError.AuthError> {
    try {
      if (Exit.isSuccess(exit)) return Exit.succeed(this.#hold(exit.value, ahead))
      const failed = Exit.failCause(exit.cause)
      this.#fail(failed, ahead)
      return failed
    } catch (defect) {
      return Exit.die(defect)
    }
  }

  #endOf(grant: Grant, now: number): number {
    const stated = grant.expiresAt !== undefined && grant.expiresAt > now
    return stated ? grant.expiresAt : now + this.#settings.lifetime
  }

  #hold({ bornAt, grant, random, took }: Acquired, ahead: boolean): Token {
    const { jitter, refreshBefore } = this.#settings
    const now = this.#clock.currentTimeMillisUnsafe()
    const expiresAt = this.#endOf(grant, now)
    const life = expiresAt - now
    const token: Token = {
      value: grant.value,
      expiresAt,
      generation: ++this.#generation,
      attributes: grant.attributes ?? {},
      shared: grant.shared === true
    }
    this.#logins += 1
    this.#rejected = undefined
    this.#succeeded()
    this.#held = {
      token,
      // One that never ends is never refreshed, even where `refreshBefore` is infinite.
      refreshAge: life === Infinity ? life : life - Math.min(refreshBefore, life / 2) * (1 - jitter * random),
      endAge: life,
      bornAt,
      bornAtWall: now
    }
    // Who hears of it may ask for it at once.
    this.#publish({ _tag: "Acquired", generation: token.generation, expiresAt, ahead, took })
    return token
  }

  #fail(exit: Exit.Exit<never, AuthError.AuthError>, ahead: boolean): void {
    const { refreshRetryDelay } = this.#settings
    this.#failures += 1
    const found = Exit.findErrorOption(exit)
    const error = found._tag === "Some" ? found.value : undefined
    const recovery = Recovery.of(error)
    const after = recovery._tag === "Retry" && recovery.after !== undefined ? Duration.toMillis(recovery.after) : 0
    const now = this.#nowMillis()
    this.#pausedUntil = now + Math.max(refreshRetryDelay, after)
    // The source has no other token: it may return the same one again.
    if (error?.reason._tag === "StillUnauthorized") this.#rejected = undefined
    this.#futile = recovery._tag === "Retry" || (error !== undefined && judgedAnew.has(error.reason._tag))
      ? 0
      : this.#futile + 1
    const pause = this.#futile < 2 ? after : 1_000 * 2 ** (this.#futile - 2)
    this.#kept = pause === 0 ? undefined : { exit, until: now + Math.min(pause, refreshRetryDelay) }
    this.#publish({ _tag: "Failed", reason: error?.reason._tag ?? "Defect", ahead })
  }

  readonly forgetFailures: Effect.Effect<void> = Effect.suspend(() => {
    this.#succeeded()
    this.#pausedUntil = Number.NEGATIVE_INFINITY
    return this.#source.forgetFailures ?? Effect.void
  })

  #succeeded(): void {
    this.#futile = 0
    this.#kept = undefined
  }

  #acquire(flight: Flight): Effect.Effect<Acquired, AuthError.AuthError> {
    return Effect.gen({ self: this }, function*() {
      const startedAt = this.#nowMillis()
      const rejected = flight.ahead ? this.#held?.token.value : this.#rejected
      const grant = yield* Effect.suspend(() => this.#source.acquire(rejected)).pipe(
        Effect.catchCauseIf(Cause.hasInterruptsOnly, () => interruptedItself),
        Effect.tap(({ value }) => {
          const problem = problemOf(Redacted.value(value))
          return problem === undefined ? Effect.void : malformed(problem)
        }),
        RetryPolicy.retry(this.#retry),
        Deadline.withDeadline(this.#settings.timeout),
        Effect.catch((error) => error._tag === "AuthError" ? Effect.fail(error) : tooSlow(error.message)),
        this.#around
      )
      const { expiresAt: end } = grant
      const scrubber = yield* Scrubber.Current
      scrubber.register(grant.value, end === undefined || end === Infinity ? undefined : { end, clock: this.#clock })
      const bornAt = this.#nowMillis()
      return { grant, bornAt, took: Duration.millis(bornAt - startedAt), random: yield* Random.next }
    })
  }

  #nowMillis(): number {
    return Time.monotonicMillis(this.#clock)
  }

  #mayRefresh(now: number): boolean {
    return this.#flight === undefined && !this.#closed && now >= this.#pausedUntil
  }

  #ageOf(held: Held, now: number): number {
    return Math.max(now - held.bornAt, this.#clock.currentTimeMillisUnsafe() - held.bornAtWall)
  }
}

// A deadline leaves no history. Retries further out need one, to see that a failure was retried already.
const tooSlow = (detail: string): Effect.Effect<never, AuthError.AuthError> =>
  RetryPolicy.retry(
    Effect.fail(new AuthError.AuthError({ reason: new AuthError.Unavailable({ detail, recovery: Recovery.retry }) })),
    RetryPolicy.noop
  )

const interruptedItself: Effect.Effect<never, AuthError.AuthError> = /* @__PURE__ */ Effect.suspend(() =>
  Effect.fail(
    new AuthError.AuthError({
      reason: new AuthError.Unavailable({ detail: "the source of tokens was interrupted", recovery: Recovery.retry })
    })
  )
)

const malformed = (problem: string): Effect.Effect<never, AuthError.AuthError> =>
  Effect.fail(new AuthError.AuthError({ reason: new AuthError.MalformedToken({ problem }) }))

/** Failures of sources that make no request until something changes. */
const judgedAnew: ReadonlySet<AuthError.Reason["_tag"]> = /* @__PURE__ */ new Set([
  "Rejected",
  "NotConfigured",
  "StillUnauthorized"
])

const minute = 60_000
