import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ErrorMapping } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import * as HashingThreads from "@effect-resilience/node/HashingThreads"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Hashing, HttpTarget, Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, FileSystem, Layer, Schema, Scope } from "effect"
import { HttpClient } from "effect/http"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { fileURLToPath } from "node:url"

const digestsOf = (bytes: Uint8Array) => ({
  md5: createHash("md5").update(bytes).digest("hex"),
  sha256: createHash("sha256").update(bytes).digest("hex")
})

/** No two stretches of it are alike. */
const content = (length: number, seed = 1) => {
  const bytes = Buffer.alloc(length)
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE((i + seed) * 2_654_435_761 % 2 ** 32, i)
  return bytes
}

/** Chunks in one buffer, which is overwritten as soon as it may be, as when a file is read. */
const hash = Effect.fnUntraced(function*(
  bytes: Uint8Array,
  piece: number,
  algorithms: ReadonlyArray<Hashing.Algorithm> = ["md5", "sha256"]
) {
  const hasher = yield* (yield* Hashing.Current).start(algorithms, { size: bytes.length })
  const buffer = Buffer.alloc(piece)
  for (let at = 0; at < bytes.length; at += piece) {
    const chunk = bytes.subarray(at, at + piece)
    buffer.set(chunk)
    yield* hasher.update(buffer.subarray(0, chunk.length))
    buffer.fill(0)
  }
  return yield* hasher.digest
}, Effect.scoped)

const threads = (count: number) => HashingThreads.layer({ threads: count, smallest: 0 })

/** A thread that gets this cannot continue. */
const unheardOf = "md4711" as Hashing.Algorithm

const loseThread = Effect.scoped(
  Effect.gen(function*() {
    const hasher = yield* (yield* Hashing.Current).start([unheardOf], { size: 1 })
    return yield* Effect.flip(hasher.digest)
  })
)

describe("HashingThreads", () => {
  it.layer(threads(2))((it) => {
    it.effect.prop(
      "agrees with node:crypto however the bytes are cut",
      [Schema.Array(Schema.Uint8Array)],
      ([chunks]) =>
        Effect.scoped(Effect.gen(function*() {
          const hasher = yield* (yield* Hashing.Current).start(["md5", "sha256"], { size: 1 })
          for (const chunk of chunks) yield* hasher.update(chunk)
          assert.deepStrictEqual(yield* hasher.digest, digestsOf(Buffer.concat(chunks)))
        }))
    )

    it.effect("hashes chunks of all sizes, whose memory is reused at once", () =>
      Effect.gen(function*() {
        const bytes = content(11_000_003)
        for (const piece of [65_536, 1_048_576, 3_145_728, 12_000_000]) {
          assert.deepStrictEqual(yield* hash(bytes, piece), digestsOf(bytes))
        }
      }))

    it.effect("hashes forty at once in the memory of two threads", () =>
      Effect.gen(function*() {
        const all = Array.from({ length: 40 }, (_, seed) => content(2_500_000 + seed, seed))
        const found = yield* Effect.forEach(all, (bytes) => hash(bytes, 700_000), { concurrency: "unbounded" })
        assert.deepStrictEqual(found, all.map(digestsOf))
      }))

    it.effect("releases what is interrupted at any moment", () =>
      Effect.gen(function*() {
        const bytes = content(8_000_000)
        for (let turns = 0; turns < 30; turns++) {
          const fibers = yield* Effect.forEach(Array.from({ length: 6 }), () => Effect.forkChild(hash(bytes, 900_000)))
          for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
          yield* Effect.forEach(fibers, Fiber.interrupt, { concurrency: "unbounded" })
        }
        assert.deepStrictEqual(yield* hash(bytes, 900_000), digestsOf(bytes))
      }))

    it.effect("computes one digest, and none", () =>
      Effect.gen(function*() {
        const bytes = content(3)
        assert.deepStrictEqual(yield* hash(bytes, 3, ["sha256"]), { sha256: digestsOf(bytes).sha256 })
        assert.deepStrictEqual(yield* hash(bytes, 3, []), {})
      }))
  })

  it.effect("leaves small sources, and those of unknown size, to the hashing outside it", () =>
    Effect.gen(function*() {
      const sizes: Array<number | undefined> = []
      const before: Hashing.Hashing = {
        start: (algorithms, hint) => {
          sizes.push(hint?.size)
          return Hashing.portable.start(algorithms, hint)
        }
      }
      const hashing = yield* HashingThreads.make().pipe(Effect.provideService(Hashing.Current, before))
      const large = 64 * 1_048_576
      for (const size of [0, large - 1, undefined, large]) yield* hashing.start(["md5"], { size })
      yield* hashing.start(["md5"])
      assert.deepStrictEqual(sizes, [0, large - 1, undefined, undefined])
    }).pipe(Effect.scoped))

  it("rejects numbers that make no sense", () => {
    assert.throws(() => HashingThreads.layer({ threads: 0 }), RangeError)
    assert.throws(() => HashingThreads.layer({ threads: 1.5 }), RangeError)
    assert.throws(() => HashingThreads.layer({ smallest: -1 }), RangeError)
    assert.throws(() => HashingThreads.layer({ smallest: Number.NaN }), RangeError)
  })
})

describe("A thread that is lost", () => {
  it.effect("fails what it was computing; later sources are still hashed", () =>
    Effect.gen(function*() {
      const hashing = yield* Hashing.Current
      const hasher = yield* hashing.start(["md5"], { size: 1 })
      yield* hasher.update(content(10))
      const error = yield* loseThread
      assert.strictEqual(error._tag, "HashingError")
      assert.match(error.message, /thread was lost \(Digest method not supported\)/)
      assert.strictEqual((yield* Effect.flip(hasher.update(content(10))))._tag, "HashingError")
      assert.strictEqual((yield* Effect.flip(hasher.digest))._tag, "HashingError")
      const bytes = content(5_000_000)
      assert.deepStrictEqual(yield* hash(bytes, 400_000), digestsOf(bytes))
    }).pipe(Effect.scoped, Effect.provide(threads(1))))

  it.effect("fails uploads that wait for it to catch up", () =>
    Effect.gen(function*() {
      const bytes = content(20_000_000)
      const fibers = yield* Effect.forEach(
        Array.from({ length: 5 }),
        () => Effect.forkChild(Effect.flip(hash(bytes, 5_000_000)))
      )
      yield* Effect.yieldNow
      yield* loseThread
      for (const fiber of fibers) assert.strictEqual((yield* Fiber.join(fiber))._tag, "HashingError")
    }).pipe(Effect.provide(threads(1))))

  it.effect("fails what still computes when the scope is closed; later sources are hashed without threads", () =>
    Effect.gen(function*() {
      const bytes = content(9_000_000)
      const outer = yield* Effect.scope
      const { hasher, hashing } = yield* Effect.scoped(
        Effect.gen(function*() {
          const hashing = yield* HashingThreads.make({ threads: 1, smallest: 0 })
          const hasher = yield* Effect.provideService(hashing.start(["md5"], { size: 1 }), Scope.Scope, outer)
          yield* hasher.update(bytes)
          return { hasher, hashing }
        })
      )
      assert.strictEqual((yield* Effect.flip(hasher.digest))._tag, "HashingError")
      assert.deepStrictEqual(
        yield* Effect.provideService(hash(bytes, 100_000), Hashing.Current, hashing),
        digestsOf(bytes)
      )
    }).pipe(Effect.scoped))
})

describe("An upload with threads", () => {
  const bytes = content(24_000_000)
  const platform = Layer.merge(NodeFileSystem.layer, Connections.layer())

  /** Reads in bursts, and responds with the md5. */
  const server = (onBytes: (total: number, attempt: number) => void = () => {}) =>
    Effect.suspend(() => {
      let attempts = 0
      return LocalServer.http((request, response) => {
        const attempt = ++attempts
        const hash = createHash("md5")
        let total = 0
        let chunks = 0
        request.on("error", () => {})
        request.on("data", (chunk: Buffer) => {
          hash.update(chunk)
          onBytes(total += chunk.length, attempt)
          if (++chunks % 40 !== 0) return
          request.pause()
          setTimeout(() => request.resume(), 1)
        })
        request.on("end", () => response.writeHead(200, { etag: `"${hash.digest("hex")}"` }).end())
      })
    })

  const upload = Effect.fnUntraced(function*({ url }: LocalServer.LocalServer) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* fs.makeTempFileScoped()
    yield* fs.writeFile(path, bytes)
    const target = HttpTarget.make({
      client: ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {}),
      method: "PUT",
      endpoint: "/",
      url: () => url,
      source: (path: string) => UploadSource.file(path),
      digests: ["md5", "sha256"],
      stored: HttpTarget.etagMd5
    })
    return yield* Uploader.upload(target, path, { policy: RetryPolicy.make({ times: 3, backoff: Backoff.immediate }) })
  })

  it.live("is verified, four at once", () =>
    Effect.gen(function*() {
      const to = yield* server()
      const reports = yield* Effect.all(Array.from({ length: 4 }, () => upload(to)), { concurrency: "unbounded" })
      for (const { attempts, digests, verified } of reports) {
        assert.strictEqual(attempts, 1)
        assert.isTrue(verified)
        assert.deepStrictEqual(digests, digestsOf(bytes))
      }
    }).pipe(Effect.scoped, Effect.provide([platform, threads(2)])))

  it.live("begins anew if its thread is lost in the middle", () =>
    Effect.gen(function*() {
      const context = yield* Effect.context<never>()
      let lost = false
      const to = yield* server((total) => {
        if (lost || total < 8_000_000) return
        lost = true
        Effect.runForkWith(context)(loseThread)
      })
      const { attempts, digests, recoveries, verified } = yield* upload(to)
      assert.strictEqual(attempts, 2)
      assert.match(String(recoveries[0]?.error), /could not be hashed while it was sent: a thread was lost/)
      assert.isTrue(verified)
      assert.deepStrictEqual(digests, digestsOf(bytes))
    }).pipe(Effect.scoped, Effect.provide([platform, threads(1)])))
})

describe("A process with threads", () => {
  const script = fileURLToPath(new URL("hashingProcess.ts", import.meta.url))

  const run = (mebibytes: number, ...flags: ReadonlyArray<string>) => {
    const { status, stderr, stdout } = spawnSync(
      process.execPath,
      [...flags, "--conditions=@effect-resilience/source", script, String(mebibytes)],
      { encoding: "utf8", timeout: 100_000 }
    )
    assert.strictEqual(status, 0, stderr)
    return JSON.parse(stdout) as { readonly md5: string; readonly threads: number; readonly megabytes: number }
  }

  const md5OfZeros = (mebibytes: number) => {
    const hash = createHash("md5")
    for (let i = 0; i < mebibytes; i++) hash.update(new Uint8Array(1_048_576))
    return hash.digest("hex")
  }

  it(
    "waits for a digest, then ends although the layer is open and one digest was given up; memory stays flat",
    () => {
      const small = run(16)
      const large = run(256)
      assert.strictEqual(small.md5, md5OfZeros(16))
      assert.strictEqual(large.md5, md5OfZeros(256))
      assert.strictEqual(large.threads, 2)
      assert.isBelow(large.megabytes - small.megabytes, 16)
    }
  )

  it("hashes without threads if they are forbidden", () => {
    const { md5, threads } = run(4, "--permission", "--allow-fs-read=*")
    assert.strictEqual(md5, md5OfZeros(4))
    assert.strictEqual(threads, 0)
  })
})
