import { Recording, Redaction, Scrubber } from "@effect-resilience/http"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Fiber, FileSystem, Layer, Redacted } from "effect"
import { HttpBody, HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const responding = (respond: (url: URL) => Response) =>
  HttpClient.make((request, url) => Effect.sync(() => HttpClientResponse.fromWeb(request, respond(url))))

const collecting = () => {
  const lines: Array<string> = []
  return { lines, write: (line: string) => Effect.sync(() => lines.push(line)) }
}

const redaction = Redaction.make({ query: ["page"], fields: ["id"] })

describe("Recording", () => {
  it.effect("records nothing that is not allowed, and leaves the response as it was", () =>
    Effect.gen(function*() {
      const { lines, write } = collecting()
      const real = responding(() =>
        Response.json({ id: 7, owner: "Jo Doe" }, { status: 201, headers: { "acme-token": "t0ken" } })
      )
      const response = yield* Recording.record(real, { write }).post("https://u:t0ken@a.example/x?page=2&key=t0ken", {
        headers: { authorization: "Bearer t0ken" },
        body: HttpBody.jsonUnsafe({ id: 1, password: "t0ken" })
      }).pipe(Redaction.provide(redaction))
      assert.deepStrictEqual(yield* response.json, { id: 7, owner: "Jo Doe" })
      assert.strictEqual(response.headers["acme-token"], "t0ken")
      assert.lengthOf(lines, 1)
      assert.notMatch(lines.join(), /t0ken|Jo Doe/)
      assert.deepInclude(JSON.parse(String(lines[0])), {
        method: "POST",
        url: "https://a.example/x?page=2&key=REDACTED",
        body: { json: { id: 1, password: "<redacted>" } }
      })
    }))

  it.effect("measures a duration although the wall clock jumps", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let offset = 0
      const moved: Clock.Clock = {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + offset,
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + offset),
        currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
        currentTimeNanos: clock.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: clock.monotonicTimeNanos,
        sleep: (duration) => clock.sleep(duration)
      }
      const { lines, write } = collecting()
      const real = HttpClient.make((request) =>
        Effect.delay(
          Effect.sync(() => {
            offset = -3_600_000
            return HttpClientResponse.fromWeb(request, Response.json({}))
          }),
          250
        )
      )
      yield* TestClock.adjust("1 day")
      const fiber = yield* Recording.record(real, { write }).get("https://a.example/").pipe(
        Effect.provideService(Clock.Clock, moved),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust(250)
      yield* Effect.flatMap(Fiber.join(fiber), (response) => response.text)
      assert.deepInclude(JSON.parse(String(lines[0])), { durationMs: 250 })
    }))

  it.effect("scrubs registered secrets out of allowed fields, and stays JSON", () =>
    Effect.gen(function*() {
      const { lines, write } = collecting()
      const scrubber = Scrubber.make()
      scrubber.register(Redacted.make("a\"quoted\\secret"))
      const real = responding(() => Response.json({ id: "it was a\"quoted\\secret" }))
      yield* Recording.record(real, { write }).get("https://a.example/").pipe(
        Redaction.provide(redaction),
        Effect.provideService(Scrubber.Current, scrubber)
      )
      assert.deepInclude(JSON.parse(String(lines[0])).answer.body, { json: { id: "it was <redacted>" } })
    }))

  it.effect("records other bodies by their length, and text on demand", () =>
    Effect.gen(function*() {
      const silent = collecting()
      const text = collecting()
      const csv = responding(() => new Response("a;b"))
      yield* Recording.record(csv, { write: silent.write }).get("https://a.example/")
      yield* Recording.record(csv, { write: text.write, text: true }).get("https://a.example/")
      assert.deepStrictEqual(JSON.parse(String(silent.lines[0])).answer.body, { bytes: 3 })
      assert.deepStrictEqual(JSON.parse(String(text.lines[0])).answer.body, { text: "a;b" })
    }))

  it.effect("records failures by their tag", () =>
    Effect.gen(function*() {
      const { lines, write } = collecting()
      const broken = HttpClient.make((request) =>
        Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request }) }))
      )
      yield* Effect.ignore(Recording.record(broken, { write }).get("https://a.example/"))
      assert.deepInclude(JSON.parse(String(lines[0])), { error: "TransportError" })
    }))

  it.effect("replays responses to the same request in order, whatever its hidden parameters", () =>
    Effect.gen(function*() {
      const { lines, write } = collecting()
      let n = 0
      const real = responding((url) =>
        Response.json({ id: `${url.searchParams.get("page")} ${++n}` }, { status: n === 2 ? 503 : 200 })
      )
      const recording = Recording.record(real, { write })
      const pages = ["page=1&key=a", "page=1&key=b", "page=2&key=a"]
      yield* Effect.forEach(pages, (query) => recording.get(`https://a.example/?${query}`)).pipe(
        Redaction.provide(redaction)
      )

      const replay = yield* Recording.replay(lines)
      const ask = (query: string) =>
        Effect.flatMap(
          replay.get(`https://a.example/?${query}`),
          (response) => Effect.map(response.json, (json) => [response.status, json])
        )
      assert.deepStrictEqual(yield* ask("page=2&key=z"), [200, { id: "2 3" }])
      assert.deepStrictEqual(yield* ask("page=1&key=z"), [200, { id: "1 1" }])
      assert.deepStrictEqual(yield* ask("page=1&key=z"), [503, { id: "1 2" }])
      const exit = yield* Effect.exit(ask("page=1&key=t0ken"))
      assert.isTrue(Exit.hasDies(exit))
      const printed = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      assert.include(printed, "has no further response for GET https://a.example/?page=REDACTED&key=REDACTED")
    }))

  it.effect("records to a file that only its owner can read, and replays it", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/recording.jsonl`
      const real = Layer.succeed(HttpClient.HttpClient, responding(() => new Response(null, { status: 204 })))
      const status = Effect.map(HttpClient.get("https://a.example/"), (response) => response.status)
      yield* Effect.provide(status, Layer.provide(Recording.layerRecord(path), real))
      assert.strictEqual(yield* Effect.provide(status, Recording.layerReplay(path)), 204)
      assert.strictEqual(Number((yield* fs.stat(path)).mode) & 0o777, 0o600)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))

  it.effect("fails on a line that is not an exchange", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Recording.replay(["", "{}"]))
      assert.strictEqual(error._tag, "SchemaError")
    }))
})
