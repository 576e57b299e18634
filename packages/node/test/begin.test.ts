import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import * as SendProgress from "@effect-resilience/http/SendProgress"
import type * as Direct from "@effect-resilience/kernel/Direct"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { HttpBody, HttpClient, type HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { AsyncLocalStorage } from "node:async_hooks"
import * as Http from "node:http"
import * as v8 from "node:v8"
import * as vm from "node:vm"

v8.setFlagsFromString("--expose_gc")
const collect: () => void = vm.runInNewContext("gc")

/** Begins requests to a server that responds so, without fibers. */
const beginning = <A, E>(
  respond: (request: Http.IncomingMessage, response: Http.ServerResponse) => void,
  talk: (
    url: string,
    begin: (
      request: HttpClientRequest.HttpClientRequest,
      progress?: SendProgress.SendProgress
    ) => Direct.Running<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>
  ) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const { url } = yield* LocalServer.listen(Http.createServer(respond))
    const begin = SendProgress.promisesOf(yield* HttpClient.HttpClient)?.begin
    assert.isDefined(begin)
    return yield* talk(url, (request, progress = new SendProgress.SendProgress()) =>
      begin(request, Context.empty(), progress))
  }).pipe(Effect.provide(Connections.layer()), Effect.scoped)

const exitOf = <A, E>(running: Direct.Running<A, E>): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.callback((resume) => {
    running.addObserver((exit) => resume(Effect.succeed(exit)))
  })

const arrived = (response: object) => {
  const bytes = SendProgress.arrived in response
    ? (response as SendProgress.Arriving)[SendProgress.arrived]()
    : undefined
  return bytes && new TextDecoder().decode(bytes)
}

describe("a request that begins without a fiber", () => {
  it.live("ends with a small response that has arrived whole, in the async context in which it began", () =>
    beginning(
      (_, response) => response.end("all of it"),
      (url, begin) =>
        Effect.gen(function*() {
          const storage = new AsyncLocalStorage<string>()
          let seen: string | undefined
          const exit = yield* Effect.callback<Exit.Exit<HttpClientResponse.HttpClientResponse, unknown>>((resume) => {
            storage.run("the caller's", () =>
              begin(HttpClientRequest.get(url)).addObserver((exit) => {
                seen = storage.getStore()
                resume(Effect.succeed(exit))
              }))
          })
          assert.strictEqual(seen, "the caller's")
          assert.isTrue(Exit.isSuccess(exit))
          if (Exit.isFailure(exit)) return
          assert.strictEqual(arrived(exit.value), "all of it")
          assert.strictEqual(yield* exit.value.text, "all of it")
        })
    ))

  it.live("ends with the headers of a long response, which is read as any other", () => {
    let finish = () => {}
    return beginning(
      (_, response) => {
        response.write("a part, ")
        finish = () => response.end("the rest")
      },
      (url, begin) =>
        Effect.gen(function*() {
          const response = yield* yield* exitOf(begin(HttpClientRequest.get(url)))
          assert.isUndefined(arrived(response))
          finish()
          assert.strictEqual(yield* Stream.mkString(Stream.decodeText(response.stream)), "a part, the rest")
          // As a stream, it can be read only once.
          assert.isUndefined(arrived(response))
        })
    )
  })

  it.live("sends a body that is a stream", () =>
    beginning(
      (request, response) => void request.pipe(response),
      (url, begin) =>
        Effect.gen(function*() {
          const body = HttpBody.stream(Stream.succeed(new TextEncoder().encode("piece")))
          const response = yield* yield* exitOf(begin(HttpClientRequest.setBody(HttpClientRequest.post(url), body)))
          assert.strictEqual(yield* response.text, "piece")
        })
    ))

  it.live("ends with an interruption, before its headers and when they have just come, and closes its connection", () => {
    let closed = 0
    return beginning(
      (request, response) => {
        response.on("close", () => closed++)
        if (request.url === "/headers") response.writeHead(200).write("a part")
      },
      (url, begin) =>
        Effect.gen(function*() {
          const silent = begin(HttpClientRequest.get(url))
          silent.interruptUnsafe(7)
          const exit = yield* exitOf(silent)
          assert.deepStrictEqual(exit, Exit.interrupt(7))
          const progress = new SendProgress.SendProgress()
          const follow = progress.follow.bind(progress)
          const begun: Array<Direct.Running<unknown, unknown>> = []
          // The source hears of the headers a microtask before anybody else does.
          progress.follow = (source) => {
            const exchange = source as SendProgress.Source & { onResponseStart: (...args: Array<unknown>) => void }
            const onResponseStart = exchange.onResponseStart.bind(exchange)
            exchange.onResponseStart = (...args) => {
              onResponseStart(...args)
              for (const running of begun) running.interruptUnsafe(8)
            }
            follow(source)
          }
          const running = begin(HttpClientRequest.get(`${url}/headers`), progress)
          begun.push(running)
          assert.deepStrictEqual(yield* exitOf(running), Exit.interrupt(8))
          yield* Effect.repeat(Effect.yieldNow, { until: () => closed > 0 })
        })
    )
  })

  it.live("fails where there is no server, and where its URL is none", () =>
    beginning(
      () => {},
      (_, begin) =>
        Effect.gen(function*() {
          const tag = (exit: Exit.Exit<unknown, HttpClientError.HttpClientError>) =>
            Exit.isFailure(exit) ? (Cause.squash(exit.cause) as HttpClientError.HttpClientError).reason._tag : undefined
          assert.strictEqual(tag(yield* exitOf(begin(HttpClientRequest.get("http://127.0.0.1:1/")))), "TransportError")
          assert.strictEqual(tag(yield* exitOf(begin(HttpClientRequest.get("http://[")))), "InvalidUrlError")
        })
    ))

  it.live("closes its connection when the reader of its stream leaves, or is interrupted while it is busy elsewhere", () => {
    let closed = 0
    return beginning(
      (_, response) => {
        response.on("close", () => closed++)
        response.write("a part")
      },
      (url, begin) =>
        Effect.gen(function*() {
          const left = yield* yield* exitOf(begin(HttpClientRequest.get(url)))
          yield* Stream.runHead(left.stream)
          yield* Effect.repeat(Effect.yieldNow, { until: () => closed === 1 })
          const busy = yield* yield* exitOf(begin(HttpClientRequest.get(url)))
          const began = yield* Deferred.make<void>()
          const reading = yield* Effect.forkChild(
            Stream.runForEach(busy.stream, () => Effect.andThen(Deferred.succeed(began, undefined), Effect.never))
          )
          yield* Deferred.await(began)
          yield* Fiber.interrupt(reading)
          yield* Effect.repeat(Effect.yieldNow, { until: () => closed === 2 })
        })
    )
  })

  it.live("gives up a response that is forgotten unread", () => {
    let closed = false
    return beginning(
      (_, response) => {
        response.on("close", () => {
          closed = true
        })
        response.write("a part")
      },
      (url, begin) =>
        Effect.gen(function*() {
          assert.isTrue(Exit.isSuccess(yield* exitOf(begin(HttpClientRequest.get(url)))))
          yield* Effect.repeat(Effect.andThen(Effect.sync(collect), Effect.sleep("1 millis")), { until: () => closed })
        })
    )
  })
})
