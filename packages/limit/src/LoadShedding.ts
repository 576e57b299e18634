/**
 * Rejects requests that a server cannot take.
 *
 * **Why**
 *
 * A server that accepts more than it can serve is too late for all of its clients. A 503 at once for the excess keeps the
 * other responses quick, and tells well-behaved clients to come back later.
 *
 * **Details**
 *
 * - Requests run under a `ConcurrencyLimit`. Beyond it they get 503 with `Retry-After`, those of a priority below its
 *   share last.
 * - A request whose deadline has passed gets 504 at once, since its client no longer waits. The deadline comes from its
 *   headers or from the fiber (see `DeadlineMiddleware`).
 *
 * **Gotchas**
 *
 * Not in the package's index, since it loads `effect/http`: import it from `@effect-resilience/limit/LoadShedding`.
 *
 * **Example** (One request at a time)
 *
 * ```ts import.meta.vitest
 * import { ConcurrencyLimit, LimitAlgorithm } from "@effect-resilience/limit"
 * import * as LoadShedding from "@effect-resilience/limit/LoadShedding"
 * import { Effect } from "effect"
 * import { HttpServerRequest, HttpServerResponse } from "effect/http"
 *
 * const program = Effect.gen(function*() {
 *   const limit = yield* ConcurrencyLimit.make({ algorithm: LimitAlgorithm.fixed(1) })
 *   const app = HttpServerResponse.text("served").pipe(
 *     Effect.succeed,
 *     Effect.delay("10 millis"),
 *     LoadShedding.withLoadShedding(LoadShedding.make({ limit, retryAfter: "2 seconds" }))
 *   )
 *   const responses = yield* Effect.all([app, app], { concurrency: "unbounded" })
 *   return responses.map(({ headers, status }) => [status, headers["retry-after"]])
 * })
 *
 * const request = HttpServerRequest.fromWeb(new Request("http://localhost/"))
 * await Effect.runPromise(Effect.provideService(program, HttpServerRequest.HttpServerRequest, request))
 * // => [[200, undefined], [503, "2"]]
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as DeadlineHeader from "@effect-resilience/deadline/DeadlineHeader"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as ConcurrencyLimit from "./ConcurrencyLimit.ts"
import * as Outcome from "./Outcome.ts"
import * as Priority from "./Priority.ts"

/**
 * Load shedding for one app, with the name and the snapshot of its limit. `rejected` counts the requests that came too late
 * as well.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoadShedding extends
  Policy.Policy<
    never,
    ConcurrencyLimit.Snapshot,
    HttpServerResponse.HttpServerResponse,
    HttpServerRequest.HttpServerRequest
  >
{}

/**
 * How to shed load.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * How much runs at once. Make it with `classify: LoadShedding.outcomeOf`, so that a 503 or 504 of the app counts against it.
   */
  readonly limit: ConcurrencyLimit.ConcurrencyLimit
  /** When to come back, rounded up to seconds; default 1 second. */
  readonly retryAfter?: Duration.Input | undefined
  /** The priority of a request; default that of the fiber. */
  readonly priority?: ((request: HttpServerRequest.HttpServerRequest) => string) | undefined
  /** The headers that hold a deadline; default `DeadlineHeader.defaultNames`. */
  readonly deadlineNames?: DeadlineHeader.Names | undefined
}

/**
 * The options as data, but for `limit`, which is an instance.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  retryAfter: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ finite: true }), "1 second"),
  priority: /* @__PURE__ */ Field.optional(
    /* @__PURE__ */ Field.fn<(request: HttpServerRequest.HttpServerRequest) => string>()
  ),
  deadlineNames: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.struct({ grpc: Field.text, millis: Field.text }),
    DeadlineHeader.defaultNames
  )
} satisfies Field.Fields<Omit<Options, "limit">>

/**
 * Makes load shedding for `HttpRouter`, `HttpServer.serve` and any other effect that makes a response. Throws `RangeError`
 * where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ limit, ...options }: Options): LoadShedding => {
  const { deadlineNames, priority, retryAfter } = Field.read("LoadShedding", fields, options)
  const seconds = Math.ceil(Duration.toSeconds(retryAfter))
  const shed = Effect.succeed(HttpServerResponse.empty({ status: 503, headers: { "retry-after": String(seconds) } }))
  const late: PolicyEvent.Rejecting = { name: limit.name, kind: "LoadShedding", rejected: 0 }
  return {
    name: limit.name,
    kind: late.kind,
    snapshot: Effect.map(limit.snapshot, (now) => ({ ...now, rejected: now.rejected + late.rejected })),
    admitUnsafe: undefined,
    execute: <A, E, R>(app: Effect.Effect<A, E, R>) =>
      Effect.flatMap(
        HttpServerRequest.HttpServerRequest,
        (request) =>
          Effect.withFiber((fiber): Effect.Effect<A | HttpServerResponse.HttpServerResponse, E, R> => {
            const asked = DeadlineHeader.read(request.headers, deadlineNames)
            if ((asked !== undefined && !Duration.isPositive(asked)) || Deadline.remainingMillisUnsafe(fiber) <= 0) {
              PolicyEvent.rejectUnsafe(late, fiber.context, "DeadlinePassed")
              return tooLate
            }
            // Once the app runs, an error of this kind is its own: that of a limit for something it calls.
            let began = false
            const run = Effect.suspend(() => {
              began = true
              return app
            })
            // A server handles requests uninterruptibly, so that only the route inside learns that its client has left. Here one
            // may wait before that. The app itself can be interrupted as far as it could without this.
            const waiting = Effect.uninterruptibleMask((restore) =>
              Effect.interruptible(limit.execute(Effect.uninterruptible(restore(run))))
            )
            const limited = Effect.catchIf(
              waiting,
              (error): error is ConcurrencyLimit.LimitReached =>
                !began && error instanceof ConcurrencyLimit.LimitReached,
              () => shed
            )
            return priority === undefined ? limited : Priority.withPriority(limited, priority(request))
          })
      )
  }
}

/**
 * Sheds nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: LoadShedding = /* @__PURE__ */ Policy.noop<ConcurrencyLimit.Snapshot>({
  limit: Infinity,
  running: 0,
  waiting: 0,
  rejected: 0
})

/**
 * Runs an app with load shedding.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withLoadShedding: {
  (
    shedding: LoadShedding
  ): <A, E, R>(
    app: Effect.Effect<A, E, R>
  ) => Effect.Effect<A | HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest>
  <A, E, R>(
    app: Effect.Effect<A, E, R>,
    shedding: LoadShedding
  ): Effect.Effect<A | HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest>
} = Policy.withPolicy

/**
 * What a response of the app says about its load: 503 and 504 that it is too much, errors and defects as `Outcome.of`.
 *
 * @category classification
 * @since 0.1.0
 */
export const outcomeOf: Outcome.Classify = (exit) =>
  exit._tag === "Success" && HttpServerResponse.isHttpServerResponse(exit.value) &&
    (exit.value.status === 503 || exit.value.status === 504)
    ? Outcome.failure()
    : Outcome.of(exit)

const tooLate = /* @__PURE__ */ Effect.succeed(HttpServerResponse.empty({ status: 504 }))
