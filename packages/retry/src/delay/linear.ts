import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import type * as Duration from "effect/Duration"
import type { Draw } from "../internal/delays.ts"
import { millisOf } from "../internal/delays.ts"
import type { Jitter } from "../internal/jitterField.ts"
import { jitterField } from "../internal/jitterField.ts"

interface Options {
  readonly base?: Duration.Input | undefined
  readonly step?: Duration.Input | undefined
  readonly cap?: Duration.Input | undefined
  readonly jitter?: Jitter | undefined
}

const finite = /* @__PURE__ */ Field.duration({ finite: true })

const fields = {
  base: /* @__PURE__ */ Field.withDefault(finite, "500 millis"),
  step: /* @__PURE__ */ Field.optional(finite),
  cap: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "20 seconds"),
  jitter: /* @__PURE__ */ jitterField("full")
} satisfies Field.Fields<Options>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings, path) => {
    const base = millisOf(settings.base)
    const cap = millisOf(settings.cap)
    const step = settings.step === undefined ? base : millisOf(settings.step)
    requireArgument(cap >= base, `${path}.cap`, `at least the base, ${settings.base}`, settings.cap)
    return settings.jitter({ base, cap, factor: undefined, at: (retries) => base + retries * step }, path)
  }
)

/**
 * Delays that grow by the same time with each retry: `base + step * (n - 1)` before the n-th, at most `cap`. Where a server is
 * busy for a known time, they reach it sooner than doubling ones and do not go far beyond.
 *
 * - `base`: before the first retry; default 500 millis.
 * - `step`: default `base`, as Polly's linear delays have it.
 * - `cap`: default 20 seconds.
 * - `jitter`: default `"full"`. `"decorrelated"` is for exponential delays.
 *
 * @category delays
 * @since 0.1.0
 */
export const linear: Field.Variant<"linear", Options | undefined, Draw> = /* @__PURE__ */ Field.variant(
  "Backoff",
  "linear",
  field
)
