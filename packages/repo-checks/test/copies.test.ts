import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { portable } from "../src/Architecture.ts"
import { publicPackages, root, scope } from "../src/Workspace.ts"

const program = `
import { Cause, Duration, Effect, Exit, Logger, References } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { deepStrictEqual as equal } from "node:assert"
import { createRequire } from "node:module"

const load = async (copy, name) => import(createRequire(new URL(copy + "/from.js", import.meta.url)).resolve("${scope}" + name))
const both = async (name) => [await load("a", name), await load("b", name)]
const [errors, otherErrors] = await both("errors")
const [retry, otherRetry] = await both("retry")
const [deadline, otherDeadline] = await both("deadline")
const [limit, otherLimit] = await both("limit")
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

// instanceof, also in the program's own code.
seen.known = [
  busy instanceof otherErrors.ApiError.ApiError,
  failure instanceof otherDeadline.Deadline.DeadlineExceeded,
  Cause.squash(rejected.cause) instanceof otherLimit.CircuitBreaker.CircuitOpen,
  new Error() instanceof otherErrors.ApiError.ApiError
]

// A client of one copy, within the middleware, the policies and the context of the other.
const [http, otherHttp] = await both("http")
const [client, otherClient] = await both("client")
const statuses = [503, 200, 401]
const sent = []
const transport = HttpClient.make((request) =>
  Effect.sync(() => {
    sent.push(request.headers)
    return HttpClientResponse.fromWeb(request, new Response("{}", { status: statuses.shift() ?? 500 }))
  })
)
const records = []
const logged = Logger.make(({ fiber, message }) => void records.push({ message, ...fiber.getRef(References.CurrentLogAnnotations) }))
const single = { pipeline: { retry: { times: 1, backoff: { base: 0 } } }, baseUrl: "https://a.example.com" }
const run = (use) =>
  client.ResilientClient.make({ name: "a", ...single }).pipe(
    Effect.flatMap(use),
    Effect.provideService(HttpClient.HttpClient, transport)
  )
const around = (self) => self.pipe(
  otherHttp.AccessLog.logCall,
  otherHttp.Operation.within({ name: "read", endpoint: "/secret/{id}" }),
  otherDeadline.Deadline.withDeadline("5 seconds"),
  Effect.provide([otherHttp.AccessLog.layerLogger, Logger.layer([logged])])
)
const response = await Effect.runPromise(run((a) => around(a.get("/secret/17"))))
seen.status = response.status
seen.sent = sent.length
seen.deadline = sent.every((headers) => Object.entries(headers).some(([name, value]) => name.includes("timeout") || name.includes("deadline")))
seen.lines = records.map(({ message }) => /(attempt|call of) \\d .*?\\d{3} /.exec([message].flat().join(" "))?.[0])
const denied = await Effect.runPromise(Effect.flip(run((a) => a.get("/secret/17"))))
seen.denied = [denied instanceof otherErrors.ApiError.ApiError, otherErrors.Recovery.describe(otherErrors.Recovery.of(denied))]

// What is shown of one copy is what the other was told.
const { Redaction } = otherHttp
seen.redaction = await Effect.runPromise(
  Effect.map(http.Redaction.Current, ({ query }) => [...query]).pipe(Redaction.provide(Redaction.make({ query: ["shown"] })))
)

// A client of one copy as the transport of the other: errors are mapped once, and attempts stay what they are.
statuses.push(503, 503, 503, 503, 503, 503)
const outer = otherClient.ResilientClient.make({ name: "b", ...single })
const inner = sent.length
const both2 = await Effect.runPromise(run((a) =>
  Effect.flip(Effect.flatMap(outer, (b) => b.get("/secret/17")).pipe(Effect.provideService(HttpClient.HttpClient, a)))
))
seen.nested = [both2._tag, both2.reason?._tag, both2.reason?.status, sent.length - inner]
console.log(JSON.stringify(seen))
`

it("works beside another copy of itself in one program", () => {
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
      pipeline: 3,
      known: [true, true, true, false],
      status: 200,
      sent: 2,
      deadline: true,
      lines: [
        "attempt 1 GET /secret/{id} 503 ",
        "attempt 2 (after ServiceUnavailable) GET /secret/{id} 200 ",
        "call of 2 GET /secret/{id} 200 "
      ],
      denied: [true, "log in again"],
      redaction: ["shown"],
      nested: ["ApiError", "ServiceUnavailable", 503, 4]
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

/** `Module.Class` for each class that a module exports, with what it extends. */
const classes = new Map(
  publicPackages().flatMap(({ modules, name }) =>
    modules.filter(({ path }) => !path.startsWith("internal/")).flatMap(({ code, path }) =>
      [...code.matchAll(/^export class (\w+)(?:<.*?>)?(?:\s+extends\s+([\w.]+))?/gm)].map((
        [, exported = "", base = ""]
      ) => [`${name}: ${path.replace(/\.ts$/, "")}.${exported}`, base] as const)
    )
  )
)

const crosses = ["ErrorMessage.TaggedError", "Rejection.TaggedError"]

it("asks by instanceof only for classes that know those of another copy", () => {
  expect(classes.size).toBeGreaterThan(50)
  // A command is alone in its process, and workflows rebuild this error from JSON in the process that asks.
  const exempt = ["tbm-studio-cli: ", "upload: DurableUpload.DurableFailure"]
  const found = publicPackages().flatMap(({ modules, name }) =>
    modules.flatMap(({ code, path }) =>
      [...code.matchAll(/instanceof (?:(\w+)\.)?(\w+)/g)].flatMap(([, module, asked = ""]) => {
        const own = path.replace(/\.ts$/, "")
        return [...classes].filter(([known, base]) =>
          known.endsWith(`: ${module ?? own}.${asked}`) && (module !== undefined || known.startsWith(`${name}: `)) &&
          !crosses.includes(base) && !exempt.some((one) => known.startsWith(one))
        ).map(([known]) => `packages/${name}/src/${path} asks for ${known}`)
      })
    )
  )
  expect([...new Set(found)]).toEqual([])
})

it("has errors that are printed with their message, under the name of their class", () => {
  const errors = publicPackages().filter(({ manifest, name }) =>
    name === "kernel" || manifest.dependencies?.[`${scope}kernel`] !== undefined
  ).flatMap(({ modules, name }) =>
    modules.flatMap(({ code, path }) =>
      [...code.matchAll(
        /@category errors\n(?: \*.*\n)*? \*\/\nexport class (\w+)\s+extends\s+([\w.]+)\([^]*?(?=\n\})/g
      )].map((
        [text, exported = "", base = ""]
      ) => ({ error: `packages/${name}/src/${path} ${exported}`, base, hidesName: text.includes("readonly name:") }))
    )
  )
  expect(errors.length).toBeGreaterThan(30)
  // Workflows rebuild the one of Schema from JSON.
  expect(errors.filter(({ base }) => ![...crosses, "Schema.TaggedError"].includes(base))).toEqual([])
  expect(errors.filter(({ hidesName }) => hidesName)).toEqual([])
})
