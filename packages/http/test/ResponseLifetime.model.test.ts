import { Deadline } from "@effect-resilience/deadline"
import { ApiError } from "@effect-resilience/errors"
import { ErrorMapping, ResponseLifetime, SendProgress } from "@effect-resilience/http"
import { Bulkhead } from "@effect-resilience/limit"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, type Pull, Queue, Schema, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

// What happens to one call, in any order, against a model of what must come of it.

const Steps = Schema.Array(Schema.Literals([
  "small piece",
  "large piece",
  "end",
  "break",
  "60 ms",
  "4 s",
  "11 s",
  "read whole",
  "read stream",
  "read one piece",
  "interrupt"
])).check(Schema.isMinLength(2), Schema.isMaxLength(9))
type Step = typeof Steps.Type[number]
type Arrival = { readonly bytes: number } | "end" | "break"
type Reader = "nothing" | "whole" | "stream" | "one"

const arrivals: { readonly [S in Step]?: Arrival } = {
  "small piece": { bytes: 10 },
  "large piece": { bytes: 70_000 },
  end: "end",
  break: "break"
}
const readers: { readonly [S in Step]?: Reader } = {
  "read whole": "whole",
  "read stream": "stream",
  "read one piece": "one"
}
const waits: { readonly [S in Step]?: number } = { "60 ms": 60, "4 s": 4_000, "11 s": 11_000 }

const patience = 100
const idle = 10_000
const total = 25_000
const attempts = 3
const ahead = 65_536

/** What must be. One call, which repeats what delivered nothing. */
class Model {
  now = 0
  requests = 1
  /** Whether the policies hold the call. */
  running = true
  open = true
  reader: Reader = "nothing"
  outcome: string | undefined = undefined
  private began = 0
  private since = 0
  private size = 0
  private delivered = 0
  private suspended = false
  private queue: Array<Arrival> = []
  private discarded = false
  private broken = false

  take(step: Step): void {
    const arrival = arrivals[step]
    const reader = readers[step]
    const wait = waits[step]
    if (wait !== undefined) this.pass(wait)
    else if (step === "interrupt") this.interrupt()
    else if (arrival !== undefined) {
      if (this.open) this.queue.push(arrival)
      this.drain()
    } else if (reader !== undefined && this.reader === "nothing" && this.outcome === undefined) this.read(reader)
  }

  private read(reader: Reader): void {
    this.reader = reader
    if (this.discarded) return this.finish("timeout")
    if (!this.open) return this.finish(this.broken ? "broken" : "success")
    const wasFull = this.size >= ahead
    if (reader !== "whole") {
      this.suspended = true
      this.deliver()
    }
    if (wasFull) this.since = this.now
    this.drain()
  }

  private get isStream(): boolean {
    return this.reader === "stream" || this.reader === "one"
  }

  private deliver(): void {
    this.delivered = this.size
    if (this.reader === "one" && this.delivered > 0) this.finish("success")
  }

  private drain(): void {
    while (this.open && !(this.reader === "nothing" && this.size >= ahead)) {
      const arrival = this.queue.shift()
      if (arrival === undefined) return
      if (arrival === "end") this.finish("success")
      else if (arrival === "break") this.fail("broken")
      else {
        this.size += arrival.bytes
        this.since = this.now
        if (this.isStream) this.deliver()
      }
    }
  }

  private fail(why: "broken" | "timeout"): void {
    this.queue = []
    if (this.isStream && this.delivered > 0) return this.finish("parts")
    if (!this.running) {
      this.broken = true
      return this.finish(why)
    }
    if (this.isStream && this.now >= total) return this.finish("deadline")
    if (this.requests === attempts) {
      this.broken = true
      return this.finish(why)
    }
    this.requests++
    this.size = 0
    this.began = this.now
    this.since = this.now
  }

  private finish(outcome: string): void {
    this.open = false
    this.running = false
    this.queue = []
    if (this.reader !== "nothing") this.outcome ??= outcome
  }

  private interrupt(): void {
    if (this.outcome !== undefined) return
    this.outcome = "interrupted"
    this.open = false
    this.running = false
  }

  private pass(millis: number): void {
    const end = this.now + millis
    for (;;) {
      const next = this.next()
      if (next === undefined || next.at > end) break
      this.now = Math.max(this.now, next.at)
      next.happens()
    }
    this.now = end
  }

  /** The next limit of time that passes. */
  private next(): { readonly at: number; readonly happens: () => void } | undefined {
    if (!this.open) return undefined
    if (this.reader === "nothing" && this.running) {
      return { at: this.began + patience, happens: () => void (this.running = false) }
    }
    const silent = { at: this.since + idle, happens: () => this.silence() }
    return this.running && !this.suspended && total <= silent.at
      ? { at: total, happens: () => this.finish("deadline") }
      : silent
  }

  private silence(): void {
    if (this.reader !== "nothing") return this.fail("timeout")
    this.discarded = true
    this.finish("timeout")
  }
}

const failure = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })

/** A transport whose bodies are told what to do. One that can be aborted promises so. */
const serve = (abortable: boolean) =>
  Effect.gen(function*() {
    const state = { requests: 0, closed: 0, body: yield* Queue.unbounded<Arrival>() }
    const transport = HttpClient.make((request) =>
      Effect.gen(function*() {
        const body = yield* Queue.unbounded<Arrival>()
        state.requests++
        state.body = body
        const carrier = HttpClientResponse.fromWeb(request, new Response(null))
        const broken = Effect.fail(
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.DecodeError({ request, response: carrier, cause: failure })
          })
        )
        let aborted: ((self: typeof broken) => void) | undefined
        if (abortable) {
          const progress = yield* SendProgress.Current
          progress?.follow({ reached: "all", abort: () => aborted?.(broken) })
        }
        const abort = Effect.callback<never, HttpClientError.HttpClientError>((resume) => {
          aborted = resume
        })
        const pull = Effect.raceFirst(Queue.take(body), abort).pipe(
          Effect.flatMap((arrival): Pull.Pull<readonly [Uint8Array], HttpClientError.HttpClientError> => {
            if (arrival === "end") return Cause.done()
            return arrival === "break" ? broken : Effect.succeed([new Uint8Array(arrival.bytes)] as const)
          })
        )
        const stream = Stream.fromPull(Effect.succeed(pull)).pipe(
          Stream.onExit(() => Effect.sync(() => void state.closed++))
        )
        return Object.create(carrier, { stream: { value: stream } }) as HttpClientResponse.HttpClientResponse
      })
    )
    return { state, transport: abortable ? SendProgress.reporting(transport, { aborts: () => true }) : transport }
  })

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "success"
  if (Cause.hasInterrupts(exit.cause)) return "interrupted"
  const error = Cause.squash(exit.cause)
  if (error instanceof Deadline.DeadlineExceeded) return "deadline"
  const tag = error instanceof ApiError.ApiError ? error.reason._tag : String(error)
  return tag === "PartsDelivered" ? "parts" : tag === "Timeout" ? "timeout" : "broken"
}

const settle = Effect.repeat(Effect.yieldNow, { times: 60 })

const play = (steps: ReadonlyArray<Step>, abortable: boolean) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("5 minutes")
    const { state, transport } = yield* serve(abortable)
    const bulkhead = yield* Bulkhead.make({ permits: 1 })
    const retry = RetryPolicy.retry(RetryPolicy.make({ times: attempts - 1, backoff: Backoff.immediate }))
    const client = transport.pipe(
      ErrorMapping.mapErrors({ idle }),
      ResponseLifetime.attempts,
      HttpClient.transformResponse((self) => Deadline.withDeadline(bulkhead.execute(retry(self)), total)),
      HttpClient.transformResponse(ResponseLifetime.judgedToEnd)
    )
    const reader = yield* Deferred.make<Reader>()
    const calling = yield* Effect.forkChild(
      Effect.flatMap(client.get("https://api.example.com/report"), (response) =>
        Effect.flatMap(Deferred.await(reader), (how): Effect.Effect<unknown, unknown> => {
          if (how === "whole") {
            return response.arrayBuffer
          }
          return Stream.runDrain(how === "one" ? Stream.take(response.stream, 1) : response.stream)
        }))
    )
    yield* settle
    const model = new Model()
    for (const [i, step] of steps.entries()) {
      const before = model.open
      model.take(step)
      const arrival = arrivals[step]
      const how = readers[step]
      const wait = waits[step]
      if (arrival !== undefined && before) {
        yield* Queue.offer(state.body, arrival)
      }
      if (how !== undefined) {
        yield* Deferred.succeed(reader, how)
      }
      if (wait !== undefined) {
        // A repetition begins at the instant of what it repeats.
        for (let passed = 0; passed < wait; passed += 20) {
          yield* TestClock.adjust(20)
          if (passed % 1_000 === 0) {
            yield* settle
          }
        }
      }
      if (step === "interrupt") {
        yield* Fiber.interrupt(calling)
      }
      yield* settle
      const { running } = yield* bulkhead.snapshot
      const exit = calling.pollUnsafe()
      assert.deepStrictEqual(
        {
          running: running === 1,
          requests: state.requests,
          open: state.closed < state.requests,
          outcome: exit === undefined ? undefined : outcomeOf(exit)
        },
        { running: model.running, requests: model.requests, open: model.open, outcome: model.outcome },
        `after ${steps.slice(0, i + 1).join(", ")}`
      )
    }
    yield* Fiber.interrupt(calling)
    yield* settle
    assert.strictEqual(state.closed, state.requests, steps.join(", "))
    assert.strictEqual((yield* bulkhead.snapshot).running, 0, steps.join(", "))
  })

describe("a call and its response, whatever happens in whatever order", () => {
  for (const [name, abortable] of [["cannot", false], ["can", true]] as const) {
    it.effect.prop(
      `does as the model where the transport ${name} be aborted`,
      { steps: Steps },
      ({ steps }) => play(steps, abortable),
      { arbitrary: { runs: 150, seed: 17 } }
    )
  }
})
