import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Draw } from "../internal/server.ts"

interface Options {
  readonly usual: Duration.Input
  readonly slow: Duration.Input
  readonly share: number
}

const time = /* @__PURE__ */ Field.duration({ above: 0, finite: true })

const fields = {
  usual: time,
  slow: time,
  share: /* @__PURE__ */ Field.number({ min: 0, max: 1 })
} satisfies Field.Fields<Options>

/**
 * Most services take the usual time, and some are slow.
 *
 * - `usual`: how long most take.
 * - `slow`: how long the others take.
 * - `share`: the share of the slow ones, from 0 to 1.
 */
export const bimodal: Field.Variant<"bimodal", Options, Draw> = /* @__PURE__ */ Field.variant(
  "Lab",
  "bimodal",
  /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.struct(fields), ({ share, slow, usual }) => {
    const usualMillis = Duration.toMillis(usual)
    const slowMillis = Duration.toMillis(slow)
    return (random) => random() < share ? slowMillis : usualMillis
  })
)
