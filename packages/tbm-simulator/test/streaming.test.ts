import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { createHash } from "node:crypto"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { passingTime } from "../../chaos/test/turns.ts"
import { boundary, call, logIn, login, type Session, upload, v1 } from "./client.ts"

const simulated = <A, E>(
  options: Simulator.Options,
  test: (simulator: Simulator.Simulator["Service"], session: Session) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const simulator = yield* Simulator.Simulator
    return yield* test(simulator, yield* logIn(simulator.url))
  }).pipe(Effect.provide(Simulator.layer(options)))

const head = Buffer.from(
  `--${boundary}\r\nContent-Disposition: form-data; name="f"; filename="big.csv"\r\nContent-Type: text/csv\r\n\r\n`
)
const tail = Buffer.from(`\r\n--${boundary}--\r\n`)

function* pieces(piece: Uint8Array, count: number, onPiece: () => void = () => {}) {
  yield head
  for (let i = 0; i < count; i++) {
    onPiece()
    yield piece
  }
  yield tail
}

const piece = Buffer.alloc(256 * 1024, "2024-01,CC-1001,5100 Cloud compute,1234.56\n")
setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

/** Bytes that are still reachable. */
const retained = (): number => {
  collectGarbage()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

const rowsOf = (bytes: Uint8Array) => bytes.reduce((rows, byte) => byte === 10 ? rows + 1 : rows, 0)

describe("large uploads", () => {
  it.live("take 64 MB at flat memory", () =>
    simulated({}, ({ state }, session) =>
      Effect.gen(function*() {
        const count = 256
        const before = retained()
        let sent = 0
        let peak = 0
        const body = pieces(piece, count, () => {
          if (++sent % 32 === 0) peak = Math.max(peak, retained() - before)
        })
        const { json, status } = yield* upload(session, { body })
        const hash = createHash("md5")
        for (let i = 0; i < count; i++) hash.update(piece)
        const md5 = hash.digest("hex")
        assert.deepStrictEqual([status, json], [201, { md5, length: count * piece.length, fileName: "big.csv" }])
        // The bytes in transit, but not the 64 MB.
        assert.isBelow(peak, 32 * 1024 * 1024)
        assert.deepStrictEqual(Object.values((yield* state).tables), [
          { bytes: count * piece.length, rows: count * rowsOf(piece) + 1, md5, versions: 1 }
        ])
      })))

  it.live("leave no trace if the client disconnects", () =>
    simulated({}, ({ state }, session) =>
      Effect.gen(function*() {
        const sending = yield* Effect.forkChild(
          upload(session, { body: pieces(piece, 40), headers: { "content-length": "999999999" } })
        )
        while ((yield* state).requests < 3) yield* call(`${session.url}/__simulator/state`)
        yield* Fiber.interrupt(sending)
        assert.strictEqual((yield* upload(session, { path: `${v1}append` })).status, 201)
        assert.strictEqual((yield* state).uploads.length, 1)
      })))
})

describe("concurrent calls", () => {
  it.live("50 clients log in, look up and append: every row is there once", () =>
    simulated({}, ({ state, url }) =>
      Effect.gen(function*() {
        const rows = Array.from({ length: 50 }, (_, i) => `row ${i}\n`)
        const replies = yield* Effect.forEach(rows, (content) =>
          Effect.flatMap(logIn(url), (session) => upload(session, { path: `${v1}append`, content })), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          replies.map(({ status }) =>
            status
          ).toSorted(),
          [
            201,
            ...Array.from({ length: 49 }, () => 202)
          ]
        )
        const { environmentLookups, logins, requests, tables, tokens, uploads } = yield* state
        assert.deepStrictEqual({ environmentLookups, logins, requests, tokens }, {
          environmentLookups: 51,
          logins: 51,
          requests: 152,
          tokens: { issued: 51, expired: 0 }
        })
        const bytes = rows.join("").length
        const [table] = Object.values(tables)
        assert.deepStrictEqual([table?.rows, table?.bytes, table?.versions], [50, bytes, 50])
        // The table's md5 is of the rows in the order of storing.
        const hash = createHash("md5")
        const byMd5 = new Map(rows.map((row) => [createHash("md5").update(row).digest("hex"), row]))
        for (const { md5 } of uploads) hash.update(byMd5.get(md5) ?? "")
        assert.strictEqual(table?.md5, hash.digest("hex"))
      })))

  /** Two appends to one table; the second begins while the body of the first arrives, and ends meanwhile if it does not wait. */
  const overlapping = (mode: Simulator.Options["concurrentWrites"]) =>
    simulated(
      mode === undefined ? {} : { concurrentWrites: mode },
      ({ addFaults, state }, session) =>
        Effect.gen(function*() {
          const path = `${v1}append`
          yield* upload(session, { content: "0\n" })
          yield* addFaults([{ times: 1, fault: { type: "slow", bytesPerSecond: 2000 } }])
          const slow = yield* Effect.forkChild(upload(session, { path, content: `1${" ".repeat(150)}\n` }))
          while ((yield* state).requests < 4) yield* call(`${session.url}/__simulator/state`)
          const quick = yield* Effect.forkChild(upload(session, { path, content: "2\n" }))
          if (mode === "serialize") {
            while ((yield* state).requests < 5) yield* call(`${session.url}/__simulator/state`)
          } else yield* Fiber.join(quick)
          // Until now no time has passed, so the first body is still arriving.
          const [first, second] = yield* passingTime(Effect.all([Fiber.join(slow), Fiber.join(quick)]))
          const { tables } = yield* state
          return { slow: first.status, quick: second.status, ...Object.values(tables)[0] }
        })
    )

  it.effect("serialize: appends take turns", () =>
    Effect.gen(function*() {
      const { quick, rows, slow, versions } = yield* overlapping("serialize")
      assert.deepStrictEqual({ quick, rows, slow, versions }, { quick: 202, rows: 3, slow: 202, versions: 3 })
    }))

  it.effect("reject: the response to the later one is 409", () =>
    Effect.gen(function*() {
      const { quick, rows, slow, versions } = yield* overlapping("reject")
      assert.deepStrictEqual({ quick, rows, slow, versions }, { quick: 409, rows: 2, slow: 202, versions: 2 })
    }))

  it.effect("lastWins: one of two appends is lost", () =>
    Effect.gen(function*() {
      const { quick, rows, slow, versions } = yield* overlapping("lastWins")
      assert.deepStrictEqual({ quick, rows, slow, versions }, { quick: 202, rows: 2, slow: 202, versions: 3 })
    }))

  it.live("keeps the last of overlapping overwrites", () =>
    simulated({}, ({ state }, session) =>
      Effect.gen(function*() {
        const contents = ["one\n", "two\n", "three\n"]
        yield* Effect.forEach(contents, (content) => upload(session, { content }), { concurrency: "unbounded" })
        const { tables, uploads } = yield* state
        assert.strictEqual(Object.values(tables)[0]?.md5, uploads.at(-1)?.md5)
        assert.strictEqual(uploads.length, 3)
      })))
})

describe("the layer", () => {
  it.live("destroys open connections when it closes, at once", () =>
    Effect.gen(function*() {
      const { hanging, url } = yield* Effect.scoped(Effect.gen(function*() {
        const { state, url } = yield* Simulator.make({ faults: [{ fault: { type: "hang" } }] })
        const hanging = yield* Effect.forkDetach(Effect.exit(login(url)))
        while ((yield* state).requests < 1) yield* call(`${url}/__simulator/state`)
        return { hanging, url }
      }))
      const exit = yield* Fiber.join(hanging)
      assert.include(JSON.stringify(exit), "ECONNRESET")
      assert.strictEqual((yield* Effect.flip(login(url))).code, "ECONNREFUSED")
    }))

  it.live("fails on a port that is in use", () =>
    Effect.scoped(Effect.gen(function*() {
      const { port } = yield* Simulator.make()
      const error = yield* Effect.flip(Simulator.make({ port }))
      assert.deepStrictEqual([error._tag, error.code], ["ListenError", "EADDRINUSE"])
      assert.strictEqual(error.message, `cannot listen on 127.0.0.1:${port}: EADDRINUSE`)
    })))
})
