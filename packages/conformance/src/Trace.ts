/** What happened in a run of a scenario, as the work itself and the callers saw it. */
import type { Ending, Outcome, Plan } from "./Scenario.ts"

export interface AttemptTrace {
  readonly call: string
  readonly number: number
  readonly at: number
  endedAt: number | undefined
  cancelled: boolean
}

export interface CallTrace {
  readonly attempts: Array<AttemptTrace>
  ending: Ending | undefined
  endedAt: number
  winner: number | undefined
}

/** What an attempt does. `takes` is infinite where it never ends. */
export interface Doing {
  readonly takes: number
  readonly outcome: Outcome
  readonly deaf: boolean
}

export class Trace {
  readonly calls = new Map<string, CallTrace>()
  /** In the order of their start. */
  readonly attempts: Array<AttemptTrace> = []
  readonly states: Array<string | undefined> = []
  readonly #plans = new Map<string, ReadonlyArray<Plan>>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  start(call: string, plans: ReadonlyArray<Plan>): void {
    this.#plans.set(call, plans)
    this.calls.set(call, { attempts: [], ending: undefined, endedAt: Infinity, winner: undefined })
  }

  /** An attempt starts. */
  begin(call: string): readonly [attempt: AttemptTrace, doing: Doing] {
    const { attempts } = this.#call(call)
    const plans = this.#plans.get(call) ?? []
    const plan = plans[Math.min(attempts.length, plans.length - 1)] ?? "ok"
    const attempt = { call, number: attempts.length + 1, at: this.#now(), endedAt: undefined, cancelled: false }
    attempts.push(attempt)
    this.attempts.push(attempt)
    if (typeof plan === "string") return [attempt, { takes: 0, outcome: plan, deaf: false }]
    const { deaf = false, takes = 0 } = plan
    return [attempt, { takes: plan.with === undefined ? Infinity : takes, outcome: plan.with ?? "ok", deaf }]
  }

  finish(attempt: AttemptTrace): void {
    attempt.endedAt ??= this.#now()
  }

  cancel(attempt: AttemptTrace): void {
    attempt.cancelled = true
    this.finish(attempt)
  }

  /** A caller has its result; a value is the number of the attempt that gave it. */
  end(call: string, ending: Ending, winner?: number): void {
    const trace = this.#call(call)
    trace.ending = ending
    trace.endedAt = this.#now()
    trace.winner = winner
  }

  #call(name: string): CallTrace {
    const trace = this.calls.get(name)
    if (trace === undefined) throw new RangeError(`no call ${name}`)
    return trace
  }
}
