/**
 * The parts of pipelines, one by one, for a table that has only those that a program names: `{ retry: Parts.retry }`. A bundle
 * then has no others. The whole module is a table too, that of `Pipeline.make`.
 *
 * **Example** (A pipeline that can retry and nothing else)
 *
 * ```ts import.meta.vitest
 * import { Parts, Pipeline } from "@effect-resilience/pipeline"
 * import { Effect } from "effect"
 *
 * const parts = { retry: Parts.retry }
 * const ledger = Pipeline.makeWith({ name: "ledger", retry: { times: 2 } }, { parts })
 *
 * await Effect.runPromise(Effect.flatMap(ledger, ({ describe }) => describe)) // => "ledger\n  retry           times 2\n  the call"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
export * from "./parts/index.ts"
