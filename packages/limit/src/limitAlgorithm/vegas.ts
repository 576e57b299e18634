import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import { Measuring } from "../internal/limitProbe.ts"
import type { Bounds, Options as All, Sample, Start } from "../internal/limitWindow.ts"
import { bounded, boundFields } from "../internal/limitWindow.ts"

interface Options extends All {
  readonly probeInterval?: Duration.Input | undefined
  readonly probeRequests?: number | undefined
}

const fields = {
  ...boundFields,
  probeInterval: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "30 seconds"),
  probeRequests: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1, max: 100_000 }), 100)
} satisfies Field.Fields<Options>

type Settings = Bounds & Field.Settings<typeof fields>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings, path): Start => {
    const within = bounded(settings, path)
    return () => new Vegas(within)
  }
)

/**
 * Keeps a short queue at the server, seen from the growth of the mean round trip.
 *
 * - `probeInterval`: how often the round trip without load is measured anew, with half the limit; default 30 seconds,
 *   less up to 15 % of it by chance.
 * - `probeRequests`: with how many calls; default 100.
 *
 * @category algorithms
 * @since 0.1.0
 */
export const vegas: Field.Variant<"vegas", Options | undefined, Start> = /* @__PURE__ */ Field.variant(
  "LimitAlgorithm",
  "vegas",
  field
)

class Vegas extends Measuring<Settings> {
  protected get samples(): number {
    return this.settings.probeRequests
  }

  protected lowered(): number {
    return Math.max(this.settings.min, this.estimate / 2)
  }

  protected override measured(sample: Sample) {
    const interval = Duration.toMillis(this.settings.probeInterval)
    this.measureAt = sample.nowMillis + interval * (1 - 0.15 * sample.random())
  }

  protected afterDrop(estimate: number): number {
    return estimate - step(estimate)
  }

  protected adjust(): number {
    const { estimate } = this
    const by = step(estimate)
    if (this.count === 0) return estimate - by
    const current = this.sum / this.count
    if (current < this.unloaded * 0.9) this.unloaded = (this.unloaded + current) / 2
    const queue = estimate * (1 - this.unloaded / current)
    if (queue > estimate / 2) return estimate / 2
    if (this.dropped) return estimate - by
    if (!this.halfUsed) return estimate
    if (queue <= by) return estimate + 2 * by
    if (queue < 2 * by) return estimate + by
    return queue > 3 * by ? estimate - by : estimate
  }
}

const step = (estimate: number): number => Math.max(1, Math.floor(Math.log10(estimate)))
