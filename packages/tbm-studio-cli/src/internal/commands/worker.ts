import * as Timeout from "@effect-resilience/deadline/Timeout"
import { Frontdoor } from "@effect-resilience/tbm-studio/Frontdoor"
import * as TableUploads from "@effect-resilience/tbm-studio/TableUploads"
import * as Journal from "@effect-resilience/upload/Journal"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as ExitStatus from "../../ExitStatus.ts"
import { leaveBehind, printOutput } from "../commandOutput.ts"
import * as Output from "../output.ts"
import { provideStudio } from "../runtime.ts"
import * as StopSignal from "../stopSignal.ts"

const flags = {
  host: Flag.String("host").pipe(
    Flag.withDescription("The name or address of this machine by which the other workers reach it (default 127.0.0.1)"),
    Flag.withDefault("127.0.0.1")
  ),
  port: Flag.Int("port").pipe(
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65535 }))),
    Flag.withDescription("The port to listen on for the other workers (default 34431)"),
    Flag.withDefault(34431)
  ),
  concurrency: Flag.Int("concurrency").pipe(
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 }))),
    Flag.withDescription("How many uploads this worker runs at once, 1 to 64 (default 4)"),
    Flag.withDefault(4)
  ),
  unknown: Flag.Literals("unknown", ["fail", "skip", "retry"]).pipe(
    Flag.withDescription("What to do with an append that a dead worker may have applied (default fail)"),
    Flag.withDefault("fail")
  ),
  changed: Flag.Literals("changed", ["fail", "skip", "send"]).pipe(
    Flag.withDescription("What to do with an append whose content has changed since it was uploaded (default fail)"),
    Flag.withDefault("fail")
  )
}

export const worker = Command.make(
  "worker",
  flags,
  ({ changed, concurrency, host, port, unknown }) =>
    Effect.gen(function*() {
      // Only this command and `batch --durable` load it.
      const [cluster, clusterStorage, clusterWorkers] = yield* Effect.promise(() =>
        Promise.all([import("../cluster.ts"), import("../clusterStorage.ts"), import("../clusterWorkers.ts")])
      )
      const { target } = yield* TableUploads.TableUploads
      yield* (yield* Frontdoor).tokens.get
      const watch = yield* watched
      const at = { host, port }
      // Uploads may arrive before everything below is ready, and so may the signal.
      const stop = yield* Effect.forkChild(
        Effect.andThen(
          StopSignal.first,
          Output.print("stderr", ["Stopping: running uploads may finish. A second signal abandons them."])
        ),
        { startImmediately: true }
      )
      const uploads = Effect.map(clusterStorage.lockLost(at), (lockLost) =>
        cluster.tables.layer(Effect.succeed(cluster.targetOf(target)), {
          concurrency,
          onUnknown: unknown,
          onChanged: changed,
          around: watch.around(lockLost)
        }))
      const layer = Layer.unwrap(uploads).pipe(
        Layer.provide(watch.layer),
        Layer.merge(
          Layer.effectDiscard(clusterWorkers.report(cluster.formatAddress(at), concurrency, watch.work))
        ),
        Layer.provide(cluster.layer(at))
      )
      const scope = yield* Scope.make()
      yield* Effect.gen(function*() {
        yield* Effect.mapError(Layer.buildWithScope(layer, scope), cluster.explain)
        yield* Output.print("stderr", [
          `Joined the cluster as ${host}:${port}. Waiting for uploads; Ctrl-C or SIGTERM stops.`
        ])
        yield* Fiber.join(stop)
        yield* watch.drain
      }).pipe(Effect.onExit((exit) =>
        leave(Scope.close(scope, exit))
      ))
      const { failed, unknown: unknownOutcomes, uploaded } = watch.counts
      return {
        json: { status: "stopped", uploaded, failed, unknown: unknownOutcomes },
        text: [`Stopped after ${uploaded} uploaded, ${failed} failed, ${unknownOutcomes} with unknown outcome.`],
        exitStatus: ExitStatus.done
      }
    }).pipe(provideStudio, printOutput)
).pipe(
  Command.withDescription("Run uploads of `batch --durable` as one of a cluster of machines"),
  Command.withExamples([
    {
      command: "DATABASE_URL=postgres://uploads@db/uploads tbm-studio worker --host worker-1.internal",
      description: "Join the cluster of that database; the files must be readable here under the submitted paths"
    }
  ])
)

/**
 * Leaves the cluster, which releases the shards. If that takes long, because of the database or of queued uploads, the
 * process ends anyway: its sessions end with it, and so do the locks.
 */
const leave = (close: Effect.Effect<void>) =>
  Effect.flatMap(
    Effect.forkDetach(close),
    (closing) => Timeout.withTimeoutOrElse(Fiber.await(closing), { duration: "2 seconds", orElse: () => leaveBehind })
  )

/** How long the journal's database may be unavailable before an upload fails, unless the worker is stopping. */
const outage = "15 seconds"

// Learns from the journal which uploads are running: between `started` and the next state, an upload must not be interrupted.
const watched = Effect.sync(() => {
  const started = new Map<string, { readonly since: number; readonly settled: Deferred.Deferred<void> }>()
  const counts = { uploaded: 0, failed: 0, unknown: 0 }
  let stopping = false

  const settle = (place: string) =>
    Effect.sync(() => {
      const running = started.get(place)
      started.delete(place)
      if (running !== undefined) Deferred.doneUnsafe(running.settled, Effect.void)
    })
  /** Waits until what is being sent is settled. */
  const settled = (place: string) => {
    const running = started.get(place)
    return running === undefined ? Effect.void : Deferred.await(running.settled)
  }
  const watch = (journal: Journal.Journal["Service"]): Journal.Journal["Service"] => ({
    ...journal,
    record: (entry, durable) =>
      Effect.gen(function*() {
        const record = Effect.retry(journal.record(entry, durable), {
          while: ({ cause }) => !stopping && !(cause instanceof Journal.PlaceTaken),
          schedule: Schedule.upTo(Schedule.spaced("500 millis"), { duration: outage })
        })
        if (entry.state === "started") {
          if (stopping) return yield* Effect.never
          started.set(entry.place, { since: yield* Clock.currentTimeMillis, settled: Deferred.makeUnsafe() })
          return yield* record
        }
        const { state } = entry
        const counted = Effect.sync(() => {
          if (state !== "waiting" && state !== "retrying") counts[state]++
        })
        yield* Effect.ensuring(Effect.andThen(record, counted), settle(entry.place))
      })
  })
  return {
    counts,
    /** What runs now, and what ended. */
    work: Effect.map(Clock.currentTimeMillis, (now) => ({
      ...counts,
      running: Array.from(started, ([place, { since }]) => ({ place, millis: Math.max(0, now - since) }))
    })),
    layer: Layer.effect(Journal.Journal, Effect.map(Journal.Journal, watch)),
    /**
     * The engine interrupts an upload whose shard moves to another worker. What is being sent then goes on to its end, and
     * the shard stays locked until then. If `lockLost` ends first, another worker may have taken over.
     *
     * Also settles an upload that ends without a journal entry.
     */
    around: (lockLost: Effect.Effect<void>) => <A, E, R>(place: string, upload: Effect.Effect<A, E, R>) =>
      Effect.flatMap(
        Effect.forkChild(upload),
        (sending) =>
          Effect.onInterrupt(
            Fiber.join(sending),
            () => Effect.andThen(Effect.raceFirst(settled(place), lockLost), Fiber.interrupt(sending))
          )
      ).pipe(Effect.ensuring(settle(place))),
    /** Starts nothing more, and waits for the running uploads. */
    drain: Effect.suspend(() => {
      stopping = true
      return Effect.forEach([...started.keys()], settled, { discard: true })
    })
  }
})
