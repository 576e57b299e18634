import { Bulkhead } from "@effect-resilience/limit"
import { Clock, Effect, Random } from "effect"
import { TestClock } from "effect/testing"

/**
 * A server that works on `capacity` calls at once, each taking `base` milliseconds times 1 plus or minus `noise`, and
 * queues the rest. `drops` makes it reject instead of queueing.
 */
export const make = Effect.fnUntraced(function*(options: {
  readonly capacity: number
  readonly base: number
  readonly noise?: number
  readonly drops?: boolean
}) {
  const state = { capacity: options.capacity, base: options.base }
  const bulkhead = yield* Bulkhead.make({ permits: options.capacity, queue: options.drops === true ? 0 : Infinity })
  const noise = options.noise ?? 0
  const work = Effect.flatMap(
    Random.next,
    (draw) => Effect.sleep(state.base * (1 + noise * (2 * draw - 1)))
  )
  return {
    call: bulkhead.execute(work).pipe(Effect.mapError(() => "503" as const)),
    become: (capacity: number, base: number) => {
      state.capacity = capacity
      state.base = base
      return bulkhead.resize(capacity)
    }
  }
})

/** Sends `perSecond` calls of an effect for `seconds`, and tells how long those took that succeeded. */
export const load = Effect.fnUntraced(function*<E>(options: {
  readonly seconds: number
  readonly perSecond: number
  readonly call: Effect.Effect<unknown, E>
  readonly everySecond?: (second: number) => Effect.Effect<void>
}) {
  const took: Array<{ readonly at: number; readonly millis: number }> = []
  let rejected = 0
  const one = Effect.flatMap(Clock.currentTimeMillis, (startedAt) =>
    Effect.matchCause(options.call, {
      onFailure: () => {
        rejected++
      },
      onSuccess: () => startedAt
    })).pipe(
      Effect.flatMap((startedAt) =>
        startedAt === undefined ? Effect.void : Effect.map(Clock.currentTimeMillis, (now) => {
          took.push({ at: startedAt, millis: now - startedAt })
        })
      )
    )
  const step = 10
  let due = 0
  for (let at = 0; at < options.seconds * 1000; at += step) {
    if (at % 1000 === 0 && options.everySecond !== undefined) yield* options.everySecond(at / 1000)
    due += options.perSecond * step / 1000
    for (; due >= 1; due--) yield* Effect.forkChild(one, { startImmediately: true })
    yield* TestClock.adjust(step)
  }
  return { took, rejected: () => rejected }
})

export const percentile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export const mean = (values: ReadonlyArray<number>): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length
