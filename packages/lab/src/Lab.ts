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
 * @stability stable
 * @since 0.1.0
 */
import type * as ResilientClient from "@effect-resilience/client/ResilientClient"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as Field from "@effect-resilience/kernel/Field"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Priority from "@effect-resilience/limit/Priority"
import type * as Pipeline from "@effect-resilience/pipeline/Pipeline"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as References from "effect/References"
import * as arrivals from "./arrivals/index.ts"
import * as faults from "./fault/index.ts"
import type { Chance } from "./internal/chance.ts"
import type { Exchange } from "./internal/errors.ts"
import * as processes from "./internal/process.ts"
import type { Process } from "./internal/processModel.ts"
import type { Work } from "./internal/server.ts"
import { Server } from "./internal/server.ts"
import { Tally } from "./internal/tally.ts"
import { requestTo } from "./internal/tier.ts"
import type { ClientResult, Counts, LabResult, States } from "./LabResult.ts"
import * as queues from "./queue/index.ts"
import * as serviceTimes from "./serviceTime/index.ts"
import * as VirtualTime from "./VirtualTime.ts"

export { NoResponse, ServerFailed } from "./internal/errors.ts"

/**
 * How calls begin: `{ open: { perSecond } }`, `{ bursts: { calls, every, from } }`, `{ closed: { clients, thinkTime } }`, or
 * `{ recorded: times }`.
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
 * What is wrong with a server: `"down"` (it is silent), `{ failing: share }`, `{ slow: factor }` or
 * `{ restart: { cold, warmUp } }`.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = Field.OneOf<typeof faults>

/**
 * Which of the requests that wait comes next: `"fifo"`, `"lifo"`, or `{ controlledDelay: { target, interval } }`.
 *
 * @category models
 * @since 0.1.0
 */
export type Queue = Field.OneOf<typeof queues>

/**
 * A server.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServerOptions {
  /** How many requests it serves at once. */
  readonly workers: number
  /** How long one takes. */
  readonly serviceTime: ServiceTime
  /** Which of those that wait comes next; default `"fifo"`. */
  readonly queue?: Queue | undefined
  /** How many may wait. It rejects those beyond; default no limit. */
  readonly capacity?: number | undefined
  /**
   * What becomes of a request whose caller has gone: most servers do not know and `"serve"` it, which is the default; others
   * `"drop"` it when its turn comes.
   */
  readonly abandoned?: "serve" | "drop" | undefined
  /**
   * Services take longer under load: `each` times as long again for as many waiting requests as there are workers, up to `most`
   * times as long; default not.
   */
  readonly slowdown?: { readonly each: number; readonly most: number } | undefined
  /** While more than `above` requests wait, the share `failing` of those that come fails at once. */
  readonly overload?: Overload | undefined
}

/**
 * A server that fails under load.
 *
 * @category models
 * @since 0.1.0
 */
export interface Overload {
  /** How many requests wait where it begins to fail. */
  readonly above: number
  /** The share of the requests that fail then, from 0 to 1. */
  readonly failing: number
}

/**
 * An outage, or what else befalls a server for a time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outage {
  /** When it begins. */
  readonly from: Duration.Input
  /** How long it lasts. */
  readonly for: Duration.Input
  /** What is wrong meanwhile. */
  readonly fault: Fault
  /** The name of the tier; default the first server. */
  readonly server?: string | undefined
}

/**
 * What clients have around their requests: nothing, the description of a pipeline or of a whole client, or what makes a policy.
 *
 * @category models
 * @stability rests on effect/http
 * @since 0.1.0
 */
export type Policing = PolicyData | Effect.Effect<AnyPolicy> | undefined

/**
 * What of that is data, which threads and files can take.
 *
 * @category models
 * @stability rests on effect/http
 * @since 0.1.0
 */
export type PolicyData = Pipeline.Description | ResilientClient.Description | undefined

/**
 * Some clients.
 *
 * @category models
 * @stability rests on effect/http
 * @since 0.1.0
 */
export interface ClientOptions {
  /** When their calls begin. */
  readonly arrivals: Arrivals
  /** What they have around a request; default nothing. Each process makes its own. */
  readonly policy?: Policing
  /** How many processes the calls come from; default 1. */
  readonly processes?: number | undefined
  /**
   * A request without a response for so long fails with `NoResponse`; default never. It is the client's own limit, where the
   * policy has none.
   */
  readonly timeout?: Duration.Input | undefined
  /** What a whole client sends, which decides about its operation and whether it may be repeated; default `"GET /"`. */
  readonly request?: string | undefined
  /**
   * Of its calls (`Priority` of `@effect-resilience/limit`), which the policies of servers on their way see too; default
   * `"default"`.
   */
  readonly priority?: string | undefined
}

/**
 * A server behind another one, which calls it in the course of each service and holds its worker meanwhile. A service whose calls fail
 * has failed.
 *
 * - `policy`, `processes`, `timeout`, `request`: of the server in front, as the client that it is.
 *
 * @category models
 * @stability rests on effect/http
 * @since 0.1.0
 */
export interface Tier extends Omit<ClientOptions, "arrivals" | "priority"> {
  /** In the result and for outages. */
  readonly name: string
  /** The server that is called. */
  readonly server: ServerOptions
  /** How many calls a service makes, one after the other; default 1. */
  readonly times?: number | undefined
}

/**
 * A simulation.
 *
 * @category models
 * @stability rests on effect/http
 * @since 0.1.0
 */
export interface Options extends ClientOptions {
  /** How long calls begin. Those that still run then are waited for, as long again at most. */
  readonly duration: Duration.Input
  /** What the clients call. Its name is `"server"`. */
  readonly server: ServerOptions
  /** The servers behind it, each called by the one before it. */
  readonly tiers?: Tier | ReadonlyArray<Tier> | undefined
  /** What happens to the servers; one or several, or `[]` for none, which is the default. */
  readonly outages?: Outage | ReadonlyArray<Outage> | undefined
  /** Other clients of the same server, by names for them. */
  readonly others?: { readonly [name: string]: ClientOptions } | undefined
  /** Default 0. */
  readonly seed?: number | undefined
}

/**
 * Any policy that needs nothing of its surroundings.
 *
 * @category models
 * @since 0.1.0
 */
export interface AnyPolicy extends Policy.Policy<unknown, unknown, never, never> {}

const duration = /* @__PURE__ */ Field.duration({ above: 0, finite: true })

const share = /* @__PURE__ */ Field.number({ min: 0, max: 1 })

const server = {
  workers: /* @__PURE__ */ Field.integer({ min: 1 }),
  serviceTime: /* @__PURE__ */ Field.variants(serviceTimes),
  queue: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.variants(queues), "fifo"),
  capacity: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, infinite: true }), Infinity),
  abandoned: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.literals("serve", "drop"), "serve"),
  slowdown: /* @__PURE__ */ Field.optional(
    /* @__PURE__ */ Field.struct({
      each: /* @__PURE__ */ Field.number({ min: 0 }),
      most: /* @__PURE__ */ Field.number({ min: 1 })
    })
  ),
  overload: /* @__PURE__ */ Field.optional(
    /* @__PURE__ */ Field.struct({ above: /* @__PURE__ */ Field.number({ min: 0 }), failing: share })
  )
} satisfies Field.Fields<ServerOptions>

const outage = {
  from: /* @__PURE__ */ Field.duration({ finite: true }),
  for: duration,
  fault: /* @__PURE__ */ Field.variants(faults),
  server: /* @__PURE__ */ Field.withDefault(Field.text, "server")
} satisfies Field.Fields<Outage>

const calling = {
  processes: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 1),
  timeout: /* @__PURE__ */ Field.optional(duration),
  request: /* @__PURE__ */ Field.withDefault(Field.text, "GET /")
} satisfies Field.Fields<Omit<ClientOptions, "arrivals" | "policy" | "priority">>

/** The priority of what has none of its own. */
const usual = "default"

const client = {
  ...calling,
  arrivals: /* @__PURE__ */ Field.variants(arrivals),
  priority: /* @__PURE__ */ Field.withDefault(Field.text, usual)
} satisfies Field.Fields<Omit<ClientOptions, "policy">>

const tier = {
  ...calling,
  name: Field.text,
  server: /* @__PURE__ */ Field.struct(server),
  times: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 1)
} satisfies Field.Fields<Omit<Tier, "policy">>

/**
 * The options as data, but for policies and those who have some: `tiers` and `others`.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  ...client,
  duration,
  server: /* @__PURE__ */ Field.struct(server),
  outages: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.oneOrMoreOrNone(/* @__PURE__ */ Field.struct(outage))),
  seed: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0 }), 0)
} satisfies Field.Fields<Omit<Options, "policy" | "tiers" | "others">>

/**
 * Runs a simulation. Throws `RangeError` where an option makes no sense.
 *
 * @category simulating
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const simulate = ({ others = {}, policy, tiers = [], ...options }: Options): LabResult => {
  const settings = Field.read("Lab.simulate", fields, options)
  const { duration, outages = [], seed } = settings
  const endMillis = Duration.toMillis(duration)
  const seconds = Math.ceil(endMillis / 1000)
  const time = quiet(VirtualTime.make({ seed: `${seed} policies` }))
  const world: World = { time, seed, endMillis, seconds, running: 0 }

  const behind = (Array.isArray(tiers) ? tiers : [tiers]).map((written: Tier, index) => {
    const path = `Lab.simulate.tiers[${index}]`
    requireObject(written, path)
    const { policy, ...tier } = written
    return { policy, settings: readTier(tier, path) }
  })
  const servers = new Map<string, Server>()
  // The last one first: each needs the one that it calls.
  const work = behind.reduceRight<Work | undefined>((work, { policy, settings }) => {
    const { name } = settings
    requireArgument(
      name !== "server" && !servers.has(name),
      "Lab.simulate.tiers",
      "servers with names of their own",
      name
    )
    const called = new Server(settings.server, time, chanceOf(`${seed} services of ${name}`), seconds, work)
    servers.set(name, called)
    return workAt(called, settings, policy, world)
  }, undefined)
  const first = new Server(settings.server, time, chanceOf(`${seed} services`), seconds, work)
  servers.set("server", first)

  for (const { fault, for: length, from, server } of outages) {
    const hit = servers.get(server) ?? first
    requireArgument(
      servers.has(server),
      "Lab.simulate.outages.server",
      `one of ${[...servers.keys()].join(", ")}`,
      server
    )
    time.at(Duration.toMillis(from), () => hit.begin(fault))
    time.at(Duration.toMillis(from) + Duration.toMillis(length), () => hit.end(fault))
  }

  const main = startClients(first, settings, policy, world, "")
  requireObject(others, "Lab.simulate.others")
  const neighbors = Object.entries(others).map(([name, written]) => {
    const path = `Lab.simulate.others.${name}`
    requireObject(written, path)
    const { policy, ...options } = written
    const settings = Field.read(path, client, options)
    return [name, startClients(first, settings, policy, world, ` of ${name}`)] as const
  })
  const inOrder = [...servers].reverse()
  for (let second = 0; second < seconds; second++) {
    time.at(Math.min((second + 1) * 1000, endMillis), () => {
      for (const [, server] of inOrder) server.sample(second)
      main.sample(second)
      for (const [, clients] of neighbors) clients.sample(second)
    })
  }
  main.start()
  for (const [, clients] of neighbors) clients.start()

  withoutStackTraces(() => {
    time.advance(endMillis)
    while (world.running > 0 && time.nowMillis() < 2 * endMillis && time.next());
  })
  return {
    ...main.result(),
    others: Object.fromEntries(neighbors.map(([name, clients]) => [name, clients.result()])),
    servers: inOrder.map(([name, server]) => ({ name, ...server.result() })),
    outages: outages.map(({ for: length, from, server }) => ({
      fromMillis: Duration.toMillis(from),
      toMillis: Duration.toMillis(from) + Duration.toMillis(length),
      server
    }))
  }
}

interface World {
  readonly time: VirtualTime.VirtualTime
  readonly seed: number
  readonly endMillis: number
  readonly seconds: number
  /** How many calls of clients run. */
  running: number
}

// A file may have anything in the place of one.
const requireObject = (written: unknown, path: string) =>
  requireArgument(Predicate.isObject(written), path, "an object", JSON.stringify(written))

const readTier = (options: Omit<Tier, "policy">, path: string) => Field.read(path, tier, options)

/** Clients of a server, and what comes of their calls. */
const startClients = (
  server: Server,
  settings: Field.Settings<typeof client>,
  policy: Policing,
  world: World,
  whose: string
) => {
  const { endMillis, seconds, seed, time } = world
  const tally = new Tally(seconds)
  const request = requestTo(server, time, settings.timeout, () => tally.count("sent", time.nowMillis()))
  const made = makeProcesses(settings, policy, request, time)
  const calls = made.map(({ call }) => prioritised(call, settings.priority))
  const choose = chanceOf(`${seed} processes${whose}`)
  let states: States = {}
  const call = (ended: () => void) => {
    const began = time.nowMillis()
    if (began >= endMillis) return
    world.running++
    tally.count("offered", began)
    Direct.startUnsafe(calls[Math.floor(choose() * calls.length)] ?? request, time.context).addObserver((exit) => {
      world.running--
      tally.count(outcomeOf(exit), began)
      if (exit._tag === "Success") tally.latency(time.nowMillis() - began)
      ended()
    })
  }
  return {
    start: () => settings.arrivals({ time, random: chanceOf(`${seed} arrivals${whose}`), call }),
    sample: (second: number) => {
      states = sameStates(states, statesOf(made, time))
      tally.sample(second, server.waiting, states)
    },
    result: (): ClientResult => ({
      total: tally.total(),
      seconds: tally.bySecond(),
      latency: tally.latencyOfGood()
    })
  }
}

/** What a server does that calls another one in the course of a service. */
const workAt = (
  called: Server,
  settings: Field.Settings<typeof tier>,
  policy: Policing,
  { seed, time }: World
): Work => {
  const request = requestTo(called, time, settings.timeout, () => {})
  const made = makeProcesses(settings, policy, request, time)
  const choose = chanceOf(`${seed} processes before ${settings.name}`)
  return (ended, priority, lost) => {
    let left = settings.times
    const call = prioritised(made[Math.floor(choose() * made.length)]?.call ?? request, priority)
    const next = () => {
      if (lost()) return
      if (left-- === 0) return ended(true)
      Direct.startUnsafe(call, time.context).addObserver((exit) => {
        if (exit._tag === "Success") next()
        else ended(false)
      })
    }
    next()
  }
}

const prioritised = (call: Process["call"], priority: string): Process["call"] =>
  priority === usual ? call : Priority.withPriority(call, priority)

const makeProcesses = (
  settings: Pick<Field.Settings<typeof calling>, "processes" | "request">,
  policy: Policing,
  request: Exchange,
  time: VirtualTime.VirtualTime
): ReadonlyArray<Process> =>
  Array.from(
    { length: settings.processes },
    () => Effect.runSyncWith(time.context)(processes.make(policy, settings.request, request))
  )

const statesOf = (made: ReadonlyArray<Process>, time: VirtualTime.VirtualTime): States => {
  const counts: { [state: string]: number } = {}
  for (const { state } of made) {
    const now = state && Effect.runSyncWith(time.context)(state)
    if (now !== undefined) counts[now] = (counts[now] ?? 0) + 1
  }
  return counts
}

// Hours of the same are one object.
const sameStates = (before: States, now: States): States => {
  const names = Object.keys(now)
  return names.length === Object.keys(before).length && names.every((name) => before[name] === now[name]) ? before : now
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
