import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Part from "../Part.ts"

/**
 * Counts calls by how they end.
 *
 * @category parts
 * @since 0.1.0
 */
export const metrics = /* @__PURE__ */ Part.make<boolean, Policy.Policy>({
  slot: "call",
  field: Field.boolean,
  make: (enabled, { name }) => Effect.succeed(enabled ? new Counting(name) : undefined)
})

const calls = (attributes?: Metric.Metric.Attributes) =>
  Metric.counter("resilience.pipeline.calls", {
    description: "Calls through pipelines, by how they ended",
    incremental: true,
    attributes
  })

export const callsTotal = /* @__PURE__ */ calls()

class Counting implements Policy.Policy {
  readonly name: string
  readonly snapshot = Effect.void
  private readonly success: Metric.Counter<number>
  private readonly failure: Metric.Counter<number>
  private readonly rejected: Metric.Counter<number>
  private readonly interrupted: Metric.Counter<number>

  constructor(name: string) {
    this.name = name
    // Attributes given to the constructor cost nothing at an update, other than those of `Metric.withAttributes`.
    const of = (outcome: string) => calls({ "resilience.policy": name, "resilience.outcome": outcome })
    this.success = of("success")
    this.failure = of("failure")
    this.rejected = of("refused")
    this.interrupted = of("interrupted")
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.withFiber((fiber) => Effect.onExitPrimitive(self, this.admitUnsafe(fiber)))
  }

  admitUnsafe({ context }: Policy.Caller): Policy.Admission {
    return (exit) => {
      if (exit !== Policy.neverBegan) this.metricOf(exit).updateUnsafe(1, context)
      return undefined
    }
  }

  private metricOf(exit: Exit.Exit<unknown, unknown>): Metric.Counter<number> {
    if (Exit.isSuccess(exit)) return this.success
    if (Cause.hasInterruptsOnly(exit.cause)) return this.interrupted
    const error = Cause.findErrorOption(exit.cause)
    return error._tag === "Some" && NotAsked.isNotAsked(error.value) ? this.rejected : this.failure
  }
}
