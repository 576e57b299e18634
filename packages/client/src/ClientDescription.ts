/**
 * Clients from JSON and back, in a module of its own, so that a client written in code loads no `Schema`.
 *
 * **Example** (Reading one from a file)
 *
 * ```ts import.meta.vitest
 * import { ClientDescription } from "@effect-resilience/client"
 * import { Effect } from "effect"
 *
 * const text = `{ "name": "ledger", "baseUrl": "https://ledger.example.com", "timeouts": { "total": "5 seconds" } }`
 *
 * const description = await Effect.runPromise(ClientDescription.decode(JSON.parse(text)))
 * description.name // => "ledger"
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { fieldOf } from "./internal/description.ts"
import { elsewhere } from "./internal/elsewhere.ts"
import type { Description, ResilientClient } from "./internal/models.ts"
import * as Parts from "./Parts.ts"

// What JSON names is not known before.
const field = /* @__PURE__ */ fieldOf(Parts, elsewhere)

/**
 * The schema of the JSON of a description, for a larger configuration. `functions` has the names that `auth` and other functions may
 * have; default any. The package has it as a JSON Schema for editors too, `schema/client.json`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const schema = (functions?: FieldCodec.Functions): Schema.Codec<unknown> => FieldCodec.schema(field, functions)

/**
 * Reads a description. The error tells all that is wrong at once. `functions` has what `auth` and other functions are named by.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (
  input: unknown,
  functions?: FieldCodec.Functions
): Effect.Effect<Description, Schema.SchemaError> => FieldCodec.decode(field, input, functions, "ResilientClient")

/**
 * A description from the environment or another `ConfigProvider`: its JSON as one text, or a key for each option.
 *
 * **Example** (One text in the environment)
 *
 * ```ts import.meta.vitest
 * import { ClientDescription } from "@effect-resilience/client"
 * import { ConfigProvider, Effect } from "effect"
 *
 * const env = { LEDGER: `{ "name": "ledger", "baseUrl": "https://ledger.example.com" }` }
 *
 * const description = await Effect.runPromise(ClientDescription.config("LEDGER").parse(ConfigProvider.fromEnv({ env })))
 * description.baseUrl // => "https://ledger.example.com"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const config = (path: string, functions?: FieldCodec.Functions): Config.Config<Description> =>
  Config.option(Config.String(path)).pipe(
    Config.flatMap((text) =>
      Option.isSome(text)
        ? Config.mapEffect(Config.succeed(text.value), (text) => asConfig(fromText(text)))
        : Config.schema(schema(functions), path)
    ),
    Config.mapEffect((json) => asConfig(decode(json, functions)))
  )

const asConfig = <A>(self: Effect.Effect<A, Schema.SchemaError>): Effect.Effect<A, Config.ConfigError> =>
  Effect.mapError(self, (error) => new Config.ConfigError(error))

const fromText = (text: string): Effect.Effect<unknown, Schema.SchemaError> =>
  Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))(text)

/**
 * How `follow` reads descriptions.
 *
 * @category models
 * @since 0.1.0
 */
export interface FollowOptions<R, E2, R2> {
  /** Reads the present one: the text of a JSON file, or a value that another format was parsed to. */
  readonly read: Effect.Effect<unknown, unknown, R>
  /**
   * When to read again: `FileSystem.watch`, a signal, or `Stream.fromSchedule(Schedule.spaced("30 seconds"))`. An editor may
   * write a file in pieces: `Stream.debounce` waits for the last one.
   */
  readonly changes: Stream.Stream<unknown, E2, R2>
  /** What `auth` and other functions are named by. */
  readonly functions?: FieldCodec.Functions | undefined
}

/**
 * Reloads a client whenever its description may have changed, until `changes` ends. A description that cannot be read or makes no
 * sense is logged with all that is wrong, and the client keeps the one that it has. One that says the same is none.
 *
 * Fork it: `Effect.forkScoped(ClientDescription.follow(client, { read, changes }))`.
 *
 * **Example** (A new deadline)
 *
 * ```ts import.meta.vitest
 * import { ClientDescription, ResilientClient } from "@effect-resilience/client"
 * import { Effect, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * let file = `{ "name": "ledger", "baseUrl": "https://ledger.example.com" }`
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* ResilientClient.make(yield* ClientDescription.decode(JSON.parse(file)))
 *   file = `{ "name": "ledger", "baseUrl": "https://ledger.example.com", "timeouts": { "total": "5 seconds" } }`
 *   yield* ClientDescription.follow(client, { read: Effect.sync(() => file), changes: Stream.make("written") })
 *   return (yield* client.description).timeouts?.total
 * })
 *
 * await Effect.runPromise(Effect.provide(program, FetchHttpClient.layer)) // => "5 seconds"
 * ```
 *
 * @category reloading
 * @since 0.1.0
 */
export const follow = <R, E2, R2>(
  client: Pick<ResilientClient, "name" | "reload">,
  { changes, functions, read }: FollowOptions<R, E2, R2>
): Effect.Effect<void, E2, R | R2> =>
  Effect.suspend(() => {
    let last: string | undefined
    const reload = Effect.gen(function*() {
      const input = yield* read
      const text = typeof input === "string" ? input : JSON.stringify(input)
      if (text === last) return
      last = text
      const json = typeof input === "string" ? yield* fromText(input) : input
      yield* client.reload(yield* decode(json, functions))
      yield* Effect.logInfo(`The client ${client.name} has a new description`)
    })
    // What `reload` throws is a problem of the description too.
    const reported = Effect.catchCause(reload, (cause) =>
      Effect.logError(`The client ${client.name} keeps its description. ${ErrorMessage.textOf(Cause.squash(cause))}`))
    return Stream.runForEach(changes, () =>
      reported)
  })

/**
 * Writes a description as JSON. Fails where it has a function that has no name in the table.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (
  description: Description,
  functions?: FieldCodec.Functions
): Effect.Effect<Schema.Json, FieldCodec.UnnamedFunction> => FieldCodec.encode(field, description, functions)
