import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ErrorMapping } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { HttpTarget, Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import { HttpClient } from "effect/http"
import { createHash } from "node:crypto"

const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest("hex")

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

/** No two stretches of it are alike. */
const content = Buffer.alloc(24_000_000)
for (let i = 0; i < content.length; i += 4) content.writeUInt32LE(i * 2_654_435_761 % 2 ** 32, i)

/** Reads in fits and starts, so that the client's buffers are full for most of the time, and responds with the md5. */
const slowServer = (giveUpAfter: (attempt: number) => number) =>
  Effect.suspend(() => {
    let attempts = 0
    return LocalServer.http((request, response) => {
      const most = giveUpAfter(++attempts)
      const hash = createHash("md5")
      let bytes = 0
      let chunks = 0
      request.on("error", () => {})
      request.on("data", (chunk: Buffer) => {
        hash.update(chunk)
        bytes += chunk.length
        if (response.headersSent) return
        if (bytes > most) response.writeHead(503, { connection: "close" }).end()
        else if (++chunks % 40 === 0) {
          request.pause()
          setTimeout(() => request.resume(), 1)
        }
      })
      request.on("end", () => response.writeHead(200, { etag: `"${hash.digest("hex")}"` }).end())
    })
  })

const upload = Effect.fnUntraced(function*(url: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* fs.makeTempFileScoped()
  yield* fs.writeFile(path, content)
  const target = HttpTarget.make({
    client: ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {}),
    method: "PUT",
    endpoint: "/",
    url: () => url,
    source: (path: string) => UploadSource.file(path),
    digests: ["md5", "sha256"],
    stored: HttpTarget.etagMd5
  })
  return yield* Uploader.upload(target, path, {
    policy: RetryPolicy.make({ times: 3, backoff: Backoff.immediate })
  })
})

const platform = Layer.merge(NodeFileSystem.layer, Connections.layer())

describe("A file whose buffers take turns", () => {
  for (
    const [what, giveUpAfter, attempts] of [
      ["is read slowly", () => Infinity, 1],
      ["starts over in the middle, three times", (attempt: number) => attempt * 7_000_000, 4]
    ] as const
  ) {
    it.live(`arrives as it is, with its digests, where it ${what}`, () =>
      Effect.gen(function*() {
        const { url } = yield* slowServer(giveUpAfter)
        const report = yield* upload(url)
        assert.strictEqual(report.attempts, attempts)
        assert.isTrue(report.verified)
        assert.deepStrictEqual(report.digests, { md5: md5(content), sha256: sha256(content) })
      }).pipe(Effect.provide(platform)))
  }
})
