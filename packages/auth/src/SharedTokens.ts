/**
 * Lets several processes use one token: one of them logs in, the others read its token.
 *
 * **Details**
 *
 * Tokens are kept in any `BackingPersistence` (memory, files, SQL, Redis), encrypted with AES-256-GCM under a key that only the
 * processes have. The name of an entry is a keyed hash of the source's identity: other credentials and other regions have other
 * entries, and so does a rotated key.
 *
 * A process that finds no usable token acquires a `Lease`, looks once more, logs in and writes the token. The others look again
 * every `poll`. When a holder dies its lease expires, and another process takes over. The store is not required: where it fails,
 * or does not respond within `storeTimeout`, each process logs in for itself and logs a warning.
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
 * @stability rests on effect/persistence
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
import * as Vault from "./internal/vault.ts"
import type { TokenSource } from "./TokenSource.ts"

/**
 * How processes share a token.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Encrypts the tokens; at least 32 characters. */
  readonly key: Redacted.Redacted
  /** How long a token is shared whose server does not name its end; 1 hour by default. */
  readonly lifetime?: Duration.Input | undefined
  /** How long the others wait for a holder that died; 15 seconds by default. A holder prolongs it while its login runs. */
  readonly lease?: Duration.Input | undefined
  /** How often the others look; 100 milliseconds by default, plus or minus 25 % at random. */
  readonly poll?: Duration.Input | undefined
  /**
   * How long the store, or that of the leases, may take to respond; 1 second by default. A store that did not respond is asked
   * again once in a while, and delays no other login (`StoreTimeout`).
   */
  readonly storeTimeout?: Duration.Input | undefined
}

/**
 * A source that shares the tokens of another. Fails with `NotConfigured` where the key is too short.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /* @__PURE__ */ Effect.fnUntraced(
  function*(source: TokenSource, options: Options): Effect.fn.Return<
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
    // One limit for both, since they usually are one store.
    const within = StoreTimeout.make(options.storeTimeout ?? "1 second")
    const lease = Lease.withTimeout(yield* Lease.Lease, within)
    const vault = yield* Vault.make(options.key)
    const lifetime = Duration.toMillis(Duration.fromInputUnsafe(options.lifetime ?? "1 hour"))
    const leaseLife = Duration.fromInputUnsafe(options.lease ?? "15 seconds")
    const poll = Duration.toMillis(Duration.fromInputUnsafe(options.poll ?? "100 millis"))

    const read = Effect.fnUntraced(function*(name: string, rejected: Redacted.Redacted | undefined) {
      const entry = yield* optional(within(store.get(name)), "read")
      if (!isEntry(entry)) return undefined
      const text = yield* vault.open(name, entry.sealed)
      if (text === undefined) return undefined
      const stored = yield* Effect.orElseSucceed(decode(text), () => undefined)
      if (stored === undefined || stored.expiresAt <= (yield* Clock.currentTimeMillis)) return undefined
      if (rejected !== undefined && Redacted.value(rejected) === stored.value) return undefined
      const grant: Grant = { ...stored, value: Redacted.make(stored.value), shared: true }
      return grant
    })

    const write = Effect.fnUntraced(function*(name: string, grant: Grant) {
      // All processes would reject the token that the cache is about to reject, until it expires.
      if (problemOf(Redacted.value(grant.value)) !== undefined) return
      const now = yield* Clock.currentTimeMillis
      const expiresAt = Math.min(grant.expiresAt ?? now + lifetime, now + longest)
      if (expiresAt <= now) return
      const stored = { value: Redacted.value(grant.value), expiresAt, attributes: grant.attributes ?? {} }
      // The schema's message may repeat the token.
      const text = yield* Effect.mapError(encode(stored), () => ({ message: "the grant cannot be written as JSON" }))
      const entry: Entry = { sealed: yield* vault.seal(name, text) }
      yield* within(store.set(name, entry, Duration.millis(expiresAt - now)))
    })

    const keepLease = (name: string, owner: string) =>
      Effect.catchCause(lease.acquire(name, owner, leaseLife), () => Effect.void).pipe(
        Effect.delay(Duration.millis(Duration.toMillis(leaseLife) / 3)),
        Effect.forever
      )

    const logIn = (name: string, owner: string, rejected: Redacted.Redacted | undefined) =>
      Effect.gen(function*() {
        // Another process may have logged in between the look and the lease.
        const found = yield* read(name, rejected)
        if (found !== undefined) return found
        const grant = yield* Effect.raceFirst(source.acquire(rejected), keepLease(name, owner))
        yield* optional(write(name, grant), "written")
        return grant
      }).pipe(Effect.ensuring(Effect.catchCause(lease.release(name, owner), () => Effect.void)))

    const acquire = Effect.fnUntraced(function*(rejected: Redacted.Redacted | undefined) {
      const name = yield* vault.nameOf(yield* source.identity)
      const owner = yield* vault.randomName
      while (true) {
        const found = yield* read(name, rejected)
        if (found !== undefined) return found
        // Without leases no process waits for another.
        const taken = yield* optional(lease.acquire(name, owner, leaseLife), "leased")
        if (taken !== false) return yield* logIn(name, owner, rejected)
        yield* Effect.sleep(Duration.millis(poll * (0.75 + (yield* Random.next) / 2)))
      }
    })

    return {
      identity: source.identity,
      acquire: (rejected) => Effect.suspend(() => acquire(rejected)),
      forgetFailures: source.forgetFailures
    }
  }
)

interface Entry {
  readonly sealed: string
}

const isEntry = (u: object | undefined): u is Entry => u !== undefined && "sealed" in u && typeof u.sealed === "string"

const Stored = /* @__PURE__ */ Schema.fromJsonString(Schema.Struct({
  value: Schema.String,
  expiresAt: Schema.Number,
  attributes: Schema.Record(Schema.String, Schema.String)
}))

const decode = /* @__PURE__ */ Schema.decodeUnknownEffect(Stored)
const encode = /* @__PURE__ */ Schema.encodeEffect(Stored)

/** A token that never ends is stored for a month, since stores and JSON have no infinity. */
const longest = 30 * 24 * 60 * 60 * 1_000

/** A call to the store. Its failure, a defect included, costs a warning only. */
const optional = <A, E extends { readonly message: string }>(
  call: Effect.Effect<A, E>,
  what: string
): Effect.Effect<A | undefined> =>
  Effect.catchCause(call, (cause) => {
    const error = Cause.findErrorOption(cause)
    const why = error._tag === "Some" ? error.value.message : "the call to it ended with a defect or an interruption"
    return Effect.as(
      Effect.logWarning(`Shared tokens cannot be ${what}, continuing without the store: ${why}`),
      undefined
    )
  })
