/**
 * Effects that can begin without a fiber.
 *
 * **Why**
 *
 * A limit of time runs its effect in a fiber of its own, which it can interrupt. Some effects are little more than a callback and its
 * cancellation, such as a call of promises or a request of a simulation, and a fiber costs them more than all the rest.
 *
 * **Example** (An effect that has ended as soon as it begins)
 *
 * ```ts import.meta.vitest
 * import * as Direct from "@effect-resilience/kernel/Direct"
 * import { Context, Effect, Exit } from "effect"
 *
 * const ready: Direct.Direct<number> = { [Direct.direct]: () => Direct.ended(Exit.succeed(42)) }
 *
 * // Without a fiber:
 * ready[Direct.direct](Context.empty()).pollUnsafe() // => Exit.succeed(42)
 * // As part of another effect:
 * await Effect.runPromise(Direct.wait(ready)) // => 42
 * ```
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/**
 * The method of an effect that can begin without a fiber.
 *
 * @category symbols
 * @since 0.1.0
 */
export const direct: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/kernel/Direct")

/**
 * What such an effect has: it begins in the context of its caller, and returns what runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Direct<out A, out E = unknown> {
  readonly [direct]: (context: Context.Context<never>) => Running<A, E>
}

/**
 * What runs: such an effect, or a fiber. A direct effect has one observer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Running<out A, out E = unknown> {
  /** The exit, or `undefined` while it runs. */
  readonly pollUnsafe: () => Exit.Exit<A, E> | undefined
  /** Calls the observer with the exit. */
  readonly addObserver: (observer: (exit: Exit.Exit<A, E>) => void) => unknown
  /** Interrupts it, and does not wait for its end. `by` is the id of the fiber that does. */
  readonly interruptUnsafe: (by?: number) => void
  /** Interrupts it, and waits until it has ended. What has none ends with `interruptUnsafe`. */
  readonly interrupt?: Effect.Effect<void> | undefined
}

/**
 * What runs, and keeps how it has ended.
 *
 * @category models
 * @since 0.1.0
 */
export abstract class Ending<A, E> implements Running<A, E> {
  private exit: Exit.Exit<A, E> | undefined = undefined
  private observer: ((exit: Exit.Exit<A, E>) => void) | undefined = undefined

  /** Interrupts it, and does not wait for its end. */
  abstract interruptUnsafe(by?: number): void

  pollUnsafe(): Exit.Exit<A, E> | undefined {
    return this.exit
  }
  addObserver(observer: (exit: Exit.Exit<A, E>) => void): void {
    const { exit, observer: first } = this
    if (exit !== undefined) observer(exit)
    else if (first === undefined) this.observer = observer
    else {
      this.observer = (exit) => {
        first(exit)
        observer(exit)
      }
    }
  }
  get interrupt(): Effect.Effect<void> {
    return Effect.withFiber(({ id }) => {
      this.interruptUnsafe(id)
      if (this.exit !== undefined) return Effect.void
      return Effect.callback((resume) => this.addObserver(() => resume(Effect.void)))
    })
  }

  /** Ends it, and tells the observers. */
  protected end(exit: Exit.Exit<A, E>): void {
    this.exit = exit
    this.observer?.(exit)
  }
}

/**
 * What runs around something else that runs, and ends after it. What interrupts it waits for its own end, which others may still
 * await when that of the other has come.
 *
 * @category models
 * @since 0.1.0
 */
export class Around<A, E> extends Ending<A, E> {
  /** What interrupts this one interrupts. */
  protected inner: Running<unknown>

  constructor(inner: Running<unknown>) {
    super()
    this.inner = inner
  }

  /** Interrupts what it runs around, and does not wait for its end. */
  override interruptUnsafe(by?: number): void {
    this.inner.interruptUnsafe(by)
  }
}

/**
 * Begins an effect: without a fiber where it can, otherwise in one of its own. What throws as it begins has ended with a defect.
 *
 * @category running
 * @since 0.1.0
 */
export const startUnsafe = <A, E, R>(self: Effect.Effect<A, E, R>, context: Context.Context<R>): Running<A, E> =>
  isDirect<A, E>(self)
    ? beginUnsafe(self, context)
    : Exit.isExit(self)
    ? ended(self as Exit.Exit<A, E>)
    : Effect.runForkWith(context)(self)

const beginUnsafe = <A, E>(self: Direct<A, E>, context: Context.Context<never>): Running<A, E> => {
  try {
    return self[direct](context)
  } catch (thrown) {
    return ended(Exit.die(thrown))
  }
}

/**
 * Waits for what begins without a fiber: the effect itself, where a fiber runs it.
 *
 * @category running
 * @since 0.1.0
 */
export const wait = <A, E>(self: Direct<A, E>): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    const running = self[direct](Fiber.getCurrent()?.context ?? Context.empty())
    const exit = running.pollUnsafe()
    if (exit !== undefined) return resume(exit)
    running.addObserver(resume)
    return interrupt(running)
  })

/**
 * Begins another effect as soon as something has ended, with whatever exit. An interruption interrupts what runs of both; after it,
 * the other one begins only for what it must undo.
 *
 * @category running
 * @since 0.1.0
 */
export const follow = <A, E, A2, E2, R>(
  running: Running<A, E>,
  context: Context.Context<R>,
  next: (exit: Exit.Exit<A, E>) => Effect.Effect<A2, E2, R>
): Running<A2, E2> => new Following(running, context, next)

class Following<A, E, A2, E2, R> extends Around<A2, E2> {
  private interrupted = false
  private by: number | undefined = undefined

  constructor(
    running: Running<A, E>,
    context: Context.Context<R>,
    next: (exit: Exit.Exit<A, E>) => Effect.Effect<A2, E2, R>
  ) {
    super(running)
    const exit = running.pollUnsafe()
    if (exit === undefined) running.addObserver((exit) => this.begin(exit, context, next))
    else this.begin(exit, context, next)
  }

  override interruptUnsafe(by?: number): void {
    this.interrupted = true
    this.by = by
    super.interruptUnsafe(by)
  }

  private begin(
    exit: Exit.Exit<A, E>,
    context: Context.Context<R>,
    next: (exit: Exit.Exit<A, E>) => Effect.Effect<A2, E2, R>
  ): void {
    let running: Running<A2, E2>
    try {
      running = startUnsafe(next(exit), context)
    } catch (thrown) {
      running = ended(Exit.die(thrown))
    }
    this.inner = running
    const last = running.pollUnsafe()
    if (last !== undefined) return this.end(last)
    running.addObserver((last) => this.end(last))
    if (this.interrupted && Exit.isSuccess(exit)) running.interruptUnsafe(this.by)
  }
}

/**
 * `Effect.updateContext`, of an effect that begins without a fiber where `self` does.
 *
 * @category contexts
 * @since 0.1.0
 */
export const updateContext = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  f: (context: Context.Context<never>) => Context.Context<never>
): Effect.Effect<A, E, R> => new Updated(self, f)

class Updated<A, E, R> extends Effectable.Class<A, E, R> implements Direct<A, E> {
  private readonly self: Effect.Effect<A, E, R>
  private readonly f: (context: Context.Context<never>) => Context.Context<never>

  constructor(self: Effect.Effect<A, E, R>, f: (context: Context.Context<never>) => Context.Context<never>) {
    super()
    this.self = self
    this.f = f
  }

  override asEffect(): Effect.Effect<A, E, R> {
    return Effect.updateContext(this.self, (context: Context.Context<R>) => this.update(context))
  }
  [direct](context: Context.Context<never>): Running<A, E> {
    return startUnsafe(this.self, this.update(context))
  }
  // What runs the effect has what it requires.
  private update(context: Context.Context<never>): Context.Context<R> {
    return this.f(context) as Context.Context<R>
  }
}

/**
 * What has ended as soon as it began.
 *
 * @category running
 * @since 0.1.0
 */
export const ended = <A, E>(exit: Exit.Exit<A, E>): Running<A, E> => new Ended(exit)

class Ended<A, E> implements Running<A, E> {
  private readonly exit: Exit.Exit<A, E>

  constructor(exit: Exit.Exit<A, E>) {
    this.exit = exit
  }

  pollUnsafe(): Exit.Exit<A, E> {
    return this.exit
  }
  addObserver(observer: (exit: Exit.Exit<A, E>) => void): void {
    observer(this.exit)
  }
  interruptUnsafe(): void {}
}

/**
 * Interrupts what runs, and waits until it has ended.
 *
 * @category running
 * @since 0.1.0
 */
export const interrupt = (running: Running<unknown>): Effect.Effect<void> =>
  Fiber.isFiber(running)
    ? Fiber.interrupt(running)
    : running.interrupt ?? Effect.sync(() => running.interruptUnsafe())

const isDirect = <A, E>(self: object): self is Direct<A, E> => direct in self
