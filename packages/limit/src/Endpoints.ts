/**
 * Chooses an address for each attempt, where a service has several.
 *
 * **Why**
 *
 * A retry at the address that has just failed meets the same fault; one at another address does not. And a replica that is
 * slow or broken should get fewer calls, before every caller has found that out.
 *
 * **Details**
 *
 * `use` takes any function from an address to an effect. For each attempt it chooses
 *
 * 1. a priority: all calls go to the first, as long as five sevenths of its addresses are well, then some and at last all to
 *    the next. This is failover order, after Envoy;
 * 2. within it the caller's `zone`, for as many calls as keep all addresses equally busy; the rest spills over to other zones;
 * 3. the less loaded of two addresses that chance chooses by weight ("power of two choices"). Load is the number of
 *    attempts in flight, or with `peakEwma` that times the latency.
 *
 * An attempt of a retry or a hedge never goes where another attempt of the same call went while there is another address, of
 * this zone and priority or else of the next. Where all were used, it is the one that was used longest ago.
 *
 * An address that fails `consecutive` times in a row, or much more often than the others, is ejected: it gets no calls for 30
 * seconds, longer each time in a row. At most a tenth of the addresses are ejected at a time; of less than ten, one is. The
 * last one never is. Where less than half of them are left, the fault is likely elsewhere: all get calls again (panic). These
 * rules and numbers are those of Envoy's outlier detection. `Outcome` says what a failure is.
 *
 * `each` gives every address a policy of its own, such as a breaker. Where that rejects an attempt before it began, the next
 * address is tried at once; where all reject, the last rejection is the failure of the call.
 *
 * Nothing runs in the background. Ejections and returns are told as `PolicyEvent`; a return when the next call comes.
 *
 * **Gotchas**
 *
 * - Put the time limit of an attempt inside: `use((address) => call(address).pipe(Timeout.withTimeout("1 second")))`. One
 *   outside interrupts the attempt, and an interruption says nothing about the address.
 * - Put the retry and the hedge outside. Inside they stay at one address.
 * - One of five addresses whose success rate differs from that of all others is ejected for it, however little it
 *   differs: this is what 1.9 standard deviations of five mean. Set `deviations` to `Infinity` to eject for
 *   failures in a row only.
 * - An address is in events and snapshots: it must contain no password.
 *
 * **Example** (The second attempt goes elsewhere)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { Endpoints } from "@effect-resilience/limit"
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * const broken = "https://a.example"
 * const call = (address: string) => address === broken ? Effect.fail("503") : Effect.succeed(`stored at ${address}`)
 *
 * const program = Effect.gen(function*() {
 *   const ledger = yield* Endpoints.make({ name: "ledger", addresses: ["https://a.example", "https://b.example"] })
 *   const policy = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })
 *   return yield* ledger.use(call).pipe(RetryPolicy.retry(policy, { classify: () => Recovery.retry }))
 * })
 *
 * await Effect.runPromise(program) // => "stored at https://b.example"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as loads from "./endpointLoad/index.ts"
import type { Each, Settings } from "./internal/endpoints/balancer.ts"
import { Balancer, Use } from "./internal/endpoints/balancer.ts"
import { lookAt } from "./internal/endpoints/snapshot.ts"
import type { Snapshot } from "./internal/endpoints/snapshot.ts"
import * as Outcome from "./Outcome.ts"

export * from "./endpointLoad/index.ts"
export type { Each } from "./internal/endpoints/balancer.ts"
export type { AddressSnapshot, Snapshot } from "./internal/endpoints/snapshot.ts"

/**
 * Several addresses of one service. `E` is what `each` rejects attempts with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoints<out E = never> extends Policy.Policy<E, Snapshot> {
  /** Runs an effect at an address. Each run chooses anew: a retry outside runs it at another one. */
  use<A, E2, R>(call: (address: string) => Effect.Effect<A, E2, R>): Effect.Effect<A, E | E2, R>
  /** Takes other addresses. Those that stay keep what is known of them. Throws `RangeError` where they make no sense. */
  update(addresses: Addresses): Effect.Effect<void>
  /** Takes other options; `name` and `each` stay. Addresses that stay keep what is known of them. Throws `RangeError`. */
  reload(options: Omit<Options, "each">): Effect.Effect<void>
}

/**
 * An address, and where it stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Address {
  /** What `use` gets, such as a base URL. */
  readonly address: string
  /** Where it is; see the `zone` of the options. */
  readonly zone?: string | undefined
  /** 0 for the first choice, which is the default; higher ones get calls where the lower ones fail. */
  readonly priority?: number | undefined
  /** How much it can take, compared with the others; default 1. */
  readonly weight?: number | undefined
}

/**
 * One address or more, each once.
 *
 * @category models
 * @since 0.1.0
 */
export type Addresses = string | Address | ReadonlyArray<string | Address>

/**
 * How load is measured, as `inFlight` and `peakEwma` write it.
 *
 * @category models
 * @since 0.1.0
 */
export type Load = Field.OneOf<typeof loads>

/**
 * How to make endpoints.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<out E = never> {
  /** The name in events and metrics; default `"default"`. */
  readonly name?: string | undefined
  /** At least one. */
  readonly addresses: Addresses
  /**
   * Where the caller is. Calls stay there as far as the addresses there are well and not too few. Default: zones do not matter.
   */
  readonly zone?: string | undefined
  /** What the less loaded of two addresses is; default `"inFlight"`. */
  readonly load?: Load | undefined
  /** Which addresses get no calls for a while. */
  readonly ejection?: Ejection | undefined
  /**
   * All addresses of a priority get calls where less than this share of them is in use, and all priorities together are too
   * weak; default 0.5, that of Envoy. 0 switches it off.
   */
  readonly panicThreshold?: number | undefined
  /** The policy of an address, by which it may reject an attempt; default none. */
  readonly each?: ((address: string) => Each<E>) | undefined
  /** What an exit says about the address; default `Outcome.of`. It is not asked about interruptions, which are ignored. */
  readonly classify?: Outcome.Classify | undefined
}

/**
 * When an address is ejected, and for how long. The defaults are those of Envoy, but for `maxShare`, of which an address may
 * always be ejected here; Envoy has a switch for that since version 1.31.
 *
 * - `minimumAddresses`, `minimumCalls`: success rates are compared only if at least `minimumAddresses` addresses had at least
 *   `minimumCalls` calls each in an interval; default 5 and 100.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ejection {
  /** After so many failures in a row; default 5. `Infinity` switches it off. */
  readonly consecutive?: number | undefined
  /** Where its success rate is lower than the mean by so many standard deviations; default 1.9. `Infinity` switches it off. */
  readonly deviations?: number | undefined
  readonly minimumAddresses?: number | undefined
  readonly minimumCalls?: number | undefined
  /**
   * How often success rates are compared; default 10 seconds. An address that does well for an interval gets one off its
   * ejections in a row.
   */
  readonly interval?: Duration.Input | undefined
  /** How long the first ejection takes; default 30 seconds. The next in a row takes twice, then three times as long. */
  readonly duration?: Duration.Input | undefined
  /** The longest; default 5 minutes, or `duration` where that is longer. */
  readonly maxDuration?: Duration.Input | undefined
  /**
   * The share of addresses that may be ejected at once, from 0 to 1. One may be in any case, unless it is 0, and the last one
   * never is. Default 0.1; 1 where there are several priorities, since a first choice that is down as a whole has to be left as
   * a whole.
   */
  readonly maxShare?: number | undefined
}

const ejectionFields = {
  consecutive: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1, infinite: true }), 5),
  deviations: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, infinite: true }), 1.9),
  minimumAddresses: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 5),
  minimumCalls: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 100),
  interval: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ above: 0, finite: true }), "10 seconds"),
  duration: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ above: 0, finite: true }), "30 seconds"),
  maxDuration: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.duration({ above: 0, finite: true })),
  maxShare: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.number({ min: 0, max: 1 }))
} satisfies Field.Fields<Ejection>

const ejection = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(ejectionFields), {}),
  ({ duration, interval, maxDuration, ...rest }, path): Settings<unknown>["ejection"] => {
    const max = maxDuration ?? Duration.max(duration, fiveMinutes)
    requireArgument(
      Duration.isGreaterThanOrEqualTo(max, duration),
      `${path}.maxDuration`,
      `at least duration, ${Duration.format(duration)}`,
      Duration.format(max)
    )
    return {
      ...rest,
      intervalMillis: Duration.toMillis(interval),
      baseMillis: Duration.toMillis(duration),
      maxMillis: Duration.toMillis(max)
    }
  }
)

const fiveMinutes = /* @__PURE__ */ Duration.minutes(5)

const addressFields = {
  address: Field.text,
  zone: /* @__PURE__ */ Field.optional(Field.text),
  priority: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0 }), 0),
  weight: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ above: 0 }), 1)
} satisfies Field.Fields<Address>

const addressField = /* @__PURE__ */ Field.struct(addressFields)

/**
 * How addresses are written.
 *
 * @category fields
 * @since 0.1.0
 */
export const addressesField: Field.Field<Addresses, ReadonlyArray<Field.Settings<typeof addressFields>>> =
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.oneOrMore(
      /* @__PURE__ */ Field.either(
        (written) => !Predicate.isObject(written),
        /* @__PURE__ */ Field.map(Field.text, (address, path) => addressField.read({ address }, path)),
        addressField
      )
    ),
    (read, path) => {
      const seen = new Set<string>()
      for (const { address } of read) {
        requireArgument(!seen.has(address), path, "a list that has each address once", address)
        seen.add(address)
      }
      return read
    }
  )

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  addresses: addressesField,
  zone: /* @__PURE__ */ Field.optional(Field.text),
  load: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.variants(loads), "inFlight"),
  ejection,
  panicThreshold: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 1 }), 0.5),
  each: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.fn<(address: string) => Each<unknown>>()),
  classify: Outcome.field
} satisfies Field.Fields<Options<unknown>>

/**
 * Makes endpoints. Throws `RangeError` where an option makes no sense.
 *
 * **Example** (A breaker for each address)
 *
 * ```ts import.meta.vitest
 * import { CircuitBreaker, Endpoints } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const breakers = yield* CircuitBreaker.keyed({ tripPolicy: CircuitBreaker.consecutive(5) })
 *   const ledger = yield* Endpoints.make({ addresses: ["a", "b"], each: (address) => breakers.get(address) })
 *   yield* breakers.get("a").isolate
 *   return yield* Effect.all([ledger.use(Effect.succeed), ledger.use(Effect.succeed), ledger.use(Effect.succeed)])
 * })
 *
 * await Effect.runPromise(program) // => ["b", "b", "b"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E = never>(options: Options<E>): Effect.Effect<Endpoints<E>> => {
  const settings = Field.read("Endpoints", fields, options)
  const { each } = options
  return Effect.sync(() => {
    // So that attempts of one call know each other.
    Attempt.trackCalls()
    return new Balanced({ ...settings, each })
  })
}

/**
 * One address that is empty: for tests, and for callers that have an address of their own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Endpoints = /* @__PURE__ */ Object.assign(
  /* @__PURE__ */ Policy.noop<Snapshot>({
    healthy: 1,
    ejected: 0,
    panic: false,
    inFlight: 0,
    rejected: 0,
    addresses: []
  }),
  {
    use: <A, E, R>(call: (address: string) => Effect.Effect<A, E, R>) => Effect.suspend(() => call("")),
    update: () => Effect.void,
    reload: () => Effect.void
  }
)

/**
 * The address of the innermost `withEndpoints` around the running code; empty where there is none.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<string> = /* @__PURE__ */ Context.Reference<string>(
  "@effect-resilience/limit/Endpoints/Current",
  { defaultValue: () => "" }
)

/**
 * Runs an effect that reads its address from `Current`: what `use` does, for code that does not take an address.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withEndpoints: {
  <E>(endpoints: Endpoints<E>): <A, E2, R>(self: Effect.Effect<A, E2, R>) => Effect.Effect<A, E | E2, R>
  <A, E2, R, E>(self: Effect.Effect<A, E2, R>, endpoints: Endpoints<E>): Effect.Effect<A, E | E2, R>
} = Policy.withPolicy

/**
 * The service for programs that have one service with several addresses.
 *
 * @category services
 * @since 0.1.0
 */
export const Endpoints: Context.Service<Endpoints, Endpoints> = /* @__PURE__ */ Context.Service<Endpoints>(
  "@effect-resilience/limit/Endpoints"
)

/**
 * Provides endpoints.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Endpoints> => Layer.effect(Endpoints, make(options))

/**
 * Provides one address that is empty.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Endpoints> = /* @__PURE__ */ Layer.succeed(Endpoints, noop)

class Balanced<E> implements Endpoints<E> {
  readonly name: string
  readonly admitUnsafe: undefined
  readonly #balancer: Balancer<E>

  constructor(settings: Settings<E> & { readonly name: string }) {
    this.name = settings.name
    this.#balancer = new Balancer(settings.name, settings)
    this.admitUnsafe = undefined
  }

  get snapshot(): Effect.Effect<Snapshot> {
    return Effect.withFiber((fiber) => Effect.succeed(lookAt(this.#balancer, fiber)))
  }

  use<A, E2, R>(call: (address: string) => Effect.Effect<A, E2, R>): Effect.Effect<A, E | E2, R> {
    return Effect.suspend(() => new Use(this.#balancer, call).run())
  }

  execute<A, E2, R>(self: Effect.Effect<A, E2, R>): Effect.Effect<A, E | E2, R> {
    return this.use((address) => Effect.provideService(self, Current, address))
  }

  update(written: Addresses): Effect.Effect<void> {
    const read = addressesField.read(written, "Endpoints.addresses")
    return Effect.sync(() => this.#balancer.load({ ...this.#balancer.settings, addresses: read }))
  }

  reload(options: Omit<Options, "each">): Effect.Effect<void> {
    const settings = Field.read("Endpoints", fields, options)
    return Effect.sync(() => this.#balancer.load({ ...settings, each: this.#balancer.settings.each }))
  }
}
