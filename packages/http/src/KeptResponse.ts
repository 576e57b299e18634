/**
 * Keeps the response that `ErrorMapping` turns into an error, for callers that read responses of any status themselves.
 *
 * **Why**
 *
 * Policies judge errors: a 503 must be a failure to them, or nothing is repeated and no circuit opens. A generated client, or
 * code that was written for `fetch`, reads the response to that 503 itself. With a keeper it is both: the policies see the
 * error, the caller gets the response.
 *
 * **Details**
 *
 * A keeper holds the last response of one call: up to 1 MiB of its body is read in the attempt; what is longer continues. The
 * response that it held before is released.
 *
 * A caller that knows the API can say what a response declares. An error with a `Recovery` of its own decides then, in place of
 * the status, and the outcome of a POST is known: the server has told it.
 *
 * **Example** (A response in place of its error)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping, KeptResponse } from "@effect-resilience/http"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const fake = HttpClient.make((request) =>
 *   Effect.succeed(HttpClientResponse.fromWeb(request, new Response("sold out", { status: 409 })))
 * )
 * const client = ErrorMapping.mapErrors(fake)
 *
 * const call = KeptResponse.keeping((kept) =>
 *   Effect.catch(client.get("https://shop.example.com/orders"), (error) => kept.insteadOf(error) ?? Effect.fail(error))
 * )
 * const text = Effect.flatMap(call, (response) => response.text)
 * await Effect.runPromise(text) // => "sold out"
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Bytes from "@effect-resilience/kernel/Bytes"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import { beginningOf, readBeginning, release } from "./internal/mappedResponse.ts"

/**
 * The last response of a call that was turned into an error.
 *
 * @category models
 * @since 0.1.0
 */
export class Keeper {
  /** What reads successful responses further, in the attempt. */
  readonly settle: Settle | undefined
  readonly #declared: Declared
  #last: { readonly error: unknown; readonly response: HttpClientResponse.HttpClientResponse } | undefined

  constructor({ declared = nothing, settle }: Options) {
    this.#declared = declared
    this.settle = settle
  }

  /**
   * Reads a response that becomes an error, fails with the error that `errorOf` makes of it, and holds both. A response that broke off
   * is held too: reading its body says so.
   */
  reject<E>(
    response: HttpClientResponse.HttpClientResponse,
    errorOf: ErrorOf<E>,
    { idle, mapError, textMillis }: Reading
  ): Effect.Effect<never, E> {
    const readable = readBeginning(response, { maxBytes: Bytes.maxValueBytes, millis: textMillis, idle }, mapError)
    return Effect.flatMap(readable, (kept) =>
      Effect.flatMap(this.#declared(kept), (declared) => {
        const recovery = recoveryOf(declared, response.status)
        return Effect.flatMap(
          errorOf(beginningOf(kept), recovery, Recovery.isRecoverable(declared)),
          (error) => Effect.andThen(this.keep(error, kept), Effect.fail(error))
        )
      }))
  }

  /** Holds a response in place of the one before. */
  keep(error: unknown, response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> {
    return Effect.suspend(() => {
      const previous = this.#last
      this.#last = { error, response }
      return previous === undefined ? Effect.void : release(previous.response)
    })
  }

  /** The response, whatever the call failed with after it. */
  get last(): HttpClientResponse.HttpClientResponse | undefined {
    return this.#last?.response
  }

  /** The response that became this error; `undefined` for other errors. */
  insteadOf(error: unknown): Effect.Effect<HttpClientResponse.HttpClientResponse> | undefined {
    const last = this.#last
    return last === undefined || last.error !== error ? undefined : Effect.succeed(last.response)
  }
}

/**
 * Makes the error of a response.
 *
 * - `beginning`: what was read of its body, or can be.
 * - `declared`: the recovery of the error that the response declares, if any.
 * - `isKnown`: whether that error says itself what to do. Then the outcome of the request is known.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorOf<out E> {
  (
    beginning: HttpClientResponse.HttpClientResponse["stream"],
    declared?: Recovery.Recovery,
    isKnown?: boolean
  ): Effect.Effect<E>
}

/**
 * How a response is read that becomes an error.
 *
 * - `mapError`: maps the errors of its body.
 * - `textMillis`: how long its text is waited for.
 * - `idle`: the limit between two pieces of its body, and until a rest of it is read; none by default.
 * - `millis`: of that limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reading {
  readonly mapError: (error: HttpClientError.HttpClientError) => HttpClientError.HttpClientError
  readonly textMillis: number
  readonly idle?: {
    readonly millis: number
    /** What passing the limit becomes. */
    readonly error: () => HttpClientError.HttpClientError
  } | undefined
}

/**
 * Reads the error that a response declares; `undefined` where it declares none. It may read the body.
 *
 * @category models
 * @since 0.1.0
 */
export interface Declared {
  (response: HttpClientResponse.HttpClientResponse): Effect.Effect<unknown>
}

/**
 * Reads a successful response further, for protocols that have their failures in the body. What it fails with is judged by the
 * policies; the call must not let it pass to its caller.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settle {
  (
    response: HttpClientResponse.HttpClientResponse,
    kept: Keeper
  ): Effect.Effect<HttpClientResponse.HttpClientResponse, unknown>
}

/**
 * How a response is read within its attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Reads the errors of responses that are turned into errors; none by default. */
  readonly declared?: Declared | undefined
  /** Reads successful responses further; not at all by default. */
  readonly settle?: Settle | undefined
}

/**
 * The keeper of the call that runs; `undefined` where none wants the response.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Keeper | undefined> = /* @__PURE__ */ Context.Reference<Keeper | undefined>(
  "@effect-resilience/http/KeptResponse/Current",
  { defaultValue: () => undefined }
)

/**
 * Runs a call with a keeper of its own. A response that the call does not give back is released at its end.
 *
 * @category combinators
 * @since 0.1.0
 */
export const keeping = <E, R>(
  call: (kept: Keeper) => Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>,
  options: Options = {}
): Effect.Effect<HttpClientResponse.HttpClientResponse, E, R> =>
  Effect.suspend(() => {
    const keeper = new Keeper(options)
    return Effect.onExit(Effect.provideService(call(keeper), Current, keeper), (exit) => {
      const { last } = keeper
      return last === undefined || (exit._tag === "Success" && exit.value === last) ? Effect.void : release(last)
    })
  })

// Other errors that are declared say no more than their status.
const recoveryOf = (declared: unknown, status: number): Recovery.Recovery | undefined => {
  if (Recovery.isRecoverable(declared)) return declared[Recovery.symbol]()
  return Predicate.hasProperty(declared, "retryAfter") && Duration.isDuration(declared.retryAfter)
    ? Recovery.fromStatus(status, declared.retryAfter)
    : undefined
}

const nothing: Declared = () => Effect.undefined
