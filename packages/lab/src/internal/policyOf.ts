import * as ClientDescription from "@effect-resilience/client/ClientDescription"
import * as PipelineDescription from "@effect-resilience/pipeline/PipelineDescription"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { PolicyData } from "../Lab.ts"
import type { Json } from "./subject.ts"

/** The pipeline or client that JSON describes. A simulated server asks for no login. */
export const policyOf = (
  { $schema: _, auth: __, ...json }: Json
): Effect.Effect<NonNullable<PolicyData>, Schema.SchemaError> =>
  Effect.suspend((): Effect.Effect<NonNullable<PolicyData>, Schema.SchemaError> =>
    json["baseUrl"] === undefined ? PipelineDescription.decode(json) : ClientDescription.decode(json)
  )
