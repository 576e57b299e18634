import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ApiError, Classifier, Recovery, Transport } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { unresolvable } from "../../chaos/test/unresolvable.ts"

/** The port of a TCP server that treats each connection as `serve` says. */
const tcp = (serve: (socket: Socket) => void) => Effect.map(LocalServer.listen(createServer(serve)), ({ port }) => port)

const failureOf = (url: string) =>
  Effect.promise(() => fetch(url).then(() => new Error("no failure"), (error: unknown) => error))

describe("Transport, over real sockets", () => {
  it.live("knows a refused connection, which reached no server", () =>
    Effect.gen(function*() {
      const port = yield* LocalServer.freePort
      const error = yield* failureOf(`http://127.0.0.1:${port}/`)
      assert.deepStrictEqual(Transport.diagnose(error), { kind: "refused", code: "ECONNREFUSED", connected: false })
      assert.deepStrictEqual(Classifier.classify(error), Recovery.retry)
    }))

  it.live("knows a reset, which may have been processed", () =>
    Effect.gen(function*() {
      const port = yield* tcp((socket) => socket.once("data", () => socket.resetAndDestroy()))
      const error = yield* failureOf(`http://127.0.0.1:${port}/`)
      const diagnosis = Transport.diagnose(error)
      assert.deepStrictEqual([diagnosis.kind, diagnosis.connected], ["reset", true])
      assert.isTrue(ApiError.mayHaveBeenApplied(new ApiError.TransportFailure(diagnosis), true))
      assert.isFalse(ApiError.mayHaveBeenApplied(new ApiError.TransportFailure(diagnosis), false))
    }))

  it.live("knows a connection that was closed before the response", () =>
    Effect.gen(function*() {
      const port = yield* tcp((socket) => socket.once("data", () => socket.end()))
      const error = yield* failureOf(`http://127.0.0.1:${port}/`)
      assert.strictEqual(Transport.diagnose(error).kind, "reset")
    }))

  it.live("knows a name that does not resolve", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(`http://${unresolvable}/`)
      const diagnosis = Transport.diagnose(error)
      assert.deepStrictEqual([diagnosis.kind, diagnosis.connected], ["dns", false])
    }))

  it.live("knows a handshake that fails", () =>
    Effect.gen(function*() {
      const port = yield* tcp((socket) => socket.end("this is not TLS\r\n"))
      const diagnosis = Transport.diagnose(yield* failureOf(`https://127.0.0.1:${port}/`))
      assert.deepStrictEqual([diagnosis.kind, diagnosis.connected], ["tls", false])
    }))

  it.live("knows a system error as node:net raises it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.callback<unknown>((resume) => {
        connect(1, "127.0.0.1").on("error", (error) => resume(Effect.succeed(error)))
      })
      assert.strictEqual(Transport.diagnose(error).kind, "refused")
    }))

  it.live("does not take a response for a transport failure", () =>
    Effect.gen(function*() {
      const { url } = yield* LocalServer.http((_, response) => response.writeHead(500).end())
      const error = yield* failureOf(url)
      assert.deepStrictEqual(Transport.diagnose(error), { kind: "unknown", code: undefined, connected: true })
    }))
})

describe("Transport", () => {
  it("takes the first known code, and keeps an unknown one", () => {
    const inner = Object.assign(new Error("inner"), { code: "ETIMEDOUT" })
    const outer = Object.assign(new Error("outer", { cause: inner }), { code: "ERR_SOMETHING" })
    assert.deepStrictEqual(Transport.diagnose(outer), { kind: "stalled", code: "ETIMEDOUT", connected: true })
    const strange = Object.assign(new Error("strange"), { code: "ERR_SOMETHING" })
    assert.deepStrictEqual(Transport.diagnose(strange), { kind: "unknown", code: "ERR_SOMETHING", connected: true })
  })

  it("looks into the failures of all addresses of a name", () => {
    const unreachable = Object.assign(new Error("unreachable"), { code: "ECONNREFUSED" })
    assert.strictEqual(Transport.diagnose(new AggregateError([unreachable, unreachable])).kind, "refused")
  })

  it("knows that there was no connection if all addresses of a name were silent", () => {
    const silent = Object.assign(new Error("connect ETIMEDOUT"), { code: "ETIMEDOUT", syscall: "connect" })
    // As `node:net` makes it: with the code of the first error, but not its call.
    const all = Object.assign(new AggregateError([silent, silent]), { code: "ETIMEDOUT" })
    assert.deepStrictEqual(Transport.diagnose(new TypeError("fetch failed", { cause: all })), {
      kind: "connectTimeout",
      code: "ETIMEDOUT",
      connected: false
    })
  })

  it("ends on a cycle of causes", () => {
    const error: Error & { cause?: unknown } = new Error("cycle")
    error.cause = error
    assert.strictEqual(Transport.diagnose(error).kind, "unknown")
  })

  const failure = (code: string, syscall?: string) => Object.assign(new Error(code), { code, syscall })

  it("knows from the system call whether there was a connection", () => {
    const cases = [
      ["EHOSTUNREACH", "connect", "refused", false],
      ["EHOSTUNREACH", "read", "reset", true],
      ["ETIMEDOUT", "connect", "connectTimeout", false],
      ["ETIMEDOUT", "read", "stalled", true],
      ["EMFILE", "connect", "local", false],
      ["EMFILE", "getaddrinfo", "local", false],
      ["EMFILE", "open", "unknown", true]
    ] as const
    for (const [code, syscall, kind, connected] of cases) {
      assert.deepStrictEqual(
        Transport.diagnose(failure(code, syscall)),
        { kind, code, connected },
        `${code} ${syscall}`
      )
    }
  })

  it("distinguishes a failed handshake from a secure connection that broke", () => {
    assert.deepInclude(Transport.diagnose(failure("UNABLE_TO_GET_ISSUER_CERT")), { kind: "tls", connected: false })
    assert.deepInclude(Transport.diagnose(failure("ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC")), {
      kind: "reset",
      connected: true
    })
  })

  it("prefers what the transport says to a code", () => {
    const known = (reached: Transport.Reached, error: Error, kind?: Transport.Kind) =>
      Transport.diagnose({ reason: { cause: error, [Transport.TransmissionId]: { reached, kind } } })
    const reset = failure("ECONNRESET")
    assert.deepStrictEqual(known("nothing", reset), {
      kind: "reset",
      code: "ECONNRESET",
      connected: false,
      reached: "nothing"
    })
    assert.deepInclude(known("nothing", failure("UNSPECIFIED"), "tls"), { kind: "tls", connected: false })
    assert.deepInclude(known("all", failure("EHOSTUNREACH")), { kind: "refused", connected: true })
    const applied = (diagnosis: Transport.Diagnosis) =>
      ApiError.mayHaveBeenApplied(new ApiError.TransportFailure(diagnosis), true)
    assert.isFalse(applied(known("nothing", reset)))
    assert.isFalse(applied(known("connected", reset)))
    assert.isTrue(applied(known("partOfHead", reset)))
    assert.isFalse(applied(known("all", new Error("GOAWAY"), "unprocessed")))
    // TLS 1.3 rejects a client's certificate after its request has left.
    assert.isFalse(applied(known("all", failure("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"))))
  })

  it("says for each kind what happened, and retries only transient kinds", () => {
    const recoveries = {
      refused: "Retry",
      dns: "Retry",
      tls: "GiveUp",
      connectTimeout: "Retry",
      busy: "Retry",
      local: "Retry",
      closed: "GiveUp",
      proxy: "Retry",
      proxyRejected: "Authorize",
      reset: "Retry",
      stalled: "Retry",
      unprocessed: "Retry",
      protocol: "GiveUp",
      request: "Correct",
      body: "GiveUp",
      address: "Correct",
      unknown: "Retry"
    } as const satisfies { readonly [kind in Transport.Kind]: Recovery.Recovery["_tag"] }
    const kinds = Object.keys(recoveries) as Array<Transport.Kind>
    for (const kind of kinds) {
      const error = new ApiError.TransportFailure({ kind, code: undefined, connected: false })
      assert.strictEqual(Recovery.of(error)._tag, recoveries[kind], kind)
    }
    assert.lengthOf(
      new Set(kinds.map((kind) => Transport.explain({ kind, code: undefined, connected: false }))),
      kinds.length
    )
    const again = Transport.explain({ kind: "dns", code: "EAI_AGAIN", connected: false })
    assert.notInclude(again, "not known")
  })
})
