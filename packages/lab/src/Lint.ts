/**
 * Names mistakes in the description of a client or a pipeline, before it runs.
 *
 * **Why**
 *
 * Each option of a policy is sensible alone. Together they may repeat an order, keep a server down after its outage, or say something
 * that never happens. Most of that is arithmetic, and needs neither a server nor a simulation.
 *
 * **Details**
 *
 * - A description is that of a pipeline, of a client (it has a `baseUrl`), a list of pipelines, or one of two things around them:
 *   `{ layers: [gateway, ledger] }`, the outermost first, for what happens between layers; and the options of `Lab.simulate` with a
 *   `policy`, whose `processes`, `arrivals` and `server` are then known. It may be code or JSON; functions may be names.
 * - An error keeps an outage alive, repeats what must not be repeated, or contradicts itself. Advice may be wrong in a single case.
 *   Some rules give advice where they know too little, and errors where the world is known.
 * - A description that cannot be decoded has remarks of the rule `invalid` and no others.
 * - `path` has the keys from the root of what was given, so that an editor can show a remark where it belongs.
 *
 * **Example** (A budget that is harmless in one process)
 *
 * ```ts import.meta.vitest
 * import { Lint } from "@effect-resilience/lab"
 *
 * const ledger = { name: "ledger", attemptTimeout: "1 second", retry: {}, budget: { ratio: 0.2, minPerSecond: 10 } }
 * const [remark] = Lint.check(ledger, { processes: 20, capacity: 200, callsPerSecond: 100 })
 *
 * remark?.level // => "error"
 * remark?.path // => ["budget"]
 * remark?.arithmetic
 * // => "100 × 1.2 + 10 × 20 = 320 ≥ 200 a second; at most 0 % load survives an outage"
 * remark?.fix // => "Write `processes: 20`, which divides the floor."
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as ClientDescription from "@effect-resilience/client/ClientDescription"
import type * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import * as PipelineDescription from "@effect-resilience/pipeline/PipelineDescription"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as subject from "./internal/subject.ts"
import type { Path, Subject } from "./internal/subject.ts"
import { surroundings } from "./internal/surroundings.ts"
import * as rules from "./lintRule/index.ts"

/**
 * An error, or advice.
 *
 * @category models
 * @since 0.1.0
 */
export type Level = "error" | "advice"

/**
 * A mistake.
 *
 * @category models
 * @since 0.1.0
 */
export interface Remark {
  /** The rule that found it. */
  readonly rule: string
  /** How severe the rule is. */
  readonly level: Level
  /** The keys and indices to where it is written. */
  readonly path: ReadonlyArray<string | number>
  /** What is wrong. */
  readonly message: string
  /** Why it matters. */
  readonly why: string
  /** The numbers that show it; absent where there are none. */
  readonly arithmetic?: string | undefined
  /** What to write instead. */
  readonly fix: string
}

/**
 * What is known of the surroundings. What is left out is read from the options of a simulation, or not known.
 *
 * @category models
 * @since 0.1.0
 */
export interface World {
  /** How many processes have this description. */
  readonly processes?: number | undefined
  /** How many requests a second the server can take. */
  readonly capacity?: number | undefined
  /** How many calls a second all processes make together. */
  readonly callsPerSecond?: number | undefined
  /** How long the server takes for a request, on average. */
  readonly serviceMillis?: number | undefined
}

/**
 * A rule: its name, how severe it is, and why.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule {
  /** Names the rule in remarks. */
  readonly name: string
  /** How severe a finding is. */
  readonly level: Level
  /** Why it matters, in a sentence. */
  readonly why: string
  /** A description that the rule catches. */
  readonly caught: unknown
  /** The same without the mistake. */
  readonly clean: unknown
}

/**
 * All rules.
 *
 * @category constants
 * @since 0.1.0
 */
export const allRules: ReadonlyArray<Rule> = /* @__PURE__ */ Object.values(rules)

/**
 * Names the mistakes in a description: errors first, then advice.
 *
 * @category checking
 * @since 0.1.0
 */
export const check = (description: unknown, world: World = {}): ReadonlyArray<Remark> => {
  const { invalid, subjects } = read(plain(description), [], [], world)
  if (invalid.length > 0) return invalid
  const remarks = Object.values(rules).flatMap(({ check, level, name, why }) =>
    subjects.flatMap((subject) => check(subject)).map((finding): Remark => ({
      rule: name,
      level: finding.level ?? level,
      path: finding.path,
      message: finding.message,
      why,
      arithmetic: finding.arithmetic,
      fix: finding.fix
    }))
  )
  const seen = new Set<string>()
  // An operation has the policies of its client, and the client's mistakes once.
  const once = remarks.filter(({ path, rule }) => {
    const key = JSON.stringify([rule, path])
    return !seen.has(key) && seen.add(key)
  })
  return [...once.filter(({ level }) => level === "error"), ...once.filter(({ level }) => level === "advice")]
}

interface Read {
  readonly subjects: ReadonlyArray<Subject>
  readonly invalid: ReadonlyArray<Remark>
}

const read = (input: unknown, path: Path, outer: ReadonlyArray<Subject>, world: World): Read => {
  if (Array.isArray(input)) return all(input.map((item: unknown, i) => read(item, [...path, i], outer, world)))
  if (!subject.isJson(input)) {
    return {
      subjects: [],
      invalid: [invalid(path, "A description is an object.", "See the README of `pipeline` or `client`.")]
    }
  }
  if (Array.isArray(input["layers"])) {
    const inside = input["layers"].reduce<
      { readonly found: ReadonlyArray<Read>; readonly outer: ReadonlyArray<Subject> }
    >(
      ({ found, outer }, layer: unknown, i) => {
        const next = read(layer, [...path, "layers", i], outer, world)
        // Of a client its operations are not what the next layer is called by.
        return { found: [...found, next], outer: [...outer, ...next.subjects.slice(0, 1)] }
      },
      { found: [], outer }
    )
    return all(inside.found)
  }
  if (input["policy"] !== undefined) {
    return read(input["policy"], [...path, "policy"], outer, { ...surroundings(input), ...world })
  }
  const isClient = input["baseUrl"] !== undefined
  const failure = problems(input, isClient)
  if (failure.length > 0) return { subjects: [], invalid: failure.map((problem) => at(problem, path)) }
  return {
    invalid: [],
    subjects: isClient
      ? subject.ofClient(input, path, outer, world)
      : [subject.ofPipeline(input, path, outer, world)]
  }
}

const all = (reads: ReadonlyArray<Read>): Read => ({
  subjects: reads.flatMap(({ subjects }) => subjects),
  invalid: reads.flatMap(({ invalid }) => invalid)
})

const invalid = (path: Path, message: string, fix: string): Remark => ({
  rule: "invalid",
  level: "error",
  path,
  message,
  why: "It cannot be decoded, so no client and no pipeline is made of it.",
  fix
})

const at = (remark: Remark, path: Path): Remark => ({ ...remark, path: [...path, ...remark.path] })

const problems = (input: subject.Json, isClient: boolean): ReadonlyArray<Remark> => {
  const functions = functionsOf(input)
  const decoding: Effect.Effect<unknown, Schema.SchemaError> = isClient
    ? ClientDescription.decode(input, functions)
    : PipelineDescription.decode(withoutSchema(input), { functions })
  const decoded = Effect.runSync(Effect.result(decoding))
  return Result.isSuccess(decoded)
    ? []
    : SchemaIssue.makeFormatterStandardSchemaV1()(decoded.failure.issue).issues.map(({ message, path = [] }) =>
      invalid(path.map(keyOf), message, "Write what the message says.")
    )
}

const keyOf = (key: PropertyKey | { readonly key: PropertyKey }): string | number => {
  const plain = typeof key === "object" ? key.key : key
  return typeof plain === "number" ? plain : String(plain)
}

// By `$schema` an editor finds the schema of a file.
const withoutSchema = ({ $schema: _, ...description }: subject.Json): subject.Json => description

// Which functions there are is known where the description is used, so any name is one.
const functionsOf = (input: unknown): FieldCodec.Functions =>
  Object.fromEntries(textsOf(input).map((text) => [text, () => undefined]))

const textsOf = (input: unknown): ReadonlyArray<string> =>
  Predicate.isString(input) ? [input] : Predicate.isObjectOrArray(input) ? Object.values(input).flatMap(textsOf) : []

/** Code as JSON has it: a duration as milliseconds, a function as a name. */
const plain = (input: unknown): unknown => {
  if (Duration.isDuration(input)) return Duration.isFinite(input) ? Duration.toMillis(input) : "Infinity"
  if (Predicate.isFunction(input)) return input.name === "" ? "function" : input.name
  if (Array.isArray(input)) return input.map(plain)
  return Predicate.isObject(input)
    ? Object.fromEntries(
      Object.entries(input).filter(([, value]) => value !== undefined).map(([key, value]) => [key, plain(value)])
    )
    : input
}
