import * as Field from "@effect-resilience/kernel/Field"

/** The options of policies whose state is in a store that other processes share. */
export const storeFields = {
  onStoreError: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.literals("allow", "fail"), "allow"),
  storeTimeout: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ above: 0 }), "1 second")
}
