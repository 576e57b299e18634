import { type Connection, RawHttp } from "@effect-resilience/chaos"
import * as RawServer from "@effect-resilience/chaos/RawServer"
import { EventStream, Parts, ResilientClient } from "@effect-resilience/client"
import { ApiError, PartsDelivered, Recovery } from "@effect-resilience/errors"
import { Operation } from "@effect-resilience/http"
import { Backoff, RetryEvent, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Layer, Option, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as FastCheck from "fast-check"
import * as v8 from "node:v8"
import * as vm from "node:vm"

v8.setFlagsFromString("--expose_gc")
const collect: () => void = vm.runInNewContext("gc")

/** What the server sends for a request, before it ends or breaks the connection. */
interface Script {
  readonly status?: number | undefined
  readonly type?: string | undefined
  readonly text?: string | undefined
  /** Whether the body is complete, as HTTP sees it. */
  readonly whole?: boolean | undefined
}

const respond = ({ status = 200, text = "", type = "text/event-stream", whole = true }: Script) => {
  if (status !== 200) return RawHttp.response({ status })
  const bytes = new TextEncoder().encode(text).length
  const chunk = bytes === 0 ? "" : `${bytes.toString(16)}\r\n${text}\r\n`
  const headers = { "content-type": type, "transfer-encoding": "chunked", connection: "close" }
  return RawHttp.response({ headers, contentLength: "none", body: `${chunk}${whole ? "0\r\n\r\n" : ""}` })
}

const immediately = RetryPolicy.make({ times: 3, backoff: Backoff.immediate })

const serve = Effect.fnUntraced(function*(script: (request: RawHttp.Request, nth: number) => Script) {
  const requests: Array<RawHttp.Request> = []
  const server = yield* RawServer.make((connection: Connection.Connection) =>
    Effect.gen(function*() {
      const request = yield* RawHttp.requests(connection)
      if (request === undefined) return
      requests.push(request)
      yield* connection.send(respond(script(request, requests.length - 1)))
      yield* connection.end
    })
  )
  const client = yield* ResilientClient.make({
    name: "events",
    baseUrl: server.url,
    pipeline: { retry: { times: 1, backoff: { base: 0 } }, bulkhead: { permits: 1 } }
  }, { parts: Parts }).pipe(Effect.provide(FetchHttpClient.layer))
  return { client, requests, lastIds: () => requests.map(({ headers }) => headers["last-event-id"]) }
})

const read = <E>(stream: Stream.Stream<{ readonly data: string }, E>) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const exit = yield* Effect.exit(Stream.runForEach(stream, ({ data }) => Effect.sync(() => seen.push(data))))
    const failure = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined
    return { seen, failure, whole: Exit.isSuccess(exit) }
  })

const withIds = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `id: ${from + i}\ndata: ${from + i}\n\n`).join("")

const inTurn = (...scripts: readonly [Script, ...Array<Script>]) => (_: unknown, nth: number): Script =>
  scripts[nth] ?? scripts[scripts.length - 1] ?? scripts[0]

const options: EventStream.Options = { policy: immediately }

describe("EventStream", () => {
  it.live("goes on after a break with the last id, and ends with a 204", () =>
    Effect.gen(function*() {
      const { client, lastIds, requests } = yield* serve(inTurn(
        { text: withIds(1, 3), whole: false },
        // An event that is cut off in the middle is dropped, and comes again.
        { text: `${withIds(4, 1)}id: 5\ndata: cut`, whole: false },
        { text: withIds(5, 1) },
        { status: 204 }
      ))
      const { seen, whole } = yield* read(EventStream.stream(client, "/events", options))
      assert.deepStrictEqual(seen, ["1", "2", "3", "4", "5"])
      assert.isTrue(whole)
      assert.deepStrictEqual(lastIds(), [undefined, "3", "4", "5"])
      assert.deepInclude(requests[0]?.headers, { accept: "text/event-stream", "cache-control": "no-store" })
    }).pipe(Effect.scoped))

  it.live("keeps an id until the next one, and forgets it when the server says so", () =>
    Effect.gen(function*() {
      const kept = yield* serve(inTurn(
        { text: "id: 7\ndata: a\n\n", whole: false },
        { text: "data: b\n\n", whole: false },
        { status: 204 }
      ))
      const events = yield* Stream.runCollect(EventStream.stream(kept.client, "/events", options))
      assert.deepStrictEqual(events.map(({ id }) => id), ["7", "7"])
      assert.deepStrictEqual(kept.lastIds(), [undefined, "7", "7"])
      const reset = yield* serve(inTurn({ text: "id: 7\ndata: a\n\nid:\ndata: b\n\n", whole: false }))
      const { failure } = yield* read(EventStream.stream(reset.client, "/events", options))
      assert.instanceOf(failure, PartsDelivered.PartsDelivered)
      assert.strictEqual(reset.requests.length, 1)
    }).pipe(Effect.scoped))

  it.live("sends an id in UTF-8, as browsers do", () =>
    Effect.gen(function*() {
      const { client, lastIds } = yield* serve(inTurn({ text: "id: é✓\ndata: a\n\n", whole: false }, { status: 204 }))
      const { seen, whole } = yield* read(EventStream.stream(client, "/", options))
      assert.deepStrictEqual([seen, whole], [["a"], true])
      const last = lastIds()[1] ?? ""
      assert.include(["é✓", Buffer.from("é✓").toString("latin1")], last)
    }))

  it.live("tells that parts were delivered where the server sent no ids", () =>
    Effect.gen(function*() {
      const script = inTurn({ text: "data: half\n\ndata: a sen\n\n", whole: false })
      const { client, requests } = yield* serve(script)
      const { failure, seen } = yield* read(EventStream.stream(client, "/events", options))
      assert.deepStrictEqual(seen, ["half", "a sen"])
      assert.instanceOf(failure, PartsDelivered.PartsDelivered)
      assert.deepInclude(failure, { delivered: 2 })
      assert.instanceOf(failure instanceof PartsDelivered.PartsDelivered && failure.failure, ApiError.ApiError)
      assert.deepStrictEqual(Recovery.of(failure), Recovery.verify)
      assert.strictEqual(requests.length, 1)
      const feed = yield* serve(inTurn({ text: "data: a\n\n", whole: false }, { text: "data: b\n\n", whole: false }, {
        status: 204
      }))
      const always = yield* read(EventStream.stream(feed.client, "/events", { ...options, resume: "always" }))
      assert.deepStrictEqual(always, { seen: ["a", "b"], failure: undefined, whole: true })
    }).pipe(Effect.scoped))

  it.live("takes a body that ends before the last event for a break, although HTTP calls it complete", () =>
    Effect.gen(function*() {
      const { client } = yield* serve(inTurn({ text: "data: half\n\n" }))
      const last = (event: { readonly data: string }) => event.data === "[DONE]"
      const { failure } = yield* read(EventStream.stream(client, "/events", { ...options, last }))
      assert.instanceOf(failure, PartsDelivered.PartsDelivered)
      assert.deepInclude(failure instanceof PartsDelivered.PartsDelivered ? failure.failure : {}, { reason: "Ended" })
      // Without `last`, the end of the body is the end.
      assert.isTrue((yield* read(EventStream.stream(client, "/events", options))).whole)
      const done = yield* serve(inTurn({ text: "data: whole\n\ndata: [DONE]\n\ndata: more\n\n", whole: false }))
      const whole = yield* read(EventStream.stream(done.client, "/events", { ...options, last }))
      assert.deepStrictEqual(whole, { seen: ["whole", "[DONE]"], failure: undefined, whole: true })
    }).pipe(Effect.scoped))

  it.live("is never opened again where it must not be, and ends as its body does", () =>
    Effect.gen(function*() {
      const never: EventStream.Options = { ...options, resume: "never" }
      const cut = yield* serve(inTurn({ text: withIds(1, 1), whole: false }))
      const { failure, seen } = yield* read(EventStream.stream(cut.client, "/events", never))
      assert.deepStrictEqual(seen, ["1"])
      assert.instanceOf(failure, PartsDelivered.PartsDelivered)
      const whole = yield* serve(inTurn({ text: withIds(1, 2) }))
      assert.deepStrictEqual(yield* read(EventStream.stream(whole.client, "/events", never)), {
        seen: ["1", "2"],
        failure: undefined,
        whole: true
      })
      const posted = EventStream.stream(whole.client, HttpClientRequest.post("/events"), options)
      assert.isTrue((yield* read(posted)).whole)
      assert.deepStrictEqual([cut.requests.length, whole.requests.length], [1, 2])
    }).pipe(Effect.scoped))

  for (
    const [type, is] of [
      ["text/event-stream", true],
      ["text/event-stream;charset=utf-8", true],
      [" Text/Event-Stream ; charset=utf-8", true],
      ["text/event-streams", false],
      ["text/event-stream-2;a=b", false],
      ["application/text/event-stream", false]
    ] as const
  ) {
    it.effect(`takes ${JSON.stringify(type)} for ${is ? "an" : "no"} event stream`, () =>
      Effect.gen(function*() {
        const server = HttpClient.make((request) =>
          Effect.succeed(HttpClientResponse.fromWeb(
            request,
            Object.defineProperty(new Response("data: a\n\n"), "headers", { value: new Map([["content-type", type]]) })
          ))
        )
        const { failure, seen } = yield* read(EventStream.stream(server, "https://x.test/", options))
        assert.deepStrictEqual(seen, is ? ["a"] : [])
        if (!is) {
          assert.strictEqual(
            failure instanceof EventStream.EventStreamError ? failure.message : failure,
            `The response is no event stream. Check that the address is the API's own (${type}).`
          )
        }
      }))
  }

  it.live("never sends a POST again, unless its operation is idempotent", () =>
    Effect.gen(function*() {
      for (const script of [{ text: "", whole: false }, { text: "" }, { text: withIds(1, 1), whole: false }]) {
        const { client, requests } = yield* serve(inTurn(script))
        const post = HttpClientRequest.post("/completions")
        const { whole } = yield* read(
          EventStream.stream(client, post, { ...options, resume: "always", last: () => false })
        )
        assert.isFalse(whole)
        assert.strictEqual(requests.length, 1)
      }
      const { client, requests } = yield* serve(inTurn({ text: "" }, { text: "data: [DONE]\n\n" }))
      const asked = EventStream.stream(client, HttpClientRequest.post("/search"), { ...options, last: () => true })
      yield* Stream.runDrain(asked).pipe(
        Operation.within({ name: "search", endpoint: "/search", idempotent: true })
      )
      assert.strictEqual(requests.length, 2)
    }).pipe(Effect.scoped))

  it.live("fails with what is no event stream, once, and with a status as the client does", () =>
    Effect.gen(function*() {
      const page = yield* serve(inTurn({ type: "text/html", text: "<html>" }))
      const { failure } = yield* read(EventStream.stream(page.client, "/events", options))
      assert.deepInclude(failure, { _tag: "EventStreamError", reason: "NotAnEventStream", got: "text/html" })
      assert.strictEqual(page.requests.length, 1)
      const down = yield* serve(inTurn({ status: 503 }))
      assert.deepInclude((yield* read(EventStream.stream(down.client, "/events", options))).failure, {
        _tag: "ApiError"
      })
      assert.strictEqual(down.requests.length, 2)
    }).pipe(Effect.scoped))

  it.live("bounds an event, and delivers those before it", () =>
    Effect.gen(function*() {
      const { client, requests } = yield* serve(
        inTurn({ text: `${withIds(1, 1)}data: ${"x".repeat(99)}`, whole: false })
      )
      const { failure, seen } = yield* read(EventStream.stream(client, "/events", { ...options, maxEventSize: 50 }))
      assert.deepStrictEqual(seen, ["1"])
      assert.deepInclude(failure instanceof PartsDelivered.PartsDelivered ? failure.failure : {}, {
        reason: "EventTooLarge"
      })
      assert.strictEqual(requests.length, 1)
    }).pipe(Effect.scoped))

  it.live("gives up after as many reconnections without an event as the policy allows", () =>
    Effect.gen(function*() {
      const { client, requests } = yield* serve(inTurn({ text: withIds(1, 1) }, { text: ": hello\n\n" }))
      const { failure } = yield* read(EventStream.stream(client, "/events", options))
      assert.instanceOf(failure, PartsDelivered.PartsDelivered)
      assert.strictEqual(requests.length, 1 + 3)
    }).pipe(Effect.scoped))

  it.effect("waits as long as the server says, or longer, and continues an earlier stream", () =>
    Effect.gen(function*() {
      const ids: Array<string | undefined> = []
      const server = HttpClient.make((request) =>
        Effect.sync(() => {
          ids.push(request.headers["last-event-id"])
          const id = Number(request.headers["last-event-id"]) + 1
          const body = `retry: 7000\nid: ${id}\ndata: ${id}\n\n`
          const headers = { "content-type": "text/event-stream; charset=utf-8" }
          return HttpClientResponse.fromWeb(request, new Response(body, { headers }))
        })
      )
      const client = yield* ResilientClient.make({ name: "events", baseUrl: "https://events.example.com" }).pipe(
        Effect.provide(Layer.succeed(HttpClient.HttpClient, server))
      )
      const waits: Array<number> = []
      const observer: RetryEvent.Observer = (event) =>
        Effect.sync(() => event._tag === "Retrying" && waits.push(Duration.toMillis(event.delay)))
      const fiber = yield* EventStream.stream(client, "/events", { ...options, lastEventId: "41" }).pipe(
        Stream.take(3),
        Stream.map(({ data }) => data),
        Stream.runCollect,
        RetryEvent.observe(observer),
        Effect.forkChild
      )
      yield* TestClock.adjust("13 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["42", "43", "44"])
      assert.deepStrictEqual(ids, ["41", "42", "43"])
      assert.deepStrictEqual(waits, [7000, 7000])
    }))

  it.effect("waits for two minutes where the server says so, by default, and not for two hours", () =>
    Effect.gen(function*() {
      const bodies = ["retry: 120000\nid: 1\ndata: 1\n\n", "retry: 7200000\nid: 2\ndata: 2\n\n"]
      const server = HttpClient.make((request) =>
        Effect.sync(() =>
          HttpClientResponse.fromWeb(
            request,
            new Response(bodies.shift(), { headers: { "content-type": "text/event-stream" } })
          )
        )
      )
      const client = yield* ResilientClient.make({ name: "events", baseUrl: "https://events.example.com" }).pipe(
        Effect.provide(Layer.succeed(HttpClient.HttpClient, server))
      )
      const fiber = yield* Effect.forkChild(read(EventStream.stream(client, "/events")))
      yield* TestClock.adjust("3 minutes")
      const { failure, seen } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, ["1", "2"])
      assert.instanceOf(failure, PartsDelivered.PartsDelivered)
    }))

  it.live("holds no response but the last, however often it was opened again", () =>
    Effect.gen(function*() {
      const { client } = yield* serve((_, nth) => ({ text: withIds(nth, 1) }))
      const responses: Array<WeakRef<object>> = []
      const noting = HttpClient.tap(client, (response) => Effect.sync(() => responses.push(new WeakRef(response))))
      const events = EventStream.stream(noting, "/events", options)
      const held = Effect.promise(async () => {
        // What was made in this turn of the event loop is kept to its end.
        await new Promise((resolve) => setImmediate(resolve))
        collect()
        return responses.filter((response) => response.deref() !== undefined).length
      })
      const last = yield* events.pipe(
        Stream.take(20),
        Stream.mapEffect(() => responses.length < 20 ? Effect.succeed(0) : held),
        Stream.runLast
      )
      assert.isAtMost(Option.getOrThrow(last), 2)
    }).pipe(Effect.scoped))

  it(
    "delivers each event once and in order, wherever a server with ids breaks off",
    () =>
      FastCheck.assert(
        FastCheck.asyncProperty(
          FastCheck.array(FastCheck.record({ cut: FastCheck.nat(120), whole: FastCheck.boolean() }), { maxLength: 6 }),
          FastCheck.boolean(),
          (breaks, ids) =>
            Effect.runPromise(Effect.scoped(Effect.gen(function*() {
              const count = 8
              const { client } = yield* serve((request, nth) => {
                const from = Number(request.headers["last-event-id"] ?? 0) + 1
                const all = `${withIds(from, count - from + 1)}id: ${count + 1}\ndata: [DONE]\n\n`
                const text = ids ? all : all.replace(/id: .*\n/g, "")
                const { cut = Infinity, whole = true } = breaks[nth] ?? {}
                return { text: text.slice(0, cut), whole }
              })
              const last = (event: { readonly data: string }) => event.data === "[DONE]"
              const policy = RetryPolicy.make({ times: 6, backoff: Backoff.immediate })
              const { seen, whole } = yield* read(EventStream.stream(client, "/events", { policy, last }))
              const expected = [...Array.from({ length: count }, (_, i) => `${i + 1}`), "[DONE]"]
              assert.deepStrictEqual(seen, expected.slice(0, seen.length))
              assert.strictEqual(whole, seen.length === expected.length)
              if (ids) assert.isTrue(whole)
            })))
        ),
        { seed: 2010, numRuns: 120, endOnFailure: true }
      )
  )
})
