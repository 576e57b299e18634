// Each anti-pattern of each README, and the rule of the lint that shows it, or why no description can.
import { Lint } from "@effect-resilience/lab"
import { readdirSync, readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"

// Why no description shows it.
const code = "it is in code that calls, wraps or handles"
const operation = "it is in how something is run or called by people"
const server = "only who knows the server can see it"
const layers = "it is in how many instances or layers a program makes"

type Shown = { readonly rule: string } | typeof code | typeof operation | typeof server | typeof layers

const rule = (rule: string): Shown => ({ rule })

/** By the beginning of each. */
const shown: { readonly [readme: string]: { readonly [begins: string]: Shown } } = {
  auth: {
    "Retrying `Rejected`": code,
    "Calling `forgetFailures`": code,
    "`HttpClient.followRedirects` inside": code,
    "Logging the `HttpClientError`": code,
    "Two caches for one account": layers,
    "A new token after a 403": code
  },
  chaos: {
    "Only killing the server": operation,
    "Faults above retries": code,
    "Only failing before the call": operation,
    "A test without a `seed`": code,
    "Sleeping until bytes": code,
    "`delay` of a relay": code,
    "A relay before production": operation
  },
  client: {
    "`pipeline: { retry: { times: 1 } }`": rule("replacedWhole"),
    "An SDK's own retries": code,
    "A retry around a stream": code,
    "An `EventStream` of a language model": code,
    "`EventStream` with the default `timeouts`": rule("streamUnderTotal"),
    "A retry, a breaker or a timeout around the client": rule("attemptsMultiply"),
    "A large file read": rule("streamUnderTotal"),
    "A `concurrencyLimit` for streams": rule("streamUnderTotal"),
    "`idempotency: { key: true }`": server
  },
  deadline: {
    "A timeout around a retry": rule("noDeadline"),
    "A `Timeout` around a stream": code,
    "A `Deadline.withDeadline` per layer": layers,
    "`Deadline.Current` provided": code,
    "`Timeout` around a call to Redis": code,
    "Background work forked": code
  },
  errors: {
    "Matching on `message`": code,
    "Keeping the request": code,
    "`Retry` for a request": code,
    "Foreign text": code
  },
  http: {
    "`HttpRetry.retry` with `retryWhen`": code,
    "`HttpRetry.retry` without": code,
    "`caller: () =>": code,
    "Retrying by status": code,
    "`repeatUnsafe` as a habit": code,
    "Names in `endpoint`": server,
    "A deny-list of headers": code,
    "Logging an `HttpClientError`": code
  },
  lab: {
    "Judging a policy with one process": operation,
    "Believing one seed": operation,
    "Simulating a server that drops": server
  },
  limit: {
    "Policies in an order of your own": rule("breakerOutsideRetry"),
    "A partial breaker for errors of one kind": server,
    "A permit without a scope": code,
    "`reset` as the end": operation,
    "An instance for each call": layers,
    "A long queue": rule("longQueue"),
    "CoDel with a target": rule("codelTarget"),
    "A retry inside `Endpoints.use`": code,
    "A name of a load balancer": server,
    "One breaker for many servers": rule("sharedBreaker"),
    "The book's throttle": rule("endlessThrottle"),
    "A burst as large as the limit": rule("pacerBurst"),
    "Reserving the largest": code,
    "A fallback for every error": code,
    "A coalescing key": code
  },
  node: {
    "`NODE_TLS_REJECT_UNAUTHORIZED=0`": operation,
    "A proxy address": code,
    "Reading only the status": code,
    "Unbounded `connections`": code,
    "A `HashingThreads` layer": layers,
    "`smallest: 0`": code,
    "More threads than": code,
    "`LocalFileSystem` for files": operation,
    "`LocalFileSystem` in a server": operation,
    "A network call inside": code
  },
  pipeline: {
    "A pipeline for each call": layers,
    "A shadow that stays": operation,
    "`StatusApi` as a liveness": operation,
    "Retrying around a pipeline": rule("attemptsMultiply"),
    "A pipeline around the effect": code,
    "A retry over errors": code,
    "`hedge` with `idempotent: true`": rule("hedgedWrites"),
    "`retry` with `attemptTimeout`": server
  },
  retry: {
    "Retrying a write": server,
    "Retrying at two layers": rule("attemptsMultiply"),
    "A budget per call site": layers,
    "`classify: () => Recovery.retry`": code,
    "Hedging writes": rule("hedgedWrites"),
    "Hedging a server that is slow": rule("wideHedge"),
    "A hedge with `after`": rule("eagerHedge"),
    "`quota` with a policy": rule("quotaWithoutCost"),
    "A budget for each process": rule("floorWithoutProcesses"),
    "`kinds: { expired: {} }`": rule("doubleLogin"),
    "A `list` or a `custom` delay": rule("noJitter"),
    "A `cost` above": rule("costAboveBurst"),
    "`retryWhen` to wait": rule("shortPolling"),
    "`retryWhen` for a call": code,
    "`times: Infinity`": rule("endlessRetry"),
    "`attemptTimeout` around": server
  },
  "tbm-simulator": {
    "The simulator on a network": operation,
    "A test that reads back": code,
    "An option's default": operation
  },
  "tbm-studio": {
    "Do not upload with": code,
    "Do not run a failed": operation,
    "Do not retry a rejected": code
  },
  "tbm-studio-cli": {
    "Do not run a failed": operation,
    "Do not put `--unknown`": operation,
    "Do not retry a rejected": operation,
    "Do not put keys": operation,
    "Do not move a journal": operation
  },
  upload: {
    "A `RetryPolicy` on the target": layers,
    "`oneShot` for what": code,
    "Declaring an `append`": code,
    "Treating `verified: false`": code,
    "A journal's `place`": code,
    "A slow `onEvent`": code
  }
}

const packages = new URL("../../", import.meta.url)

const antiPatternsOf = (readme: string): ReadonlyArray<string> => {
  const [, section = ""] = readme.split(/^## Anti-patterns$/m)
  const [list = ""] = section.split(/^## /m)
  return list.split(/^- /m).slice(1).map((item) => item.replaceAll("**", ""))
}

const written = readdirSync(packages).flatMap((name) => {
  try {
    const items = antiPatternsOf(readFileSync(new URL(`${name}/README.md`, packages), "utf8"))
    return items.length === 0 ? [] : [[name, items] as const]
  } catch {
    return []
  }
})

describe("the anti-patterns of the READMEs", () => {
  it.each(written)("of %s are all known", (name, items) => {
    const known = Object.keys(shown[name] ?? {})
    expect(items.filter((item) => !known.some((begins) => item.startsWith(begins)))).toEqual([])
    expect(known.filter((begins) => !items.some((item) => item.startsWith(begins)))).toEqual([])
  })

  it("that a description shows have a rule, which a description trips", () => {
    const rules = Object.values(shown).flatMap((of) =>
      Object.values(of).flatMap((by) => typeof by === "string" ? [] : [by.rule])
    )
    const silent = [...new Set(rules)].filter((name) =>
      !Lint.check(Lint.allRules.find((rule) => rule.name === name)?.caught).some(({ rule }) => rule === name)
    )
    expect(silent).toEqual([])
    expect(rules.length).toBeGreaterThan(20)
  })
})
