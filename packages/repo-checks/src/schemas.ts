/** Writes the JSON Schemas of descriptions: `npm run schemas`. */
import * as ClientDescription from "@effect-resilience/client/ClientDescription"
import * as Field from "@effect-resilience/kernel/Field"
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import * as Lab from "@effect-resilience/lab/Lab"
import * as PipelineDescription from "@effect-resilience/pipeline/PipelineDescription"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { jsonSchema } from "./JsonSchemas.ts"
import { readPackages, root } from "./Workspace.ts"

const url = "https://unpkg.com/@effect-resilience"

/** The files, with what they should hold. */
export const files = () => {
  const packages = readPackages()
  return [
    {
      file: "packages/client/schema/client.json",
      id: `${url}/client/schema/client.json`,
      schema: ClientDescription.schema()
    },
    {
      file: "packages/pipeline/schema/pipeline.json",
      id: `${url}/pipeline/schema/pipeline.json`,
      schema: PipelineDescription.schema()
    },
    {
      file: "packages/lab/schema/simulation.json",
      id: `${url}/lab/schema/simulation.json`,
      schema: FieldCodec.schema(Field.struct(Lab.fields))
    }
  ].map(({ file, id, schema }) => ({ file, ...jsonSchema(id, schema, packages) }))
}

if (import.meta.main) {
  for (const { file, json, untold } of files()) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), json)
    for (const path of untold) console.error(`${file}: no doc comment tells about ${path}`)
  }
}
