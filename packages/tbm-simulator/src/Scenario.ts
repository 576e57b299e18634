/**
 * Scenario files: a simulator's options and faults as JSON.
 *
 * **Example** (A file with rules and options)
 *
 * ```ts import.meta.vitest
 * import { Scenario } from "@effect-resilience/tbm-simulator"
 * import { Result } from "effect"
 *
 * const scenario = Scenario.parse(`{ "seed": 7, "lockAfter": 3, "faults": [{ "fault": { "type": "hang" }, "times": 1 }] }`)
 * Result.map(scenario, ({ lockAfter, seed }) => [seed, lockAfter]) // => Result.succeed([7, 3])
 * Result.isFailure(Scenario.parse(`{ "lockAfter": "three" }`)) // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as FaultRule from "./FaultRule.ts"
import * as SimulatorOptions from "./SimulatorOptions.ts"

/**
 * The content of a scenario file: options and a seed. A file that is an array contains fault rules only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scenario extends SimulatorOptions.SimulatorOptions {
  /** The seed of tokens and of `probability`; drawn at random by default. */
  readonly seed?: number
}

/**
 * The file cannot be read (`Unreadable`) or is not a scenario (`Malformed`); `detail` says what is wrong and where.
 *
 * @category errors
 * @since 0.1.0
 */
export class ScenarioError extends Data.TaggedError("ScenarioError")<{
  /** Which of the two it is. */
  readonly reason: "Unreadable" | "Malformed"
  /** The file. */
  readonly path: string
  readonly detail: string
}> {
  override get message() {
    return this.reason === "Unreadable"
      ? `cannot read the scenario ${this.path}: ${this.detail}`
      : `the scenario ${this.path} is malformed: ${this.detail}`
  }
}

/**
 * Reads a scenario file.
 *
 * @category constructors
 * @stability rests on effect/FileSystem
 * @since 0.1.0
 */
export const load = Effect.fnUntraced(function*(
  path: string
): Effect.fn.Return<Scenario, ScenarioError, FileSystem.FileSystem> {
  const files = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(
    files.readFileString(path),
    ({ reason }) => new ScenarioError({ reason: "Unreadable", path, detail: reasons[reason._tag] ?? reason.message })
  )
  return yield* Effect.mapError(
    Effect.fromResult(parse(text)),
    (detail) => new ScenarioError({ reason: "Malformed", path, detail })
  )
})

/**
 * Parses a scenario's text. The failure says what is wrong and where.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Scenario, string> =>
  Result.andThen(
    Result.try({
      try: (): unknown => JSON.parse(text.replace(/^\uFEFF/, "")),
      catch: (cause) => `not JSON: ${cause instanceof Error ? cause.message : String(cause)}`
    }),
    decode
  )

const decode = (json: unknown): Result.Result<Scenario, string> => {
  const rules = Array.isArray(json) ? json : faultsOf(json)
  const faults = Result.mapError(
    FaultRule.decode(rules),
    (error) => `${Array.isArray(json) ? "" : "in faults: "}${oneLine(error)}`
  )
  if (Result.isFailure(faults)) return Result.fail(faults.failure)
  return Array.isArray(json)
    ? Result.succeed({ faults: faults.success })
    : Result.mapError(decodeObject(json), oneLine)
}

// The rules are decoded first and separately, for their better messages.
const faultsOf = (json: unknown): unknown =>
  typeof json === "object" && json !== null && "faults" in json ? json.faults : []

const decodeObject = Schema.decodeUnknownResult(
  Schema.Struct({ ...SimulatorOptions.Json.fields, seed: Schema.optionalKey(Schema.Int) }),
  { errors: "all", onExcessProperty: "error" }
)

const oneLine = (error: Schema.SchemaError): string => error.message.replace(/\n\s*at /g, " at ").replace(/\n/g, "; ")

const reasons: { readonly [tag: string]: string } = {
  NotFound: "there is no such file",
  PermissionDenied: "permission denied",
  BadResource: "it is not a file"
}
