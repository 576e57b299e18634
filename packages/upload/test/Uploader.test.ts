import { ApiError, Recovery } from "@effect-resilience/errors"
import * as Connections from "@effect-resilience/node/Connections"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import type { UploadError } from "@effect-resilience/upload"
import { Progress, Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeFileSystem, NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, FileSystem, Layer, Stream } from "effect"
import { createHash } from "node:crypto"
import * as Forms from "./Forms.ts"
import * as RawServer from "./servers/RawServer.ts"
import * as Server from "./servers/Server.ts"

const transports = [
  ["undici", NodeHttpClient.layerUndici],
  // Allows sources to use their memory again.
  ["the connections of Node", Connections.layer()]
] as const

const quick = { policy: RetryPolicy.make({ times: 3, backoff: Backoff.immediate }) }

// More than what the sockets of a connection buffer.
const big = new Uint8Array(16 * 1_048_576)

const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex")

const fileOf = Effect.fnUntraced(function*(content: Uint8Array | string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* fs.makeTempFileScoped({ suffix: ".csv" })
  yield* fs.writeFile(path, Buffer.from(content as Uint8Array))
  return path
})

const partOf = (body: Buffer): Buffer => body.subarray(body.indexOf("\r\n\r\n") + 4, body.lastIndexOf("\r\n--"))

const reasonOf = (error: ApiError.ApiError | UploadError.UploadError): string => error.reason._tag

describe.each(transports)("Uploader over sockets of %s", (_, client) => {
  const platform = Layer.merge(NodeFileSystem.layer, client)

  it.live("sends a file as a form of exact length", () =>
    Effect.gen(function*() {
      const content = Buffer.alloc(3_333_333, "a;b\r\n")
      const path = yield* fileOf(content)
      const server = yield* Server.make()
      const report = yield* Uploader.upload(
        yield* Forms.target<FileSystem.FileSystem>(server.url),
        UploadSource.file(path)
      )

      const [request] = server.requests
      assert.strictEqual(request?.headers["content-length"], `${request?.body.length}`)
      assert.isTrue(request !== undefined && partOf(request.body).equals(content))
      assert.strictEqual(report.bytes, content.length)
      assert.strictEqual(report.digests.md5, md5(content))
      assert.isFalse(report.verified)
    }).pipe(Effect.provide(platform)))

  for (
    const [name, content] of [
      ["nothing", ""],
      ["a byte order mark and CRLF", "\uFEFFa;b\r\n1;2\r\n"],
      ["gzip", Buffer.from("1f8b08000000000000034b4c4a060027c1b6ca03000000", "hex")]
    ] as const
  ) {
    it.live(`keeps ${name} byte for byte`, () =>
      Effect.gen(function*() {
        const server = yield* Server.make((response, { body }) => response.end(md5(partOf(body))))
        const report = yield* Uploader.upload(
          yield* Forms.target<FileSystem.FileSystem>(server.url),
          UploadSource.file(yield* fileOf(content))
        )
        assert.isTrue(server.requests[0] !== undefined && partOf(server.requests[0].body).equals(Buffer.from(content)))
        assert.isTrue(report.verified)
      }).pipe(Effect.provide(platform)))
  }

  it.live("sends the same bytes again after two 503s, and reports both recoveries", () =>
    Effect.gen(function*() {
      const server = yield* Server.make((response, { body }, attempt) => {
        if (attempt < 3) response.writeHead(503)
        response.end(attempt < 3 ? "" : md5(partOf(body)))
      })
      const content = Buffer.alloc(2_500_000, "0123456789")
      const path = yield* fileOf(content)
      const report = yield* Uploader.upload(
        yield* Forms.target<FileSystem.FileSystem>(server.url),
        UploadSource.file(path),
        quick
      )
      assert.strictEqual(report.attempts, 3)
      assert.isTrue(report.verified)
      assert.deepStrictEqual(report.recoveries.map(({ attempt, recovery }) => [attempt, recovery._tag]), [
        [1, "Retry"],
        [2, "Retry"]
      ])
      assert.deepStrictEqual(new Set(server.requests.map(({ body }) => md5(partOf(body)))), new Set([md5(content)]))
    }).pipe(Effect.provide(platform)))

  for (const after of ["keeps the connection", "closes the connection"]) {
    for (const [status, tag] of [["401 Unauthorized", "Unauthorized"], ["413 Content Too Large", "PayloadTooLarge"]]) {
      it.live(`surfaces an early ${status} of a server that ${after}`, () =>
        Effect.gen(function*() {
          const server = yield* RawServer.make((socket) => {
            socket.once("data", () => {
              socket.pause()
              socket.write(RawServer.response(status ?? ""), () => {
                if (after === "closes the connection") socket.end()
              })
            })
          })
          const error = yield* Uploader.upload(
            yield* Forms.target(server.url),
            UploadSource.bytes("big.bin", big),
            quick
          ).pipe(Effect.flip)
          assert.strictEqual(reasonOf(error), tag)
          assert.strictEqual(server.sockets.length, 1)
        }).pipe(Effect.provide(platform)))
    }
  }

  it.live("does not take an early success for one", () =>
    Effect.gen(function*() {
      const server = yield* RawServer.make((socket) => {
        socket.once("data", () => {
          socket.pause()
          socket.write(RawServer.response("200 OK", "stored"))
        })
      })
      const error = yield* Uploader.upload(
        yield* Forms.target(server.url, { idempotent: false }),
        UploadSource.bytes("big.bin", big),
        quick
      ).pipe(Effect.flip)
      assert.strictEqual(reasonOf(error), "IncompleteBody")
      assert.strictEqual(Recovery.of(error)._tag, "Verify")
    }).pipe(Effect.provide(platform)))

  it.live("repairs a damaged upload that is idempotent by a retry", () =>
    Effect.gen(function*() {
      const server = yield* Server.make((response, { body }, attempt) =>
        response.end(attempt === 1 ? md5(body) : md5(partOf(body)))
      )
      const report = yield* Uploader.upload(yield* Forms.target(server.url), UploadSource.bytes("a.csv", "a;b"), quick)
      assert.strictEqual(report.attempts, 2)
      assert.isTrue(report.verified)
    }).pipe(Effect.provide(platform)))

  it.live("does not retry a damaged upload that is not idempotent", () =>
    Effect.gen(function*() {
      const server = yield* Server.make((response, { body }) => response.end(md5(body)))
      const error = yield* Uploader.upload(
        yield* Forms.target(server.url, { idempotent: false }),
        UploadSource.bytes("a.csv", "a;b"),
        quick
      ).pipe(Effect.flip)
      assert.strictEqual(reasonOf(error), "IntegrityMismatch")
      assert.strictEqual(Recovery.of(error)._tag, "Verify")
      assert.strictEqual(server.requests.length, 1)
    }).pipe(Effect.provide(platform)))

  for (const idempotent of [true, false]) {
    it.live(`${idempotent ? "retries" : "never retries"} an upload whose connection broke after the body left`, () =>
      Effect.gen(function*() {
        const server = yield* Server.make((response, _, attempt) =>
          attempt === 1 ? response.destroy() : response.end("stored")
        )
        const upload = Uploader.upload(
          yield* Forms.target(server.url, { idempotent }),
          UploadSource.bytes("a.csv", "a;b"),
          quick
        )
        if (idempotent) {
          assert.strictEqual((yield* upload).attempts, 2)
        } else {
          assert.strictEqual(reasonOf(yield* Effect.flip(upload)), "OutcomeUnknown")
          assert.strictEqual(server.requests.length, 1)
        }
      }).pipe(Effect.provide(platform)))
  }

  it.live("retries an upload that is not idempotent where the body cannot have arrived", () =>
    Effect.gen(function*() {
      const server = yield* RawServer.make((socket, connection) => {
        if (connection === 1) socket.once("data", () => socket.resetAndDestroy())
        else {
          let bytes = 0
          socket.on("data", (chunk) => {
            bytes += chunk.length
            if (bytes > big.length) socket.end(RawServer.response("200 OK", "stored"))
          })
        }
      })
      const report = yield* Uploader.upload(
        yield* Forms.target(server.url, { idempotent: false }),
        UploadSource.bytes("big.bin", big),
        quick
      )
      assert.strictEqual(report.attempts, 2)
    }).pipe(Effect.provide(platform)))

  it.live("fails a stream that can be read once with NotReplayable after a 503", () =>
    Effect.gen(function*() {
      const server = yield* Server.make((response) => response.writeHead(503).end())
      const error = yield* Uploader.upload(
        yield* Forms.target(server.url),
        UploadSource.oneShot("stdin.csv", { stream: Stream.make(Buffer.from("a;b")) }),
        quick
      ).pipe(Effect.flip)
      assert.strictEqual(reasonOf(error), "NotReplayable")
      assert.include(error.message, "503")
      assert.strictEqual(server.requests.length, 1)
    }).pipe(Effect.provide(platform)))

  it.live("retries a stream that can be read once if none of it was read", () =>
    Effect.gen(function*() {
      const server = yield* Server.make()
      const target = yield* Forms.target(server.url)
      let calls = 0
      const report = yield* Uploader.upload(
        {
          ...target,
          send: (item, payload) =>
            ++calls === 1
              ? Effect.fail(
                new ApiError.ApiError({
                  method: "POST",
                  endpoint: "/upload",
                  reason: new ApiError.TransportFailure({ kind: "refused", code: "ECONNREFUSED", connected: false })
                })
              )
              : target.send(item, payload)
        },
        UploadSource.oneShot("stdin.csv", { size: 3, stream: Stream.make(Buffer.from("a;b")) }),
        quick
      )
      assert.strictEqual(report.attempts, 2)
      assert.strictEqual(server.requests[0]?.headers["content-length"], `${server.requests[0]?.body.length}`)
    }).pipe(Effect.provide(platform)))

  for (
    const [what, tag, change] of [
      ["written", "SourceChanged", (fs: FileSystem.FileSystem, path: string) => fs.writeFileString(path, "x;y\n")],
      ["truncated", "SourceChanged", (fs: FileSystem.FileSystem, path: string) => fs.truncate(path, 2)],
      ["removed", "SourceUnreadable", (fs: FileSystem.FileSystem, path: string) => fs.remove(path)]
    ] as const
  ) {
    it.live(`says ${tag} where the file was ${what} between two attempts`, () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* fileOf("a;b\n1;2\n")
        const server = yield* Server.make((response) => response.writeHead(503).end())
        const error = yield* Uploader.upload(
          yield* Forms.target<FileSystem.FileSystem>(server.url),
          UploadSource.file(path),
          {
            ...quick,
            onEvent: (event) => event._tag === "Retrying" ? Effect.orDie(change(fs, path)) : Effect.void
          }
        ).pipe(Effect.flip)
        assert.strictEqual(reasonOf(error), tag)
        assert.strictEqual(server.requests.length, 1)
        if (tag === "SourceUnreadable") yield* fs.writeFileString(path, "")
      }).pipe(Effect.provide(platform)))
  }

  it.live("closes the connection and the file when it is interrupted while it sends", () =>
    Effect.gen(function*() {
      const sending = yield* Deferred.make<void>()
      const closed = yield* Deferred.make<void>()
      const server = yield* RawServer.make((socket) => {
        socket.once("data", () => socket.pause())
        socket.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
      })
      const released = yield* Deferred.make<void>()
      let open = 0
      const fs = yield* FileSystem.FileSystem
      const counting = FileSystem.FileSystem.of({
        ...fs,
        open: (path, options) =>
          Effect.acquireRelease(
            Effect.sync(() => open++),
            () => Effect.suspend(() => --open === 0 ? Deferred.succeed(released, undefined) : Effect.void)
          ).pipe(
            Effect.andThen(fs.open(path, options))
          )
      })
      const fiber = yield* Uploader.upload(
        yield* Forms.target<FileSystem.FileSystem>(server.url),
        UploadSource.file(yield* fileOf(big)),
        { onEvent: (event) => event._tag === "Sending" ? Deferred.succeed(sending, undefined) : Effect.void }
      ).pipe(Effect.provideService(FileSystem.FileSystem, counting), Effect.forkChild)
      yield* Deferred.await(sending)
      assert.strictEqual(open, 1)
      yield* Fiber.interrupt(fiber)
      server.sockets[0]?.resume()
      yield* Deferred.await(closed)
      yield* Deferred.await(released)
    }).pipe(Effect.provide(platform)))

  it.live("reports progress that never goes back and is complete on the response only", () =>
    Effect.gen(function*() {
      const server = yield* Server.make((response, _, attempt) => {
        if (attempt === 1) response.writeHead(500)
        response.end("stored")
      })
      const fractions: Array<number> = []
      let progress = Progress.initial
      yield* Uploader.events(
        yield* Forms.target(server.url),
        UploadSource.stream("a.bin", {
          size: 100_000,
          stream: Stream.make(...Array.from({ length: 10 }, () => new Uint8Array(10_000))).pipe(Stream.rechunk(1))
        }),
        quick
      ).pipe(
        Stream.runForEach((event) =>
          Effect.sync(() => {
            progress = Progress.step(progress, event)
            fractions.push(Progress.fraction(progress))
          })
        )
      )
      assert.deepStrictEqual(fractions, fractions.toSorted((a, b) => a - b))
      assert.strictEqual(fractions.filter((fraction) => fraction === 1).length, 1)
      assert.strictEqual(fractions.at(-1), 1)
      assert.isAbove(fractions.length, 10)
      assert.strictEqual(progress.attempt, 2)
    }).pipe(Effect.provide(platform)))
})
