/**
 * Runs any stream through a policy, or a whole pipeline, from its beginning to its end.
 *
 * **Why**
 *
 * A policy around the effect that opens a stream sees it open and nothing else: the bulkhead gives its permit back while the stream
 * runs, the breaker counts a success for a stream that breaks off after a second, and no policy retries. Around the effect that consumes
 * it, a retry consumes the beginning twice.
 *
 * **Details**
 *
 * - The policy runs from the first demand to the end: permits are held as long, and a breaker, a limit or a budget judges the end.
 * - A consumer that leaves early interrupts it, which says nothing about the dependency.
 * - A retry opens the stream again only while nothing was delivered. After that a failure is `PartsDelivered`, with what it failed with.
 * - All elements come from one attempt, whatever the policy does: the first that delivers is the only one. Others, of a hedge or of a
 *   policy that repeats regardless, deliver nothing and end as that one ends.
 * - The stream is pulled when its consumer asks, and not ahead.
 *
 * **Gotchas**
 *
 * A time limit of the policy, such as `attemptTimeout` or `deadline` of a pipeline, is one for the whole stream, its slow consumer
 * included. Leave them out for long streams, and limit the time between elements with `StreamTimeout`, inside.
 *
 * **Example** (A stream in a pipeline)
 *
 * ```ts import.meta.vitest
 * import { StreamTimeout } from "@effect-resilience/deadline"
 * import { Pipeline, PolicyStream } from "@effect-resilience/pipeline"
 * import { Effect, Stream } from "effect"
 * import { HttpClientError, HttpClientRequest } from "effect/http"
 *
 * const request = HttpClientRequest.get("https://ledger.example.com/rows")
 * const broken = new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request }) })
 *
 * let opened = 0
 * const rows = Stream.suspend(() => ++opened < 3 ? Stream.fail(broken) : Stream.make("first", "second"))
 *
 * const program = Effect.gen(function*() {
 *   const ledger = yield* Pipeline.make({
 *     name: "ledger",
 *     bulkhead: { permits: 4 },
 *     retry: { times: 2, backoff: { base: 1 } },
 *     circuitBreaker: { tripPolicy: { consecutive: 5 } }
 *   })
 *   return yield* rows.pipe(
 *     StreamTimeout.withTimeouts({ first: "10 seconds", idle: "1 minute" }),
 *     PolicyStream.withPolicy(ledger),
 *     Stream.runCollect
 *   )
 * })
 *
 * await Effect.runPromise(program) // => ["first", "second"]
 * opened // => 3
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as PartsDelivered from "@effect-resilience/errors/PartsDelivered"
import type * as Policy from "@effect-resilience/kernel/Policy"
import type * as Cause from "effect/Cause"
import { dual } from "effect/Function"
import type * as Stream from "effect/Stream"
import * as handoff from "./internal/handoff.ts"

/**
 * What a stream in a policy fails with: as the stream or the policy did while nothing was delivered, `PartsDelivered` afterwards.
 * That has a `TimeoutError` where the policy interrupted the attempt that delivered, and tried again.
 *
 * @category errors
 * @since 0.1.0
 */
export type StreamError<E, P> = E | P | PartsDelivered.PartsDelivered<E | P | Cause.TimeoutError>

/**
 * Runs a stream through a policy from its beginning to its end. See the module for what that means.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPolicy: {
  <P, S, R2 = never>(
    policy: Policy.Policy<P, S, never, R2>
  ): <A, E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, StreamError<E, P>, R | R2>
  <A, E, R, P, S, R2 = never>(
    self: Stream.Stream<A, E, R>,
    policy: Policy.Policy<P, S, never, R2>
  ): Stream.Stream<A, StreamError<E, P>, R | R2>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R, P, S, R2>(
    self: Stream.Stream<A, E, R>,
    policy: Policy.Policy<P, S, never, R2>
  ): Stream.Stream<A, StreamError<E, P>, R | R2> => handoff.run(self, policy)
)
