/** Everything that a reset makes anew: record, tokens, faults, counters. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Settings from "../Settings.ts"
import type * as SimulatorState from "../SimulatorState.ts"
import type { Answer } from "./Answer.ts"
import * as FaultPlan from "./FaultPlan.ts"
import type * as Spool from "./Spool.ts"
import * as TableStore from "./TableStore.ts"
import * as TokenRegistry from "./TokenRegistry.ts"
import * as UploaderStore from "./UploaderStore.ts"

/** What all worlds of one simulator share. */
export interface Ground {
  readonly spool: Spool.Spool
  /** Runs work that outlives the call which began it. */
  readonly fork: (work: Effect.Effect<void>) => void
}

export interface World extends Ground {
  readonly settings: Settings.Settings
  readonly faults: FaultPlan.FaultPlan
  readonly tokens: TokenRegistry.TokenRegistry
  readonly store: TableStore.TableStore
  readonly uploader: UploaderStore.UploaderStore
  readonly counters: { logins: number; environmentLookups: number; requests: number }
  /** Failed logins in a row, by public key. */
  readonly failedLogins: Map<string, number>
  /** What uploads with an idempotency key were answered, by key. */
  readonly answers: Map<string, Answer>
  /** The rate limit's current window. */
  readonly window: { startedAt: number; requests: number }
}

/** Without a seed, each world draws its own, so that no token of an earlier one comes back. */
export const make = Effect.fnUntraced(function*(
  settings: Settings.Settings,
  seed: number | undefined,
  ground: Ground
) {
  const root = seed ?? (yield* Random.nextInt)
  // Apart, so that a login more does not change which requests a fault strikes.
  const tokens = yield* seeded(`${root}/tokens`)
  const faults = yield* seeded(`${root}/faults`)
  const ids = yield* seeded(`${root}/ids`)
  const world: World = {
    ...ground,
    settings,
    faults: FaultPlan.make(settings.faults, faults),
    tokens: TokenRegistry.make(settings.tokenLifetime, tokens),
    store: TableStore.make(settings.concurrentWrites),
    uploader: UploaderStore.make(() => `id-${(ids.nextIntUnsafe() >>> 0).toString(16).padStart(8, "0")}`),
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
    uploader: world.uploader.record(),
    tokens
  }))

const seeded = (seed: string): Effect.Effect<typeof Random.Random.Service> =>
  Random.Random.pipe(Effect.map((random) => random), Random.withSeed(seed))
