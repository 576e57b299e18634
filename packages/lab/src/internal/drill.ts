/** A drill: a relay before a dependency, a fault in the middle of it, and what was seen. */
import type * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import * as Time from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Lab from "../Lab.ts"
import { isJson, millisOf } from "./subject.ts"

/** A fault of the relay, and what it is in a simulation. */
export interface Fault {
  readonly begin: (relay: TcpRelay.Relay) => Effect.Effect<void>
  readonly end: (relay: TcpRelay.Relay) => Effect.Effect<void>
  readonly simulated: Lab.Fault
}

const pass = (relay: TcpRelay.Relay) => relay.pass

/** `silence`, `hold`, `reject`, `reset`, `delay=200ms` or `cut=1000`; `undefined` for another text. */
export const faultOf = (
  text: string,
  durationOf: (text: string) => Duration.Duration | undefined
): Fault | undefined => {
  const [name, value] = text.split("=", 2)
  switch (name) {
    case "silence":
      return value === undefined ? { begin: (relay) => relay.silence(), end: pass, simulated: "down" } : undefined
    case "hold":
      return value === undefined ? { begin: (relay) => relay.hold(), end: pass, simulated: "down" } : undefined
    case "reject":
      return value === undefined
        ? {
          begin: (relay) => Effect.andThen(relay.reject, relay.reset),
          end: (relay) => relay.accept,
          simulated: { failing: 1 }
        }
        : undefined
    case "reset":
      return value === undefined
        ? { begin: (relay) => relay.cutAfter(0, "up", "reset"), end: pass, simulated: { failing: 1 } }
        : undefined
    case "cut":
      return /^\d+$/.test(value ?? "")
        ? { begin: (relay) => relay.cutAfter(Number(value), "down"), end: pass, simulated: { failing: 1 } }
        : undefined
    case "delay": {
      const delay = durationOf(value ?? "")
      return delay === undefined ? undefined : {
        begin: (relay) => relay.delay(delay),
        end: pass,
        // Both ways, of services of 100 ms.
        simulated: { slow: 1 + 2 * (millisOf(delay) ?? 0) / 100 }
      }
    }
    default:
      return undefined
  }
}

/**
 * What was seen in a part of the drill.
 *
 * - `connections`: those that were opened; `withoutResponse`: requests whose
 *   connection ended first, or that waited for 5 seconds, or when the fault ended.
 * - `up`, `down`: bytes that passed.
 * - `calls`, `attempts`, `good`: of the access log, where there is one.
 */
export interface Phase {
  readonly name: "before" | "fault" | "after"
  millis: number
  connections: number
  withoutResponse: number
  up: number
  down: number
  calls: number
  attempts: number
  good: number
}

export interface Seen {
  readonly phases: ReadonlyArray<Phase>
  /** Whether the error rate ended the fault. */
  readonly stopped: boolean
}

export interface Drill<E, R> {
  readonly run: Effect.Effect<void, E, R>
  /** So far. */
  readonly seen: () => Seen
}

export interface Options<E, R> {
  readonly relay: TcpRelay.Relay
  readonly fault: Fault
  readonly forMillis: number
  /** The share of failures of the last 10 seconds that ends the fault. */
  readonly stopAt: number
  /** The lines of the access log since it was last asked. */
  readonly lines: Effect.Effect<ReadonlyArray<string>, E, R>
}

const stepMillis = 100

/** So many are needed before their rate says something. */
const fewest = 10

const windowMillis = 10_000

/** A request that waits so long has no response. */
const silentMillis = 5000

/** A quarter of the time as it is, half of it with the fault, and a quarter to see it recover. */
export const make = <E, R>({ fault, forMillis, lines, relay, stopAt }: Options<E, R>): Drill<E, R> => {
  const phases: Array<Phase> = []
  let stopped = false
  const run = Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const now = () => Time.monotonicMillis(clock)
    const watch = new Watch()
    let ends: Array<{ readonly at: number; readonly failed: boolean }> = []
    let hasCalls = false

    const look = (phase: Phase) =>
      Effect.gen(function*() {
        const at = now()
        const seen = yield* watch.see(relay, at)
        const calls = (yield* lines).flatMap(callOf)
        phase.connections += seen.opened
        phase.up += seen.up
        phase.down += seen.down
        phase.withoutResponse += seen.failures.filter((failed) => failed).length
        phase.calls += calls.length
        phase.attempts += calls.reduce((sum, { attempts }) => sum + attempts, 0)
        phase.good += calls.filter(({ good }) => good).length
        // Calls say more than connections, where they are known.
        hasCalls ||= calls.length > 0
        const failures = hasCalls ? calls.map(({ good }) => !good) : seen.failures
        ends = [...ends, ...failures.map((failed) => ({ at, failed }))].filter((end) => at - end.at <= windowMillis)
        const failed = ends.filter((end) => end.failed).length
        return ends.length >= fewest && failed / ends.length >= stopAt
      })

    /** Whether the error rate ended it. */
    const during = (name: Phase["name"], millis: number) =>
      Effect.suspend(() => {
        const began = now()
        const phase: Phase = {
          name,
          millis: 0,
          connections: 0,
          withoutResponse: 0,
          up: 0,
          down: 0,
          calls: 0,
          attempts: 0,
          good: 0
        }
        phases.push(phase)
        const mayStop = name !== "after"
        const watching = Effect.gen(function*() {
          while (now() - began < millis) {
            yield* Effect.sleep(Math.min(stepMillis, millis - (now() - began)))
            if ((yield* look(phase)) && mayStop) return true
          }
          return false
        })
        const end = Effect.sync(() => {
          phase.millis = now() - began
          if (name === "fault") phase.withoutResponse += watch.waiting()
        })
        return watching.pipe(Effect.onInterrupt(() => Effect.ignore(look(phase))), Effect.ensuring(end))
      })

    stopped = yield* during("before", forMillis / 4)
    if (stopped) return
    ends = []
    stopped = yield* Effect.acquireUseRelease(
      fault.begin(relay),
      () => during("fault", forMillis / 2),
      () => fault.end(relay)
    )
    yield* during("after", forMillis / 4)
  })
  return { run, seen: () => ({ phases, stopped }) }
}

const callOf = (line: string): ReadonlyArray<{ readonly attempts: number; readonly good: boolean }> => {
  const json = Result.try((): unknown => JSON.parse(line))
  if (Result.isFailure(json) || !isJson(json.success)) return []
  const entry = isJson(json.success["annotations"]) ? json.success["annotations"] : json.success
  return entry["kind"] === "call"
    ? [{ attempts: Number(entry["attempt"]) || 0, good: entry["outcome"] === "success" }]
    : []
}

interface Tracked {
  readonly connection: TcpRelay.Connection
  asked: number
  down: number
  /** Since when a request waits; `undefined` where none does. */
  since: number | undefined
  /** Whether that request has been counted. */
  counted: boolean
}

/** Finds out what happened between two looks at a relay. */
class Watch {
  private accepted = 0
  private up = 0
  private down = 0
  private tracked = new Map<number, Tracked>()

  /**
   * `failures` has an entry for each request that got its response (`false`), or none: its connection ended, or it waits for 5
   * seconds. In a silence no connection ends.
   */
  see(relay: TcpRelay.Relay, now: number) {
    const { tracked } = this
    return Effect.gen({ self: this }, function*() {
      const { accepted, down, up } = yield* relay.counts
      const open = new Set<number>()
      for (const connection of yield* relay.connections) {
        open.add(connection.index)
        if (tracked.has(connection.index)) continue
        tracked.set(connection.index, { connection, asked: 0, down: 0, since: undefined, counted: false })
      }
      const failures: Array<boolean> = []
      for (const [index, one] of tracked) {
        // A connection that has ended still has its counts.
        const counts = yield* one.connection.counts
        const asked = counts.up + counts.swallowed
        if (asked > one.asked && one.since === undefined) {
          one.since = now
          one.counted = false
        }
        if (counts.down > one.down && one.since !== undefined) {
          if (!one.counted) failures.push(false)
          one.since = undefined
        }
        one.asked = asked
        one.down = counts.down
        const ended = !open.has(index)
        if (ended) tracked.delete(index)
        if (one.since !== undefined && !one.counted && (ended || now - one.since >= silentMillis)) {
          failures.push(true)
          one.counted = true
        }
      }
      const seen = { opened: accepted - this.accepted, up: up - this.up, down: down - this.down, failures }
      this.accepted = accepted
      this.up = up
      this.down = down
      return seen
    })
  }

  /** How many requests wait that were not counted. They count now. */
  waiting(): number {
    const waiting = [...this.tracked.values()].filter(({ counted, since }) => since !== undefined && !counted)
    for (const one of waiting) one.counted = true
    return waiting.length
  }
}
