import type * as Classifier from "@effect-resilience/errors/Classifier"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as RetryHeaders from "@effect-resilience/errors/RetryHeaders"
import * as Direct from "@effect-resilience/kernel/Direct"
import { noSuch } from "@effect-resilience/kernel/Hint"
import * as Surroundings from "@effect-resilience/kernel/Surroundings"
import * as RetryEvent from "@effect-resilience/retry/RetryEvent"
import type * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"

/**
 * What a single call says.
 *
 * @category promises
 * @since 0.1.0
 */
export interface CallOptions<in A> {
  /**
   * Whether it may be applied twice; default false. Otherwise it is repeated only after a failure that shows that nothing was
   * applied, such as a 429 or a refused connection.
   */
  readonly idempotent?: boolean | undefined
  /** Ends the call with its reason, and the attempt that runs. */
  readonly signal?: AbortSignal | undefined
  /**
   * Whether a result is a failure, and how it is retried: `true` is short for `Recovery.retry`, `false` makes it a success. By
   * default, and where it returns `undefined`, a `Response` is judged by its status, and anything else is a success.
   */
  readonly retryWhen?: RetryPolicy.RetryWhen<A> | undefined
}

/**
 * What an attempt does. Its signal is aborted when the attempt has to end. A function without a parameter is given one that is never
 * aborted.
 *
 * @category promises
 * @since 0.1.0
 */
export type Begin<A> = (signal: AbortSignal) => PromiseLike<A> | A

/**
 * A pipeline for promises: runs what `call` begins through all parts. The promise is rejected with the error of a part, which has a
 * `_tag`, or with what the last attempt was rejected with.
 *
 * @category promises
 * @since 0.1.0
 */
export interface Promised<out P> {
  <A>(call: Begin<A>, options?: CallOptions<NoInfer<A>>): Promise<A>
  /** The pipeline itself. */
  readonly pipeline: P
}

/**
 * How a pipeline is made for code with promises.
 *
 * @category promises
 * @since 0.1.0
 */
export interface PromiseOptions {
  /** Services for the parts, such as a tracer or the clock of a test; default none. */
  readonly context?: Context.Context<never> | undefined
}

interface Execute {
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, unknown>
}

/** The contexts of calls that may be applied twice, and of others. */
export interface Contexts {
  readonly repeatable: Context.Context<never>
  readonly once: Context.Context<never>
}

export const contextsOf = (context: Context.Context<never>): Contexts => {
  const outer = Context.get(context, RetryEvent.CurrentObserver)
  const observed = Context.add(
    context,
    RetryEvent.CurrentObserver,
    outer === undefined ? discardRetried : (event) => Effect.andThen(outer(event), discardRetried(event))
  )
  return {
    repeatable: Context.add(observed, Repetition.Current, "always"),
    once: Context.add(observed, Repetition.Current, "unlessApplied")
  }
}

/** Runs a call of promises through a pipeline. */
export const run = <A>(
  execute: Execute,
  contexts: Contexts,
  begin: Begin<A>,
  options: CallOptions<A> = none
): Promise<A> => {
  // Callers in plain JavaScript give the promise itself, which can be awaited only once.
  if (typeof begin !== "function") {
    const what = "a function that returns a promise, such as () => load(17)"
    return Promise.reject(
      new TypeError(`A call must be ${what}, not ${Predicate.isPromiseLike(begin) ? "a promise" : typeof begin}`)
    )
  }
  // A misspelt `idempotent` would permit nothing, and say nothing.
  const unknown = options === none ? undefined : Object.keys(options).find((name) => !names.includes(name))
  if (unknown !== undefined) {
    return Promise.reject(new RangeError(`Pipeline.promise has no option ${unknown}${noSuch(unknown, names)}`))
  }
  const { signal } = options
  return signal?.aborted === true
    ? Promise.reject(signal.reason)
    : new Promise((resolve, reject) => new Call(begin, options, resolve, reject).start(execute, contexts))
}

const none: CallOptions<unknown> = {}

const names: ReadonlyArray<string> = ["idempotent", "signal", "retryWhen"] satisfies ReadonlyArray<
  keyof CallOptions<never>
>

/** A classifier of the user's is about errors, not about what stands for a result. */
export const classifierOf = (classify: Classifier.Classifier | undefined): Classifier.Classifier => (error) =>
  error instanceof Failed ? error.recovery : classify?.(error)

/** The failure that a result stands for inside the pipeline. */
class Failed {
  readonly _tag = "Response"
  readonly result: unknown
  readonly recovery: Recovery.Recovery
  /** Whether it is given back at the end, or thrown as it was. */
  readonly returned: boolean

  constructor(result: unknown, recovery: Recovery.Recovery, returned: boolean) {
    this.result = result
    this.recovery = recovery
    this.returned = returned
  }

  [Recovery.symbol](): Recovery.Recovery {
    return this.recovery
  }

  get [Repetition.notApplied](): boolean {
    return isResponse(this.result) && this.result.status >= 300 && this.result.status < 500
  }
}

/** A call, which is the effect of each of its attempts. */
class Call<A> extends Effectable.Class<A, unknown> implements Direct.Direct<A> {
  readonly begin: Begin<A>
  readonly options: CallOptions<A>
  private readonly resolve: (value: A) => void
  private readonly reject: (error: unknown) => void
  /** What its attempts gave, of which the caller gets one at most. */
  private given: Array<unknown> | undefined
  private aborted = false
  private ended = false

  constructor(
    begin: Begin<A>,
    options: CallOptions<A>,
    resolve: (value: A) => void,
    reject: (error: unknown) => void
  ) {
    super()
    this.begin = begin
    this.options = options
    this.resolve = resolve
    this.reject = reject
  }

  start(execute: Execute, { once, repeatable }: Contexts): void {
    const { idempotent, signal } = this.options
    const running = Direct.startUnsafe(execute(this), idempotent === true ? repeatable : once)
    const exit = running.pollUnsafe()
    if (exit !== undefined) return this.end(exit)
    const abort = () => {
      this.aborted = true
      this.reject(signal?.reason)
      running.interruptUnsafe()
    }
    signal?.addEventListener("abort", abort)
    running.addObserver((exit) => {
      signal?.removeEventListener("abort", abort)
      this.end(exit)
    })
    // The call itself may have done it.
    if (signal?.aborted === true) abort()
  }

  [Direct.direct](context: Context.Context<never>): Attempt<A> {
    const attempt = new Attempt(this, Context.get(context, Clock.Clock))
    attempt.start()
    return attempt
  }

  override asEffect(): Effect.Effect<A, unknown> {
    return Direct.wait(this)
  }

  judge(result: A, clock: Clock.Clock): Exit.Exit<A, unknown> {
    this.give(result)
    const wanted = this.options.retryWhen?.(result) ?? failureOf(result, clock)
    if (wanted === undefined || wanted === false) return Exit.succeed(result)
    return Exit.fail(new Failed(result, wanted === true ? Recovery.retry : wanted, true))
  }

  thrown(error: unknown, clock: Clock.Clock): Exit.Exit<never, unknown> {
    if (!isResponse(error)) return Exit.fail(error)
    this.give(error)
    return Exit.fail(new Failed(error, recoveryOf(error, clock), false))
  }

  /** An attempt that no interruption reaches may give something when the call is over. */
  private give(result: unknown): void {
    if (this.ended) discard(result)
    else (this.given ??= []).push(result)
  }

  private end(exit: Exit.Exit<A, unknown>): void {
    const error = Exit.isSuccess(exit) ? undefined : Cause.squash(exit.cause)
    const last = Exit.isSuccess(exit) ? exit.value : error instanceof Failed ? error.result : undefined
    // A part may have held what its caller no longer waits for.
    for (const result of this.given ?? []) {
      if (result !== last || this.aborted) discard(result)
    }
    this.ended = true
    if (this.aborted) return
    if (Exit.isSuccess(exit)) this.resolve(exit.value)
    else if (!(error instanceof Failed)) this.reject(error)
    else if (error.returned) this.resolve(error.result as A)
    else this.reject(error.result)
  }
}

class Attempt<A> extends Direct.Ending<A, unknown> {
  private readonly call: Call<A>
  private readonly clock: Clock.Clock
  private readonly controller: AbortController | undefined
  /** For those who listen to its signal: a timer that aborts it has those of another call. */
  private readonly surroundings: Surroundings.Surroundings | undefined

  constructor(call: Call<A>, clock: Clock.Clock) {
    super()
    this.call = call
    this.clock = clock
    // Making one takes longer than all the rest.
    this.controller = call.begin.length === 0 ? undefined : new AbortController()
    this.surroundings = this.controller && Surroundings.captureUnsafe()
  }

  start(): void {
    try {
      const result = this.call.begin(this.signal())
      if (Predicate.isPromiseLike(result)) result.then((value) => this.succeeded(value), (error) => this.failed(error))
      else if (Effect.isEffect(result)) this.end(Exit.die(new TypeError(isEffect)))
      else this.succeeded(result)
    } catch (error) {
      this.failed(error)
    }
  }

  override interruptUnsafe(): void {
    if (this.pollUnsafe() !== undefined) return
    const { controller, surroundings } = this
    this.end(Exit.interrupt())
    const abort = () => controller?.abort()
    if (surroundings === undefined) abort()
    else surroundings.runInAsyncScope(abort)
  }

  // The caller's signal ends the reading of a body too, when the call is over. It must not hold on to what follows it.
  private signal(): AbortSignal {
    if (this.controller === undefined) return never
    const outer = this.call.options.signal
    return outer === undefined ? this.controller.signal : AbortSignal.any([outer, this.controller.signal])
  }

  private succeeded(result: A): void {
    if (this.pollUnsafe() !== undefined) return discard(result)
    let exit: Exit.Exit<A, unknown>
    try {
      exit = this.call.judge(result, this.clock)
    } catch (error) {
      exit = Exit.die(error)
    }
    this.end(exit)
  }

  private failed(error: unknown): void {
    if (this.pollUnsafe() === undefined) this.end(this.call.thrown(error, this.clock))
    else discard(error)
  }

  protected override end(exit: Exit.Exit<A, unknown>): void {
    this.surroundings?.emitDestroy()
    super.end(exit)
  }
}

const isEffect = "A call returned an effect, which nothing runs. Give effects to the pipeline's execute"

const never = /* @__PURE__ */ new AbortController().signal

/** What is known of a `Response` of any implementation of fetch. */
interface ResponseLike {
  readonly status: number
  readonly headers: Iterable<readonly [string, string]>
  readonly body: { readonly cancel: () => PromiseLike<unknown> } | null
}

const isResponse = (value: unknown): value is ResponseLike =>
  Predicate.hasProperty(value, "status") && typeof value.status === "number" &&
  Predicate.hasProperty(value, "ok") && typeof value.ok === "boolean" &&
  Predicate.hasProperty(value, "headers") && Predicate.isIterable(value.headers)

const recoveryOf = ({ headers, status }: ResponseLike, clock: Clock.Clock): Recovery.Recovery => {
  const read = RetryHeaders.read(
    { status, headers: Object.fromEntries(headers) },
    clock.currentTimeMillisUnsafe()
  )
  return read.recovery ?? Recovery.fromStatus(status, read.retryAfter)
}

// A response that asks for another request, a login or a permission is a success of the server, and of the call.
const failureOf = (result: unknown, clock: Clock.Clock): Recovery.Recovery | undefined => {
  if (!isResponse(result) || result.status < 300) return undefined
  const recovery = recoveryOf(result, clock)
  return recovery._tag === "Retry" || recovery._tag === "GiveUp" ? recovery : undefined
}

// A body that is not read holds its connection.
const discard = (result: unknown): void => {
  if (isResponse(result)) result.body?.cancel?.().then(undefined, () => {})
}

const discardRetried: RetryEvent.Observer = ({ _tag, error }) =>
  _tag === "Retrying" && (error instanceof Failed || RetryEvent.isRetriedResult(error))
    ? Effect.sync(() => discard(error.result))
    : Effect.void
