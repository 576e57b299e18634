/**
 * A part of a pipeline: one key of its description, and the policy that it stands for.
 *
 * **When to use**
 *
 * Write a part to give a policy of your own a key in descriptions, with options that JSON can hold. To put a function around
 * the calls of one pipeline, `Pipeline.around` is less work.
 *
 * **Details**
 *
 * A pipeline takes parts as a table; `Parts` has ours. The key of the table is the key of the description.
 *
 * **Example** (A part that counts attempts)
 *
 * ```ts import.meta.vitest
 * import * as Field from "@effect-resilience/kernel/Field"
 * import type * as Policy from "@effect-resilience/kernel/Policy"
 * import { Part, Pipeline } from "@effect-resilience/pipeline"
 * import { Effect } from "effect"
 *
 * const counted: Array<string> = []
 *
 * const audit = Part.make({
 *   slot: "attempt",
 *   field: Field.struct({ label: Field.text }),
 *   make: ({ label }, { name }) => {
 *     const policy: Policy.Policy = {
 *       name: label,
 *       execute: (self) => Effect.andThen(Effect.sync(() => counted.push(`${name} ${label}`)), self),
 *       admitUnsafe: undefined,
 *       snapshot: Effect.sync(() => counted.length)
 *     }
 *     return Effect.succeed(policy)
 *   }
 * })
 *
 * const program = Effect.gen(function*() {
 *   const description = { name: "ledger", audit: { label: "sent" } }
 *   const ledger = yield* Pipeline.make(description, { parts: { ...Pipeline.parts, audit } })
 *   yield* ledger.execute(Effect.void)
 * })
 * await Effect.runPromise(program)
 * counted // => ["ledger sent"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Classifier from "@effect-resilience/errors/Classifier"
import * as Field from "@effect-resilience/kernel/Field"
import type * as Policy from "@effect-resilience/kernel/Policy"
import type * as Effect from "effect/Effect"
import type { Slot } from "./Slot.ts"

/**
 * A part. `Options` is what the description holds, `Instance` the policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface Part<in Options, in out Instance extends AnyPolicy> {
  /** Where the policy stands. */
  readonly slot: Slot
  /** How the options are written, and what they must be. */
  readonly field: Field.Field<Options, unknown>
  /** Makes the policy of a pipeline from options that make sense. `undefined` leaves the part out. */
  readonly make: (options: Options, context: Context) => Effect.Effect<Instance | undefined>
  /** Which policy to use from now on, when the options change; by default the next one. */
  readonly carry?:
    | ((present: Instance, next: Instance, options: Options, context: Context) => Effect.Effect<Instance>)
    | undefined
  /** What the part puts into other slots besides. */
  readonly besides?: ((instance: Instance) => ReadonlyArray<Placed>) | undefined
}

/**
 * A part of any type.
 *
 * @category models
 * @since 0.1.0
 */
export interface AnyPart {
  /** Where it stands: `Part.slot`. */
  readonly slot: Slot
  /** Its options as data: `Part.field`. */
  readonly field: Field.AnyField
  /** Makes its policy: `Part.make`. */
  readonly make: (options: never, context: Context) => Effect.Effect<AnyPolicy | undefined>
  /** Takes its policy over into a reload: `Part.carry`. */
  readonly carry?:
    | ((present: never, next: never, options: never, context: Context) => Effect.Effect<AnyPolicy>)
    | undefined
  /** Policies that it puts into other slots: `Part.besides`. */
  readonly besides?: ((instance: never) => ReadonlyArray<Placed>) | undefined
}

/**
 * Parts by the keys that they have in descriptions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Table {
  readonly [key: string]: AnyPart
}

/**
 * A description whose parts are not known to the types.
 *
 * @category models
 * @since 0.1.0
 */
export interface Description {
  /** The name of the pipeline. */
  readonly name: string
  readonly [key: string]: unknown
}

/**
 * What the parts of one pipeline share.
 *
 * @category models
 * @since 0.1.0
 */
export interface Context {
  /** The name of the pipeline, which its policies take. */
  readonly name: string
  /** The recovery of errors that do not carry the right one. */
  readonly classify: Classifier.Classifier | undefined
  /** Makes something once for the pipeline; reloads keep it. */
  readonly once: <A>(key: string, make: Effect.Effect<A>) => Effect.Effect<A>
}

/**
 * A policy in a slot.
 *
 * @category models
 * @since 0.1.0
 */
export interface Placed {
  /** Where it stands. */
  readonly slot: Slot
  /** The policy. */
  readonly policy: AnyPolicy
}

/**
 * A function in a slot, outside the part that stands there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Around<out E = never, out R = never> {
  /** The slot outside whose part it stands. */
  readonly slot: Slot
  /** Names it in a status. */
  readonly name: string
  /** Puts it around a call. */
  readonly wrap: Wrap<E, R>
}

/**
 * A function from effects to effects.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wrap<out E = never, out R = never> {
  <A, E1, R1>(self: Effect.Effect<A, E1, R1>): Effect.Effect<A, E1 | E, R1 | R>
}

/**
 * A policy that rejects calls with anything.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyPolicy = Policy.Policy<unknown, unknown, never, unknown>

/**
 * Describes a part. The types of its options and its policy are inferred.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Options, Instance extends AnyPolicy>(part: Part<Options, Instance>): Part<Options, Instance> =>
  part

/**
 * The options of a policy in a description: all but its name, which is that of the pipeline.
 *
 * @category constructors
 * @since 0.1.0
 */
export const options = <F extends Field.Record>({ name: _, ...fields }: F): Field.Field<
  Field.Written<Omit<F, "name">>,
  Field.Settings<Omit<F, "name">>
> => Field.struct(fields)
