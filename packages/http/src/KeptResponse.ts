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
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import { release } from "./internal/mappedResponse.ts"

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

  /** The error that a response declares, if any. */
  declared(response: HttpClientResponse.HttpClientResponse): Effect.Effect<unknown> {
    return this.#declared(response)
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

const nothing: Declared = () => Effect.undefined
