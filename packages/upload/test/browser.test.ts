import { ApiError } from "@effect-resilience/errors"
import { ErrorMapping } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { HttpTarget, Multipart, Uploader, UploadError, UploadSource, UploadTarget } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

/** Hides what a browser does not have. Requests cannot be streams then. */
const browser = Effect.acquireRelease(
  Effect.sync(() => {
    const { getBuiltinModule } = process
    Object.assign(process, { getBuiltinModule: undefined })
    return () => Object.assign(process, { getBuiltinModule })
  }),
  (restore) => Effect.sync(restore)
)

interface Sent {
  readonly contentType: string | undefined
  readonly contentLength: number | undefined
  readonly bytes: Uint8Array
}

/** A `fetch` over HTTP/1.1: it rejects streams. Responds with the statuses, then 200. */
const network = (sent: Array<Sent>, ...statuses: ReadonlyArray<number>) =>
  HttpClient.make((request) => {
    const { body } = request
    if (body._tag === "Stream" || body._tag === "FormData") {
      const reason = new HttpClientError.TransportError({ request, description: "no streams over HTTP/1.1" })
      return Effect.fail(new HttpClientError.HttpClientError({ reason }))
    }
    if (body._tag === "Empty") return Effect.die("no body")
    return Effect.map(
      Effect.promise(async () => new Uint8Array(await new Response(body.body as BodyInit).arrayBuffer())),
      (bytes) => {
        sent.push({ contentType: body.contentType, contentLength: body.contentLength, bytes })
        return HttpClientResponse.fromWeb(request, new Response(null, { status: statuses[sent.length - 1] ?? 200 }))
      }
    )
  })

const MiB = 1_048_576
const large = Uint8Array.from({ length: 2 * MiB + 17 }, (_, i) => i % 251)

const put = (client: HttpClient.HttpClient) =>
  HttpTarget.make({
    client: ErrorMapping.mapErrors(client, {}),
    method: "PUT",
    endpoint: "/object",
    url: () => "https://bucket.example.com/object",
    source: (source: UploadSource.UploadSource) => source
  })

const read = (source: UploadSource.UploadSource, range?: UploadSource.Range) =>
  Effect.flatMap(source.open, ({ bytes }) => Stream.runCollect(bytes(range))).pipe(
    Effect.map((chunks) => Buffer.concat([...chunks]).toString("hex"))
  )

const form = <E>(name: string, size: number | undefined, stream: Stream.Stream<Uint8Array, E>) =>
  Multipart.make([
    Multipart.field("force", "true"),
    Multipart.file("myfile", { fileName: name, size, stream }),
    Multipart.field("action", "append")
  ], { boundary: "b" })

describe("UploadSource.blob", () => {
  it.effect.prop(
    "reads the parts that bytes would have",
    {
      text: Schema.String,
      offset: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })),
      length: Schema.optional(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })))
    },
    ({ length, offset, text }) =>
      Effect.gen(function*() {
        const [ours, theirs] = [UploadSource.blob("x", new Blob([text])), UploadSource.bytes("x", text)]
        assert.strictEqual((yield* ours.open).size, (yield* theirs.open).size)
        assert.strictEqual(yield* read(ours, { offset, length }), yield* read(theirs, { offset, length }))
      })
  )

  it.effect("reads what is too large for memory as a stream", () =>
    Effect.gen(function*() {
      const blob = UploadSource.blob("x", new Blob([large]))
      assert.strictEqual(yield* read(blob), Buffer.from(large).toString("hex"))
      assert.strictEqual(yield* read(blob, { offset: MiB + 5 }), Buffer.from(large.subarray(MiB + 5)).toString("hex"))
    }))
})

describe("an upload in a browser over HTTP/1.1", () => {
  for (
    const [name, source, content] of [
      ["a large text", UploadSource.bytes("x", large), large],
      ["a large blob", UploadSource.blob("x", new Blob([large])), large],
      ["a small blob", UploadSource.blob("x", new Blob(["a;b"])), new TextEncoder().encode("a;b")],
      ["an empty blob", UploadSource.blob("x", new Blob([])), new Uint8Array(0)]
    ] as const
  ) {
    it.effect(`sends ${name} whole, and again after a 503`, () =>
      Effect.gen(function*() {
        yield* browser
        const sent: Array<Sent> = []
        const policy = RetryPolicy.make({ times: 2, backoff: Backoff.immediate })
        const { attempts, bytes, digests } = yield* Uploader.upload(put(network(sent, 503)), source, {
          policy,
          digests: ["md5", "sha256"]
        })
        assert.deepStrictEqual({ attempts, bytes }, { attempts: 2, bytes: content.length })
        assert.lengthOf(sent, 2)
        for (const one of sent) {
          assert.strictEqual(one.contentType, "application/octet-stream")
          assert.strictEqual(one.contentLength, content.length)
          assert.isTrue(Buffer.from(one.bytes).equals(content))
        }
        const sha256 = yield* Effect.promise(() => crypto.subtle.digest("SHA-256", content))
        assert.strictEqual(digests.sha256, Buffer.from(sha256).toString("hex"))
      }).pipe(Effect.scoped))
  }

  for (
    const [name, source] of [
      ["a large blob", UploadSource.blob("x", new Blob([large]))],
      ["a small blob", UploadSource.blob("x", new Blob(["a;b"]))],
      ["a small text", UploadSource.bytes("x", "a;b")]
    ] as const
  ) {
    for (
      const [of, make] of [
        ["several parts", form],
        [
          "one part",
          <E>(name: string, size: number | undefined, stream: Stream.Stream<Uint8Array, E>) =>
            Multipart.make([Multipart.file("myfile", { fileName: name, size, stream })], { boundary: "b" })
        ]
      ] as const
    ) {
      it.effect(`sends ${name} in a form of ${of} that its stream would have been`, () =>
        Effect.gen(function*() {
          const sent: Array<Sent> = []
          const forms = UploadTarget.http({
            client: ErrorMapping.mapErrors(network(sent), {}),
            operation: () => ({ name: "upload", endpoint: "/form", idempotent: true }),
            source: (source: UploadSource.UploadSource) => source,
            request: (_, { name, size, stream }) =>
              Effect.succeed(
                HttpClientRequest.post("https://api.example.com/form").pipe(
                  HttpClientRequest.setBody(Multipart.toBody(make(name, size, stream)))
                )
              ),
            receive: () => Effect.succeed({ receipt: undefined })
          })
          const { bytes, size } = yield* source.open
          const expected = Buffer.concat([...yield* Stream.runCollect(make("x", size, bytes()).stream)])
          yield* browser
          yield* Uploader.upload(forms, source)
          assert.lengthOf(sent, 1)
          assert.strictEqual(Buffer.from(sent[0]?.bytes ?? []).toString(), expected.toString())
          assert.strictEqual(sent[0]?.contentType, "multipart/form-data; boundary=b")
        }).pipe(Effect.scoped))
    }
  }

  it.effect("leaves a stream to the client, which fails where the browser sends none", () =>
    Effect.gen(function*() {
      yield* browser
      const stream = UploadSource.stream("x", { stream: Stream.make(new Uint8Array(3)) })
      const policy = RetryPolicy.make({ times: 0, backoff: Backoff.immediate })
      const error = yield* Effect.flip(Uploader.upload(put(network([])), stream, { policy }))
      assert.include(error.message, "PUT /object got no response")
    }).pipe(Effect.scoped))

  it.effect("waits for the response as long as its size may take, and no longer", () =>
    Effect.gen(function*() {
      yield* browser
      const silent = HttpClient.make(() => Effect.never)
      const upload = Uploader.upload(put(silent), UploadSource.blob("x", new Blob([large])), {
        policy: RetryPolicy.noop,
        stallTimeout: "10 seconds",
        responseTimeout: "1 minute"
      })
      const fiber = yield* Effect.forkChild(Effect.flip(upload), { startImmediately: true })
      // 3 MiB begun, so half a minute for them.
      yield* TestClock.adjust("89 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert.deepInclude(error instanceof ApiError.ApiError ? error.reason : error, { _tag: "Timeout" })
    }).pipe(Effect.scoped))

  it.effect("blames a file that can no longer be read, not the connection", () =>
    Effect.gen(function*() {
      yield* browser
      const gone = new Blob([large])
      const unreadable = new DOMException("The requested file could not be read", "NotReadableError")
      const part = Object.assign(new Blob([large]), {
        slice: () => ({ arrayBuffer: () => Promise.reject(unreadable) })
      })
      const failing = HttpClient.make((request) =>
        Effect.fail(
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause: new TypeError("Failed to fetch") })
          })
        )
      )
      const source = UploadSource.blob("x", Object.assign(gone, { slice: () => part }))
      const error = yield* Effect.flip(Uploader.upload(put(failing), source, { policy: RetryPolicy.noop }))
      assert.instanceOf(error, UploadError.UploadError)
      assert.include(error.message, "could not be read")
    }).pipe(Effect.scoped))
})
