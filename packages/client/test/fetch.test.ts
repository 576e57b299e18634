import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Parts, ResilientClient } from "@effect-resilience/client"
import { ApiError } from "@effect-resilience/errors"
import { AccessLog } from "@effect-resilience/http"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Logger } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import { getEventListeners } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import { text } from "node:stream/consumers"
import * as timers from "node:timers/promises"
import * as v8 from "node:v8"
import * as vm from "node:vm"

v8.setFlagsFromString("--expose_gc")
const collect: () => void = vm.runInNewContext("gc")

type Handle = (request: IncomingMessage, response: ServerResponse, body: string) => void

const serve = (handle: Handle) =>
  Effect.map(
    LocalServer.http((request, response) => {
      void text(request).then((body) => handle(request, response, body), () => {})
    }),
    ({ url }) => url
  )

const quick = { retry: { times: 2, backoff: { base: 0 } } } as const

const fetchOf = (
  baseUrl: string,
  description: Partial<ResilientClient.Description> = {},
  transport?: Layer.Layer<HttpClient.HttpClient>
) =>
  Effect.acquireRelease(
    Effect.sync(() => ResilientClient.fetch({ name: "api", baseUrl, pipeline: quick, ...description }, { transport })),
    (fetch) => Effect.promise(fetch.dispose)
  )

interface Echo {
  readonly method: string
  readonly url: string
  readonly type: string | undefined
  readonly body: string
}

const echo: Handle = ({ headers, method, url }, response, body) => {
  response.setHeader("content-type", "application/json")
  response.end(JSON.stringify({ method, url, type: headers["content-type"], body }))
}

const stream = (...chunks: ReadonlyArray<string>) =>
  new ReadableStream({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
      controller.close()
    }
  })

const rejection = (promise: () => Promise<unknown>) =>
  Effect.promise(() => promise().then(() => assert.fail("resolved"), (error: unknown) => error))

/** Over a transport of this process. */
const scripted = (respond: (init: RequestInit) => Response, description: Partial<ResilientClient.Description> = {}) => {
  const transport = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) =>
      Effect.contextWith((context: Context.Context<never>) => {
        const init = Context.getOrUndefined(context, FetchHttpClient.RequestInit) ?? {}
        return Effect.succeed(HttpClientResponse.fromWeb(request, respond(init)))
      })
    )
  )
  return ResilientClient.fetch({ name: "api", baseUrl: "https://api.example.com", pipeline: {}, ...description }, {
    transport
  })
}

describe("ResilientClient.toFetch", () => {
  it.effect("sends through the client that there is, with the policies and in the context that it has", () =>
    Effect.gen(function*() {
      const region = Context.Reference<string>("test/region", { defaultValue: () => "none" })
      const sent: Array<string> = []
      const transport = HttpClient.make((request) =>
        Effect.contextWith((context: Context.Context<never>) => {
          sent.push(`${Context.get(context, region)} ${request.method} ${request.url}`)
          return Effect.succeed(
            HttpClientResponse.fromWeb(request, new Response("well", { status: sent.length === 1 ? 503 : 200 }))
          )
        })
      )
      const client = yield* ResilientClient.make({ name: "api", baseUrl: "https://api.example.com", pipeline: quick })
        .pipe(
          Effect.provideService(HttpClient.HttpClient, transport)
        )
      const fetch = yield* Effect.provideService(ResilientClient.toFetch(client), region, "north")
      const response = yield* Effect.promise(() => fetch("/a"))
      assert.strictEqual(yield* Effect.promise(() => response.text()), "well")
      assert.deepStrictEqual(sent, Array(2).fill("north GET https://api.example.com/a"))
    }))
})

class ConfigError extends Error {}

describe("ResilientClient.fetch", () => {
  it.effect("writes to the log that is given beside the transport", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
      const baseUrl = yield* serve((_, response) => void response.end("{}"))
      const fetch = yield* fetchOf(baseUrl, {}, Layer.mergeAll(FetchHttpClient.layer, AccessLog.layerLogger, logger))
      yield* Effect.promise(() => fetch("/a"))
      assert.lengthOf(lines, 2)
      assert.match(lines[0] ?? "", /attempt 1 GET \{unnamed endpoint\} 200/)
      assert.match(lines[1] ?? "", /call of 1 GET \{unnamed endpoint\} 200/)
    }))

  for (
    const [status, method, ok, hasBody] of [
      [200, "GET", true, true],
      [299, "GET", true, true],
      [300, "GET", false, true],
      [200, "HEAD", true, false],
      [204, "GET", true, false],
      [205, "GET", true, false],
      [304, "GET", false, false]
    ] as const
  ) {
    it(`gives a ${status} to ${method} ${ok ? "as ok" : "as not ok"}, with ${hasBody ? "a" : "no"} body`, async () => {
      const fetch = scripted(() => new Response(hasBody ? "text" : null, { status }))
      const response = await fetch("/a", { method })
      assert.deepStrictEqual([response.status, response.ok, response.body !== null], [status, ok, hasBody])
    })
  }

  const redirects = [301, 302, 303, 307, 308]
  for (const status of [200, 300, 304, 305, 399, 404, ...redirects]) {
    const resolves = !redirects.includes(status)
    it(`${resolves ? "resolves with" : "rejects"} a ${status} where redirects are errors`, async () => {
      const fetch = scripted(() => new Response(null, { status }))
      const result = await fetch("/a", { redirect: "error" }).then(
        (response) => response.status,
        (error: unknown) => error
      )
      if (resolves) assert.strictEqual(result, status)
      else assert.instanceOf(result, TypeError)
    })
  }

  it("passes on what only the transport understands, of a Request too, and what the call says instead", async () => {
    const seen: Array<RequestInit> = []
    const fetch = scripted((init) => {
      seen.push(init)
      return new Response()
    })
    const request = new Request("https://api.example.com/a", { cache: "no-store", credentials: "omit" })
    await fetch(request)
    await fetch(request, { cache: "reload" })
    await fetch("/a", { keepalive: true, method: "POST", body: "text" })
    assert.deepInclude(seen[0], { cache: "no-store", credentials: "omit" })
    assert.deepInclude(seen[1], { cache: "reload", credentials: "omit" })
    assert.deepInclude(seen[2], { keepalive: true })
    assert.doesNotHaveAnyKeys(seen[2], ["body", "headers", "method", "signal"])
  })

  it("is rejected with an error after `dispose`, and where the transport cannot be made", async () => {
    const ledger = { name: "ledger", baseUrl: "https://ledger.example.com" }
    const failed = { name: "TypeError", message: "fetch failed" }

    const disposed = ResilientClient.fetch(ledger)
    await disposed.dispose()
    const afterwards = await disposed("/a").then(() => undefined, (error: unknown) => error)
    assert.instanceOf(afterwards, Error)
    assert.deepInclude(afterwards, { ...failed, cause: "ManagedRuntime disposed" })

    const cause = new ConfigError("the certificate cannot be read")
    const unmade = ResilientClient.fetch(ledger, { transport: Layer.effect(HttpClient.HttpClient, Effect.fail(cause)) })
    const first = await unmade("/a").then(() => undefined, (error: unknown) => error)
    assert.instanceOf(first, Error)
    assert.deepInclude(first, { ...failed, cause })
    await unmade.dispose()
  })

  it("cancels the body of a call that was aborted before", async () => {
    let cancelled: unknown
    const body = new ReadableStream({ cancel: (reason) => cancelled = reason })
    const reason = new Error("enough")
    const sent: Array<unknown> = []
    const fetch = scripted((init) => {
      sent.push(init)
      return new Response()
    })
    const init = { method: "POST", body, duplex: "half", signal: AbortSignal.abort(reason) } as RequestInit
    assert.strictEqual(await fetch("/a", init).catch((error: unknown) => error), reason)
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepStrictEqual([cancelled, sent], [reason, []])
  })
})

for (const [name, transport] of [["fetch", undefined], ["undici", NodeHttpClient.layerUndici]] as const) {
  describe(`ResilientClient.fetch over ${name}`, () => {
    it.live("sends what fetch sends", () =>
      Effect.gen(function*() {
        const origin = yield* serve(echo)
        const fetch = yield* fetchOf(origin, {}, transport)
        const inputs: ReadonlyArray<readonly [string | URL | Request, RequestInit | undefined]> = [
          [`${origin}/a?b=c#d`, undefined],
          [new URL("/a", origin), { method: "post", body: "text" }],
          [`${origin}/json`, { method: "PUT", body: "{}", headers: { "Content-Type": "application/json" } }],
          [`${origin}/params`, { method: "POST", body: new URLSearchParams({ a: "ä b" }) }],
          [`${origin}/bytes`, { method: "POST", body: new Uint8Array([97, 98, 99]).subarray(1) }],
          [`${origin}/buffer`, { method: "POST", body: new TextEncoder().encode("buffer").buffer }],
          [`${origin}/blob`, { method: "POST", body: new Blob(["blob"], { type: "text/csv" }) }],
          [new Request(`${origin}/request`, { method: "PATCH", body: "whole", headers: { "x-a": "b" } }), undefined],
          [new Request(`${origin}/request`, { method: "POST", body: "old" }), { body: "new" }],
          [`${origin}/delete`, { method: "DELETE" }],
          [`${origin}/typed`, { method: "DELETE", headers: { "content-type": "application/json" } }]
        ]
        const send = (fetch: typeof globalThis.fetch) =>
          Effect.forEach(inputs, ([input, init]) =>
            Effect.promise(() =>
              fetch(input instanceof Request ? input.clone() : input, init).then((response) =>
                response.json()
              )
            ))
        assert.deepStrictEqual(yield* send(fetch), yield* send(globalThis.fetch))
        const streamed = yield* Effect.promise(() =>
          fetch(`${origin}/stream`, { method: "POST", body: stream("one ", "two"), duplex: "half" } as RequestInit)
        )
        assert.strictEqual(((yield* Effect.promise(() => streamed.json())) as Echo).body, "one two")
      }).pipe(Effect.scoped))

    it.live("sends forms with the boundary that it names", () =>
      Effect.gen(function*() {
        const origin = yield* serve(echo)
        const fetch = yield* fetchOf(origin, {}, transport)
        const form = new FormData()
        form.append("file", new File(["a,b"], "table.csv", { type: "text/csv" }))
        const sent = fetch(`${origin}/form`, { method: "POST", body: form })
        form.append("late", "never sent")
        const { body, type } = (yield* Effect.promise(() => sent.then((response) => response.json()))) as Echo
        const boundary = /^multipart\/form-data; boundary="?([^"]+)/.exec(type ?? "")?.[1]
        assert.isTrue(body.startsWith(`--${boundary}`), `${type}: ${body}`)
        assert.include(body, `filename="table.csv"`)
        assert.notInclude(body, "late")
      }).pipe(Effect.scoped))

    it.live("repeats, and gives back the last response of any status", () =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const origin = yield* serve((request, response, body) => {
          seen.push(`${request.method} ${request.url} ${body}`)
          const fails = request.url === "/down" || (request.url === "/flaky" && seen.length === 1)
          response.statusCode = fails ? 503 : request.url?.startsWith("/missing") === true ? 404 : 200
          response.setHeader("set-cookie", ["a=1; Path=/", "b=2"])
          response.end(`response ${seen.length}`)
        })
        const fetch = yield* fetchOf(origin, {}, transport)
        const read = (path: string, init?: RequestInit) =>
          Effect.promise(() =>
            fetch(path, init).then((response) => response.text().then((text) => [response.status, text]))
          )
        const put = { method: "PUT", body: new Blob(["blob"]) }
        assert.deepStrictEqual(yield* read("/flaky", put), [200, "response 2"])
        assert.deepStrictEqual(seen, ["PUT /flaky blob", "PUT /flaky blob"])
        seen.length = 0
        const request = new Request(`${origin}/flaky`, { method: "PUT", body: "of a request" })
        assert.strictEqual((yield* Effect.promise(() => fetch(request))).status, 200)
        assert.deepStrictEqual(seen, ["PUT /flaky of a request", "PUT /flaky of a request"])
        assert.deepStrictEqual(yield* read("down"), [503, "response 5"])
        assert.deepStrictEqual(yield* read("/down", { method: "POST", body: "order" }), [503, "response 6"])
        assert.deepStrictEqual(yield* read("/missing"), [404, "response 7"])
        const response = yield* Effect.promise(() => fetch(`${origin}/missing?a=b`))
        assert.strictEqual(response.url, `${origin}/missing?a=b`)
        assert.deepStrictEqual(response.headers.getSetCookie(), ["a=1; Path=/", "b=2"])
        assert.deepStrictEqual([response.ok, response.clone().status], [false, 404])
      }).pipe(Effect.scoped))

    it.live("gives back a page that is called JSON, which its policies take for a failure", () =>
      Effect.gen(function*() {
        let requests = 0
        const origin = yield* serve((_, response) => {
          requests++
          response.writeHead(200, { "content-type": "application/json" }).end("<html>")
        })
        const circuitBreaker = { tripPolicy: { consecutive: 2 }, openDuration: "1 minute" } as const
        const fetch = yield* fetchOf(origin, { pipeline: { ...quick, circuitBreaker } }, transport)
        for (const path of ["/a", "/b"]) {
          const response = yield* Effect.promise(() => fetch(path))
          assert.strictEqual(response.status, 200)
          assert.strictEqual(yield* Effect.promise(() => response.text()), "<html>")
        }
        yield* rejection(() => fetch("/c"))
        assert.strictEqual(requests, 2)
      }).pipe(Effect.scoped))

    it.live("gives bodies piece by piece, and ends the request where the reader stops", () =>
      Effect.gen(function*() {
        let closed = () => {}
        const ended = new Promise<void>((resolve) => closed = resolve)
        const origin = yield* serve((_, response) => {
          response.on("close", closed)
          response.writeHead(200, { "content-type": "text/event-stream" })
          response.write("data: 1\n\n")
        })
        const fetch = yield* fetchOf(origin, {}, transport)
        const response = yield* Effect.promise(() => fetch("/events"))
        const reader = (response.body as ReadableStream<Uint8Array>).getReader()
        const first = yield* Effect.promise(() => reader.read())
        assert.strictEqual(new TextDecoder().decode(first.value), "data: 1\n\n")
        yield* Effect.promise(() => reader.cancel())
        yield* Effect.promise(() => ended)
      }).pipe(Effect.scoped))

    it.live("an abort throws its reason: before the call, before the response, and in the body", () =>
      Effect.gen(function*() {
        const origin = yield* serve((request, response) => {
          if (request.url === "/body") response.writeHead(200).write("beginning")
        })
        const fetch = yield* fetchOf(origin, {}, transport)
        const reason = new Error("enough")
        assert.strictEqual(yield* rejection(() => fetch("/x", { signal: AbortSignal.abort(reason) })), reason)

        const controller = new AbortController()
        const waiting = rejection(() => {
          const promise = fetch(new Request(`${origin}/hangs`, { signal: controller.signal }))
          setImmediate(() => controller.abort(reason))
          return promise
        })
        assert.strictEqual(yield* waiting, reason)

        const late = new AbortController()
        const response = yield* Effect.promise(() => fetch("/body", { signal: late.signal }))
        const reading = response.text()
        late.abort()
        const error = yield* rejection(() => reading)
        assert.isTrue(error instanceof DOMException && error.name === "AbortError")
      }).pipe(Effect.scoped))

    for (const pieces of [0, 1]) {
      it.live(`an abort ends the request of a body that is not read on after ${pieces} pieces`, () =>
        Effect.gen(function*() {
          let closed = () => {}
          const ended = new Promise<void>((resolve) => closed = resolve)
          const origin = yield* serve((_, response) => {
            response.on("close", closed)
            response.writeHead(200).write(Buffer.alloc(100_000))
          })
          const fetch = yield* fetchOf(origin, {}, transport)
          const controller = new AbortController()
          const response = yield* Effect.promise(() => fetch("/a", { signal: controller.signal }))
          const reader = (response.body as ReadableStream<Uint8Array>).getReader()
          for (let n = 0; n < pieces; n++) yield* Effect.promise(() => reader.read())
          const reason = new Error("enough")
          controller.abort(reason)
          yield* Effect.promise(() => ended)
          assert.strictEqual(yield* rejection(() => reader.read()), reason)
        }).pipe(Effect.scoped))
    }

    it.live("a signal does not keep the responses that are not read", () =>
      Effect.gen(function*() {
        const origin = yield* serve((_, response) => void response.end("done"))
        const fetch = yield* fetchOf(origin, {}, transport)
        const { signal } = new AbortController()
        for (let n = 0; n < 20; n++) yield* Effect.promise(() => fetch("/a", { signal }))
        assert.isAtLeast(getEventListeners(signal, "abort").length, 1)
        yield* Effect.sync(collect).pipe(
          Effect.andThen(Effect.promise(() => timers.setImmediate())),
          Effect.repeat({ until: () => getEventListeners(signal, "abort").length === 0 })
        )
      }).pipe(Effect.scoped))

    it.live("reads an init whose members are inherited, such as a Request, and takes null for none", () =>
      Effect.gen(function*() {
        const fetch = yield* fetchOf(yield* serve(echo), {}, transport)
        const echoed = (init: RequestInit) =>
          Effect.promise(async () => (await (await fetch("/a", init)).json()) as Echo)
        const request = new Request("https://api.example.com/b", { method: "POST", body: "hello" })
        assert.deepInclude(yield* echoed(request), { method: "POST", url: "/a", body: "hello" })
        class Init {
          get method() {
            return "PUT"
          }
          get body() {
            return "hi"
          }
        }
        assert.deepInclude(yield* echoed(new Init()), { method: "PUT", body: "hi" })
        // @ts-expect-error -- the platform takes it too.
        assert.deepInclude(yield* echoed(null), { method: "GET", body: "" })
      }).pipe(Effect.scoped))

    it.live("sends a body that is none of those that the platform knows as its text, as often as any", () =>
      Effect.gen(function*() {
        const bodies: Array<string> = []
        const origin = yield* serve((_, response, body) => {
          bodies.push(body)
          response.writeHead(bodies.length < 2 ? 503 : 200).end()
        })
        const fetch = yield* fetchOf(origin, {}, transport)
        // @ts-expect-error -- the platform takes it too.
        yield* Effect.promise(() => fetch("/a", { method: "PUT", body: 17 }))
        assert.deepStrictEqual(bodies, ["17", "17"])
      }).pipe(Effect.scoped))

    it.live("`dispose` ends the bodies that are being read, and those that are not", () =>
      Effect.gen(function*() {
        let open = 0
        const origin = yield* serve((_, response) => {
          open++
          response.on("close", () => open--)
          response.write("half")
        })
        const fetch = ResilientClient.fetch({ name: "api", baseUrl: origin }, { transport })
        const read = yield* Effect.promise(() => fetch("/a"))
        const unread = yield* Effect.promise(() => fetch("/b"))
        const reading = yield* Effect.forkChild(rejection(() => read.text()), { startImmediately: true })
        yield* Effect.promise(fetch.dispose)
        assert.instanceOf(yield* Fiber.join(reading), TypeError)
        assert.instanceOf(yield* rejection(() => unread.text()), TypeError)
        yield* Effect.repeat(Effect.promise(() => timers.setImmediate()), { until: () => open === 0 })
      }).pipe(Effect.scoped))

    it.live("a small text that comes slowly is not cut off by the time of an attempt", () =>
      Effect.gen(function*() {
        const origin = yield* serve((_, response) => {
          response.writeHead(200, { "content-type": "text/csv", "content-length": 6 })
          response.write("abc")
          setTimeout(() => response.end("def"), 300)
        })
        const fetch = yield* fetchOf(origin, { timeouts: { attempt: "100 millis" } }, transport)
        const response = yield* Effect.promise(() => fetch("/a", { method: "POST" }))
        assert.strictEqual(yield* Effect.promise(() => response.text()), "abcdef")
      }).pipe(Effect.scoped))

    it.live("the body of an error that comes slowly is read whole, and one that stops is given up", () =>
      Effect.gen(function*() {
        let open = 0
        const origin = yield* serve(({ url }, response) => {
          open++
          response.on("close", () => open--)
          response.writeHead(404, { "content-type": "text/plain" })
          response.write("abc")
          if (url === "/slow") setTimeout(() => response.end("def"), 300)
        })
        const timeouts = { attempt: "100 millis", idle: "1 second" } as const
        const fetch = yield* fetchOf(origin, { timeouts }, transport)
        const slow = yield* Effect.promise(() => fetch("/slow"))
        assert.deepStrictEqual([slow.status, yield* Effect.promise(() => slow.text())], [404, "abcdef"])
        const stopped = yield* Effect.promise(() => fetch("/stops"))
        const unread = yield* Effect.promise(() => fetch("/stops"))
        const error = yield* rejection(() => stopped.text())
        assert.isTrue(error instanceof TypeError && error.cause instanceof ApiError.ApiError)
        assert.include(String((error as TypeError).cause), "got no further piece of the body within 1 second")
        yield* Effect.repeat(Effect.promise(() => timers.setImmediate()), { until: () => open === 0 })
        assert.instanceOf(yield* rejection(() => unread.text()), TypeError)
      }).pipe(Effect.scoped))

    it.live("a response that is not read holds no permit", () =>
      Effect.gen(function*() {
        const origin = yield* serve((_, response) => void response.end(Buffer.alloc(5_000_000)))
        const fetch = yield* Effect.acquireRelease(
          Effect.sync(() =>
            ResilientClient.fetch(
              { name: "api", baseUrl: origin, pipeline: { bulkhead: { permits: 1, queue: 1 } } },
              { parts: Parts, transport }
            )
          ),
          (fetch) => Effect.promise(fetch.dispose)
        )
        for (let n = 0; n < 3; n++) assert.strictEqual((yield* Effect.promise(() => fetch("/a"))).status, 200)
      }).pipe(Effect.scoped))

    it.live("throws TypeError with the client's error as its cause, only where there is no response", () =>
      Effect.gen(function*() {
        let requests = 0
        const origin = yield* serve((_, response) => {
          if (requests++ === 0) response.writeHead(503).end("busy")
          else response.destroy()
        })
        const fetch = yield* fetchOf(origin, {}, transport)
        const response = yield* Effect.promise(() => fetch("/a"))
        assert.deepStrictEqual([response.status, yield* Effect.promise(() => response.text())], [503, "busy"])
        assert.strictEqual(requests, 3)

        const error = yield* rejection(() => fetch("/a"))
        assert.isTrue(error instanceof TypeError && error.message === "fetch failed")
        assert.instanceOf((error as TypeError).cause, ApiError.ApiError)
        const foreign = (yield* rejection(() => fetch("https://elsewhere.test/a"))) as TypeError
        assert.strictEqual((foreign.cause as ResilientClient.ForeignUrl)._tag, "ForeignUrl")
        assert.instanceOf(yield* rejection(() => fetch("/a", { method: "NOT A METHOD" })), TypeError)
      }).pipe(Effect.scoped))

    it.live("a stream that fails is no failure of the server", () =>
      Effect.gen(function*() {
        const origin = yield* serve((_, response) => void response.end("well"))
        const circuitBreaker = { tripPolicy: { consecutive: 1 }, openDuration: "1 minute" } as const
        const fetch = yield* fetchOf(origin, { pipeline: { circuitBreaker } }, transport)
        let pulls = 0
        const body = new ReadableStream({
          pull: (controller) => {
            if (pulls++ === 0) controller.enqueue(new TextEncoder().encode("beginning"))
            else controller.error(new Error("the client of a proxy has left"))
          }
        })
        const init = { method: "PUT", body, duplex: "half" } as RequestInit
        const { cause } = (yield* rejection(() => fetch("/a", init))) as TypeError
        assert.instanceOf(cause, ApiError.ApiError)
        assert.deepInclude((cause as ApiError.ApiError).reason, { _tag: "TransportFailure", kind: "body" })
        assert.strictEqual((yield* Effect.promise(() => fetch("/a"))).status, 200)
      }).pipe(Effect.scoped))

    it.live("a stream is sent once", () =>
      Effect.gen(function*() {
        const bodies: Array<string> = []
        const origin = yield* serve((_, response, body) => {
          bodies.push(body)
          response.writeHead(503).end()
        })
        const fetch = yield* fetchOf(origin, {}, transport)
        const init = { method: "PUT", body: stream("a", "b"), duplex: "half" } as RequestInit
        assert.strictEqual((yield* Effect.promise(() => fetch("/a", init))).status, 503)
        assert.deepStrictEqual(bodies, ["ab"])
      }).pipe(Effect.scoped))

    it.live("redirects are responses, unless the description follows them and the call wants it", () =>
      Effect.gen(function*() {
        const origin = yield* serve((request, response) => {
          if (request.url === "/old") response.writeHead(302, { location: "/new" }).end()
          else response.end("new")
        })
        const plain = yield* fetchOf(origin, {}, transport)
        assert.strictEqual((yield* Effect.promise(() => plain("/old"))).status, 302)
        const following = yield* fetchOf(origin, { redirects: {} }, transport)
        const followed = yield* Effect.promise(() => following("/old"))
        assert.deepStrictEqual([followed.status, followed.url], [200, `${origin}/new`])
        assert.strictEqual((yield* Effect.promise(() => following("/old", { redirect: "manual" }))).status, 302)
        assert.instanceOf(yield* rejection(() => following("/old", { redirect: "error" })), TypeError)
      }).pipe(Effect.scoped))
  })
}
