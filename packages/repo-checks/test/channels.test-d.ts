/**
 * What each combinator adds to the error and the requirement channel of an effect, and what it leaves out. `npm run check` compiles this
 * file; nothing runs it. A line that should not compile says so, and fails if it does.
 */
import { Authenticated, type AuthError, TokenCache, type TokenSource } from "@effect-resilience/auth"
import { Chaos, Fault } from "@effect-resilience/chaos"
import { ResilientClient } from "@effect-resilience/client"
import { Deadline, type StreamTimeout, Timeout } from "@effect-resilience/deadline"
import type { ApiError } from "@effect-resilience/errors"
import { Repetition } from "@effect-resilience/errors"
import { ErrorMapping, HttpRetry } from "@effect-resilience/http"
import { Bulkhead, CircuitBreaker, Coalesce, ConcurrencyLimit, Fallback, Throttle } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import { type Part, Pipeline } from "@effect-resilience/pipeline"
import { AttemptBudget, Hedge, RetryPolicy } from "@effect-resilience/retry"
import { Batch, Uploader, type UploadError, type UploadTarget } from "@effect-resilience/upload"
import { type Context, type Effect, type Scope, Stream } from "effect"
import type { HttpClient } from "effect/http"
import type { RateLimiter } from "effect/persistence"
import { expectTypeOf } from "vitest"

interface Account {
  readonly id: string
}
interface NoAccount {
  readonly _tag: "NoAccount"
}
interface Database {
  readonly _: unique symbol
}
declare const call: Effect.Effect<Account, NoAccount, Database>

// ---- Retry: no error of its own, unless attempts are limited in time.

expectTypeOf(RetryPolicy.retry(call, RetryPolicy.standard)).toEqualTypeOf<
  Effect.Effect<Account, NoAccount, Database>
>()
expectTypeOf(RetryPolicy.retry(call, RetryPolicy.make({ attemptTimeout: "1 second" }))).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | Timeout.TimedOut, Database>
>()
expectTypeOf(RetryPolicy.make({ times: 3 })).toEqualTypeOf<RetryPolicy.RetryPolicy>()
expectTypeOf(AttemptBudget.withAttemptBudget(call, AttemptBudget.noop)).toEqualTypeOf<typeof call>()
expectTypeOf(AttemptBudget.withdraw).toEqualTypeOf<Effect.Effect<void, AttemptBudget.BudgetExhausted>>()

// ---- Hedge: nothing, and only what is declared idempotent.

declare const hedge: Hedge.Hedge
expectTypeOf(Hedge.withHedge(Hedge.idempotent(call), hedge)).toEqualTypeOf<typeof call>()
// @ts-expect-error -- an effect that its caller has not declared idempotent
Hedge.withHedge(call, hedge)

// ---- Limits of time.

expectTypeOf(Timeout.withTimeout(call, "1 second")).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | Timeout.TimedOut, Database>
>()
declare const cached: Effect.Effect<"cached", "NoCache", Scope.Scope>
expectTypeOf(Timeout.withTimeoutOrElse(call, { duration: "1 second", orElse: () => cached })).toEqualTypeOf<
  Effect.Effect<Account | "cached", NoAccount | "NoCache", Database | Scope.Scope>
>()
expectTypeOf(Deadline.withDeadline(call, "1 second")).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | Deadline.DeadlineExceeded, Database>
>()
expectTypeOf(Deadline.demand("1 second")).toEqualTypeOf<Effect.Effect<void, Deadline.DeadlineExceeded>>()
expectTypeOf<StreamTimeout.StreamTimedOut["limit"]>().toEqualTypeOf<"first" | "idle" | "total">()

// ---- Fallback: what it falls back to; the error of the call stays, since `when` may leave it.

declare const orCached: Fallback.Fallback<"cached", "NoCache", Scope.Scope>
expectTypeOf(Fallback.withFallback(call, orCached)).toEqualTypeOf<
  Effect.Effect<Account | "cached", NoAccount | "NoCache", Database | Scope.Scope>
>()

// ---- Limits: each its own rejection, and nothing to require. Pacers need the limiter only where they are made.

declare const breaker: CircuitBreaker.CircuitBreaker
declare const bulkhead: Bulkhead.Bulkhead
declare const limit: ConcurrencyLimit.ConcurrencyLimit
declare const throttle: Throttle.Throttle
declare const pacer: Pacer.Pacer
expectTypeOf(CircuitBreaker.withCircuitBreaker(call, breaker)).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | CircuitBreaker.CircuitOpen, Database>
>()
expectTypeOf(Bulkhead.withBulkhead(call, bulkhead)).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | Bulkhead.BulkheadFull, Database>
>()
expectTypeOf(bulkhead.acquire()).toEqualTypeOf<Effect.Effect<void, Bulkhead.BulkheadFull, Scope.Scope>>()
expectTypeOf(ConcurrencyLimit.withConcurrencyLimit(call, limit)).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | ConcurrencyLimit.LimitReached, Database>
>()
expectTypeOf(Throttle.withThrottle(call, throttle)).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | Throttle.Throttled, Database>
>()
expectTypeOf(Pacer.withPacer(call, pacer)).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | Pacer.PaceExceeded, Database>
>()
expectTypeOf(Pacer.make({ limit: 1, window: "1 second" })).toEqualTypeOf<
  Effect.Effect<Pacer.Pacer, never, RateLimiter.RateLimiter>
>()
declare const sharing: Coalesce.Coalesce<Account, NoAccount>
expectTypeOf(Coalesce.withCoalesce(call, sharing, "key")).toEqualTypeOf<typeof call>()

// ---- Faults of tests.

expectTypeOf(Chaos.make({ faults: [Fault.fail(() => "down" as const)] })).toExtend<
  Effect.Effect<Chaos.Chaos<never, unknown, never, "down">>
>()

// ---- Pipeline: the rejections of the parts that it names, and of no others.

const ledger = Pipeline.make({ name: "ledger", retry: { times: 3 }, circuitBreaker: {}, bulkhead: { permits: 1 } })
declare const pipeline: Effect.Success<typeof ledger>
expectTypeOf(pipeline.execute(call)).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | CircuitBreaker.CircuitOpen | Bulkhead.BulkheadFull, Database>
>()
expectTypeOf(Pipeline.withPipeline(call, pipeline, orCached)).toEqualTypeOf<
  Effect.Effect<
    Account | "cached",
    NoAccount | "NoCache" | CircuitBreaker.CircuitOpen | Bulkhead.BulkheadFull,
    Database | Scope.Scope
  >
>()
declare const audit: Part.Wrap<"NotAudited", Scope.Scope>
const audited = Pipeline.make({ name: "ledger", attemptTimeout: "1 second" }, {
  around: [Pipeline.around("call", "audit", audit)]
})
declare const auditing: Effect.Success<typeof audited>
expectTypeOf(auditing.execute(call)).toEqualTypeOf<
  Effect.Effect<Account, NoAccount | Timeout.TimedOut | "NotAudited", Database | Scope.Scope>
>()
// @ts-expect-error -- no part has this key
Pipeline.make({ name: "ledger", retries: { times: 3 } })
// @ts-expect-error -- no option of the part has this name
Pipeline.make({ name: "ledger", retry: { time: 3 } })

// ---- Requests: transport errors become errors of the API, and a retry without that does not compile.

declare const http: HttpClient.HttpClient
const mapped = ErrorMapping.mapErrors(http)
expectTypeOf(mapped).toEqualTypeOf<HttpClient.HttpClient.With<ApiError.ApiError>>()
expectTypeOf(HttpRetry.retry(mapped, RetryPolicy.standard)).toEqualTypeOf<
  HttpClient.HttpClient.With<ApiError.ApiError | HttpRetry.BodyNotReplayable>
>()
// @ts-expect-error -- the errors of this client are not mapped
HttpRetry.retry(http, RetryPolicy.standard)
expectTypeOf(Repetition.allow(call, "always")).toEqualTypeOf<typeof call>()

// ---- Client: the errors of the parts that the description names.

const baseUrl = "https://ledger.example.com"
const plain = ResilientClient.make({ name: "ledger", baseUrl, pipeline: { retry: { times: 1 } } })
const guarded = ResilientClient.make({
  name: "ledger",
  baseUrl,
  pipeline: { circuitBreaker: {} }
})
type ErrorsOf<C> = C extends Effect.Effect<ResilientClient.ResilientClient<infer E>, never, HttpClient.HttpClient> ? E
  : "another type"
expectTypeOf<ErrorsOf<typeof plain>>().toEqualTypeOf<
  ApiError.ApiError | Deadline.DeadlineExceeded | HttpRetry.BodyNotReplayable | ResilientClient.ForeignUrl
>()
expectTypeOf<Exclude<ErrorsOf<typeof guarded>, ErrorsOf<typeof plain>>>().toEqualTypeOf<CircuitBreaker.CircuitOpen>()
expectTypeOf<Effect.Services<typeof guarded>>().toEqualTypeOf<HttpClient.HttpClient>()

// ---- Auth: a login's failure is an `AuthError`; a cache needs a scope, which its layer closes.

declare const source: TokenSource.TokenSource
expectTypeOf(TokenCache.make(source)).toEqualTypeOf<
  Effect.Effect<TokenCache.TokenCache["Service"], never, Scope.Scope>
>()
declare const cache: Context.Service.Shape<typeof TokenCache.TokenCache>
expectTypeOf(cache.get).toExtend<Effect.Effect<unknown, AuthError.AuthError>>()
declare const options: Authenticated.Options
expectTypeOf(Authenticated.withTokens(mapped, cache, options)).toEqualTypeOf<
  HttpClient.HttpClient.With<ApiError.ApiError | AuthError.AuthError>
>()

// ---- Uploads: the errors of the target, of the API and of the upload itself; a batch has none.

declare const target: UploadTarget.UploadTarget<string, Account, NoAccount, Database>
expectTypeOf(Uploader.upload(target, "gl.csv")).toEqualTypeOf<
  Effect.Effect<Uploader.Report<Account>, NoAccount | ApiError.ApiError | UploadError.UploadError, Database>
>()
expectTypeOf<Effect.Error<ReturnType<typeof batch>>>().toEqualTypeOf<never>()
const batch = () => Batch.run(target, ["gl.csv"])
expectTypeOf(Stream.runDrain(Uploader.events(target, "gl.csv"))).toExtend<
  Effect.Effect<void, NoAccount | ApiError.ApiError | UploadError.UploadError, Database>
>()
