import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import { Slices } from "../internal/slices.ts"
import type { TripRule, TripWindow } from "../internal/tripRule.ts"
import { rule } from "../internal/tripRule.ts"

interface Options {
  readonly tolerated?: number | undefined
  readonly within?: Duration.Input | undefined
  readonly minimumCalls?: number | undefined
  readonly deadZone?: number | undefined
  readonly maxProbability?: number | undefined
}

const fields = {
  tolerated: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, below: 1 }), 0.5),
  within: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ min: 10, finite: true }), "10 seconds"),
  minimumCalls: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 3),
  deadZone: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0 }), 0.25),
  maxProbability: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 1 }), 0.95)
} satisfies Field.Fields<Options>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings, path) => {
    const { deadZone, tolerated } = settings
    const least = tolerated * (1 + deadZone)
    requireArgument(least < 1, `${path}.deadZone`, `below ${1 / tolerated - 1}, or the rule never rejects`, deadZone)
    return rule(() => new Proportional(settings), { timed: true })
  }
)

/**
 * Rejects a share of the calls instead of all: the more of those that pass fail, the more are rejected.
 *
 * With `d` as the failure rate above `tolerated`, the share is `d / (1 - d)`, at most `maxProbability`. That is where the
 * proportional rule of Semian's adaptive breaker settles, which adds `d - (1 - d) * share` to the share each second (Shopify,
 * Semian 0.28.2, `pid_controller.rb`). Its integral part and its estimate of the tolerated rate are left out. Where the share is
 * 1, the circuit opens.
 *
 * - `tolerated`: the failure rate at which all calls pass, from 0 to below 1; default 0.5. Semian begins with 0.05. In virtual
 *   time, with a server of 20 workers at 90 % load that fails half of the calls for a minute, 0.05 loses as many calls as come
 *   in 52 seconds, 0.2 in 41, and 0.5 in 27, as many as without a breaker; where the server was down, all three lost the same.
 * - `within`: how far to look back, to a tenth of it; default 10 seconds, that of Semian.
 * - `minimumCalls`: the rule begins to reject when its window holds this many calls; default 3, so that each of a hundred
 *   processes that call once or twice a second takes part in time (`npm run outages`).
 * - `deadZone`: it begins to reject when the failure rate is above `tolerated` by more than this share of it, so that noise does
 *   not make it begin and end all the time; default 0.25, that of Semian.
 * - `maxProbability`: the greatest share that is rejected, from 0 to 1; default 0.95, so that some calls find out when the
 *   dependency is back. After 3 minutes in which the same server was down, all calls passed again within 17 to 22 seconds with
 *   0.95, within 27 to 29 with the 0.9 of failsafe-go's throttler, if it serves those whose callers have gone; else within 3.
 *
 * Where a fixed kind of request fails and the rest is well, this rejects good calls and helps no other.
 *
 * @category trip policies
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const proportional: Field.Variant<"proportional", Options | undefined, TripRule> = /* @__PURE__ */ Field.variant(
  "CircuitBreaker",
  "proportional",
  field
)

class Proportional extends Slices implements TripWindow {
  readonly #settings: Field.Settings<typeof fields>
  #rejects = false

  constructor(settings: Field.Settings<typeof fields>) {
    super(Duration.toMillis(settings.within))
    this.#settings = settings
  }

  record(failed: boolean, _tookMillis: number, now: number): boolean {
    this.add(now, failed)
    return false
  }

  shareAt(now: number, looks?: boolean): number {
    const { deadZone, maxProbability, minimumCalls, tolerated } = this.#settings
    const { buffered, failureRate } = this.countsAt(now)
    const excess = failureRate - tolerated
    const rejects = this.#rejects ? excess > 0 : buffered >= minimumCalls && excess > deadZone * tolerated
    if (!looks) this.#rejects = rejects
    return rejects ? Math.min(maxProbability, excess / (1 - excess)) : 0
  }
}
