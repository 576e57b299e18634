import * as Field from "@effect-resilience/kernel/Field"

export const storeTimeout = /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ above: 0 }), "1 second")

/** The options of policies that ask a store for each call. */
export const storeFields = {
  onStoreError: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.literals("allow", "fail"), "allow"),
  storeTimeout
}
