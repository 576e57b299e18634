/** The pictures of READMEs and guides, drawn by the page: `npm run pictures`. */
import { mkdirSync, writeFileSync } from "node:fs"
import { respond } from "./src/respond.ts"
import { worldOf } from "./src/scenario.ts"
import { stories } from "./src/stories.ts"

const directory = new URL("../../../docs/pictures/", import.meta.url)

/** Each file with what it should hold. */
export const files = async (): Promise<ReadonlyArray<{ readonly file: URL; readonly svg: string }>> => {
  const [{ scenario }] = stories
  const lanes = ["yours", "safer"] as const
  return Promise.all(lanes.map(async (lane) => ({
    file: new URL(`outage-${lane}.svg`, directory),
    svg: String(await respond("write", [worldOf(scenario, lane), scenario[lane], "svg"]))
  })))
}

if (import.meta.main) {
  mkdirSync(directory, { recursive: true })
  for (const { file, svg } of await files()) writeFileSync(file, svg)
}
