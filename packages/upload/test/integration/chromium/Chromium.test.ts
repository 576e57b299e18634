import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { assert, describe, it } from "@effect/vitest"
import { FileStore } from "@tus/file-store"
import { Server as TusServer } from "@tus/server"
import { Effect, Schema } from "effect"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { build, defaultClientConditions } from "vite"

// Installed by .ci/run.
const binary = "chromium"

const Results = Schema.Record(
  Schema.String,
  Schema.Struct({
    bytes: Schema.optional(Schema.Number),
    verified: Schema.optional(Schema.Boolean),
    attempts: Schema.optional(Schema.Number),
    failure: Schema.optional(Schema.String),
    events: Schema.Array(Schema.String)
  })
)

const directory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "chromium-"))),
  (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
)

const script = Effect.promise(async () => {
  const output = await build({
    configFile: false,
    logLevel: "error",
    resolve: { conditions: ["@effect-resilience/source", ...defaultClientConditions] },
    build: {
      write: false,
      minify: false,
      rolldownOptions: { input: new URL("./page.ts", import.meta.url).pathname }
    }
  })
  const chunks = Array.isArray(output) ? output.flatMap((one) => one.output) : "output" in output ? output.output : []
  return chunks.map((chunk) => chunk.type === "chunk" ? chunk.code : "").join("\n")
})

/** An HTTP/1.1 server that responds to an upload with the md5 of what arrived. */
const serve = Effect.fnUntraced(function*(directory: string, code: string) {
  const requests: Array<{ readonly url: string; readonly length: string | undefined; readonly bytes: number }> = []
  const tus = new TusServer({ path: "/tus", datastore: new FileStore({ directory: Path.join(directory, "tus") }) })
  let report: ((results: string) => void) | undefined
  const results = new Promise<string>((resolve) => report = resolve)
  let flaky = 0
  const server = LocalServer.http((request, response) => {
    const url = request.url ?? ""
    if (url.startsWith("/tus")) return tus.handle(request, response)
    if (url.startsWith("/?")) {
      return response.setHeader("content-type", "text/html").end("<script src='page.js' type='module'></script>")
    }
    if (url === "/page.js") return response.setHeader("content-type", "text/javascript").end(code)
    if (url === "/favicon.ico") return response.writeHead(404).end()
    let bytes = 0
    const whole = createHash("md5")
    const pieces: Array<Buffer> = []
    return request.on("data", (piece: Buffer) => {
      bytes += piece.length
      whole.update(piece)
      if (url !== "/count") pieces.push(piece)
    }).on("end", () => {
      if (url === "/results") {
        report?.(Buffer.concat(pieces).toString())
        return response.end()
      }
      requests.push({ url, length: request.headers["content-length"], bytes })
      if (url === "/form/flaky" && flaky++ === 0) return response.writeHead(503, { "retry-after": "0" }).end()
      if (url === "/count") return response.end("counted")
      if (request.method === "PUT") return response.setHeader("etag", `"${whole.digest("hex")}"`).end()
      // What is between the first empty line and the last boundary is the only part.
      const form = Buffer.concat(pieces)
      const part = form.subarray(form.indexOf("\r\n\r\n") + 4, form.lastIndexOf("\r\n--"))
      return response.end(createHash("md5").update(part).digest("hex"))
    })
  })
  const { port } = yield* server
  return { port, requests, results: Effect.promise(() => results) }
})

/** In MiB, the most memory that a process of this profile has held. Linux only. */
const mostMemory = (directory: string): number =>
  Math.max(
    ...Fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((pid) => {
      const read = (file: string) => {
        try {
          return Fs.readFileSync(`/proc/${pid}/${file}`, "utf8")
        } catch {
          return ""
        }
      }
      return read("cmdline").includes(directory)
        ? Number(/VmHWM:\s+(\d+) kB/.exec(read("status"))?.[1] ?? 0) / 1_024
        : 0
    })
  )

const chromium = (url: string, directory: string) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(binary, [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
        `--user-data-dir=${Path.join(directory, "profile")}`,
        url
      ], { stdio: "ignore" })
    ),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGTERM")
      })
  )

describe("Uploads in Chromium, over HTTP/1.1", () => {
  it.live("arrive whole, from bytes and from files", () =>
    Effect.gen(function*() {
      const here = yield* directory
      const { port, requests, results } = yield* serve(here, yield* script)
      const large = 512
      yield* chromium(`http://127.0.0.1:${port}/?large=${large}`, here)
      const got = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Results))(yield* results)
      const memory = mostMemory(here)
      assert.isAbove(memory, 0)
      assert.isBelow(memory, 400)
      const whole = { verified: true, attempts: 1 }
      const text = new TextEncoder().encode("é;b\n1;2\n".repeat(400_000)).length
      const file = 3 * 1_048_576
      assert.deepInclude(got["a small text in a form"], { ...whole, bytes: 8 })
      assert.deepInclude(got["a large text in a form"], { ...whole, bytes: text })
      assert.deepInclude(got["a file in a form"], { ...whole, bytes: file })
      assert.deepInclude(got["a file in a form, rejected at first"], { ...whole, attempts: 2, bytes: file })
      assert.deepInclude(got["a file as an object"], { ...whole, bytes: file })
      assert.deepInclude(got["a large text as an object"], { ...whole, bytes: text })
      assert.deepInclude(got["no bytes"], { ...whole, bytes: 0 })
      assert.deepInclude(got["a file by tus"], { attempts: 1, bytes: 5 * 1_048_576 })
      assert.deepInclude(got["a huge file"], { attempts: 1, bytes: large * 1_048_576 })
      assert.isDefined(got["a stream"]?.failure)
      assert.match(got["a file that has changed"]?.failure ?? "", /changing\.csv/)
      // Progress: all is sent once the response is there, and not before.
      assert.deepStrictEqual(got["a file as an object"]?.events, [
        "Started",
        "Attempting",
        "Sending",
        "AwaitingResponse",
        "Done"
      ])
      for (const { bytes, length } of requests) assert.strictEqual(length, `${bytes}`)
    }).pipe(Effect.scoped), 120_000)
})
