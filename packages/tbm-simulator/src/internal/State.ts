/** Everything that a reset replaces: record, tokens, faults, counters. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as SimulatorOptions from "../SimulatorOptions.ts"
import type * as SimulatorState from "../SimulatorState.ts"
import * as FaultPlan from "./FaultPlan.ts"
import type { Response } from "./Response.ts"
import type * as Spool from "./Spool.ts"
import * as TableStore from "./TableStore.ts"
import * as TokenRegistry from "./TokenRegistry.ts"
import * as UploaderStore from "./UploaderStore.ts"

/** What all states of one simulator share. */
export interface Runtime {
  readonly spool: Spool.Spool
  /** Runs work that outlives its call. */
  readonly fork: (work: Effect.Effect<void>) => void
}

export interface State extends Runtime {
  readonly settings: SimulatorOptions.Settings
  readonly faults: FaultPlan.FaultPlan
  readonly tokens: TokenRegistry.TokenRegistry
  readonly store: TableStore.TableStore
  readonly uploader: UploaderStore.UploaderStore
  readonly counters: { logins: number; environmentLookups: number; requests: number }
  /** Failed logins in a row, by public key. */
  readonly failedLogins: Map<string, number>
  /** The responses to uploads with an idempotency key, by key. */
  readonly responses: Map<string, Response>
  /** The rate limit's current window. */
  readonly window: { startedAt: number; requests: number }
}

/** Without a seed, each state draws its own, so that a token of an earlier state does not come back. */
export const make = Effect.fnUntraced(function*(
  settings: SimulatorOptions.Settings,
  seed: number | undefined,
  runtime: Runtime
) {
  const root = seed ?? (yield* Random.nextInt)
  // One generator each, so that one more login does not change to which requests a fault applies.
  const tokens = yield* seeded(`${root}/tokens`)
  const faults = yield* seeded(`${root}/faults`)
  const ids = yield* seeded(`${root}/ids`)
  const state: State = {
    ...runtime,
    settings,
    faults: FaultPlan.make(settings.faults, faults),
    tokens: TokenRegistry.make(settings.tokenLifetime, tokens),
    store: TableStore.make(settings),
    uploader: UploaderStore.make(() => `id-${(ids.nextIntUnsafe() >>> 0).toString(16).padStart(8, "0")}`),
    counters: { logins: 0, environmentLookups: 0, requests: 0 },
    failedLogins: new Map(),
    responses: new Map(),
    window: { startedAt: Number.NEGATIVE_INFINITY, requests: 0 }
  }
  return state
})

export const record = (state: State): Effect.Effect<SimulatorState.SimulatorState> =>
  Effect.map(state.tokens.counts, (tokens) => ({
    ...state.counters,
    uploads: state.store.uploads(),
    tables: state.store.tables(),
    uploader: state.uploader.record(),
    tokens
  }))

const seeded = (seed: string): Effect.Effect<typeof Random.Random.Service> =>
  Random.Random.pipe(Effect.map((random) => random), Random.withSeed(seed))
