import { TokenCache, TokenSource } from "@effect-resilience/auth"
import { SpanRecorder } from "@effect-resilience/chaos"
import { Parts, ResilientClient } from "@effect-resilience/client"
import { ApiError, Recovery } from "@effect-resilience/errors"
import { AccessLog, Operation } from "@effect-resilience/http"
import { Time } from "@effect-resilience/kernel"
import * as Connections from "@effect-resilience/node/Connections"
import * as Decompression from "@effect-resilience/node/Decompression"
import { assert } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Logger, Metric, Redacted } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { inspect } from "node:util"
import { certificate } from "../../../node/test/loopbackCertificate.ts"

/** Each stands for a place that a secret can come from; none may appear anywhere. */
export const secrets = {
  token: "t0ken-5ecret",
  query: "qu3ry-5ecret",
  body: "b0dy-5ecret",
  response: "resp0nse-5ecret"
}

const decompressing = Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, Decompression.decompress()))

export const transports = {
  node: Connections.layer({ ca: [certificate] }),
  http2: Connections.layer({ ca: [certificate], http2: true }),
  decompressing: Layer.provide(decompressing, Connections.layer()),
  fetch: FetchHttpClient.layer
}

export type Transport = keyof typeof transports

export type Method = "GET" | "PUT" | "POST"

export const request = (method: Method, path: string, body: string | undefined) => {
  const made = HttpClientRequest.make(method)(path, { urlParams: { key: secrets.query } })
  return method === "GET"
    ? made
    : HttpClientRequest.bodyText(made, body ?? `{"pin":"${secrets.body}"}`, "application/json")
}

/** What came of a call, in the words of the table. */
const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return `ok ${JSON.stringify(exit.value)}`
  const error = Cause.squash(exit.cause)
  const advice = `-> ${Recovery.of(error)._tag}`
  if (!(error instanceof ApiError.ApiError)) {
    return `${
      (error as { readonly reason?: { readonly _tag: string } }).reason?._tag ?? (error as Error).name
    } ${advice}`
  }
  const unknown = error.reason._tag === "OutcomeUnknown"
  const reason = error.reason._tag === "OutcomeUnknown" ? error.reason.failure : error.reason
  const kind = "kind" in reason ? ` ${reason.kind}` : ""
  return `${unknown ? "unknown: " : ""}${reason._tag}${kind} ${advice}`
}

/** Makes a call and gathers everything that it leaves for people to see. */
export const observed = Effect.fnUntraced(function*(
  client: ResilientClient.ResilientClient,
  call: HttpClientRequest.HttpClientRequest,
  operation?: Partial<Operation.Operation>
) {
  const { record, spans } = SpanRecorder.make()
  const lines: Array<string> = []
  const logger = Logger.make((options) => {
    lines.push(inspect({ message: options.message, cause: Cause.pretty(options.cause) }, { depth: 12 }))
  })
  const began = yield* Time.now
  const { entries, exit, series } = yield* Effect.gen(function*() {
    const memory = yield* AccessLog.Memory
    const exit = yield* Effect.exit(
      Effect.flatMap(client.execute(call), (response) => response.json).pipe(
        Operation.within({ name: "book", endpoint: "/entries/{id}", ...operation }),
        Effect.tapCause((cause) => Effect.logError(cause)),
        Effect.tapError((error) => Effect.logWarning("failed", error))
      )
    )
    return { exit, entries: yield* memory.entries, series: yield* Metric.snapshot }
  }).pipe(
    record,
    Effect.provideService(Metric.MetricRegistry, new Map()),
    Effect.provide(AccessLog.layerMemory),
    Effect.provide(
      Logger.layer([
        logger,
        Logger.formatStructured.pipe(Logger.map((line) => void lines.push(inspect(line, { depth: 12 }))))
      ])
    )
  )
  const millis = (yield* Time.now) - began
  const shown = spans.map(({ attributes, events, name, status }) => ({
    name,
    attributes: [...attributes],
    events,
    status
  }))
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  const text = [
    inspect(shown, { depth: 12 }),
    inspect(series, { depth: 12 }),
    JSON.stringify(entries),
    entries.map(AccessLog.format).join("\n"),
    ...lines,
    ...(error === undefined ? [] : [
      inspect(error, { depth: 20, customInspect: false, showHidden: true }),
      JSON.stringify(error),
      String(error)
    ]),
    ...(Exit.isFailure(exit) ? [Cause.pretty(exit.cause), JSON.stringify(exit.cause)] : []),
    yield* client.describe,
    JSON.stringify(yield* client.status)
  ].join("\n")
  const { parts } = yield* client.status
  const running = parts.flatMap(({ now }) =>
    [now?.["running"], now?.["waiting"]].filter((count) => count !== undefined)
  )
  return { outcome: outcomeOf(exit), exit, entries, series, spans, text, millis, running }
})

type Observed = Effect.Success<ReturnType<typeof observed>>

/** What holds whatever happens. */
export const assertSound = (
  { entries, exit, millis, running, spans, text }: Observed,
  method: Method,
  judged = true
) => {
  const attempts = entries.filter(({ kind }) => kind === "attempt")
  const [call, ...others] = entries.filter(({ kind }) => kind === "call")
  assert.deepStrictEqual(others, [])
  assert.strictEqual(call?.attempt, attempts.length, "the call counts its attempts")
  assert.deepStrictEqual(attempts.map(({ attempt }) => attempt), attempts.map((_, index) => index + 1))
  assert.isTrue(entries.every((entry) => entry.call === call?.call && entry.operation === "book"))
  assert.strictEqual(call?.outcome, Exit.isSuccess(exit) || !judged ? "success" : "failure")
  for (const [index, { resendReason }] of attempts.entries()) {
    assert.strictEqual(
      resendReason,
      index === 0 ? undefined : attempts[index - 1]?.error?.reason,
      "why it was sent again"
    )
  }

  const [outer, ...inner] = spans.filter(({ kind, name }) => kind === "client" || name === "book")
  assert.isDefined(outer)
  assert.strictEqual(outer.name, "book")
  assert.deepStrictEqual(inner.map(({ name }) => name), attempts.map(() => `${method} /entries/{id}`))
  assert.isTrue(spans.every(({ status }) => status._tag === "Ended"), "spans end")
  for (const [index, span] of inner.entries()) {
    assert.strictEqual(span.attributes.get("http.response.status_code"), attempts[index]?.status)
    assert.strictEqual(span.attributes.get("http.request.resend_count"), index === 0 ? undefined : index)
    assert.strictEqual(span.attributes.has("error.type"), attempts[index]?.outcome === "failure")
  }
  assert.strictEqual(outer.attributes.has("error.type"), Exit.isFailure(exit) && judged)
  assert.isTrue(running.every((count) => count === 0), `permits are given back: ${running}`)
  // The total of the descriptions, and some more.
  assert.isBelow(millis, 10_000)

  assertHidden(text)
}

/** No secret is in a text. */
export const assertHidden = (text: string) => {
  for (const [what, secret] of Object.entries(secrets)) {
    const at = text.toLowerCase().indexOf(secret)
    assert.isTrue(at === -1, `the ${what} is shown: ${text.slice(Math.max(0, at - 300), at + 50)}`)
  }
}

/** A client for a base URL with limits so short that nothing waits long. */
export const makeClient = Effect.fnUntraced(function*(
  baseUrl: string,
  transport: Transport | Layer.Layer<HttpClient.HttpClient, Connections.InvalidConnection>,
  description: Omit<ResilientClient.Description, "name" | "baseUrl"> = {}
) {
  let logins = 0
  const cache = yield* TokenCache.make(TokenSource.fromEffect(
    Effect.sync(() => ({ value: Redacted.make(`${secrets.token}-${++logins}`) })),
    { identity: ["test"] }
  ))
  const described: ResilientClient.Description = {
    name: "ledger",
    baseUrl,
    auth: ResilientClient.tokens(cache),
    ...description
  }
  const services = yield* Layer.build(
    Layer.provide(
      ResilientClient.layer(described, { parts: Parts }),
      typeof transport === "string" ? transports[transport] : transport
    )
  )
  return Context.get(services, ResilientClient.ResilientClient)
})
