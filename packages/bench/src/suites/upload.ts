import * as Authenticated from "@effect-resilience/auth/Authenticated"
import * as Origin from "@effect-resilience/auth/Origin"
import * as TokenCache from "@effect-resilience/auth/TokenCache"
import * as TokenSource from "@effect-resilience/auth/TokenSource"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as BufferReuse from "@effect-resilience/http/BufferReuse"
import * as ErrorMapping from "@effect-resilience/http/ErrorMapping"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import * as Connections from "@effect-resilience/node/Connections"
import * as HashingThreads from "@effect-resilience/node/HashingThreads"
import * as LocalFileSystem from "@effect-resilience/node/LocalFileSystem"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import * as Batch from "@effect-resilience/upload/Batch"
import type * as Hashing from "@effect-resilience/upload/Hashing"
import * as Journal from "@effect-resilience/upload/Journal"
import * as Multipart from "@effect-resilience/upload/Multipart"
import * as SqlJournal from "@effect-resilience/upload/SqlJournal"
import * as Uploader from "@effect-resilience/upload/Uploader"
import * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import axios from "axios"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import FormData from "form-data"
import got from "got"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { readFile } from "node:fs/promises"
import * as http from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { request } from "undici"
import type { Case, Suite } from "../Suite.ts"

const chunk = 1_048_576

/** Reads and forgets; in a process of its own, which ends with this one. */
const drain = `
  const http = require("node:http")
  process.stdin.resume().on("end", () => process.exit())
  http.createServer((request, response) => {
    let bytes = 0
    request.on("data", (chunk) => bytes += chunk.length).on("end", () => response.end(String(bytes)))
  }).listen(0, "127.0.0.1", function() { console.log(this.address().port) })
`

/** Reads as fast as a line of 1 Gbit/s carries. */
const line = `
  const http = require("node:http")
  process.stdin.resume().on("end", () => process.exit())
  http.createServer((request, response) => {
    const begun = performance.now()
    let bytes = 0
    request.on("data", (chunk) => {
      const early = (bytes += chunk.length) / 125_000 - (performance.now() - begun)
      if (early < 5) return
      request.pause()
      setTimeout(() => request.resume(), early)
    }).on("end", () => response.end(String(bytes)))
  }).listen(0, "127.0.0.1", function() { console.log(this.address().port) })
`

let server: Promise<string> | undefined
const url = () => server ??= start(drain)
let slowServer: Promise<string> | undefined
const slowUrl = () => slowServer ??= start(line)
const start = async (script: string) => {
  const child = spawn(process.execPath, ["-e", script], { stdio: ["pipe", "pipe", "inherit"] })
  child.unref()
  const [port] = await once(child.stdout, "data")
  for (const stream of [child.stdin, child.stdout]) if ("unref" in stream) (stream.unref as () => void)()
  return `http://127.0.0.1:${String(port).trim()}`
}

/** A file of that size, made once and kept among the temporary ones. */
const fileOf = (megabytes: number): string => {
  const path = join(tmpdir(), `effect-resilience-bench-${megabytes}-mib`)
  if (!fs.existsSync(path) || fs.statSync(path).size !== megabytes * chunk) {
    const file = fs.openSync(path, "w")
    const row = Buffer.alloc(chunk, "2024-01;Cost Transparency;4711;1234.56\n")
    for (let i = 0; i < megabytes; i++) fs.writeSync(file, row)
    fs.closeSync(file)
  }
  return path
}

export const small = (): string => {
  const path = join(tmpdir(), "effect-resilience-bench-20-kb")
  if (!fs.existsSync(path)) fs.writeFileSync(path, Buffer.alloc(20_000, "4711;1234.56\n"))
  return path
}

/** So many calls, eight at once. */
const eightAtOnce = (call: () => Promise<unknown>) => async (calls: number) => {
  let left = calls
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (left-- > 0) await call()
  }))
}

const fourAtOnce = (call: () => Promise<unknown>) => Promise.all(Array.from({ length: 4 }, call))

const boundary = "--------------------------0123456789abcdef"
const prefix = Buffer.from(
  `--${boundary}\r\nContent-Disposition: form-data; name="myfile"; filename="data.csv"\r\n` +
    "Content-Type: text/csv\r\n\r\n"
)
const suffix = Buffer.from(`\r\n--${boundary}--\r\n`)
const headersFor = (path: string) => ({
  "content-type": `multipart/form-data; boundary=${boundary}`,
  "content-length": String(prefix.length + fs.statSync(path).size + suffix.length)
})

const curl = async (path: string) => {
  const child = spawn("curl", ["-sSf", "-o", "/dev/null", "-F", `myfile=@${path}`, await url()], { stdio: "inherit" })
  const [status] = await once(child, "close")
  if (status !== 0) throw new Error(`curl ended with ${status}`)
}

const hasCurl = spawnSync("curl", ["--version"]).status === 0

const agent = new http.Agent({ keepAlive: true })

const nodeHttp = async (path: string) => {
  const outgoing = http.request(await url(), { method: "POST", agent, headers: headersFor(path) })
  const responded = once(outgoing, "response")
  outgoing.write(prefix)
  await pipeline(fs.createReadStream(path, { highWaterMark: chunk }), outgoing, { end: false })
  outgoing.end(suffix)
  const [response] = await responded
  for await (const _ of response);
}

const undici = async (path: string) => {
  async function* body() {
    yield prefix
    yield* fs.createReadStream(path, { highWaterMark: chunk })
    yield suffix
  }
  const response = await request(await url(), {
    method: "POST",
    headers: headersFor(path),
    body: Readable.from(body())
  })
  await response.body.text()
}

// A small file is best read whole.
const nodeHttpWhole = async (path: string) => {
  const body = Buffer.concat([prefix, await readFile(path), suffix])
  const outgoing = http.request(await url(), { method: "POST", agent, headers: headersFor(path) })
  outgoing.end(body)
  const [response] = await once(outgoing, "response")
  for await (const _ of response);
}

const undiciWhole = async (path: string) => {
  const body = Buffer.concat([prefix, await readFile(path), suffix])
  const response = await request(await url(), { method: "POST", headers: headersFor(path), body })
  await response.body.text()
}

const fetchForm = async (path: string) => {
  const form = new globalThis.FormData()
  form.append("myfile", await fs.openAsBlob(path, { type: "text/csv" }), "data.csv")
  await (await fetch(await url(), { method: "POST", body: form })).text()
}

// A buffer of 1 MiB for 20 kB would do the peers wrong.
const read = (path: string) =>
  fs.createReadStream(path, { highWaterMark: Math.min(chunk, Math.max(1, fs.statSync(path).size)) })

const axiosForm = async (path: string) => {
  const form = new FormData()
  form.append("myfile", read(path), { filename: "data.csv" })
  const options = { httpAgent: agent, maxBodyLength: Infinity, headers: form.getHeaders() }
  await axios.post(await url(), form, options)
}

const gotStream = async (path: string) => {
  const headers = headersFor(path)
  async function* body() {
    yield prefix
    yield* read(path)
    yield suffix
  }
  await got.post(await url(), { body: body(), headers, agent: { http: agent }, retry: { limit: 0 } }).text()
}

const platform = Layer.merge(LocalFileSystem.layer, Connections.layer())

const runtime = ManagedRuntime.make(platform)

const withNodeFileSystem = ManagedRuntime.make(Layer.merge(NodeFileSystem.layer, Connections.layer()))

const withNodeHttpClient = ManagedRuntime.make(Layer.merge(LocalFileSystem.layer, NodeHttpClient.layerUndici))

const threaded = ManagedRuntime.make(Layer.merge(platform, HashingThreads.layer()))

const targetOf = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  url: string,
  digests: ReadonlyArray<Hashing.Algorithm>,
  bodyOf = Multipart.toBody
) =>
  UploadTarget.http({
    client,
    operation: () => ({ name: "upload table", endpoint: "/tables/{table}", idempotent: true }),
    source: (item: { readonly path: string }) => UploadSource.file(item.path),
    digests,
    request: (_, { name, size, stream }) =>
      Effect.succeed(
        HttpClientRequest.post(url).pipe(
          HttpClientRequest.setBody(
            bodyOf(Multipart.make([Multipart.file("myfile", { fileName: name, size, stream })]))
          )
        )
      ),
    receive: (response) => Effect.map(Effect.orDie(response.text), (receipt) => ({ receipt }))
  })

const ours = (path: string, digests: ReadonlyArray<Hashing.Algorithm>, address = url, on = runtime) => async () => {
  const to = await address()
  return on.runPromise(Effect.gen(function*() {
    const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {})
    return yield* Uploader.upload(targetOf(client, to, digests), { path })
  }))
}

const counting: AccessLog.AccessLog = { write: () => Effect.void }

/** Everything that a real program has around its uploads. */
const fullStack =
  <E>(journal: Layer.Layer<Journal.Journal, E>, on = runtime, bodyOf = Multipart.toBody) => async (calls: number) => {
    const to = await url()
    const program = Effect.gen(function*() {
      const tokens = yield* TokenCache.make(TokenSource.constant(Redacted.make("a token of usual length")), {
        lifetime: "1 hour"
      })
      const client = (yield* HttpClient.HttpClient).pipe(
        ErrorMapping.mapErrors({}),
        Telemetry.observeAttempts,
        AccessLog.logAttempts,
        Authenticated.withTokens(tokens, { origin: Origin.make(to), attach: Authenticated.bearer })
      )
      const path = small()
      const items = Array.from({ length: calls }, () => ({ path }))
      return yield* Batch.runWithJournal(targetOf(client, to, ["md5"], bodyOf), items, {
        place: (_, index) => `${index}`,
        concurrency: 8
      })
    })
    const { totals } = await on.runPromise(
      program.pipe(Effect.scoped, Effect.provide(journal), Effect.provideService(AccessLog.Current, counting))
    )
    if (totals.uploaded !== calls) throw new Error(`${totals.uploaded} of ${calls} uploaded`)
  }

const sqlite = Layer.unwrap(Effect.sync(() => {
  const directory = fs.mkdtempSync(join(tmpdir(), "effect-resilience-bench-"))
  return SqlJournal.layer().pipe(Layer.provide(SqliteClient.layer({ filename: join(directory, "journal.db") })))
}))

const large = (megabytes: number, case_: { readonly name: string; readonly atMost?: { [name: string]: number } }) => {
  const path = () => fileOf(megabytes)
  return {
    ...case_,
    ours: "ours",
    apart: true,
    subjects: {
      ours: () => ours(path(), [])(),
      "node:http by hand": () => nodeHttp(path()),
      "undici by hand": () => undici(path()),
      "fetch FormData": () => fetchForm(path()),
      axios: () => axiosForm(path()),
      got: () => gotStream(path())
    }
  }
}

const smallFiles = {
  "full stack": fullStack(Journal.layerMemory),
  "node:http by hand": eightAtOnce(() => nodeHttpWhole(small())),
  "undici by hand": eightAtOnce(() => undiciWhole(small())),
  "fetch FormData": eightAtOnce(() => fetchForm(small())),
  axios: eightAtOnce(() => axiosForm(small())),
  got: eightAtOnce(() => gotStream(small()))
}

// The same bytes in a stream that does not tell how they can be had at once.
const streamedBody = <E>(form: Multipart.Multipart<E>) =>
  Multipart.toBody({ ...form, stream: Stream.fromChannel(form.stream.channel) })

const readInPieces = (path: string, lifetime: number) => () =>
  UploadSource.file(path).open.pipe(
    Effect.flatMap(({ bytes }) => Stream.runDrain(bytes())),
    Effect.scoped,
    Effect.provideService(BufferReuse.Current, lifetime),
    (effect) => runtime.runPromise(effect)
  )

/** What the upload's hacks save. */
export const hacks: ReadonlyArray<Case> = [
  {
    name: "2,000 files of 20 kB, eight at once, and without a hack each",
    ours: "full stack",
    batch: 2_000,
    rounds: 11,
    subjects: {
      "full stack": smallFiles["full stack"],
      "over NodeFileSystem": fullStack(Journal.layerMemory, withNodeFileSystem),
      "over NodeHttpClient.layerUndici": fullStack(Journal.layerMemory, withNodeHttpClient),
      "each body a stream": fullStack(Journal.layerMemory, runtime, streamedBody)
    }
  },
  {
    name: "reading a file of 1 GiB",
    ours: "into buffers that take turns",
    apart: true,
    subjects: {
      "into buffers that take turns": readInPieces(fileOf(1024), 1),
      "into a new buffer each": readInPieces(fileOf(1024), Infinity)
    }
  }
]

const suite: Suite = {
  name: "upload",
  packages: ["effect", "undici", "axios", "got", "form-data"],
  cases: [
    large(1024, {
      name: "one file of 1 GiB as a form",
      atMost: { "node:http by hand": 1, "undici by hand": 1, "fetch FormData": 0.4 }
    }),
    ...(hasCurl
      ? [
        {
          name: "one file of 1 GiB as a form, beside curl -F",
          ours: "ours",
          apart: true,
          units: ["s on the clock"],
          subjects: { ours: () => ours(fileOf(1024), [])(), "curl -F": () => curl(fileOf(1024)) },
          atMost: { "curl -F": 1.7 }
        } satisfies Case
      ]
      : []),
    {
      name: "one file of 1 GiB, with digests",
      ours: "md5 and SHA-256",
      apart: true,
      units: ["s", "s on the clock"],
      subjects: {
        "md5 and SHA-256": () => ours(fileOf(1024), ["md5", "sha256"], url, threaded)(),
        "md5 and SHA-256, no threads": () => ours(fileOf(1024), ["md5", "sha256"])(),
        md5: () => ours(fileOf(1024), ["md5"], url, threaded)(),
        "SHA-256": () => ours(fileOf(1024), ["sha256"], url, threaded)(),
        none: () => ours(fileOf(1024), [])(),
        "node:http by hand, none": () => nodeHttp(fileOf(1024))
      },
      atMost: { none: 1.35 }
    },
    {
      name: "four files of 256 MiB at once, with digests",
      ours: "md5 and SHA-256",
      apart: true,
      units: ["s", "s on the clock", "ms late", "MB"],
      subjects: {
        "md5 and SHA-256": () => fourAtOnce(ours(fileOf(256), ["md5", "sha256"], url, threaded)),
        "md5 and SHA-256, no threads": () => fourAtOnce(ours(fileOf(256), ["md5", "sha256"])),
        none: () => fourAtOnce(ours(fileOf(256), []))
      }
    },
    {
      name: "one file of 256 MiB over 1 Gbit/s, with digests",
      ours: "md5 and SHA-256",
      apart: true,
      units: ["s on the clock"],
      subjects: {
        "md5 and SHA-256": () => ours(fileOf(256), ["md5", "sha256"], slowUrl, threaded)(),
        none: () => ours(fileOf(256), [], slowUrl)()
      },
      atMost: { none: 1.35 }
    },
    {
      name: "memory: 64 MiB and 4 GiB",
      ours: "4 GiB",
      apart: true,
      units: ["MB"],
      subjects: {
        "4 GiB": () => ours(fileOf(4096), [])(),
        "64 MiB": () => ours(fileOf(64), [])(),
        idle: async () => void await url()
      },
      moreAtMost: { "64 MiB": 10, idle: 30 }
    },
    {
      name: "2,000 files of 20 kB, eight at once",
      ours: "full stack",
      batch: 2_000,
      rounds: 11,
      units: ["ns/call", "ns/call on the clock"],
      subjects: smallFiles,
      atMost: { "node:http by hand": 1.43, "undici by hand": 1.43, axios: 0.5 }
    },
    {
      name: "2,000 files of 20 kB, eight at once, with a journal on disk",
      ours: "full stack, SQLite journal",
      batch: 2_000,
      rounds: 11,
      units: ["ns/call", "ns/call on the clock"],
      subjects: {
        "full stack, SQLite journal": fullStack(sqlite),
        "node:http by hand": smallFiles["node:http by hand"]
      },
      atMost: { "node:http by hand": 2 }
    },
    {
      name: "memory: 2,000 files of 20 kB, eight at once",
      ours: "full stack",
      batch: 2_000,
      apart: true,
      units: ["MB"],
      subjects: smallFiles
    }
  ]
}

export default suite
