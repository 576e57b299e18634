/**
 * Seeds that once had a storm, in a file beside the test, and a search for more.
 *
 * **Why**
 *
 * A fleet near its capacity has a storm with one seed of twenty. A test with one seed misses it, and one with all of them is slow. Here a
 * run tries the seeds of the file first, then some new ones, and writes down the first that fails.
 *
 * **Example** (Three seeds a run)
 *
 * ```ts import.meta.vitest
 * import { Lab, Outages, Regressions } from "@effect-resilience/lab"
 * import { Pipeline } from "@effect-resilience/pipeline"
 * import { Effect, FileSystem } from "effect"
 *
 * // In a test: a file that is under version control, and NodeServices of @effect/platform-node.
 * const check = Regressions.check("test/ledger.seeds.json", {
 *   name: "ledger",
 *   seeds: 3,
 *   simulate: (seed) =>
 *     Lab.simulate({
 *       ...Outages.during("down"),
 *       seed,
 *       arrivals: { open: { perSecond: 14 } },
 *       server: { workers: 2, serviceTime: { exponential: "100 millis" } },
 *       policy: { ...Pipeline.standard, name: "ledger", attemptTimeout: "1 second" }
 *     })
 * })
 *
 * const emptyDisk = FileSystem.layerNoop({ exists: () => Effect.succeed(false) })
 * await Effect.runPromise(Effect.provide(check, emptyDisk)) // => undefined
 * ```
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type { LabResult } from "./LabResult.ts"
import * as Verdict from "./Verdict.ts"

/**
 * What is checked.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Its key in the file, which several checks may share. */
  readonly name: string
  /** How many new seeds a run tries after those of the file; default 10. They come from the surrounding `Random`. */
  readonly seeds?: number | undefined
  /** The simulation with a seed. */
  readonly simulate: (seed: number) => LabResult
  /** As `Verdict.judge` takes it. */
  readonly expectation?: Verdict.Expectation | undefined
}

/**
 * The file: seeds by the names of checks. A file in version control is how a seed that failed once is tried by all.
 *
 * @category schemas
 * @since 0.1.0
 */
export const File: Schema.$Record<Schema.String, Schema.$Array<Schema.Number>> = /* @__PURE__ */ Schema.Record(
  Schema.String,
  /* @__PURE__ */ Schema.Array(Schema.Number)
)

/**
 * Fails with the first storm, whose message begins with the seed, after its seed stands in the file. Seeds that pass again stay there.
 *
 * @category running
 * @stability experimental, rests on effect/FileSystem, effect/PlatformError
 * @since 0.1.0
 */
export const check = (
  path: string,
  { expectation, name, seeds = 10, simulate }: Options
): Effect.Effect<void, Verdict.Storm | PlatformError.PlatformError | Schema.SchemaError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const read = fs.exists(path).pipe(
      Effect.flatMap((exists) => exists ? fs.readFileString(path) : Effect.succeed("{}")),
      Effect.flatMap(Schema.decodeEffect(Schema.fromJsonString(File)))
    )
    // Read again, since another check may have written meanwhile.
    const writeDown = (seed: number) =>
      Effect.flatMap(read, (file) => {
        const seeds = { ...file, [name]: [...file[name] ?? [], seed] }
        return fs.writeFileString(path, `${JSON.stringify(seeds, undefined, 2)}\n`)
      })
    const { [name]: known = [] } = yield* read
    const attempt = (seed: number) =>
      Effect.suspend(() => {
        const verdict = Verdict.judge(simulate(seed), expectation)
        return verdict.passes ? Effect.void : Effect.fail(new Verdict.Storm({ verdict, what: `${name}, seed ${seed}` }))
      })
    for (const seed of known) yield* attempt(seed)
    for (let tried = 0; tried < seeds; tried++) {
      const seed = yield* Random.nextIntBetween(0, 2 ** 31 - 1)
      yield* Effect.tapError(attempt(seed), () => writeDown(seed))
    }
  })
