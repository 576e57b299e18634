import * as LocalFileSystem from "@effect-resilience/node/LocalFileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, FileSystem, Layer, Option, type PlatformError, Schema } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"

const both = Effect.gen(function*() {
  const usual = yield* Effect.provide(FileSystem.FileSystem, NodeFileSystem.layer)
  const local = yield* Effect.provide(FileSystem.FileSystem, LocalFileSystem.layer)
  return { usual, local, directory: yield* usual.makeTempDirectoryScoped() }
})

const reasonOf = (error: PlatformError.PlatformError) => {
  const { reason } = error
  return [reason._tag, reason.module, reason.method, "pathOrDescriptor" in reason ? reason.pathOrDescriptor : undefined]
}

describe("LocalFileSystem", () => {
  it.effect("reports of a file, a directory and a link what Node's reports", () =>
    Effect.gen(function*() {
      const { directory, local, usual } = yield* both
      const file = `${directory}/a.csv`
      yield* usual.writeFileString(file, "a;b\n1;2\n")
      yield* usual.symlink(file, `${directory}/link`)
      for (const path of [file, directory, `${directory}/link`, "/dev/null"]) {
        assert.deepStrictEqual(yield* local.stat(path), yield* usual.stat(path))
      }
      const [quick, slow] = [yield* local.open(file), yield* usual.open(file)]
      assert.deepStrictEqual(yield* quick.stat, yield* slow.stat)
    }))

  it.effect("reads whole files, small and large, and fails as Node's does", () =>
    Effect.gen(function*() {
      const { directory, local, usual } = yield* both
      for (const size of [0, 1, 65_536, 65_537]) {
        const path = `${directory}/${size}`
        yield* usual.writeFile(path, new Uint8Array(size).fill(size))
        assert.deepStrictEqual([...yield* local.readFile(path)], [...yield* usual.readFile(path)])
      }
      for (const path of [directory, `${directory}/none`]) {
        assert.deepStrictEqual(
          reasonOf(yield* Effect.flip(local.readFile(path))),
          reasonOf(yield* Effect.flip(usual.readFile(path)))
        )
      }
    }))

  it.effect("fails as Node's does", () =>
    Effect.gen(function*() {
      const { directory, local, usual } = yield* both
      const missing = `${directory}/missing`
      for (const path of [missing, `${missing}/below`, `${directory}/nul\0`]) {
        const failure = (fs: FileSystem.FileSystem) =>
          Effect.all([Effect.flip(fs.stat(path)), Effect.flip(Effect.asVoid(fs.open(path)))])
        const [ours, theirs] = [yield* failure(local), yield* failure(usual)]
        assert.deepStrictEqual(ours.map(reasonOf), theirs.map(reasonOf))
      }
      const file = `${directory}/a.csv`
      yield* usual.writeFileString(file, "a;b\n")
      const open = yield* local.open(file)
      for (
        const rejected of [
          open.write(new Uint8Array(1)),
          open.writeAll(new Uint8Array(1)),
          open.truncate(0),
          open.seek(-1n, "start"),
          open.read(new Uint8Array(1), { position: -1n }),
          open.read(new Uint8Array(1), { position: 2n ** 70n }),
          open.readAlloc(-1),
          open.readAlloc(2 ** 53)
        ]
      ) {
        assert.strictEqual((yield* Effect.flip(Effect.asVoid(rejected))).reason._tag, "BadArgument")
      }
      assert.strictEqual(readFileSync(file, "utf8"), "a;b\n")
      const read = (fs: FileSystem.FileSystem) =>
        Effect.flatMap(fs.open(directory, { noFollow: true }), (open) => Effect.flip(open.read(new Uint8Array(1))))
      if (process.platform !== "win32") {
        assert.strictEqual((yield* read(local)).reason._tag, (yield* read(usual)).reason._tag)
      }
    }))

  const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
  const size = between(0, 100_000)
  const Step = Schema.Union([
    Schema.Struct({ do: Schema.Literal("seek"), offset: between(-300_000, 300_000), current: Schema.Boolean }),
    Schema.Struct({ do: Schema.Literals(["read", "readAlloc"]), size }),
    Schema.Struct({ do: Schema.Literal("readAt"), size, position: between(-1, 300_000) })
  ])

  // Assertions compare it a hundred times as quickly as an array.
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1")

  it.effect.prop(
    "reads what Node's reads, from any position",
    [Schema.Array(Step)],
    ([steps]) =>
      Effect.gen(function*() {
        const { directory, local, usual } = yield* both
        const path = `${directory}/a.bin`
        yield* usual.writeFile(path, Uint8Array.from({ length: 200_000 }, (_, i) => i * 31 ^ i >> 8))
        const files = [yield* local.open(path), yield* usual.open(path)]
        for (const step of steps) {
          const [ours, theirs] = yield* Effect.forEach(files, (file) =>
            Effect.match(
              Effect.suspend((): Effect.Effect<unknown, PlatformError.PlatformError> => {
                if (step.do === "seek") return file.seek(BigInt(step.offset), step.current ? "current" : "start")
                if (step.do === "readAlloc") {
                  return Effect.map(file.readAlloc(step.size), Option.map(text))
                }
                const buffer = new Uint8Array(step.size)
                const options = step.do === "readAt" ? { position: BigInt(step.position) } : undefined
                return Effect.map(file.read(buffer, options), (bytes) => [bytes, text(buffer)])
              }),
              { onSuccess: (value) => value, onFailure: ({ reason }) => reason._tag }
            ))
          assert.deepStrictEqual(ours, theirs)
        }
      }),
    { arbitrary: { runs: 40, seed: 4 } }
  )

  it.effect("streams and writes like any other", () =>
    Effect.gen(function*() {
      const { directory, local } = yield* both
      const path = `${directory}/b.csv`
      yield* local.writeFileString(path, "x".repeat(150_000))
      const file = yield* local.open(path, { flag: "a" })
      yield* file.writeAll(new TextEncoder().encode("y"))
      assert.strictEqual(yield* local.readFileString(path), `${"x".repeat(150_000)}y`)
      assert.isTrue(yield* local.exists(path))
    }))

  it.effect.skipIf(!existsSync("/proc/self/fd"))("closes what it opened with the scope", () =>
    Effect.gen(function*() {
      const { directory, local, usual } = yield* both
      const path = `${directory}/c.csv`
      yield* usual.writeFileString(path, "a")
      const isOpen = () => readdirSync("/proc/self/fd").length
      const before = isOpen()
      yield* Effect.scoped(Effect.gen(function*() {
        yield* local.open(path)
        yield* local.open(path)
        assert.strictEqual(isOpen(), before + 2)
      }))
      assert.strictEqual(isOpen(), before)
    }))

  it.live.skipIf(process.platform === "win32")(
    "waits for the other end of a pipe without holding up the process",
    () =>
      Effect.gen(function*() {
        const { directory, local, usual } = yield* both
        const path = `${directory}/pipe`
        yield* usual.writeFileString(path, "a file at first")
        yield* local.stat(path)
        yield* usual.remove(path)
        execFileSync("mkfifo", [path])
        const opens = yield* Effect.forkChild(local.open(path))
        yield* usual.open(path, { flag: "w" })
        yield* Fiber.join(opens)
      })
  )

  it.effect("uses threads for a second after slow operations, then tries again", () =>
    Effect.gen(function*() {
      let now = 0n
      let takes = 0n
      let usually = 0
      const { directory, usual } = yield* both
      const clock: Clock.Clock = {
        ...(yield* Clock.Clock),
        // Each operation is timed before and after.
        monotonicTimeNanosUnsafe: () => now += takes
      }
      const base = FileSystem.make({
        ...usual,
        stat: (path) => {
          usually += 1
          return usual.stat(path)
        }
      })
      const local = yield* LocalFileSystem.make.pipe(
        Effect.provideService(FileSystem.FileSystem, base),
        Effect.provideService(Clock.Clock, clock)
      )
      const looks = (millis: bigint) =>
        Effect.suspend(() => {
          takes = millis * 1_000_000n
          return Effect.andThen(local.stat(directory), Effect.sync(() => usually))
        })
      for (let i = 0; i < 20; i++) assert.strictEqual(yield* looks(i % 10 === 0 ? 6n : 1n), 0)
      assert.strictEqual(yield* looks(21n), 0)
      assert.strictEqual(yield* looks(1n), 1)
      now += 990_000_000n
      assert.strictEqual(yield* looks(1n), 2)
      now += 10_000_000n
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* looks(8n), 2)
      assert.strictEqual(yield* looks(8n), 3)
    }))

  it("is a layer of its own", () => assert.isTrue(Layer.isLayer(LocalFileSystem.layer)))
})

describe("LocalFileSystem, without following links", () => {
  it.effect("opens a file, fails for a link as Node's does, and does not wait for the writer of a pipe", () =>
    Effect.gen(function*() {
      const { directory, local, usual } = yield* both
      const file = `${directory}/a.csv`
      yield* usual.writeFileString(file, "a;b\n")
      yield* usual.symlink(file, `${directory}/link`)
      execFileSync("mkfifo", [`${directory}/pipe`])
      const open = (path: string) => local.open(path, { noFollow: true })
      const opened = yield* open(file)
      yield* usual.remove(file)
      yield* usual.writeFileString(file, "another\n")
      assert.strictEqual(Number((yield* opened.stat).size), 4)
      const bytes = new Uint8Array(4)
      yield* opened.read(bytes, { position: 0n })
      assert.strictEqual(Buffer.from(bytes).toString(), "a;b\n")
      assert.strictEqual((yield* (yield* open(`${directory}/pipe`)).stat).type, "FIFO")
      for (const path of [`${directory}/link`, `${directory}/missing`]) {
        assert.deepStrictEqual(
          reasonOf(yield* Effect.flip(Effect.asVoid(open(path)))),
          reasonOf(yield* Effect.flip(Effect.asVoid(usual.open(path, { noFollow: true }))))
        )
      }
    }))
})
