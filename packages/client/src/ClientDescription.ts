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
 * @since 0.1.0
 */
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { field } from "./internal/description.ts"
import type { Description } from "./internal/models.ts"

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
 * Writes a description as JSON. Fails where it has a function that has no name in the table.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (
  description: Description,
  functions?: FieldCodec.Functions
): Effect.Effect<Schema.Json, FieldCodec.UnnamedFunction> => FieldCodec.encode(field, description, functions)
