/**
 * Lets several processes use one token: one of them logs in, the others read what it got.
 *
 * **Details**
 *
 * Tokens lie in any `BackingPersistence` (memory, files, SQL, Redis), encrypted with AES-256-GCM under a key that only the
 * processes have. An entry's name is a keyed hash of the source's identity, so other credentials, or another region, have
 * another entry, and a rotated key does not meet the old token.
 *
 * Whoever finds no usable token takes a `Lease`, looks once more, logs in and writes. The others look again every
 * `poll`. A holder that dies leaves the lease to run out, and another takes over. The store is a convenience: where it fails,
 * or does not respond within `storeTimeout`, each process logs in for itself and a warning is logged.
 *
 * **Gotchas**
 *
 * The key protects the tokens from those who can read the store, not from the processes that share it. Take at least 32
 * random characters: keys are not stretched.
 *
 * **Example** (Two caches, as in two processes, and one login)
 *
 * ```ts import.meta.vitest
 * import { SharedTokens, TokenCache, TokenSource } from "@effect-resilience/auth"
 * import * as Lease from "@effect-resilience/deadline/Lease"
 * import { Effect, Layer, Redacted } from "effect"
 * import { Persistence } from "effect/persistence"
 *
 * let logins = 0
 * const source = TokenSource.fromEffect(
 *   Effect.sync(() => ({ value: Redacted.make(`token-${++logins}`) })),
 *   { identity: ["https://login.example.com", "K1"] }
 * )
 *
 * const program = Effect.gen(function*() {
 *   const shared = yield* SharedTokens.make(source, { key: Redacted.make("0123456789abcdef0123456789abcdef") })
 *   const one = yield* TokenCache.make(shared)
 *   const other = yield* TokenCache.make(shared)
 *   yield* Effect.all([one.get, other.get], { concurrency: 2 })
 * }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(Persistence.layerBackingMemory, Lease.layerMemory)))
 *
 * await Effect.runPromise(program)
 * logins // => 1
 * ```
 *
 * @since 0.1.0
 */
import * as Lease from "@effect-resilience/deadline/Lease"
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Persistence from "effect/persistence/Persistence"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as AuthError from "./AuthError.ts"
import type { Grant } from "./Grant.ts"
import { problemOf } from "./internal/tokenText.ts"
import * as vault from "./internal/vault.ts"
import type { TokenSource } from "./TokenSource.ts"

/**
 * - `key`: what the tokens are encrypted with; at least 32 characters.
 * - `lifetime`: how long a token whose server does not say is shared; 1 hour by default.
 * - `lease`: how long a login may take before another process tries; 15 seconds by default, prolonged while it runs.
 * - `poll`: how often those who wait look again; 100 milliseconds by default, with 50 % of jitter.
 * - `storeTimeout`: how long the store, or that of the leases, may take to respond; 1 second by default. See `StoreTimeout`: one
 *   that was silent is asked again once in a while, and holds no other login up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly key: Redacted.Redacted
  readonly lifetime?: Duration.Input | undefined
  readonly lease?: Duration.Input | undefined
  readonly poll?: Duration.Input | undefined
  readonly storeTimeout?: Duration.Input | undefined
}

/**
 * A source that shares the tokens of another. Fails with `NotConfigured` where the key is too short.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(source: TokenSource, options: Options): Effect.fn.Return<
  TokenSource,
  AuthError.AuthError,
  Persistence.BackingPersistence | Lease.Lease | Scope.Scope
> {
  if (Redacted.value(options.key).length < 32) {
    return yield* Effect.fail(
      new AuthError.AuthError({
        reason: new AuthError.NotConfigured({ detail: "the key for shared tokens needs at least 32 characters" })
      })
    )
  }
  const store = yield* (yield* Persistence.BackingPersistence).make("tokens")
  // One limit for both, which usually lie in the same place.
  const within = StoreTimeout.make(options.storeTimeout ?? "1 second")
  const lease = Lease.withTimeout(yield* Lease.Lease, within)
  const safe = yield* vault.make(options.key)
  const lifetime = Duration.toMillis(Duration.fromInputUnsafe(options.lifetime ?? "1 hour"))
  const leaseLife = Duration.fromInputUnsafe(options.lease ?? "15 seconds")
  const poll = Duration.toMillis(Duration.fromInputUnsafe(options.poll ?? "100 millis"))

  const read = Effect.fnUntraced(function*(place: string, rejected: Redacted.Redacted | undefined) {
    const entry = yield* optional(within(store.get(place)), "read")
    if (!isEntry(entry)) return undefined
    const text = yield* safe.open(place, entry.sealed)
    if (text === undefined) return undefined
    const stored = yield* Effect.orElseSucceed(decode(text), () => undefined)
    if (stored === undefined || stored.expiresAt <= (yield* Clock.currentTimeMillis)) return undefined
    if (rejected !== undefined && Redacted.value(rejected) === stored.value) return undefined
    const grant: Grant = { ...stored, value: Redacted.make(stored.value), shared: true }
    return grant
  })

  const write = Effect.fnUntraced(function*(place: string, grant: Grant) {
    // What the cache is about to reject would be rejected by all processes, for as long as it lies there.
    if (problemOf(Redacted.value(grant.value)) !== undefined) return
    const now = yield* Clock.currentTimeMillis
    const expiresAt = Math.min(grant.expiresAt ?? now + lifetime, now + longest)
    if (expiresAt <= now) return
    const stored = { value: Redacted.value(grant.value), expiresAt, attributes: grant.attributes ?? {} }
    // The schema's own words may repeat what is wrong.
    const text = yield* Effect.mapError(encode(stored), () => ({ message: "the grant cannot be written as JSON" }))
    const entry: Entry = { sealed: yield* safe.seal(place, text) }
    yield* within(store.set(place, entry, Duration.millis(expiresAt - now)))
  })

  const keepLease = (place: string, owner: string) =>
    Effect.catchCause(lease.acquire(place, owner, leaseLife), () => Effect.void).pipe(
      Effect.delay(Duration.millis(Duration.toMillis(leaseLife) / 3)),
      Effect.forever
    )

  const logIn = (place: string, owner: string, rejected: Redacted.Redacted | undefined) =>
    Effect.gen(function*() {
      // Another process may have finished between the look and the lease.
      const found = yield* read(place, rejected)
      if (found !== undefined) return found
      const grant = yield* Effect.raceFirst(source.acquire(rejected), keepLease(place, owner))
      yield* optional(write(place, grant), "written")
      return grant
    }).pipe(Effect.ensuring(Effect.catchCause(lease.release(place, owner), () => Effect.void)))

  const acquire = Effect.fnUntraced(function*(rejected: Redacted.Redacted | undefined) {
    const place = yield* safe.place(yield* source.identity)
    const owner = yield* safe.name
    while (true) {
      const found = yield* read(place, rejected)
      if (found !== undefined) return found
      // Without leases no process waits for another.
      const taken = yield* optional(lease.acquire(place, owner, leaseLife), "leased")
      if (taken !== false) return yield* logIn(place, owner, rejected)
      yield* Effect.sleep(Duration.millis(poll * (0.75 + (yield* Random.next) / 2)))
    }
  })

  return {
    identity: source.identity,
    acquire: (rejected) => Effect.suspend(() => acquire(rejected)),
    forgetFailures: source.forgetFailures
  }
})

interface Entry {
  readonly sealed: string
}

const isEntry = (u: object | undefined): u is Entry => u !== undefined && "sealed" in u && typeof u.sealed === "string"

const Stored = Schema.fromJsonString(Schema.Struct({
  value: Schema.String,
  expiresAt: Schema.Number,
  attributes: Schema.Record(Schema.String, Schema.String)
}))

const decode = Schema.decodeUnknownEffect(Stored)
const encode = Schema.encodeEffect(Stored)

/** A token that never ends is looked up anew after a month, since stores and JSON know no infinity. */
const longest = 30 * 24 * 60 * 60 * 1_000

/** A call to a store, which is a convenience: whatever goes wrong with it, a defect included, costs a warning. */
const optional = <A, E extends { readonly message: string }>(
  call: Effect.Effect<A, E>,
  what: string
): Effect.Effect<A | undefined> =>
  Effect.catchCause(call, (cause) => {
    const error = Cause.findErrorOption(cause)
    const why = error._tag === "Some" ? error.value.message : "the call to it did not end as it should"
    return Effect.as(
      Effect.logWarning(`Shared tokens cannot be ${what}, going on without the store: ${why}`),
      undefined
    )
  })
