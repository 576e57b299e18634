/** The outages that a policy is put through, and what is asked of it. Everything here is virtual time. */
import type * as Lab from "@effect-resilience/lab/Lab"
import type * as Sweep from "@effect-resilience/lab/Sweep"

/** An outage, how long it lasts, and within how many seconds of its end calls must succeed again. */
export interface Outage {
  readonly name: string
  readonly seconds: number
  readonly fault: Lab.Fault
  readonly within: number
}

export const outages: ReadonlyArray<Outage> = [
  { name: "down for 10 s", seconds: 10, fault: "down", within: 30 },
  { name: "down for 3 min", seconds: 180, fault: "down", within: 60 },
  { name: "half of the calls fail for 1 min", seconds: 60, fault: { failing: 0.5 }, within: 30 },
  { name: "10 times slower for 1 min", seconds: 60, fault: { slow: 10 }, within: 30 }
]

/** What a server does with a request whose caller has gone. */
export const servers = ["serve", "drop"] as const

export const fleets: ReadonlyArray<number> = [1, 20, 100]

export const loads: ReadonlyArray<number> = [0.5, 0.7, 0.9]

export interface Cell {
  readonly outage: Outage
  readonly abandoned: typeof servers[number]
  readonly processes: number
  readonly load: number
}

export const cells: ReadonlyArray<Cell> = outages.flatMap((outage) =>
  servers.flatMap((abandoned) =>
    fleets.flatMap((processes) => loads.map((load) => ({ outage, abandoned, processes, load })))
  )
)

export const capacity = 200

export const timeoutSeconds = 1

/** The most that may be sent for each call while the outage lasts. */
export const amplification = 1.3

/** How one seed of a cell went. */
export interface Run {
  /** Requests for each call, while the outage lasts. */
  readonly amplification: number
  /** Seconds from the end of the outage until 95 % of the calls succeed, for 10 seconds; `null` where they do not within 90. */
  readonly recovery: number | null
  /** Calls from the beginning of the outage to 90 seconds after its end. */
  readonly offered: number
  /** Those that did not succeed. */
  readonly lost: number
}

const beginSeconds = 60

const afterSeconds = 90

// In milliseconds: a thread gets it as text.
const world = ({ abandoned, load, outage, processes }: Cell, seed: number): Omit<Sweep.Data, "policy"> => ({
  seed,
  processes,
  duration: 1000 * (beginSeconds + outage.seconds + afterSeconds),
  arrivals: { open: { perSecond: capacity * load } },
  server: { workers: 20, serviceTime: { exponential: "100 millis" }, abandoned },
  outages: [{ from: 1000 * beginSeconds, for: 1000 * outage.seconds, fault: outage.fault }],
  timeout: 1000 * timeoutSeconds
})

/** A policy in a cell of the matrix, as a sweep runs it. */
export const cellOf = (key: string, cell: Cell, seed: number, policy: Lab.PolicyData): Sweep.Cell => ({
  key,
  options: { ...world(cell, seed), policy },
  expectation: {}
})

export const read = ({ verdict: { outages: [outage] } }: Sweep.Row): Run => {
  if (outage === undefined) throw new RangeError("a cell without an outage")
  const { after, during, recoveredMillis } = outage
  const offered = during.offered + after.offered
  return {
    amplification: during.sent / during.offered,
    recovery: recoveredMillis === undefined ? null : recoveredMillis / 1000,
    offered,
    lost: offered - during.good - after.good
  }
}

export const passes = (run: Run, { outage }: Cell): boolean =>
  run.amplification <= amplification && run.recovery !== null && run.recovery <= outage.within

/**
 * The seconds that no policy can spare: what is sent before the first client can know of the outage is `load * capacity *
 * timeout`, and a server that serves it all has only `(1 - load) * capacity` a second for that.
 */
export const leastRecovery = (load: number): number => load * timeoutSeconds / (1 - load)
