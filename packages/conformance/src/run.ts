/** Runs a scenario with a library: its script against a clock, and what is seen meanwhile. */
import * as VirtualTime from "@effect-resilience/lab/VirtualTime"
import { install } from "@sinonjs/fake-timers"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as References from "effect/References"
import { check } from "./check.ts"
import type { Call, EffectLibrary, EffectSubject, Library, PromiseLibrary, PromiseSubject, Result } from "./Library.ts"
import { Failed } from "./Library.ts"
import type { Event, Outcome, Scenario } from "./Scenario.ts"
import { epoch } from "./Scenario.ts"
import type { AttemptTrace, Doing } from "./Trace.ts"
import { Trace } from "./Trace.ts"

/** The script as steps in time: calls, cancellations and looks at the state. */
interface Step {
  readonly at: number
  readonly event: Event | "look"
  readonly call: string
}

const stepsOf = ({ expect, script }: Scenario): ReadonlyArray<Step> => {
  const events = script.flatMap((event): ReadonlyArray<Step> => {
    if ("cancel" in event) return [{ at: event.at, event, call: event.cancel }]
    if (event.times === undefined) return [{ at: event.at, event, call: event.call }]
    const { every = 0, times } = event
    return Array.from(
      { length: times },
      (_, i) => ({ at: event.at + i * every, event, call: `${event.call}/${i + 1}` })
    )
  })
  const looks = (expect.states ?? []).map(({ at }) => ({ at, event: "look" as const, call: "" }))
  return [...events, ...looks].toSorted((a, b) => a.at - b.at)
}

const callOf = (name: string, event: Exclude<Event, { readonly cancel: string }>): Call => ({
  name,
  method: event.method ?? "GET",
  key: event.key ?? name,
  unsafe: event.unsafe ?? false
})

const failureOf = (outcome: Outcome): Failed | TypeError | undefined => {
  if (outcome === "ok") return undefined
  return outcome === "bug" ? new TypeError("x is not a function") : new Failed(outcome === "final")
}

const responseOf = (outcome: Outcome): Response => {
  if (typeof outcome !== "object") return new Response(null, { status: outcome === "ok" ? 200 : 503 })
  return new Response(null, { status: outcome.status, headers: outcome.headers ?? {} })
}

/** What the library does with a scenario that it promises. */
export const run = async (library: Library, scenario: Scenario): Promise<Result> => {
  if (library.promises[scenario.id] === undefined) return { _tag: "notPromised" }
  const traces: Array<Trace> = []
  for (let seed = 1; seed <= (scenario.runs ?? 1); seed++) {
    const trace = library.kind === "effect"
      ? await runEffect(library, scenario, seed)
      : await runPromise(library, scenario, seed)
    if (trace === undefined) {
      throw new RangeError(`${library.name} promises ${scenario.id}, but its adapter has no words for the policy`)
    }
    traces.push(trace)
  }
  const deviations = check(scenario, traces)
  return deviations.length === 0 ? { _tag: "does" } : { _tag: "otherwise", deviations }
}

// Promises, in the time of fake timers.

const runPromise = async (library: PromiseLibrary, scenario: Scenario, seed: number): Promise<Trace | undefined> => {
  const chance = Math.random
  const clock = install({
    now: epoch,
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"]
  })
  const random = VirtualTime.random(seed)
  Math.random = () => random.nextDoubleUnsafe()
  let subject: PromiseSubject | undefined
  try {
    const trace = new Trace(() => clock.Date.now() - epoch)
    subject = library.start(scenario.policy, promiseWork(trace, toNumber), promiseWork(trace, toResponse))
    if (subject === undefined) return undefined
    const running = subject
    const controllers = new Map<string, AbortController>()
    for (const { at, call, event } of stepsOf(scenario)) {
      await clock.tickAsync(at - (clock.Date.now() - epoch))
      if (event === "look") {
        trace.states.push(running.state?.())
      } else if ("cancel" in event) {
        controllers.get(call)?.abort(new Cancelled())
      } else {
        const controller = new AbortController()
        controllers.set(call, controller)
        trace.start(call, event.does)
        const ended = (error: unknown) => trace.end(call, endingOf(error, running))
        running.call(callOf(call, event), controller.signal).then(
          (value) => trace.end(call, "value", typeof value === "number" ? value : undefined),
          ended
        )
      }
      await clock.tickAsync(0)
    }
    await clock.tickAsync(scenario.until - (clock.Date.now() - epoch))
    return trace
  } finally {
    subject?.close?.()
    Math.random = chance
    clock.uninstall()
  }
}

class Cancelled extends Error {
  override readonly name = "AbortError"
}

const endingOf = (error: unknown, subject: PromiseSubject) => {
  const known = subject.classify?.(error)
  if (known !== undefined) return known
  if (error instanceof Cancelled) return "cancelled"
  return error instanceof TypeError ? "bug" : "failure"
}

const toNumber = (attempt: AttemptTrace, outcome: Outcome): number => {
  const failure = failureOf(outcome)
  if (failure !== undefined) throw failure
  return attempt.number
}

const toResponse = (_: AttemptTrace, outcome: Outcome): Response => responseOf(outcome)

const promiseWork =
  <A>(trace: Trace, result: (attempt: AttemptTrace, outcome: Outcome) => A) =>
  (call: Call, signal: AbortSignal | undefined): Promise<A> =>
    new Promise((resolve, reject) => {
      const [attempt, { deaf, outcome, takes }] = trace.begin(call.name)
      const end = () => {
        if (attempt.endedAt !== undefined && !deaf) return
        trace.finish(attempt)
        try {
          resolve(result(attempt, outcome))
        } catch (error) {
          reject(error)
        }
      }
      const timer = takes > 0 && takes < Infinity ? setTimeout(end, takes) : undefined
      const cancel = () => {
        if (attempt.endedAt !== undefined) return
        trace.cancel(attempt)
        if (deaf) return
        clearTimeout(timer)
        reject(signal?.reason)
      }
      if (signal?.aborted === true) cancel()
      signal?.addEventListener("abort", cancel, { once: true })
      if (takes === 0) end()
    })

// Effects, in virtual time.

const runEffect = async (library: EffectLibrary, scenario: Scenario, seed: number): Promise<Trace | undefined> => {
  const time = VirtualTime.make({ seed, startMillis: epoch })
  const trace = new Trace(time.nowMillis)
  const start = library.start(
    scenario.policy,
    (call) => effectWork(time, trace, call, (attempt, outcome) => outcomeEffect(attempt, outcome)),
    (call) => effectWork(time, trace, call, (_, outcome) => Effect.sync(() => responseOf(outcome)))
  )
  if (start === undefined) return undefined
  const subject = Effect.runSync(pollAfter(time, start))
  const fibers = new Map<string, Fiber.Fiber<unknown, unknown>>()
  for (const { at, call, event } of stepsOf(scenario)) {
    time.advance(at - time.nowMillis())
    if (event === "look") {
      trace.states.push(subject.state === undefined ? undefined : Effect.runSync(pollAfter(time, subject.state)))
    } else if ("cancel" in event) {
      fibers.get(call)?.interruptUnsafe()
    } else {
      trace.start(call, event.does)
      const fiber = time.fork(quietly(subject.call(callOf(call, event))))
      fibers.set(call, fiber)
      fiber.addObserver((exit) => {
        if (Exit.isSuccess(exit)) {
          trace.end(call, "value", typeof exit.value === "number" ? exit.value : undefined)
        } else {
          trace.end(call, endingOfCause(exit.cause, subject))
        }
      })
    }
    time.advance(0)
  }
  time.advance(scenario.until - time.nowMillis())
  return trace
}

const quietly = Effect.provideService(References.MinimumLogLevel, "None")

/** Runs an effect that waits for nothing in the context of a virtual time. */
const pollAfter = <A>(time: VirtualTime.VirtualTime, effect: Effect.Effect<A>): Effect.Effect<A> => {
  const fiber = time.fork(effect)
  time.advance(0)
  const exit = fiber.pollUnsafe()
  if (exit === undefined) throw new RangeError("the adapter waits before it begins")
  return Effect.suspend(() => exit)
}

const endingOfCause = (cause: Cause.Cause<unknown>, subject: EffectSubject) => {
  for (const reason of cause.reasons) {
    if (Cause.isDieReason(reason)) return "bug"
    if (Cause.isFailReason(reason)) return subject.classify?.(reason.error) ?? "failure"
  }
  return "cancelled"
}

const outcomeEffect = (attempt: AttemptTrace, outcome: Outcome): Effect.Effect<number, Failed> =>
  Effect.suspend((): Effect.Effect<number, Failed> => {
    const failure = failureOf(outcome)
    if (failure === undefined) return Effect.succeed(attempt.number)
    return failure instanceof Failed ? Effect.fail(failure) : Effect.die(failure)
  })

const effectWork = <A, E>(
  time: VirtualTime.VirtualTime,
  trace: Trace,
  call: Call,
  result: (attempt: AttemptTrace, outcome: Outcome) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const [attempt, doing] = trace.begin(call.name)
    return wait(time, doing).pipe(
      Effect.andThen(() => {
        trace.finish(attempt)
        return result(attempt, doing.outcome)
      }),
      Effect.onInterrupt(() => Effect.sync(() => trace.cancel(attempt)))
    )
  })

// Deaf work has no finalizer: its timer runs on, and its result goes nowhere.
const wait = (time: VirtualTime.VirtualTime, { deaf, takes }: Doing): Effect.Effect<void> => {
  if (takes === 0) return Effect.void
  if (!deaf) return takes === Infinity ? Effect.never : Effect.sleep(takes)
  return Effect.callback((resume) => {
    if (takes < Infinity) time.at(takes, () => resume(Effect.void))
  })
}
