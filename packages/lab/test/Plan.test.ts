import { Recovery } from "@effect-resilience/errors"
import { Plan, Proposal, Traffic, VirtualTime } from "@effect-resilience/lab"
import { Pipeline } from "@effect-resilience/pipeline"
import { Data, Effect } from "effect"
import { describe, expect, it } from "vitest"

class Busy extends Data.TaggedError("Busy") {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}

const began = Date.parse("2026-01-01T00:00:00Z")

const line = (fields: object) => JSON.stringify(fields)

/** The access log of calls through a description, to a server of which a tenth of the attempts fail and some are silent. */
const logOf = (description: Pipeline.Description, calls = 2000): ReadonlyArray<string> => {
  const time = VirtualTime.make({ seed: "log", startMillis: began })
  const random = VirtualTime.random("server")
  const lines: Array<string> = []
  const policy = Effect.runSyncWith(time.context)(Pipeline.make(description))
  const at = (millis: number) => new Date(began + millis).toISOString()
  for (let i = 0; i < calls; i++) {
    time.at(i * 50, () => {
      const call = `call ${i}`
      const since = time.nowMillis()
      let attempt = 0
      const request = Effect.suspend(() => {
        const from = time.nowMillis()
        const silent = random.nextDoubleUnsafe() < 0.01
        const fails = random.nextDoubleUnsafe() < 0.1
        const millis = 20 + 80 * random.nextDoubleUnsafe()
        const entry = { time: at(from), kind: "attempt", call, attempt: ++attempt, endpoint: "/secret/{id}" }
        const write = (outcome: object) =>
          lines.push(line({ ...entry, ...outcome, durationMs: time.nowMillis() - from }))
        return (silent ? Effect.never : Effect.sleep(millis)).pipe(
          Effect.andThen(fails ? Effect.fail(new Busy()) : Effect.void),
          Effect.tap(() => Effect.sync(() => write({ outcome: "success", status: 200 }))),
          Effect.tapError(() => Effect.sync(() => write({ outcome: "failure", status: 503, recovery: "Retry" }))),
          Effect.onInterrupt(() => Effect.sync(() => write({ outcome: "interrupted" })))
        )
      })
      time.fork(policy.execute(request)).addObserver((exit) => {
        const outcome = exit._tag === "Success" ? "success" : "failure"
        const durationMs = time.nowMillis() - since
        lines.push(line({ time: at(since), kind: "call", call, outcome, durationMs, attempt }))
      })
    })
  }
  while (time.next());
  return lines
}

const old = {
  name: "ledger",
  attemptTimeout: "1 second",
  retry: { times: 3, backoff: { base: "10 millis" } },
  budget: {}
} as const

describe("Plan", () => {
  const traffic = Traffic.read(logOf(old))

  it("replays what was recorded through the description of then, within 2 % and 10 %", () => {
    const { after, before, doubts, recorded } = Plan.compare(old, old, traffic)
    expect(doubts).toEqual([])
    expect(recorded.calls).toBe(2000)
    expect(Math.abs(before.attempts / recorded.attempts - 1)).toBeLessThan(0.02)
    expect(Math.abs(before.p50 / recorded.p50 - 1)).toBeLessThan(0.1)
    expect(after).toEqual(before)
  })

  it("says what another description would have sent, and lost", () => {
    const { after, before } = Plan.compare(old, { ...old, retry: { times: 0 } }, traffic)
    expect(before.attempts).toBeGreaterThan(2150)
    expect(after?.attempts).toBe(2000)
    expect((after?.failed ?? 0) / 2000).toBeCloseTo(0.11, 1)
    expect(after?.failed).toBeGreaterThan(before.failed * 3)
  })

  it("counts the attempts of calls that would wait for ever", () => {
    const plain = { name: "ledger" }
    const cut = Traffic.read(Array.from({ length: 100 }, (_, i) =>
      line({
        time: new Date(began + i * 1000).toISOString(),
        durationMs: 50,
        outcome: i % 20 === 0 ? "interrupted" : "success"
      })))
    const { before, doubts, recorded } = Plan.compare(plain, plain, cut)
    expect(doubts).toEqual([])
    expect(before).toEqual({ ...recorded, p99: 3_600_000 })
  })

  it("does not judge where the log is of another description", () => {
    const { after, doubts } = Plan.compare({ ...old, retry: { times: 0 } }, old, traffic)
    expect(after).toBeUndefined()
    expect(doubts.join(" ")).toMatch(/attempts: \d+ recorded, 2000 replayed, .* % apart/)
  })

  it("does not judge where times are of another description", () => {
    const slower = { calls: traffic.calls.map((call) => ({ ...call, millis: call.millis * 1.2 })), unread: 0 }
    expect(Plan.compare(old, old, slower).doubts.join(" ")).toMatch(/^p50: .* at most 10 %/)
  })

  it("gives the same for the same seed", () => {
    expect(Plan.replay(old, traffic, 3)).toEqual(Plan.replay(old, traffic, 3))
    expect(Plan.replay(old, traffic, 3)).not.toEqual(Plan.replay(old, traffic, 4))
  })
})

describe("Traffic", () => {
  it("keeps nothing of a line but times and outcomes", () => {
    const secret = "s3cr3t"
    const traffic = Traffic.read([
      line({
        time: "2026-01-01T00:00:00Z",
        durationMs: 3,
        url: secret,
        call: secret,
        outcome: "failure",
        requestId: secret
      }),
      line({
        time: "2026-01-01T00:00:00Z",
        durationMs: 3,
        method: "GET",
        url: secret,
        answer: { status: 200, body: secret }
      }),
      `10.0.0.1 - ${secret} [01/Jan/2026:00:00:01 +0000] "GET /${secret} HTTP/1.1" 200 5 "-" "${secret}" 0.250`
    ])
    expect(traffic.calls.length).toBe(3)
    expect(JSON.stringify(traffic)).not.toContain(secret)
  })

  it.each([
    [
      "Envoy's",
      `[2026-01-01T00:00:00.500Z] "GET /a?b HTTP/1.1" 503 UF 0 91 42 - "-" "curl" "id" "ledger" "10.0.0.2:80"`,
      { atMillis: 0, millis: 42, outcome: "transient" }
    ],
    [
      "Istio's",
      `[2026-01-01T00:00:00.500Z] "POST /a HTTP/2" 503 UF upstream_reset - "-" 0 91 42 40 "-" "curl" "id" "ledger" "x"`,
      { atMillis: 0, millis: 42, outcome: "permanent" }
    ],
    [
      "nginx's",
      `10.0.0.1 - - [01/Jan/2026:01:00:01 +0100] "GET /a HTTP/1.1" 200 5 "-" "curl/8" 0.250`,
      { atMillis: 0, millis: 250, outcome: "good" }
    ],
    [
      "nginx's JSON",
      line({ time_iso8601: "2026-01-01T00:00:01+00:00", request_method: "GET", status: "499", request_time: "1.5" }),
      { atMillis: 0, millis: 1500, outcome: "cut" }
    ],
    [
      "a recording's",
      line({
        time: "2026-01-01T00:00:00Z",
        durationMs: 7,
        method: "GET",
        answer: { status: 429, headers: {}, body: {} }
      }),
      { atMillis: 0, millis: 7, outcome: "transient" }
    ],
    [
      "a JSON logger's",
      line({ message: "x", annotations: { time: "2026-01-01T00:00:00Z", durationMs: 7, outcome: "success" } }),
      { atMillis: 0, millis: 7, outcome: "good" }
    ]
  ])("reads %s lines", (_, text, attempt) => {
    expect(Traffic.read([text])).toEqual({
      unread: 0,
      calls: [{ atMillis: 0, millis: attempt.millis, good: attempt.outcome === "good", attempts: [attempt] }]
    })
  })

  it("takes the finer one of nginx's two times", () => {
    const { calls } = Traffic.read([0, 250, 500].map((millis) =>
      line({
        time_iso8601: "2026-01-01T00:00:01+00:00",
        msec: `${(began + 1000 + millis) / 1000}`,
        request_time: "0.05",
        status: "200"
      })
    ))
    expect(calls.map(({ atMillis }) => Math.round(atMillis))).toEqual([0, 250, 500])
  })

  it("counts what it cannot read", () => {
    expect(Traffic.read(["nonsense", "{", "{}", "", `{"a":"${"x".repeat(100_000)}"}`])).toEqual({
      calls: [],
      unread: 4
    })
  })

  it("takes a method or a reason that is no text for none", () => {
    const time = "2026-01-01T00:00:00Z"
    const { calls, unread } = Traffic.read([
      line({ time, durationMs: 12, status: 503, method: { toString: 1 } }),
      line({ time, durationMs: 12, outcome: "failure", error: { reason: { toString: 1 } }, recovery: "Retry" })
    ])
    expect(unread).toBe(0)
    expect(calls.flatMap(({ attempts }) => attempts.map(({ outcome }) => outcome))).toEqual(["transient", "transient"])
  })
})

describe("Proposal", () => {
  const exchanges = (count: number, of: (i: number) => object) =>
    Traffic.read(
      Array.from({ length: count }, (_, i) => line({ time: new Date(began + i * 100).toISOString(), ...of(i) }))
    )

  it("proposes a limit with its false-timeout rate, and none where it is as good", () => {
    const traffic = exchanges(1000, (i) => ({ status: 200, durationMs: 10 + i % 90 }))
    const [limit] = Proposal.from({ name: "ledger", attemptTimeout: 50 }, traffic)
    expect(limit).toMatchObject({ path: ["attemptTimeout"], from: 50, to: 150 })
    expect(limit?.reason).toMatch(/150 ms would have cut off 0 % of them, 50 ms cuts off 5\d(\.\d+)? %/)
    const good = { name: "ledger", attemptTimeout: 150, bulkhead: { permits: 3 } }
    expect(Proposal.from(good, traffic)).toEqual([])
  })

  it("proposes a hedge only where a second attempt is likely to be quicker", () => {
    const of = (share: number) =>
      Proposal.from(
        { name: "ledger" },
        exchanges(1000, (i) => ({ status: 200, durationMs: i % 100 < share ? 2000 : 20 }))
      ).map(({ path }) => path.join("."))
    expect(of(2)).toContain("hedge")
    expect(of(0)).not.toContain("hedge")
  })

  it("proposes a budget from the usual rate of failures, and nothing from few calls", () => {
    const traffic = exchanges(1000, (i) => ({ status: i % 50 === 0 ? 503 : 200, durationMs: 20 }))
    const proposed = Proposal.from({ name: "ledger", retry: {}, budget: { ratio: 1 } }, traffic)
    expect(proposed).toContainEqual(expect.objectContaining({ path: ["budget", "ratio"], from: 1, to: 0.05 }))
    expect(Proposal.from({ name: "ledger", retry: {} }, exchanges(100, () => ({ status: 200, durationMs: 1 }))))
      .toEqual([])
  })
})
