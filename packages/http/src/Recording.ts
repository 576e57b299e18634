/**
 * Exchanges with a real server, recorded once and replayed in tests.
 *
 * **Why**
 *
 * A canned response shows what its author remembered of the API; a recorded one shows what the API sends. It must not show
 * more than that: recordings are committed.
 *
 * **Details**
 *
 * `record` writes every exchange to a sink, redacted by the fiber's `Redaction` and scrubbed of registered secrets. Only the
 * allowed fields of a JSON body keep their values; only the length of another body is kept, unless `text` is set.
 * `layerReplay` responds to requests from a recording, with the first unused exchange of the same method and redacted
 * address. A request that was not recorded is a defect, so no retry hides it.
 *
 * **When to use**
 *
 * Use `record` directly around the transport. It keeps each response in memory, so it is for tests, not for production.
 *
 * **Example** (Record, then replay without a network)
 *
 * ```ts import.meta.vitest
 * import { Recording, Redaction } from "@effect-resilience/http"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const real = HttpClient.make((request) =>
 *   Effect.succeed(HttpClientResponse.fromWeb(request, Response.json({ id: 7, owner: "Jo" })))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const lines: Array<string> = []
 *   const recording = Recording.record(real, { write: (line) => Effect.sync(() => lines.push(line)) })
 *   yield* recording.get("https://api.example.com/me?key=s3cr3t").pipe(Redaction.provide(Redaction.make({ fields: ["id"] })))
 *
 *   const replay = yield* Recording.replay(lines)
 *   const response = yield* replay.get("https://api.example.com/me?key=other")
 *   return yield* response.json
 * })
 * await Effect.runPromise(program) // => { id: 7, owner: "<redacted>" }
 * ```
 *
 * @stability rests on effect/FileSystem, effect/PlatformError, effect/http
 * @since 0.1.0
 */
import * as Time from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import { dual } from "effect/Function"
import * as Headers from "effect/http/Headers"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as PlatformError from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { reasonTag } from "./internal/failure.ts"
import * as Scrubber from "./internal/scrub/current.ts"
import * as Redaction from "./Redaction.ts"
import * as ResponseBody from "./ResponseBody.ts"

/**
 * A body: JSON with hidden fields, text if `text` is set, otherwise its length in bytes, if known.
 *
 * @category models
 * @since 0.1.0
 */
export const Body = /* @__PURE__ */ Schema.Struct({
  json: Schema.optional(Schema.Unknown),
  text: Schema.optional(Schema.String),
  bytes: Schema.optional(Schema.Number)
})

/**
 * One line of a recording. An exchange without a response has an `error`, the tag of the failure.
 *
 * @category models
 * @since 0.1.0
 */
export const Exchange = /* @__PURE__ */ Schema.Struct({
  time: Schema.String,
  durationMs: Schema.Number,
  method: Schema.String,
  url: Schema.String,
  headers: Schema.Record(Schema.String, Schema.String),
  body: Body,
  response: Schema.optional(
    Schema.Struct({ status: Schema.Number, headers: Schema.Record(Schema.String, Schema.String), body: Body })
  ),
  error: Schema.optional(Schema.String)
}).pipe(Schema.encodeKeys({ response: "answer" }))

/**
 * Where requests and responses are recorded, and how much of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Takes a line, without its line break. */
  readonly write: (line: string) => Effect.Effect<unknown>
  /** Records bodies that are text but not JSON, scrubbed; false by default, since nothing can be hidden in them. */
  readonly text?: boolean | undefined
}

/**
 * Records the exchanges of a client.
 *
 * @category middleware
 * @since 0.1.0
 */
export const record: {
  (
    options: Options
  ): <E, R>(
    client: HttpClient.HttpClient.With<E, R>
  ) => HttpClient.HttpClient.With<E | HttpClientError.HttpClientError, R>
  <E, R>(
    client: HttpClient.HttpClient.With<E, R>,
    options: Options
  ): HttpClient.HttpClient.With<E | HttpClientError.HttpClientError, R>
} = /* @__PURE__ */ dual(
  2,
  <E, R>(
    client: HttpClient.HttpClient.With<E, R>,
    options: Options
  ): HttpClient.HttpClient.With<E | HttpClientError.HttpClientError, R> =>
    HttpClient.transform(client, (exchange, request) =>
      Effect.withFiber((fiber) => {
        const redaction = fiber.getRef(Redaction.Current)
        const clock = fiber.getRef(Clock.Clock)
        const time = clock.currentTimeMillisUnsafe()
        const began = Time.monotonicMillis(clock)
        const write = (outcome: Pick<typeof Exchange.Encoded, "answer" | "error">) => {
          const line: typeof Exchange.Encoded = {
            time: new Date(time).toISOString(),
            durationMs: Math.round(Time.monotonicMillis(clock) - began),
            method: request.method,
            url: redactedUrl(request, redaction),
            headers: Redaction.headers(redaction, request.headers),
            body: requestBody(request.body, redaction, options),
            ...outcome
          }
          const scrubber = fiber.getRef(Scrubber.Current)
          return options.write(
            JSON.stringify(line, (_, value: unknown) => typeof value === "string" ? scrubber.scrub(value) : value)
          )
        }
        return exchange.pipe(
          Effect.flatMap((response) =>
            Effect.flatMap(response.arrayBuffer, (buffer) => {
              const bytes = new Uint8Array(buffer)
              const recorded = {
                status: response.status,
                headers: Redaction.headers(redaction, response.headers),
                body: bodyOf(bytes, redaction, options)
              }
              return Effect.as(write({ answer: recorded }), ResponseBody.replace(response, bytes, response.headers))
            })
          ),
          Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : write({ error: reasonTag(exit) ?? "Unknown" }))
        )
      }))
)

/**
 * A client that responds from the lines of a recording. Fails if a line is not an `Exchange`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const replay = (lines: Iterable<string>): Effect.Effect<HttpClient.HttpClient, Schema.SchemaError> =>
  Effect.gen(function*() {
    const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Exchange))
    const unused = yield* Effect.forEach(Array.from(lines).filter((line) => line.trim() !== ""), (line) => decode(line))
    return HttpClient.make((request) =>
      Effect.suspend(() => {
        const nth = unused.findIndex((exchange) =>
          exchange.method === request.method && exchange.url === redactedUrl(request, sameFor(exchange.url))
        )
        const [exchange] = nth < 0 ? [] : unused.splice(nth, 1)
        if (exchange?.response === undefined) {
          const why = exchange === undefined ? "has no further response" : `has a failure (${exchange.error})`
          return Effect.die(
            new Error(`The recording ${why} for ${request.method} ${redactedUrl(request, Redaction.make())}`)
          )
        }
        const { body, headers, status } = exchange.response
        const content = body.json === undefined ? body.text ?? "" : JSON.stringify(body.json)
        const recorded = new Response(bodiless.has(status) ? null : content, { status, headers: shown(headers) })
        return Effect.succeed(HttpClientResponse.fromWeb(request, recorded))
      })
    )
  })

/**
 * Records to a new JSON-lines file, which only its owner can read. Replaces an existing file.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRecord = (
  path: string,
  options: Omit<Options, "write"> = {}
): Layer.Layer<HttpClient.HttpClient, PlatformError.PlatformError, HttpClient.HttpClient | FileSystem.FileSystem> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.open(path, { flag: "w", mode: 0o600 })
      const encoder = new TextEncoder()
      return record(yield* HttpClient.HttpClient, {
        ...options,
        // A recording with a gap is worthless, so a failed write is a defect.
        write: (line) => Effect.orDie(file.writeAll(encoder.encode(`${line}\n`)))
      })
    })
  )

/**
 * Replays a JSON-lines file.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerReplay = (
  path: string
): Layer.Layer<HttpClient.HttpClient, PlatformError.PlatformError | Schema.SchemaError, FileSystem.FileSystem> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.flatMap(
      FileSystem.FileSystem,
      (fs) => Effect.flatMap(fs.readFileString(path), (text) => replay(text.split("\n")))
    )
  )

const redactedUrl = (request: HttpClientRequest.HttpClientRequest, redaction: Redaction.Redaction): string => {
  const url = HttpClientRequest.toUrl(request)
  return url._tag === "Some" ? Redaction.url(redaction, url.value) : Redaction.placeholder
}

// Parameters whose values were recorded must be the same; hidden ones may differ.
const sameFor = (recorded: string): Redaction.Redaction =>
  Redaction.make({
    query: [...new URL(recorded).searchParams].filter(([_, value]) => value !== "REDACTED").map(([name]) => name)
  })

const requestBody = (body: HttpBody.HttpBody, redaction: Redaction.Redaction, options: Options): typeof Body.Type => {
  switch (body._tag) {
    case "Empty":
      return {}
    case "Uint8Array":
      return bodyOf(body.body, redaction, options)
    default:
      return body.contentLength === undefined ? {} : { bytes: body.contentLength }
  }
}

const bodyOf = (bytes: Uint8Array, redaction: Redaction.Redaction, options: Options): typeof Body.Type => {
  if (bytes.length === 0) return {}
  const text = Result.try(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  if (Result.isFailure(text)) return { bytes: bytes.length }
  const json = Result.try((): unknown => JSON.parse(text.success))
  if (Result.isSuccess(json)) return { json: Redaction.json(redaction, json.success) }
  return options.text === true ? { text: text.success } : { bytes: bytes.length }
}

const shown = (headers: { readonly [name: string]: string }): Record<string, string> =>
  Headers.removeMany(Headers.fromRecordUnsafe(headers), ["content-length", "content-encoding", "transfer-encoding"])

const bodiless: ReadonlySet<number> = /* @__PURE__ */ new Set([204, 205, 304])
