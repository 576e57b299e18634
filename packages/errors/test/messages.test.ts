import { ApiError, ErrorBody, NotAsked, Recovery, Repetition, Transport } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

/** All that these packages say about a failed call: what happened, and what helps. */
const responses: ReadonlyArray<readonly [status: number, message: string]> = [
  [302, "(a redirect, not followed). Check the configured address."],
  [304, "Not Modified. What the caller has is up to date."],
  [399, "(a redirect, not followed). Check the configured address."],
  [400, "Bad Request. Correct the URL, the parameters or the body."],
  [401, "Unauthorized. Log in again."],
  [403, "Forbidden. Check the permissions of these credentials."],
  [404, "Not Found. Check the names in the address."],
  [405, "Method Not Allowed. Check the address and the method against the API's documentation."],
  [408, "Request Timeout. The request came too slowly. Try again."],
  [409, "Conflict. Check who else changes it."],
  [410, "Gone. It does not exist any more."],
  [413, "Content Too Large. Send it in smaller pieces."],
  [418, "(unexpected). Check the request against the API's documentation."],
  [422, "Unprocessable Content. Correct the content."],
  [423, "Locked. Try again when it is no longer locked."],
  [425, "Too Early. Try again."],
  [429, "Too Many Requests. Slow down."],
  [500, "Internal Server Error. If it persists, contact the service's support."],
  [501, "Not Implemented. The server cannot do this."],
  [502, "Bad Gateway. If it persists, contact the service's support."],
  [503, "Service Unavailable. Try again later."],
  [504, "Gateway Timeout. If it persists, contact the service's support."],
  [522, "(unexpected). Check the request against the API's documentation."]
]

const timeouts: { readonly [phase in ApiError.Timeout["phase"]]: string } = {
  connect:
    "got no connection within 5 seconds. Check the address, the network, and whether all connections are in use.",
  send: "stalled: no byte left within 5 seconds. Check the network.",
  response: "got no response within 5 seconds. Allow it more time if the server needs it.",
  body: "got no further piece of the body within 5 seconds. Allow more time between two pieces if the server pauses.",
  attempt: "did not finish within 5 seconds. Allow it more time if the server needs it."
}

/** Where the recovery is not the usual one of the status, its own remedy takes the place of the usual one. */
const replaced: { readonly [tag in Recovery.Recovery["_tag"]]: readonly [Recovery.Recovery, string, string] } = {
  Retry: [Recovery.retry, "retry", "Try again later."],
  Reauthenticate: [Recovery.reauthenticate, "log in again", "Log in again."],
  Correct: [Recovery.correct, "correct the request", "Correct the request."],
  Authorize: [
    Recovery.authorize,
    "ask for the missing permission",
    "Check the permissions of these credentials."
  ],
  Verify: [
    Recovery.verify,
    "find out whether it was applied",
    "Check whether it was applied before repeating it."
  ],
  GiveUp: [Recovery.giveUp, "give up", "Do not repeat it."]
}

const transports: { readonly [kind in Transport.Kind]: string } = {
  refused: "no server accepts connections there",
  dns: "the host name is not known",
  tls: "no secure connection could be made; check the certificates of both sides",
  connectTimeout: "no connection was made in time",
  busy: "all connections stayed in use; read or cancel each response's body, or allow more connections",
  local: "this machine has no file descriptors, ports or memory left for a connection",
  closed: "the client is closed; use it within the scope that made it",
  proxy: "the proxy could not reach the server",
  proxyRejected: "the proxy rejected the request; check its address, user and password, and what it allows",
  reset: "the connection broke",
  stalled: "the connection went silent",
  unprocessed: "the server ended the connection before it processed the request",
  protocol: "the response is not HTTP; check the address and the port",
  request: "the request cannot be sent; correct its address, method and headers",
  body: "the request's body failed or changed its length",
  address: "the address is not a valid URL",
  unknown: "the connection failed"
}

/** What a code or a detail makes more exact. */
const exact: ReadonlyArray<readonly [Pick<Transport.Diagnosis, "kind" | "code" | "detail">, string]> = [
  [{ kind: "dns", code: "EAI_AGAIN" }, "the name service did not say where the host is"],
  [
    { kind: "tls", code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL" },
    "the server speaks none of the versions of HTTP that were offered; allow HTTP/2"
  ],
  [
    { kind: "tls", code: "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED" },
    "the server rejects this client's certificate; check it"
  ],
  [{ kind: "protocol", code: "UND_ERR_HEADERS_OVERFLOW" }, "the response has longer headers than this client accepts"],
  [{ kind: "proxy", code: undefined, detail: "at p:8" }, "the proxy at p:8 could not reach the server"],
  [
    { kind: "proxyRejected", code: undefined, detail: "at p:8" },
    "the proxy at p:8 rejected the request; check its address, user and password, and what it allows"
  ],
  [
    { kind: "reset", code: undefined, detail: "in\nthe body" },
    "the connection broke in the body"
  ],
  [
    { kind: "request", code: undefined, detail: "x-name" },
    "the header x-name cannot be sent; it has characters that headers must not have"
  ]
]

describe("a message", () => {
  it.each(responses)("says what a response with the status %i means and what helps", (status, message) => {
    assert.strictEqual(ApiError.reasonFromStatus(status).message, `returned ${status} ${message}`)
  })

  it("calls only a 3xx a redirect", () => {
    assert.include(new ApiError.UnexpectedStatus({ status: 300 }).message, "a redirect")
    for (const status of [299, 400]) {
      assert.notInclude(new ApiError.UnexpectedStatus({ status }).message, "a redirect")
    }
  })

  it.each(Object.values(replaced))(
    "has the remedy of a recovery that replaces the usual one: %o",
    (recovery, phrase, remedy) => {
      const status = recovery._tag === "Retry" ? 400 : 500
      const title = status === 400 ? "Bad Request" : "Internal Server Error"
      assert.strictEqual(
        ApiError.reasonFromStatus(status, { recovery, detail: "Lock held.. " }).message,
        `returned ${status} ${title}: Lock held. ${remedy}`
      )
      assert.strictEqual(Recovery.describe(recovery), phrase)
    }
  )

  it.each(Object.entries(timeouts))("says what did not come in time: %s", (phase, message) => {
    assert.strictEqual(
      new ApiError.Timeout({ timeout: Duration.seconds(5), phase: phase as ApiError.Timeout["phase"] }).message,
      message
    )
  })

  it("says what came where something else was expected", () => {
    const fields = { status: 200, expected: "JSON", got: "an HTML\npage" }
    assert.strictEqual(
      new ApiError.UndecodableResponse(fields).message,
      "returned 200 with an HTML page where JSON was expected. Check that the address is the API's own, not a login page or a proxy."
    )
    assert.strictEqual(
      new ApiError.UndecodableResponse({ ...fields, remedy: "Log in." }).message,
      "returned 200 with an HTML page where JSON was expected. Log in."
    )
  })

  it("says what a repetition could do twice, and what was delivered", () => {
    const failure = new ApiError.Timeout({ timeout: Duration.seconds(5), phase: "send" })
    assert.strictEqual(
      new ApiError.OutcomeUnknown({ failure }).message,
      `${timeouts.send} It may still have been applied: check before repeating it.`
    )
    assert.strictEqual(
      new ApiError.PartsDelivered({ failure, bytes: 42 }).message,
      `${timeouts.send} 42 bytes of the response had been delivered: continue after them, or drop them.`
    )
  })

  it("names the call, and the server's id of it in one short line", () => {
    const call = { method: "GET", endpoint: "/x", reason: ApiError.reasonFromStatus(404) }
    const text = "GET /x returned 404 Not Found. Check the names in the address."
    assert.strictEqual(new ApiError.ApiError(call).message, text)
    assert.strictEqual(new ApiError.ApiError({ ...call, requestId: "a\nb" }).message, `${text} (request id a b)`)
    assert.strictEqual(
      new ApiError.ApiError({ ...call, requestId: "a".repeat(200) }).message,
      `${text} (request id ${"a".repeat(127)}…)`
    )
  })

  it.each(Object.entries(transports))("says how a connection failed: %s", (kind, clause) => {
    const diagnosis = { kind: kind as Transport.Kind, code: undefined, connected: false }
    assert.strictEqual(Transport.explain(diagnosis), clause)
    assert.strictEqual(new ApiError.TransportFailure(diagnosis).message, `got no response: ${clause}.`)
    assert.strictEqual(
      new ApiError.TransportFailure({ ...diagnosis, code: "E\nX", responded: true }).message,
      `got a response that broke off: ${clause} (E X).`
    )
  })

  it.each(exact)("says what a code or a detail makes more exact: %o", (diagnosis, clause) => {
    assert.strictEqual(Transport.explain({ ...diagnosis, connected: false }), clause)
  })

  it("says how long to wait, in at most two units, and never less", () => {
    const waits: ReadonlyArray<readonly [Duration.Input, string]> = [
      [1, "1 millisecond"],
      ["0.5 millis", "1 millisecond"],
      [999, "999 milliseconds"],
      [1000, "1 second"],
      [9901, "10 seconds"],
      [10_001, "11 seconds"],
      ["59 seconds", "59 seconds"],
      ["60 seconds", "1 minute"],
      ["61 seconds", "1 minute 1 second"],
      ["3599 seconds", "59 minutes 59 seconds"],
      ["1 hour", "1 hour"],
      ["3601 seconds", "1 hour 1 minute"],
      ["23 hours", "23 hours"],
      ["1 day", "1 day"],
      ["49 hours", "2 days 1 hour"],
      [Infinity, "an unlimited time"]
    ]
    for (const [after, words] of waits) {
      assert.strictEqual(Recovery.describe(Recovery.retryAfter(after)), `retry, not before ${words}`)
    }
  })
})

it("marks are one in all copies of this package that a program may have", () => {
  const prefix = "~@effect-resilience/errors/"
  assert.deepStrictEqual(
    [NotAsked.symbol, Recovery.symbol, Repetition.notApplied, Transport.TransmissionId, `~${Repetition.Current.key}`],
    ["NotAsked", "Recovery", "NotApplied", "Transport/Transmission", "Repetition/Current"].map((name) => prefix + name)
  )
})

it("a kind of body is named as in a sentence", () => {
  const kinds: { readonly [kind in ErrorBody.ErrorBody["kind"]]: string } = {
    problem: "a problem document",
    json: "JSON",
    xml: "XML",
    html: "an HTML page",
    text: "plain text",
    binary: "binary data",
    empty: "an empty body"
  }
  for (const [kind, words] of Object.entries(kinds)) {
    assert.strictEqual(ErrorBody.describe(kind as ErrorBody.ErrorBody["kind"]), words)
  }
})
