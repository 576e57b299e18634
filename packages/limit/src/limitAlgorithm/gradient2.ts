import * as Field from "@effect-resilience/kernel/Field"
import type { Bounds, Options as All, Start } from "../internal/limitWindow.ts"
import { bounded, boundFields, Comparing } from "../internal/limitWindow.ts"

interface Options extends All {
  readonly smoothing?: number | undefined
  readonly queueSize?: number | undefined
  readonly longWindow?: number | undefined
  readonly tolerance?: number | undefined
}

const fields = {
  ...boundFields,
  smoothing: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0.001, max: 1 }), 0.2),
  queueSize: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 10_000 }), 2),
  longWindow: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 10, max: 1_000_000 }), 3000),
  tolerance: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1, max: 10 }), 1)
} satisfies Field.Fields<Options>

type Settings = Bounds & Field.Settings<typeof fields>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings, path): Start => {
    const within = bounded(settings, path)
    return () => new Gradient2(within)
  }
)

/**
 * Compares the mean round trip with its own long-term mean.
 *
 * - `smoothing`: the weight of a new estimate; default 0.2.
 * - `queueSize`: how much the limit grows while round trips stay short; default 2.
 * - `longWindow`: over how many windows the long-term mean extends; default 3000.
 * - `tolerance`: how many times the long-term mean is still normal; default 1.
 *
 * **Gotchas**
 *
 * Under an overload without end the long-term mean follows the short one, and the limit creeps up. Where the load was always
 * low, the mean says so, and a limit that has to grow much takes minutes.
 *
 * @category algorithms
 * @since 0.1.0
 */
export const gradient2: Field.Variant<"gradient2", Options | undefined, Start> = /* @__PURE__ */ Field.variant(
  "LimitAlgorithm",
  "gradient2",
  field
)

class Gradient2 extends Comparing<Settings> {
  private long = 0
  private windows = 0

  protected adjust(): number {
    const { longWindow, queueSize, smoothing, tolerance } = this.settings
    const { error, mean: short } = this.roundTrips
    // The mean of the first ten windows is plain, then exponential.
    this.windows++
    const weight = this.windows <= 10 ? 1 / this.windows : 2 / (longWindow + 1)
    this.long += (short - this.long) * weight
    // After a long overload the baseline is too high; waiting for its decay would hold the limit up.
    if (this.long / short > 2) this.long *= 0.9
    if (!this.halfUsed) return this.estimate
    const gradient = Math.max(0.5, Math.min(1, tolerance * (1 + error) * this.long / short))
    return this.estimate * (1 - smoothing) + (this.estimate * gradient + queueSize) * smoothing
  }
}
