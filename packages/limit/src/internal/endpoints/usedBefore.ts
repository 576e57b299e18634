import * as Attempt from "@effect-resilience/retry/Attempt"
import * as Context from "effect/Context"
import type { Endpoint } from "./endpoint.ts"

/** What the attempts of a call have used, and which attempt used it last. */
export class UsedBefore {
  readonly #calls = new WeakMap<Attempt.Call, Map<Endpoint, Attempt.Attempt>>()

  /** What others used: earlier and concurrent attempts of the call, and of the calls around it. The latest use first. */
  byOthers(context: Context.Context<never>): ReadonlySet<Endpoint> | undefined {
    let used: Set<Endpoint> | undefined
    for (let place = placeOf(context); place !== undefined; place = place.call.around) {
      const uses = this.#calls.get(place.call)
      if (uses === undefined) continue
      for (const [endpoint, attempt] of [...uses].reverse()) {
        if (attempt !== place.attempt) (used ??= new Set()).add(endpoint)
      }
    }
    return used
  }

  add(context: Context.Context<never>, endpoint: Endpoint): void {
    for (let place = placeOf(context); place !== undefined; place = place.call.around) {
      const known = this.#calls.get(place.call)
      const uses = known ?? new Map<Endpoint, Attempt.Attempt>()
      if (known === undefined) this.#calls.set(place.call, uses)
      else uses.delete(endpoint)
      uses.set(endpoint, place.attempt)
    }
  }
}

const placeOf = (context: Context.Context<never>): Attempt.Place | undefined => {
  const call = Context.get(context, Attempt.Call)
  return call && { call, attempt: Context.get(context, Attempt.Current) }
}
