import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { Draw } from "../internal/server.ts"

/** Every service takes the same time. */
export const constant: Field.Variant<"constant", Duration.Input, Draw> = /* @__PURE__ */ Field.variant(
  "Lab",
  "constant",
  /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.duration({ above: 0, finite: true }), (time) => {
    const millis = Duration.toMillis(time)
    return () => millis
  })
)
