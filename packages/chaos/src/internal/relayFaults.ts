import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { RelayFault } from "../RelayFault.ts"
import * as When from "../When.ts"
import { chanceOf } from "./chance.ts"
import type { Link } from "./link.ts"
import { mark } from "./mark.ts"

interface State {
  readonly fault: RelayFault
  readonly plan: When.Plan<Link["connected"]>
  readonly began: bigint
  enabled: boolean
  /** Whether it is on and in a period. */
  active: boolean
  struck: number
}

/** The faults of a relay: which of them are in force, and which of its connections they strike. */
export class RelayFaults {
  private readonly states = new Map<string, State>()
  private killed = false
  private readonly seed: number
  private readonly clock: Clock.Clock
  private readonly links: () => Iterable<Link>
  private readonly run: (effect: Effect.Effect<void>) => void

  constructor(
    seed: number,
    clock: Clock.Clock,
    links: () => Iterable<Link>,
    run: (effect: Effect.Effect<void>) => void
  ) {
    this.seed = seed
    this.clock = clock
    this.links = links
    this.run = run
  }

  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(Array.from(this.states.values(), ({ fault, struck }) => [fault.name, struck]))
  }

  add(fault: RelayFault): void {
    if (this.states.has(fault.name)) {
      throw new RangeError(`Two faults are called ${fault.name}: give one of them a name`)
    }
    const plan = When.plan(fault.when)
    const began = this.clock.monotonicTimeNanosUnsafe()
    const state: State = { fault, plan, began, enabled: plan.enabled && !this.killed, active: false, struck: 0 }
    this.states.set(fault.name, state)
    this.refresh(state)
    this.run(this.follow(state))
  }

  switch(name: string | undefined, enabled: boolean): void {
    if (name !== undefined && !this.states.has(name)) {
      throw new RangeError(`There is no fault ${name} among ${[...this.states.keys()].join(", ")}`)
    }
    if (this.killed) return
    for (const state of this.states.values()) {
      if (name !== undefined && state.fault.name !== name) continue
      state.enabled = enabled
      this.refresh(state)
    }
  }

  kill(): void {
    this.switch(undefined, false)
    this.killed = true
  }

  /** Strikes a connection that has come with all faults in force. */
  meet(link: Link): void {
    for (const state of this.states.values()) if (state.active) this.strike(state, link)
  }

  /** Follows the periods of a fault. */
  private follow(state: State): Effect.Effect<void> {
    const next = Effect.suspend(() => {
      const elapsed = this.elapsed(state)
      const change = state.plan.change(elapsed)
      if (change === undefined) return Effect.succeed(false)
      return Effect.as(
        Effect.andThen(Effect.sleep(Math.max(1, change - elapsed)), Effect.sync(() => this.refresh(state))),
        true
      )
    })
    return Effect.asVoid(Effect.repeat(next, { while: (more) => more }))
  }

  private elapsed(state: State): number {
    return Number(this.clock.monotonicTimeNanosUnsafe() - state.began) / 1e6
  }

  private refresh(state: State): void {
    const active = state.enabled && state.plan.at(this.elapsed(state))
    if (active === state.active) return
    state.active = active
    for (const link of this.links()) {
      if (active) this.strike(state, link)
      else link.spare(state.fault)
    }
  }

  private strike(state: State, link: Link): void {
    const { fault, plan } = state
    const { connected } = link
    if (!plan.only(connected) || state.struck >= plan.times) return
    if (chanceOf(this.seed, fault.name, connected.index)() >= plan.probability) return
    state.struck += 1
    link.strike(fault)
    this.run(mark(fault, { "chaos.connection": connected.index }))
  }
}
