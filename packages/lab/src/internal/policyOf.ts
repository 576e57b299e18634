import * as ClientDescription from "@effect-resilience/client/ClientDescription"
import * as ResilientClient from "@effect-resilience/client/ResilientClient"
import type * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as PipelineDescription from "@effect-resilience/pipeline/PipelineDescription"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Json } from "./subject.ts"

/** The pipeline that JSON describes; that of a client with its limits of time. A login and an address are not simulated. */
export const policyOf = (
  { $schema: _, auth: __, ...json }: Json
): Effect.Effect<Pipeline.Description, Schema.SchemaError> =>
  json["baseUrl"] === undefined
    ? PipelineDescription.decode(json)
    : Effect.map(
      ClientDescription.decode(json),
      ({ name, pipeline = ResilientClient.standard.pipeline, timeouts = {} }) => ({
        ...pipeline,
        name,
        deadline: timeouts.total ?? ResilientClient.standard.timeouts.total,
        attemptTimeout: timeouts.attempt ?? ResilientClient.standard.timeouts.attempt
      })
    )
