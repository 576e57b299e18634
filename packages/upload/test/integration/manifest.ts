import { assert } from "@effect/vitest"
import { createHash } from "node:crypto"

export interface Item {
  readonly id: string
  readonly table: string
  readonly action: "overwrite" | "append"
  readonly rows: string
}

export interface Outcome {
  readonly id: string
  readonly outcome: string
  readonly why?: string | undefined
}

/** So many items: half of them overwrite a table of their own, the others append to tables that they share. */
export const make = (count: number): ReadonlyArray<Item> =>
  Array.from({ length: count }, (_, i) =>
    i % 2 === 0
      ? { id: `${i}`, table: `overwritten ${i}`.replace(" ", "-"), action: "overwrite", rows: `row ${i}\n`.repeat(50) }
      : { id: `${i}`, table: `appended-${i % 20}`, action: "append", rows: `row ${i}\n` })

/** What a server keeps, by table. */
export type Tables = Map<string, string>

/** Applies an upload as its address says. The digest of what came is the response. */
export const store = (tables: Tables, url: string, body: Buffer) => {
  const [, table = "", action] = url.split("/")
  const rows = body.subarray(body.indexOf("\r\n\r\n") + 4, body.lastIndexOf("\r\n--"))
  return {
    apply: () => tables.set(table, (action === "append" ? tables.get(table) ?? "" : "") + rows.toString()),
    digest: createHash("md5").update(rows).digest("hex")
  }
}

/**
 * Nothing is lost, nothing is there twice, and what is in doubt is reported. Returns how many are in doubt. With `mayFail`, an item may
 * also have failed for good: what may be sent again is then there or not, and all else is not there.
 */
export const verify = (
  items: ReadonlyArray<Item>,
  outcomes: ReadonlyArray<Outcome>,
  tables: Tables,
  mayFail = false
): number => {
  assert.strictEqual(outcomes.length, items.length)
  const doubts: ReadonlyArray<string | undefined> = ["InDoubt", "OutcomeUnknown"]
  const absent = new Set<string>()
  const repeatable = new Set(items.filter(({ action }) => action === "overwrite").map(({ id }) => id))
  const doubtful = new Set(outcomes.filter(({ outcome }) => outcome === "Failed").map(({ id }) => id))
  const places = new Set(items.filter(({ id }) => doubtful.has(id)).map(({ table }) => table))
  const waiting = new Set(
    outcomes.filter(({ id, outcome }) =>
      outcome === "NotStarted" && places.has(items.find((item) => item.id === id)?.table ?? "")
    ).map(({ id }) => id)
  )
  for (const { id, outcome, why } of outcomes) {
    if (outcome === "Failed" && mayFail) {
      if (!doubts.includes(why) && !repeatable.has(id)) absent.add(id)
    } else if (outcome === "Failed") assert.include(doubts, why, `item ${id}`)
    // Behind one in doubt, its place waits.
    else if (outcome === "NotStarted") assert.isTrue(waiting.has(id))
    else assert.include(["Uploaded", "Skipped"], outcome)
  }
  for (const { action, id, rows, table } of items) {
    const stored = tables.get(table) ?? ""
    if (action === "overwrite" && mayFail && doubtful.has(id)) assert.include([rows, ""], stored)
    else if (action === "overwrite") assert.strictEqual(stored, rows)
    else {
      const times = stored.split("\n").filter((row) => row === `row ${id}`).length
      if (waiting.has(id) || absent.has(id)) assert.strictEqual(times, 0, `item ${id} waits, or was not applied`)
      else if (doubtful.has(id)) assert.isAtMost(times, 1, `item ${id} was in doubt`)
      else assert.strictEqual(times, 1, `item ${id}`)
    }
  }
  return doubtful.size
}
