import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ApiError, Classifier, Recovery, Transport } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect, createServer, type Socket } from "node:net"
import { closedPort, unresolvable } from "../../chaos/test/nowhere.ts"

/** The port of a TCP server that treats each connection as `serve` says. */
const tcp = (serve: (socket: Socket) => void) => Effect.map(LocalServer.listen(createServer(serve)), ({ port }) => port)

const failureOf = (url: string) =>
  Effect.promise(() => fetch(url).then(() => new Error("no failure"), (error: unknown) => error))

describe("Transport, over real sockets", () => {
  it.live("knows a refused connection, which reached no server", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(`http://127.0.0.1:${closedPort}/`)
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

  it("names what each code of Node, undici and OpenSSL means", () => {
    const codes: { readonly [kind in Transport.Kind]?: string } = {
      refused: "ECONNREFUSED EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN",
      dns: "ENOTFOUND EAI_AGAIN EAI_FAIL EAI_NODATA EAI_NONAME EAI_MEMORY",
      local: "EADDRNOTAVAIL EMFILE ENFILE ENOBUFS ENOMEM",
      connectTimeout: "UND_ERR_CONNECT_TIMEOUT",
      closed: "UND_ERR_CLOSED UND_ERR_DESTROYED",
      request: "UND_ERR_INVALID_ARG UND_ERR_NOT_SUPPORTED",
      protocol: "UND_ERR_HEADERS_OVERFLOW HPE_INVALID_CONSTANT HPE_INVALID_HEADER_TOKEN",
      reset:
        "ECONNRESET ECONNABORTED EPIPE UND_ERR_SOCKET ERR_STREAM_PREMATURE_CLOSE ERR_SOCKET_CLOSED ENETRESET ENOTCONN " +
        "ERR_STREAM_DESTROYED ERR_HTTP2_GOAWAY_SESSION ERR_HTTP2_SESSION_ERROR ERR_HTTP2_STREAM_ERROR " +
        "UND_ERR_RES_CONTENT_LENGTH_MISMATCH ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC ERR_SSL_DECRYPTION_FAILED " +
        "ERR_SSL_UNEXPECTED_MESSAGE ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR ERR_SSL_APPLICATION_DATA_AFTER_CLOSE_NOTIFY",
      stalled: "ETIMEDOUT UND_ERR_HEADERS_TIMEOUT UND_ERR_BODY_TIMEOUT",
      body: "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH",
      tls: "EPROTO UNABLE_TO_GET_ISSUER_CERT UNABLE_TO_VERIFY_LEAF_SIGNATURE UNABLE_TO_GET_ISSUER_CERT_LOCALLY " +
        "HOSTNAME_MISMATCH SELF_SIGNED_CERT_IN_CHAIN DEPTH_ZERO_SELF_SIGNED_CERT INVALID_CA INVALID_PURPOSE " +
        "PATH_LENGTH_EXCEEDED UNABLE_TO_GET_CRL UNABLE_TO_DECRYPT_CERT_SIGNATURE CRL_HAS_EXPIRED " +
        "ERROR_IN_CERT_NOT_BEFORE_FIELD CERT_HAS_EXPIRED ERR_TLS_CERT_ALTNAME_INVALID ERR_SSL_WRONG_VERSION_NUMBER",
      unknown: "EACCES XCERT_HAS_EXPIRED XHPE_INVALID_CONSTANT XERR_SSL_BAD_RECORD_TYPE"
    }
    for (const [kind, names] of Object.entries(codes)) {
      for (const code of names.split(" ")) assert.strictEqual(Transport.diagnose(failure(code)).kind, kind, code)
    }
  })

  it("orders how far a request came", () => {
    const order = ["nothing", "connected", "partOfHead", "head", "partOfBody", "all"] as const
    for (const [index, reached] of order.entries()) {
      assert.deepStrictEqual(
        order.map((least) => Transport.isAtLeast(reached, least)),
        order.map((_, at) => at <= index)
      )
    }
  })

  it("distinguishes an end within a response from a response that is not HTTP, where the parser names no code", () => {
    const kind = (fields: object) => Transport.diagnose({ name: "HTTPParserError", ...fields }).kind
    assert.strictEqual(kind({}), "reset")
    assert.strictEqual(kind({ data: "" }), "reset")
    assert.strictEqual(kind({ data: "SSH-2.0" }), "protocol")
    assert.strictEqual(kind({ name: "Error", data: "SSH-2.0" }), "unknown")
  })

  it("looks eight causes deep", () => {
    const chain = (length: number): unknown =>
      length === 1 ? failure("ECONNRESET") : new Error("outer", { cause: chain(length - 1) })
    assert.strictEqual(Transport.diagnose(chain(8)).kind, "reset")
    assert.strictEqual(Transport.diagnose(chain(9)).kind, "unknown")
  })

  it("prefers a reason to the cause that it repeats, and a cause of its own to the reason", () => {
    const cause = failure("ECONNRESET")
    const reason = { cause, [Transport.TransmissionId]: { reached: "nothing", detail: "before the first byte" } }
    assert.deepInclude(Transport.diagnose({ cause, reason }), { reached: "nothing", detail: "before the first byte" })
    const other = { cause: failure("EPIPE"), [Transport.TransmissionId]: { reached: "nothing" } }
    assert.deepStrictEqual(Transport.diagnose({ cause, reason: other }), {
      kind: "reset",
      code: "ECONNRESET",
      connected: true
    })
  })

  it("ignores what only looks like a transmission", () => {
    const known = { [Transport.TransmissionId]: { reached: "far", kind: "busy" } }
    assert.deepStrictEqual(Transport.diagnose(Object.assign(failure("EPIPE"), known)), {
      kind: "reset",
      code: "EPIPE",
      connected: true
    })
  })

  it("knows kinds that never had a connection, and that a proxy's rejection reached no server", () => {
    const kinds = [
      ...["refused", "dns", "tls", "connectTimeout", "busy", "local", "proxy", "proxyRejected", "request"] as const,
      ...["address", "closed", "reset", "stalled", "unprocessed", "protocol", "body", "unknown"] as const
    ]
    const stated = (kind: Transport.Kind, reached: Transport.Reached, code?: string) =>
      Transport.diagnose({ code, [Transport.TransmissionId]: { reached, kind } })
    assert.deepStrictEqual(
      kinds.filter((kind) => !stated(kind, "all").connected),
      ["proxyRejected"]
    )
    assert.deepStrictEqual(kinds.filter((kind) => stated(kind, "nothing").connected), [])
    assert.isFalse(stated("tls", "all", "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA").connected)
    assert.isFalse(stated("tls", "all", "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED").connected)
    assert.isTrue(stated("reset", "all", "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED").connected)
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
