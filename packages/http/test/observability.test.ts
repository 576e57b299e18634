import { AccessLog, ErrorMapping, HttpRetry, Operation, Telemetry } from "@effect-resilience/http"
import { AttemptBudget, Backoff, PolicyMetrics, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric, Predicate, Schema } from "effect"
import { Yaml } from "effect/encoding"
import { HttpClient, HttpClientResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import { readFileSync } from "node:fs"

const file = (name: string) => readFileSync(new URL(`../observability/${name}`, import.meta.url), "utf8")

const Dashboard = Schema.fromJsonString(Schema.Struct({
  title: Schema.String,
  panels: Schema.Array(Schema.Struct({
    title: Schema.String,
    targets: Schema.Array(Schema.Struct({ expr: Schema.String, legendFormat: Schema.String }))
  }))
}))

const Alerts = Schema.Struct({
  groups: Schema.Array(Schema.Struct({
    name: Schema.String,
    rules: Schema.Array(Schema.Struct({ alert: Schema.String, expr: Schema.String, for: Schema.String }))
  }))
})

/** What Prometheus sees after a program in which everything happened once: each sample's name, and its labels. */
const scraped = Effect.gen(function*() {
  let n = 0
  const flaky = HttpClient.make((request) =>
    Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(null, { status: ++n % 3 === 0 ? 200 : 503 })))
  )
  const client = flaky.pipe(
    ErrorMapping.mapErrors(),
    Telemetry.observeAttempts,
    AccessLog.logAttempts,
    HttpRetry.retry(RetryPolicy.make({ times: 1, backoff: Backoff.immediate })),
    HttpClient.transformResponse(Telemetry.observeCall)
  )
  const call = Operation.within(client.get("https://a.example/x"), { name: "read", endpoint: "/x" })
  yield* Effect.replicateEffect(Effect.ignore(call), 3)
  yield* Effect.ignore(Telemetry.observeCall(Effect.fail("refused")))
  yield* PolicyMetrics.sample([
    { name: "c", snapshot: Effect.succeed({ _tag: "Open" }) },
    { name: "b", kind: "Bulkhead", snapshot: Effect.succeed({ permits: 1, running: 1, waiting: 1, rejected: 1 }) },
    {
      name: "r",
      kind: "CircuitBreaker",
      snapshot: Effect.succeed({ failureRate: 1, slowRate: 1, probability: 1, inFlight: 1 })
    },
    { name: "e", snapshot: Effect.succeed({ healthy: 1, ejected: 1, hedges: 1, winners: 1 }) },
    {
      name: "s",
      kind: "bulkhead",
      snapshot: Effect.succeed({ agreed: 1, wouldHaveRejected: 1, wouldHaveAdmitted: 1 })
    },
    yield* AttemptBudget.make({ name: "a" }),
    { name: "t", snapshot: Effect.succeed({ logins: 1, failures: 1 }) }
  ])
  const labels = new Map<string, Set<string>>()
  for (const line of (yield* PrometheusMetrics.format()).split("\n")) {
    const [, name, list = ""] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? []
    if (name === undefined) continue
    const known = labels.get(name) ?? new Set<string>()
    for (const [, label] of list.matchAll(/([a-z_]+)="/g)) if (label !== undefined) known.add(label)
    labels.set(name, known)
  }
  return labels
}).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))

const functions = new Set(["sum", "by", "rate", "increase", "max", "min", "le", "histogram_quantile"])

/** A name after the way from OTLP to Prometheus: units and, for counters, `_total` are appended. */
const translated = (name: string): string => {
  const [, base = name, suffix = ""] = /^(.*?)((?:_bucket|_count|_sum)?)$/.exec(name) ?? []
  if (suffix !== "") return base.endsWith("_duration") ? `${base}_seconds${suffix}` : name
  return /_(?:retries|stopped|rejections|logins|hedges|won|decisions)$/.test(base) ? `${base}_total` : `${base}_ratio`
}

/** The metrics in a PromQL expression that do not exist, and the labels that their metrics do not have. */
const unknownNames = (expr: string, samples: ReadonlyMap<string, ReadonlySet<string>>): ReadonlyArray<string> => {
  const selectors = [...expr.matchAll(/__name__=~"([^"]*)"/g)].map(([, pattern = ""]) => new RegExp(`^(?:${pattern})$`))
  const metrics = selectors.map((selector) => [...samples.keys()].filter((name) => selector.test(name)))
  const labels = new Set(metrics.flat().flatMap((name) => [...samples.get(name) ?? []]))
  const names = [...expr.replace(/"[^"]*"/g, "").replace(/\[[^\]]*\]/g, "").matchAll(/\b[a-z_]+\b/g)].map(([name]) =>
    name
  )
  return [
    ...(selectors.length === 0 ? [`no metric in ${expr}`] : []),
    ...selectors.flatMap((selector, i) => {
      const [name, ...others] = metrics[i] ?? []
      return name !== undefined && others.length === 0 && selector.test(translated(name)) ? [] : [selector.source]
    }),
    ...names.filter((name) => !functions.has(name) && !labels.has(name) && name !== "__name__")
  ]
}

describe("observability", () => {
  it.effect("has a dashboard that names only metrics and labels that exist, as either exporter calls them", () =>
    Effect.gen(function*() {
      const samples = yield* scraped
      const { panels } = yield* Schema.decodeUnknownEffect(Dashboard)(file("dashboard.json"))
      assert.isAbove(panels.length, 10)
      for (const { targets, title } of panels) {
        assert.isAbove(targets.length, 0)
        for (const { expr, legendFormat } of targets) {
          assert.deepStrictEqual([title, unknownNames(expr, samples)], [title, []])
          const grouped = /by \(([a-z_, ]+)\)/.exec(expr)?.[1]?.split(", ") ?? []
          for (const [, label] of legendFormat.matchAll(/\{\{([a-z_]+)\}\}/g)) assert.include(grouped, label)
        }
      }
    }))

  it.effect("has alerts that name only metrics and labels that exist, as either exporter calls them", () =>
    Effect.gen(function*() {
      const samples = yield* scraped
      const parsed = Yaml.parse(file("alerts.yaml"))
      const { groups } = yield* Schema.decodeUnknownEffect(Alerts)(parsed)
      const rules = groups.flatMap((group) => group.rules)
      assert.isAbove(rules.length, 5)
      for (const { alert, expr } of rules) assert.deepStrictEqual([alert, unknownNames(expr, samples)], [alert, []])
    }))

  it.effect("shows every metric on the dashboard", () =>
    Effect.gen(function*() {
      const text = file("dashboard.json")
      for (const metric of [...Object.values(Telemetry), ...Object.values(PolicyMetrics)]) {
        if (!Predicate.hasProperty(metric, "id") || typeof metric.id !== "string") continue
        assert.include(text, metric.id.replaceAll(".", "_"))
      }
      assert.isAbove((yield* scraped).size, 0)
    }))
})
