import type { SimulatorState } from "@effect-resilience/tbm-simulator"
import { createHash } from "node:crypto"

type Upload = Pick<SimulatorState.StoredUpload, "action" | "md5" | "table">

/** How often a content is in a table, counted from the table's last overwrite. Each table has one period. */
export const timesStored = (uploads: ReadonlyArray<Upload>): (table: string, content: string) => number => {
  const present = new Map<string, Array<string>>()
  for (const { action, md5, table } of uploads) {
    present.set(table, [...action === "overwrite" ? [] : present.get(table) ?? [], md5])
  }
  return (table, content) => {
    const md5 = createHash("md5").update(content).digest("hex")
    return present.get(table)?.filter((stored) => stored === md5).length ?? 0
  }
}
