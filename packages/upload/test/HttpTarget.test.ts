import { Recovery } from "@effect-resilience/errors"
import { ErrorMapping } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Batch, HttpTarget, Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Headers, HttpClient, HttpClientResponse } from "effect/http"
import { createHash } from "node:crypto"
import * as Server from "./servers/Server.ts"

const chunks = Array.from({ length: 30 }, () => Buffer.alloc(100_000, "a;b\n"))

const content = Buffer.concat(chunks)

const quick = { policy: RetryPolicy.make({ times: 1, backoff: Backoff.immediate }) }

const target = (url: string, method: "PUT" | "POST") =>
  Effect.map(HttpClient.HttpClient, (client) =>
    HttpTarget.make({
      client: ErrorMapping.mapErrors(client, {}),
      method,
      endpoint: "/{object}",
      url: (name: string) => `${url}/${encodeURIComponent(name)}`,
      source: (name) =>
        name === "unknown size"
          ? UploadSource.stream(name, { stream: Stream.fromIterable(chunks) })
          : UploadSource.bytes(name, content),
      contentType: () => "text/csv",
      digests: ["md5"],
      stored: HttpTarget.etagMd5
    }))

const store = Server.make((response, { body }) =>
  response.writeHead(201, { etag: `"${createHash("md5").update(body).digest("hex")}"`, location: "/x" }).end()
)

describe("HttpTarget", () => {
  for (const [name, header] of [["known", "content-length"], ["unknown size", "transfer-encoding"]] as const) {
    it.live(`puts an object of ${name === "known" ? "known" : "unknown"} size and verifies it`, () =>
      Effect.gen(function*() {
        const server = yield* store
        const report = yield* Uploader.upload(yield* target(server.url, "PUT"), name)
        const [request] = server.requests
        assert.strictEqual(request?.method, "PUT")
        assert.isDefined(request?.headers[header])
        assert.strictEqual(request?.headers["content-type"], "text/csv")
        assert.isTrue(request?.body.equals(content))
        assert.isTrue(report.verified)
        const etag = `"${createHash("md5").update(content).digest("hex")}"`
        assert.deepStrictEqual(report.receipt, { status: 201, etag, location: "/x" })
      }).pipe(Effect.provide(NodeHttpClient.layerUndici)))
  }

  for (const method of ["PUT", "POST"] as const) {
    it.live(`${method === "PUT" ? "retries" : "does not retry"} a ${method} whose response was 500`, () =>
      Effect.gen(function*() {
        const server = yield* Server.make((response) => response.writeHead(500).end())
        const error = yield* Effect.flip(Uploader.upload(yield* target(server.url, method), "a", quick))
        assert.strictEqual(server.requests.length, method === "PUT" ? 2 : 1)
        assert.strictEqual(error.reason._tag, method === "PUT" ? "InternalServerError" : "OutcomeUnknown")
      }).pipe(Effect.provide(NodeHttpClient.layerUndici)))
  }

  it.effect("sends the headers of an item, and keeps items apart by their address, or not at all", () =>
    Effect.gen(function*() {
      const sent: Array<Headers.Headers> = []
      const client = HttpClient.make((request) =>
        Effect.sync(() => {
          sent.push(request.headers)
          return HttpClientResponse.fromWeb(request, new Response())
        })
      )
      const to = (method: "PUT" | "POST") =>
        HttpTarget.make({
          client,
          method,
          endpoint: "/{object}",
          url: (name: string) => `https://objects.example.com/${name}`,
          source: (name) => UploadSource.bytes(name, "text"),
          headers: (name) => ({ "x-name": name })
        })
      yield* Uploader.upload(to("PUT"), "a")
      assert.deepInclude(sent[0], { "x-name": "a" })
      assert.strictEqual(to("PUT").key?.("a"), "https://objects.example.com/a")
      assert.isUndefined(to("POST").key)
    }))

  it("takes only an md5 for one", () => {
    const etag = (value: string) => HttpTarget.etagMd5(Headers.fromInput({ etag: value })).md5
    assert.strictEqual(etag(`"d41d8cd98f00b204e9800998ecf8427e"`), "d41d8cd98f00b204e9800998ecf8427e")
    assert.isUndefined(etag(`"d41d8cd98f00b204e9800998ecf8427e-12"`))
    assert.isUndefined(etag(`W/"d41d8cd98f00b204e9800998ecf8427e"`))
    assert.isUndefined(HttpTarget.etagMd5(Headers.empty).md5)
  })

  it.each<[string, { readonly [name: string]: string }, boolean]>([
    ["S3's own keys", { "x-amz-server-side-encryption": "AES256" }, true],
    ["S3's own keys, no bucket key", {
      "x-amz-server-side-encryption": "AES256",
      "x-amz-server-side-encryption-bucket-key-enabled": "false"
    }, true],
    ["KMS", { "x-amz-server-side-encryption": "aws:kms" }, false],
    ["KMS twice", { "x-amz-server-side-encryption": "aws:kms:dsse" }, false],
    ["a key of the customer", { "x-amz-server-side-encryption-customer-algorithm": "AES256" }, false],
    ["a key of Google's KMS", { "x-goog-encryption-kms-key-name": "projects/p/k" }, false]
  ])("knows what an ETag is worth under %s", (_, headers, isMd5) => {
    const etag = "d41d8cd98f00b204e9800998ecf8427e"
    const { md5 } = HttpTarget.etagMd5(Headers.fromInput({ etag: `"${etag}"`, ...headers }))
    assert.strictEqual(md5, isMd5 ? etag : undefined)
  })

  it.live("believes no ETag of an object that KMS encrypts", () =>
    Effect.gen(function*() {
      const server = yield* Server.make((response) =>
        response.writeHead(200, {
          etag: `"${createHash("md5").update("something else").digest("hex")}"`,
          "x-amz-server-side-encryption": "aws:kms"
        }).end()
      )
      const report = yield* Uploader.upload(yield* target(server.url, "PUT"), "a")
      assert.deepInclude(report, { verified: false, attempts: 1 })
    }).pipe(Effect.provide(NodeHttpClient.layerUndici)))

  it.live("fails the item whose address cannot be encoded, and uploads the others", () =>
    Effect.gen(function*() {
      const server = yield* store
      const { results } = yield* Batch.run(yield* target(server.url, "PUT"), ["a", "\ud800", "b"], { concurrency: 1 })
      assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Uploaded", "Failed", "Uploaded"])
      const [, failed] = results
      assert.strictEqual(failed?._tag === "Failed" ? Recovery.of(failed.error)._tag : undefined, "Correct")
    }).pipe(Effect.provide(NodeHttpClient.layerUndici)))
})
