/** What the forms know of descriptions: the JSON Schemas that editors use. */
import client from "../../../client/schema/client.json"
import pipeline from "../../../pipeline/schema/pipeline.json"
import simulation from "../../schema/simulation.json"
import type { Part } from "./scenario.ts"

/** As much of JSON Schema as our schemas use. */
export interface JsonSchema {
  readonly type?: string | undefined
  readonly description?: string | undefined
  readonly default?: unknown
  readonly enum?: ReadonlyArray<unknown> | undefined
  readonly const?: unknown
  readonly properties?: { readonly [key: string]: JsonSchema } | undefined
  readonly required?: ReadonlyArray<string> | undefined
  readonly additionalProperties?: JsonSchema | boolean | undefined
  readonly items?: JsonSchema | undefined
  readonly anyOf?: ReadonlyArray<JsonSchema> | undefined
  readonly minimum?: number | undefined
  readonly maximum?: number | undefined
  readonly pattern?: string | undefined
  readonly $ref?: string | undefined
  readonly $defs?: { readonly [key: string]: JsonSchema } | undefined
}

const resolve = (schema: JsonSchema, defs: JsonSchema["$defs"]): JsonSchema =>
  schema.$ref === undefined ? schema : defs?.[schema.$ref.split("/").at(-1) ?? ""] ?? {}

/** The same without references. None of ours refers to itself. */
const whole = (schema: JsonSchema, defs = schema.$defs): JsonSchema => {
  const { $defs: _, $ref: __, ...found } = resolve(schema, defs)
  const each = (all: { readonly [key: string]: JsonSchema }) =>
    Object.fromEntries(Object.entries(all).map(([key, one]) => [key, whole(one, defs)]))
  return {
    ...found,
    ...(found.properties === undefined ? {} : { properties: each(found.properties) }),
    ...(found.anyOf === undefined ? {} : { anyOf: found.anyOf.map((one) => whole(one, defs)) }),
    ...(found.items === undefined ? {} : { items: whole(found.items, defs) }),
    ...(typeof found.additionalProperties === "object"
      ? { additionalProperties: whole(found.additionalProperties, defs) }
      : {})
  }
}

/** Servers behind the first one and other clients have policies of their own, which are written as JSON. */
const withClients = (schema: JsonSchema): JsonSchema => ({
  ...schema,
  properties: {
    ...schema.properties,
    tiers: { description: "The servers behind the first one, each called by the one before it, as JSON." },
    others: { description: "Other clients of the same server, by their names, as JSON." }
  }
})

let worldSchema: JsonSchema | undefined
let clientSchema: JsonSchema | undefined
let pipelineSchema: JsonSchema | undefined

export const schemaOf = (part: Part, value: object): JsonSchema => {
  if (part === "world" || part === "saferWorld") return worldSchema ??= withClients(whole(simulation))
  return "baseUrl" in value ? clientSchema ??= whole(client) : pipelineSchema ??= whole(pipeline)
}
