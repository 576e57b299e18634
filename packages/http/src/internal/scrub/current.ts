import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Redacted from "effect/Redacted"

/**
 * When a secret ends, in milliseconds since the epoch by `clock`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lifetime {
  /** The instant, in milliseconds since the epoch. */
  readonly end: number
  readonly clock: Clock.Clock
}

/**
 * Knows secrets and removes them from text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scrubber {
  /** Remembers a secret, without end unless a lifetime is given. The latest registration counts. */
  readonly register: (secret: Redacted.Redacted, lifetime?: Lifetime) => void
  /** The text with a placeholder for each secret. */
  readonly scrub: (text: string) => string
}

let make: (() => Scrubber) | undefined
let made: Scrubber | undefined

const processWide: Scrubber = {
  register: (secret, lifetime) => {
    made ??= make?.()
    made?.register(secret, lifetime)
  },
  scrub: (text) => made === undefined ? text : made.scrub(text)
}

/**
 * `Scrubber.Current`, for code that only scrubs. A program in which no other code asks for it has registered no secret, and loads
 * nothing that would find one.
 */
export const Current: Context.Reference<Scrubber> = /* @__PURE__ */ Context.Reference<Scrubber>(
  "@effect-resilience/http/Scrubber/Current",
  { defaultValue: () => processWide }
)

/** The same for all other code, which may register secrets, with what finds them. */
export const madeBy = (makeScrubber: () => Scrubber): Context.Reference<Scrubber> => {
  make = makeScrubber
  return Current
}
