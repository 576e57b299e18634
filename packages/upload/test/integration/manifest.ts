export interface Item {
  readonly id: string
  readonly table: string
  readonly action: "overwrite" | "append"
  readonly rows: string
}

export interface Outcome {
  readonly id: string
  readonly outcome: string
  readonly why?: string
}

/** So many items: half of them overwrite a table of their own, the others append to tables that they share. */
export const make = (count: number): ReadonlyArray<Item> =>
  Array.from({ length: count }, (_, i) =>
    i % 2 === 0
      ? { id: `${i}`, table: `overwritten ${i}`.replace(" ", "-"), action: "overwrite", rows: `row ${i}\n`.repeat(50) }
      : { id: `${i}`, table: `appended-${i % 20}`, action: "append", rows: `row ${i}\n` })
