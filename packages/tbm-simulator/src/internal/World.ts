/** Everything that a reset makes anew: record, tokens, faults, counters. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Settings from "../Settings.ts"
import type * as SimulatorState from "../SimulatorState.ts"
import type { Answer } from "./Answer.ts"
import * as FaultPlan from "./FaultPlan.ts"
import * as TableStore from "./TableStore.ts"
import * as TokenRegistry from "./TokenRegistry.ts"

export interface World {
  readonly settings: Settings.Settings
  readonly faults: FaultPlan.FaultPlan
  readonly tokens: TokenRegistry.TokenRegistry
  readonly store: TableStore.TableStore
  readonly counters: { logins: number; environmentLookups: number; requests: number }
  /** Failed logins in a row, by public key. */
  readonly failedLogins: Map<string, number>
  /** What uploads with an idempotency key were answered, by key. */
  readonly answers: Map<string, Answer>
  /** The rate limit's current window. */
  readonly window: { startedAt: number; requests: number }
}

/** Without a seed, each world draws its own, so that no token of an earlier one comes back. */
export const make = Effect.fnUntraced(function*(settings: Settings.Settings, seed: number | undefined) {
  const root = seed ?? (yield* Random.nextInt)
  // Apart, so that a login more does not change which requests a fault strikes.
  const tokens = yield* seeded(`${root}/tokens`)
  const faults = yield* seeded(`${root}/faults`)
  const world: World = {
    settings,
    faults: FaultPlan.make(settings.faults, faults),
    tokens: TokenRegistry.make(settings.tokenLifetime, tokens),
    store: TableStore.make(settings.concurrentWrites),
    counters: { logins: 0, environmentLookups: 0, requests: 0 },
    failedLogins: new Map(),
    answers: new Map(),
    window: { startedAt: Number.NEGATIVE_INFINITY, requests: 0 }
  }
  return world
})

export const state = (world: World): Effect.Effect<SimulatorState.SimulatorState> =>
  Effect.map(world.tokens.counts, (tokens) => ({
    ...world.counters,
    uploads: world.store.uploads(),
    tables: world.store.tables(),
    tokens
  }))

const seeded = (seed: string): Effect.Effect<typeof Random.Random.Service> =>
  Random.Random.pipe(Effect.map((random) => random), Random.withSeed(seed))
