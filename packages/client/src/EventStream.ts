/**
 * Server-sent events as a stream, which goes on after a break where the server can continue.
 *
 * **Why**
 *
 * An event stream that breaks looks like one that has ended, and one that is opened anew begins from the start or in the middle. A
 * completion of a language model that is asked for again after half a sentence is another completion, and is paid twice.
 *
 * **Details**
 *
 * - A stream that breaks, falls silent or ends is opened again with `Last-Event-ID`, if the server sent ids. The waits are those of a
 *   `RetryPolicy`, and not shorter than the server's `retry:`; where that is longer than the policy's `maxRetryAfter`, the stream fails.
 * - Without ids it is opened again only while nothing was delivered. After that a break is `PartsDelivered`; its `delivered` counts
 *   events. `resume` says otherwise.
 * - It ends with a 204, after the event that `last` names, and without ids where its body ends. With `last`, a body that ends before is a
 *   break: a proxy that closes a connection does not complete a sentence.
 * - An event that was not sent to its end is dropped, as the standard says. `Sse` of `effect/encoding` reads the events.
 * - Each request passes the client: its breaker, its limits, its retries. The first one that fails is not repeated here. A POST is never
 *   sent again, unless its `Operation` says that it is idempotent.
 *
 * **Gotchas**
 *
 * - What limits a stream is the silence in it, the client's `timeouts.idle`, which counts comments too. Give the operation its own: twice
 *   the time between two heartbeats. `timeouts.total` ends with the headers. The transport may have a limit of its own: `bodyTimeout` of
 *   `@effect-resilience/node/Connections` is a minute, that of Node's `fetch` five.
 * - A finite stream with ids is asked to continue after its end, as in browsers. Name its `last` event, or end with a 204.
 * - After a break an event can come twice, where the server counts ids otherwise than this says. An id counts from the next event on:
 *   one that comes alone, without data, and before a break is not sent back.
 *
 * **Example** (A subscription that survives a break)
 *
 * ```ts import.meta.vitest
 * import { EventStream, ResilientClient } from "@effect-resilience/client"
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect, Layer, Stream } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const server = HttpClient.make((request) =>
 *   Effect.sync(() => {
 *     const after = Number(request.headers["last-event-id"] ?? 0)
 *     const body = `id: ${after + 1}\ndata: tick ${after + 1}\n\n`
 *     return HttpClientResponse.fromWeb(request, new Response(body, { headers: { "content-type": "text/event-stream" } }))
 *   })
 * )
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* ResilientClient.make({ name: "ticks", baseUrl: "https://ticks.example.com" })
 *   const events = EventStream.stream(client, "/ticks", { policy: RetryPolicy.make({ backoff: Backoff.immediate }) })
 *   return yield* events.pipe(Stream.take(3), Stream.map(({ data }) => data), Stream.runCollect)
 * })
 *
 * await Effect.runPromise(Effect.provide(program, Layer.succeed(HttpClient.HttpClient, server)))
 * // => ["tick 1", "tick 2", "tick 3"]
 * ```
 *
 * @stability rests on effect/encoding, effect/http
 * @since 0.1.0
 */
import type { PartsDelivered } from "@effect-resilience/errors/PartsDelivered"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Operation from "@effect-resilience/http/Operation"
import * as Bytes from "@effect-resilience/kernel/Bytes"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import { executeStream, type Position, requestOf, resuming } from "./internal/resuming.ts"

/**
 * How to read an event stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Whether an event is the last one, such as the `[DONE]` of language models. It is delivered, and the stream ends. */
  readonly last?: ((event: Sse.Event) => boolean) | undefined
  /**
   * After which breaks it is opened again, if its method is idempotent. `withId` (default): where the server sent ids, or
   * nothing was delivered. `always`: without ids too, for feeds that may miss events. `never`.
   */
  readonly resume?: "withId" | "always" | "never" | undefined
  /**
   * How often in a row without an event, and after which waits; default 10 times, exponential from 1 second to 30 seconds with
   * full jitter, and not where the server asks for more than an hour (`retry:`, `Retry-After`). `times: Infinity` with
   * `maxRetryAfter: "Infinity"` never gives up, as in browsers. Each event begins the count anew.
   */
  readonly policy?: RetryPolicy.RetryPolicy | undefined
  /** Continues a stream of an earlier program. */
  readonly lastEventId?: string | undefined
  /** The longest event, in characters; default 1 Mi. */
  readonly maxEventSize?: number | undefined
}

/**
 * An event stream is not one, or did not end as it should.
 *
 * - `NotAnEventStream`: the response is of another kind; `got` says which.
 * - `EventTooLarge`: an event is longer than `maxEventSize`.
 * - `Ended`: the body ended, and the stream had not.
 *
 * @category errors
 * @since 0.1.0
 */
export class EventStreamError extends ErrorMessage.TaggedError("EventStreamError")<{
  /** Which of these happened. */
  readonly reason: "NotAnEventStream" | "EventTooLarge" | "Ended"
  readonly got: string
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return this.reason === "Ended" ? Recovery.retry : Recovery.giveUp
  }
  override get message(): string {
    return `${texts[this.reason]} (${this.got}).`
  }
}

const texts: { readonly [R in EventStreamError["reason"]]: string } = {
  NotAnEventStream: "The response is no event stream. Check that the address is the API's own",
  EventTooLarge: "An event is longer than this client accepts",
  Ended: "The event stream ended before its last event"
}

/**
 * The events of a request, across breaks where the stream can be continued. The `id` of an event is the last that the server sent.
 *
 * @category streaming
 * @since 0.1.0
 */
export const stream = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  request: string | URL | HttpClientRequest.HttpClientRequest,
  options: Options = {}
): Stream.Stream<Sse.Event, E | EventStreamError | PartsDelivered<E | EventStreamError>, R> => {
  const asked = HttpClientRequest.setHeaders(requestOf(request), {
    accept: "text/event-stream",
    "cache-control": "no-store"
  })
  return Stream.suspend(() => {
    const events = new Events(asked, options)
    const open = Stream.unwrap(Effect.withFiber((fiber) => {
      events.repeatable = Operation.isIdempotent(fiber.getRef(Operation.Current), asked)
      return Effect.flatMap(executeStream(client, events.next()), (response) => {
        const got = events.accept(response)
        return got === undefined
          ? Effect.succeed(events.read<E>(response))
          : Effect.andThen(
            Bytes.discard(response.stream),
            Effect.fail(new EventStreamError({ reason: "NotAnEventStream", got }))
          )
      })
    }))
    return resuming<Sse.Event, E | EventStreamError, R>(open, events, {
      policy: options.policy ?? standard,
      resumes: () => events.resumes(),
      recovery: (recovery) => events.notBefore(recovery)
    })
  })
}

const standard = /* @__PURE__ */ RetryPolicy.make({
  times: 10,
  backoff: { base: "1 second", cap: "30 seconds" },
  maxRetryAfter: "1 hour"
})

const maxEventSize = 1_048_576

class Events implements Position {
  opened = false
  delivered = 0
  repeatable = false
  private lastEventId: string
  private retryMillis = 0
  private ended = false
  private readonly asked: HttpClientRequest.HttpClientRequest
  private readonly options: Options

  constructor(asked: HttpClientRequest.HttpClientRequest, options: Options) {
    this.asked = asked
    this.options = options
    this.lastEventId = options.lastEventId ?? ""
  }

  next(): HttpClientRequest.HttpClientRequest {
    return this.lastEventId === ""
      ? this.asked
      : HttpClientRequest.setHeader(this.asked, "last-event-id", asBytes(this.lastEventId))
  }

  /** What came instead of an event stream. */
  accept({ headers, status }: HttpClientResponse.HttpClientResponse): string | undefined {
    if (status === 204) this.ended = true
    else if (status !== 200) return `status ${status}`
    else if (!isEventStream.test(headers["content-type"] ?? "")) return headers["content-type"] ?? "no content type"
    this.opened = true
    return undefined
  }

  /** Whether it is opened again after a break. */
  resumes(): boolean {
    return this.repeatable && this.options.resume !== "never" && (this.delivered === 0 || this.continues())
  }

  notBefore(recovery: Recovery.Recovery): Recovery.Recovery {
    if (recovery._tag !== "Retry" || this.retryMillis === 0) return recovery
    const after = recovery.after === undefined ? 0 : Duration.toMillis(recovery.after)
    return { ...recovery, after: Duration.millis(Math.max(after, this.retryMillis)) }
  }

  /** The events of a response that was accepted. */
  read<E>(response: HttpClientResponse.HttpClientResponse): Stream.Stream<Sse.Event, E | EventStreamError> {
    if (this.ended) return Stream.empty
    const { last } = this.options
    let parsed: Array<Sse.Event | EventStreamError> = []
    const parser = Sse.makeParser((event) => {
      if (event._tag === "Retry") this.retryMillis = Duration.toMillis(event.duration)
      else parsed.push(event)
    }, { maxEventSize: this.options.maxEventSize ?? maxEventSize })
    // A mapped client's bodies fail with its own errors, which the type of a response cannot say.
    const body = response.stream as Stream.Stream<Uint8Array, never> as Stream.Stream<Uint8Array, E>
    return Stream.decodeText(body).pipe(
      Stream.map((text) => {
        parsed = []
        const got = parser.feed(text)?.message
        if (got !== undefined) parsed.push(new EventStreamError({ reason: "EventTooLarge", got }))
        return parsed
      }),
      Stream.flattenIterable,
      Stream.mapEffect((event) => event._tag === "Event" ? Effect.succeed(this.delivers(event)) : Effect.fail(event)),
      last === undefined ? (events) => events : Stream.takeUntil((event) => (this.ended = last(event))),
      Stream.concat(Stream.suspend(() =>
        this.ended || (last === undefined && !this.continues())
          ? Stream.empty
          : Stream.fail(new EventStreamError({ reason: "Ended", got: `after ${this.delivered} events` }))
      ))
    )
  }

  /** Whether it goes on where a response has ended. */
  private continues(): boolean {
    if (!this.repeatable || this.options.resume === "never") return false
    return this.options.resume === "always" || this.lastEventId !== ""
  }

  // An id holds until the next one, in further responses too.
  private delivers(event: Sse.Event): Sse.Event {
    this.delivered++
    if (event.id === undefined) return this.lastEventId === "" ? event : { ...event, id: this.lastEventId }
    this.lastEventId = event.id
    return event
  }
}

// The standard sends an id in UTF-8. The characters of a header stand for bytes.
const asBytes = (text: string): string =>
  Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("")

const isEventStream = /^\s*text\/event-stream\s*(?:;|$)/i
