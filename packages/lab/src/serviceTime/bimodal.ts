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

/** Services take the `usual` time, but for a `share` of them (from 0 to 1), which are `slow`. */
export const bimodal: Field.Variant<"bimodal", Options, Draw> = /* @__PURE__ */ Field.variant(
  "Lab",
  "bimodal",
  /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.struct(fields), ({ share, slow, usual }) => {
    const usualMillis = Duration.toMillis(usual)
    const slowMillis = Duration.toMillis(slow)
    return (random) => random() < share ? slowMillis : usualMillis
  })
)
