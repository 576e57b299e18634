import * as Effect from "effect/Effect"
import type { Isolation } from "./circuitState.ts"

/** Who keeps a circuit isolated. */
export class Holders {
  readonly #all = new Set<Isolation>()

  get size(): number {
    return this.#all.size
  }

  /** One more. `last` runs when it is the last one to go. */
  add(last: Effect.Effect<void>): Isolation {
    const isolation: Isolation = {
      release: Effect.uninterruptible(
        Effect.suspend(() => this.#all.delete(isolation) && this.#all.size === 0 ? last : Effect.void)
      )
    }
    this.#all.add(isolation)
    return isolation
  }

  clear() {
    this.#all.clear()
  }
}
