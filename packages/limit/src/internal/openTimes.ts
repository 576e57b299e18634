import * as Backoff from "@effect-resilience/retry/Backoff"
import * as Duration from "effect/Duration"
import type * as Random from "effect/Random"
import type { Opening } from "./circuitState.ts"

export interface OpenTimeSettings {
  readonly openDuration: Backoff.Settings
  readonly openDurationOf: ((opening: Opening) => Duration.Input | undefined) | undefined
  readonly maxOpenMillis: number
}

/** How long a circuit stays open, which may grow with each opening without a stable time in between. */
export class OpenTimes {
  openings = 0
  /** The latest open time. */
  millis = 0
  /** Since when a closed circuit lets all calls through. */
  stableSince = 0
  #next: (() => Duration.Duration) | undefined
  #random: Random.Random | undefined

  /** Draws the time of an opening. */
  draw(
    settings: OpenTimeSettings,
    random: Random.Random,
    why: Pick<Opening, "buffered" | "exit" | "failureRate" | "retryAfter" | "slowRate">
  ) {
    const openDuration = this.#advance(settings, random)
    const { maxOpenMillis, openDurationOf } = settings
    const of = openDurationOf?.({ ...why, consecutiveOpenings: this.openings + 1, openDuration })
    const hint = why.retryAfter === undefined ? 0 : Duration.toMillis(why.retryAfter)
    const millis = of === undefined
      ? Math.max(Duration.toMillis(openDuration), hint)
      : Math.max(0, Duration.toMillis(Duration.fromInputUnsafe(of)))
    this.millis = Math.min(maxOpenMillis, millis)
    this.openings++
  }

  isStable(now: number): boolean {
    return now - this.stableSince >= this.millis
  }

  forget() {
    this.openings = 0
    this.#next = undefined
  }

  restore(settings: OpenTimeSettings, random: Random.Random, openings: number, millis: number) {
    this.forget()
    // A backoff has reached its cap long before that.
    for (let opening = 0; opening < Math.min(openings, 100); opening++) this.#advance(settings, random)
    this.openings = openings
    this.millis = Math.min(settings.maxOpenMillis, millis)
  }

  #advance(settings: OpenTimeSettings, random: Random.Random): Duration.Duration {
    this.#random = random
    this.#next ??= Backoff.delays(settings.openDuration, () => this.#random?.nextDoubleUnsafe() ?? 0.5)
    return this.#next()
  }
}
