import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"

/**
 * The delays that a jitter starts from, in milliseconds and finite.
 */
export interface Growth {
  /** The first one, at most `cap`. */
  readonly base: number
  /** Of an exponential growth; others have none. */
  readonly factor: number | undefined
  readonly cap: number
  /** The delay before a retry, counted from 0, ahead of the cap. */
  readonly at: (retries: number) => number
}

/** Where a run of a backoff stands: how many delays it gave, and what a jitter keeps from one to the next. */
export interface Position {
  /** How many delays it gave. */
  retries: number
  /** The previous delay, in milliseconds; 0 before the first. */
  previous: number
}

/**
 * Draws a delay in milliseconds, at most the cap. `random` gives a number from 0 to 1, 1 excluded. `error` is what failed, where
 * that is known.
 */
export type Draw = (position: Position, random: () => number, error: unknown) => number

/** What a jitter is: how it draws from a growth. Throws `RangeError` where it cannot; `path` names the backoff. */
export type Jitter = (growth: Growth, path: string) => Draw

/** The options of a jitter without options: its name says it all. */
export interface NoOptions {
  readonly [name: string]: never
}

/** A jitter that is written as its name. */
export const withoutOptions = (jitter: Jitter): Field.Field<NoOptions | undefined, Jitter> =>
  Field.map(Field.optional(Field.struct({})), () => jitter)

/** The delay without chance. */
export const grown = ({ at, cap }: Growth, { retries }: Position): number => Math.min(cap, at(retries))

/** The next delay in whole milliseconds: finite and not negative, whatever `random` gives. Moves the position on. */
export const next = (draw: Draw, position: Position, random: () => number, error?: unknown): number => {
  const delay = Math.round(draw(position, random, error))
  position.retries++
  return delay > 0 ? delay : 0
}

/** Where every run begins. */
export const begin = (): Position => ({ retries: 0, previous: 0 })

/** What Polly ends at where its formula overflows: .NET's longest `TimeSpan`, which every clock can wait for. */
export const longestMillis = 922_337_203_685_477

/** A duration in milliseconds that every clock can wait for. */
export const millisOf = (duration: Duration.Duration): number => Math.min(longestMillis, Duration.toMillis(duration))
