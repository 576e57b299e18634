import * as Period from "@effect-resilience/tbm-studio/Period"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ExitStatus from "../ExitStatus.ts"
import * as cluster from "./cluster.ts"
import * as ClusterWorkers from "./clusterWorkers.ts"
import { type CommandOutput, onEarlyEnd, withEnd } from "./commandOutput.ts"
import * as LiveRegion from "./liveRegion.ts"
import * as Place from "./place.ts"
import * as textTable from "./textTable.ts"
import { clip } from "./textWidth.ts"
import * as units from "./units.ts"

/** Lists the workers of the cluster, once or until a signal. */
export const run = Effect.fnUntraced(
  function*(watch: boolean) {
    const list = Effect.mapError(ClusterWorkers.list, cluster.explain)
    const workers = yield* list
    if (!watch) return outputOf(workers)
    return yield* watching(list, workers)
  },
  Effect.provide(Layer.effectContext(Effect.mapError(Layer.build(cluster.database(undefined)), cluster.explain)))
)

type Workers = ReadonlyArray<ClusterWorkers.Worker>

/** Shows the workers until a signal ends it. Without a terminal, it prints their counts when they change. */
const watching = Effect.fnUntraced(function*<E, R>(list: Effect.Effect<Workers, E, R>, first: Workers) {
  const region = yield* LiveRegion.make
  let workers = first
  yield* onEarlyEnd((end) => withEnd(outputOf(workers), end))
  return yield* region.clearAfter(Effect.gen(function*() {
    while (true) {
      const shown = workers
      yield* region.follow(
        ({ columns, rows }) => textOf(shown, columns - 1).slice(0, rows - 1).map((line) => clip(line, columns - 1)),
        summaryOf(shown)
      )
      yield* Effect.sleep("1 second")
      workers = yield* list
    }
  }))
})

const outputOf = (workers: Workers): CommandOutput => ({
  json: {
    workers: workers.map(({ heartbeatMillis, isAlive, running, ...worker }) => ({
      ...worker,
      running: running.map(({ millis, place }) => ({
        ...Option.match(Place.parse(place), {
          onNone: () => ({ table: place }),
          onSome: (place) => ({ ...place, period: Period.format(place.period) })
        }),
        durationMs: Math.round(millis)
      })),
      heartbeatMs: Math.round(heartbeatMillis),
      isAlive
    }))
  },
  text: (width) => textOf(workers, width),
  exitStatus: workers.some(({ isAlive }) => isAlive) ? ExitStatus.done : ExitStatus.unavailable
})

const textOf = (workers: Workers, width: number): ReadonlyArray<string> => [
  ...workers.length === 0 ? [] : [...textTable.render(workers, columns, width), ""],
  ...workers.flatMap(({ address, isAlive, running }) =>
    !isAlive || running.length === 0
      ? []
      : [
        `${address} uploads`,
        ...running.map(({ millis, place }) => `  ${named(place)}, for ${units.duration(millis)}`)
      ]
  ),
  summaryOf(workers)
]

const summaryOf = (workers: Workers): string => {
  const alive = workers.filter(({ isAlive }) => isAlive)
  const lost = workers.length - alive.length
  const running = alive.reduce((sum, worker) => sum + worker.running.length, 0)
  const room = alive.reduce((sum, { concurrency }) => sum + concurrency, 0)
  return [
    alive.length === 0
      ? "No worker is there"
      : `${units.plural(alive.length, "worker")}, ${running} of at most ${units.plural(room, "upload")} at once`,
    ...lost === 0 ? [] : [`${lost} without a heartbeat`]
  ].join(" · ")
}

const named = (text: string): string =>
  Option.match(Place.parse(text), {
    onNone: () => text,
    onSome: ({ period, project, table }) => `${project} / ${table} / ${Period.format(period)}`
  })

const columns: ReadonlyArray<textTable.Column<ClusterWorkers.Worker>> = [
  { title: "Worker", least: 16, cell: ({ address }) => address },
  {
    title: "Share",
    align: "right",
    dispensable: 2,
    cell: ({ share }) => `${Math.round(share * 100)} %`
  },
  {
    title: "Running",
    align: "right",
    cell: ({ concurrency, isAlive, running }) => isAlive ? `${running.length} of ${concurrency}` : ""
  },
  { title: "Uploaded", align: "right", dispensable: 4, cell: ({ uploaded }) => String(uploaded) },
  { title: "Failed", align: "right", dispensable: 3, cell: ({ failed }) => String(failed) },
  { title: "Unknown", align: "right", dispensable: 3, cell: ({ unknown }) => String(unknown) },
  {
    title: "Heartbeat",
    cell: ({ heartbeatMillis, isAlive }) => `${units.duration(heartbeatMillis)} ago${isAlive ? "" : ", lost"}`
  }
]
