// examples/durable-program.ts: what durable-embedded.ts and durable-cluster.ts share. They differ in layers only.
import { TableAddress, TableUploads } from "@effect-resilience/tbm-studio"
import { DurableUpload, UploadSource } from "@effect-resilience/upload"
import { Console, Effect, Result, Schema } from "effect"

// What the engine stores of an item: enough for any worker to upload it. Big tables are better named than carried.
const Table = Schema.Struct({ table: Schema.String, period: Schema.String, csv: Schema.String })

const uploads = DurableUpload.make("month end", { item: Table, name: ({ period, table }) => `${table} ${period}` })

const uploadOf = ({ csv, period, table }: typeof Table.Type): TableUploads.TableUpload => ({
  source: UploadSource.bytes(`${table}.csv`, csv),
  address: Result.getOrThrow(TableAddress.make({ project: "Cost Transparency", table, period })),
  action: "overwrite",
  force: false
})

// A worker uploads what anybody gives to the engine that it shares.
export const worker = uploads.layer(Effect.map(TableUploads.TableUploads, ({ target }) => ({
  ...target,
  operation: (item: typeof Table.Type) => target.operation(uploadOf(item)),
  source: (item: typeof Table.Type) => target.source(uploadOf(item)),
  key: undefined,
  send: (item: typeof Table.Type, payload) => target.send(uploadOf(item), payload)
})))

const tables = ["GL Data", "Cost Centers", "Vendors"].map((table) => ({
  table,
  period: "January:2024",
  csv: "Account,Amount\n5100,12.50\n"
}))

// Run again, after a crash or not, it goes on where it stood: what is uploaded is not sent again.
export const program = Effect.gen(function*() {
  const { results, totals } = yield* uploads.run("January", tables)
  for (const result of results) yield* Console.log(`${result.item.table}: ${result._tag}`)
  return totals
})
