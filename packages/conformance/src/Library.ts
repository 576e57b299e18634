/** What a library has to offer to be tried: its promises, and an adapter that makes its policies of a scenario's. */
import type * as Effect from "effect/Effect"
import type { Ending, Policy, Scenario } from "./Scenario.ts"

/** A call of a scenario. */
export interface Call {
  readonly name: string
  readonly method: string
  readonly key: string
  readonly unsafe: boolean
}

interface Described {
  readonly name: string
  /** Those whose versions the report names. */
  readonly packages: ReadonlyArray<string>
  readonly docs: string
  /** What its documentation says, by the id of a scenario. What is not here it does not promise. */
  readonly promises: { readonly [id: string]: string }
  /** Why it does otherwise, where that was looked up in its source. */
  readonly notes?: { readonly [id: string]: string }
}

/** A failure of the scenario in a promise. */
export class Failed extends Error {
  override readonly name = "Failed"
  readonly final: boolean
  constructor(final: boolean) {
    super(final ? "this will not pass" : "this passes")
    this.final = final
  }
}

export interface PromiseSubject {
  call(call: Call, signal: AbortSignal): Promise<unknown>
  state?(): string
  /** What kind of error this is, where it is one of the library. */
  classify?(error: unknown): Ending | undefined
  close?(): void
}

/** What the attempts of a call do. It rejects with `Failed`, or with the reason of the signal that cancels it. */
export type PromiseWork = (call: Call, signal: AbortSignal | undefined) => Promise<number>

/** The same as a response. */
export type ResponseWork = (call: Call, signal: AbortSignal | undefined) => Promise<Response>

export interface PromiseLibrary extends Described {
  readonly kind: "promise"
  start(policy: Policy, work: PromiseWork, respond: ResponseWork): PromiseSubject | undefined
}

export interface EffectSubject<E = unknown> {
  call(call: Call): Effect.Effect<unknown, E>
  readonly state?: Effect.Effect<string>
  classify?(error: E): Ending | undefined
}

export type EffectWork = (call: Call) => Effect.Effect<number, Failed>

export type EffectResponseWork = (call: Call) => Effect.Effect<Response>

export interface EffectLibrary extends Described {
  readonly kind: "effect"
  start(policy: Policy, work: EffectWork, respond: EffectResponseWork): Effect.Effect<EffectSubject> | undefined
}

export type Library = PromiseLibrary | EffectLibrary

/** What came of a scenario: `does` has no deviations; `otherwise` has some, or a reason why it cannot be written. */
export type Result =
  | { readonly _tag: "does" }
  | { readonly _tag: "otherwise"; readonly deviations: ReadonlyArray<string> }
  | { readonly _tag: "notPromised" }

export interface Row {
  readonly scenario: Scenario
  readonly results: ReadonlyMap<Library, Result>
}
