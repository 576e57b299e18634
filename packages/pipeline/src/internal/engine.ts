import type * as Classifier from "@effect-resilience/errors/Classifier"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Direct from "@effect-resilience/kernel/Direct"
import type * as Policy from "@effect-resilience/kernel/Policy"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Predicate from "effect/Predicate"
import * as Semaphore from "effect/Semaphore"
import type * as Part from "../Part.ts"
import type { AnyPart, AnyPolicy, Around, Description, Placed, Table } from "../Part.ts"
import * as Slot from "../Slot.ts"
import { numbersOf, type PipelineStatus } from "../Status.ts"
import * as description from "./description.ts"
import * as marks from "./marks.ts"

interface Options {
  readonly parts: Table
  readonly policies: { readonly [key: string]: AnyPolicy | undefined }
  readonly around: ReadonlyArray<Around<unknown, unknown>>
  readonly classify: Classifier.Classifier | undefined
  readonly continues?: unknown
}

interface Policies {
  readonly [key: string]: AnyPolicy
}

/** A description at work. */
interface Assembly {
  readonly description: Description
  readonly policies: Policies
  /** What stands outside the fallback, and what inside. */
  readonly outside: marks.Wrap
  readonly inside: marks.Wrap
}

// What a pipeline that continues another takes over.
const inside: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/pipeline/inside")

interface Inside {
  readonly made: Map<string, unknown>
  readonly current: () => Assembly
}

const insideOf = (pipeline: unknown): Inside => {
  requireArgument(Predicate.hasProperty(pipeline, inside), "Pipeline.continues", "a pipeline", pipeline)
  return (pipeline as { readonly [inside]: Inside })[inside]
}

export const make = (first: Description, options: Options) => {
  const { around, classify, parts } = options
  const check = description.checker(parts)
  check(first)
  const { name } = first
  const former = options.continues === undefined ? undefined : insideOf(options.continues)
  return Effect.gen(function*() {
    const lock = Semaphore.makeUnsafe(1)
    const made = former?.made ?? new Map<string, unknown>()
    const context: Part.Context = {
      name,
      classify,
      once: <A>(key: string, make: Effect.Effect<A>) =>
        Effect.suspend(() =>
          made.has(key)
            ? Effect.succeed(made.get(key) as A)
            : Effect.tap(make, (a) => Effect.sync(() => made.set(key, a)))
        )
    }

    // All parts are made before any is told to carry on, so that one which cannot be made leaves the others as they were.
    const build = Effect.fnUntraced(function*(next: Description, present: Assembly | undefined) {
      const policies: { [key: string]: AnyPolicy } = {}
      for (const [key, part] of Object.entries(parts)) {
        const settings = next[key]
        if (settings === undefined) continue
        const policy = options.policies[key] ?? kept(key, part, settings, present) ??
          (yield* part.make(settings as never, context))
        if (policy !== undefined) policies[key] = policy
      }
      for (const [key, policy] of Object.entries(policies)) {
        const old = present?.policies[key]
        const carry = parts[key]?.carry
        if (carry === undefined || old === undefined || old === policy || options.policies[key] === policy) continue
        policies[key] = yield* carry(old as never, policy as never, next[key] as never, context)
      }
      return assemble(next, policies, parts, around)
    })

    const kept = (
      key: string,
      part: AnyPart,
      settings: unknown,
      present: Assembly | undefined
    ): AnyPolicy | undefined => {
      const before = present?.description[key]
      return before !== undefined && description.sameMeaning(part.field.shape, settings, before)
        ? present?.policies[key]
        : undefined
    }

    let current = yield* build(first, former?.current())
    const linesNow = (view?: typeof description.withoutTexts) =>
      description.lines(current.description, parts, around, options.policies, view)

    return {
      [inside]: { made, current: () => current } satisfies Inside,
      name,
      execute: <A, E, R>(
        self: Effect.Effect<A, E, R>,
        fallback?: Policy.Policy
      ): Effect.Effect<A, unknown, unknown> => {
        let assembly: Assembly | undefined
        let wrapped: Effect.Effect<A, unknown, unknown> = self
        return new Executed(() => {
          if (assembly !== current) {
            const next = current
            const inside = next.inside(self)
            wrapped = next.outside(fallback === undefined ? inside : fallback.execute(inside))
            // Not before: what puts itself around a call may throw.
            assembly = next
          }
          return wrapped
        })
      },
      admitUnsafe: undefined,
      snapshot: Effect.suspend(() => Effect.all(mapValues(current.policies, ({ snapshot }) => snapshot))),
      reload: (next: Description) => {
        check(next)
        const load = Effect.map(Effect.suspend(() => build(next, current)), (built) => {
          current = built
        })
        return lock.withPermit(Effect.uninterruptible(load))
      },
      description: Effect.sync(() => current.description),
      policies: Effect.sync(() => current.policies),
      describe: Effect.sync(() => description.describe(name, linesNow())),
      status: Effect.suspend(() => {
        const { policies } = current
        const looks = linesNow(description.withoutTexts).map((line) =>
          Effect.map(policies[line.part]?.snapshot ?? Effect.undefined, (now) => ({ ...line, now: numbersOf(now) }))
        )
        return Effect.map(Effect.all(looks), (parts): PipelineStatus => ({ name, parts }))
      })
    }
  })
}

/** `Effect.suspend`, which begins as its effect does: a deadline needs no fiber around it. */
class Executed<A> extends Effectable.Class<A, unknown, unknown> implements Direct.Direct<A> {
  private readonly wrapped: () => Effect.Effect<A, unknown, unknown>

  constructor(wrapped: () => Effect.Effect<A, unknown, unknown>) {
    super()
    this.wrapped = wrapped
  }

  override asEffect(): Effect.Effect<A, unknown, unknown> {
    return this.wrapped()
  }

  [Direct.direct](context: Context.Context<never>): Direct.Running<A> {
    // What begins the call has all that it needs.
    return Direct.startUnsafe(this.wrapped(), context as Context.Context<unknown>)
  }
}

const assemble = (
  description: Description,
  policies: Policies,
  parts: Table,
  around: ReadonlyArray<Around<unknown, unknown>>
): Assembly => {
  const placed = Slot.order.flatMap((slot): ReadonlyArray<Placed> => [
    ...around.filter((one) => one.slot === slot).map(placedAround),
    ...Object.entries(policies).flatMap(([key, policy]) => {
      const part = parts[key]
      if (part === undefined) return []
      const besides = part.besides?.(policy as never) ?? []
      return [{ slot: part.slot, policy }, ...besides].filter((one) => one.slot === slot)
    })
  ])
  const fallback = Slot.order.indexOf("fallback")
  const isOutside = ({ slot }: Placed) => Slot.order.indexOf(slot) <= fallback
  return {
    description,
    policies,
    outside: oneByOne(placed.filter(isOutside)),
    inside: compose(placed.filter((one) => !isOutside(one)))
  }
}

const placedAround = ({ name, slot, wrap }: Around<unknown, unknown>): Placed => ({
  slot,
  policy: { name, execute: wrap, admitUnsafe: undefined, snapshot: Effect.void }
})

/** Puts policies, given outside in, around an effect. */
const oneByOne = (placed: ReadonlyArray<Placed>): marks.Wrap => <A, E, R>(self: Effect.Effect<A, E, R>) => {
  let wrapped: Effect.Effect<A, unknown, unknown> = self
  for (let i = placed.length - 1; i >= 0; i--) wrapped = placed[i]?.policy.execute(wrapped) ?? wrapped
  return wrapped
}

/** `oneByOne`, with the longest fast path that there is at the inner end. */
const compose = (placed: ReadonlyArray<Placed>): marks.Wrap => {
  const limit = placed.at(-1)?.policy
  for (let from = 0; marks.isTimed(limit) && from < placed.length; from++) {
    const through = limit[marks.timed].through(placed.slice(from), oneByOne)
    if (through === undefined) continue
    const outside = oneByOne(placed.slice(0, from))
    return (self) => outside(through(self))
  }
  return oneByOne(placed)
}

const mapValues = <A, B>(record: { readonly [key: string]: A }, f: (value: A) => B): { readonly [key: string]: B } =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value)]))
