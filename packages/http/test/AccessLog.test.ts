import { Recovery } from "@effect-resilience/errors"
import { AccessLog, ErrorMapping, Operation, Scrubber } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import {
  Data,
  Deferred,
  Effect,
  Exit,
  Fiber,
  FileSystem,
  Layer,
  Logger,
  PlatformError,
  Random,
  Redacted,
  Ref,
  Stream
} from "effect"
import { HttpBody, HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const upload: Operation.Operation = { name: "upload table", endpoint: "/tables/{table}", idempotent: true }

const responding = (...responses: ReadonlyArray<() => Response>) => {
  let n = 0
  return HttpClient.make((request) =>
    Effect.sync(() => {
      const respond = responses[Math.min(n++, responses.length - 1)]
      return HttpClientResponse.fromWeb(request, respond === undefined ? new Response(null) : respond())
    })
  )
}

const resilient = (client: HttpClient.HttpClient) =>
  client.pipe(
    ErrorMapping.mapErrors(),
    AccessLog.logAttempts,
    HttpClient.transformResponse(RetryPolicy.retry(RetryPolicy.make({ times: 2, backoff: Backoff.immediate }))),
    HttpClient.transformResponse(AccessLog.logCall)
  )

const entries = Effect.flatMap(AccessLog.Memory, (memory) => memory.entries)

describe("AccessLog", () => {
  it.effect("records what each attempt and the whole call did", () =>
    Effect.gen(function*() {
      const client = resilient(responding(
        () => new Response(`{"message":"Busy, come back"}`, { status: 503, headers: { "x-request-id": "r-1" } }),
        () => new Response("done", { status: 201, headers: { "x-request-id": "r-2", "content-length": "4" } })
      ))
      yield* client.put("https://api.example.com/tables/GL%20Data", { body: HttpBody.text("12345") }).pipe(
        Operation.within(upload)
      )
      const all = yield* entries
      const call = all[0]?.call
      const common = {
        call,
        operation: "upload table",
        method: "PUT",
        endpoint: "/tables/{table}",
        time: "1970-01-01T00:00:00.000Z",
        durationMs: 0
      }
      assert.match(String(call), /^[0-9a-f]{8}$/)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(all)), [
        {
          ...common,
          kind: "attempt",
          outcome: "failure",
          status: 503,
          attempt: 1,
          bytesSent: 5,
          requestId: "r-1",
          error: {
            reason: "ServiceUnavailable",
            message:
              "PUT /tables/{table} returned 503 Service Unavailable: Busy, come back. Try again later. (request id r-1)"
          },
          recovery: "Retry"
        },
        {
          ...common,
          kind: "attempt",
          outcome: "success",
          status: 201,
          attempt: 2,
          resendReason: "ServiceUnavailable",
          bytesSent: 5,
          bytesReceived: 4,
          requestId: "r-2"
        },
        {
          ...common,
          kind: "call",
          outcome: "success",
          status: 201,
          attempt: 2,
          bytesSent: 5,
          bytesReceived: 4,
          requestId: "r-2"
        }
      ])
      assert.notInclude(JSON.stringify(all), "GL")
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("counts the bytes of a streamed body afresh in each attempt", () =>
    Effect.gen(function*() {
      let n = 0
      const reading = HttpClient.make((request) =>
        Effect.gen(function*() {
          if (request.body._tag !== "Stream") return yield* Effect.die("expected a stream")
          const chunks = n++ === 0 ? Stream.take(request.body.stream, 1) : request.body.stream
          yield* Effect.orDie(Stream.runDrain(chunks))
          return HttpClientResponse.fromWeb(request, new Response(null, { status: n === 1 ? 503 : 200 }))
        })
      )
      const body = HttpBody.stream(Stream.make(new Uint8Array(3), new Uint8Array(4)).pipe(Stream.rechunk(1)))
      yield* resilient(reading).put("https://api.example.com/", { body }).pipe(Operation.within(upload))
      const sent = (yield* entries).map((entry) => [entry.kind, entry.bytesSent])
      assert.deepStrictEqual(sent, [["attempt", 3], ["attempt", 7], ["call", 7]])
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("leaves out what does not apply, so that no exporter writes undefined", () =>
    Effect.gen(function*() {
      yield* resilient(responding()).get("https://api.example.com/").pipe(Operation.within(upload))
      for (const entry of yield* entries) {
        assert.notInclude(Object.values(entry), undefined)
        assert.notProperty(entry, "error")
      }
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("writes nothing that a terminal obeys or that begins another line", () =>
    Effect.gen(function*() {
      class Hostile extends Data.TaggedError("Hostile") {
        [Recovery.symbol](): Recovery.Recovery {
          return Recovery.giveUp
        }
        override get message(): string {
          return "no\u001b]0;title\u0007\r\n2026-01-01 FAKE \u202e \u009b31m"
        }
      }
      const client = HttpClient.make(() => Effect.fail(new Hostile() as never)).pipe(AccessLog.logAttempts)
      yield* Effect.ignore(client.get("https://api.example.com/"))
      for (const entry of yield* entries) {
        assert.notMatch(entry.error?.message ?? "", /[\p{Cc}\p{Cf}]/u)
        assert.notMatch(AccessLog.format({ ...entry, requestId: "a\u001b[2J\nb" }), /[\p{Cc}\p{Cf}]/u)
      }
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("measures durations, waits included in the call's", () =>
    Effect.gen(function*() {
      let n = 0
      const slow = HttpClient.make((request) =>
        Effect.delay(
          Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(null, { status: ++n === 1 ? 503 : 200 }))),
          250
        )
      )
      const client = slow.pipe(
        ErrorMapping.mapErrors(),
        AccessLog.logAttempts,
        HttpClient.transformResponse(RetryPolicy.retry(RetryPolicy.make({ backoff: Backoff.constant("1 second") }))),
        HttpClient.transformResponse(AccessLog.logCall)
      )
      const fiber = yield* Effect.forkChild(client.get("https://api.example.com/"))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      const seen = (yield* entries).map((entry) => [entry.time.slice(17), entry.durationMs])
      assert.deepStrictEqual(seen, [["00.000Z", 250], ["01.250Z", 250], ["00.000Z", 1500]])
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("logs an interrupted attempt and its call", () =>
    Effect.gen(function*() {
      const client = resilient(HttpClient.make(() => Effect.never))
      const fiber = yield* Effect.forkChild(client.get("https://api.example.com/"), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      const seen = (yield* entries).map((entry) => [entry.kind, entry.outcome, entry.error])
      assert.deepStrictEqual(seen, [["attempt", "interrupted", undefined], ["call", "interrupted", undefined]])
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("logs a call that sent nothing", () =>
    Effect.gen(function*() {
      yield* Effect.flip(AccessLog.logCall(Effect.fail(new Error("no permit"))))
      const [entry] = yield* entries
      assert.strictEqual(entry?.attempt, 0)
      assert.deepStrictEqual(entry?.error, { reason: "Error" })
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("treats a login during a call as a call of its own", () =>
    Effect.gen(function*() {
      const transport = responding().pipe(ErrorMapping.mapErrors(), AccessLog.logAttempts)
      const login = transport.post("https://login.example.com/").pipe(
        AccessLog.logCall,
        Operation.within({ name: "log in", endpoint: "/login" })
      )
      yield* Effect.andThen(login, transport.get("https://api.example.com/")).pipe(
        AccessLog.logCall,
        Operation.within(upload)
      )
      const all = yield* entries
      assert.deepStrictEqual(
        all.map((entry) => [entry.operation, entry.kind, entry.attempt]),
        [["log in", "attempt", 1], ["log in", "call", 1], ["upload table", "attempt", 1], ["upload table", "call", 1]]
      )
      assert.strictEqual(new Set(all.map((entry) => entry.call)).size, 2)
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("calls an attempt beside a running one a hedge", () =>
    Effect.gen(function*() {
      const transport = AccessLog.logAttempts(HttpClient.make((request) =>
        Effect.as(Effect.sleep("1 second"), HttpClientResponse.fromWeb(request, new Response()))
      ))
      const get = transport.get("https://api.example.com/")
      const fiber = yield* Effect.forkChild(AccessLog.logCall(Effect.all([get, get], { concurrency: 2 })))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      const reasons = (yield* entries).filter((entry) =>
        entry.kind === "attempt"
      ).map((entry) => entry.resendReason)
      assert.deepStrictEqual(reasons, [undefined, "Hedge"])
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("takes the number of the attempt from the retry if the call is not logged", () =>
    Effect.gen(function*() {
      const client = responding(() => new Response(null, { status: 503 }), () => new Response()).pipe(
        ErrorMapping.mapErrors(),
        AccessLog.logAttempts,
        HttpClient.transformResponse(RetryPolicy.retry(RetryPolicy.make({ backoff: Backoff.immediate })))
      )
      yield* client.get("https://api.example.com/")
      assert.deepStrictEqual((yield* entries).map((entry) => entry.attempt), [1, 2])
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("counts no bytes of a response that has no body, whatever its headers announce", () =>
    Effect.gen(function*() {
      const client = resilient(responding(
        () => new Response(null, { headers: { "content-length": "1234" } }),
        () => new Response(null, { status: 204 })
      ))
      yield* client.head("https://api.example.com/")
      yield* client.del("https://api.example.com/")
      assert.deepStrictEqual((yield* entries).map((entry) => entry.bytesReceived), [0, 0, 0, 0])
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("scrubs messages, and keeps none of an error that was not made for logs", () =>
    Effect.gen(function*() {
      const secret = "s3cr3t/key"
      ;(yield* Scrubber.Current).register(Redacted.make(secret))
      const echoing = responding(() => new Response(`{"message":"bad key ${secret}"}`, { status: 403 }))
      yield* Effect.flip(
        echoing.pipe(ErrorMapping.mapErrors(), AccessLog.logAttempts).get("https://api.example.com/")
      )
      const raw = HttpClient.make((request) =>
        Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request }) }))
      )
      yield* Effect.flip(AccessLog.logAttempts(raw).get("https://user:pw@api.example.com/?token=abc"))
      const all = yield* entries
      assert.include(all[0]?.error?.message, "bad key <redacted>")
      assert.deepStrictEqual(all[1]?.error, { reason: "TransportError" })
      assert.strictEqual(all[1]?.recovery, "Retry")
    }).pipe(Effect.provideService(Scrubber.Current, Scrubber.make()), Effect.provide(AccessLog.layerMemory)))

  it.effect("keeps a call and its attempts together when it samples, and keeps everything that is not a plain success", () =>
    Effect.gen(function*() {
      const kept = yield* Ref.make<ReadonlyArray<AccessLog.Entry>>([])
      const log = AccessLog.sampleSuccesses({ write: (entry) => Ref.update(kept, (all) => [...all, entry]) }, 0.3)
      const plain = resilient(responding())
      yield* Effect.provideService(Effect.replicateEffect(plain.get("https://a.example/"), 300), AccessLog.Current, log)
      const sampled = yield* Ref.getAndSet(kept, [])
      assert.isAbove(sampled.length, 2 * 300 * 0.2)
      assert.isBelow(sampled.length, 2 * 300 * 0.4)
      for (const entry of sampled) assert.lengthOf(sampled.filter((other) => other.call === entry.call), 2)

      const flaky = resilient(responding(() => new Response(null, { status: 503 }), () => new Response()))
      yield* Effect.provideService(
        flaky.get("https://a.example/"),
        AccessLog.Current,
        AccessLog.sampleSuccesses(log, 0)
      )
      assert.deepStrictEqual((yield* Ref.get(kept)).map((entry) => [entry.kind, entry.attempt]), [
        ["attempt", 1],
        ["attempt", 2],
        ["call", 2]
      ])
    }).pipe(Random.withSeed("sampling")))

  it("rejects a share that is not one", () => {
    assert.throws(() => AccessLog.sampleSuccesses(AccessLog.none, 1.5), RangeError)
    assert.throws(() => AccessLog.sampleSuccesses(AccessLog.none, Number.NaN), RangeError)
  })

  it.effect("writes warnings for failures to Effect's logger, with the fields as annotations", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.map(Logger.formatStructured, (line) => lines.push(line))
      yield* responding(() => new Response(null, { status: 404 })).pipe(ErrorMapping.mapErrors(), AccessLog.logAttempts)
        .get("https://api.example.com/").pipe(
          Operation.within(upload),
          Effect.flip,
          Effect.provide(Layer.merge(AccessLog.layerLogger, Logger.layer([logger])))
        )
      assert.lengthOf(lines, 1)
      assert.deepInclude(lines[0], { level: "WARN" })
      assert.include(JSON.stringify(lines[0]), `"status":404`)
    }))
})

const lines = (path: string) =>
  Effect.flatMap(
    FileSystem.FileSystem,
    (fs) => Effect.map(fs.readFileString(path), (text) => text.split("\n").filter((line) => line !== ""))
  )

const entry: AccessLog.Entry = {
  time: "1970-01-01T00:00:00.000Z",
  kind: "call",
  call: "00000000",
  outcome: "success",
  endpoint: "/",
  durationMs: 1,
  attempt: 1
}

describe("AccessLog.layerFile", () => {
  it.effect("appends whole lines and flushes when its scope closes, interrupted or not", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/access.jsonl`
      const write = (n: number) =>
        Effect.flatMap(AccessLog.Current, (log) => Effect.forEach(Array(n), () => log.write(entry), { discard: true }))
      yield* Effect.provide(write(3), AccessLog.layerFile(path))
      const logged = yield* Deferred.make<void>()
      const fiber = yield* write(500).pipe(
        Effect.andThen(Deferred.succeed(logged, undefined)),
        Effect.andThen(Effect.never),
        Effect.provide(AccessLog.layerFile(path)),
        Effect.forkChild
      )
      yield* Deferred.await(logged)
      const exit = yield* Fiber.interrupt(fiber).pipe(Effect.andThen(Fiber.await(fiber)))
      assert.isTrue(Exit.hasInterrupts(exit))
      const written = yield* lines(path)
      assert.lengthOf(written, 503)
      for (const line of written) assert.deepStrictEqual(JSON.parse(line), entry)
      assert.strictEqual(Number((yield* fs.stat(path)).mode) & 0o777, 0o600)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))

  it.effect("goes on in a new file of its name when it is renamed or removed, and loses no line", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/access.jsonl`
      const write = (call: string) => Effect.flatMap(AccessLog.Current, (log) => log.write({ ...entry, call }))
      const calls = (path: string) =>
        Effect.map(lines(path), (lines) => lines.map((line): string => JSON.parse(line).call))
      yield* Effect.gen(function*() {
        yield* write("first")
        // What is waiting is written before the file is moved.
        yield* TestClock.adjust("1 second")
        yield* lines(path).pipe(Effect.repeat({ until: (lines) => lines.length === 1 }))
        yield* fs.rename(path, `${path}.1`)
        yield* write("second")
        yield* TestClock.adjust("1 second")
        yield* Effect.orElseSucceed(lines(path), () => []).pipe(Effect.repeat({ until: (lines) => lines.length === 1 }))
        yield* fs.rename(path, `${path}.2`)
        // `create` of logrotate.
        yield* fs.writeFileString(path, "", { mode: 0o640 })
        yield* write("third")
      }).pipe(Effect.provide(AccessLog.layerFile(path)))
      assert.deepStrictEqual(
        yield* Effect.forEach([`${path}.1`, `${path}.2`, path], calls),
        [["first"], ["second"], ["third"]]
      )
      assert.strictEqual(Number((yield* fs.stat(path)).mode) & 0o777, 0o640)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))

  it.effect("writes lines for people on demand", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/access.log`
      yield* Effect.provide(
        Effect.flatMap(AccessLog.Current, (log) => log.write(entry)),
        AccessLog.layerFile(path, { as: "text" })
      )
      assert.deepStrictEqual(yield* lines(path), ["1970-01-01T00:00:00.000Z 00000000 call of 1 / 1 ms"])
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))

  it.effect("warns of a disk that fails, and lets the calls continue", () =>
    Effect.gen(function*() {
      const warnings: Array<unknown> = []
      const logger = Logger.make(({ message }) => warnings.push(message))
      const full = PlatformError.systemError({
        _tag: "Unknown",
        module: "FileSystem",
        method: "writeAll",
        description: "ENOSPC"
      })
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/access.jsonl`
      const broken = FileSystem.make({
        ...fs,
        open: (path, options) =>
          Effect.map(
            fs.open(path, options),
            (file) => ({ ...file, stat: file.stat, writeAll: () => Effect.fail(full) })
          )
      })
      const log = Effect.flatMap(AccessLog.Current, (log) => Effect.andThen(log.write(entry), log.write(entry)))
      yield* log.pipe(
        Effect.provide(AccessLog.layerFile(path).pipe(Layer.provide(Layer.succeed(FileSystem.FileSystem, broken)))),
        Effect.provide(Logger.layer([logger]))
      )
      assert.match(JSON.stringify(warnings), /access log lost 2 entries.*ENOSPC/)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))

  it.effect("drops and counts what a slow disk cannot take", () =>
    Effect.gen(function*() {
      const warnings: Array<unknown> = []
      const logger = Logger.make(({ message }) => warnings.push(message))
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/access.jsonl`
      const log = Effect.flatMap(AccessLog.Current, (log) =>
        Effect.forEach(Array(15), () => log.write(entry), { discard: true }))
      yield* log.pipe(
        Effect.provide(AccessLog.layerFile(path, { capacity: 10 })),
        Effect.provide(Logger.layer([logger]))
      )
      assert.lengthOf(yield* lines(path), 10)
      assert.match(JSON.stringify(warnings), /access log lost 5 entries/)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))

  it.effect("fails with the platform's error if the file cannot be opened", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.provide(Effect.void, AccessLog.layerFile("/nonexistent/access.jsonl")))
      assert.strictEqual(error._tag, "PlatformError")
    }).pipe(Effect.provide(NodeFileSystem.layer)))
})

it("formats an entry without line breaks", () => {
  const line = AccessLog.format({ ...entry, error: { reason: "BadRequest", message: "one\r\ntwo" } })
  assert.notMatch(line, /[\r\n]/)
})
