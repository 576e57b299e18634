import { Recovery } from "@effect-resilience/errors"
import { AccessLog } from "@effect-resilience/http"
import { ErrorName } from "@effect-resilience/kernel"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import type { Simulator } from "@effect-resilience/tbm-simulator"
import { TableUploads, TbmStudio } from "@effect-resilience/tbm-studio"
import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
import { Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { Clock, Duration, Effect, Layer } from "effect"
import { createHash } from "node:crypto"

/** Everything between a program and the socket, except the settings. */
export const client = TbmStudio.layer.pipe(
  Layer.provideMerge(NodeHttpClient.layerUndici),
  Layer.provideMerge(NodeServices.layer)
)

/** `client` with a simulator at the other end. */
export const studio = (options?: Simulator.Options) => client.pipe(Layer.provideMerge(SimulatedStudio.layer(options)))

/** The tags of an error's reason and recovery. */
export const told = (
  error: unknown
): ReadonlyArray<string | undefined> => [ErrorName.reasonTagOf(error), Recovery.of(error)._tag]

/** Two immediate retries. */
export const quick = RetryPolicy.make({ times: 2, backoff: Backoff.immediate })

export const content = "account,amount\r\n5100,12.50\r\n"

export const md5 = (bytes: string | Uint8Array): string => createHash("md5").update(bytes).digest("hex")

/** Uploads to a table of its own. */
export const upload = Effect.fnUntraced(function*(
  options: Partial<Parameters<typeof TableUploads.make>[0]> & { readonly table: string },
  more: Parameters<typeof Uploader.upload>[2] = {}
) {
  const { target } = yield* TableUploads.TableUploads
  const item = yield* TableUploads.make({
    source: UploadSource.bytes("gl.csv", content),
    project: "P",
    period: "January:2024",
    ...options
  })
  return yield* Uploader.upload(target, item, { policy: quick, ...more })
})

/** Runs an effect, and returns its result and the lines of its access log. */
export const logged = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const entries: Array<AccessLog.Entry> = []
    return Effect.map(
      Effect.provideService(self, AccessLog.Current, { write: (entry) => Effect.sync(() => entries.push(entry)) }),
      (result) => ({ result, entries })
    )
  })

/**
 * Waits between attempts take a thirtieth of their time. Time limits are longer. They take still less, but only while `isSilent`: a
 * server that is merely slow, on a busy machine, exceeds none. The clock's time stays the same.
 */
export const impatient = <A, E, R>(self: Effect.Effect<A, E, R>, isSilent = () => false) =>
  Effect.flatMap(Clock.Clock, (clock) => {
    const silence = (millis: number): Effect.Effect<void> =>
      millis <= 0
        ? Effect.void
        : Effect.flatMap(clock.sleep(Duration.millis(5)), () => silence(isSilent() ? millis - 5 : millis))
    const hurried: Clock.Clock = Object.create(clock, {
      sleep: {
        value: (duration: Duration.Duration) =>
          Duration.toSeconds(duration) < 5
            ? clock.sleep(Duration.times(duration, 1 / 30))
            : silence(Duration.toMillis(duration) / 150)
      }
    })
    return Effect.provideService(self, Clock.Clock, hurried)
  })

/** Polls until the condition is true. */
export const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  condition.pipe(
    Effect.tap((met) => met ? Effect.void : Effect.sleep("5 millis")),
    Effect.repeat({ until: (met) => met })
  )
