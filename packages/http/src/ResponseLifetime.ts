/**
 * Judges a call by the end of its response's body, and not by its headers.
 *
 * **Why**
 *
 * An `HttpClient` returns when the headers are there. A retry, a circuit breaker, a bulkhead and a log around it see a success
 * then, although most of the work has yet to be done: the permit goes to the next call while the body arrives, a server whose
 * bodies break never opens the circuit, and the read that broke off is not repeated.
 *
 * **Details**
 *
 * The call runs in a fiber of its own, whose attempts end with the bodies of their responses. The caller gets the response with its
 * headers, as ever.
 *
 * - `text`, `json`, `arrayBuffer` and the others wait for the whole body. One that breaks off fails its attempt, and what is
 *   around it decides: a retry repeats the request, and the caller gets the new body.
 * - `stream` yields the bytes as they arrive. Before its first piece a failure is repeated in the same way. After it, the
 *   stream fails with the reason `PartsDelivered`, which no policy repeats.
 * - A deadline inside of `judgedToEnd` bounds what waits for the whole body. It is suspended while a stream is read, whose limit is
 *   `idle`.
 * - A stream that is left early ends its attempt as a success, an interrupted one as an interruption. Either aborts the request.
 * - Up to 64 KiB are read before they are asked for. So a response that is never read ends like any other if it is short.
 * - A longer one that is not read for 100 ms ends its attempt and its call, as a success: a caller that wants the status only holds
 *   no permit for it. It can be read later, once: then nothing is repeated, and the policies do not learn how it ended. After the
 *   `idle` time of `ErrorMapping` it is discarded.
 * - What measures how long a call takes, such as rules about slow calls, percentiles of hedges and adaptive limits, counts to the
 *   headers where the body is read as a stream or left unread: the reader's pace is no fault of the server's.
 * - What `ErrorMapping` reads itself, and responses without a body, need none of this.
 *
 * **When to use**
 *
 * Put `judgedToEnd` around the whole call, outside of its policies and logs, and `attempts` around `ErrorMapping` with the span and
 * the line of an attempt. `@effect-resilience/client` does both.
 *
 * **Gotchas**
 *
 * - What stands between the two sees a response after its body was taken, and cannot read it.
 *
 * **Example** (A body that breaks off is asked for again)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping, ResponseLifetime } from "@effect-resilience/http"
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * let requests = 0
 * const breaking = HttpClient.make((request) =>
 *   Effect.sync(() => {
 *     const whole = ++requests > 1
 *     const body = new ReadableStream({
 *       async pull(controller) {
 *         await Promise.resolve()
 *         controller.enqueue(new TextEncoder().encode(whole ? "all of it" : "a part"))
 *         if (whole) controller.close()
 *         else controller.error(new TypeError("network error"))
 *       }
 *     })
 *     return HttpClientResponse.fromWeb(request, new Response(body))
 *   })
 * )
 * const client = breaking.pipe(
 *   ErrorMapping.mapErrors(),
 *   ResponseLifetime.attempts,
 *   HttpClient.transformResponse(RetryPolicy.retry(RetryPolicy.make({ backoff: Backoff.immediate }))),
 *   HttpClient.transformResponse(ResponseLifetime.judgedToEnd)
 * )
 *
 * const text = Effect.flatMap(client.get("https://api.example.com/report"), (response) => response.text)
 * await Effect.runPromise(text) // => "all of it"
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import { withinAttempts } from "./internal/call.ts"
import { Lifetime } from "./internal/lifetime.ts"
import * as KeptResponse from "./KeptResponse.ts"

/** The call that runs. It is not an inner call's, such as a login's: only `attempts` passes it on. */
const Current = /* @__PURE__ */ Context.Reference<Lifetime | undefined>(
  "@effect-resilience/http/ResponseLifetime/Current",
  { defaultValue: () => undefined }
)

/**
 * Returns a response with its headers, and keeps what is inside running until its body has ended.
 *
 * @category combinators
 * @since 0.1.0
 */
export const judgedToEnd = <E, R>(
  self: Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>
): Effect.Effect<HttpClientResponse.HttpClientResponse, E, R> =>
  Effect.callback((resume) => {
    const caller = Fiber.getCurrent()
    // The effect that is returned needs R, so the fiber that runs it has R.
    const context = (caller?.context ?? Context.empty()) as Context.Context<R>
    const kept = Context.get(context, KeptResponse.Current)
    let forget: (() => void) | undefined
    const lifetime: Lifetime = new Lifetime({
      call: () => call,
      handOver: (response) => {
        forget = caller?.addObserver((exit) => {
          if (Exit.hasInterrupts(exit)) lifetime.abandon()
        })
        resume(Effect.succeed(response))
      },
      onEnd: () => forget?.(),
      deadline: Context.get(context, Deadline.Current),
      kept
    })
    // A call within this one, such as one for a signature, does not give its response to the keeper.
    const inside = Context.add(context, KeptResponse.Current, undefined)
    const call = Direct.startUnsafe(self, Context.add(inside, Current, lifetime))
    // Where it has ended already, a response that was handed over has to hear of that too.
    call.addObserver((exit) => {
      lifetime.end(exit)
      resume(exit)
    })
    return Direct.interrupt(call)
  })

/**
 * Lets the requests of a client end with the bodies of their responses, where `judgedToEnd` is around them. Without it, they are
 * as they were.
 *
 * @category middleware
 * @since 0.1.0
 */
export const attempts = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  withinAttempts(client, undefined, (context) => Context.get(context, Current))
