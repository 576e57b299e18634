import type * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as Preview from "@effect-resilience/retry/Preview"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as ExitStatus from "../../ExitStatus.ts"
import { printOutput } from "../commandOutput.ts"
import { CannotWrite, InvalidOption } from "../runtime.ts"
import * as words from "../words.ts"

const policies = {
  standard: RetryPolicy.standard,
  basic: RetryPolicy.basic,
  aws: RetryPolicy.aws,
  aws2026: RetryPolicy.aws2026,
  dynamodb2026: RetryPolicy.dynamodb2026,
  google: RetryPolicy.google,
  polly: RetryPolicy.polly,
  grpc: RetryPolicy.grpc,
  // The former name of basic, for scripts. The next version no longer knows it.
  howTo: RetryPolicy.basic
} as const

type Name = keyof typeof policies

const names: ReadonlyArray<Name> = [
  "standard",
  "basic",
  "aws",
  "aws2026",
  "dynamodb2026",
  "google",
  "polly",
  "grpc"
]

const kindNames = ["transient", "throttled", "overloaded", "expired"] as const

const flags = {
  policies: Argument.Literals("policy", [...names, "howTo"]).pipe(
    Argument.withDescription("Which policies to explain (default all)"),
    Argument.variadic()
  ),
  kind: Flag.Literals("kind", kindNames).pipe(
    Flag.withDescription("Which kind of failure all attempts end with"),
    Flag.withDefault("transient")
  ),
  seed: Flag.Int("seed").pipe(Flag.withDescription("The seed of the delays"), Flag.withDefault(1)),
  samples: Flag.Int("samples").pipe(
    Flag.filter((count) => count >= 1 && count <= 1_000_000, () => "Expected a number from 1 to 1000000"),
    Flag.withDescription("How many calls to simulate"),
    Flag.withDefault(10_000)
  ),
  svg: Flag.String("svg").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Also write a picture of one policy"),
    Flag.optional
  )
}

export const explain = Command.make(
  "explain",
  flags,
  ({ kind, policies: chosen, samples, seed, svg }) =>
    Effect.gen(function*() {
      const shown = (chosen.length === 0 ? names : chosen).map((name) => ({
        name,
        policy: policies[name],
        preview: Preview.make(policies[name], { samples, seed, kind })
      }))
      const written = yield* Effect.transposeOption(Option.map(svg, (path) => draw(path, shown)))
      return {
        json: { samples, seed, kind, policies: shown.map(({ name, preview }) => ({ name, ...toJson(preview) })) },
        text: [
          ...shown.flatMap(({ name, policy, preview }) => [
            `${name}: ${describe(policy)}`,
            "",
            ...Preview.table(preview).split("\n"),
            "",
            ...Preview.plot(preview).split("\n"),
            ""
          ]),
          ...Option.match(written, { onNone: () => [], onSome: (path) => [`Picture: ${path}`] })
        ],
        exitStatus: ExitStatus.done
      }
    }).pipe(printOutput)
).pipe(
  Command.withDescription("Show how long the shipped retry policies wait, as tables and plots"),
  Command.withExamples([
    { command: "tbm-studio explain standard basic", description: "Compare two policies" },
    { command: "tbm-studio explain aws --svg aws.svg", description: "Draw one" }
  ])
)

interface Shown {
  readonly name: Name
  readonly preview: Preview.Preview
}

const draw = Effect.fnUntraced(function*(path: string, shown: ReadonlyArray<Shown>) {
  const [only, another] = shown
  if (only === undefined || another !== undefined) {
    return yield* new InvalidOption({ message: "--svg draws one policy: name it, as in explain standard --svg FILE." })
  }
  const fs = yield* FileSystem.FileSystem
  yield* Effect.mapError(
    fs.writeFileString(path, Preview.svg(only.preview, `${only.name}: waits before each retry`)),
    ({ reason }) =>
      wrongName.has(reason._tag)
        ? new InvalidOption({ message: `--svg ${path} cannot be written: ${words.ofSystem(reason)}.` })
        : new CannotWrite({ message: `--svg ${path} cannot be written: ${reasonOf(reason)}.` })
  )
  return path
})

const wrongName = new Set(["NotFound", "PermissionDenied", "BadResource", "BadArgument"])

const reasonOf = (reason: { readonly _tag: string; readonly cause?: unknown }): string =>
  reason.cause instanceof Error ? reason.cause.message : reason._tag

const describe = (
  { attemptTimeout, backoff, clampRetryAfter, kinds = {}, maxDuration, maxRetryAfter, times }: Policy
) =>
  [
    Number.isFinite(times) ? `${times} retries` : "retries without end",
    describeBackoff(backoff),
    ...kindNames.flatMap((kind) => {
      const ofKind = kinds[kind]?.backoff
      return ofKind === undefined ? [] : [`${kind}: ${describeBackoff(Backoff.field.read(ofKind, kind).backoff)}`]
    }),
    ...(isFinite(maxDuration) ? [`${format(maxDuration)} in all`] : []),
    ...(attemptTimeout === undefined ? [] : [`${format(attemptTimeout)} an attempt`]),
    clampRetryAfter === undefined
      ? `Retry-After up to ${format(maxRetryAfter)}`
      : `Retry-After up to ${format(clampRetryAfter)} more`
  ].join("; ")

const describeBackoff = (backoff: Backoff.Backoff): string => {
  if (!Backoff.isExponential(backoff)) return JSON.stringify(backoff)
  const { base, cap, factor, jitter } = backoff
  const growth = factor === 1 ? "constant" : `growing by ${factor}`
  return `from ${format(base)} ${growth}${isFinite(cap) ? ` to ${format(cap)}` : ""}, ${describeJitter(jitter)}`
}

const describeJitter = (jitter: Backoff.Jitter): string => {
  if (jitter === "none") return "without jitter"
  if (typeof jitter === "number") return `jitter of ±${jitter * 100} %`
  return `${typeof jitter === "string" ? jitter : JSON.stringify(jitter)} jitter`
}

const format = (duration: Duration.Input): string => Duration.format(Duration.fromInputUnsafe(duration))

const isFinite = (duration: Duration.Input): boolean => Duration.isFinite(Duration.fromInputUnsafe(duration))

type Policy = RetryPolicy.RetryPolicy<Timeout.TimedOut>

const toJson = ({ retries, scale, total }: Preview.Preview) => ({
  scaleMs: Duration.toMillis(scale),
  total: inMillis(total),
  retries: retries.map(({ made, ...waits }) => ({ made, ...inMillis(waits) }))
})

const inMillis = ({ max, median, min, p25, p5, p75, p95 }: Omit<Preview.Distribution, "histogram">) => ({
  minMs: Duration.toMillis(min),
  p5Ms: Duration.toMillis(p5),
  p25Ms: Duration.toMillis(p25),
  medianMs: Duration.toMillis(median),
  p75Ms: Duration.toMillis(p75),
  p95Ms: Duration.toMillis(p95),
  maxMs: Duration.toMillis(max)
})
