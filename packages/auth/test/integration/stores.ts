import * as Lease from "@effect-resilience/deadline/Lease"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { NodeRedis } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Layer, Redacted } from "effect"
import { Persistence } from "effect/persistence"
import type { SqlClient } from "effect/sql"

const redis = Layer.mergeAll(Persistence.layerBackingRedis, Lease.layerRedis)
const sql = Layer.mergeAll(Persistence.layerBackingSql, Lease.layerSql)

/** A store and its leases: in a SQLite file, or at a redis:// or a postgres:// address. */
export const storeAt = (address: string): Layer.Layer<Persistence.BackingPersistence | Lease.Lease> => {
  if (address.startsWith("redis:")) return Layer.orDie(Layer.provide(redis, NodeRedis.layer({ url: address })))
  const client: Layer.Layer<SqlClient.SqlClient, unknown> = address.startsWith("postgres:")
    ? PgClient.layer({ url: Redacted.make(address) })
    : SqliteClient.layer({ filename: address })
  return Layer.orDie(Layer.provide(sql, client))
}
