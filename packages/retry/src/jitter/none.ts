import { grown, withoutOptions } from "../internal/delays.ts"

/** No chance: the delay as it has grown. */
export const none = /* @__PURE__ */ withoutOptions((growth) => (position) => grown(growth, position))
