/**
 * Runs real policies against a server that is a model, through an outage, in virtual time.
 *
 * **Why**
 *
 * Whether a policy ends an outage or prolongs it shows when all clients have it at once, and then it is too late. Here ten
 * minutes of it take a second, and the policy is the code that will be deployed.
 *
 * **Details**
 *
 * Arrivals and the server are plain events. A call is an effect: the policy around a request. Each process has policies of its
 * own, as programs on several machines have. Calls and services draw from seeds of their own, so that two policies face the
 * same calls.
 *
 * **Example** (Three retries, and a server that does not come back)
 *
 * ```ts import.meta.vitest
 * import { Lab, LabResult } from "@effect-resilience/lab"
 *
 * const outage = { from: "20 seconds", for: "10 seconds", fault: "down" } as const
 * const result = Lab.simulate({
 *   duration: "2 minutes",
 *   arrivals: { open: { perSecond: 160 } },
 *   server: { workers: 20, serviceTime: { exponential: "100 millis" } },
 *   outages: [outage],
 *   policy: { name: "ledger", attemptTimeout: "1 second", retry: { backoff: { base: "100 millis" } } }
 * })
 * const during = LabResult.between(result, "20 seconds", "30 seconds")
 * during.sent > 3 * during.offered // => true
 * LabResult.recovery(result, { from: "30 seconds" }) // => undefined
 * ```
 *
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as arrivals from "./arrivals/index.ts"
import * as faults from "./fault/index.ts"
import type { Chance } from "./internal/chance.ts"
import { Server } from "./internal/server.ts"
import type { Request } from "./internal/server.ts"
import { Tally } from "./internal/tally.ts"
import type { Counts, LabResult } from "./LabResult.ts"
import * as serviceTimes from "./serviceTime/index.ts"
import * as VirtualTime from "./VirtualTime.ts"

/**
 * How calls begin: `{ open: { perSecond } }`, or `{ closed: { clients, thinkTime } }`.
 *
 * @category models
 * @since 0.1.0
 */
export type Arrivals = Field.OneOf<typeof arrivals>

/**
 * How long a service takes: `{ exponential: mean }`, `{ constant: time }` or `{ bimodal: { usual, slow, share } }`.
 *
 * @category models
 * @since 0.1.0
 */
export type ServiceTime = Field.OneOf<typeof serviceTimes>

/**
 * What is wrong with the server: `"down"` (it is silent), `{ failing: share }` or `{ slow: factor }`.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = Field.OneOf<typeof faults>

/**
 * A server.
 *
 * - `workers`: how many requests it serves at once.
 * - `serviceTime`: how long one takes.
 * - `queue`: which of those that wait comes next; default `"fifo"`. The queue has no end.
 * - `abandoned`: what becomes of a request whose caller has gone: most servers do not know and `"serve"` it, which is the
 *   default; others `"drop"` it when its turn comes.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServerOptions {
  readonly workers: number
  readonly serviceTime: ServiceTime
  readonly queue?: "fifo" | "lifo" | undefined
  readonly abandoned?: "serve" | "drop" | undefined
}

/**
 * An outage, or what else befalls a server for a time: from `from`, for `for`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outage {
  readonly from: Duration.Input
  readonly for: Duration.Input
  readonly fault: Fault
}

/**
 * A simulation.
 *
 * - `duration`: how long calls begin. Those that still run then are waited for, as long again at most.
 * - `arrivals`, `server`, `outages`: the world.
 * - `policy`: the description of a pipeline, or what makes a policy; default none. Each process makes its own.
 * - `processes`: how many processes the calls come from; default 1.
 * - `timeout`: a request without a response for so long fails with `NoResponse`; default never. It is the client's own limit, where the policy
 *   has none.
 * - `seed`: default 0.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly duration: Duration.Input
  readonly arrivals: Arrivals
  readonly server: ServerOptions
  readonly outages?: ReadonlyArray<Outage> | undefined
  readonly policy?: Pipeline.Description | Effect.Effect<AnyPolicy> | undefined
  readonly processes?: number | undefined
  readonly timeout?: Duration.Input | undefined
  readonly seed?: number | undefined
}

/**
 * Any policy that needs nothing of its surroundings.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyPolicy = Policy.Policy<unknown, unknown, never, never>

/**
 * The server responded with a failure that another attempt may not have.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerFailed extends Data.TaggedError("ServerFailed") {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
}

/**
 * The server did not respond within the client's `timeout`.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoResponse extends Data.TaggedError("NoResponse") {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
}

const duration = /* @__PURE__ */ Field.duration({ above: 0, finite: true })

const server = {
  workers: /* @__PURE__ */ Field.integer({ min: 1 }),
  serviceTime: /* @__PURE__ */ Field.variants(serviceTimes),
  queue: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.literals("fifo", "lifo"), "fifo"),
  abandoned: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.literals("serve", "drop"), "serve")
} satisfies Field.Fields<ServerOptions>

const outage = {
  from: /* @__PURE__ */ Field.duration({ finite: true }),
  for: duration,
  fault: /* @__PURE__ */ Field.variants(faults)
} satisfies Field.Fields<Outage>

/**
 * The options as data, but for the policy.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  duration,
  arrivals: /* @__PURE__ */ Field.variants(arrivals),
  server: /* @__PURE__ */ Field.struct(server),
  outages: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.oneOrMore(/* @__PURE__ */ Field.struct(outage))),
  processes: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 1),
  timeout: /* @__PURE__ */ Field.optional(duration),
  seed: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0 }), 0)
} satisfies Field.Fields<Omit<Options, "policy">>

/**
 * Runs a simulation. Throws `RangeError` where an option makes no sense.
 *
 * @category simulating
 * @since 0.1.0
 */
export const simulate = ({ policy, ...options }: Options): LabResult => {
  const settings = Field.read("Lab.simulate", fields, options)
  const { seed } = settings
  const endMillis = Duration.toMillis(settings.duration)
  const time = quiet(VirtualTime.make({ seed: `${seed} policies` }))
  const server = new Server(settings.server, time, chanceOf(`${seed} services`))
  const tally = new Tally(Math.ceil(endMillis / 1000))
  const request = requestTo(server, time, tally, settings.timeout)
  const calls = Array.from({ length: settings.processes }, () => make(time, policy).execute(request))
  const chooseProcess = chanceOf(`${seed} processes`)

  let running = 0
  const call = (ended: () => void) => {
    const began = time.nowMillis()
    if (began >= endMillis) return
    running++
    tally.count("offered", began)
    const chosen = calls[Math.floor(chooseProcess() * calls.length)] ?? request
    time.fork(chosen).addObserver((exit) => {
      running--
      tally.count(outcomeOf(exit), began)
      if (exit._tag === "Success") tally.latency(time.nowMillis() - began)
      ended()
    })
  }

  for (const { fault, for: length, from } of settings.outages ?? []) {
    time.at(Duration.toMillis(from), () => server.begin(fault))
    time.at(Duration.toMillis(from) + Duration.toMillis(length), () => server.end(fault))
  }
  for (let second = 0; second * 1000 < endMillis; second++) {
    time.at((second + 1) * 1000, () => tally.queue(second, server.waiting))
  }
  settings.arrivals({ time, random: chanceOf(`${seed} arrivals`), call })

  withoutStackTraces(() => {
    time.advance(endMillis)
    while (running > 0 && time.nowMillis() < 2 * endMillis && time.next());
  })
  return { total: tally.total(), seconds: tally.bySecond(), latency: tally.latencyOfGood() }
}

const chanceOf = (seed: string): Chance => {
  const random = VirtualTime.random(seed)
  return () => random.nextDoubleUnsafe()
}

// Policies log what an operator should know, and a simulation has no operator.
const quiet = (time: VirtualTime.VirtualTime): VirtualTime.VirtualTime => {
  const context = Context.add(time.context, References.MinimumLogLevel, "None")
  return { ...time, context, fork: Effect.runForkWith(context) }
}

const make = (time: VirtualTime.VirtualTime, policy: Options["policy"]): AnyPolicy => {
  if (policy === undefined) return Policy.noop(undefined)
  const making: Effect.Effect<AnyPolicy> = Effect.isEffect(policy) ? policy : Pipeline.make(policy)
  return Effect.runSyncWith(time.context)(making)
}

const serverFailed = Effect.fail(/* @__PURE__ */ new ServerFailed())

const noResponse = Effect.fail(/* @__PURE__ */ new NoResponse())

const requestTo = (
  server: Server,
  time: VirtualTime.VirtualTime,
  tally: Tally,
  timeout: Duration.Duration | undefined
): Effect.Effect<void, ServerFailed | NoResponse> => {
  const timeoutMillis = timeout === undefined ? Infinity : Duration.toMillis(timeout)
  return Effect.callback((resume) => {
    tally.count("sent", time.nowMillis())
    const limit = time.at(timeoutMillis, () => {
      request.respond = undefined
      resume(noResponse)
    })
    const request: Request = {
      respond: (succeeded) => {
        limit.cancel()
        resume(succeeded ? Effect.void : serverFailed)
      }
    }
    server.receive(request)
    return Effect.sync(() => {
      limit.cancel()
      request.respond = undefined
    })
  })
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): keyof Counts => {
  if (exit._tag === "Success") return "good"
  const error = Cause.findErrorOption(exit.cause)
  return error._tag === "Some" && NotAsked.isNotAsked(error.value) ? "rejected" : "failed"
}

// A storm of rejections spends a third of its time on them.
const withoutStackTraces = (run: () => void): void => {
  const v8: ErrorConstructor & { stackTraceLimit?: number | undefined } = Error
  const { stackTraceLimit } = v8
  v8.stackTraceLimit = 0
  try {
    run()
  } finally {
    v8.stackTraceLimit = stackTraceLimit
  }
}
