import { ApiError } from "@effect-resilience/errors"
import { AccessLog, ErrorMapping, ResponseLifetime, Telemetry } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Effect, Stream } from "effect"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

export const url = "https://api.example.com/report"
export const bytes = (text: string) => new TextEncoder().encode(text)
export const broken = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })

/** One response: its pieces, and how it ends. */
export interface Script {
  readonly pieces: ReadonlyArray<string>
  readonly end: "complete" | "break" | "silence"
  readonly headers?: Record<string, string> | undefined
  readonly status?: number | undefined
}

export const respond = (request: HttpClientRequest.HttpClientRequest, script: Script, onClose: () => void) => {
  const { end, headers = {}, pieces, status = 200 } = script
  const carrier = HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
  const failure = Stream.fail(
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.DecodeError({ request, response: carrier, cause: broken })
    })
  )
  const ending = end === "complete" ? Stream.empty : end === "break" ? failure : Stream.never
  // Each piece comes later, as from a socket.
  const arriving = Stream.mapEffect(Stream.fromIterable(pieces), (piece) => Effect.as(Effect.yieldNow, bytes(piece)))
  const stream = Stream.concat(arriving, Stream.concat(Stream.fromEffectDrain(Effect.yieldNow), ending)).pipe(
    Stream.onExit(() => Effect.sync(onClose))
  )
  return Object.create(carrier, {
    stream: { value: stream },
    arrayBuffer: {
      value: Effect.map(Stream.runCollect(stream), (all) => new Uint8Array(all.flatMap((one) => [...one])).buffer)
    }
  }) as HttpClientResponse.HttpClientResponse
}

/** A server that responds as scripted, the last response for ever, and counts what is open. */
export const serve = (...scripts: ReadonlyArray<Script>) => {
  const state = { requests: 0, closed: 0 }
  const transport = HttpClient.make((request) =>
    Effect.sync(() => {
      const script = scripts[Math.min(state.requests++, scripts.length - 1)] as Script
      return respond(request, script, () => state.closed++)
    })
  )
  return { state, transport }
}

export const retrying = (times = 2) => RetryPolicy.retry(RetryPolicy.make({ times, backoff: Backoff.immediate }))

export interface Around {
  readonly timeouts?: ErrorMapping.Options | undefined
  readonly policies?:
    | (<E, R>(
      self: Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>
    ) => Effect.Effect<HttpClientResponse.HttpClientResponse, unknown, R>)
    | undefined
}

export const client = (transport: HttpClient.HttpClient, { policies = retrying(), timeouts = {} }: Around = {}) =>
  transport.pipe(
    ErrorMapping.mapErrors(timeouts),
    Telemetry.observeAttempts,
    AccessLog.logAttempts,
    ResponseLifetime.attempts,
    HttpClient.transformResponse(policies),
    HttpClient.transformResponse(AccessLog.logCall),
    HttpClient.transformResponse(Telemetry.observeCall),
    HttpClient.transformResponse(ResponseLifetime.judgedToEnd)
  )

export const entries = Effect.flatMap(AccessLog.Memory, (memory) => memory.entries)
export const lines = Effect.map(entries, (all) => all.map((one) => `${one.kind} ${one.attempt} ${one.outcome}`))
export const text = (response: HttpClientResponse.HttpClientResponse) =>
  response.stream.pipe(Stream.decodeText, Stream.runFold(() => "", (all, one) => all + one))

export const reasonOf = (error: unknown) => error instanceof ApiError.ApiError ? error.reason : undefined

export const at = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.andThen(TestClock.adjust("5 minutes"), self)

export const settle = Effect.repeat(Effect.yieldNow, { times: 200 })

export const whole: Script = { pieces: ["all ", "of it"], end: "complete" }
export const breaking: Script = { pieces: ["a part"], end: "break" }
export const silent: Script = { pieces: ["a part"], end: "silence" }

export const ways: {
  readonly [name: string]: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown>
} = {
  text: (response) => response.text,
  json: (response) => response.json,
  arrayBuffer: (response) => Effect.map(response.arrayBuffer, (buffer) => new TextDecoder().decode(buffer))
}
