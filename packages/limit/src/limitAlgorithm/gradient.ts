import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Probe } from "../internal/limitProbe.ts"
import { Measuring } from "../internal/limitProbe.ts"
import type { Bounds, Options as All, Sample, Start } from "../internal/limitWindow.ts"
import { bounded, boundFields } from "../internal/limitWindow.ts"

interface Options extends All {
  readonly buffer?: number | undefined
  readonly headroom?: number | undefined
  readonly minRttInterval?: Duration.Input | undefined
  readonly minRttRequests?: number | undefined
  readonly minRttConcurrency?: number | undefined
  readonly jitter?: number | undefined
}

const fields = {
  ...boundFields,
  buffer: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 10 }), 0),
  headroom: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 10 }), 0.35),
  minRttInterval: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "30 seconds"),
  minRttRequests: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1, max: 100_000 }), 50),
  minRttConcurrency: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1, max: 1000 }), 3),
  jitter: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 1 }), 0.15)
} satisfies Field.Fields<Options>

type Settings = Bounds & Field.Settings<typeof fields>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings, path): Start => {
    const within = bounded(settings, path)
    return () => new Gradient(within)
  }
)

/**
 * Compares the mean round trip with one that is measured now and then with only a few calls under way.
 *
 * - `buffer`: how much longer than that is still normal, as a share of it; default 0.
 * - `headroom`: how much the limit grows while round trips stay short, as a multiple of its square root; default 0.35
 *   (Envoy: 1).
 * - `minRttInterval`: how often to measure; default 30 seconds, less up to `jitter` of it by chance.
 * - `minRttRequests`: how many calls to measure with; default 50.
 * - `minRttConcurrency`: how many calls are let in meanwhile; default 3.
 * - `jitter`: default 0.15.
 *
 * @category algorithms
 * @since 0.1.0
 */
export const gradient: Field.Variant<"gradient", Options | undefined, Start> = /* @__PURE__ */ Field.variant(
  "LimitAlgorithm",
  "gradient",
  field
)

class Gradient extends Measuring<Settings> {
  private measureAt = 0
  private windowsAtMin = 0

  override record(sample: Sample) {
    const { minRttConcurrency } = this.settings
    if (!this.isMeasuring && sample.nowMillis >= this.measureAt) {
      this.estimate = this.measure(sample, this.estimate, Math.min(this.estimate, minRttConcurrency))
      this.windowsAtMin = 0
    }
    super.record(sample)
  }

  protected isMeasured({ roundTrips }: Probe): boolean {
    return roundTrips.count >= this.settings.minRttRequests
  }

  protected measured({ roundTrips, since }: Probe, { random }: Sample) {
    const { jitter, minRttInterval } = this.settings
    this.unloaded = roundTrips
    this.measureAt = since + Duration.toMillis(minRttInterval) * (1 - jitter * random())
  }

  protected adjust(sample: Sample): number {
    const { estimate, halfUsed, roundTrips, unloaded = roundTrips } = this
    const known = 1 + Math.hypot(roundTrips.error, unloaded.error)
    const ratio = unloaded.mean * (1 + this.settings.buffer) * known / roundTrips.mean
    const gradient = Math.max(0.5, Math.min(2, ratio))
    if (gradient > 1 && !halfUsed) return estimate
    const scaled = estimate * gradient
    const next = halfUsed ? scaled + this.settings.headroom * Math.sqrt(scaled) : scaled
    this.windowsAtMin = next <= this.settings.min ? this.windowsAtMin + 1 : 0
    if (this.windowsAtMin === 5) this.measureAt = sample.nowMillis
    return next
  }
}
