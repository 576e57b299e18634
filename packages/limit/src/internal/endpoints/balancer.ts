import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { monotonicMillis, tookMillis } from "@effect-resilience/kernel/Time"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type * as Outcome from "../../Outcome.ts"
import { groupOf, lessLoadedOfTwo } from "./choice.ts"
import type { Address } from "./endpoint.ts"
import { Endpoint } from "./endpoint.ts"
import type { Measure } from "./measure.ts"
import type { Reason, Settings as OutlierSettings } from "./outliers.ts"
import { Outliers } from "./outliers.ts"
import type { Spread } from "./spread.ts"
import { spread } from "./spread.ts"
import { UsedBefore } from "./usedBefore.ts"

export interface Settings<E> {
  readonly addresses: ReadonlyArray<Address>
  readonly zone: string | undefined
  readonly load: Measure
  readonly panicThreshold: number
  readonly each: ((address: string) => Each<E>) | undefined
  readonly classify: Outcome.Classify
  readonly ejection: Omit<OutlierSettings, "maxShare"> & { readonly maxShare: number | undefined }
}

/**
 * What every address has of its own: a breaker, a bulkhead, a pipeline.
 *
 * @category models
 * @since 0.1.0
 */
export interface Each<out E> {
  /** Runs an attempt. */
  execute<A, E2, R>(self: Effect.Effect<A, E2, R>): Effect.Effect<A, E | E2, R>
  /** Exists in types only: `E` is inferred from it. */
  readonly "~rejects"?: E
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** Chooses an address for each attempt, and learns from how it ends. */
export class Balancer<E> implements PolicyEvent.Rejecting {
  readonly kind = "Endpoints"
  readonly name: string
  rejected = 0
  settings: Settings<E>
  readonly outliers: Outliers
  readonly usedBefore = new UsedBefore()
  #spread: Spread | undefined

  constructor(name: string, settings: Settings<E>) {
    this.name = name
    this.settings = settings
    this.outliers = new Outliers(
      outlierSettings(settings),
      (endpoint, reason, millis) => this.#ejected(endpoint, reason, millis),
      (endpoint) => this.#changed({ _tag: "Returned", endpoint: endpoint.address })
    )
    this.#spread = undefined
    this.load(settings)
  }

  /** Takes other settings; addresses that stay keep what is known of them. */
  load(settings: Settings<E>): void {
    const known = new Map(this.outliers.endpoints.map((endpoint) => [endpoint.address, endpoint]))
    this.settings = settings
    this.outliers.settings = outlierSettings(settings)
    this.outliers.use(settings.addresses.map((address) => {
      const old = known.get(address.address)
      return old === undefined ? new Endpoint(address) : Object.assign(old, address)
    }))
    this.#spread = undefined
  }

  /** Brings what depends on the time up to date. */
  spreadAt(now: number): Spread {
    if (now >= this.outliers.nextAt) this.outliers.refresh(now)
    return this.#spread ??= spread(this.outliers.endpoints, this.settings.zone, this.settings.panicThreshold)
  }

  /** An address for an attempt: not one of `rejecting`, nor one that another attempt of the call used while there are more. */
  choose(fiber: AnyFiber, now: number, rejecting: ReadonlySet<Endpoint> | undefined): Endpoint | undefined {
    const { load } = this.settings
    const all = this.spreadAt(now)
    const draw = () => fiber.getRef(Random.Random).nextDoubleUnsafe()
    const chosen = groupOf(all, draw)
    const used = this.usedBefore.byOthers(fiber.context)
    if (chosen === undefined || (used === undefined && rejecting === undefined)) {
      return chosen && lessLoadedOfTwo(chosen.endpoints, load, now, draw)
    }
    const allowed = (endpoint: Endpoint) => rejecting?.has(endpoint) !== true
    for (const { endpoints } of [chosen, ...all.groups]) {
      const unused = endpoints.filter((endpoint) => allowed(endpoint) && used?.has(endpoint) !== true)
      if (unused.length > 0) return lessLoadedOfTwo(unused, load, now, draw)
    }
    const available = new Set(all.groups.flatMap(({ endpoints }) => endpoints))
    return used && [...used].findLast((endpoint) => allowed(endpoint) && available.has(endpoint))
  }

  record(endpoint: Endpoint, exit: Exit.Exit<unknown, unknown>, tookMillis: number, now: number): void {
    const { classify, load } = this.settings
    const outcome = classify(exit)
    if (now >= this.outliers.nextAt) this.outliers.refresh(now)
    load.record?.(endpoint, tookMillis, outcome._tag, now)
    if (outcome._tag !== "Ignored") this.outliers.record(endpoint, outcome._tag === "Failure", now)
  }

  #ejected(endpoint: Endpoint, reason: Reason, millis: number): void {
    this.#changed({ _tag: "Ejected", endpoint: endpoint.address, reason, duration: Duration.millis(millis) })
  }

  #changed(event: Change): void {
    this.#spread = undefined
    const context = Fiber.getCurrent()?.context
    if (context === undefined) return
    const told = { ...event, policy: this.name, kind: this.kind }
    PolicyEvent.emitUnsafe(context, told)
    const log = event._tag === "Ejected" ? Effect.logWarning : Effect.logInfo
    Effect.runForkWith(context)(log(PolicyEvent.describe(told)))
  }
}

type Change = DistributiveOmit<Extract<PolicyEvent.PolicyEvent, { readonly endpoint: string }>, "policy" | "kind">

type DistributiveOmit<A, K extends string> = A extends unknown ? Omit<A, K> : never

/** Addresses of one priority stand for each other; those of another are there for the case that all of it fails. */
const outlierSettings = <E>({ addresses, ejection }: Settings<E>): OutlierSettings => ({
  ...ejection,
  maxShare: ejection.maxShare ?? (new Set(addresses.map(({ priority }) => priority)).size > 1 ? 1 : 0.1)
})

/** One attempt: at an address, or at the next one where the address's own policy rejects it. */
export class Use<A, E, E2, R> {
  readonly #balancer: Balancer<E>
  readonly #call: (address: string) => Effect.Effect<A, E2, R>
  #endpoint: Endpoint | undefined
  #began = false
  #beganAt = 0
  #rejecting: Set<Endpoint> | undefined
  #rejection: Cause.Cause<E | E2> = Cause.empty

  constructor(balancer: Balancer<E>, call: (address: string) => Effect.Effect<A, E2, R>) {
    this.#balancer = balancer
    this.#call = call
    this.#endpoint = undefined
    this.#rejecting = undefined
  }

  // The frame comes first, so that no interruption can come between the count and the frame that takes it back.
  run(): Effect.Effect<A, E | E2, R> {
    return Effect.onExitPrimitive(Effect.withFiber((fiber) => this.#start(fiber)), (exit) => this.#end(exit))
  }

  #start(fiber: AnyFiber): Effect.Effect<A, E | E2, R> {
    const balancer = this.#balancer
    const now = nowMillis(fiber)
    const endpoint = balancer.choose(fiber, now, this.#rejecting)
    if (endpoint === undefined) {
      PolicyEvent.rejectUnsafe(balancer, fiber.context, "NoAddress")
      return Effect.failCause(this.#rejection)
    }
    balancer.usedBefore.add(fiber.context, endpoint)
    this.#endpoint = endpoint
    endpoint.inFlight++
    const { each } = balancer.settings
    if (each === undefined) return this.#begin(endpoint, now)
    return Effect.catchCause(
      each(endpoint.address).execute(Effect.withFiber((fiber) => this.#begin(endpoint, nowMillis(fiber)))),
      (cause) => this.#began || !cause.reasons.every(Cause.isFailReason) ? Effect.failCause(cause) : this.#next(cause)
    )
  }

  #begin({ address }: Endpoint, now: number): Effect.Effect<A, E2, R> {
    this.#began = true
    this.#beganAt = now
    return this.#call(address)
  }

  #next(rejection: Cause.Cause<E | E2>): Effect.Effect<A, E | E2, R> {
    const endpoint = this.#release()
    if (endpoint !== undefined) (this.#rejecting ??= new Set()).add(endpoint)
    this.#rejection = rejection
    return Effect.withFiber((fiber) => this.#start(fiber))
  }

  #release(): Endpoint | undefined {
    const endpoint = this.#endpoint
    if (endpoint !== undefined) endpoint.inFlight--
    this.#endpoint = undefined
    return endpoint
  }

  #end(exit: Exit.Exit<unknown, unknown>): undefined {
    const endpoint = this.#release()
    const fiber = Fiber.getCurrent()
    if (endpoint === undefined || fiber === undefined || !this.#began) return
    const now = nowMillis(fiber)
    this.#balancer.record(endpoint, exit, tookMillis(exit, this.#beganAt, now), now)
  }
}

const nowMillis = (fiber: AnyFiber): number => monotonicMillis(fiber.getRef(Clock.Clock))
