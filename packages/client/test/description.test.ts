import { ClientDescription, Parts, ResilientClient } from "@effect-resilience/client"
import { RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { FetchHttpClient } from "effect/http"

const base = { name: "ledger", baseUrl: "https://ledger.example.com" }

const wrong = (options: object): string => {
  try {
    ResilientClient.make({ ...base, ...options } as ResilientClient.Description)
  } catch (error) {
    assert.instanceOf(error, RangeError)
    return error.message
  }
  return assert.fail("nothing was thrown")
}

describe("a description", () => {
  it("has no key that does not exist, at any depth, by its types", () => {
    const throws = (f: () => unknown) => assert.throws(f, RangeError)
    // @ts-expect-error -- no such option
    throws(() => ResilientClient.make({ ...base, basUrl: "https://x.test" }))
    // @ts-expect-error -- no such limit
    throws(() => ResilientClient.make({ ...base, timeouts: { totl: 1 } }))
    // @ts-expect-error -- no such part
    throws(() => ResilientClient.make({ ...base, pipeline: { retri: { times: 1 } } }))
    // @ts-expect-error -- no such option of a part
    throws(() => ResilientClient.make({ ...base, pipeline: { retry: { backoff: { bose: 1 } } } }))
    // @ts-expect-error -- no such option of an operation
    throws(() => ResilientClient.make({ ...base, operations: { "read order": { idempotnt: true } } }))
    const operations = { "read order": { pipeline: { retry: { tiems: 2, maxDuration: 1 } } } }
    // @ts-expect-error -- no such option of an operation's part
    throws(() => ResilientClient.layer({ ...base, operations }))
    // @ts-expect-error -- the deadline is a timeout
    throws(() => ResilientClient.layer({ ...base, pipeline: { deadline: "1 second" } }))
  })

  it("is given the parts that it names besides the standard, by its types", () => {
    const { budget, bulkhead, endpoints, hedge } = Parts
    const throws = (f: () => unknown) => assert.throws(f, /needs a part\. Give the client \{ parts: \{ \w+: Parts/)
    const pipeline = { ...ResilientClient.standard.pipeline, bulkhead: { permits: 1 } }
    const operations = { "read order": { pipeline: { hedge: { after: 1 } } } }
    const several = ["https://a.example.com", "https://b.example.com"] as const
    // @ts-expect-error -- a bulkhead
    throws(() => ResilientClient.make({ ...base, pipeline }))
    // @ts-expect-error -- another part
    throws(() => ResilientClient.layer({ ...base, pipeline }, { parts: { hedge } }))
    // @ts-expect-error -- that of an operation
    throws(() => ResilientClient.layer({ ...base, operations }))
    // @ts-expect-error -- a choice of addresses
    throws(() => ResilientClient.layer({ ...base, baseUrl: several }))
    // @ts-expect-error -- a kind of budget
    throws(() => ResilientClient.layer({ ...base, pipeline: { budget: { quota: {} } } }))
    // @ts-expect-error -- that of an operation, over a script
    throws(() => ResilientClient.layerTest({ ...base, operations }, []))
    // @ts-expect-error -- a bulkhead
    throws(() => ResilientClient.layerHttpClient({ ...base, pipeline }))
    // @ts-expect-error -- a bulkhead
    throws(() => ResilientClient.fetch({ ...base, pipeline }))
    const some: ResilientClient.SomeParts = {}
    // @ts-expect-error -- who knows whether it is there?
    throws(() => ResilientClient.layer({ ...base, pipeline }, { parts: some }))
    // @ts-expect-error -- no such option
    ResilientClient.layer({ ...base, pipeline }, { parts: { bulkhead }, clasify: () => undefined })
    throws(() => ResilientClient.make({ ...base, endpoints: { panicThreshold: 0 } }))
    ResilientClient.make({ ...base, pipeline }, { parts: { bulkhead } })
    ResilientClient.make({ ...base, pipeline: { budget: { quota: {} } } }, { parts: { budget } })
    ResilientClient.layer({ ...base, operations }, { parts: { hedge } })
    ResilientClient.layer({ ...base, operations, pipeline }, { parts: Parts })
    ResilientClient.layerTest({ ...base, operations }, [], { parts: { hedge } })
    ResilientClient.layerHttpClient({ ...base, pipeline }, { parts: { bulkhead } })
    ResilientClient.fetch({ ...base, pipeline }, { parts: { bulkhead }, transport: FetchHttpClient.layer })
    ResilientClient.layerNoop({ ...base, pipeline })
    const missing: ResilientClient.Supplied<
      { readonly name: ""; readonly baseUrl: ""; readonly pipeline: typeof pipeline },
      object
    > = { "Give the client { parts: { bulkhead: Parts.bulkhead } }": undefined as never }
    assert.isDefined(missing)
    ResilientClient.layer({ ...base, baseUrl: several }, { parts: { endpoints } })
  })

  it.effect("stands in the order of its slots, however its parts are given", () =>
    Effect.gen(function*() {
      const { metrics, spans } = Parts
      const described = { ...base, pipeline: { metrics: true, spans: true } }
      const texts = yield* Effect.forEach(
        [{ spans, metrics }, { metrics, spans }, Parts],
        (parts) => Effect.flatMap(ResilientClient.make(described, { parts }), ({ describe }) => describe)
      )
      assert.strictEqual(new Set(texts).size, 1)
    }).pipe(Effect.provide(FetchHttpClient.layer)))

  it.effect("takes a retry policy for its options", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.aws2026
      const operations = { "read order": { pipeline: { retry: RetryPolicy.noop } } }
      const client = yield* ResilientClient.make({ ...base, pipeline: { retry }, operations })
      const text = yield* client.describe
      assert.include(text, "retry           times 2, backoff (base 50 millis")
      assert.include(text, "retry           its own: times 0")
      const json = yield* ClientDescription.encode({ ...base, pipeline: { retry }, operations })
      const read = yield* ResilientClient.make(yield* ClientDescription.decode(json))
      assert.strictEqual(yield* read.describe, text)
      // @ts-expect-error -- the limit of an attempt is `timeouts.attempt`
      assert.throws(() => ResilientClient.make({ ...base, pipeline: { retry: RetryPolicy.polly } }), RangeError)
    }).pipe(Effect.provide(FetchHttpClient.layer)))

  it("may be written where its types are wider", () => {
    const described: ResilientClient.Description = { ...base, timeouts: { total: "5 seconds" } }
    assert.isTrue(Effect.isEffect(ResilientClient.make(described)))
    assert.isTrue(Effect.isEffect(ResilientClient.make({
      ...base,
      auth: (client, origin) => origin.href === "" ? client : client,
      headers: { accept: "application/json" },
      operations: { "read order": { endpoint: "GET /orders/{id}", without: ["retry"] } }
    })))
  })

  it.effect("is told what was meant, and where it is written, by what reads JSON", () => {
    const rows: ReadonlyArray<[object, string]> = [
      [{ baseURL: "x" }, "has no option baseURL. Did you mean baseUrl?"],
      [{ retry: { times: 1 } }, "has no option retry. Write it as pipeline.retry"],
      [{ deadline: "1 second" }, "Write it as timeouts.total"],
      [{ connectTimeout: "1 second" }, "Write it as timeouts.connect"],
      [{ pipeline: { deadline: 1 } }, "ResilientClient.pipeline has no option deadline. Write it as timeouts.total"],
      [{ pipeline: { attemptTimeout: 1 } }, "Write it as timeouts.attempt"],
      [{ timeouts: { attempts: 1 } }, "Did you mean attempt?"],
      [{ timeouts: { attemptTimeout: 1 } }, "has no option attemptTimeout. Write it as attempt"],
      [{ timeouts: { deadline: 1 } }, "has no option deadline. Write it as total"],
      [{ timeouts: { timeout: 1 } }, "has no option timeout. Write it as total or attempt"],
      [
        { operations: { a: { circuitBreaker: {} } } },
        "ResilientClient.operations.a has no option circuitBreaker. Write it as pipeline.circuitBreaker"
      ],
      [{ operations: { a: { without: "retyr" } } }, "Did you mean retry?"]
    ]
    return Effect.forEach(rows, ([options, expected]) => {
      assert.match(wrong(options), /has no option|must be one of/)
      return Effect.map(
        Effect.flip(ClientDescription.decode({ ...base, ...options })),
        ({ message }) => assert.include(message, expected)
      )
    })
  })

  it("has no secrets in headers, and nothing that cannot be sent", () => {
    for (const name of ["Authorization", "cookie", "Proxy-Authorization"]) {
      const message = wrong({ headers: { [name]: "token 17" } })
      assert.include(message, `ResilientClient.headers.${name} must be left out`)
      assert.include(message, "Use auth")
      assert.notInclude(message, "token 17")
    }
    assert.include(wrong({ headers: { "Idempotency-Key": "17" } }), "Use idempotency.key")
    assert.include(wrong({ headers: { "a b": "x" } }), "must be the name of a header, not another text")
    assert.include(wrong({ headers: { "x-key": "token 17\n" } }), "must be the value of a header, not another text")
  })

  it("has a base URL that can be joined with paths, and tells nothing of another one", () => {
    const urls = [
      "ledger",
      "ftp://s3cret",
      "https://s3cret@a.b",
      "https://:s3cret@a.b",
      "https://a.b/?s3cret",
      "https://a.b/#s3cret"
    ]
    for (const baseUrl of urls) {
      const message = wrong({ baseUrl })
      assert.include(
        message,
        "ResilientClient.baseUrl must be an http or https URL without user info, query and fragment, not another text"
      )
      assert.notInclude(message, "s3cret")
    }
  })

  it("has an address that credentials may go to, where it has auth", () => {
    const auth: ResilientClient.Authenticate = (client) => client
    assert.include(
      wrong({ auth, baseUrl: "http://ledger.example.com" }),
      "https or a loopback address, where there is auth"
    )
    assert.include(wrong({ auth, baseUrl: [base.baseUrl, "http://b.example.com"] }), "not http://b.example.com")
    ResilientClient.make({ ...base, auth, baseUrl: "http://127.0.0.1:8080" })
  })

  it("has origins, methods and templates that mean something", () => {
    const rows: ReadonlyArray<[object, string]> = [
      [
        { origins: "https://files.example.com/v1" },
        "ResilientClient.origins must be an origin, such as https://files.example.com"
      ],
      [{ redirects: { origins: ["files.example.com"] } }, "ResilientClient.redirects.origins must be"],
      [{ idempotency: { methods: "post" } }, "ResilientClient.idempotency.methods must be one of GET, POST"],
      [
        { operations: { a: { endpoint: "/orders" } } },
        "ResilientClient.operations.a.endpoint must be a method and a path"
      ],
      [{ operations: { a: { endpoint: "post /orders" } } }, "a method and a path"],
      [{ operations: { a: { endpoint: "x GET /orders" } } }, "a method and a path"],
      [{ operations: { a: { endpoint: "GET /orders/.%2E" } } }, "a method and a path"],
      [{ operations: { a: { endpoint: "GET /files/{name}.json" } } }, "whole segments"],
      [{ operations: { a: { endpoint: "GET /orders/:id" } } }, "whole segments, such as POST /orders/{id}"],
      [{ operations: { a: { endpoint: "GET /files/*" } } }, "whole segments"],
      [
        { operations: { a: { endpoint: "GET /x/{id}" }, b: { endpoint: "GET /x/{name}" } } },
        "ResilientClient.operations.b.endpoint is that of the operation a too"
      ],
      [{ operations: { a: { without: "retry", pipeline: { retry: {} } } } }, "has retry in its pipeline and in without"]
    ]
    for (const [options, expected] of rows) assert.include(wrong(options), expected)
  })

  it.effect("is rejected by decode for the same reasons", () =>
    Effect.gen(function*() {
      const auth: ResilientClient.Authenticate = (client) => client
      const json = { name: "ledger", baseUrl: "http://ledger.example.com", auth: "tokens" }
      const error = yield* Effect.flip(ClientDescription.decode(json, { tokens: auth }))
      assert.include(error.message, "https or a loopback address, where there is auth")
      const client = yield* ResilientClient.make(
        yield* ClientDescription.decode({ ...json, baseUrl: base.baseUrl }, { tokens: auth })
      )
      assert.strictEqual((yield* client.description).auth, auth)
    }).pipe(Effect.provide(FetchHttpClient.layer)))
})
