import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Bounds, Options as All, Sample, Start } from "../internal/limitWindow.ts"
import { bounded, boundFields, fewest, Windowed } from "../internal/limitWindow.ts"

interface Options extends All {
  readonly backoffRatio?: number | undefined
  readonly timeout?: Duration.Input | undefined
}

const fields = {
  ...boundFields,
  backoffRatio: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0.5, max: 0.999 }), 0.9),
  timeout: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "5 seconds")
} satisfies Field.Fields<Options>

type Settings = Bounds & Field.Settings<typeof fields>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings, path): Start => {
    const within = bounded(settings, path)
    return () => new Aimd(within)
  }
)

/**
 * Additive increase, multiplicative decrease.
 *
 * - `backoffRatio`: what a drop leaves of the limit, from 0.5 to below 1; default 0.9.
 * - `timeout`: a longer round trip counts as a drop; default 5 seconds.
 *
 * @category algorithms
 * @since 0.1.0
 */
export const aimd: Field.Variant<"aimd", Options | undefined, Start> = /* @__PURE__ */ Field.variant(
  "LimitAlgorithm",
  "aimd",
  field
)

class Aimd extends Windowed<Settings> {
  protected override observe(sample: Sample) {
    if (sample.rttMillis > Duration.toMillis(this.settings.timeout)) this.drops++
  }

  protected endWindow(): number | undefined {
    if (this.drops > 0) return Math.min(this.estimate - 1, Math.floor(this.estimate * this.settings.backoffRatio))
    if (this.roundTrips.count < fewest) return undefined
    return this.halfUsed ? this.estimate + 1 : this.estimate
  }
}
