import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Time from "@effect-resilience/kernel/Time"
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { EntityNotAssignedToRunner } from "effect/cluster/ClusterError"
import { CurrentAddress } from "effect/cluster/Entity"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import type { ShardId } from "effect/cluster/ShardId"
import * as Sharding from "effect/cluster/Sharding"
import type { ShardingConfig } from "effect/cluster/ShardingConfig"
import * as Snowflake from "effect/cluster/Snowflake"
import * as SqlMessageStorage from "effect/cluster/SqlMessageStorage"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import type * as SqlClient from "effect/sql/SqlClient"

/**
 * The storage of a cluster on a database that may be slow or unresponsive for a while. `statementTimeout` is how long the
 * database continues a statement that the client has abandoned.
 */
export const layer = (
  statementTimeout: Duration.Input
): Layer.Layer<
  MessageStorage.MessageStorage | RunnerStorage.RunnerStorage,
  never,
  SqlClient.SqlClient | ShardingConfig
> =>
  Layer.merge(
    Layer.effect(
      MessageStorage.MessageStorage,
      Effect.map(MessageStorage.MessageStorage, (storage) => withClaimsGivenBack(storage, statementTimeout))
    ).pipe(Layer.provide(Layer.provide(SqlMessageStorage.layer, NodeCrypto.layerDigest))),
    Layer.effect(RunnerStorage.RunnerStorage, Effect.map(RunnerStorage.RunnerStorage, withPacedReleases)).pipe(
      Layer.provide(Layer.orDie(SqlRunnerStorage.layer))
    )
  )

type Messages = MessageStorage.MessageStorage["Service"]

/**
 * A read claims its messages for ten minutes. The engine ignores a read that fails after its claim, and a claim that it
 * cannot release: then those messages are not processed for ten minutes. So before each read this storage releases the
 * claims that a failure may have left. Messages that are being processed are read again, and the engine skips them.
 */
export const withClaimsGivenBack = (storage: Messages, statementTimeout: Duration.Input): Messages => {
  const late = Duration.toMillis(Duration.fromInputUnsafe(statementTimeout))
  // Until when an abandoned statement may still claim messages of these shards.
  const shards = new Map<ShardId, number>()
  const requests = new Set<Snowflake.Snowflake>()

  const noting = <A, E, R>(call: Effect.Effect<A, E, R>, lost: (until: number) => void) =>
    Effect.withFiber<A, E, R>(({ context }) =>
      Effect.onExitPrimitive(call, (exit) => {
        if (Exit.isFailure(exit)) lost(Time.nowUnsafe(context) + late)
        return undefined
      })
    )
  const losing = (ids: Iterable<ShardId>) => (until: number) => {
    for (const id of ids) shards.set(id, until)
  }
  const losingRequests = (ids: ReadonlyArray<Snowflake.Snowflake>) => () => {
    for (const id of ids) requests.add(id)
  }
  const resetShards = (ids: Iterable<ShardId>) => {
    const all = [...ids]
    return noting(storage.resetShards(all), losing(all))
  }
  const resetRequests = (ids: ReadonlyArray<Snowflake.Snowflake>) =>
    noting(storage.resetRequests(ids), losingRequests(ids))

  // Only for shards that this runner still holds: the new runner of another shard released its claims when it took it over.
  const giveBack = (held: ReadonlyArray<ShardId>) =>
    Effect.withFiber<void>(({ context }) => {
      const now = Time.nowUnsafe(context)
      const due = held.filter((id) => shards.has(id))
      const over = due.filter((id) => (shards.get(id) ?? 0) <= now)
      const lost = [...requests]
      requests.clear()
      return Effect.andThen(
        lost.length === 0 ? Effect.void : Effect.ignore(resetRequests(lost)),
        due.length === 0 ? Effect.void : Effect.ignore(Effect.andThen(
          storage.resetShards(due),
          Effect.sync(() => {
            for (const id of over) shards.delete(id)
          })
        ))
      )
    })

  return {
    ...storage,
    unprocessedMessages: (shardIds, options) =>
      Effect.suspend(() => {
        const held = [...shardIds]
        return Effect.andThen(giveBack(held), noting(storage.unprocessedMessages(held, options), losing(held)))
      }),
    resetShards,
    resetRequests,
    resetAddress: (address) => noting(storage.resetAddress(address), losing([address.shardId])),
    resetAddresses: (addresses) =>
      noting(storage.resetAddresses(addresses), losing(addresses.map(({ shardId }) => shardId)))
  }
}

/**
 * When a runner joins, the others release their surplus shards all at once, over one connection, and each release has a time
 * limit of a few seconds. Over a slow connection the last ones exceed it, which costs the connection and with it every lock.
 * So only a few releases run at a time.
 */
const withPacedReleases = (storage: RunnerStorage.RunnerStorage["Service"]): RunnerStorage.RunnerStorage["Service"] => {
  const permits = Semaphore.makeUnsafe(4)
  return { ...storage, release: (address, shardId) => permits.withPermit(storage.release(address, shardId)) }
}

/**
 * Makes an effect for an upload of this runner: it ends when the runner no longer holds the lock of that upload's shard, or when
 * the database does not tell within a second. A runner that is cut off must end its uploads before another one takes over.
 */
export const lockLost = (runner: { readonly host: string; readonly port: number }) =>
  Effect.map(RunnerStorage.RunnerStorage, (storage) => {
    const address = RunnerAddress.make(runner.host, runner.port)
    const holds = Effect.fnUntraced(function*(shardId: ShardId) {
      const held = yield* storage.refresh(address, [shardId])
      return held.some((id) => Equal.equals(id, shardId))
    }, Timeout.withTimeout("1 second"))
    return Effect.gen(function*() {
      const upload = yield* Effect.serviceOption(CurrentAddress)
      if (Option.isNone(upload)) return
      const held = Effect.orElseSucceed(holds(upload.value.shardId), () => false)
      yield* Effect.repeat(held, { while: (held) => held, schedule: Schedule.spaced("1 second") })
    })
  })

/**
 * The cluster for a process that only submits. The assigned worker is notified at once, and usually responds. A worker that
 * is cut off from the database does not respond: its callers would wait while another worker does the work. So if no
 * response arrives within seconds, it is read from the database.
 */
export const submitter: Layer.Layer<
  Sharding.Sharding | Runners.Runners,
  never,
  ShardingConfig | MessageStorage.MessageStorage | RunnerStorage.RunnerStorage
> = Sharding.layer.pipe(
  Layer.provideMerge(
    Layer.effect(
      Runners.Runners,
      Effect.gen(function*() {
        const { codecFor } = yield* Runners.RpcClientProtocol
        const direct = yield* Runners.makeRpc
        const within = StoreTimeout.each("5 seconds")
        return yield* Runners.make({
          ...direct,
          codecFor,
          send: (options) =>
            Effect.catchTag(
              within(direct.send(options)),
              "TimedOut",
              () => Effect.fail(new EntityNotAssignedToRunner({ address: options.message.envelope.address }))
            ),
          // Workers poll every two seconds for what has been submitted before.
          notify: () => Effect.void
        })
      })
    ).pipe(
      Layer.provide(Snowflake.layerGenerator),
      Layer.provide(NodeClusterSocket.layerClientProtocol),
      Layer.provide(RpcSerialization.layerSchemaBinary())
    )
  ),
  Layer.provide(RunnerHealth.layerNoop)
)
