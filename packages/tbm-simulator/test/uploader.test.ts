import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { gzipSync } from "node:zlib"
import { boundary, call, form, logIn, part as formPart, type Session } from "./client.ts"

const simulated = <A, E>(
  options: Simulator.Options,
  test: (simulator: Simulator.Simulator["Service"]) => Effect.Effect<A, E>
) =>
  Effect.provide(
    Effect.flatMap(Simulator.Simulator, test),
    Simulator.layer({ seed: 1, minPartBytes: 4, ...options })
  )

const md5 = (content: string | Uint8Array, encoding: "hex" | "base64" = "hex") =>
  createHash("md5").update(content).digest(encoding)

const field = (json: unknown, name: string): unknown =>
  typeof json === "object" && json !== null ? Reflect.get(json, name) : undefined

const open = Effect.fnUntraced(function*(url: string) {
  const session = yield* logIn(url)
  return { ...session, headers: { ...session.headers, "app-type": "UploaderService", "app-version": "1.00.0" } }
})

const api = ({ headers, url }: Session, method: string, path: string, body?: unknown) =>
  call(`${url}/uls/api/v1${path}`, {
    method,
    headers: { ...headers, "content-type": "application/json" },
    body: body === undefined ? "" : JSON.stringify(body)
  })

const initiate = (session: Session, name = "GL Data") =>
  Effect.map(api(session, "POST", "/upload/multipart", { name }), ({ json }) => String(field(json, "uploadId")))

const put = (session: Session, uploadId: string, number: number | string, content: string | Uint8Array, {
  last = false,
  md5: digest = md5(content, "base64"),
  size = content.length
}: { readonly last?: boolean; readonly md5?: string; readonly size?: number } = {}) =>
  call(
    `${session.url}/uls/api/v1/upload/multipart/${uploadId}/part/${number}` +
      `?lastPart=${last}&md5=${encodeURIComponent(digest)}&partSize=${size}`,
    { method: "PUT", headers: { ...session.headers, "content-type": "application/octet-stream" }, body: content }
  )

const metadata = {
  period: "January:2024",
  domain: "acme.com",
  name: "gl.csv",
  host: "acme.apptio.com",
  format: "csv",
  project: "Cost Transparency",
  source: "S3",
  overwrite: "true",
  autoCheckin: "true"
}

const process = (session: Session, uploadIds: ReadonlyArray<string>, change: object = {}, more: object = {}) =>
  api(session, "POST", "/process", { metadata: { ...metadata, ...change }, uploadIds, ...more })

const startProcess = (...args: Parameters<typeof process>) =>
  Effect.map(process(...args), ({ json }) => String(field(json, "processId")))

const status = (session: Session, processId: string) =>
  Effect.map(api(session, "GET", `/status/${processId}`), ({ json }) => {
    const [whole] = field(json, "statuses") as ReadonlyArray<
      {
        readonly statusCode: string | null
        readonly statusMap: Record<string, { readonly statusCode: string; readonly detail: string | null }>
      }
    >
    return {
      group: whole?.statusCode,
      each: Object.values(whole?.statusMap ?? {}).map(({ statusCode }) => statusCode),
      details: Object.values(whole?.statusMap ?? {}).map(({ detail }) => detail)
    }
  })

const parts = ["a,b\n", "1,2\n", "3"]

const upload = Effect.fnUntraced(function*(session: Session, contents: ReadonlyArray<string | Uint8Array> = parts) {
  const uploadId = yield* initiate(session)
  const order = contents.map((content, index) => ({ content, number: index + 1 })).toReversed()
  for (const { content, number } of order) {
    yield* put(session, uploadId, number, content, { last: number === contents.length })
  }
  yield* api(session, "POST", `/upload/multipart/${uploadId}`)
  return uploadId
})

describe("the uploader service", () => {
  it.effect("puts the parts together in order, whatever the order of arrival, and stores them after processing", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const uploadId = yield* upload(session)
        assert.deepStrictEqual((yield* state).uploads, [])
        const processId = yield* startProcess(session, [uploadId])
        assert.deepInclude(yield* status(session, processId), { group: null, each: ["NotStarted"] })
        yield* TestClock.adjust("500 millis")
        assert.deepInclude(yield* status(session, processId), { group: null, each: ["InProgress"] })
        yield* TestClock.adjust("500 millis")
        yield* Effect.eventually(Effect.flatMap(
          status(session, processId),
          ({ each: [code] }) => code === "Success" ? Effect.void : Effect.fail("not yet")
        ))
        const { tables, uploader, uploads } = yield* state
        const whole = parts.join("")
        assert.deepInclude(uploads[0], {
          project: "Cost Transparency",
          table: "GL Data",
          period: "January:2024",
          action: "overwrite",
          fileName: "gl.csv",
          bytes: whole.length,
          md5: md5(whole)
        })
        assert.deepStrictEqual(tables, {
          "Cost Transparency/GL Data/January:2024": { bytes: whole.length, rows: 3, md5: md5(whole), versions: 1 }
        })
        assert.deepStrictEqual(uploader, {
          sessions: [{
            uploadId,
            table: "GL Data",
            single: false,
            state: "finalized",
            parts: parts.map((content, index) => ({
              number: index + 1,
              bytes: content.length,
              md5: md5(content),
              puts: 1
            }))
          }],
          processes: [{ processId, uploadIds: [uploadId], status: "Success" }]
        })
      })))

  it.live("takes a file in one request", () =>
    simulated({ processingTime: 0 }, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const body = form(formPart("metadata", undefined, `{"name":"GL Data"}`), formPart("data", "gl.csv", "a\n1\n"))
        const { json, status: code } = yield* call(`${url}/uls/api/v1/upload?partSize=4`, {
          method: "POST",
          headers: { ...session.headers, "content-type": `multipart/form-data; boundary=${boundary}` },
          body
        })
        assert.strictEqual(code, 200)
        const processId = yield* startProcess(session, [String(field(json, "uploadId"))], { overwrite: "false" })
        yield* finished(session, processId)
        const { uploads } = yield* state
        assert.deepInclude(uploads[0], { action: "append", bytes: 4, md5: md5("a\n1\n") })
      })))

  it.effect("returns nothing for a file in one request if the options say so", () =>
    simulated({ singleUploadAnswer: "nothing" }, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const { json } = yield* call(`${url}/uls/api/v1/upload`, {
          method: "POST",
          headers: { ...session.headers, "content-type": `multipart/form-data; boundary=${boundary}` },
          body: form(formPart("metadata", undefined, `{"name":"T"}`), formPart("data", "t.csv", "a"))
        })
        assert.deepStrictEqual(json, {})
      })))

  it.effect("rejects parts with a wrong md5, size or number, and stores none of them", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const uploadId = yield* initiate(session)
        const rejected = yield* Effect.forEach([
          put(session, uploadId, 1, "1234", { md5: md5("other", "base64") }),
          put(session, uploadId, 1, "1234", { md5: md5("1234", "hex") }),
          put(session, uploadId, 1, "1234", { size: 5 }),
          put(session, uploadId, 1, "123"),
          put(session, uploadId, 0, "1234"),
          put(session, uploadId, "x", "1234"),
          put(session, "unknown", 1, "1234")
        ], Effect.map(({ status }) => status))
        assert.deepStrictEqual(rejected, [400, 400, 400, 400, 400, 400, 404])
        assert.deepStrictEqual((yield* state).uploader.sessions[0]?.parts, [])
        assert.strictEqual((yield* put(session, uploadId, 1, "123", { last: true })).status, 200)
      })))

  it.effect("replaces a part that comes again", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const uploadId = yield* initiate(session)
        yield* put(session, uploadId, 1, "1111", { last: true })
        yield* put(session, uploadId, 1, "2222", { last: true })
        assert.deepStrictEqual((yield* state).uploader.sessions[0]?.parts, [
          { number: 1, bytes: 4, md5: md5("2222"), puts: 2 }
        ])
      })))

  it.effect("finalizes only what is complete, and forgets what is aborted", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const uploadId = yield* initiate(session)
        const finalize = Effect.map(api(session, "POST", `/upload/multipart/${uploadId}`), ({ status }) => status)
        assert.strictEqual(yield* finalize, 400)
        yield* put(session, uploadId, 2, "1234", { last: true })
        assert.strictEqual(yield* finalize, 400)
        assert.strictEqual((yield* process(session, [uploadId])).status, 400)
        yield* put(session, uploadId, 1, "1234")
        assert.strictEqual(yield* finalize, 200)
        assert.strictEqual(yield* finalize, 200)
        assert.strictEqual((yield* put(session, uploadId, 1, "1234")).status, 400)
        assert.strictEqual((yield* api(session, "DELETE", `/upload/multipart/${uploadId}`)).status, 200)
        assert.strictEqual((yield* api(session, "DELETE", `/upload/multipart/${uploadId}`)).status, 404)
        assert.strictEqual((yield* state).uploader.sessions[0]?.state, "aborted")
        assert.strictEqual((yield* process(session, [uploadId])).status, 400)
      })))

  it.effect.each<[string, object, number]>([
    ["a bad period", { period: "SOMEDATE:2010" }, 400],
    ["another domain", { domain: "other.com" }, 400],
    ["no project", { project: "" }, 400],
    ["no action", { overwrite: undefined }, 400]
  ])("rejects a process request with %s", ([, change, expected]) =>
    simulated({}, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const { status } = yield* process(session, [yield* upload(session)], change)
        assert.strictEqual(status, expected)
      })))

  it.live.each<[Simulator.Options["processingOutcome"], string | null, string, number]>([
    ["Success", null, "Success", 1],
    ["Failed", null, "Failed", 0],
    ["IncompleteGroupSession", "IncompleteGroupSession", "Failed", 0],
    ["FailedGroupCheckin", "FailedGroupCheckin", "Success", 0]
  ])(
    "ends with the outcome of the options: %s",
    ([processingOutcome, group, each, stored]) =>
      simulated(
        { processingTime: 0, ...(processingOutcome === undefined ? {} : { processingOutcome }) },
        (simulator) =>
          Effect.gen(function*() {
            const session = yield* open(simulator.url)
            const processId = yield* startProcess(session, [yield* upload(session)])
            yield* finished(session, processId)
            assert.deepInclude(yield* status(session, processId), { group, each: [each] })
            assert.strictEqual((yield* simulator.state).uploads.length, stored)
          })
      )
  )

  it.live("returns the group's code too if the options say so", () =>
    simulated({ processingTime: 0, processingReport: "group" }, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const processId = yield* startProcess(session, [yield* upload(session)])
        yield* finished(session, processId)
        assert.deepInclude(yield* status(session, processId), { group: "Success", each: ["Success"] })
      })))

  it.live("processes several uploads as a group, each to its own target", () =>
    simulated({ processingTime: 0 }, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const [first, second] = [yield* upload(session), yield* upload(session, [gzipSync("x"), "no gzip"])]
        const processId = yield* startProcess(session, [first, second], {}, {
          uploadTargetMapping: { [second]: { ...metadata, period: "current", name: "gl.csv.gz" } }
        })
        yield* finished(session, processId)
        assert.deepInclude(yield* status(session, processId), {
          group: "IncompleteGroupSession",
          each: ["Success", "Failed"],
          details: [null, "The file 'gl.csv.gz' is not in GZIP format."]
        })
        assert.deepStrictEqual((yield* state).uploads.map(({ period }) => period), ["January:2024"])
        const inconsistent = yield* process(session, [first, second], {}, {
          uploadTargetMapping: { [second]: { ...metadata, project: "Another" } }
        })
        assert.strictEqual(inconsistent.status, 400)
      })))

  it.live("fails the processing of a table that does not exist or is checked out", () =>
    simulated({
      processingTime: 0,
      tables: [{ project: "Cost Transparency", table: "Labor" }]
    }, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const processId = yield* startProcess(session, [yield* upload(session)])
        yield* finished(session, processId)
        assert.deepInclude(yield* status(session, processId), {
          each: ["Failed"],
          details: ["Table not found: 'GL Data'."]
        })
      })))

  it.effect("needs a token and its own app-type", () =>
    simulated({}, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        const other = { ...session, headers: { ...session.headers, "app-type": "Flagship" } }
        assert.strictEqual((yield* api(other, "POST", "/upload/multipart", { name: "T" })).status, 401)
        const bare = { url, headers: { "app-type": "UploaderService", "app-version": "1.00.0" } }
        assert.strictEqual((yield* api(bare, "GET", "/status/1")).status, 401)
        assert.strictEqual((yield* api(session, "GET", "/status/1")).status, 404)
        assert.strictEqual((yield* api(session, "GET", "/upload/multipart/1")).status, 405)
        assert.strictEqual((yield* api(session, "POST", "/nothing")).status, 404)
      })))

  it.effect("has faults by operation, which leave no trace without `apply`", () =>
    simulated({
      faults: [
        { match: { operation: "initiate" }, times: 1, fault: { type: "reset", at: "midResponse" } },
        { match: { operation: "part" }, times: 1, fault: { type: "corruptMd5" } },
        { match: { operation: "part" }, after: 1, times: 1, apply: true, fault: { type: "status", status: 503 } },
        { match: { operation: "upload" }, fault: { type: "status", status: 500 } }
      ]
    }, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* open(url)
        yield* Effect.flip(initiate(session))
        const uploadId = yield* initiate(session)
        assert.strictEqual((yield* put(session, uploadId, 1, "1234")).status, 400)
        assert.strictEqual((yield* put(session, uploadId, 2, "5678")).status, 503)
        const { sessions } = (yield* state).uploader
        assert.deepStrictEqual(sessions.map(({ parts }) => parts.map(({ number }) => number)), [[2]])
      })))

  it.live(
    "takes 64 MiB in parts of 8 MiB, keeps them outside of memory, and leaves no file behind",
    () =>
      Effect.gen(function*() {
        const folder = yield* ownTemporaryFolder
        yield* simulated({ minPartBytes: 5 * 1024 * 1024, processingTime: 0 }, ({ state, url }) =>
          Effect.gen(function*() {
            const session = yield* open(url)
            const uploadId = yield* initiate(session)
            const content = Buffer.alloc(8 * 1024 * 1024, "0123456789abcdef")
            yield* Effect.forEach(
              [8, 3, 1, 2, 7, 5, 6, 4],
              (number) =>
                put(session, uploadId, number, content, { last: number === 8 }),
              { concurrency: 4, discard: true }
            )
            yield* api(session, "POST", `/upload/multipart/${uploadId}`)
            yield* finished(session, yield* startProcess(session, [uploadId]))
            const { uploads } = yield* state
            const whole = createHash("md5")
            for (let i = 0; i < 8; i++) whole.update(content)
            assert.deepInclude(uploads[0], { bytes: 64 * 1024 * 1024, md5: whole.digest("hex") })
            assert.strictEqual(readdirSync(folder).length, 1)
          }))
        assert.deepStrictEqual(readdirSync(folder), [])
      }).pipe(Effect.scoped)
  )
})

const ownTemporaryFolder = Effect.acquireRelease(
  Effect.sync(() => {
    const usual = globalThis.process.env["TMPDIR"]
    const path = mkdtempSync(`${tmpdir()}/uploader-test-`)
    globalThis.process.env["TMPDIR"] = path
    return { path, usual }
  }),
  ({ path, usual }) =>
    Effect.sync(() => {
      if (usual === undefined) delete globalThis.process.env["TMPDIR"]
      else globalThis.process.env["TMPDIR"] = usual
      rmSync(path, { recursive: true })
    })
).pipe(Effect.map(({ path }) => path))

const finished = (session: Session, processId: string) =>
  Effect.flatMap(
    status(session, processId),
    ({ each }) => each.every((code) => code === "Success" || code === "Failed") ? Effect.void : Effect.fail("not yet")
  ).pipe(
    Effect.eventually
  )
