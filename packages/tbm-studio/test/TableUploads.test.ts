import { ErrorName } from "@effect-resilience/kernel"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Account, type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import { Settings, TableAddress, TableUploads } from "@effect-resilience/tbm-studio"
import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
import { Batch, UploadSource } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Result, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { gzipSync } from "node:zlib"
import { inTurns, passingTime } from "../../chaos/test/turns.ts"
import { type Recorder, recorder, settings, trap } from "./recorder.ts"
import { client, content, logged, md5, studio, told, until, upload } from "./studio.ts"

const half = Stream.make(new Uint8Array(1_000_000))

/** How many requests were sent, how often the bytes were stored, and what the caller learned. */
type End = readonly [requests: number, stored: number, told: string]

/** What the server has done when the fault occurs. */
type Phase = "body unread" | "body half read" | "body read" | "stored" | "half responded" | "stored, half responded"

/** `held` stops after half of its bytes, the first time it is read; `whole` is sent at once. */
type Body = "held" | "whole"

type Row = readonly [phase: Phase, fault: FaultRule.Fault, body: Body, overwrite: End, append: End]

const stored: End = [1, 1, "stored"]
const retried: End = [2, 1, "stored"]
const storedTwice: End = [2, 2, "stored"]
const unknown: End = [1, 0, "OutcomeUnknown"]
const storedUnknown: End = [1, 1, "OutcomeUnknown"]
const rejected = (reason: string): End => [1, 0, reason]

const status = (status: number, body?: string) =>
  ({ type: "status", status, ...body === undefined ? {} : { body } }) as const
const html = (status: number) => ({ type: "html", status }) as const
const reset = (at: "connect" | "midRequest" | "beforeResponse" | "midResponse") => ({ type: "reset", at }) as const
const echo = (status: number) => ({ type: "echoSecrets", status }) as const
const redirect = { type: "redirect", location: "http://127.0.0.1:1/elsewhere" } as const
const delay = { type: "delay", ms: 20 } as const
const slow = { type: "slow", bytesPerSecond: 10_000 } as const

// Each fault applies to the first request to a table only. An append is retried if it certainly was not applied, and never
// stored twice.
const matrix: ReadonlyArray<Row> = [
  ["body unread", status(401), "held", retried, retried],
  ["body unread", status(401), "whole", retried, retried],
  ["body unread", { type: "expireTokens" }, "held", retried, retried],
  ["body unread", { type: "expireTokens" }, "whole", retried, retried],
  ["body unread", status(408), "whole", retried, retried],
  ["body unread", status(425), "whole", retried, retried],
  ["body unread", status(429), "held", retried, retried],
  ["body unread", status(429), "whole", retried, retried],
  ["body unread", status(500), "held", retried, retried],
  ["body unread", status(502), "held", retried, retried],
  ["body unread", status(503), "held", retried, retried],
  ["body unread", status(504), "held", retried, retried],
  ["body unread", html(503), "held", retried, retried],
  ["body unread", echo(500), "held", retried, retried],
  ["body unread", reset("connect"), "held", retried, retried],
  ["body unread", { type: "hang" }, "held", retried, retried],
  ["body half read", reset("midRequest"), "held", retried, retried],

  // All bytes were sent, so the client cannot know what the server did with them.
  ["body unread", status(500), "whole", retried, unknown],
  ["body unread", status(502), "whole", retried, unknown],
  ["body unread", status(503), "whole", retried, unknown],
  ["body unread", status(504), "whole", retried, unknown],
  ["body unread", html(502), "whole", retried, unknown],
  ["body unread", echo(503), "whole", retried, unknown],
  ["body unread", { type: "hang" }, "whole", retried, unknown],
  ["body read", reset("beforeResponse"), "whole", retried, unknown],
  ["stored", status(500), "whole", storedTwice, storedUnknown],
  ["stored", status(503), "whole", storedTwice, storedUnknown],
  ["stored", html(504), "whole", storedTwice, storedUnknown],
  ["stored", echo(500), "whole", storedTwice, storedUnknown],
  ["stored", { type: "hang" }, "whole", storedTwice, storedUnknown],
  ["stored", reset("connect"), "whole", storedTwice, storedUnknown],
  ["stored", reset("beforeResponse"), "whole", storedTwice, storedUnknown],
  ["half responded", reset("midResponse"), "whole", retried, unknown],
  ["stored, half responded", reset("midResponse"), "whole", storedTwice, storedUnknown],
  ["half responded", { type: "truncate" }, "whole", retried, unknown],
  ["stored, half responded", { type: "truncate" }, "whole", storedTwice, storedUnknown],

  // What arrived is not what was sent: a second overwrite repairs it, a person must look at an append.
  ["body read", { type: "corruptMd5" }, "whole", retried, rejected("IntegrityMismatch")],
  ["stored", { type: "corruptMd5" }, "whole", storedTwice, [1, 1, "IntegrityMismatch"]],

  // A 2xx response that reports an error.
  ["body unread", html(200), "whole", rejected("UndecodableAnswer"), unknown],
  ["stored", html(200), "whole", [1, 1, "UndecodableAnswer"], storedUnknown],
  ["body unread", status(200, ""), "whole", rejected("UndecodableAnswer"), unknown],
  ["body unread", status(201, "created"), "whole", rejected("UndecodableAnswer"), unknown],
  ["body unread", status(202, "[]"), "whole", rejected("UndecodableAnswer"), unknown],
  ["body unread", status(204, ""), "whole", rejected("UndecodableAnswer"), unknown],
  ["body unread", status(200, `{"message":"Access denied"}`), "whole", rejected("UndecodableAnswer"), unknown],
  ["stored", status(200, `{"message":"Access denied"}`), "whole", [1, 1, "UndecodableAnswer"], storedUnknown],
  ["body unread", status(200, `{"status":"error"}`), "whole", rejected("UndecodableAnswer"), unknown],
  ["body unread", status(201, `{"success":false,"fileName":"a"}`), "whole", rejected("UndecodableAnswer"), unknown],
  ["body unread", status(202, `{"errors":[{"message":"no"}]}`), "whole", rejected("UndecodableAnswer"), unknown],
  ["body unread", status(200, `{"id":7}`), "whole", rejected("UndecodableAnswer"), unknown],

  // Rejected permanently.
  ["body unread", status(400), "whole", rejected("BadRequest"), rejected("BadRequest")],
  ["body unread", status(400), "held", rejected("BadRequest"), rejected("BadRequest")],
  ["body unread", status(403), "whole", rejected("Forbidden"), rejected("Forbidden")],
  ["body unread", status(404), "whole", rejected("NotFound"), rejected("NotFound")],
  ["body unread", status(409), "whole", rejected("Conflict"), rejected("Conflict")],
  ["body unread", status(413), "held", rejected("PayloadTooLarge"), rejected("PayloadTooLarge")],
  ["body unread", status(422), "whole", rejected("Unprocessable"), rejected("Unprocessable")],
  ["body unread", echo(400), "whole", rejected("BadRequest"), rejected("BadRequest")],
  ["body unread", redirect, "whole", rejected("UnexpectedStatus"), rejected("UnexpectedStatus")],
  ["body unread", redirect, "held", rejected("UnexpectedStatus"), rejected("UnexpectedStatus")],
  ["body unread", status(501), "held", rejected("UnexpectedStatus"), rejected("UnexpectedStatus")],
  ["body unread", status(501), "whole", rejected("UnexpectedStatus"), unknown],

  // No failure at all.
  ["body unread", delay, "whole", stored, stored],
  ["stored", delay, "whole", stored, stored],
  ["body half read", slow, "whole", stored, stored],
  ["stored", slow, "whole", stored, stored],
  ["stored", { type: "expireTokens" }, "whole", stored, stored]
]

describe("a 2xx response that reports an error", () => {
  for (
    const [body, holds] of [
      [`{"message":"Access denied"}`, "the message \"Access denied\""],
      [`{"status":"error"}`, "a body that reports an error"],
      [`{"error":{"code":7}}`, "a body that reports an error"],
      // Beside what looks like a receipt.
      [`{"success":"false","fileName":"gl.csv"}`, "a body that reports an error"],
      [`{"status":"Unsuccessful","length":26}`, "a body that reports an error"],
      [`{"statusCode":"500","length":26}`, "a body that reports an error"],
      [`{"result":{"status":"error"},"length":26}`, "a body that reports an error"],
      [`{"id":7}`, "JSON without any of these"]
    ] as const
  ) {
    it.effect(`quotes the server's message only, and describes the rest: ${body}`, () =>
      Effect.gen(function*() {
        const { message } = yield* Effect.flip(upload({ table: "T", action: "overwrite" }))
        assert.include(message, `returned 200 with ${holds} where a receipt (md5, length or fileName) was expected.`)
      }).pipe(Effect.provide(client.pipe(Layer.provideMerge(SimulatedStudio.layer({
        faults: [{ match: { operation: "upload" }, fault: { type: "status", status: 200, body } }]
      }))))))
  }
})

describe("a receipt that says in words that there was no error", () => {
  for (
    const body of [
      `{"status":"Completed without errors","fileName":"gl.csv"}`,
      `{"result":"done, 0 failed","fileName":"gl.csv"}`,
      `{"error":"None","fileName":"gl.csv"}`,
      `{"error":"no error","fileName":"gl.csv"}`
    ]
  ) {
    it.effect(`is a receipt: ${body}`, () =>
      Effect.gen(function*() {
        const { verified } = yield* upload({ table: "T", action: "append" })
        assert.isFalse(verified)
      }).pipe(Effect.provide(client.pipe(Layer.provideMerge(SimulatedStudio.layer({
        faults: [{ match: { operation: "upload" }, fault: { type: "status", status: 200, body } }]
      }))))))
  }
})

describe("the paths of TableUploads", () => {
  for (const version of TableAddress.versions) {
    const other = version === "v1" ? "/biit/api/v2/" : "/biit/api/v1/"
    const settings = Layer.effect(
      Settings.Settings,
      Effect.map(Settings.Settings, (settings) => ({ ...settings, apiVersion: version }))
    )
    const simulated = SimulatedStudio.layer({
      faults: [{ match: { path: other }, fault: { type: "status", status: 400 } }]
    })

    it.effect(`are those of ${version} if the settings say so, for either action`, () =>
      Effect.gen(function*() {
        const { state } = yield* Simulator.Simulator
        for (const action of TableAddress.actions) {
          const { entries, result } = yield* logged(upload({ project: "A/B", table: "T #1?", action, force: true }))
          assert.isTrue(result.verified)
          const endpoints = new Set(
            entries.flatMap(({ endpoint, operation }) => operation?.includes("table") ? [endpoint] : [])
          )
          assert.deepStrictEqual([...endpoints], [TableAddress.pathTemplates[version]])
        }
        assert.deepStrictEqual(
          (yield* state).uploads.map(({ action, project, table }) => [project, table, action]),
          [["A/B", "T #1?", "overwrite"], ["A/B", "T #1?", "append"]]
        )
      }).pipe(Effect.provide(client.pipe(Layer.provide(settings), Layer.provideMerge(simulated)))))
  }
})

describe("an upload whose first request fails with", { concurrent: true }, () => {
  for (const [phase, fault, body, ...ends] of matrix) {
    for (const [which, action] of (["overwrite", "append"] as const).entries()) {
      it.effect(`${action}, ${body} body, ${phase}: ${Object.values(fault).join(" ")}`, () =>
        Effect.gen(function*() {
          const simulator = yield* Simulator.Simulator
          const { bytes, readings, source } = reluctant(body)
          const patience = fault.type === "hang" ? "1 second" : "20 seconds"
          const { entries, result } = yield* logged(Effect.result(
            upload({ table: "T", action, source }, { stallTimeout: patience, responseTimeout: patience })
          ))
          const { tables, uploads } = yield* simulator.state
          const requests = entries.filter((entry) => entry.kind === "attempt" && entry.operation?.endsWith("table"))
          const end = Result.isSuccess(result) ? "stored" : ErrorName.reasonTagOf(result.failure) ?? ""
          assert.deepStrictEqual(
            [requests.length, uploads.length, end],
            [...ends[which] ?? []],
            JSON.stringify(result)
          )
          if (uploads.length > 0) {
            const copies = action === "append" ? uploads.length : 1
            assert.strictEqual(tables["P/T/January:2024"]?.md5, md5(Buffer.concat(Array(copies).fill(bytes))))
          }
          if (Result.isSuccess(result)) assert.isTrue(result.success.verified)
          yield* until(Effect.sync(() => readings.open === 0))
        }).pipe(
          Effect.provide(studio({
            seed: 1,
            faults: [{ match: { operation: "upload" }, times: 1, apply: phase.startsWith("stored"), fault }]
          })),
          inTurns
        ))
    }
  }
})

describe("TableUploads", () => {
  it.live("sends the documented headers, and credentials nowhere else", () =>
    Effect.gen(function*() {
      const { requests, url } = yield* recorder()
      yield* upload({ project: "A/B & C#?%+", table: "GL Data", action: "append", force: true }).pipe(
        Effect.provide(client.pipe(Layer.provide(settings(url))))
      )
      const told = requests.map(({ body, headers, method, path }) => ({
        call: `${method} ${path}`,
        body: path.startsWith("/biit/") ? undefined : body,
        token: headers["apptio-opentoken"],
        environment: headers["apptio-current-environment"],
        app: [headers["app-type"], headers["app-version"]],
        accept: headers.accept,
        type: headers["content-type"]?.replace(/;.*/, ""),
        other: [headers.cookie, headers.authorization]
      }))
      const app = ["Flagship", "NA"]
      const other = [undefined, undefined]
      assert.deepStrictEqual(told, [
        {
          call: "POST /service/apikeylogin",
          body: JSON.stringify({ keyAccess: "the-public-key", keySecret: "the-secret-key" }),
          token: undefined,
          environment: undefined,
          app: [undefined, undefined],
          accept: "application/json",
          type: "application/json",
          other
        },
        {
          call: "GET /api/environment/acme.com/my%20main",
          body: "",
          token: "the-token",
          environment: undefined,
          app,
          accept: "application/json",
          type: undefined,
          other
        },
        {
          call: "POST /biit/api/v1/acme.com/A%2FB%20%26%20C%23%3F%25%2B/GL%20Data/January%3A2024/append",
          body: undefined,
          token: "the-token",
          environment: "42",
          app,
          accept: "application/json",
          type: "multipart/form-data",
          other
        }
      ])
      const [, , { body, headers } = assert.fail("no upload")] = requests
      assert.strictEqual(headers["content-length"], `${body.length}`)
      assert.match(body, /name="force"\r\n\r\ntrue\r\n/)
      assert.match(body, /name="action"\r\n\r\nappend\r\n/)
      assert.match(body, /name="myfile"; filename="gl\.csv"\r\ncontent-type: text\/csv\r\n/i)
      assert.notMatch(body + JSON.stringify(headers), /the-(public|secret)-key/)
    }))

  it.live("keeps names and bytes as they are", () =>
    Effect.gen(function*() {
      const { state } = yield* Simulator.Simulator
      const gz = gzipSync(content)
      const cases = [
        ["A/B & C#?%+", "nothing.csv", ""],
        ["Müller's \"Söhne\" (x)!*", "\"quoted\" ; name=\"x\".csv", "\ufeffa;b\r\n1;2\r\n"],
        ["%2e%2e", "Größe 😀.csv", "a,\"b\r\nc\"\r"],
        ["...", "gl.csv.gz", gz],
        [" padded ", "gl.tsv", new Uint8Array(300_000).map((_, index) => index % 251)]
      ] as const
      yield* Effect.forEach(cases, ([name, fileName, bytes]) =>
        upload({ project: name, table: name, source: UploadSource.bytes(fileName, bytes) }))
      const { uploads } = yield* state
      assert.deepStrictEqual(
        uploads.map(({ bytes, fileName, md5, project, table }) => [project, table, fileName, bytes, md5]),
        cases.map(([name, fileName, bytes]) => [name, name, fileName, Buffer.from(bytes).length, md5(bytes)])
      )
    }).pipe(Effect.provide(studio())))

  it.effect("logs in once for 50 uploads whose token expires in flight, and stores each once", () =>
    Effect.gen(function*() {
      const { expireTokens, state } = yield* Simulator.Simulator
      const tables = Array.from({ length: 50 }, (_, index) => `T${index}`)
      const uploads = yield* Effect.forkScoped(
        Effect.forEach(tables, (table, index) => upload({ table, action: index % 2 === 0 ? "append" : "overwrite" }), {
          concurrency: "unbounded"
        })
      )
      // One login, one look-up, and the first attempt of each upload.
      yield* TestClock.withLive(until(Effect.map(state, ({ requests }) => requests === 52)))
      assert.deepInclude(yield* state, { logins: 1, environmentLookups: 1, uploads: [] })
      assert.strictEqual(yield* expireTokens, 1)
      // Until now no time has passed, so none has a response.
      const reports = yield* passingTime(Fiber.join(uploads))
      const after = yield* state
      assert.deepInclude(after, { logins: 2, environmentLookups: 1, requests: 103 })
      assert.deepStrictEqual(after.uploads.map(({ table }) => table).sort(), [...tables].sort())
      assert.isTrue(reports.every(({ verified }) => verified))
    }).pipe(Effect.provide(studio({
      faults: [{ match: { operation: "upload" }, times: 50, fault: { type: "delay", ms: 300 } }]
    }))))

  it.live("counts the replay after a new login as an attempt, as the command and the access log do", () =>
    Effect.gen(function*() {
      const { state } = yield* Simulator.Simulator
      const report = yield* upload({ table: "T" })
      assert.strictEqual(report.attempts, 2)
      assert.deepInclude(yield* state, { logins: 2 })
    }).pipe(Effect.provide(studio({
      faults: [{ match: { operation: "upload" }, times: 1, fault: { type: "status", status: 401 } }]
    }))))

  it.live("gives up after one new login if the API rejects each token of the account", () =>
    Effect.gen(function*() {
      const { state } = yield* Simulator.Simulator
      const error = yield* Effect.flip(upload({ table: "T" }))
      assert.deepStrictEqual(told(error), ["StillUnauthorized", "Authorize"])
      assert.deepInclude(yield* state, { logins: 2, requests: 5, uploads: [] })
    }).pipe(Effect.provide(studio({
      faults: [{ match: { operation: "upload" }, fault: { type: "status", status: 401 } }]
    }))))

  it.live("retries an append after a refused connection, until the server listens", () =>
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const { url } = yield* Effect.scoped(recorder())
      let started: Recorder | undefined
      const { url: frontdoor } = yield* Simulator.Simulator
      const report = yield* upload({ table: "T", action: "append" }, {
        policy: RetryPolicy.make({ times: 5, backoff: Backoff.constant("20 millis") }),
        onEvent: (event) =>
          event._tag === "Retrying" && event.attempt === 2
            ? recorder(undefined, Number(new URL(url).port)).pipe(
              Effect.map((recorder) => {
                started = recorder
              }),
              Effect.provideService(Scope.Scope, scope)
            )
            : Effect.void
      }).pipe(Effect.provide(Layer.fresh(client.pipe(Layer.provide(settings(frontdoor, url))))))
      assert.strictEqual(report.attempts, 3)
      assert.lengthOf(started?.requests ?? [], 1)
    }).pipe(Effect.provide(Simulator.layer({
      accounts: [{
        ...Account.sample,
        publicKey: "the-public-key",
        secretKey: "the-secret-key",
        environments: { "my main": 7 }
      }]
    }))))

  it.live("follows no redirect with credentials", () =>
    Effect.gen(function*() {
      const { addFaults, clearFaults } = yield* Simulator.Simulator
      const { contacts, port } = yield* trap
      for (const operation of ["login", "environment", "upload"] as const) {
        const location = `http://127.0.0.1:${port}/elsewhere`
        yield* addFaults([{ match: { operation }, fault: { type: "redirect", location } }])
        const error = yield* Effect.flip(upload({ table: operation }))
        assert.include(error.message, `redirects to http://127.0.0.1:${port}`)
        yield* clearFaults
      }
      assert.strictEqual(contacts(), 0)
    }).pipe(Effect.provide(studio())))

  it.live("reports a 413 although the server never reads the file to its end", () =>
    Effect.gen(function*() {
      const { state } = yield* Simulator.Simulator
      const source = UploadSource.bytes("big.csv", new Uint8Array(24 * 1_048_576))
      const error = yield* Effect.flip(upload({ table: "T", source }))
      assert.deepStrictEqual(told(error), ["PayloadTooLarge", "Correct"])
      assert.strictEqual((yield* state).requests, 3)
    }).pipe(Effect.provide(studio({ maxUploadBytes: 1_000_000, drainLimit: 0 }))))

  it.live("never lets two uploads to one table and period overlap in a batch", () =>
    Effect.gen(function*() {
      const { state } = yield* Simulator.Simulator
      const { target } = yield* TableUploads.TableUploads
      const items = yield* Effect.forEach(
        ["January:2024", "jan:2024", "JANUARY%3a2024", "January:FY2024", "current", "Current"],
        (period, index) =>
          TableUploads.make({
            source: UploadSource.bytes(`${index}.csv`, `${index}\r\n`),
            project: "P",
            table: "T",
            period,
            action: index === 0 ? "overwrite" : "append"
          })
      )
      const { totals } = yield* Batch.run(target, items, { concurrency: 6 })
      assert.deepInclude(totals, { uploaded: 6, failed: 0, attempts: 6 })
      const january = (yield* state).uploads.filter(({ fileName }) => "012".includes(fileName[0] ?? ""))
      assert.deepStrictEqual(january.map(({ fileName }) => fileName), ["0.csv", "1.csv", "2.csv"])
    }).pipe(Effect.provide(studio({
      concurrentWrites: "reject",
      faults: [{ match: { operation: "upload" }, fault: { type: "slow", bytesPerSecond: 20_000 } }]
    }))))

  for (
    const [phase, path, source] of [
      ["waits for the login", "/service/", UploadSource.bytes("a.csv", content)],
      ["waits for the environment", "/api/", UploadSource.bytes("a.csv", content)],
      ["sends", "/biit/", UploadSource.stream("a.csv", { size: 2_000_000, stream: Stream.concat(half, Stream.never) })],
      ["waits for the response", "/biit/", UploadSource.bytes("a.csv", content)]
    ] as const
  ) {
    it.live(`closes its connection when it is interrupted while it ${phase}`, () =>
      Effect.gen(function*() {
        const { requests, url } = yield* recorder(({ url }) => url?.startsWith(path) === true)
        const released = yield* Deferred.make<void>()
        const stream = Effect.map(source.open, ({ bytes, ...opened }) => ({
          ...opened,
          bytes: () => Stream.ensuring(bytes(), Deferred.succeed(released, undefined))
        }))
        // The client outlives the upload: only the interruption can close a connection.
        const services = yield* Layer.build(client.pipe(Layer.provide(settings(url))))
        const fiber = yield* Effect.forkScoped(
          Effect.provide(upload({ table: "T", source: { ...source, open: stream } }), services),
          { startImmediately: true }
        )
        const arrived = Effect.sync(() => requests.find((request) => request.path.startsWith(path)))
        yield* until(Effect.map(arrived, (request) => request !== undefined))
        if (phase === "waits for the response") yield* Deferred.await(released)
        yield* Fiber.interrupt(fiber)
        if (path === "/biit/") yield* Deferred.await(released)
        yield* until(Effect.map(arrived, (request) => request?.closed === true))
      }))
  }
})

/** Bytes that stop coming after the first half, the first time they are read; `whole` ones do not. */
const reluctant = (body: Body) => {
  const bytes = body === "whole" ? new TextEncoder().encode(content) : large
  const readings = { begun: 0, open: 0 }
  const source = UploadSource.stream("gl.csv", {
    size: bytes.length,
    stream: Stream.suspend(() => {
      readings.open++
      return (body === "whole" || readings.begun++ > 0
        ? Stream.make(bytes)
        : Stream.concat(Stream.make(bytes.subarray(0, bytes.length / 2)), Stream.never)).pipe(
          Stream.ensuring(Effect.sync(() => {
            readings.open--
          }))
        )
    })
  })
  return { bytes, readings, source }
}

// Up to 1 MiB is collected before it is sent.
const large = new Uint8Array(1_200_000).fill(10)
