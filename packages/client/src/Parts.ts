/**
 * The parts that a client's description can name. The standard ones every client has: `retry`, `circuitBreaker`, and `budget`
 * without its kinds. A client written in code is given the others that it names, or all: `{ parts: Parts }`. So no program loads
 * what it does not use.
 *
 * **Gotchas**
 *
 * Write `Parts.bulkhead`: `const { bulkhead } = Parts` makes a bundler keep all parts. esbuild keeps them too where `Parts` comes
 * from the package's root, so import it as `@effect-resilience/client/Parts`; Rollup and rolldown do not mind.
 *
 * **Example** (A client with a bulkhead)
 *
 * ```ts import.meta.vitest
 * import { Parts, ResilientClient } from "@effect-resilience/client"
 * import { Layer } from "effect"
 *
 * const { pipeline } = ResilientClient.standard
 *
 * const ledger = ResilientClient.layer({
 *   name: "ledger",
 *   baseUrl: "https://ledger.example.com",
 *   pipeline: { ...pipeline, bulkhead: { permits: 10 } }
 * }, { parts: { bulkhead: Parts.bulkhead } })
 * Layer.isLayer(ledger) // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Field from "@effect-resilience/kernel/Field"
import * as Limit from "@effect-resilience/limit/Endpoints"
import * as Part from "@effect-resilience/pipeline/Part"
import * as Effect from "effect/Effect"

export {
  budget,
  bulkhead,
  circuitBreaker,
  concurrencyLimit,
  hedge,
  metrics,
  pacer,
  retry,
  spans,
  throttle
} from "@effect-resilience/pipeline/Parts"

const { addresses, ejection, load, panicThreshold, zone } = Limit.fields

/**
 * Chooses one of several base URLs for each attempt.
 *
 * @category parts
 * @since 0.1.0
 */
export const endpoints: Part.Part<Omit<Limit.Options, "name" | "each" | "classify">, Limit.Endpoints> =
  /* @__PURE__ */ Part
    .make({
      slot: "attemptTimeout",
      field: /* @__PURE__ */ Field.struct({ load, ejection, panicThreshold, zone, addresses }),
      make: (options, { name }) => Limit.make({ ...options, name }),
      carry: (present, _, options, { name }) => Effect.as(present.reload({ ...options, name }), present)
    })
