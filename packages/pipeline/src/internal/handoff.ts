import { PartsDelivered } from "@effect-resilience/errors/PartsDelivered"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Attempt from "@effect-resilience/retry/Attempt"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

type Failure<E, P> = E | P | PartsDelivered<E | P | Cause.TimeoutError>

/**
 * The stream, run by a fiber inside the policy that hands each chunk over when the consumer asks for it.
 */
export const run = <A, E, R, P, S, R2>(
  self: Stream.Stream<A, E, R>,
  policy: Policy.Policy<P, S, never, R2>
): Stream.Stream<A, Failure<E, P>, R | R2> =>
  Stream.fromChannel(Channel.fromTransform((_: unknown, scope) =>
    Effect.contextWith((context) => {
      const handoff = new Handoff<A, E, P, R>(self)
      const start = () => {
        const running = Effect.runForkWith(context)(policy.execute(handoff.attempt))
        running.addObserver((exit) => handoff.finish(exit))
        return running
      }
      let running: ReturnType<typeof start> | undefined
      const pull = Effect.suspend(() => {
        running ??= start()
        return handoff.take
      })
      const leave = Effect.suspend(() => running === undefined ? Effect.void : Fiber.interrupt(running))
      return Effect.as(Scope.addFinalizer(scope, leave), pull)
    })
  ))

/** An attempt that had its first chunk after another. */
class Late {
  readonly _tag = "Late"
}

/** Between the one attempt that delivers and the consumer. */
class Handoff<A, E, P, R> {
  readonly attempt: Effect.Effect<void, Failure<E, P>, R>
  readonly take: Pull.Pull<NonEmptyReadonlyArray<A>, Failure<E, P>>
  private delivering: object | undefined = undefined
  private delivered = 0
  private readonly delivererEnded = Deferred.makeUnsafe<void, Failure<E, P>>()
  private demand: ((elements: Effect.Effect<NonEmptyReadonlyArray<A>>) => void) | undefined = undefined
  private supply: (() => void) | undefined = undefined
  private left: NonEmptyReadonlyArray<A> | undefined = undefined
  private ended: Pull.Pull<never, Failure<E, P>> | undefined = undefined
  private wake: (() => void) | undefined = undefined

  constructor(self: Stream.Stream<A, E, R>) {
    this.attempt = Effect.suspend(() =>
      this.delivering === undefined ? this.deliver(self) : Deferred.await(this.delivererEnded)
    )
    this.take = Effect.callback((resume) => {
      const { ended, left } = this
      if (left !== undefined) {
        this.left = undefined
        return resume(Effect.succeed(left))
      }
      if (ended !== undefined) return resume(ended)
      this.demand = resume
      this.wake = () => this.ended && resume(this.ended)
      const { supply } = this
      this.supply = undefined
      supply?.()
      return Effect.sync(() => {
        this.demand = undefined
        this.wake = undefined
      })
    })
  }

  finish(exit: Exit.Exit<void, Failure<E, P>>): void {
    this.ended = Exit.isSuccess(exit)
      ? Cause.done()
      : Effect.failCause(Cause.map(exit.cause, (error) => this.told(error)))
    this.wake?.()
  }

  private deliver(self: Stream.Stream<A, E, R>): Effect.Effect<void, Failure<E, P>, R> {
    const me = {}
    const chunks = Stream.runForEachArray(self, (elements) => {
      if (this.delivering === undefined) {
        this.delivering = me
        const fiber = Fiber.getCurrent()
        if (fiber !== undefined) Context.get(fiber.context, Attempt.Responding)()
      }
      return this.delivering === me ? this.offer(elements) : Effect.fail(new Late())
    })
    const judged = Effect.catch(chunks, (error): Effect.Effect<void, Failure<E, P>> => {
      if (error instanceof Late) return Deferred.await(this.delivererEnded)
      return Effect.fail(this.delivering === me ? this.told(error) : error)
    })
    return Effect.onExit(judged, (exit) => {
      if (this.delivering !== me) return Effect.void
      const interrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
      return Deferred.done(
        this.delivererEnded,
        interrupted ? Exit.fail(this.told(new Cause.TimeoutError("the policy interrupted the attempt"))) : exit
      )
    })
  }

  private offer(elements: NonEmptyReadonlyArray<A>): Effect.Effect<void> {
    return Effect.callback((resume) => {
      this.delivered += elements.length
      this.supply = () => resume(Effect.void)
      const { demand } = this
      this.demand = undefined
      if (demand === undefined) this.left = elements
      else demand(Effect.succeed(elements))
      return Effect.sync(() => {
        this.supply = undefined
      })
    })
  }

  private told(error: Failure<E, P> | Cause.TimeoutError): Failure<E, P> {
    if (error instanceof PartsDelivered) return error
    return this.delivered === 0
      ? error as Failure<E, P>
      : new PartsDelivered<E | P | Cause.TimeoutError>({ failure: error as E | P, delivered: this.delivered })
  }
}
