/** What only a bare socket shows: when a connection breaks, and how. */
import { type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { createHash } from "node:crypto"
import { connect } from "node:net"
import { boundary, call, form, logIn, part, upload, v1 } from "./client.ts"

interface Bare {
  readonly send: (bytes: string | Uint8Array) => Effect.Effect<void>
  readonly received: () => string
  readonly until: (text: string) => Effect.Effect<void>
  /** `end` after an orderly close, otherwise the error's code; undefined while it is open. */
  readonly fate: () => string | undefined
  readonly closed: Effect.Effect<string>
}

const bare = (port: number) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: false })
        const seen: { text: string; fate: string | undefined } = { text: "", fate: undefined }
        socket.setEncoding("utf8").on("data", (text: string) => {
          seen.text += text
        })
        socket.on("end", () => {
          seen.fate ??= "end"
        })
        socket.on("error", (error: NodeJS.ErrnoException) => {
          seen.fate = error.code ?? error.message
        })
        return { seen, socket }
      }),
      ({ socket }) => Effect.sync(() => socket.destroy())
    ),
    ({ seen, socket }): Bare => ({
      send: (bytes) => Effect.sync(() => void socket.write(bytes)),
      received: () => seen.text,
      until: (expected) =>
        Effect.callback((resume) => {
          const look = () => {
            if (!seen.text.includes(expected)) return
            socket.off("data", look)
            resume(Effect.void)
          }
          socket.on("data", look)
          look()
        }),
      fate: () => seen.fate,
      closed: Effect.callback((resume) => {
        const done = () => resume(Effect.sync(() => seen.fate ?? "close"))
        if (socket.closed) done()
        else socket.once("close", done)
      })
    })
  )

const body = form(part("f", "a.csv", "x".repeat(2000)))

/** A logged-in upload on a bare socket: its head, and the simulator's state. */
const uploading = Effect.fnUntraced(function*(
  options: Simulator.Options,
  extra: Record<string, string> = {},
  length = body.length
) {
  const { addFaults, port, state, url } = yield* Simulator.make(options)
  const session = yield* logIn(url)
  const socket = yield* bare(port)
  const headers = Object.entries({
    host: "localhost",
    ...session.headers,
    "content-type": `multipart/form-data; boundary=${boundary}`,
    "content-length": String(length),
    ...extra
  }).filter(([, value]) => value !== "").map(([name, value]) => `${name}: ${value}\r\n`).join("")
  return {
    addFaults,
    session,
    socket,
    state,
    head: `POST ${v1}overwrite HTTP/1.1\r\n${headers}\r\n`,
    // Round trips over another connection: by then, the server has done what it does without more input.
    settled: Effect.forEach([1, 2, 3], () => call(`${url}/__simulator/state`), { discard: true })
  }
})

const resetAt = (at: "connect" | "midRequest" | "beforeResponse" | "midResponse") =>
  Effect.gen(function*() {
    const begun = yield* uploading({})
    const fault: FaultRule.Fault = { type: "reset", at }
    yield* begun.addFaults([{ fault }])
    return begun
  })

describe("on the wire", () => {
  it.live("reset at connect needs no byte of the body", () =>
    Effect.gen(function*() {
      const { head, socket } = yield* resetAt("connect")
      yield* socket.send(head)
      assert.strictEqual(yield* socket.closed, "ECONNRESET")
    }))

  it.live("reset at midRequest comes with half of the body", () =>
    Effect.gen(function*() {
      const { head, settled, socket } = yield* resetAt("midRequest")
      yield* socket.send(head)
      yield* socket.send(body.subarray(0, body.length / 2 - 10))
      yield* settled
      assert.isUndefined(socket.fate())
      yield* socket.send(body.subarray(body.length / 2 - 10, body.length / 2 + 1))
      assert.strictEqual(yield* socket.closed, "ECONNRESET")
    }))

  it.live("reset at beforeResponse comes with the last byte of the body", () =>
    Effect.gen(function*() {
      const { head, settled, socket } = yield* resetAt("beforeResponse")
      yield* socket.send(head)
      yield* socket.send(body.subarray(0, -1))
      yield* settled
      assert.isUndefined(socket.fate())
      yield* socket.send(body.subarray(-1))
      assert.deepStrictEqual([yield* socket.closed, socket.received()], ["ECONNRESET", ""])
    }))

  it.live("reset at midResponse comes within the response, truncate closes in an orderly way", () =>
    Effect.gen(function*() {
      const { head, socket } = yield* resetAt("midResponse")
      yield* socket.send(head)
      yield* socket.send(body)
      assert.strictEqual(yield* socket.closed, "ECONNRESET")
      assert.match(socket.received(), /^HTTP\/1\.1 201 Created\r\n[^]*\r\n\r\n\{"md5"[^}]*$/)

      const truncated = yield* uploading({ faults: [{ match: { operation: "upload" }, fault: { type: "truncate" } }] })
      yield* truncated.socket.send(truncated.head)
      yield* truncated.socket.send(body)
      assert.strictEqual(yield* truncated.socket.closed, "end")
      assert.match(truncated.socket.received(), /^HTTP\/1\.1 201 Created\r\n[^]*\r\n\r\n\{"md5"[^}]*$/)
    }))

  it.live("an early response comes before the body, and the connection stays usable", () =>
    Effect.gen(function*() {
      const { head, socket, state } = yield* uploading({}, { "app-type": "" })
      yield* socket.send(head)
      yield* socket.until("app-version are required.\"}")
      yield* socket.send(body)
      yield* socket.send(`GET /elsewhere HTTP/1.1\r\nhost: localhost\r\n\r\n`)
      yield* socket.until("HTTP 404 Not Found")
      assert.isUndefined(socket.fate())
      assert.strictEqual((yield* state).requests, 4)
    }))

  it.live("without early responses the body comes first", () =>
    Effect.gen(function*() {
      const { head, settled, socket } = yield* uploading({ earlyAnswers: false }, { "app-type": "" })
      yield* socket.send(head)
      yield* socket.send(body.subarray(0, -1))
      yield* settled
      assert.strictEqual(socket.received(), "")
      yield* socket.send(body.subarray(-1))
      yield* socket.until("401 Unauthorized")
    }))

  it.live("a body beyond the drain limit is cut off", () =>
    Effect.gen(function*() {
      const { head, socket } = yield* uploading({ drainLimit: 100_000 }, { "app-type": "" }, 1_000_000)
      yield* socket.send(head)
      yield* socket.until("401 Unauthorized")
      yield* socket.send(new Uint8Array(300_000))
      yield* socket.closed
    }))

  it.live("sends 100 Continue only if it reads the body", () =>
    Effect.gen(function*() {
      const wanted = yield* uploading({}, { expect: "100-continue" })
      yield* wanted.socket.send(wanted.head)
      yield* wanted.socket.until("HTTP/1.1 100 Continue\r\n\r\n")
      yield* wanted.socket.send(body)
      yield* wanted.socket.until("201 Created")
      const rejected = yield* uploading({}, { "app-type": "", expect: "100-continue" })
      yield* rejected.socket.send(rejected.head)
      yield* rejected.socket.until("401 Unauthorized")
      assert.match(rejected.socket.received(), /^HTTP\/1\.1 401/)
    }))

  it.live("rejects a part that arrives while its upload is finalized", () =>
    Effect.gen(function*() {
      const { port, state, url } = yield* Simulator.make({ seed: 1 })
      const session = yield* logIn(url)
      const headers = { ...session.headers, "app-type": "UploaderService" }
      const uploads = "/uls/api/v1/upload/multipart"
      const post = (path: string, body: string) => call(url + path, { method: "POST", headers, body })
      yield* post(uploads, `{"name":"GL Data"}`)
      const uploadId = (yield* state).uploader.sessions[0]?.uploadId
      const target = (content: string) => {
        const md5 = createHash("md5").update(content).digest("base64")
        return `${uploads}/${uploadId}/part/1?lastPart=true&md5=${encodeURIComponent(md5)}`
      }
      yield* call(url + target("a,b\n"), { method: "PUT", headers, body: "a,b\n" })
      const arrived = (yield* state).uploader.sessions

      const late = yield* bare(port)
      const lines = Object.entries({ host: "localhost", ...headers, "content-length": "4", expect: "100-continue" })
        .map(([name, value]) => `${name}: ${value}\r\n`).join("")
      yield* late.send(`PUT ${target("1,2\n")} HTTP/1.1\r\n${lines}\r\n`)
      yield* late.until("100 Continue")
      assert.strictEqual((yield* post(`${uploads}/${uploadId}`, "")).status, 200)
      yield* late.send("1,2\n")
      yield* late.until("\r\n\r\n{")
      assert.match(late.received(), /HTTP\/1\.1 400 /)
      const finalized = arrived.map((session) => ({ ...session, state: "finalized" as const }))
      assert.deepStrictEqual((yield* state).uploader.sessions, finalized)
    }))

  it.live("stores one of two uploads with the same key that wait for an append", () =>
    Effect.gen(function*() {
      const { head, session, settled, socket, state } = yield* uploading(
        { idempotencyHeader: "idempotency-key" },
        { expect: "100-continue" }
      )
      yield* socket.send(head.replace("overwrite", "append"))
      yield* socket.until("100 Continue")
      const once = upload(session, { headers: { "idempotency-key": "k" } })
      const both = yield* Effect.forkChild(Effect.all([once, once], { concurrency: 2 }))
      yield* settled
      yield* socket.send(body)
      const [one, other] = yield* Fiber.join(both)
      assert.deepStrictEqual([one.status, one.json], [other.status, other.json])
      assert.deepStrictEqual((yield* state).uploads.map(({ action }) => action), ["append", "overwrite"])
    }))
})
