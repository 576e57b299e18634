import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import { Simulator } from "@effect-resilience/tbm-simulator"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber, Redacted, Schedule } from "effect"
import { bin, folder, settingsFor, start, tbmStudio, write } from "../../command.ts"
import { ownPostgres } from "./ownPostgres.ts"

const slowly: Simulator.Options = {
  seed: 1,
  faults: [{ match: { operation: "upload" }, fault: { type: "delay", ms: 300 } }]
}

const until = <E, R>(check: Effect.Effect<boolean, E, R>) =>
  check.pipe(Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("50 millis") }))

const recordOf = Effect.flatMap(Simulator.Simulator, ({ state }) => Effect.map(state, ({ uploads }) => uploads))

/** Two workers, each with a relay of its own to Postgres, and a manifest for them. */
const cluster = Effect.fnUntraced(function*(items: number) {
  const { url } = yield* Simulator.Simulator
  const postgres = yield* ownPostgres
  const dir = yield* folder
  const rows = Array.from({ length: items }, (_, index) => {
    write(dir, `${index}.csv`, `account,amount\r\n${index},1\r\n`)
    const table = `${dir} ${index}`.replaceAll("/", "-")
    return `${index}.csv,P,${table},January:2024,${index % 2 === 0 ? "overwrite" : "append"}`
  })
  const manifest = write(dir, "manifest.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
  const settings = (port: number) => ({
    ...settingsFor(url),
    DATABASE_URL: `postgres://postgres@127.0.0.1:${port}/postgres`
  })
  const worker = Effect.gen(function*() {
    const relay = yield* TcpRelay.make(postgres)
    const args = ["worker", "--port", String(yield* LocalServer.freePort), "--json"]
    return { relay, ...(yield* start(process.execPath, [bin, ...args], settings(relay.port))) }
  })
  const workers = [yield* worker, yield* worker] as const
  const submit = Effect.map(
    tbmStudio(["batch", manifest, "--durable", "--json"], settings(postgres.port)),
    ({ status, stderr, stdout }) => ({ status, stderr, items: reported(stdout) })
  )
  /** Waits until every shard is locked, half of them by each worker. */
  const shared = Effect.gen(function*() {
    const sql = yield* PgClient.PgClient
    const locked = sql<{ shards: number }>`
      SELECT count(*)::int AS shards FROM pg_locks WHERE locktype = 'advisory' GROUP BY pid`
    yield* until(Effect.map(locked, (rows) => rows.length === 2 && rows.every(({ shards }) => shards === 150)))
  }).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(settings(postgres.port).DATABASE_URL) })),
    Effect.orDie
  )
  return { postgres, workers, shared, submit }
})

interface Item {
  readonly status: string
  readonly table: string
  readonly action: "overwrite" | "append"
}

const reported = (stdout: string): ReadonlyArray<Item> => JSON.parse(stdout).items

// A clock that counts the turns of this process, so it slows down as the workers do while others take the processor.
const tick = 20
let elapsed = 0
const ticking = Effect.sync(() => {
  elapsed += tick
}).pipe(Effect.delay(tick), Effect.forever, Effect.forkScoped)

/** The longest time in which nothing was stored, in milliseconds, until everything is stored. */
const longestStandstill = <A, E, R>(batch: Fiber.Fiber<A, E>, stored: Effect.Effect<number, never, R>) =>
  Effect.gen(function*() {
    let [count, at, longest] = [yield* stored, elapsed, 0]
    while (batch.pollUnsafe() === undefined) {
      yield* Effect.sleep(tick)
      const now = yield* stored
      longest = Math.max(longest, elapsed - at)
      if (now > count) [count, at] = [now, elapsed]
    }
    return longest
  })

/** No upload is lost, and one that may have been applied twice is reported as unknown. */
const assertTrue = (items: ReadonlyArray<Item>, stored: ReadonlyArray<{ readonly table: string }>) => {
  for (const { action, status, table } of items) {
    const times = stored.filter((upload) => upload.table === table).length
    if (action === "append") assert.isAtMost(times, 1, table)
    if (status === "unknown") assert.strictEqual(action, "append", table)
    else assert.include(["uploaded", "skipped"], status, table)
    if (status !== "unknown") assert.isAtLeast(times, 1, `${table} is ${status}`)
  }
}

describe("a cluster whose Postgres fails", { timeout: 300_000 }, () => {
  layer(Simulator.layer(slowly), { excludeTestServices: true })((it) => {
    it.effect("continues after a restart of Postgres under load, and its workers still stop on a signal", () =>
      Effect.gen(function*() {
        const items = 120
        const { postgres, submit, workers: [one] } = yield* cluster(items)
        const stored = Effect.map(recordOf, ({ length }) => length)
        yield* ticking
        const batch = yield* Effect.forkScoped(submit)
        yield* until(Effect.map(stored, (count) => count >= 10))
        const standstill = yield* Effect.forkScoped(longestStandstill(batch, stored))
        yield* postgres.stop
        yield* Effect.sleep("6 seconds")
        yield* postgres.start
        const before = yield* stored
        yield* until(Effect.map(stored, (count) => count >= before + 10))
        one.kill("SIGTERM")
        const told = elapsed
        const ended = yield* one.ended
        assert.isAtMost(elapsed - told, 7_000)
        assert.strictEqual(ended.status, 0, ended.stderr)

        const { items: report, status, stderr } = yield* Fiber.join(batch)
        assert.strictEqual(report.length, items, stderr)
        assert.include([0, 75], status, stderr)
        assertTrue(report, yield* recordOf)
        assert.isAtMost(yield* Fiber.join(standstill), 15_000)
      }))

    it.effect("continues without a worker that is cut off from Postgres, and that worker still stops on a signal", () =>
      Effect.gen(function*() {
        const items = 120
        const before = (yield* recordOf).length
        const { submit, workers: [one] } = yield* cluster(items)
        const stored = Effect.map(recordOf, ({ length }) => length - before)
        yield* ticking
        const batch = yield* Effect.forkScoped(submit)
        yield* until(Effect.map(stored, (count) => count >= 10))
        const standstill = yield* Effect.forkScoped(longestStandstill(batch, stored))
        yield* one.relay.silence()
        const { items: report, status, stderr } = yield* Fiber.join(batch)
        assert.strictEqual(report.length, items, stderr)
        assert.include([0, 75], status, stderr)
        assertTrue(report, (yield* recordOf).slice(before))
        assert.isAtMost(yield* Fiber.join(standstill), 15_000)

        one.kill("SIGTERM")
        const told = elapsed
        yield* one.ended
        assert.isAtMost(elapsed - told, 7_000)
      }))

    it.effect("does not wait for a worker that is cut off before it has read its uploads", () =>
      Effect.gen(function*() {
        const items = 20
        const { shared, submit, workers: [one] } = yield* cluster(items)
        yield* shared
        yield* one.relay.silence()
        const { items: report, status, stderr } = yield* submit
        assert.deepStrictEqual([report.length, status], [items, 0], stderr)
      }))

    it.effect("shares its shards with a worker that joins, however slowly the database responds", () =>
      Effect.gen(function*() {
        const { shared, workers } = yield* cluster(0)
        for (const { relay } of workers) yield* relay.delay("15 millis")
        yield* shared
        for (const worker of workers) worker.kill("SIGTERM")
        for (const { ended } of workers) {
          const { status, stderr } = yield* ended
          assert.deepStrictEqual([status, /Could not release|unhealthy/.exec(stderr)?.[0]], [0, undefined])
        }
      }))
  })
})
