import { SpanRecorder } from "@effect-resilience/chaos"
import { AccessLog } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Frontdoor, Settings, TableUploads } from "@effect-resilience/tbm-studio"
import { Batch, Uploader, UploadSource } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Logger, Metric, Redacted, References } from "effect"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import type { ServerResponse } from "node:http"
import { join } from "node:path"
import { inspect } from "node:util"
import { recorder } from "../../tbm-studio/test/recorder.ts"
import { client, content, impatient } from "../../tbm-studio/test/studio.ts"
import { folder, settingsFor, tbmStudio, write } from "./command.ts"

const publicKey = "PLANTED-public/+\"&1"
const secretKey = "PLANTED-secret/+\"&%2"
const token = "PLANTED-token/+\"&=3"
const planted = [publicKey, secretKey, token]

const json = (text: string) => JSON.stringify(text).slice(1, -1)
const html = (text: string) => text.replaceAll("&", "&amp;").replaceAll("\"", "&quot;")
const base64 = (text: string) => Buffer.from(text).toString("base64")

/** The forms in which a server may repeat a secret. */
const spellings = (secret: string): ReadonlyArray<string> => [
  secret,
  encodeURIComponent(secret),
  encodeURIComponent(encodeURIComponent(secret)),
  new URLSearchParams([["k", secret]]).toString(),
  json(secret),
  json(json(secret)),
  html(secret),
  base64(secret),
  base64(`${secret}:${secret}`),
  Buffer.from(`user:${secret}`).toString("base64url")
]

const traces = (secret: string): ReadonlyArray<string> => [
  secret,
  // The rest of a truncated secret.
  secret.slice(0, 9),
  secret.slice(-9),
  encodeURIComponent(secret),
  encodeURIComponent(secret).toLowerCase(),
  encodeURIComponent(encodeURIComponent(secret)),
  new URLSearchParams([["k", secret]]).toString().slice(2),
  json(secret),
  html(secret),
  ...[0, 1, 2].flatMap((offset) => {
    const encoded = Buffer.from("x".repeat(offset) + secret)
    return [encoded.toString("base64").slice(offset + 1, -4), encoded.toString("base64url").slice(offset + 1, -4)]
  })
]

const assertClean = (text: string, where: string, secrets = planted) => {
  for (const spelling of secrets.flatMap(traces)) {
    const at = text.indexOf(spelling)
    if (at >= 0) assert.fail(`${spelling} in ${where}: …${text.slice(Math.max(0, at - 300), at + 100)}`)
  }
}

const everything = planted.flatMap(spellings).join(" | ")
const header = `${secretKey} ${base64(token)}`

type Respond = (response: ServerResponse) => void

const text = (status: number, type: string, body: string): Respond => (response) =>
  response.writeHead(status, header, {
    "content-type": type,
    "x-request-id": header,
    "x-error": header,
    "www-authenticate": `Bearer realm="${header}"`,
    location: `http://127.0.0.1:1/${encodeURIComponent(token)}`,
    "set-cookie": `echo=${base64(secretKey)}`
  }).end(body)

const message = (status: number): Respond =>
  text(status, "application/json", JSON.stringify({ message: everything, code: token }))

/** Everything that a leaking server may respond with. */
const responses: { readonly [name: string]: Respond } = {
  "400 with them": message(400),
  "401 with them": message(401),
  "403 with them": message(403),
  "404 with them": message(404),
  "413 with them": message(413),
  "429 with them": message(429),
  "500 with them": message(500),
  "503 with them": message(503),
  "a problem": text(422, "application/problem+json", JSON.stringify({ title: token, detail: everything })),
  "a page": text(502, "text/html", `<html><title>${html(everything)}</title><h1>${everything}</h1></html>`),
  "a page with status 200": text(200, "text/html", `<title>${everything}</title>${everything}`),
  "a text": text(500, "text/plain", everything),
  "a text that is cut in the middle of them": text(
    409,
    "text/plain",
    `${" ".repeat(65_536 - 9)}${token}${" ".repeat(9)}${secretKey}`
  ),
  "a message that is cut in the middle of them": text(
    409,
    "application/json",
    `{"message":"${"x".repeat(1_990)}${json(secretKey)}${"x".repeat(100_000)}"}`
  ),
  "half of a response": (response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": "100000" })
    response.write(JSON.stringify({ message: everything }))
    setImmediate(() => response.destroy())
  },
  "a redirect": text(307, "text/html", everything),
  "JSON of another shape": text(200, "application/json", JSON.stringify({ md5: 1, id: [token], message: everything })),
  "them for a digest": text(
    200,
    "application/json",
    JSON.stringify({ md5: token, id: secretKey, length: 28, fileName: publicKey })
  ),
  "nothing": (response) => response.socket?.destroy()
}

const calls = { "the login": "/service/", "the look-up": "/api/", "the upload": "/biit/" } as const

/** A server with this response to one kind of call, and the correct one to all others, with the planted token. */
const talkative = (path: string, respond: Respond) =>
  recorder(({ headers, url = "" }, response) => {
    if (url.startsWith(path)) respond(response)
    else if (url.startsWith("/service/")) response.writeHead(200, { "apptio-opentoken": token }).end("{}")
    else if (!url.startsWith("/biit/") && headers["apptio-opentoken"] !== token) response.writeHead(401).end()
    else return false
    return true
  })

const settings = (url: string) =>
  Layer.succeed(Settings.Settings, {
    customer: "acme",
    domain: "acme.com",
    region: "us",
    environment: "main",
    publicKey: Redacted.make(publicKey),
    secretKey: Redacted.make(secretKey),
    frontdoor: url,
    api: url
  })

const everythingOf = (value: unknown): string =>
  [
    String(value),
    inspect(value, { depth: null, showHidden: true }),
    inspect(value, { depth: null, showHidden: true, customInspect: false }),
    JSON.stringify(value),
    value instanceof Error ? `${value.message} ${value.stack} ${inspect(value.cause, { depth: null })}` : "",
    Cause.pretty(Cause.fail(value)),
    Cause.pretty(Cause.die(value))
  ].join("\n")

describe("a program leaks no secret", { concurrent: true }, () => {
  for (const [call, path] of Object.entries(calls)) {
    for (const [name, respond] of Object.entries(responses)) {
      it.live(`when ${call} gets ${name}`, () => {
        const written: Array<string> = []
        const logger = Logger.make((options) => {
          written.push(everythingOf(options.message), Cause.pretty(options.cause), everythingOf(options.cause))
        })
        const { ended, record } = SpanRecorder.make()
        return Effect.gen(function*() {
          const { url } = yield* talkative(path, respond)
          yield* Effect.gen(function*() {
            const { environmentId } = yield* Frontdoor.Frontdoor
            const { target } = yield* TableUploads.TableUploads
            const item = yield* TableUploads.make({
              source: UploadSource.bytes("gl.csv", content),
              project: "P",
              table: "T",
              period: "current",
              action: "append"
            })
            const overwrite = { ...item, action: "overwrite" as const }
            const policy = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })
            // An opaque id is a value for the API, not for a log; everything else may be logged.
            const lookUp = Effect.asVoid(environmentId)
            const append = Uploader.upload(target, item, { policy })
            const batch = Batch.run(target, [overwrite], { policy })
            for (const exit of [yield* Effect.exit(lookUp), yield* Effect.exit(append), yield* Effect.exit(batch)]) {
              written.push(everythingOf(exit))
              yield* exit._tag === "Failure" ? Effect.logDebug("failed", exit.cause) : Effect.logDebug(exit.value)
            }
            written.push(everythingOf(yield* Metric.snapshot))
          }).pipe(
            Effect.provide(client.pipe(Layer.provide(settings(url)))),
            Effect.provideService(AccessLog.Current, {
              write: (entry) => Effect.sync(() => written.push(JSON.stringify(entry), AccessLog.format(entry)))
            }),
            Effect.provide(Logger.layer([logger])),
            Effect.provideService(References.MinimumLogLevel, "All"),
            record,
            impatient
          )
          for (const { attributes, events, name, status } of ended) {
            written.push(name, everythingOf([...attributes]), everythingOf(events))
            if (status._tag === "Ended" && Exit.isFailure(status.exit)) {
              written.push(everythingOf(status.exit.cause), Cause.pretty(status.exit.cause))
            }
          }
          assert.isAbove(written.length, 10)
          // A token that no login returned is not a secret yet.
          const secrets = call === "the login" ? [publicKey, secretKey] : planted
          for (const text of new Set(written)) assertClean(text, name, secrets)
        })
      })
    }
  }
})

describe("a command leaks no secret", () => {
  const verbose = ["--log-level", "all"]

  /** The names and contents of all files in a folder. */
  const filesIn = (path: string): string =>
    readdirSync(path, { recursive: true, withFileTypes: true }).map((entry) =>
      entry.isFile() ? `${entry.name}\n${readFileSync(join(entry.parentPath, entry.name), "latin1")}` : entry.name
    ).join("\n")

  const talks: ReadonlyArray<readonly [keyof typeof calls, response: string, args: string, status: number]> = [
    ["the login", "400 with them", "login --log-format pretty", 77],
    ["the look-up", "a problem", "login --json", 65],
    ["the upload", "a page", "batch manifest.csv --json", 75],
    ["the upload", "them for a digest", "upload gl.csv --project P --table T --period current --action append", 75]
  ]

  it.live("whatever the server says, at the most verbose level", () =>
    Effect.forEach(talks, ([call, name, args, status]) =>
      Effect.gen(function*() {
        const data = yield* folder
        write(data, "gl.csv", content)
        write(
          data,
          "manifest.csv",
          "file,project,table,period,action\ngl.csv,P,T,current,append\ngl.csv,P,T,current,overwrite\n"
        )
        const { url } = yield* talkative(calls[call], responses[name] ?? assert.fail(name))
        const env = { ...settingsFor(url), TBM_PUBLIC_KEY: publicKey, TBM_SECRET_KEY: secretKey }
        const ended = yield* tbmStudio([...args.split(" "), "--access-log", "log.jsonl", ...verbose], env, data)
        assert.strictEqual(ended.status, status, ended.stderr)
        const written = filesIn(data)
        assert.include(written, "\"kind\":\"attempt\"")
        const secrets = call === "the login" ? [publicKey, secretKey] : planted
        assertClean(ended.stdout + ended.stderr + written, args, secrets)
      }).pipe(Effect.scoped), { concurrency: 2 }))

  it.live("whatever breaks, before the login and after it", () =>
    Effect.gen(function*() {
      const data = yield* folder
      const file = write(data, "gl.csv", content)
      const uploading = join(data, "uploading")
      const { url } = yield* talkative("/biit/", () => writeFileSync(uploading, ""))
      const env = { ...settingsFor(url), TBM_PUBLIC_KEY: publicKey, TBM_SECRET_KEY: secretKey, TOKEN: token }
      const sabotage = (code: string) => ({
        ...env,
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}`
      })
      const told = `[process.env.TBM_PUBLIC_KEY, btoa(process.env.TBM_SECRET_KEY)]`
      const crashes = yield* Effect.all([
        tbmStudio(
          ["login", ...verbose, "--log-format", "json", "--json"],
          sabotage(`globalThis.encodeURIComponent = () => { throw new Error(${told}) }`)
        ),
        tbmStudio(
          ["upload", file, "--project", "P", "--table", "T", "--period", "current", ...verbose],
          sabotage(`import { existsSync } from "node:fs"
            const error = Object.assign(new Error(${told}), { token: process.env.TOKEN })
            setInterval(() => { if (existsSync(${JSON.stringify(uploading)})) throw error }, 20)`)
        )
      ], { concurrency: 2 })
      for (const { status, stderr, stdout } of crashes) {
        assert.strictEqual(status, 70)
        assert.include(stderr, "<redacted>")
        assertClean(stdout + stderr, "a crash")
      }
    }))

  it.live("when the token is kept in a file", () =>
    Effect.gen(function*() {
      const { url } = yield* talkative("/nothing/", () => undefined)
      const home = yield* folder
      const ended = yield* tbmStudio(["login"], {
        ...settingsFor(url),
        HOME: home,
        XDG_CACHE_HOME: home,
        TBM_PUBLIC_KEY: publicKey,
        TBM_SECRET_KEY: secretKey,
        TBM_TOKEN_CACHE: "file"
      })
      assert.strictEqual(ended.status, 0, ended.stderr)
      assert.include(filesIn(home), "SQLite format 3")
      assertClean(filesIn(home), "the token's file")
    }))
})
