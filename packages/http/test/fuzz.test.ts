import { ErrorMapping } from "@effect-resilience/http"
import { Effect, Stream } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as fc from "fast-check"
import { bytes, fuzz, jsonText, like } from "../../repo-checks/src/Fuzz.ts"

const contentTypes = [
  "application/json",
  "application/problem+json",
  "text/html",
  "text/event-stream",
  "application/octet-stream"
]

const responses = fc.record({
  status: fc.oneof(
    fc.constantFrom(200, 204, 302, 400, 401, 404, 413, 429, 500, 503),
    fc.integer({ min: 200, max: 599 })
  ),
  headers: fc.dictionary(
    fc.constantFrom(
      "content-type",
      "retry-after",
      "content-length",
      "content-encoding",
      "www-authenticate",
      "date",
      "location"
    ),
    fc.oneof(fc.constantFrom(...contentTypes, "gzip", "0", "12", "-1", "soon"), fc.stringMatching(/^[!-~]{1,20}$/))
  ),
  body: bytes(jsonText(like({ message: "no such table" }, { title: "Bad", detail: "x" }, [1, { a: null }])))
})

const bodiless = new Set([204, 205, 304])

fuzz("a response of any kind is read, or an ApiError", responses, ({ body, headers, status }) => {
  const client = HttpClient.make((request) =>
    Effect.sync(() =>
      HttpClientResponse.fromWeb(
        request,
        new Response(bodiless.has(status) ? null : new Uint8Array(body), { status, headers })
      )
    )
  ).pipe(ErrorMapping.mapErrors())
  const response = client.get("https://api.example.com/a")
  const readers = [
    Effect.asVoid(Effect.flatMap(response, ({ json }) => json)),
    Effect.asVoid(Effect.flatMap(response, ({ text }) => text)),
    Effect.flatMap(response, ({ stream }) => Stream.runDrain(stream))
  ]
  return Effect.forEach(readers, Effect.exit).pipe(
    Effect.flatMap((exits) => Effect.forEach(exits, (exit) => exit, { discard: true }))
  )
})
