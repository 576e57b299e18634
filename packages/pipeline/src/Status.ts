/**
 * What pipelines and other policies are doing at this moment: their order, their options and their present numbers.
 *
 * **When to use**
 *
 * Use it for a page that people or programs ask when something is slow. `StatusApi` serves it. For numbers over time use
 * `PolicyMetrics`.
 *
 * **Details**
 *
 * Of options and snapshots, numbers, durations and states are shown. Texts are not, and of what is kept by names only how many there
 * are: they may be addresses, tenants or secrets. Keyed policies are counted. `Pipeline.describe` shows all options.
 *
 * **Example** (A pipeline whose circuit is isolated)
 *
 * ```ts import.meta.vitest
 * import { Pipeline, Status } from "@effect-resilience/pipeline"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const ledger = yield* Pipeline.make({ name: "ledger", bulkhead: { permits: 10 }, retry: { times: 3 } })
 *   return Status.format(yield* Status.report({ pipelines: [ledger] })).split("\n")
 * })
 *
 * const [name, bulkhead, retry] = await Effect.runPromise(program)
 * name // => "ledger"
 * bulkhead // => "  bulkhead        permits 10  [permits 10, running 0, waiting 0, rejected 0]"
 * retry // => "  retry           times 3  [times 3]"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Keyed from "@effect-resilience/kernel/Keyed"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { line } from "./internal/description.ts"
import type { Slot } from "./Slot.ts"

/**
 * Fields of a snapshot. A duration is a text, as is what JSON has no number for: `"Infinity"`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Numbers {
  readonly [field: string]: number | string | boolean
}

/**
 * A part of a pipeline. A function in a slot has the name of the slot for `part`, its own for `options`, and no numbers.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartStatus {
  /** Where it stands. */
  readonly slot: Slot
  readonly part: string
  readonly options: string
  /** Its snapshot, as plain values. */
  readonly now: Numbers
}

/**
 * A pipeline, with its parts outside in.
 *
 * @category models
 * @since 0.1.0
 */
export interface PipelineStatus {
  /** The name of the pipeline. */
  readonly name: string
  /** Outside in. */
  readonly parts: ReadonlyArray<PartStatus>
}

/**
 * A policy that stands alone.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyStatus {
  /** The name of the policy. */
  readonly name: string
  /** The module that it comes from, such as `bulkhead`. */
  readonly kind: string
  /** Its snapshot, as plain values. */
  readonly now: Numbers
}

/**
 * All that was asked about.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  /** In the order in which they were given. */
  readonly pipelines: ReadonlyArray<PipelineStatus>
  /** Those that stand alone, in the order in which they were given. */
  readonly policies: ReadonlyArray<PolicyStatus>
  /** How many instances keyed policies hold. */
  readonly keyed: { readonly [name: string]: number }
}

/**
 * What to report on.
 *
 * - `pipelines`, `policies`: more of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sources {
  /** A `PipelineRegistry`, with the pipelines that it has when the report is made. */
  readonly registry?: { readonly pipelines: Effect.Effect<Iterable<Shown>> } | undefined
  readonly pipelines?: Iterable<Shown> | undefined
  readonly policies?: Iterable<Pick<Policy.Policy<unknown>, "name" | "kind" | "snapshot">> | undefined
  /** Keyed policies, by names for them. */
  readonly keyed?: { readonly [name: string]: Pick<Keyed.Keyed<unknown>, "size"> } | undefined
  /** How to show the name of a pipeline or policy; default as it is. Hash it where names are secret. */
  readonly show?: ((name: string) => string) | undefined
}

/**
 * A pipeline of any parts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Shown {
  /** What it looks like now. */
  readonly status: Effect.Effect<PipelineStatus>
}

/**
 * Looks at everything once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const report = (sources: Sources): Effect.Effect<Report> => {
  const { keyed = {}, registry, show = (name) => name } = sources
  const pipelines = again(sources.pipelines)
  const policies = again(sources.policies)
  return Effect.gen(function*() {
    const registered = registry === undefined ? [] : yield* registry.pipelines
    const statuses = yield* Effect.forEach([...registered, ...pipelines], ({ status }) => status)
    return {
      pipelines: statuses.map(({ name, parts }) => ({ name: show(name), parts })),
      policies: yield* Effect.forEach(
        policies,
        ({ kind = "Policy", name, snapshot }) =>
          Effect.map(snapshot, (now) => ({ name: show(name), kind, now: numbersOf(now) }))
      ),
      keyed: Object.fromEntries(Object.entries(keyed).map(([name, { size }]) => [name, size]))
    }
  })
}

/** What can be read more than once, which the values of a map cannot. */
const again = <A>(items: Iterable<A> = []): Iterable<A> => Predicate.hasProperty(items, "next") ? [...items] : items

/**
 * What may be shown of a snapshot.
 *
 * @category accessors
 * @since 0.1.0
 */
export const numbersOf = (snapshot: unknown): Numbers =>
  Predicate.isObject(snapshot) && !Duration.isDuration(snapshot)
    ? Object.fromEntries(
      Object.entries(snapshot).flatMap(([field, value]) => {
        if (field === "_tag" && typeof value === "string") return [["state", value]]
        const shown = shownOf(value)
        return shown === undefined ? [] : [[field, shown]]
      })
    )
    : {}

const shownOf = (value: unknown): Numbers[string] | undefined => {
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value)
  if (typeof value === "boolean") return value
  if (Duration.isDuration(value)) return Duration.format(value)
  return Predicate.isObject(value) || Array.isArray(value) ? Object.keys(value).length : undefined
}

/**
 * A report as text: a line for each part and policy.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = ({ keyed, pipelines, policies }: Report): string =>
  [
    ...pipelines.flatMap(({ name, parts }) => [
      name,
      ...parts.map(({ now, options, part }) => line(part, options + inBrackets(now))),
      "  the call"
    ]),
    ...policies.map(({ kind, name, now }) => `${kind} ${name}${inBrackets(now)}`),
    ...Object.entries(keyed).map(([name, size]) => `${name}  [instances ${size}]`)
  ].join("\n")

const inBrackets = (now: Numbers): string => {
  const fields = Object.entries(now).map(([field, value]) => `${field} ${value}`)
  return fields.length === 0 ? "" : `  [${fields.join(", ")}]`
}
