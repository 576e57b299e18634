import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Predicate, Stream } from "effect"
import { Cookies, HttpClient, HttpClientResponse } from "effect/http"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import { TestClock } from "effect/testing"
import * as Chaos from "../src/Chaos.ts"
import * as FakeClient from "../src/FakeClient.ts"
import * as Fault from "../src/Fault.ts"
import * as HttpFault from "../src/HttpFault.ts"
import * as Misbehavior from "../src/Misbehavior.ts"
import * as RawHttp from "../src/RawHttp.ts"
import * as RawServer from "../src/RawServer.ts"

const url = "https://api.example.com/fruit?key=s3cret"

/** What a GET of `apples` gives under a fault. */
const got = <A>(
  fault: HttpFault.HttpFault,
  read: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, unknown>
) =>
  Effect.gen(function*() {
    const fake = FakeClient.make([{ headers: { "x-kind": "fruit" }, body: "apples" }])
    const chaos = yield* HttpFault.make({ seed: 1, faults: [fault] })
    const exit = yield* Effect.exit(Effect.flatMap(HttpFault.wrap(fake.client, chaos).get(url), read))
    return { exit, asked: fake.requests.length, struck: (yield* chaos.counts)[fault.name] }
  })

const text = (response: HttpClientResponse.HttpClientResponse) => response.text

/** The code in the causes of a failure. */
const codeOf = (exit: Exit.Exit<unknown, unknown>) => {
  let cause: unknown = Option.getOrUndefined(Exit.findErrorOption(exit))
  while (Predicate.hasProperty(cause, "cause") && !Predicate.hasProperty(cause, "code")) cause = cause.cause
  return Predicate.hasProperty(cause, "code") ? cause.code : undefined
}

describe("HttpFault", () => {
  it.effect("responds with another status, instead of asking or after it", () =>
    Effect.gen(function*() {
      const read = (response: HttpClientResponse.HttpClientResponse) =>
        Effect.map(response.text, (body) => [response.status, response.headers["retry-after"], body])
      for (const after of [false, true]) {
        const fault = HttpFault.status(429, { after, headers: { "Retry-After": "3" }, body: "slow down" })
        const { asked, exit } = yield* got(fault, read)
        assert.deepStrictEqual(exit, Exit.succeed([429, "3", "slow down"]))
        assert.strictEqual(asked, after ? 1 : 0)
      }
    }))

  it.effect("strikes after the head of a response, however long its body is in coming, and leaves that", () =>
    Effect.gen(function*() {
      let cancelled = 0
      const silent = () =>
        new ReadableStream({
          cancel: () => {
            cancelled++
          }
        })
      const client = HttpClient.make((request) =>
        Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(silent())))
      )
      for (const fault of [HttpFault.status(429, { after: true }), HttpFault.unreachable({ after: true })]) {
        const chaos = yield* HttpFault.make({ seed: 1, faults: [fault] })
        const exit = yield* Effect.exit(HttpFault.wrap(client, chaos).get(url))
        assert.strictEqual(
          Exit.isSuccess(exit) ? exit.value.status : codeOf(exit),
          fault.kind === "status" ? 429 : "ECONNREFUSED"
        )
      }
      assert.strictEqual(cancelled, 2)
    }))

  it.effect("changes and removes headers", () =>
    Effect.gen(function*() {
      const { exit } = yield* got(HttpFault.headers({ "X-Kind": undefined, "Content-Type": "text/html" }), (response) =>
        Effect.map(response.text, (body) => [response.headers["x-kind"], response.headers["content-type"], body]))
      assert.deepStrictEqual(exit, Exit.succeed([undefined, "text/html", "apples"]))
    }))

  it.effect("leaves all cookies of a response, unless it changes them", () =>
    Effect.gen(function*() {
      const client = HttpClient.make((request) =>
        Effect.sync(() => {
          const headers = new Headers([["set-cookie", "a=1; Path=/; Secure"], ["set-cookie", "b=2"]])
          return HttpClientResponse.fromWeb(request, new Response("apples", { headers }))
        })
      )
      const cookies = (fault: HttpFault.HttpFault) =>
        Effect.gen(function*() {
          const chaos = yield* HttpFault.make({ seed: 1, faults: [fault] })
          const response = yield* HttpFault.wrap(client, chaos).get(url)
          return Cookies.toSetCookieHeaders(response.cookies)
        })
      const all = ["a=1; Path=/; Secure", "b=2"]
      assert.deepStrictEqual(yield* cookies(HttpFault.drip({ every: 0 })), all)
      assert.deepStrictEqual(yield* cookies(HttpFault.headers({ "x-kind": "fruit" })), all)
      assert.deepStrictEqual(yield* cookies(HttpFault.headers({ "Set-Cookie": undefined })), [])
      assert.deepStrictEqual(yield* cookies(HttpFault.headers({ "Set-Cookie": "c=3" })), ["c=3"])
    }))

  it.effect("ends bodies early, or breaks them off", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* got(HttpFault.truncate(3), text)).exit, Exit.succeed("app"))
      assert.deepStrictEqual((yield* got(HttpFault.truncate(0), text)).exit, Exit.succeed(""))
      assert.deepStrictEqual((yield* got(HttpFault.truncate(100), text)).exit, Exit.succeed("apples"))
      const parts: Array<string> = []
      const { exit } = yield* got(HttpFault.breakOff(3), (response) =>
        Stream.runForEach(Stream.decodeText(response.stream), (part) => Effect.sync(() => parts.push(part))))
      assert.strictEqual(codeOf(exit), "ECONNRESET")
      assert.strictEqual(parts.join(""), "app")
      assert.strictEqual(codeOf((yield* got(HttpFault.breakOff(0), text)).exit), "ECONNRESET")
    }))

  it.effect("ends bodies at their byte, whether more comes or not, however they come in pieces", () =>
    Effect.gen(function*() {
      const bodyOf = (...pieces: ReadonlyArray<number>) =>
        new ReadableStream<Uint8Array>({
          // It does not end.
          start: (controller) => pieces.forEach((length) => controller.enqueue(new Uint8Array(length)))
        })
      for (
        const [fault, code] of [[HttpFault.truncate(5), undefined], [HttpFault.breakOff(5), "ECONNRESET"]] as const
      ) {
        for (const pieces of [[5], [9], [3, 0, 2], [3, 9, 9]]) {
          const client = HttpClient.make((request) =>
            Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(bodyOf(...pieces))))
          )
          const chaos = yield* HttpFault.make({ seed: 1, faults: [fault] })
          let length = 0
          const { stream } = yield* HttpFault.wrap(client, chaos).get(url)
          const exit = yield* Stream.runForEach(stream, (piece) =>
            Effect.sync(() => {
              length += piece.length
            })).pipe(Effect.exit)
          assert.deepStrictEqual([length, codeOf(exit)], [5, code])
        }
      }
    }))

  it.effect.each(["text", "json", "arrayBuffer", "formData", "urlParamsBody"] as const)(
    "reads no more of a body once the reader of its %s is interrupted",
    (read) =>
      Effect.gen(function*() {
        const turn = Effect.promise(() => new Promise((resume) => setImmediate(resume)))
        let [pulls, cancelled] = [0, 0]
        const endless = () =>
          new ReadableStream<Uint8Array>({
            pull: (controller) => {
              pulls++
              controller.enqueue(new Uint8Array(9))
              return new Promise<void>((resume) => setImmediate(resume))
            },
            cancel: () => {
              cancelled++
            }
          }, { highWaterMark: 0 })
        const client = HttpClient.make((request) =>
          Effect.sync(() =>
            HttpClientResponse.fromWeb(
              request,
              new Response(endless(), { headers: { "content-type": "application/x-www-form-urlencoded" } })
            )
          )
        )
        const chaos = yield* HttpFault.make({ seed: 1, faults: [HttpFault.headers({ "x-kind": "fruit" })] })
        const response = yield* HttpFault.wrap(client, chaos).get(url)
        const reading = yield* Effect.forkChild(response[read])
        while (pulls === 0) yield* turn
        yield* Fiber.interrupt(reading)
        for (let i = 0; i < 10; i++) yield* turn
        assert.strictEqual(cancelled, 1)
      })
  )

  it.effect("drips a body by the clock", () =>
    Effect.gen(function*() {
      const reading = yield* Effect.forkChild(got(HttpFault.drip({ every: "10 seconds", size: 4 }), text))
      let seconds = 0
      for (; reading.pollUnsafe() === undefined; seconds++) {
        yield* TestClock.adjust("1 second")
        yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
      }
      assert.deepStrictEqual((yield* Fiber.join(reading)).exit, Exit.succeed("apples"))
      assert.isAtLeast(seconds, 20)
    }))

  it.effect("fails as a transport does, instead of asking or after it", () =>
    Effect.gen(function*() {
      const unreachable = yield* got(HttpFault.unreachable(), text)
      assert.deepStrictEqual([codeOf(unreachable.exit), unreachable.asked], ["ECONNREFUSED", 0])
      const lost = yield* got(HttpFault.unreachable({ code: "ECONNRESET", after: true }), text)
      assert.deepStrictEqual([codeOf(lost.exit), lost.asked], ["ECONNRESET", 1])
    }))

  it.effect("strikes requests by host, and takes the faults of any effect", () =>
    Effect.gen(function*() {
      const fake = FakeClient.make([200])
      const chaos = yield* HttpFault.make({
        seed: 1,
        faults: [
          HttpFault.status(503, { only: ({ url }) => url.startsWith("https://a.example/") }),
          Fault.interrupt({ only: ({ method }) => method === "DELETE" })
        ]
      })
      const client = HttpFault.wrap(fake.client, chaos)
      assert.strictEqual((yield* client.get("https://a.example/")).status, 503)
      assert.strictEqual((yield* client.get("https://b.example/")).status, 200)
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(client.del("https://b.example/"))))
    }))

  it.effect("is a layer over a real client, whose body it breaks off", () =>
    Effect.gen(function*() {
      const server = yield* RawServer.make(Misbehavior.respond(RawHttp.response({ body: "x".repeat(100_000) })))
      yield* Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        const length = Effect.map(Effect.flatMap(client.get(server.url), (response) => response.text), (text) =>
          text.length)
        assert.strictEqual(codeOf(yield* Effect.exit(length)), "ECONNRESET")
        yield* (yield* Chaos.Controls).kill
        assert.strictEqual(yield* length, 100_000)
      }).pipe(
        Effect.provide(
          Layer.provide(HttpFault.layer({ seed: 1, faults: [HttpFault.breakOff(70_000)] }), FetchHttpClient.layer)
        )
      )
    }))
})

describe("FakeClient", () => {
  it.effect("responds by its script and keeps the requests", () =>
    Effect.gen(function*() {
      const fake = FakeClient.make([503, { body: "apples" }, () => Effect.succeed(Response.json(1))])
      const statuses = yield* Effect.replicateEffect(Effect.map(fake.client.get(url), ({ status }) => status), 4)
      assert.deepStrictEqual(statuses, [503, 200, 200, 200])
      assert.deepStrictEqual(fake.requests.map(({ method }) => method), ["GET", "GET", "GET", "GET"])
    }))

  it.effect("records what came of each request", () =>
    Effect.gen(function*() {
      const chaos = yield* HttpFault.make({ seed: 1, faults: [HttpFault.unreachable({ times: 1 }), Fault.hang()] })
      const { client, recorded } = FakeClient.recording(HttpFault.wrap(FakeClient.make([200]).client, chaos))
      yield* Effect.ignore(client.get(url))
      const second = yield* Effect.forkChild(client.post(url), { startImmediately: true })
      assert.deepStrictEqual(recorded.map(({ exit }) => exit?._tag), ["Failure", undefined])
      yield* chaos.off()
      yield* Fiber.join(second)
      assert.deepStrictEqual(recorded.map(({ request, exit }) => [request.method, exit?._tag]), [["GET", "Failure"], [
        "POST",
        "Success"
      ]])
    }))
})
