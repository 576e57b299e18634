import { Recovery } from "@effect-resilience/errors"
import { ErrorName } from "@effect-resilience/kernel"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { type FaultRule, type Simulator } from "@effect-resilience/tbm-simulator"
import { Region, Settings, UploaderService } from "@effect-resilience/tbm-studio"
import { UploadSource } from "@effect-resilience/upload"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type FileSystem, Layer, Stream } from "effect"
import { HttpClient } from "effect/http"
import { inTurns } from "../../chaos/test/turns.ts"
import {
  content,
  file,
  match,
  md5,
  mebibyte,
  quick,
  reaches,
  receiptOf,
  reset,
  state,
  upload,
  withStudio
} from "./largeUploads.ts"
import { logged } from "./studio.ts"

describe("a large file", () => {
  it.live("is sent in concurrent parts, each with its md5, and is stored byte for byte", () => {
    const bytes = content(23 * mebibyte)
    const numbers: Array<number> = []
    return withStudio(
      { faults: [{ match: match("part"), fault: { type: "delay", ms: 100 } }] },
      Effect.gen(function*() {
        const report = yield* upload(UploadSource.file(yield* file(bytes)), {
          onEvent: (event) =>
            Effect.sync(() => {
              if (event._tag === "Sending") numbers.push(event.bytes)
            })
        }).pipe(Effect.timed)
        const { uploader, uploads } = yield* state
        assert.deepInclude(report[1].receipt, { parts: 5, resumed: 0 })
        assert.strictEqual(report[1].bytes, bytes.length)
        assert.deepInclude(uploads, {
          ...uploads[0],
          table: "GL Data",
          period: "January:2024",
          action: "overwrite",
          fileName: "gl.csv",
          bytes: bytes.length,
          md5: md5(bytes)
        })
        assert.deepStrictEqual(
          uploader.sessions.map(({ parts, single, state }) => [single, state, parts.map(({ bytes }) => bytes)]),
          [[false, "finalized", [5, 5, 5, 5, 3].map((size) => size * mebibyte)]]
        )
        assert.deepStrictEqual(numbers, numbers.toSorted((a, b) => a - b))
        assert.strictEqual(numbers.at(-1), bytes.length)
      })
    )
  })

  it.live("sends at most `concurrency` parts at once", () =>
    Effect.gen(function*() {
      const under = { now: 0, most: 0 }
      const counting = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(
          HttpClient.HttpClient,
          HttpClient.transform((call, { method }) => {
            if (method !== "PUT") return call
            under.most = Math.max(under.most, ++under.now)
            return Effect.ensuring(call, Effect.sync(() => under.now--))
          })
        )
      ).pipe(Layer.provide(NodeHttpClient.layerUndici))
      yield* withStudio(
        { faults: [{ match: match("part"), fault: { type: "delay", ms: 100 } }] },
        upload(UploadSource.bytes("gl.csv", content(30 * mebibyte))),
        { concurrency: 2 },
        counting
      )
      assert.deepStrictEqual(under, { now: 0, most: 2 })
    }))

  it.live.each<[string, FaultRule.FaultRule]>([
    ["gets a 503", { match: match("part"), after: 1, times: 2, fault: { type: "status", status: 503 } }],
    ["breaks off", { match: match("part"), times: 1, fault: reset("midRequest") }],
    ["is accepted without a response", { match: match("part"), times: 1, apply: true, fault: reset("beforeResponse") }],
    ["arrives damaged", { match: match("part"), times: 1, fault: { type: "corruptMd5" } }]
  ])("sends a part again alone that %s", ([, fault]) => {
    const bytes = content(21 * mebibyte)
    return withStudio(
      { faults: [fault] },
      Effect.gen(function*() {
        const report = yield* upload(UploadSource.file(yield* file(bytes)))
        const { uploader, uploads } = yield* state
        assert.strictEqual(report.attempts, 1)
        assert.strictEqual(uploader.sessions.length, 1)
        assert.deepStrictEqual(uploads.map(({ md5 }) => md5), [md5(bytes)])
        const twice = uploader.sessions[0]?.parts.filter(({ puts }) => puts > 1).length
        assert.strictEqual(twice, fault.apply === true ? 1 : 0)
      })
    )
  })

  it.effect("waits for the response to a part as long as usual if the part is replayed after a login", () =>
    withStudio(
      {
        faults: [
          { match: match("part"), times: 1, fault: { type: "status", status: 401 } },
          { match: match("part"), times: 1, fault: { type: "delay", ms: 2_500 } }
        ]
      },
      Effect.gen(function*() {
        const { entries } = yield* logged(upload(UploadSource.file(yield* file(content(6 * mebibyte)))))
        const parts = entries.filter(({ kind, operation }) => kind === "attempt" && operation === "upload part")
        assert.deepStrictEqual(parts.map(({ status }) => status), [401, 200, 200])
      }),
      { concurrency: 1, stallTimeout: "1 second" }
    ).pipe(inTurns))

  it.effect("sends only the part again that stalls while others move", () =>
    withStudio(
      { faults: [{ match: match("part"), times: 1, fault: { type: "hang" } }] },
      Effect.gen(function*() {
        const report = yield* upload(UploadSource.bytes("gl.csv", content(40 * mebibyte)))
        assert.strictEqual(report.attempts, 1)
        assert.strictEqual((yield* state).uploads.length, 1)
      }),
      // More than the socket's buffers take.
      { stallTimeout: "500 millis", partSize: 16 * mebibyte }
    ).pipe(inTurns))

  it.live("logs in once when the token expires in the middle", () =>
    withStudio(
      { faults: [{ match: match("part"), after: 2, times: 1, fault: { type: "expireTokens" } }] },
      Effect.gen(function*() {
        const bytes = content(26 * mebibyte)
        yield* upload(UploadSource.bytes("gl.csv", bytes))
        const { logins, uploader, uploads } = yield* state
        assert.strictEqual(logins, 2)
        assert.deepStrictEqual(uploader.sessions.length, 1)
        assert.deepStrictEqual(uploads.map(({ md5 }) => md5), [md5(bytes)])
      })
    ))
})

describe("a small file", () => {
  it.live.each<["uploadId" | "nothing", number]>([["uploadId", 1], ["nothing", 2]])(
    "is sent in one request if the service returns its id, otherwise as one part: %s",
    ([singleUploadAnswer, sessions]) =>
      withStudio(
        { singleUploadAnswer },
        Effect.gen(function*() {
          const { receipt } = yield* upload(UploadSource.bytes("gl.csv", "a;b\n1;2\n"))
          const { uploader, uploads } = yield* state
          assert.strictEqual(uploader.sessions.length, sessions)
          assert.strictEqual(receipt.parts, sessions - 1)
          assert.deepStrictEqual(uploads.map(({ bytes }) => bytes), [8])
        })
      )
  )

  it.live("of no bytes arrives", () =>
    withStudio(
      {},
      Effect.gen(function*() {
        yield* upload(UploadSource.bytes("empty.csv", ""))
        assert.deepStrictEqual((yield* state).uploads.map(({ bytes }) => bytes), [0])
      }),
      { smallest: 0 }
    ))
})

describe("a failure", { concurrent: true }, () => {
  const parts = 12 * mebibyte

  it.live.each<[string, FaultRule.FaultRule, string]>([
    [
      "a part that fails permanently",
      { match: match("part"), after: 1, fault: { type: "status", status: 403 } },
      "aborted"
    ],
    [
      "a part that keeps failing",
      { match: match("part"), after: 1, fault: { type: "status", status: 503 } },
      "aborted"
    ],
    ["a login page", { match: match("part"), after: 1, fault: { type: "html", status: 200 } }, "aborted"],
    ["finalizing", { match: match("finalize"), fault: { type: "status", status: 500 } }, "aborted"],
    ["a rejected process", { match: match("process"), fault: { type: "status", status: 400 } }, "aborted"]
  ])("aborts the session: %s", ([, fault, expected]) =>
    withStudio(
      { faults: [fault] },
      Effect.gen(function*() {
        yield* Effect.flip(upload(UploadSource.bytes("gl.csv", content(parts))))
        const { uploader, uploads } = yield* state
        assert.deepStrictEqual(uploader.sessions.map(({ state }) => state), [expected])
        assert.deepStrictEqual(uploads, [])
      })
    ))

  it.live("aborts the session of an upload that is interrupted", () =>
    withStudio(
      { faults: [{ match: match("part"), after: 1, fault: { type: "hang" } }] },
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(upload(UploadSource.bytes("gl.csv", content(parts))))
        yield* reaches(({ uploader }) => uploader.sessions[0]?.parts.length === 1)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual((yield* state).uploader.sessions.map(({ state }) => state), ["aborted"])
      })
    ))

  it.live("before the first byte is retried by the uploader; one after the service's own retries is final", () =>
    withStudio(
      {
        faults: [
          { match: match("initiate"), times: 1, fault: { type: "status", status: 503 } },
          { match: match("finalize"), fault: { type: "status", status: 503 } }
        ]
      },
      Effect.gen(function*() {
        const attempts: Array<number> = []
        yield* Effect.flip(upload(UploadSource.bytes("gl.csv", content(parts)), {
          policy: quick,
          onEvent: (event) => Effect.sync(() => event._tag === "Attempting" && attempts.push(event.attempt))
        }))
        assert.deepStrictEqual(attempts, [1, 2])
        assert.deepStrictEqual((yield* state).uploader.sessions.map(({ state }) => state), ["aborted"])
      })
    ))

  it.live("to abort does not hide the cause", () =>
    withStudio(
      {
        faults: [
          { match: match("part"), fault: { type: "status", status: 403 } },
          { match: match("abort"), fault: { type: "status", status: 500 } }
        ]
      },
      Effect.gen(function*() {
        const error = yield* Effect.flip(upload(UploadSource.bytes("gl.csv", content(parts))))
        assert.strictEqual(error._tag === "ApiError" ? error.reason._tag : error._tag, "Forbidden")
      })
    ))
})

describe("processing", { concurrent: true }, () => {
  it.live.each<[Simulator.Options["processingOutcome"], "individual" | "group", string, Recovery.Recovery["_tag"]]>([
    ["Failed", "individual", "ProcessingFailed", "Correct"],
    ["Failed", "group", "ProcessingFailed", "Correct"],
    ["IncompleteGroupSession", "group", "IncompleteGroupSession", "Correct"],
    ["FailedGroupCheckin", "group", "FailedGroupCheckin", "Verify"]
  ])(
    "that ends as %s (%s) is a typed failure, and not retried",
    ([processingOutcome, processingReport, tag, recovery]) =>
      withStudio(
        { processingReport, ...(processingOutcome === undefined ? {} : { processingOutcome }) },
        Effect.gen(function*() {
          const error = yield* Effect.flip(upload(UploadSource.bytes("gl.csv", "a"), { policy: quick }))
          assert.strictEqual(error._tag === "UploaderError" ? error.reason._tag : error._tag, tag)
          assert.strictEqual(Recovery.of(error)._tag, recovery)
          assert.strictEqual((yield* state).uploader.processes.length, 1)
        })
      )
  )

  it.live("is awaited through failures, also if only the group's status is reported", () =>
    withStudio(
      {
        processingTime: "200 millis",
        processingReport: "group",
        faults: [
          { match: match("status"), times: 3, fault: { type: "status", status: 503 } },
          { match: match("status"), after: 3, times: 1, fault: reset("beforeResponse") }
        ]
      },
      Effect.gen(function*() {
        yield* upload(UploadSource.bytes("gl.csv", "a"), { action: "append" })
        assert.strictEqual((yield* state).uploads.length, 1)
      })
    ))

  it.live("that exceeds its timeout has an unknown outcome", () =>
    withStudio(
      { processingTime: "1 minute" },
      Effect.gen(function*() {
        const error = yield* Effect.flip(upload(UploadSource.bytes("gl.csv", "a"), { policy: quick }))
        assert.strictEqual(error._tag === "UploaderError" ? error.reason._tag : error._tag, "ProcessingUnknown")
        assert.strictEqual(Recovery.of(error)._tag, "Verify")
        assert.strictEqual((yield* state).uploader.processes.length, 1)
      }),
      { processingTimeout: "200 millis" }
    ))

  it.effect("continues after the uploader's response timeout: nothing is sent or processed again", () =>
    withStudio(
      { processingTime: "4 seconds" },
      Effect.gen(function*() {
        const { attempts, receipt } = yield* upload(UploadSource.bytes("gl.csv", content(12 * mebibyte)), {
          policy: RetryPolicy.make({ times: 9, backoff: Backoff.immediate }),
          responseTimeout: "1500 millis"
        })
        const { uploader, uploads } = yield* state
        assert.isAbove(attempts, 1)
        assert.deepInclude(uploader.processes, { ...receiptOf(receipt), status: "Success" })
        assert.deepStrictEqual(
          [uploader.processes.length, uploads.length, uploader.sessions.at(-1)?.parts.map(({ puts }) => puts)],
          [1, 1, [1, 1, 1]]
        )
      })
    ).pipe(inTurns))

  it.live.each<["append" | "overwrite", string, number]>([
    ["append", "OutcomeUnknown", 1],
    ["overwrite", "stored", 2]
  ])("whose start gets no response: an %s is %s", ([action, expected, versions]) =>
    withStudio(
      { faults: [{ match: match("process"), times: 1, apply: true, fault: reset("beforeResponse") }] },
      Effect.gen(function*() {
        const outcome = yield* upload(UploadSource.bytes("gl.csv", "a"), { action, policy: quick }).pipe(
          Effect.match({
            onSuccess: () => "stored",
            onFailure: (error) => error._tag === "ApiError" ? error.reason._tag : error._tag
          })
        )
        assert.strictEqual(outcome, expected)
        yield* reaches(({ uploads }) => uploads.length === versions)
      })
    ))
})

describe("a 2xx response that reports an error", () => {
  const json = (body: string) => ({ type: "status", status: 200, body }) as const
  const said = [`{"message":"Access denied"}`, `{"status":"error"}`, `{"error":{"code":7}}`]
  const ids = [`{"uploadId":".."}`, `{"uploadId":"."}`, `{"uploadId":""}`, `{"uploadId":"\\ud800"}`]

  it.live.each<[FaultRule.Operation, string]>([
    ...(["initiate", "part", "finalize", "process", "status"] as const).flatMap((operation) =>
      said.map((body): [FaultRule.Operation, string] => [operation, body])
    ),
    ...ids.map((body): [FaultRule.Operation, string] => ["initiate", body]),
    ["process", `{"processId":".."}`],
    ["process", `{"processId":"\\ud800"}`]
  ])("to %s: %s", ([operation, body]) =>
    withStudio(
      { faults: [{ match: match(operation), fault: json(body) }] },
      Effect.gen(function*() {
        const path = yield* file(content(6 * mebibyte))
        const error = yield* Effect.flip(upload(UploadSource.file(path), { action: "append" }))
        assert.include(["UndecodableAnswer", "OutcomeUnknown", "ProcessingUnknown"], ErrorName.reasonTagOf(error))
        const { uploads } = yield* state
        assert.isAtMost(uploads.length, operation === "status" ? 1 : 0)
      }),
      { policy: RetryPolicy.noop }
    ))
})

describe("rejects before anything is sent", () => {
  const rejection = (source: UploadSource.UploadSource<FileSystem.FileSystem>, force = false) =>
    withStudio(
      {},
      Effect.gen(function*() {
        const error = yield* Effect.flip(upload(source, { force }))
        assert.strictEqual(Recovery.of(error)._tag, "Correct")
        assert.deepStrictEqual((yield* state).uploader.sessions, [])
        return error.message
      })
    )

  it.live("a source that can be read only once", () =>
    Effect.gen(function*() {
      const stream = Stream.succeed(new Uint8Array(3))
      const message = yield* rejection(UploadSource.oneShot("stdin.csv", { size: 3, stream }))
      assert.include(message, "stdin.csv cannot go through the uploader service: its source can be read only once")
    }))

  it.live("a source of unknown size", () =>
    Effect.gen(function*() {
      const message = yield* rejection(UploadSource.gzip(UploadSource.bytes("gl.csv", "a")))
      assert.include(message, "its size is not known beforehand")
    }))

  it.live("an overwrite of a checked-out table by force", () =>
    Effect.gen(function*() {
      const message = yield* rejection(UploadSource.bytes("gl.csv", "a"), true)
      assert.include(message, "checked-out")
    }))

  it.live("a region without the service", () =>
    withStudio(
      {},
      Effect.gen(function*() {
        const settings = yield* Settings.Settings
        const elsewhere = UploaderService.UploaderService.layer.pipe(
          Layer.provide(Layer.succeed(Settings.Settings, { ...settings, region: "usgov", datalink: undefined })),
          Layer.provide(NodeHttpClient.layerUndici)
        )
        const error = yield* Effect.flip(Effect.provide(upload(UploadSource.bytes("gl.csv", "a")), elsewhere))
        assert.strictEqual(
          error.message,
          "gl.csv cannot be sent: the region usgov has no uploader service. " +
            "Upload to the table itself, or set TBM_DATALINK_URL."
        )
        assert.deepStrictEqual(Region.all.filter((region) => Region.datalinkUrl(region) === undefined), [
          "usgov",
          "aug"
        ])
      })
    ))

  it("options that are out of range", () => {
    const { layerOptions } = UploaderService.UploaderService
    assert.throws(() => layerOptions({ partSize: mebibyte }), RangeError)
    assert.throws(() => layerOptions({ concurrency: 0 }), RangeError)
    assert.throws(() => layerOptions({ smallest: -1 }), RangeError)
  })
})
