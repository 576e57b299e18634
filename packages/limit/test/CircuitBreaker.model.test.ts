import { Recovery } from "@effect-resilience/errors"
import { CircuitBreaker } from "@effect-resilience/limit"
import { Backoff } from "@effect-resilience/retry"
import { assert, it } from "@effect/vitest"
import { Data, Deferred, Duration, Effect, Exit, Fiber, Random, Schema } from "effect"
import { TestClock } from "effect/testing"

class Failure extends Data.TaggedError("Failure")<{ readonly recovery: Recovery.Recovery }> {
  [Recovery.symbol]() {
    return this.recovery
  }
}

const recoveries = {
  failure: Recovery.retry,
  retryAfter: Recovery.retryAfter("600 millis"),
  correct: Recovery.correct
}

const exits = {
  success: Exit.void,
  failure: Exit.fail(new Failure({ recovery: recoveries.failure })),
  retryAfter: Exit.fail(new Failure({ recovery: recoveries.retryAfter })),
  correct: Exit.fail(new Failure({ recovery: recoveries.correct })),
  interrupt: Exit.interrupt()
}

type How = keyof typeof exits

const policies = {
  consecutive: CircuitBreaker.consecutive(2),
  rate: CircuitBreaker.rate({ size: 4, minimumCalls: 3, threshold: 0.5 }),
  rateWithin: CircuitBreaker.rateWithin({ within: "1 second", minimumCalls: 2, threshold: 0.5 }),
  proportional: CircuitBreaker.proportional({
    tolerated: 0.2,
    within: "1 second",
    minimumCalls: 2,
    deadZone: 0.5,
    maxProbability: 0.8
  })
}

type Policy = keyof typeof policies

type Base = "Closed" | "MetricsOnly" | "ForcedClosed"

type ByHand = Base | "Open" | "HalfOpen"

const modes = { automatic: "Closed", metricsOnly: "MetricsOnly", forcedClosed: "ForcedClosed" } as const

interface Setup {
  readonly policy: Policy
  readonly probes: number
  readonly probeThreshold: number
  readonly ramp: boolean
  readonly mode: keyof typeof modes
}

const Slot = Schema.Literals([0, 1, 2, 3])
const Start = Schema.Struct({ _tag: Schema.Literal("Start"), slot: Slot, way: Schema.Literals(["execute", "acquire"]) })
const ends = (how: readonly [How, ...Array<How>]) =>
  Schema.Struct({ _tag: Schema.Literal("End"), slot: Slot, how: Schema.Literals(how) })
const Wait = Schema.Struct({ _tag: Schema.Literal("Wait"), millis: Schema.Literals([10, 100, 500]) })
const ByHandCommand = Schema.Union([
  Schema.Struct({ _tag: Schema.Literals(["Isolate", "Release"]), holder: Schema.Literals([0, 1]) }),
  Schema.Struct({ _tag: Schema.Literal("Reset") }),
  Schema.Struct({
    _tag: Schema.Literal("Transition"),
    to: Schema.Literals(["Closed", "Open", "HalfOpen", "MetricsOnly", "ForcedClosed"])
  }),
  // A multiple of a slice of the windows.
  Schema.Struct({ _tag: Schema.Literal("Restart"), millis: Schema.Literals([0, 300]) })
])
const End = Schema.Union([
  ends(["success", "failure", "retryAfter", "correct", "interrupt"]),
  ends(["failure"]),
  ends(["failure", "success"]),
  ends(["interrupt"])
])
const Usual = Schema.Union([Start, Start, Start, End, End, End, Wait, Wait])
// As often as each is listed; by hand seldom, or no circuit would ever come far.
const Command = Schema.Union([Usual, Usual, Usual, Usual, Usual, Usual, Usual, Usual, Usual, ByHandCommand])

/** A call under way, through `execute` or with a permit. */
interface Call {
  readonly end: (how: How) => Effect.Effect<void>
}

const startCall = Effect.fnUntraced(function*(breaker: CircuitBreaker.CircuitBreaker, way: "execute" | "acquire") {
  if (way === "acquire") {
    const permit = yield* Effect.exit(breaker.tryAcquire)
    if (Exit.isFailure(permit)) return undefined
    const { record, recordUnsafe, release } = permit.value
    const end = (how: How) =>
      Effect.gen(function*() {
        if (how === "interrupt") yield* release
        else if (how === "failure") recordUnsafe(exits[how])
        else yield* record(exits[how])
        // Only the first report counts.
        yield* record(exits.failure)
        recordUnsafe(exits.success)
      })
    return { end } satisfies Call
  }
  const gate = yield* Deferred.make<void, Failure>()
  const fiber = yield* Effect.forkChild(breaker.execute(Deferred.await(gate)), { startImmediately: true })
  if (fiber.pollUnsafe() !== undefined) return undefined
  const end = (how: How) =>
    Effect.andThen(
      how === "interrupt" ? Fiber.interrupt(fiber) : Deferred.done(gate, exits[how]),
      Effect.asVoid(Fiber.await(fiber))
    )
  return { end } satisfies Call
})

it.effect.prop(
  "behaves like the plain model under random calls, ends, waits, commands by hand, and restarts with a saved state",
  {
    commands: Schema.Array(Command).check(Schema.isMinLength(60), Schema.isMaxLength(150)),
    policy: Schema.Literals(["consecutive", "rate", "rateWithin", "proportional"]),
    probes: Schema.Literals([1, 2, 4]),
    probeThreshold: Schema.Literals([0, 0.5, 1]),
    ramp: Schema.Boolean,
    mode: Schema.Union([Schema.Literal("automatic"), Schema.Literal("automatic"), Schema.Literal("metricsOnly")])
  },
  ({ commands, ...setup }) =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const make = CircuitBreaker.make({
        tripPolicy: policies[setup.policy],
        openDuration: Backoff.exponential({ base: "100 millis", cap: "400 millis", jitter: "none" }),
        probes: setup.probes,
        probeThreshold: setup.probeThreshold,
        probeLease: "2 seconds",
        maxOpenDuration: "700 millis",
        ramp: setup.ramp ? { over: "400 millis", from: 0.25 } : undefined,
        mode: setup.mode
      })
      let breaker = yield* make
      const model = new Model(setup, 3_600_000)
      const slots = new Map<number, Call>()
      const holders = new Map<number, CircuitBreaker.Isolation>()
      for (const command of commands) {
        switch (command._tag) {
          case "Start": {
            if (slots.has(command.slot)) break
            const call = yield* startCall(breaker, command.way)
            const admitted = call !== undefined
            const expected = model.start(command.slot, admitted)
            assert.strictEqual(admitted, expected, `admitted ${JSON.stringify(command)}`)
            if (admitted) slots.set(command.slot, call)
            break
          }
          case "End": {
            const call = slots.get(command.slot)
            if (call === undefined) break
            slots.delete(command.slot)
            yield* call.end(command.how)
            model.end(command.slot, command.how)
            break
          }
          case "Wait":
            yield* TestClock.adjust(command.millis)
            model.now += command.millis
            break
          case "Isolate":
            if (holders.has(command.holder)) break
            holders.set(command.holder, yield* breaker.isolate)
            model.isolate(command.holder)
            break
          case "Release": {
            const holder = holders.get(command.holder)
            if (holder === undefined) break
            holders.delete(command.holder)
            yield* holder.release
            yield* holder.release
            model.release(command.holder)
            break
          }
          case "Reset":
            yield* breaker.reset
            model.reset()
            break
          case "Transition":
            yield* breaker.transitionTo(command.to)
            model.transitionTo(command.to)
            break
          case "Restart": {
            const saved: unknown = JSON.parse(JSON.stringify(yield* breaker.save))
            yield* TestClock.adjust(command.millis)
            breaker = yield* make
            holders.clear()
            yield* breaker.restore(saved as CircuitBreaker.Saved)
            model.restart(command.millis)
          }
        }
        assert.deepStrictEqual(seen(yield* breaker.snapshot), model.seen, JSON.stringify(command))
      }
    }).pipe(Random.withSeed(6), Effect.provide(TestClock.layer())),
  { timeout: 120_000, arbitrary: { runs: 600, seed: 6, size: 150 } }
)

/** A snapshot as plain numbers. */
const seen = (snapshot: CircuitBreaker.Snapshot) => ({
  ...snapshot,
  ..."retryAfter" in snapshot ? { retryAfter: Duration.toMillis(snapshot.retryAfter) } : {},
  ..."probability" in snapshot ? { probability: round(snapshot.probability) } : {}
})

const round = (value: number) => Math.round(value * 1e9) / 1e9

interface Seen {
  readonly failed: boolean
  readonly at: number
}

/** What the documentation says, as slow and plain as possible. */
class Model {
  now: number
  private readonly setup: Setup
  private tag: CircuitBreaker.Snapshot["_tag"]
  private base: Base
  private afterIsolation: ByHand = "Closed"
  private holders = new Set<number>()
  private era = 0
  private history: Array<Seen> = []
  private rejects = false
  private tripped = 0
  private isTripped = false
  private calls = new Map<number, number>()
  private openings = 0
  private openFor = 0
  private openUntil = 0
  private openedBy = { buffered: 0, failureRate: 0, slowRate: 0 }
  private stableSince = 0
  private probing = 0
  private judged: Array<boolean> = []
  private probedAt = 0
  private rejected = 0

  constructor(setup: Setup, now: number) {
    this.setup = setup
    this.now = now
    this.base = modes[setup.mode]
    this.tag = this.base
  }

  get seen() {
    const counts = { rejected: this.rejected, ...this.counts }
    switch (this.tag) {
      case "Closed":
      case "ForcedClosed":
        return { _tag: this.tag, ...counts }
      case "Partial":
        return { _tag: this.tag, probability: round(this.share(true)), ...counts }
      case "Open":
        return {
          _tag: this.tag,
          retryAfter: Math.max(0, this.openUntil - this.now),
          consecutiveOpenings: this.openings,
          ...counts
        }
      case "HalfOpen":
        return { _tag: this.tag, probing: this.probing, consecutiveOpenings: this.openings, ...counts }
      case "Isolated":
        return { _tag: this.tag, holders: this.holders.size, ...counts }
      case "MetricsOnly":
        return { _tag: this.tag, tripped: this.tripped, ...counts }
    }
  }

  /** Whether a call begins. Where chance decides, `admitted` tells what it decided. */
  start(slot: number, admitted: boolean): boolean {
    const begins = this.admits(admitted)
    if (!begins) this.rejected++
    else this.calls.set(slot, this.era)
    return begins
  }

  end(slot: number, how: How) {
    const era = this.calls.get(slot)
    this.calls.delete(slot)
    if (era !== this.era) return
    const failed = how === "failure" || how === "retryAfter"
    if (this.tag === "HalfOpen") {
      this.probing--
      if (how === "interrupt") return
      this.judged.push(failed)
      const verdicts = new Set(this.completions(this.judged).map((all) => this.opensAgain(all)))
      if (verdicts.size === 2) return
      if (verdicts.has(true)) return this.open(how)
      this.stableSince = this.now + (this.setup.ramp ? 400 : 0)
      this.enter(this.setup.ramp ? "Partial" : "Closed")
    } else if (how !== "interrupt" && this.tag !== "ForcedClosed") {
      this.history.push({ failed, at: this.now })
      const trips = this.trips()
      const share = this.ruleShare()
      if (this.tag === "MetricsOnly") {
        if (trips && !this.isTripped) this.tripped++
        this.isTripped = trips
      } else if (trips) this.open(how)
      else if (share > 0) this.tag = "Partial"
    }
  }

  isolate(holder: number) {
    this.holders.add(holder)
    if (this.tag === "Isolated") return
    this.afterIsolation = this.base
    this.enter("Isolated")
  }

  release(holder: number) {
    if (this.holders.delete(holder) && this.holders.size === 0) this.move(this.afterIsolation)
  }

  reset() {
    this.holders.clear()
    this.move(modes[this.setup.mode])
  }

  transitionTo(state: ByHand) {
    if (this.tag === "Isolated") this.afterIsolation = state
    else this.move(state)
  }

  /** Another process: what was set by hand is gone, and so are the calls under way. */
  restart(millis: number) {
    const tag = this.tag
    const { history } = this
    this.now += millis
    this.rejected = 0
    this.holders.clear()
    this.base = modes[this.setup.mode]
    const judges = this.base === "Closed"
    const kept = tag === "Open" || tag === "HalfOpen" ? tag : this.now < this.stableSince ? "Partial" : "Closed"
    this.openUntil = Math.max(this.now, this.openUntil)
    this.enter(judges ? kept : this.base)
    this.openedBy = { buffered: 0, failureRate: 0, slowRate: 0 }
    this.openFor = Math.min(700, this.openFor)
    if (tag !== "Open" && tag !== "HalfOpen") this.history = history
  }

  private admits(admitted: boolean): boolean {
    switch (this.tag) {
      case "Closed":
      case "MetricsOnly":
      case "ForcedClosed":
        return true
      case "Isolated":
        return false
      case "Partial":
        if (this.share() > 0) return admitted
        this.tag = "Closed"
        return true
      case "Open":
        if (this.now < this.openUntil) return false
        this.enter("HalfOpen")
    }
    if (this.probing + this.judged.length >= this.setup.probes) {
      if (this.now - this.probedAt < 2000) return false
      this.enter("HalfOpen")
    }
    this.probing++
    this.probedAt = this.now
    return true
  }

  private get counts() {
    const of = (outcomes: ReadonlyArray<boolean>) => ({
      buffered: outcomes.length,
      failureRate: outcomes.length === 0 ? 0 : outcomes.filter((failed) => failed).length / outcomes.length,
      slowRate: 0
    })
    if (this.tag === "Open") return this.openedBy
    return of(this.tag === "HalfOpen" ? this.judged : this.window.map(({ failed }) => failed))
  }

  private get window(): ReadonlyArray<Seen> {
    const slice = (at: number) => Math.floor(at / 100)
    switch (this.setup.policy) {
      case "consecutive":
        return this.history.slice(this.history.findLastIndex(({ failed }) => !failed) + 1)
      case "rate":
        return this.history.slice(-4)
      default:
        return this.history.filter(({ at }) => slice(at) > slice(this.now) - 10)
    }
  }

  private get failureRate() {
    return this.window.filter(({ failed }) => failed).length / Math.max(1, this.window.length)
  }

  private trips(): boolean {
    const { length } = this.window
    switch (this.setup.policy) {
      case "consecutive":
        return length >= 2
      case "rate":
        return length >= 3 && this.failureRate >= 0.5
      case "rateWithin":
        return length >= 2 && this.failureRate >= 0.5
      case "proportional":
        return false
    }
  }

  /** A reader that only `looks` changes nothing. */
  private ruleShare(looks = false): number {
    if (this.setup.policy !== "proportional") return 0
    const excess = this.failureRate - 0.2
    const rejects = this.rejects ? excess > 0 : this.window.length >= 2 && excess > 0.1
    if (!looks) this.rejects = rejects
    return rejects ? Math.min(0.8, excess / (1 - excess)) : 0
  }

  private share(looks = false): number {
    const elapsed = this.now - (this.stableSince - 400)
    const ramp = this.setup.ramp && elapsed < 400 ? 1 - Math.max(0.25, elapsed / 400) : 0
    return Math.max(ramp, this.ruleShare(looks))
  }

  private opensAgain(outcomes: ReadonlyArray<boolean>): boolean {
    const failed = outcomes.filter((failed) => failed).length
    return failed > 0 && failed / this.setup.probes >= this.setup.probeThreshold
  }

  private completions(outcomes: ReadonlyArray<boolean>): ReadonlyArray<ReadonlyArray<boolean>> {
    return outcomes.length === this.setup.probes
      ? [outcomes]
      : [true, false].flatMap((failed) => this.completions([...outcomes, failed]))
  }

  private open(how: How | "hand") {
    this.openedBy = this.counts
    if ((this.tag === "Closed" || this.tag === "Partial") && this.now - this.stableSince >= this.openFor) {
      this.openings = 0
    }
    this.openings++
    const delay = Math.min(400, 100 * 2 ** (this.openings - 1))
    this.openFor = Math.min(700, Math.max(delay, how === "retryAfter" ? 600 : 0))
    this.openUntil = this.now + this.openFor
    this.enter("Open")
  }

  private move(state: ByHand) {
    this.base = state === "MetricsOnly" || state === "ForcedClosed" ? state : "Closed"
    if (state === "Open") return this.open("hand")
    if (state !== "HalfOpen") {
      this.openings = 0
      this.stableSince = this.now
    }
    this.enter(state)
  }

  private enter(tag: CircuitBreaker.Snapshot["_tag"]) {
    this.tag = tag
    this.era++
    this.probing = 0
    this.judged = []
    this.history = []
    this.rejects = false
    this.tripped = 0
    this.isTripped = false
  }
}
