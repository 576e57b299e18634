import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Period from "@effect-resilience/tbm-studio/Period"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import type { TableUpload } from "@effect-resilience/tbm-studio/TableUploads"
import * as DurableUpload from "@effect-resilience/upload/DurableUpload"
import * as SqlJournal from "@effect-resilience/upload/SqlJournal"
import * as UploadSource from "@effect-resilience/upload/UploadSource"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as BoundedPg from "./boundedPg.ts"
import * as ClusterStorage from "./clusterStorage.ts"
import * as ClusterWorkers from "./clusterWorkers.ts"
import { InvalidOption } from "./runtime.ts"

/**
 * An upload as the cluster stores it. `place` and `name` are those of a manifest's journal. `file` is a path that leads to the
 * same file on the submitting machine and on every worker. `version` is that of the file when it was submitted, if the
 * submitting machine could read it.
 */
export const Item = Schema.Struct({
  place: Schema.String,
  name: Schema.String,
  file: Schema.String,
  project: Schema.String,
  table: Schema.String,
  period: Schema.String.pipe(
    Schema.refine((text): text is Period.Period => Result.isSuccess(Period.parse(text)))
  ),
  action: Schema.Literals(TableAddress.actions),
  version: Schema.optionalKey(Schema.String)
})

export const tables = DurableUpload.make("tbm-studio tables", {
  item: Item,
  name: ({ name }) => name,
  place: ({ place }) => place,
  // The same file with another action is another upload.
  version: ({ action, version }) => `${action} ${version ?? ""}`
})

/** A file whose version is the same on every machine: device and inode numbers differ between machines. */
export const sharedFile = (file: string): UploadSource.UploadSource<FileSystem.FileSystem> => {
  const source = UploadSource.file(file)
  const open = Effect.gen(function*() {
    const opened = yield* source.open
    const info = yield* Effect.option(Effect.flatMap(FileSystem.FileSystem, (fs) => fs.stat(file)))
    const version = Option.map(info, ({ mtime, size }) => `${size}:${Option.getOrUndefined(mtime)?.getTime() ?? 0}`)
    return { ...opened, version: Option.getOrUndefined(version) }
  })
  return { ...source, open }
}

const uploadOf = ({ action, file, period, project, table }: typeof Item.Type): TableUpload => ({
  source: sharedFile(file),
  address: { project, table, period },
  action,
  force: false
})

/** Adapts a target of table uploads to the items of the cluster. */
export const targetOf = <Receipt, E, R>(
  target: UploadTarget.UploadTarget<TableUpload, Receipt, E, R>
): UploadTarget.UploadTarget<typeof Item.Type, Receipt, E, R> => ({
  ...target,
  operation: (item) => target.operation(uploadOf(item)),
  source: (item) => target.source(uploadOf(item)),
  key: undefined,
  send: (item, payload) => target.send(uploadOf(item), payload)
})

/** The cluster's database cannot be used. */
export class ClusterUnavailable extends Data.TaggedError("ClusterUnavailable")<{ readonly message: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
}

/** The address by which other workers reach a worker. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** The engine and the journal of the cluster that `DATABASE_URL` names. Without an address the process only submits. */
export const layer = (address: Address | undefined) => Layer.provideMerge(engine(address), database(address))

/** The address as the database has it. */
export const formatAddress = ({ host, port }: Address): string => `${host}:${port}`

// If a worker dies or is cut off, its heartbeat stops. When the lock has expired, the next refresh of the assignments notices.
// By then the database has ended the worker's session, and with it its locks. So no upload waits longer than 15 seconds.
const sharding = {
  shardLockRefreshInterval: "3 seconds",
  shardLockExpiration: "9 seconds",
  refreshAssignmentsInterval: "2 seconds",
  entityMessagePollInterval: "2 seconds",
  runnerHealthCheckInterval: "5 seconds",
  entityTerminationTimeout: "3 seconds"
} as const

/** How long a worker waits for a statement, and for an entry of the journal. */
const storeTimeout = "3 seconds"

/** After how many seconds the database cancels a statement. */
const statementTimeout = 9

const engine = (address: Address | undefined) => {
  const config = {
    ...sharding,
    runnerAddress: Option.map(Option.fromUndefinedOr(address), ({ host, port }) => RunnerAddress.make(host, port))
  }
  return Layer.merge(
    ClusterWorkflowEngine.layer.pipe(
      Layer.provide(
        address === undefined
          ? Layer.provide(ClusterStorage.submitter, ShardingConfig.layerFromEnv(config))
          : NodeClusterSocket.layer({ storage: "byo", shardingConfig: config })
      ),
      Layer.provideMerge(
        Layer.provide(ClusterStorage.layer(Duration.seconds(statementTimeout)), ShardingConfig.layerFromEnv(config))
      )
    ),
    SqlJournal.layer({ storeTimeout })
  )
}

/** The database of the cluster. */
export const database = (address: Address | undefined) =>
  Layer.unwrap(Effect.gen(function*() {
    const url = yield* Effect.orElseSucceed(Config.option(Config.Redacted("DATABASE_URL")), () => Option.none())
    if (Option.isNone(url) || Redacted.value(url.value).trim() === "") {
      return yield* new InvalidOption({
        message:
          "DATABASE_URL is not set. Set it to the Postgres database of the cluster: postgres://USER@HOST/DATABASE."
      })
    }
    if (!/^postgres(ql)?:\/\//.test(Redacted.value(url.value))) {
      return yield* new InvalidOption({
        message: "DATABASE_URL is not an address of Postgres: postgres://USER@HOST/DATABASE."
      })
    }
    // The layers above treat an unreachable database as a defect.
    return Layer.tap(
      Layer.provide(
        BoundedPg.layer(storeTimeout),
        PgClient.layer({
          url: url.value,
          applicationName: ClusterWorkers.applicationName(address && formatAddress(address)),
          connectTimeout: storeTimeout,
          // Otherwise a worker that is cut off inside a transaction would lock its rows forever.
          startupParameters: { idle_in_transaction_session_timeout: "9s", statement_timeout: `${statementTimeout}s` }
        })
      ),
      Effect.fnUntraced(function*(context) {
        yield* Context.get(context, SqlClient.SqlClient)`SELECT 1`
      })
    )
  }))

/** Describes the failures of a cluster's layer for people. No message has the address, which may contain a password. */
export const explain = (error: Layer.Error<ReturnType<typeof layer>>): InvalidOption | ClusterUnavailable => {
  switch (error._tag) {
    case "InvalidOption":
      return error
    case "ConfigError":
      return new InvalidOption({ message: `The cluster's settings: ${error.message}` })
    case "SocketServerError":
      return new InvalidOption({ message: "The worker cannot listen there: use another --port, or another --host." })
    default: {
      const cause = error._tag === "SqlError" ? ErrorMessage.messageOf(error.reason.cause) : undefined
      const why = cause === undefined ? "" : `: ${cause}`
      return new ClusterUnavailable({
        message: `The database that DATABASE_URL names cannot be used: ${error.message}${why}.`
      })
    }
  }
}
