import * as Context from "effect/Context"

/** How many attempts an upload has made so far. */
export interface AttemptCount {
  count: number
}

/** Where an upload counts for others, which get no report of one that fails. */
export const Current: Context.Reference<AttemptCount | undefined> = /* @__PURE__ */ Context.Reference<
  AttemptCount | undefined
>("@effect-resilience/upload/AttemptCount", { defaultValue: () => undefined })
