import * as RawServer from "@effect-resilience/chaos/RawServer"
import { NotAsked, Recovery } from "@effect-resilience/errors"
import { ErrorMapping, Operation } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Stream } from "effect"
import { HttpBody, HttpClient } from "effect/http"

const bytes = (size: number) => Stream.succeed(new Uint8Array(size))

/** Sends a body to a server that only reads, and returns how that fails and what came. */
const send = (
  body: Stream.Stream<Uint8Array, unknown, FileSystem.FileSystem>,
  options: { readonly length?: number; readonly appliedWhenWhole?: boolean } = {}
) =>
  Effect.gen(function*() {
    let received = 0
    const server = yield* RawServer.make((connection) =>
      Effect.repeat(
        Effect.tap(connection.receive, (chunk) => Effect.sync(() => received += chunk?.length ?? 0)),
        { until: (chunk) => chunk === undefined }
      )
    )
    const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient)
    const files = yield* FileSystem.FileSystem
    const stream = Stream.provideService(body, FileSystem.FileSystem, files)
    const error = yield* client.post(server.url, { body: HttpBody.stream(stream, "text/plain", options.length) }).pipe(
      Operation.within({ name: "send", endpoint: "/", appliedWhenWhole: options.appliedWhenWhole }),
      Effect.flip
    )
    return { error, received }
  }).pipe(Effect.provide([Connections.layer(), NodeFileSystem.layer]), Effect.scoped)

describe("a request whose own body fails", () => {
  it.live("was not asked, and says so, if its first byte cannot be read", () =>
    Effect.gen(function*() {
      const missing = Stream.unwrap(Effect.map(FileSystem.FileSystem, (files) => files.stream("/no/such/file")))
      const bodies = [missing, Stream.fail("no data"), Stream.die(new TypeError("a bug"))]
      for (const body of bodies) {
        const { error, received } = yield* send(body)
        assert.deepInclude(error.reason, { _tag: "TransportFailure", kind: "body" })
        assert.isTrue(NotAsked.isNotAsked(error))
        assert.include(error.message, "the request's body failed")
        assert.notStrictEqual(Recovery.of(error)._tag, "Retry")
        assert.strictEqual(received, 0)
      }
    }))

  it.live("is tried again if its source broke off", () =>
    Effect.gen(function*() {
      const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" })
      const { error } = yield* send(Stream.fail(reset))
      assert.deepInclude(error.reason, { _tag: "TransportFailure", kind: "body", code: "ECONNRESET" })
      assert.strictEqual(Recovery.of(error)._tag, "Retry")
    }))

  it.live("never sends another length than it announced as if that were all", () =>
    Effect.gen(function*() {
      for (const body of [Stream.empty, bytes(10)]) {
        const { error, received } = yield* send(body, { length: 5 })
        assert.deepInclude(error.reason, { _tag: "TransportFailure", kind: "body" })
        assert.strictEqual(received, 0)
      }
      const short = yield* send(bytes(4), { length: 5 })
      assert.strictEqual(short.error.reason._tag, "OutcomeUnknown")
      const whole = yield* send(bytes(4), { length: 5, appliedWhenWhole: true })
      assert.deepInclude(whole.error.reason, { _tag: "TransportFailure", kind: "body", reached: "partOfBody" })
    }))
})
