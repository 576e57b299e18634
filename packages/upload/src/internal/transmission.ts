import type * as Arr from "effect/Array"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type * as Hashing from "../Hashing.ts"
import * as UploadError from "../UploadError.ts"
import type * as UploadSource from "../UploadSource.ts"
import type { Payload, Sent } from "../UploadTarget.ts"

/** What the timers and the error handling of an attempt need to know of its body. */
export interface Transmission {
  readonly payload: Payload
  /** Forgets what belongs to the attempt before. */
  readonly reset: () => void
  readonly phase: () => "idle" | "sending" | "sent"
  readonly lastActivityMillis: () => number
  /** Whether the source was read at all, by this attempt or an earlier one. */
  readonly started: () => boolean
  readonly failure: () => UploadError.UploadError | undefined
  readonly sent: () => Sent | undefined
}

export const make = (options: {
  readonly source: UploadSource.UploadSource<unknown>
  readonly opened: UploadSource.Opened
  readonly hashing: Hashing.Hashing
  readonly algorithms: ReadonlyArray<Hashing.Algorithm>
  readonly idempotent: boolean
  readonly clock: Clock.Clock
  readonly onBytes: (bytes: number) => Effect.Effect<void>
  readonly onSent: Effect.Effect<void>
}): Transmission => {
  const { algorithms, clock, hashing, idempotent, onBytes, onSent, opened, source } = options
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  // By offset, the latest reading of each part that is under way. A reading that an early answer cut short may never end;
  // the one that replaces it must not wait for it.
  const active = new Map<number, object>()
  let complete = false
  let lastActivity = 0
  let started = false
  let failure: UploadError.UploadError | undefined
  let highWater = 0
  let base = 0
  let parts = new Map<number, number>()
  let run: Run | undefined

  const advance = (total: number): Effect.Effect<void> => {
    const bytes = Math.min(total, opened.size ?? total)
    if (bytes <= highWater) return Effect.void
    highWater = bytes
    return onBytes(bytes)
  }

  const watch = (
    offset: number,
    bytes: Stream.Stream<Uint8Array, UploadError.UploadError>,
    each: (chunk: Uint8Array) => number,
    begin: () => void,
    isComplete: () => boolean
  ): Stream.Stream<Uint8Array, UploadError.UploadError> =>
    Stream.transformPull(bytes, (upstream) =>
      Effect.sync(() => {
        begin()
        started = true
        failure = undefined
        complete = false
        const reading = {}
        active.set(offset, reading)
        lastActivity = now()
        const end = (): Effect.Effect<void> => {
          if (active.get(offset) !== reading) return Effect.void
          active.delete(offset)
          complete = active.size === 0
          return complete ? onSent : Effect.void
        }
        const pull = inPieces(upstream, now).pipe(
          Effect.tapCause((cause) => {
            if (Pull.isDoneCause(cause)) {
              lastActivity = now()
              return end()
            }
            if (active.get(offset) !== reading) return Effect.void
            for (const reason of cause.reasons) {
              if (reason._tag === "Fail" && reason.error instanceof UploadError.UploadError) failure = reason.error
            }
            return Effect.void
          })
        )
        const watched = Effect.flatMap(pull, (chunks) => {
          const moved = advance(each(chunks[0]))
          lastActivity = now()
          return Effect.as(isComplete() ? Effect.andThen(moved, end()) : moved, chunks)
        })
        return Effect.suspend(() => {
          lastActivity = now()
          return watched
        })
      }))

  const stream = Stream.suspend(() => {
    const current = new Run(hashing.start(algorithms))
    return watch(
      0,
      opened.bytes(),
      (chunk) => current.add(chunk),
      () => {
        run = current
      },
      () => current.bytes === opened.size
    )
  })

  const range = ({ length, offset }: UploadSource.Range) =>
    Stream.suspend(() => {
      const size = opened.size === undefined ? length : Math.min(opened.size - offset, length ?? Infinity)
      let count = 0
      return watch(
        offset,
        opened.bytes({ offset, length }),
        (chunk) => {
          parts.set(offset, count += chunk.length)
          let total = base
          for (const bytes of parts.values()) total += bytes
          return total
        },
        () => {
          parts.delete(offset)
        },
        () => count === size
      )
    })

  const whole = (): Sent | undefined => {
    if (run === undefined || !complete) return undefined
    return run.sent()
  }

  return {
    payload: {
      name: source.name,
      size: opened.size,
      version: opened.version,
      atHand: opened.atHand,
      stream,
      range,
      accepted: (offset) =>
        Effect.suspend(() => {
          base = offset
          parts = new Map()
          return advance(offset)
        }),
      sent: Effect.suspend(() => {
        const sent = whole()
        return sent !== undefined ? Effect.succeed(sent) : Effect.fail(
          new UploadError.UploadError({
            source: source.name,
            reason: new UploadError.IncompleteBody({ sent: run?.bytes ?? 0, size: opened.size, idempotent })
          })
        )
      })
    },
    reset: () => {
      active.clear()
      complete = false
      failure = undefined
      run = undefined
      base = 0
      parts = new Map()
    },
    phase: () => active.size > 0 ? "sending" : complete ? "sent" : "idle",
    lastActivityMillis: () => lastActivity,
    started: () => started,
    failure: () => failure,
    sent: whole
  }
}

// A transport takes all that one pull yields, without waiting. So a pull yields little: then memory stays flat, progress
// tells what really left, and a body counts as sent only when nearly all of it has. How little depends on the pace: on a
// slow line small pieces show that bytes move, on a fast one they would only leave garbage, thousands of times.
const inPieces = (
  upstream: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, UploadError.UploadError>,
  now: () => number
): Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, UploadError.UploadError> => {
  let chunks: ReadonlyArray<Uint8Array> = []
  let index = 0
  let offset = 0
  let size = smallestPiece
  let handedOut = -Infinity
  const next = (): Arr.NonEmptyReadonlyArray<Uint8Array> | undefined => {
    while (index < chunks.length) {
      const chunk = chunks[index]
      if (chunk === undefined || chunk.length <= offset) {
        index++
        offset = 0
        continue
      }
      const piece = offset === 0 && chunk.length <= size ? chunk : chunk.subarray(offset, offset + size)
      offset += piece.length
      return [piece]
    }
    return undefined
  }
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, UploadError.UploadError> = Effect.suspend(() => {
    const piece = next()
    if (piece === undefined) return more
    handedOut = now()
    return Effect.succeed(piece)
  })
  const more = Effect.flatMap(upstream, (received) => {
    chunks = received
    index = 0
    offset = 0
    return pull
  })
  return Effect.suspend(() => {
    const millis = now() - handedOut
    if (millis < 100) size = Math.min(size + smallestPiece, largestPiece)
    else if (millis > 1_000) size = smallestPiece
    return pull
  })
}

const smallestPiece = 65_536

export const largestPiece = 3_145_728

// A chunk is hashed when the next one is asked for: by then the transport has it, and sends while this computes.
class Run {
  bytes = 0
  private readonly hasher: Hashing.Hasher
  private pending: Uint8Array | undefined
  private result: Sent | undefined
  constructor(hasher: Hashing.Hasher) {
    this.hasher = hasher
  }
  add(chunk: Uint8Array): number {
    this.flush()
    this.pending = chunk
    return this.bytes += chunk.length
  }
  sent(): Sent {
    this.flush()
    return this.result ??= { bytes: this.bytes, ...this.hasher.digest() }
  }
  private flush(): void {
    if (this.pending !== undefined) this.hasher.update(this.pending)
    this.pending = undefined
  }
}
