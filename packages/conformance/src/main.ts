/** Runs all scenarios with all libraries and writes RESULTS.md: `npm run conformance`. */
import { writeFileSync } from "node:fs"
import { libraries } from "./libraries/index.ts"
import { report, runAll } from "./report.ts"
import { jsonSchema } from "./Scenario.ts"

const rows = await runAll()
writeFileSync(new URL("../RESULTS.md", import.meta.url), report(rows, new Date().toISOString().slice(0, 10)))
writeFileSync(new URL("../scenarios/schema.json", import.meta.url), `${JSON.stringify(jsonSchema(), null, 2)}\n`)
for (const library of libraries) {
  const tags = rows.map(({ results }) => results.get(library)?._tag)
  const count = (tag: string) => tags.filter((found) => found === tag).length
  console.log(`${library.name}: ${count("does")} as promised, ${count("otherwise")} otherwise`)
}
