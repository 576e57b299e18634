// What a retry reads of its surroundings, apart from the modules that work with it: a bundler then leaves those out.
import * as Context from "effect/Context"
import type { AttemptBudget } from "../AttemptBudget.ts"
import type { Observer } from "../RetryEvent.ts"

export const unlimited: AttemptBudget = {
  name: "unlimited",
  depositUnsafe: () => {},
  withdrawUnsafe: () => true
}

export const budget: Context.Reference<AttemptBudget> = /* @__PURE__ */ Context.Reference<AttemptBudget>(
  "@effect-resilience/retry/AttemptBudget/Current",
  { defaultValue: () => unlimited }
)

export const observer: Context.Reference<Observer | undefined> = /* @__PURE__ */ Context.Reference<
  Observer | undefined
>("@effect-resilience/retry/RetryEvent/CurrentObserver", { defaultValue: () => undefined })
