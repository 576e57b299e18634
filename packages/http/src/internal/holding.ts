import * as Context from "effect/Context"
import type { Lifetime } from "./lifetime.ts"

/** The call that its next attempt reads its response for. */
export const Holding: Context.Reference<Lifetime | undefined> = /* @__PURE__ */ Context.Reference<
  Lifetime | undefined
>("@effect-resilience/http/internal/holding/Holding", { defaultValue: () => undefined })
