import { monotonicMillis } from "@effect-resilience/kernel/Time"
import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Hashing from "../Hashing.ts"
import * as UploadError from "../UploadError.ts"
import type * as UploadSource from "../UploadSource.ts"
import type { Payload, Sent } from "../UploadTarget.ts"
import { rechunk } from "./rechunk.ts"
import * as WholeBody from "./wholeBody.ts"

/** What the timers and the error handling of an attempt need to know of its body. */
export interface BodyTracker {
  readonly payload: Payload
  /** Forgets what belongs to the previous attempt. */
  readonly reset: () => void
  /** `entrusted`: a browser has all of it, and does not say how much it has sent. */
  readonly phase: () => "idle" | "sending" | "entrusted" | "sent"
  readonly lastActivityMillis: () => number
  /** Whether the source was read at all, by this attempt or an earlier one. */
  readonly started: () => boolean
  readonly failure: () => UploadError.UploadError | undefined
  readonly sent: Effect.Effect<Sent | undefined, UploadError.UploadError>
  /** The size of the source; where that is unknown, what this attempt read and what the server already had. */
  readonly bytes: () => number
}

export const make = (options: {
  readonly source: UploadSource.UploadSource<unknown>
  readonly opened: UploadSource.Opened
  readonly hashing: Hashing.Hashing
  readonly algorithms: ReadonlyArray<Hashing.Algorithm>
  readonly idempotent: boolean
  readonly scope: Scope.Scope
  readonly clock: Clock.Clock
  readonly onBytes: (bytes: number) => Effect.Effect<void>
  readonly onSent: Effect.Effect<void>
}): BodyTracker => {
  const { algorithms, clock, hashing, idempotent, onBytes, onSent, opened, scope, source } = options
  const now = () => monotonicMillis(clock)
  // By offset, the latest running reading of each part. A reading that an early response cut short may never end; the one that
  // replaces it must not wait for it.
  const active = new Map<number, object>()
  let complete = false
  let lastActivity = 0
  let started = false
  let failure: UploadError.UploadError | undefined
  let highWater = 0
  let base = 0
  let ranges = new Map<number, number>()
  let body: HashedBody | undefined
  // By offset, what is left to do for a reading that was handed over, once there is a response.
  const entrusted = new Map<number, Effect.Effect<void>>()
  const responded = Effect.suspend(() => {
    const endings = [...entrusted.values()]
    entrusted.clear()
    return Effect.all(endings, { discard: true })
  })

  const advance = (total: number): Effect.Effect<void> => {
    const bytes = Math.min(total, opened.size ?? total)
    if (bytes <= highWater) return Effect.void
    highWater = bytes
    return onBytes(bytes)
  }

  /** One reading of the source, or of a part of it from `offset`. */
  const begin = (offset: number) => {
    const reading = {}
    started = true
    failure = undefined
    complete = false
    entrusted.delete(offset)
    active.set(offset, reading)
    lastActivity = now()
    return {
      alive: (): void => {
        lastActivity = now()
      },
      moved: (total: number): Effect.Effect<void> => {
        lastActivity = now()
        return advance(total)
      },
      ended: (): Effect.Effect<void> => {
        if (active.get(offset) !== reading) return Effect.void
        lastActivity = now()
        active.delete(offset)
        complete = active.size === 0
        return complete ? onSent : Effect.void
      },
      failed: (cause: Cause.Cause<unknown>): void => {
        if (active.get(offset) !== reading) return
        for (const reason of cause.reasons) {
          if (reason._tag === "Fail" && reason.error instanceof UploadError.UploadError) failure = reason.error
        }
      }
    }
  }

  const watch = (
    offset: number,
    bytes: Stream.Stream<Uint8Array, UploadError.UploadError>,
    start: Effect.Effect<BodyReader>
  ): Stream.Stream<Uint8Array, UploadError.UploadError> =>
    Stream.transformPull(bytes, (upstream) =>
      Effect.map(start, (reader) => {
        const { ended, failed, moved } = begin(offset)
        const pull = Effect.andThen(reader.settled, rechunk(upstream, now)).pipe(
          Effect.tapCause((cause) => Pull.isDoneCause(cause) ? ended() : Effect.sync(() => failed(cause)))
        )
        const watched = Effect.flatMap(pull, (chunks) => {
          const notified = moved(reader.add(chunks[0]))
          return Effect.as(reader.isComplete() ? Effect.andThen(notified, ended()) : notified, chunks)
        })
        return Effect.suspend(() => {
          lastActivity = now()
          return watched
        })
      }))

  const handOver = (
    offset: number,
    parts: WholeBody.Parts<UploadError.UploadError>,
    prepare: (reading: ReturnType<typeof begin>) => Effect.Effect<() => number, UploadError.UploadError>
  ): WholeBody.Parts<UploadError.UploadError> =>
    Effect.suspend(() => {
      const reading = begin(offset)
      return Effect.zipWith(prepare(reading), parts, (total, parts) => {
        reading.alive()
        entrusted.set(offset, Effect.suspend(() => Effect.andThen(reading.moved(total()), reading.ended())))
        return parts
      }).pipe(Effect.tapCause((cause) => Effect.sync(() => reading.failed(cause))))
    })

  const startBody = Effect.map(
    Scope.provide(hashing.start(algorithms, { size: opened.size }), scope),
    (hasher) => body = new HashedBody(source.name, opened.size, idempotent, hasher)
  )
  const streamed = () => watch(0, opened.bytes(), startBody)
  const whole = opened.bytes()
  const read = WholeBody.of(whole)
  const parts = WholeBody.partsOf(whole)
  const inWholeBody = (read: WholeBody.Read<UploadError.UploadError>) =>
    WholeBody.make(
      (before, after) =>
        Effect.flatMap(startBody, (body) => {
          const { ended, failed, moved } = begin(0)
          return Effect.matchCauseEffect(read(before, after), {
            onFailure: (cause) => {
              failed(cause)
              return Effect.failCause(cause)
            },
            onSuccess: (bytes) => {
              const own = before + after === 0 ? bytes : bytes.subarray(before, bytes.length - after)
              return Effect.as(Effect.andThen(moved(body.add(own)), ended()), bytes)
            }
          })
        }),
      streamed
    )
  // A browser reads the parts itself, so they are hashed before.
  const inParts = (parts: WholeBody.Parts<UploadError.UploadError>) =>
    WholeBody.inParts(
      handOver(0, parts, ({ alive }) =>
        Effect.flatMap(startBody, (body) =>
          Effect.as(
            algorithms.length === 0
              ? Effect.sync(() => body.trust())
              : Stream.runForEach(opened.bytes(), (chunk) => {
                alive()
                return body.hash(chunk)
              }),
            () => body.bytes
          ))),
      streamed
    )
  const stream = read !== undefined
    ? inWholeBody(read)
    : parts !== undefined
    ? inParts(parts)
    : Stream.suspend(streamed)

  const inRanges = () => {
    let total = base
    for (const bytes of ranges.values()) total += bytes
    return total
  }

  const range = (part: UploadSource.Range) => {
    const parts = WholeBody.partsOf(opened.bytes(part))
    return parts === undefined ? streamedRange(part) : WholeBody.inParts(
      handOver(part.offset, parts, () =>
        Effect.succeed(() => {
          ranges.set(part.offset, part.length ?? (opened.size ?? 0) - part.offset)
          return inRanges()
        })),
      () => streamedRange(part)
    )
  }
  const streamedRange = ({ length, offset }: UploadSource.Range) =>
    Stream.suspend(() => {
      const size = opened.size === undefined ? length : Math.min(opened.size - offset, length ?? Infinity)
      return watch(
        offset,
        opened.bytes({ offset, length }),
        Effect.sync(() => {
          let count = 0
          ranges.delete(offset)
          return {
            add: (chunk) => {
              ranges.set(offset, count += chunk.length)
              return inRanges()
            },
            isComplete: () => count === size,
            settled: Effect.void
          }
        })
      )
    })

  const sent = Effect.andThen(
    responded,
    Effect.suspend((): Effect.Effect<Sent | undefined, UploadError.UploadError> =>
      body === undefined || !complete ? Effect.undefined : body.sent
    )
  )

  return {
    payload: {
      name: source.name,
      size: opened.size,
      version: opened.version,
      stream,
      range,
      accepted: (offset) =>
        Effect.andThen(
          responded,
          Effect.suspend(() => {
            base = offset
            ranges = new Map()
            // If an earlier upload has sent all of it, nothing is read.
            const isAll = !complete && active.size === 0 && offset === opened.size
            return Effect.andThen(advance(offset), isAll ? onSent : Effect.void)
          })
        ),
      sent: Effect.flatMap(sent, (sent) =>
        sent !== undefined ? Effect.succeed(sent) : Effect.fail(
          new UploadError.UploadError({
            source: source.name,
            reason: new UploadError.IncompleteBody({ sent: body?.bytes ?? 0, size: opened.size, idempotent })
          })
        ))
    },
    reset: () => {
      active.clear()
      entrusted.clear()
      complete = false
      failure = undefined
      body = undefined
      base = 0
      ranges = new Map()
    },
    phase: () =>
      active.size > entrusted.size ? "sending" : entrusted.size > 0 ? "entrusted" : complete ? "sent" : "idle",
    lastActivityMillis: () => lastActivity,
    started: () => started,
    failure: () => failure,
    sent,
    bytes: () => opened.size ?? body?.bytes ?? inRanges()
  }
}

/** Follows one reading of the source. `settled` finishes the work on a chunk when the next one is requested. */
interface BodyReader {
  readonly add: (chunk: Uint8Array) => number
  readonly isComplete: () => boolean
  readonly settled: Effect.Effect<void, UploadError.UploadError>
}

// A chunk is hashed when the next one is requested: by then the transport has it, and sends it while this computes.
class HashedBody implements BodyReader {
  bytes = 0
  private readonly name: string
  private readonly size: number | undefined
  private readonly idempotent: boolean
  private readonly hasher: Hashing.Hasher
  private pending: Uint8Array | undefined
  private result: Sent | undefined
  constructor(name: string, size: number | undefined, idempotent: boolean, hasher: Hashing.Hasher) {
    this.name = name
    this.size = size
    this.idempotent = idempotent
    this.hasher = hasher
  }
  add(chunk: Uint8Array): number {
    this.pending = chunk
    return this.bytes += chunk.length
  }
  /** Hashes a chunk at once, which nothing sends meanwhile. */
  hash(chunk: Uint8Array): Effect.Effect<void, UploadError.UploadError> {
    this.add(chunk)
    return this.hashed
  }
  /** Takes all bytes as sent, unseen. */
  trust(): void {
    this.bytes = this.size ?? 0
  }
  isComplete(): boolean {
    return this.bytes === this.size
  }
  // `sent` hashes the last chunk: the response may interrupt or overtake its reader.
  readonly settled: Effect.Effect<void, UploadError.UploadError> = Effect.suspend(() =>
    this.isComplete() ? Effect.void : this.hashed
  )
  readonly sent: Effect.Effect<Sent, UploadError.UploadError> = Effect.suspend(() =>
    this.result !== undefined ? Effect.succeed(this.result) : this.hashed.pipe(
      Effect.andThen(Effect.mapError(this.hasher.digest, this.failed)),
      Effect.map((digests) => this.result = { bytes: this.bytes, ...digests })
    )
  )
  private readonly hashed = Effect.suspend(() => {
    const { pending } = this
    this.pending = undefined
    return pending === undefined ? Effect.void : Effect.mapError(this.hasher.update(pending), this.failed)
  })
  private readonly failed = ({ description }: Hashing.HashingError) =>
    new UploadError.UploadError({
      source: this.name,
      reason: new UploadError.HashingFailed({ description, idempotent: this.idempotent })
    })
}
