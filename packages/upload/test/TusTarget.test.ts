import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ErrorMapping } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Progress, TusTarget, Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeFileSystem, NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { FileStore } from "@tus/file-store"
import { Server } from "@tus/server"
import { Deferred, Effect, Exit, Fiber, FileSystem, Layer, Option, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import type * as Http from "node:http"
import * as Net from "node:net"
import * as RawServer from "./servers/RawServer.ts"

const platform = Layer.mergeAll(NodeFileSystem.layer, NodeHttpClient.layerUndici, KeyValueStore.layerMemory)

const patiently = { policy: RetryPolicy.make({ times: 20, backoff: Backoff.constant("100 millis") }) }

const content = Buffer.alloc(8 * 1_048_576, "0123456789abcdef\n")

/** The protocol's reference server; `intercept` may spoil a request before the server sees it. */
const serve = (intercept: (request: Http.IncomingMessage, response: Http.ServerResponse) => boolean = () => false) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped()
    const tus = new Server({ path: "/files", datastore: new FileStore({ directory }), relativeLocation: true })
    const requests: Array<string> = []
    const { url } = yield* LocalServer.http((request, response) => {
      requests.push(`${request.method}`)
      request.on("error", () => {})
      if (!intercept(request, response)) void tus.handle(request, response).catch(() => {})
    })
    return {
      requests,
      endpoint: `${url}/files`,
      stored: (url: string) => fs.readFile(`${directory}/${url.split("/").at(-1)}`)
    }
  })

const target = (endpoint: string, options: { readonly chunkSize?: number; readonly persist?: boolean } = {}) =>
  Effect.gen(function*() {
    return TusTarget.make({
      client: ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {}),
      endpoint,
      source: (source: UploadSource.UploadSource<FileSystem.FileSystem>) => source,
      chunkSize: options.chunkSize,
      store: options.persist === true ? yield* KeyValueStore.KeyValueStore : undefined
    })
  })

/** Passes everything on to the server, but breaks the first connection that has brought so many bytes. */
const cutting = (endpoint: string, after: number) =>
  Effect.gen(function*() {
    const { host, hostname, port } = new URL(endpoint)
    let cut = false
    const proxy = yield* RawServer.make((socket) => {
      const upstream = Net.connect(Number(port), hostname)
      upstream.on("error", () => socket.destroy())
      upstream.on("close", () => socket.destroy())
      socket.on("close", () => upstream.destroy())
      socket.pipe(upstream)
      upstream.pipe(socket)
      let bytes = 0
      socket.on("data", (chunk) => {
        bytes += chunk.length
        if (cut || bytes < after) return
        cut = true
        socket.resetAndDestroy()
      })
    })
    return endpoint.replace(`http://${host}`, proxy.url)
  })

describe("TusTarget against @tus/server", () => {
  it.live("uploads in one request", () =>
    Effect.gen(function*() {
      const server = yield* serve()
      const report = yield* Uploader.upload(yield* target(server.endpoint), UploadSource.bytes("a.txt", content))
      assert.deepStrictEqual(server.requests, ["POST", "PATCH"])
      assert.isTrue(Buffer.from(yield* server.stored(report.receipt.url)).equals(content))
      assert.strictEqual(report.bytes, content.length)
    }).pipe(Effect.provide(platform)))

  it.live("uploads nothing, and in pieces", () =>
    Effect.gen(function*() {
      const server = yield* serve()
      const empty = yield* Uploader.upload(yield* target(server.endpoint), UploadSource.bytes("empty", ""))
      assert.deepStrictEqual(server.requests.splice(0), ["POST"])
      assert.strictEqual((yield* server.stored(empty.receipt.url)).length, 0)

      const to = yield* target(server.endpoint, { chunkSize: 3_000_000 })
      const report = yield* Uploader.upload(to, UploadSource.bytes("a.txt", content))
      assert.deepStrictEqual(server.requests, ["POST", "PATCH", "PATCH", "PATCH"])
      assert.isTrue(Buffer.from(yield* server.stored(report.receipt.url)).equals(content))
    }).pipe(Effect.provide(platform)))

  it.live("continues where the connection broke, and progress never goes back", () =>
    Effect.gen(function*() {
      const server = yield* serve()
      const endpoint = yield* cutting(server.endpoint, 4_000_000)
      const fractions: Array<number> = []
      let progress = Progress.initial
      const report = yield* Uploader.upload(yield* target(endpoint), UploadSource.bytes("a.txt", content), {
        ...patiently,
        onEvent: (event) =>
          Effect.sync(() => {
            progress = Progress.step(progress, event)
            fractions.push(Progress.fraction(progress))
          })
      })
      assert.isTrue(Buffer.from(yield* server.stored(report.receipt.url)).equals(content))
      assert.strictEqual(server.requests.filter((method) => method === "POST").length, 1)
      assert.include(server.requests, "HEAD")
      assert.isAbove(report.attempts, 1)
      assert.deepStrictEqual(fractions, fractions.toSorted((a, b) => a - b))
      assert.strictEqual(fractions.indexOf(1), fractions.length - 1)
    }).pipe(Effect.provide(platform)))

  it.live("continues in another run where a store keeps the address", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped()
      yield* fs.writeFile(path, content)
      const server = yield* serve()
      const to = yield* target(server.endpoint, { chunkSize: 2_000_000, persist: true })
      const half = yield* Deferred.make<void>()
      const killed = yield* Effect.forkChild(Uploader.upload(to, UploadSource.file(path), {
        onEvent: (event) =>
          event._tag === "Sending" && event.bytes > 4_000_000 ? Deferred.succeed(half, undefined) : Effect.void
      }))
      yield* Deferred.await(half)
      yield* Fiber.interrupt(killed)

      server.requests.splice(0)
      const report = yield* Uploader.upload(to, UploadSource.file(path), patiently)
      assert.strictEqual(server.requests[0], "HEAD")
      assert.notInclude(server.requests, "POST")
      assert.isBelow(server.requests.filter((method) => method === "PATCH").length, 5)
      assert.isTrue(Buffer.from(yield* server.stored(report.receipt.url)).equals(content))

      server.requests.splice(0)
      yield* Uploader.upload(to, UploadSource.file(path), patiently)
      assert.strictEqual(server.requests[0], "POST")
    }).pipe(Effect.provide(platform)))

  it.live("begins again where the server no longer knows the upload", () =>
    Effect.gen(function*() {
      const server = yield* serve((request, response) => {
        if (request.method !== "HEAD") return false
        response.writeHead(404).end()
        return true
      })
      const report = yield* Uploader.upload(
        yield* target(yield* cutting(server.endpoint, 1_000_000)),
        UploadSource.bytes("a.txt", content),
        patiently
      )
      assert.strictEqual(server.requests.filter((method) => method === "POST").length, 2)
      assert.isTrue(Buffer.from(yield* server.stored(report.receipt.url)).equals(content))
    }).pipe(Effect.provide(platform)))

  it.live("declares the length of a stream when it is known, at the end", () =>
    Effect.gen(function*() {
      const server = yield* serve()
      for (const text of ["", "some text"]) {
        const source = UploadSource.stream("s", { stream: text === "" ? Stream.empty : Stream.make(Buffer.from(text)) })
        const report = yield* Uploader.upload(yield* target(server.endpoint), source)
        assert.strictEqual(Buffer.from(yield* server.stored(report.receipt.url)).toString(), text)
        assert.strictEqual(report.bytes, text.length)
      }
    }).pipe(Effect.provide(platform)))

  it.live("rejects an address on another origin", () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        response.writeHead(201, { location: "https://evil.example.com/files/1" }).end()
        return true
      })
      const error = yield* Effect.flip(
        Uploader.upload(yield* target(server.endpoint), UploadSource.bytes("a.txt", content), patiently)
      )
      assert.strictEqual(error.reason._tag, "UndecodableAnswer")
      assert.include(error.message, "a Location on its own origin")
      assert.deepStrictEqual(server.requests, ["POST"])
    }).pipe(Effect.provide(platform)))
})

describe("TusTarget", () => {
  for (const status of [409, 423]) {
    it.effect(`asks again for the offset after a ${status}, and continues there`, () =>
      Effect.gen(function*() {
        const requests: Array<string> = []
        const client = HttpClient.make((request) =>
          Effect.gen(function*() {
            requests.push(request.method)
            const respond = (status: number, headers: Record<string, string> = {}) =>
              HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
            if (request.method === "POST") return respond(201, { location: "/files/1" })
            if (request.method === "HEAD") return respond(200, { "upload-offset": "0" })
            if (request.body._tag === "Stream") yield* Effect.orDie(Stream.runDrain(request.body.stream))
            return requests.filter((method) => method === "PATCH").length === 1
              ? respond(status)
              : respond(204, { "upload-offset": "4" })
          })
        )
        const to = TusTarget.make({
          client: ErrorMapping.mapErrors(client, {}),
          endpoint: "https://tus.example.com/files/",
          source: (text: string) => UploadSource.bytes("a.txt", text),
          metadata: (text) => text === "" ? {} : { text, type: "text/plain" }
        })
        const report = yield* Uploader.upload(to, "text", {
          policy: RetryPolicy.make({ times: 1, backoff: Backoff.immediate })
        })
        assert.strictEqual(report.receipt.url, "https://tus.example.com/files/1")
        assert.deepStrictEqual(requests, ["POST", "PATCH", "HEAD", "PATCH"])
      }))
  }

  it.effect("describes the upload in metadata", () =>
    Effect.gen(function*() {
      const told: Array<string | undefined> = []
      const client = HttpClient.make((request) =>
        Effect.sync(() => {
          told.push(request.headers["upload-metadata"])
          return HttpClientResponse.fromWeb(request, new Response(null, { status: 201, headers: { location: "/1" } }))
        })
      )
      const source = (_: string) => UploadSource.bytes("é.txt", "")
      const common = { client: ErrorMapping.mapErrors(client, {}), endpoint: "https://tus.example.com/files/", source }
      yield* Uploader.upload(TusTarget.make(common), "a")
      yield* Uploader.upload(TusTarget.make({ ...common, metadata: (item) => ({ item, type: "b" }) }), "a")
      yield* Uploader.upload(TusTarget.make({ ...common, metadata: () => ({}) }), "a")
      assert.deepStrictEqual(told, [
        `filename ${Buffer.from("é.txt").toString("base64")}`,
        `item ${btoa("a")},type ${btoa("b")}`,
        undefined
      ])
    }))
})

/** A server that claims given offsets after a creation, a look and a patch. */
const claiming = (claims: {
  readonly head?: { readonly offset: number; readonly length?: number }
  readonly patch: (offset: number, received: number) => number
}) => {
  const requests: Array<string> = []
  const client = HttpClient.make((request) =>
    Effect.gen(function*() {
      requests.push(request.method)
      const respond = (status: number, headers: Record<string, string>) =>
        HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
      if (request.method === "POST") return respond(201, { location: `/files/${requests.length}` })
      if (request.method === "HEAD") {
        const { length, offset = 0 } = claims.head ?? {}
        return respond(200, {
          "upload-offset": `${offset}`,
          ...(length === undefined ? {} : { "upload-length": `${length}` })
        })
      }
      const received = request.body._tag === "Stream"
        ? yield* Stream.runFold(request.body.stream, () => 0, (sum, chunk) => sum + chunk.length)
        : 0
      return respond(204, { "upload-offset": `${claims.patch(Number(request.headers["upload-offset"]), received)}` })
    }).pipe(Effect.catch((cause) =>
      Effect.fail(
        new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
      )
    ))
  )
  return { client, requests }
}

describe("TusTarget and a server that has more than was sent", () => {
  const size = 30_000
  const honest = (offset: number, received: number) => offset + received
  const retrying = { policy: RetryPolicy.make({ times: 2, backoff: Backoff.immediate }) }

  /** Uploads a file whose address an earlier run has left behind. */
  const resume = Effect.fnUntraced(function*(claims: Parameters<typeof claiming>[0]) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* fs.makeTempFileScoped()
    yield* fs.writeFile(path, new Uint8Array(size))
    const { client, requests } = claiming(claims)
    const store = yield* KeyValueStore.KeyValueStore
    const to = TusTarget.make({
      client: ErrorMapping.mapErrors(client, {}),
      endpoint: "https://tus.example.com/files/",
      source: (path: string) => UploadSource.file(path),
      store
    })
    const { version } = yield* UploadSource.file(path).open
    const key = JSON.stringify(["https://tus.example.com/files/", path.split("/").at(-1), size, version])
    yield* store.set(key, "https://tus.example.com/files/0")
    const once = Uploader.upload(to, path, retrying)
    return { first: yield* Effect.exit(once), once, requests }
  })

  it.effect("fails where the offset lies beyond the source, and starts over the next time", () =>
    Effect.gen(function*() {
      const { first, once, requests } = yield* resume({ head: { offset: size + 1, length: size }, patch: honest })
      const error = Exit.findErrorOption(first)
      assert.isTrue(Option.isSome(error) && error.value.reason._tag === "UndecodableAnswer")
      assert.include(
        Option.getOrThrow(error).message,
        "an Upload-Offset of 30001 where an Upload-Offset from 0 to 30000"
      )
      assert.deepStrictEqual(requests.splice(0), ["HEAD"])
      assert.strictEqual((yield* once).bytes, size)
      assert.deepStrictEqual(requests, ["POST", "PATCH"])
    }).pipe(Effect.provide(platform)))

  it.effect("starts over where the address belongs to an upload of another length", () =>
    Effect.gen(function*() {
      const { first, requests } = yield* resume({ head: { offset: size, length: size * 2 }, patch: honest })
      assert.isTrue(Exit.isSuccess(first) && first.value.bytes === size)
      assert.deepStrictEqual(requests, ["HEAD", "POST", "PATCH"])
    }).pipe(Effect.provide(platform)))

  it.effect("succeeds without a byte where the server has the whole source", () =>
    Effect.gen(function*() {
      const { first, requests } = yield* resume({ head: { offset: size, length: size }, patch: honest })
      assert.isTrue(Exit.isSuccess(first) && first.value.bytes === size)
      assert.deepStrictEqual(requests, ["HEAD"])
    }).pipe(Effect.provide(platform)))

  it.effect("fails where the response claims more than the request contained", () =>
    Effect.gen(function*() {
      const { first, requests } = yield* resume({ head: { offset: 10 }, patch: () => size + 5 })
      const error = Exit.findErrorOption(first)
      assert.isTrue(Option.isSome(error) && error.value.reason._tag === "UndecodableAnswer")
      assert.deepStrictEqual(requests, ["HEAD", "PATCH"])
    }).pipe(Effect.provide(platform)))

  it.effect("fails where a stream of unknown length is shorter than what the server has of it", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped({ suffix: ".csv" })
      yield* fs.writeFile(path, Buffer.from("a;b\n"))
      const { client } = claiming({ head: { offset: 5_000 }, patch: honest })
      const store = yield* KeyValueStore.KeyValueStore
      const source = UploadSource.gzip(UploadSource.file(path))
      const { version } = yield* source.open
      yield* store.set(
        JSON.stringify(["https://tus.example.com/files/", source.name, undefined, version]),
        "https://tus.example.com/files/0"
      )
      const to = TusTarget.make({
        client: ErrorMapping.mapErrors(client, {}),
        endpoint: "https://tus.example.com/files/",
        source: (source: UploadSource.UploadSource<FileSystem.FileSystem>) => source,
        store
      })
      const error = yield* Effect.flip(Uploader.upload(to, source, retrying))
      assert.strictEqual(error.reason._tag, "SourceChanged")
    }).pipe(Effect.provide(platform)))
})
