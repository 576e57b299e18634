/**
 * Gives the last good value while a dependency fails.
 *
 * **Why**
 *
 * For much of what is read (rates, catalogues, settings) yesterday's value is nearly as good as today's, and far better
 * than an error. The idea is that of `stale-if-error` in RFC 5861.
 *
 * **Details**
 *
 * Every success is kept in `Persistence`, under its key, for `timeToLive`. When a later call fails in a way that speaks of
 * the dependency (see `Fallback.applies`), the kept value is the result, and a warning is logged that says so. Where there
 * is none, the error stays. A store that does not respond is logged and otherwise ignored.
 *
 * **Gotchas**
 *
 * - Not in the package's index, since it loads `Schema`: import it from `@effect-resilience/limit/StaleIfError`.
 * - A success waits until it is kept.
 * - Keep no secrets in a store that others can read.
 *
 * **Example** (The last rate)
 *
 * ```ts import.meta.vitest
 * import * as StaleIfError from "@effect-resilience/limit/StaleIfError"
 * import { Effect, Schema } from "effect"
 * import { Persistence } from "effect/persistence"
 *
 * const program = Effect.gen(function*() {
 *   const rates = yield* StaleIfError.make({ storeId: "rates", schema: Schema.Number, timeToLive: "1 day" })
 *   yield* Effect.succeed(1.08).pipe(StaleIfError.withStaleIfError(rates, "EURUSD"))
 *   return yield* Effect.fail("no response").pipe(StaleIfError.withStaleIfError(rates, "EURUSD"))
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(Persistence.layerMemory))) // => 1.08
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Persistable from "effect/persistence/Persistable"
import * as Persistence from "effect/persistence/Persistence"
import * as PrimaryKey from "effect/PrimaryKey"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Fallback from "./Fallback.ts"
import { storeTimeout } from "./internal/storeFields.ts"

/**
 * The last good values of one kind of call. All of them are of one type, which is why `execute` takes less than that of other
 * policies. Its state is in the store.
 *
 * @category models
 * @since 0.1.0
 */
export interface StaleIfError<in out A> extends Omit<Policy.Policy<never, void>, "execute"> {
  /** Runs an effect; keeps its success under the key, or gives what is kept. */
  execute<E, R>(self: Effect.Effect<A, E, R>, key: string): Effect.Effect<A, E, R>
}

/**
 * How to make one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<A> {
  /** Names the values in the store, and the instance. */
  readonly storeId: string
  /** How a value is written. */
  readonly schema: Schema.Codec<A, unknown>
  /** How old a value may be; default 1 day. */
  readonly timeToLive?: Duration.Input | undefined
  /** How long the store may take to respond before the call goes on without it; default 1 second. See `StoreTimeout`. */
  readonly storeTimeout?: Duration.Input | undefined
  /** For which errors; default `Fallback.applies`. */
  readonly when?: ((error: unknown) => boolean) | undefined
}

/**
 * The options as data, but for `schema`, which JSON cannot name.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  storeId: Field.text,
  timeToLive: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "1 day"),
  storeTimeout,
  when: Fallback.fields.when
} satisfies Field.Fields<Omit<Options<unknown>, "schema">>

/**
 * Opens the store of one kind of call. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const make = <A>(
  { schema, ...options }: Options<A>
): Effect.Effect<StaleIfError<A>, never, Persistence.Persistence | Scope.Scope> => {
  const { storeId, storeTimeout, timeToLive, when } = Field.read("StaleIfError", fields, options)
  const within = StoreTimeout.make(storeTimeout)
  return Effect.gen(function*() {
    const persistence = yield* Persistence.Persistence
    const store = yield* persistence.make({ storeId, timeToLive: () => timeToLive })

    const keep = (key: Entry<A>, value: A) =>
      within(store.set(key, Exit.succeed(value))).pipe(
        Effect.catch((error) => Effect.logWarning(`Could not keep the last good value of ${storeId}`, error))
      )

    const kept = (key: Entry<A>) =>
      within(store.get(key)).pipe(
        Effect.catch((error) =>
          Effect.as(Effect.logWarning(`Could not read the last good value of ${storeId}`, error), undefined)
        )
      )

    return {
      name: storeId,
      admitUnsafe: undefined,
      snapshot: Effect.void,
      execute: <E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, R> => {
        const key = new Entry(name, schema)
        return Effect.matchCauseEffect(self, {
          onSuccess: (value) => Effect.as(keep(key, value), value),
          onFailure: (cause) => {
            const error = Cause.findErrorOption(cause)
            if (Option.isNone(error) || Cause.hasDies(cause) || !when(error.value)) return Effect.failCause(cause)
            return Effect.flatMap(kept(key), (last) =>
              last !== undefined && Exit.isSuccess(last)
                ? Effect.as(Effect.logWarning(`Gave the last good value of ${storeId}`), last.value)
                : Effect.failCause(cause))
          }
        })
      }
    }
  })
}

/**
 * Keeps nothing, and lets every error pass.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Policy.Policy<never, void> = /* @__PURE__ */ Policy.noop<void>(undefined)

/**
 * Runs an effect; keeps its success under the key, or gives what is kept.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withStaleIfError: {
  <A>(values: StaleIfError<A>, key: string): <E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, values: StaleIfError<A>, key: string): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  3,
  <A, E, R>(self: Effect.Effect<A, E, R>, values: StaleIfError<A>, key: string) => values.execute(self, key)
)

class Entry<A> implements Persistable.Persistable<Schema.Codec<A, unknown>, Schema.Never> {
  readonly [Persistable.symbol]: { readonly success: Schema.Codec<A, unknown>; readonly error: Schema.Never }
  private readonly key: string

  constructor(key: string, success: Schema.Codec<A, unknown>) {
    this.key = key
    this[Persistable.symbol] = { success, error: Schema.Never }
  }

  [PrimaryKey.symbol]() {
    return this.key
  }
}
