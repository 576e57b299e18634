import { execFileSync } from "node:child_process"
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { root } from "../src/Workspace.ts"

/**
 * Somebody adds a jitter, delays, a kind of budget, a trip rule, a limit algorithm and a part of the pipeline: one new file and one
 * line each. The change is made in a copy of the sources and then used in every way that the ones that exist are used.
 */
const additions: ReadonlyArray<
  { readonly folder: string; readonly line: string; readonly file: string; readonly code: string }
> = [
  {
    folder: "retry/src/jitter",
    line: `export { halved } from "./halved.ts"\n`,
    file: "halved.ts",
    code: `import { grown, withoutOptions } from "../internal/delays.ts"

/** Half of the delay. */
export const halved = withoutOptions((growth) => (position) => grown(growth, position) / 2)
`
  },
  {
    folder: "retry/src/budgetKind",
    line: `export { first } from "./first.ts"\n`,
    file: "first.ts",
    code: `import * as Field from "@effect-resilience/kernel/Field"
import { Account } from "../internal/account.ts"

class First extends Account {
  constructor(left, name) {
    super(name)
    this.left = left
  }
  depositUnsafe() {}
  isIdle() {
    return false
  }
  look() {
    return { balance: this.left }
  }
  pay() {
    return this.left-- > 0
  }
}

const field = Field.map(Field.struct({ extra: Field.integer({ min: 0 }) }), ({ extra }) => (name) => new First(extra, name))

/** Only so many extra attempts, once and for all. */
export const first = Field.variant("AttemptBudget", "first", field)
`
  },
  {
    folder: "retry/src/delay",
    line: `export { squared } from "./squared.ts"\n`,
    file: "squared.ts",
    code: `import * as Field from "@effect-resilience/kernel/Field"
import { millisOf } from "../internal/delays.ts"

const field = Field.map(Field.duration({ finite: true }), (unit) => ({ retries }) => millisOf(unit) * (retries + 1) ** 2)

/** Once, four times and nine times the unit. */
export const squared = Field.variant("Backoff", "squared", field)
`
  },
  {
    folder: "limit/src/tripRule",
    line: `export { total } from "./total.ts"\n`,
    file: "total.ts",
    code: `import * as Field from "@effect-resilience/kernel/Field"
import { rule } from "../internal/tripRule.ts"

const field = Field.map(Field.integer({ min: 1 }), (failures) =>
  rule(() => {
    let seen = 0
    return { record: (failed) => failed && ++seen >= failures }
  }))

/** Opens after so many failures in all. */
export const total = Field.variant("CircuitBreaker", "total", field)
`
  },
  {
    folder: "limit/src/limitAlgorithm",
    line: `export { doubling } from "./doubling.ts"\n`,
    file: "doubling.ts",
    code: `import * as Field from "@effect-resilience/kernel/Field"
import { boundFields } from "../internal/limitWindow.ts"

const field = Field.map(Field.struct(boundFields), ({ initial }) => () => {
  let limit = initial
  return {
    get limit() {
      return limit
    },
    record: ({ dropped }) => {
      if (!dropped) limit *= 2
    }
  }
})

/** Doubles with each success. */
export const doubling = Field.variant("LimitAlgorithm", "doubling", field)
`
  },
  {
    folder: "pipeline/src/parts",
    line: `export { log } from "./log.ts"\n`,
    file: "log.ts",
    code: `import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Effect from "effect/Effect"
import * as Part from "../Part.ts"

/** Notes each attempt. */
export const log = Part.make({
  slot: "attempt",
  field: Field.struct({ to: Field.fn<(name: string) => void>() }),
  make: ({ to }, { name }) =>
    Effect.succeed({
      ...Policy.noop(undefined),
      execute: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.andThen(Effect.sync(() => to(name)), self),
      admitUnsafe: undefined
    })
})
`
  }
]

const script = `
import * as assert from "node:assert/strict"
import { Pipeline, PipelineDescription } from "@effect-resilience/pipeline"
import { Backoff, Preview, RetryPolicy } from "@effect-resilience/retry"
import { Effect, Metric } from "effect"

const attempts = []
const functions = { note: (name) => attempts.push(name) }
const json = {
  name: "ledger",
  metrics: true,
  retry: {
    times: 2,
    backoff: { base: "10 millis", jitter: "halved" },
    kinds: { overloaded: { backoff: { squared: "3 millis" } } }
  },
  budget: { first: { extra: 2 } },
  circuitBreaker: { tripPolicy: { total: 3 } },
  concurrencyLimit: { algorithm: { doubling: { initial: 2 } } },
  log: { to: "note" }
}
const failing = Effect.fail({ _tag: "Down", "~@effect-resilience/errors/Recovery": 0 })

const program = Effect.gen(function*() {
  const description = yield* PipelineDescription.decode(json, { functions })
  assert.deepEqual(yield* PipelineDescription.encode(description, { functions }), json)
  const ledger = yield* Pipeline.make(description, { classify: () => ({ _tag: "Retry", after: undefined }) })
  const { budget, concurrencyLimit, circuitBreaker } = yield* ledger.policies
  assert.equal((yield* concurrencyLimit.snapshot).limit, 2)
  yield* ledger.execute(Effect.void)
  assert.equal((yield* concurrencyLimit.snapshot).limit, 4)
  yield* Effect.exit(ledger.execute(Effect.fail("down")))
  assert.equal((yield* circuitBreaker.snapshot)._tag, "Open")
  assert.deepEqual(attempts, ["ledger", "ledger", "ledger", "ledger"])
  assert.equal((yield* budget.snapshot).balance, 0)
  assert.match(yield* ledger.describe, /jitter halved/)
  assert.match(yield* ledger.describe, /tripPolicy \\(total 3\\)/)
  const series = yield* Metric.snapshot
  assert.ok(series.some(({ attributes }) => attributes?.["resilience.policy"] === "ledger"))
  const overloaded = Preview.make(RetryPolicy.make(description.retry), { kind: "overloaded", samples: 1 })
  assert.deepEqual(overloaded.retries.map(({ max }) => String(max)), ["3 millis", "12 millis"])
  assert.deepEqual(Backoff.squared("1 second"), { squared: "1 second" })
  const [first] = Preview.make(RetryPolicy.make(description.retry)).retries
  return String(first.median)
})
console.log(await Effect.runPromise(program))
`

const copy = mkdtempSync(join(tmpdir(), "extension-"))

beforeAll(() => {
  const scope = join(copy, "node_modules", "@effect-resilience")
  mkdirSync(scope, { recursive: true })
  for (const name of ["kernel", "errors", "deadline", "retry", "limit", "pipeline"]) {
    mkdirSync(join(copy, "packages", name), { recursive: true })
    for (const part of ["src", "package.json"]) {
      cpSync(join(root, "packages", name, part), join(copy, "packages", name, part), { recursive: true })
    }
    symlinkSync(join(copy, "packages", name), join(scope, name))
  }
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (!name.startsWith("@effect-resilience") && !name.startsWith(".")) {
      symlinkSync(join(root, "node_modules", name), join(copy, "node_modules", name))
    }
  }
  for (const { code, file, folder, line } of additions) {
    writeFileSync(join(copy, "packages", folder, file), code)
    appendFileSync(join(copy, "packages", folder, "index.ts"), line)
  }
  writeFileSync(join(copy, "use.ts"), script)
})

afterAll(() => rmSync(copy, { recursive: true }))

it(
  "takes a new jitter, delay, kind of budget, trip rule, limit algorithm and part as one file and one line each",
  () => {
    const node = join(root, "node_modules", ".bin", "node")
    const printed = execFileSync(node, ["--conditions=@effect-resilience/source", "use.ts"], {
      cwd: copy,
      encoding: "utf8"
    })
    expect(printed.trim().split("\n").at(-1)).toBe("5 millis")
  }
)
