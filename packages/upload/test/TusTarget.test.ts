import { ErrorMapping } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Progress, TusTarget, Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeFileSystem, NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { FileStore } from "@tus/file-store"
import { Server } from "@tus/server"
import { Deferred, Effect, Fiber, FileSystem, Layer, Stream } from "effect"
import { HttpClient } from "effect/http"
import { KeyValueStore } from "effect/persistence"
import * as Http from "node:http"
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
    const server = yield* Effect.acquireRelease(
      Effect.callback<Http.Server>((resume) => {
        const server = Http.createServer((request, response) => {
          requests.push(`${request.method}`)
          request.on("error", () => {})
          if (!intercept(request, response)) void tus.handle(request, response).catch(() => {})
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    return {
      requests,
      endpoint: `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}/files`,
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

  it.live("goes on where the connection broke, and progress never goes back", () =>
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

  it.live("goes on in another run where a store keeps the address", () =>
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
      }
    }).pipe(Effect.provide(platform)))

  it.live("refuses an address on another origin", () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        response.writeHead(201, { location: "https://evil.example.com/files/1" }).end()
        return true
      })
      const error = yield* Effect.flip(
        Uploader.upload(yield* target(server.endpoint), UploadSource.bytes("a.txt", content), patiently)
      )
      assert.strictEqual(error.reason._tag, "UndecodableAnswer")
      assert.deepStrictEqual(server.requests, ["POST"])
    }).pipe(Effect.provide(platform)))
})
