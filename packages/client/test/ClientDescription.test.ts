import { ClientDescription, ResilientClient } from "@effect-resilience/client"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Logger, Queue, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import * as Yaml from "yaml"

const base = { name: "ledger", baseUrl: "https://ledger.example.com" }

const written = {
  ...base,
  timeouts: { total: "5 seconds", attempt: 500 },
  pipeline: { retry: { times: 3, backoff: { list: ["100 millis", "1 second"] } } },
  idempotency: { key: true },
  origins: ["https://files.example.com"],
  operations: { "read order": { endpoint: "GET /orders/{id}", without: ["retry"] } }
}

describe("ClientDescription", () => {
  it.effect("tells all that is wrong at once, each at its path", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(ClientDescription.decode({
        name: "",
        timeout: "1 second",
        timeouts: { total: "soon", attempts: 1 },
        pipeline: { retry: { times: -1 }, deadline: 3 },
        auth: "tokns",
        operations: { "read order": { endpoint: "/orders", retry: {} } }
      }, { tokens: () => undefined }))
      for (
        const line of [
          `ResilientClient.name must be a non-empty text, not ""\n  at ["name"]`,
          "ResilientClient.baseUrl is missing",
          "ResilientClient has no option timeout. Write it as timeouts",
          "ResilientClient.timeouts has no option attempts. Did you mean attempt?",
          "ResilientClient.timeouts.total must be a duration above 0 millis",
          "ResilientClient.pipeline has no option deadline. Write it as timeouts.total",
          `ResilientClient.pipeline.retry.times must be an integer of at least 0 or Infinity, not -1\n  at ["pipeline"]["retry"]["times"]`,
          "Did you mean tokens?",
          "ResilientClient.operations.read order.endpoint must be a method and a path",
          "ResilientClient.operations.read order has no option retry. Write it as pipeline.retry"
        ]
      ) assert.include(error.message, line)
    }))

  it.effect("reads YAML as it reads JSON, and the $schema by which editors find one", () =>
    Effect.gen(function*() {
      const text = `# yaml-language-server: $schema=node_modules/@effect-resilience/client/schema/client.json
name: ledger
baseUrl: https://ledger.example.com
timeouts: { total: 5 seconds, attempt: 500 }
pipeline:
  retry: { times: 3, backoff: { list: [100 millis, 1 second] } }
idempotency: { key: true }
origins: [https://files.example.com]
operations:
  read order: { endpoint: "GET /orders/{id}", without: [retry] }
`
      assert.deepStrictEqual(
        yield* ClientDescription.decode(Yaml.parse(text)),
        yield* ClientDescription.decode(written)
      )
      assert.deepStrictEqual(
        yield* ClientDescription.decode({ $schema: "client.json", ...base }),
        yield* ClientDescription.decode(base)
      )
    }))

  it.effect("is read from one text of the environment, and from a key for each option", () =>
    Effect.gen(function*() {
      const expected = yield* ClientDescription.decode(written)
      const providers = [
        ConfigProvider.fromEnv({ env: { ledger: JSON.stringify(written) } }),
        ConfigProvider.fromUnknown({ ledger: written }),
        ConfigProvider.fromUnknown({ ledger: JSON.stringify(written) })
      ]
      for (const provider of providers) {
        assert.deepStrictEqual(yield* ClientDescription.config("ledger").parse(provider), expected)
      }
      const flat = ConfigProvider.fromEnv({
        env: {
          ledger_name: "ledger",
          ledger_baseUrl: base.baseUrl,
          ledger_timeouts_attempt: "500",
          ledger_idempotency_key: "true",
          ledger_pipeline_retry_times: "3"
        }
      })
      assert.deepStrictEqual(yield* ClientDescription.config("ledger").parse(flat), {
        ...base,
        timeouts: { attempt: 500 },
        idempotency: { key: true },
        pipeline: { retry: { times: 3 } }
      })
    }))

  it.effect("is no configuration where it makes no sense", () =>
    Effect.gen(function*() {
      for (const text of ["{", `{ "name": "ledger" }`]) {
        const provider = ConfigProvider.fromEnv({ env: { ledger: text } })
        const error = yield* Effect.flip(ClientDescription.config("ledger").parse(provider))
        assert.strictEqual(error._tag, "ConfigError")
      }
    }))
})

describe("follow", () => {
  const lines: Array<string> = []
  const logged = Logger.layer([
    Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
  ])

  it.effect("reloads what makes sense, logs what does not, and ends with its changes", () =>
    Effect.gen(function*() {
      const client = yield* ResilientClient.make(yield* ClientDescription.decode(base))
      const next = { ...base, baseUrl: "https://two.example.com" }
      const texts = [
        "{",
        JSON.stringify({ ...base, timeuots: {}, name: "" }),
        JSON.stringify({ ...base, name: "another" }),
        JSON.stringify(next),
        JSON.stringify(next),
        next
      ]
      const seen: Array<unknown> = []
      lines.length = 0
      const read = Effect.suspend(() => {
        seen.push(0)
        const text = texts[seen.length - 1]
        return text === undefined ? Effect.fail("the disk is gone") : Effect.succeed(text)
      })
      yield* ClientDescription.follow(client, { read, changes: Stream.range(1, 7) })
      assert.deepStrictEqual((yield* client.description).baseUrl, next.baseUrl)
      assert.lengthOf(seen, 7)
      assert.lengthOf(lines, 5)
      assert.match(lines[0] ?? "", /^Error The client ledger keeps its description/)
      assert.include(lines[1], "Did you mean timeouts?")
      assert.include(lines[1], "ResilientClient.name must be a non-empty text")
      assert.include(lines[2], "ResilientClient.name must be ledger, as before, not another")
      assert.strictEqual(lines[3], "Info The client ledger has a new description")
      assert.include(lines[4], "the disk is gone")
    }).pipe(Effect.provide([FetchHttpClient.layer, logged])))

  it.effect("is interrupted with the scope that it is forked in", () =>
    Effect.gen(function*() {
      const client = yield* ResilientClient.make(yield* ClientDescription.decode(base))
      const signals = yield* Queue.unbounded<string>()
      lines.length = 0
      yield* Effect.scoped(Effect.gen(function*() {
        const changes = Stream.fromQueue(signals)
        yield* Effect.forkScoped(ClientDescription.follow(client, { read: Effect.never, changes }))
        yield* Queue.offer(signals, "SIGHUP")
        yield* Effect.yieldNow
      }))
      assert.deepStrictEqual(lines, [])
    }).pipe(Effect.provide([FetchHttpClient.layer, logged])))
})
