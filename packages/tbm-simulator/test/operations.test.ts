import { Account, Simulator, SimulatorOptions } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"
import { boundary, call, form, logIn, login, part, sampleKeys, upload, type UploadOptions, v1 } from "./client.ts"

const md5 = (content: string | Uint8Array) => createHash("md5").update(content).digest("hex")

const simulated = <A, E>(
  options: Simulator.Options,
  test: (simulator: Simulator.Simulator["Service"]) => Effect.Effect<A, E>
) => Effect.provide(Effect.flatMap(Simulator.Simulator, test), Simulator.layer({ seed: 1, ...options }))

const message = (json: unknown) =>
  typeof json === "object" && json !== null && "message" in json ? json.message : undefined

describe("login", () => {
  it.effect("responds with the token as header and cookie", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const { headers, status } = yield* login(url)
        const token = headers["apptio-opentoken"]
        assert.strictEqual(status, 200)
        assert.match(String(token), /^[\w-]{48}$/)
        assert.deepStrictEqual(headers["set-cookie"], [`apptio-opentoken=${token}; Path=/; HttpOnly`])
        assert.isUndefined(headers["valid_till"])
        assert.strictEqual((yield* state).logins, 1)
      })))

  it.effect.each<[Simulator.Options["tokenIn"], boolean, boolean]>([
    ["header", true, false],
    ["cookie", false, true],
    ["none", false, false],
    ["different", true, true]
  ])(
    "puts the token into the place of tokenIn: %s",
    ([tokenIn, header, cookie]) =>
      simulated(tokenIn === undefined ? {} : { tokenIn }, ({ url }) =>
        Effect.gen(function*() {
          const { headers } = yield* login(url)
          assert.strictEqual(headers["apptio-opentoken"] !== undefined, header)
          assert.strictEqual(headers["set-cookie"] !== undefined, cookie)
          if (tokenIn === "different") {
            assert.notInclude(headers["set-cookie"]?.[0] ?? "", String(headers["apptio-opentoken"]))
          }
        }))
  )

  it.effect.each(
    [
      [{ validTill: "seconds" }, "valid_till", "3600"],
      [{ validTill: "millis", validTillHeader: "valid-till" }, "valid-till", "3600000"],
      [{ validTill: "iso" }, "valid_till", "1970-01-01T01:00:00.000Z"],
      [{ cookieExpiry: "maxAge" }, "set-cookie", "; Max-Age=3600"],
      [{ cookieExpiry: "expires" }, "set-cookie", "; Expires=Thu, 01 Jan 1970 01:00:00 GMT"]
    ] satisfies ReadonlyArray<[Simulator.Options, string, string]>
  )("returns the expiry: %j", ([options, name, expected]) =>
    simulated(options, ({ url }) =>
      Effect.gen(function*() {
        const { headers } = yield* login(url)
        assert.isTrue(String(headers[name]).endsWith(expected), String(headers[name]))
      })))

  it.effect.each([
    { ...sampleKeys, keySecret: "wrong" },
    { ...sampleKeys, keyAccess: "unknown" },
    { keyAccess: "sim-public-key" },
    ["no", "object"]
  ])("rejects %j", (keys) =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const { headers, json, status } = yield* login(url, keys)
        assert.strictEqual(status, 400)
        assert.deepStrictEqual(json, { message: "Invalid request data submitted. Unable to log the user in." })
        assert.isUndefined(headers["apptio-opentoken"])
        assert.strictEqual((yield* state).logins, 1)
      })))

  it.effect("rejects what is not JSON, too long, or not a POST", () =>
    simulated({}, ({ url }) =>
      Effect.gen(function*() {
        const path = `${url}/service/apikeylogin`
        const post = (type: string, body: string) =>
          Effect.map(call(path, { method: "POST", headers: { "content-type": type }, body }), ({ status }) => status)
        assert.strictEqual(yield* post("application/json", "{"), 400)
        assert.strictEqual(yield* post("text/plain", JSON.stringify(sampleKeys)), 400)
        assert.strictEqual(yield* post("application/json", "x".repeat(70_000)), 413)
        const get = yield* call(path)
        assert.strictEqual(get.status, 405)
        assert.strictEqual(get.headers.allow, "POST")
      })))

  it.effect("rejects with the status and field of the options", () =>
    simulated({ rejectedLogin: 403, errorField: "error" }, ({ url }) =>
      Effect.gen(function*() {
        const { json, status } = yield* login(url, { ...sampleKeys, keySecret: "wrong" })
        assert.strictEqual(status, 403)
        assert.deepStrictEqual(json, { error: "Invalid request data submitted. Unable to log the user in." })
      })))

  it.effect("locks an account after failed logins in a row", () =>
    simulated({ lockAfter: 2 }, ({ reset, url }) =>
      Effect.gen(function*() {
        const wrong = login(url, { ...sampleKeys, keySecret: "wrong" })
        yield* wrong
        assert.strictEqual((yield* login(url)).status, 200)
        yield* wrong
        yield* wrong
        assert.include(message((yield* login(url)).json), "locked")
        yield* reset
        assert.strictEqual((yield* login(url)).status, 200)
      })))

  it.effect("repeats its tokens from a seed, after a reset too", () =>
    Effect.gen(function*() {
      const tokens = simulated({ seed: 7 }, ({ reset, url }) =>
        Effect.gen(function*() {
          const token = Effect.map(login(url), ({ headers }) => headers["apptio-opentoken"])
          const first = [yield* token, yield* token]
          yield* reset
          return [first, [yield* token, yield* token]]
        }))
      const [first, afterReset] = yield* tokens
      assert.deepStrictEqual(first, afterReset)
      assert.notStrictEqual(first?.[0], first?.[1])
      assert.deepStrictEqual((yield* tokens)[0], first)
    }))

  it.effect("never repeats a token without a seed", () =>
    Effect.provide(
      Effect.gen(function*() {
        const { reset, url } = yield* Simulator.Simulator
        const session = yield* logIn(url)
        yield* reset
        yield* logIn(url)
        assert.strictEqual((yield* upload(session)).status, 401)
      }),
      Simulator.layer()
    ))
})

describe("tokens", () => {
  it.effect("end with their lifetime", () =>
    simulated({ tokenLifetime: "10 minutes" }, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        yield* TestClock.adjust("9 minutes")
        assert.strictEqual((yield* upload(session)).status, 201)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* upload(session)).status, 401)
        assert.deepStrictEqual((yield* state).tokens, { issued: 1, expired: 1 })
      })))

  it.effect("expire all on request", () =>
    simulated({}, ({ expireTokens, state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        yield* login(url)
        assert.strictEqual(yield* expireTokens, 2)
        assert.strictEqual(yield* expireTokens, 0)
        assert.strictEqual((yield* upload(session)).status, 401)
        assert.strictEqual((yield* upload(yield* logIn(url))).status, 201)
        assert.deepStrictEqual((yield* state).tokens, { issued: 3, expired: 2 })
      })))

  it.effect("are taken from the cookie as well", () =>
    simulated({}, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        const cookie = `a=b; apptio-opentoken=${session.headers["apptio-opentoken"]}`
        assert.strictEqual((yield* upload(session, { headers: { "apptio-opentoken": "", cookie } })).status, 201)
      })))
})

const accounts: ReadonlyArray<Account.Account> = [
  { ...Account.sample, environments: { main: "env-a", test: 42 } },
  { ...Account.sample, publicKey: "reader", permissions: ["AccessDev"] },
  { ...Account.sample, publicKey: "no-permissions", permissions: [] },
  { ...Account.sample, publicKey: "other", domain: "other.com", environments: { main: "env-b" } }
]

describe("environment", () => {
  it.effect.each([
    ["acme.com/main", "sim-public-key", 200],
    ["acme.com/test", "sim-public-key", 200],
    ["acme.com/none", "sim-public-key", 404],
    ["acme.com/constructor", "sim-public-key", 404],
    ["nowhere.com/main", "sim-public-key", 400],
    ["other.com/main", "sim-public-key", 403],
    ["acme.com/main", "no-permissions", 403],
    ["acme.com", "sim-public-key", 400],
    ["acme.com/main/more", "sim-public-key", 400]
  ])(
    "responds to %j",
    ([path, keyAccess, expected]) =>
      simulated({ accounts }, ({ state, url }) =>
        Effect.gen(function*() {
          const session = yield* logIn(url, { ...sampleKeys, keyAccess })
          const { json, status } = yield* call(`${url}/api/environment/${path}`, { headers: session.headers })
          assert.strictEqual(status, expected)
          if (path === "acme.com/main" && status === 200) {
            assert.deepStrictEqual(json, { id: "env-a", name: "main", domain: "acme.com" })
          }
          if (path === "acme.com/test") assert.deepStrictEqual(json, { id: 42, name: "test", domain: "acme.com" })
          if (status === 200) assert.strictEqual((yield* state).environmentLookups, 2)
        }))
  )

  it.effect.each(["apptio-opentoken", "app-type", "app-version"])(
    "responds with 401 without %s",
    (name) =>
      simulated({}, ({ url }) =>
        Effect.gen(function*() {
          const { headers } = yield* logIn(url)
          const { [name]: _, ...rest } = headers
          assert.strictEqual((yield* call(`${url}/api/environment/acme.com/main`, { headers: rest })).status, 401)
        }))
  )
})

describe("upload", () => {
  it.effect("creates, then updates, and responds with the md5, length and file name", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        const first = yield* upload(session, { content: "a,b\n1,2\n" })
        assert.strictEqual(first.status, 201)
        assert.deepStrictEqual(first.json, { md5: md5("a,b\n1,2\n"), length: 8, fileName: "data.csv" })
        assert.strictEqual((yield* upload(session, { path: `${v1}append`, content: "3,4" })).status, 202)
        assert.deepStrictEqual((yield* state).tables, {
          "Cost Transparency/GL Data/January:2024": { bytes: 11, rows: 3, md5: md5("a,b\n1,2\n3,4"), versions: 2 }
        })
        assert.strictEqual((yield* upload(session, { content: "new\n" })).status, 202)
        const { requests, tables, uploads } = yield* state
        assert.deepStrictEqual(tables, {
          "Cost Transparency/GL Data/January:2024": { bytes: 4, rows: 1, md5: md5("new\n"), versions: 3 }
        })
        assert.deepStrictEqual(uploads.map(({ action, bytes }) => [action, bytes]), [
          ["overwrite", 8],
          ["append", 3],
          ["overwrite", 4]
        ])
        assert.deepStrictEqual(uploads[0], {
          domain: "acme.com",
          project: "Cost Transparency",
          table: "GL Data",
          period: "January:2024",
          action: "overwrite",
          fileName: "data.csv",
          bytes: 8,
          md5: md5("a,b\n1,2\n"),
          sha256: createHash("sha256").update("a,b\n1,2\n").digest("hex"),
          storedAt: "1970-01-01T00:00:00.000Z"
        })
        assert.strictEqual(requests, 5)
      })))

  it.effect("decodes every name of the v1 and the v2 path, once", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        const names = ["acme.com", "A/B & C#?%+", "Größe %41", "jan:FY2024"].map(encodeURIComponent)
        const [d, p, t, period] = names
        for (
          const path of [
            `/biit/api/v1/${d}/${p}/${t}/${period}/append`,
            `/biit/api/v2/domains/${d}/projects/${p}/tables/${t}/dates/${period}/append?force=true`,
            `/biit/api/v1/${d}/${p}/${t}/jan:FY2024/append`
          ]
        ) yield* upload(session, { path })
        const { tables, uploads } = yield* state
        assert.deepStrictEqual(Object.entries(tables).map(([key, { versions }]) => [key, versions]), [
          ["A/B & C#?%+/Größe %41/jan:FY2024", 3]
        ])
        assert.strictEqual(uploads[2]?.project, "A/B & C#?%+")
      })))

  it.effect.each(
    [
      [
        "/biit/api/v1/acme.com/P/T/SOMEDATE:2010/overwrite",
        400,
        "Poorly formatted date string: 'SOMEDATE:2010'. Ought to be of the form 'granularity':'year'."
      ],
      [
        "/biit/api/v1/acme.com/P/T/January%253A2024/overwrite",
        400,
        "Poorly formatted date string: 'January%3A2024'. Ought to be of the form 'granularity':'year'."
      ],
      [
        "/biit/api/v1/acme.com/P/T/current/replace",
        400,
        "Unknown action 'replace'. Ought to be 'overwrite' or 'append'."
      ],
      ["/biit/api/v1/acme.com/P/%2e%2e/current/append", 400, "Bad request: wrong API string."],
      ["/biit/api/v1/acme.com/P//current/append", 400, "Bad request: wrong API string."],
      ["/biit/api/v1/acme.com/P/%ff/current/append", 400, "Bad request: wrong API string."],
      ["/biit/api/v2/acme.com/P/T/current/append", 400, "Bad request: wrong API string."],
      ["/biit/api/v1/nowhere.com/P/T/current/append", 400, "Customer not found: 'nowhere.com'."],
      ["/biit/api/v1/other.com/P/T/current/append", 403, "Access denied"],
      ["/elsewhere", 404, "HTTP 404 Not Found"]
    ] as const
  )(
    "rejects the path %j",
    ([path, status, expected]) =>
      simulated({ accounts }, ({ state, url }) =>
        Effect.gen(function*() {
          const reply = yield* upload(yield* logIn(url), { path })
          assert.strictEqual(reply.status, status)
          assert.strictEqual(message(reply.json), expected)
          assert.deepStrictEqual((yield* state).uploads, [])
        }))
  )

  it.effect.each(
    [
      [{ "apptio-opentoken": "" }, 401],
      [{ "apptio-opentoken": "made-up" }, 401],
      [{ "app-type": "" }, 401],
      [{ "app-version": "" }, 401],
      [{ "apptio-current-environment": "" }, 403],
      [{ "apptio-current-environment": "env-b" }, 403],
      [{ "apptio-current-environment": "unknown" }, 404],
      [{ "apptio-current-environment": "42" }, 201],
      [{ "content-type": "text/csv" }, 400],
      [{ "content-type": "multipart/form-data" }, 400],
      [{ "content-type": "multipart/form-data; boundary=another" }, 400]
    ] satisfies ReadonlyArray<[Record<string, string>, number]>
  )(
    "responds to the headers %j",
    ([headers, status]) =>
      simulated({ accounts }, ({ state, url }) =>
        Effect.gen(function*() {
          const session = yield* logIn(url)
          assert.strictEqual((yield* upload(session, { headers })).status, status)
          assert.strictEqual((yield* state).uploads.length, status === 201 ? 1 : 0)
        }))
  )

  it.effect.each([["reader", 403], ["sim-public-key", 201]] as const)(
    "asks for permission: %j",
    ([keyAccess, status]) =>
      simulated({ accounts }, ({ url }) =>
        Effect.gen(function*() {
          const session = yield* logIn(url, { ...sampleKeys, keyAccess })
          const headers = {
            "apptio-current-environment": keyAccess === "reader" ? String(Account.sample.environments["main"]) : "env-a"
          }
          assert.strictEqual((yield* upload(session, { headers })).status, status)
        }))
  )

  it.effect("has only the tables of the options", () =>
    simulated({ tables: [{ project: "P", table: "T" }] }, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        const to = (path: string) => upload(session, { path: `/biit/api/v1/acme.com/${path}/current/overwrite` })
        assert.strictEqual((yield* to("P/T")).status, 201)
        const table = yield* to("P/U")
        assert.deepStrictEqual([table.status, message(table.json)], [404, "Table not found: 'U'."])
        assert.strictEqual(message((yield* to("Q/T")).json), "Project not found: 'Q'.")
      })))

  it.effect.each(
    [
      [[part("anything", "x.csv", "1\n")], 201],
      [[part("force", undefined, "true"), part("myfile", "x.csv", "1\n"), part("action", undefined, "overwrite")], 201],
      [[part("force", undefined, "perhaps"), part("myfile", "x.csv", "1\n")], 400],
      [[part("myfile", "x.csv", "1\n"), part("action", undefined, "append")], 400],
      [[part("myfile", "x.csv", "1\n"), part("another", "y.csv", "1\n")], 400],
      [[part("force", undefined, "true")], 400],
      [[], 400]
    ] satisfies ReadonlyArray<[ReadonlyArray<Uint8Array>, number]>
  )("reads the form of case %#", ([parts, status]) =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        assert.strictEqual((yield* upload(session, { body: form(...parts) })).status, status)
        assert.strictEqual((yield* state).uploads.length, status === 201 ? 1 : 0)
      })))

  it.effect("rejects a form that ends before its closing boundary", () =>
    simulated({}, ({ url }) =>
      Effect.gen(function*() {
        const reply = yield* upload(yield* logIn(url), { body: part("myfile", "x.csv", "1\n") })
        assert.strictEqual(reply.status, 400)
        assert.include(message(reply.json), "closing boundary")
      })))

  it.effect("asks for force over a checked-out table", () =>
    simulated(
      { checkedOut: [{ project: "Cost Transparency", table: "GL Data" }] },
      ({ url }) =>
        Effect.gen(function*() {
          const session = yield* logIn(url)
          assert.strictEqual((yield* upload(session)).status, 409)
          const body = form(part("myfile", "x.csv", "1\n"), part("force", undefined, "true"))
          assert.strictEqual((yield* upload(session, { body })).status, 201)
        })
    ))

  it.effect.each(
    [
      ["rows.csv", "a\n1\n", 2],
      ["empty.csv", "", 0],
      ["windows.csv", "a\r\n1\r\n\r\n", 3],
      ["quoted.tsv", "a\tb\n\"one\ntwo\"\t\"say \"\"hi\"\"\n\"\n", 2],
      ["packed.csv.gz", gzipSync("a\n1\n2"), 3]
    ] satisfies ReadonlyArray<[string, string | Uint8Array, number]>
  )("counts the rows of %s", ([fileName, content, rows]) =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const reply = yield* upload(yield* logIn(url), { fileName, content })
        assert.deepStrictEqual(reply.json, { md5: md5(content), length: content.length, fileName })
        assert.strictEqual(Object.values((yield* state).tables)[0]?.rows, rows)
      })))

  it.effect("rejects a .gz that is not in gzip format", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        for (const content of ["plain", "", gzipSync("a\n1\n".repeat(1000)).subarray(0, 20)]) {
          assert.strictEqual((yield* upload(session, { fileName: "x.csv.gz", content })).status, 400)
        }
        assert.deepStrictEqual((yield* state).uploads, [])
      })))

  it.effect.each(
    [
      ["say %22hi%22.csv", "say \"hi\".csv"],
      ["say \\\"hi\\\".csv", "say \"hi\".csv"],
      ["two%0D%0Alines.csv", "two\r\nlines.csv"],
      ["Größe 100%.csv", "Größe 100%.csv"]
    ] as const
  )("keeps the file name %s", ([fileName, expected]) =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        yield* upload(yield* logIn(url), { fileName })
        assert.strictEqual((yield* state).uploads[0]?.fileName, expected)
      })))

  it.effect("keeps bytes that look like a boundary", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const content = `a\r\n--${boundary.slice(0, -1)}\r\n\r\r\n-\r\n--`
        yield* upload(yield* logIn(url), { content })
        assert.strictEqual((yield* state).uploads[0]?.md5, md5(content))
      })))
})

describe("options for what is unknown about the real service", () => {
  const statuses = (options: Simulator.Options, uploads: ReadonlyArray<UploadOptions>) =>
    simulated(options, ({ state, url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        const replies = yield* Effect.forEach(uploads, (options) => upload(session, options))
        return { replies, statuses: replies.map(({ status }) => status), stored: (yield* state).uploads.length }
      }))

  it.effect("limits the size of a file, by its declared length or while it arrives", () =>
    Effect.gen(function*() {
      const big = form(part("myfile", "x.csv", "x".repeat(100_000)))
      const { statuses: seen, stored } = yield* statuses({ maxUploadBytes: 1000 }, [
        { content: "x".repeat(1000) },
        { content: "x".repeat(1001) },
        { body: big, headers: { "content-length": String(big.length) } },
        { body: [big.subarray(0, 5000), big.subarray(5000)] }
      ])
      assert.deepStrictEqual(seen, [201, 413, 413, 413])
      assert.strictEqual(stored, 1)
    }))

  it.effect("limits the rate, with Retry-After", () =>
    simulated({ rateLimit: { requests: 3, seconds: 10 } }, ({ url }) =>
      Effect.gen(function*() {
        const session = yield* logIn(url)
        assert.strictEqual((yield* upload(session)).status, 201)
        yield* TestClock.adjust("3500 millis")
        const limited = yield* upload(session)
        assert.deepStrictEqual([limited.status, limited.headers["retry-after"]], [429, "7"])
        yield* TestClock.adjust("6500 millis")
        assert.strictEqual((yield* upload(session)).status, 202)
      })))

  it.effect("stores an upload once per idempotency key", () =>
    Effect.gen(function*() {
      const headers = { "idempotency-key": "k1" }
      const { replies, statuses: seen, stored } = yield* statuses({ idempotencyHeader: "idempotency-key" }, [
        { headers, content: "1\n" },
        { headers, content: "2\n" },
        { headers: { "idempotency-key": "k2" } },
        {}
      ])
      assert.deepStrictEqual(seen, [201, 201, 202, 202])
      assert.deepStrictEqual(replies[0]?.json, replies[1]?.json)
      assert.strictEqual(stored, 3)
    }))

  it.effect("gives each request an id, or returns the request's own", () =>
    Effect.gen(function*() {
      const { replies } = yield* statuses({ requestIdHeader: "x-request-id" }, [
        {},
        { headers: { "x-request-id": "mine" } }
      ])
      assert.deepStrictEqual(replies.map(({ headers }) => headers["x-request-id"]), ["request-3", "mine"])
    }))

  it("has a default for each option of the JSON schema", () => {
    assert.deepStrictEqual(
      Object.keys(SimulatorOptions.Json.fields).toSorted(),
      Object.keys(SimulatorOptions.defaults).toSorted()
    )
  })
})
