import type { FaultRule } from "@effect-resilience/tbm-simulator"
import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { gzipSync } from "node:zlib"
import { call, form, logIn, part, type Session, upload, v1 } from "./client.ts"

const simulated = <A, E>(
  options: Simulator.Options,
  test: (simulator: Simulator.Simulator["Service"]) => Effect.Effect<A, E>
) => Effect.provide(Effect.flatMap(Simulator.Simulator, test), Simulator.layer({ seed: 1, ...options }))

const v2 = "/biit/api/v2/domains/acme.com/projects/Cost+Transparency/tables/GL+Data/dates/January:2024"
const base = v1.slice(0, -1)

const download = ({ headers, url }: Session, path = `${v2}.tsv`) => call(url + path, { headers })

const message = (json: unknown) =>
  typeof json === "object" && json !== null && "message" in json ? json.message : undefined

describe("the spellings of an upload", () => {
  const file = part("myfile", "data.csv", "a\n1\n")
  it.effect.each(
    [
      [base, [file], "overwrite"],
      [v2, [file], "overwrite"],
      [`${v2}/append`, [file], "append"],
      [base, [part("action", undefined, "append"), file], "append"],
      [base, [file, part("action", undefined, "append")], "append"],
      [v2, [file, part("action", undefined, "overwrite")], "overwrite"]
    ] satisfies ReadonlyArray<[string, ReadonlyArray<Buffer>, string]>
  )("%s, case %#", ([path, parts, action]) =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        yield* upload(session)
        assert.strictEqual((yield* upload(session, { path, body: form(...parts) })).status, 202)
        const { tables, uploads } = yield* state
        const [stored] = uploads.slice(1)
        assert.deepStrictEqual([stored?.project, stored?.table, stored?.action], [
          "Cost Transparency",
          "GL Data",
          action
        ])
        assert.deepStrictEqual(Object.entries(tables).map(([key, { rows }]) => [key, rows]), [
          ["Cost Transparency/GL Data/January:2024", action === "append" ? 4 : 2]
        ])
      })))

  it.effect.each(
    [
      [`${base}/force`, [file], 201],
      [`${v2}/force`, [file, part("action", undefined, "append")], 201],
      [base, [part("force", undefined, "true"), part("action", undefined, "append"), file], 201],
      [base, [file], 409],
      [base, [file, part("action", undefined, "replace")], 400],
      [`${base}/overwrite`, [file, part("action", undefined, "append")], 400],
      [`${base}/force/append`, [file], 400]
    ] satisfies ReadonlyArray<[string, ReadonlyArray<Buffer>, number]>
  )(
    "of a table that is checked out: %s, case %#",
    ([path, parts, status]) =>
      simulated(
        { checkedOut: [{ project: "Cost Transparency", table: "GL Data" }] },
        ({ url }) =>
          Effect.gen(function*() {
            assert.strictEqual((yield* upload(yield* logIn(url), { path, body: form(...parts) })).status, status)
          })
      )
  )

  it.effect("have the status 200 if the options say so", () =>
    simulated({ uploadStatus: "ok" }, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        assert.deepStrictEqual([(yield* upload(session)).status, (yield* upload(session)).status], [200, 200])
      })))

  it.effect("keep a plus sign in v1, and an encoded one in v2", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        yield* upload(session, { path: "/biit/api/v1/acme.com/A+B/T/current/append" })
        yield* upload(session, { path: v2.replace("Cost+Transparency", "A%2BB") })
        assert.deepStrictEqual((yield* state).uploads.map(({ project }) => project), ["A+B", "A+B"])
      })))
})

describe("a download", () => {
  it.effect("has the rows of all files of the table, with one header, as TSV", () =>
    simulated({}, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        yield* upload(session, { content: "old\n0\n" })
        yield* upload(session, { content: "Name,Amount\r\n\"Müller, \"\"KG\"\"\",1.5\r\n\"a\tb\",2" })
        const append = (fileName: string, content: string | Uint8Array) =>
          upload(session, { path: `${v1}append`, fileName, content })
        yield* append("late.tsv", "Name\tAmount\nx,y\t3\n\t\n")
        yield* append("packed.csv.gz", gzipSync("Name,Amount\nz,4\n"))
        const { body, headers, status } = yield* download(session)
        assert.deepStrictEqual([status, headers["content-type"]], [200, "text/tab-separated-values;charset=UTF-8"])
        assert.strictEqual(
          body,
          "Name\tAmount\n\"Müller, \"\"KG\"\"\"\t1.5\n\"a\tb\"\t2\nx,y\t3\n\t\nz\t4\n"
        )
        assert.strictEqual((yield* download(session, v2)).body, body)
      })))

  it.effect("is for those who are logged in only, and shows no other account's tables", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        yield* upload(session, { content: "secret\nsalary\n" })
        assert.strictEqual((yield* call(`${url}${v2}.tsv`)).status, 401)
        const { "apptio-current-environment": _, ...headers } = session.headers
        assert.strictEqual((yield* call(`${url}${v2}.tsv`, { headers })).status, 403)
        assert.strictEqual((yield* download(session, v2.replace("acme.com", "other.com"))).status, 400)
        assert.notInclude(JSON.stringify(yield* state), "salary")
        assert.notInclude((yield* call(`${url}/__simulator/state`)).body, "salary")
      })))

  it.effect("of what is not there is 404, of a bad period 400", () =>
    simulated({}, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        const missing = yield* download(session)
        assert.deepStrictEqual([missing.status, message(missing.json)], [404, "Table not found: 'GL Data'."])
        assert.strictEqual((yield* download(session, v2.replace("January", "Smarch"))).status, 400)
      })))

  it.effect("of the tables that were stored longest ago is 501 if there is no room for them", () =>
    simulated({ keptBytes: 20 }, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        const at = (period: string, content: string, action = "overwrite") =>
          upload(session, { path: `${base.replace("January", period)}/${action}`, content })
        const read = (period: string) => download(session, v2.replace("January", period))
        yield* at("May", "a\n12345678\n")
        yield* at("June", "a\n1234567\n")
        assert.deepStrictEqual([(yield* read("May")).status, (yield* read("June")).status], [501, 200])
        yield* at("May", "a\n1\n", "append")
        yield* at("July", "a\n123456789012345678901\n")
        assert.deepStrictEqual([(yield* read("May")).status, (yield* read("July")).status], [501, 501])
        yield* at("May", "a\n1\n")
        assert.strictEqual((yield* read("May")).body, "a\n1\n")
        assert.deepStrictEqual(
          Object.values((yield* state).tables).map(({ versions }) => versions),
          [3, 1, 1]
        )
      })))

  it.effect("can be cut short", () =>
    simulated({}, ({ addFaults, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        yield* upload(session)
        const rule: FaultRule.FaultRule = { match: { operation: "download" }, times: 1, fault: { type: "truncate" } }
        yield* addFaults([rule])
        const broken = yield* Effect.flip(download(session))
        assert.strictEqual(broken.body, "a\tb\n")
        assert.strictEqual((yield* download(session)).body, "a\tb\n1\t2\n")
      })))
})

describe("the uploader service", () => {
  it.effect("has two bases, and reads both spellings of autoCheckin", () =>
    simulated({ processingTime: 0 }, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        const headers = { ...session.headers, "app-type": "UploaderService", "content-type": "application/json" }
        const metadata = { period: "January:2024", domain: "acme.com", name: "a.csv", host: "h", project: "P" }
        for (const root of ["/uls/v1", "/uls/api/v1"]) {
          const single = yield* upload(session, {
            path: `${root}/upload?partSize=4`,
            headers: { "app-type": "UploaderService" },
            body: form(part("metadata", undefined, JSON.stringify({ name: "T" })), part("data", "a.csv", "a\n1\n"))
          })
          const { uploadId } = JSON.parse(single.body)
          const body = JSON.stringify({
            metadata: { ...metadata, source: "s3", overwrite: "true", autoCheckIn: "true", category: "c", branch: "b" },
            uploadIds: [uploadId],
            uploadTargetMapping: {
              [uploadId]: { ...metadata, source: "S3", overwrite: "true", autoCheckin: true }
            }
          })
          const processed = yield* call(`${url}${root}/process`, { method: "POST", headers, body })
          assert.strictEqual(processed.status, 200, processed.body)
        }
      })))
})
