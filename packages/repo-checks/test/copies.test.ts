import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { portable } from "../src/Architecture.ts"
import { publicPackages, root, scope } from "../src/Workspace.ts"

const program = `
import { Cause, Duration, Effect, Exit } from "effect"
import { deepStrictEqual as equal } from "node:assert"
import { createRequire } from "node:module"

const load = async (copy, name) => import(createRequire(new URL(copy + "/from.js", import.meta.url)).resolve("${scope}" + name))
const both = async (name) => [await load("a", name), await load("b", name)]
const [errors, otherErrors] = await both("errors")
const [retry, otherRetry] = await both("retry")
const [deadline, otherDeadline] = await both("deadline")
const [limit] = await both("limit")
const [, otherPipeline] = await both("pipeline")
equal(errors.ApiError === otherErrors.ApiError, false)

const busy = new errors.ApiError.ApiError({
  method: "GET",
  endpoint: "/",
  reason: errors.ApiError.reasonFromStatus(503, {})
})
const seen = {}

// What to do about an error of the other copy, and its tag.
seen.recovery = otherErrors.Recovery.describe(otherErrors.Recovery.of(busy)) ===
  errors.Recovery.describe(errors.Recovery.of(busy))
seen.tag = await Effect.runPromise(
  Effect.fail(busy).pipe(Effect.catchTag("ApiError", (error) => Effect.succeed(error.reason._tag)))
)

// A policy of one copy, in a loop of the other, around an error of the first.
let calls = 0
const policy = retry.RetryPolicy.make({ times: 2, backoff: retry.Backoff.immediate })
await Effect.runPromise(
  Effect.suspend(() => ++calls < 3 ? Effect.fail(busy) : Effect.void).pipe(otherRetry.RetryPolicy.retry(policy))
)
seen.calls = calls

// A deadline of one copy bounds the other.
seen.remaining = await Effect.runPromise(
  deadline.Deadline.withDeadline(
    Effect.map(otherDeadline.Deadline.remaining, (left) => Duration.toMillis(left) <= 3_600_000),
    "1 hour"
  )
)
const exit = await Effect.runPromiseExit(
  deadline.Deadline.withDeadline(otherDeadline.Deadline.withDeadline(Effect.never, "1 hour"), "1 milli")
)
const failure = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
seen.exceeded = failure?._tag

// A rejection of one copy is one for the other: the call was not asked.
const breaker = await Effect.runPromise(limit.CircuitBreaker.make({ name: "a" }))
await Effect.runPromise(breaker.isolate)
const rejected = await Effect.runPromiseExit(limit.CircuitBreaker.withCircuitBreaker(Effect.void, breaker))
seen.rejected = Exit.isFailure(rejected) ? otherErrors.NotAsked.symbol in Cause.squash(rejected.cause) : "no failure"

const pipeline = await Effect.runPromise(otherPipeline.Pipeline.make({ name: "p", retry: policy }))
calls = 0
await Effect.runPromise(
  Effect.suspend(() => ++calls < 3 ? Effect.fail(busy) : Effect.void).pipe(otherPipeline.Pipeline.withPipeline(pipeline))
)
seen.pipeline = calls
console.log(JSON.stringify(seen))
`

it("works beside another copy of itself in one program", { timeout: 60_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), "copies-"))
  try {
    for (const copy of ["a", "b"]) {
      for (const name of portable) {
        const target = join(dir, copy, "node_modules", scope + name)
        cpSync(join(root, "packages", name, "dist"), join(target, "dist"), { recursive: true })
        cpSync(join(root, "packages", name, "package.json"), join(target, "package.json"))
      }
    }
    mkdirSync(join(dir, "node_modules"))
    symlinkSync(join(root, "node_modules/effect"), join(dir, "node_modules/effect"), "dir")
    writeFileSync(join(dir, "program.mjs"), program)
    const seen = execFileSync(process.execPath, ["program.mjs"], { cwd: dir, encoding: "utf8" })
    expect(JSON.parse(seen.trim().split("\n").at(-1) ?? "")).toEqual({
      recovery: true,
      tag: "ServiceUnavailable",
      calls: 3,
      remaining: true,
      exceeded: "DeadlineExceeded",
      rejected: true,
      pipeline: 3
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

it("has no symbol that another copy does not know", () => {
  const found = publicPackages().flatMap(({ modules, name }) =>
    modules.filter(({ code }) => /(?<![\w.])Symbol\(/.test(code)).map(({ path }) => `packages/${name}/src/${path}`)
  )
  expect(found).toEqual([])
})
