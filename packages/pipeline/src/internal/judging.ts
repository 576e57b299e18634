import * as Outcome from "@effect-resilience/limit/Outcome"
import type * as Exit from "effect/Exit"
import type * as Part from "../Part.ts"

interface Judging {
  readonly classify?: ((exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome) | undefined
}

/** Options that judge exits as the pipeline is told to, unless they say otherwise. */
export const judging = <Options extends Judging>(options: Options, { classify, name }: Part.Context) => ({
  ...options,
  name,
  classify: options.classify ?? (classify === undefined ? undefined : Outcome.using(classify))
})
