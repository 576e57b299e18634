import * as ApiError from "@effect-resilience/errors/ApiError"
import { concat } from "@effect-resilience/kernel/Bytes"
import * as Time from "@effect-resilience/kernel/Time"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { broken } from "./completeness.ts"
import {
  alreadyRead,
  ContinuedResponse,
  type MapError,
  type MappedResponse,
  type Pieces,
  WholeResponse
} from "./mappedResponse.ts"

type Response = HttpClientResponse.HttpClientResponse
type BodyError = HttpClientError.HttpClientError
type AnyFiber = Fiber.Fiber<unknown, unknown>

/** In bytes: how much of a body is read before it is asked for. A shorter one that is not asked for holds nothing. */
const ahead = 65_536

/** In milliseconds: how long a call waits for a caller that has the response to ask for its body. */
const patience = 100

/** What an attempt knows of its response. */
export interface Held {
  readonly response: MappedResponse
  readonly mapError: MapError
  readonly idleMillis: number
  readonly silent: () => BodyError
}

/**
 * One call whose attempts end with the bodies of their responses.
 *
 * An attempt reads its body itself, and the caller, who has the response since its headers came, takes what was read. So a body
 * that breaks is a failure of the attempt like any other, which a retry repeats as long as nothing was taken.
 */
export class Lifetime {
  private readonly call: () => AnyFiber
  private handOver: ((response: Response) => void) | undefined
  private readonly onEnd: () => void
  /** How the call ended, or the body of a response that outlived it. */
  private exit: Exit.Exit<unknown, unknown> | undefined = undefined
  /** The attempt whose body is read now, or was read last. */
  private held: Held | undefined = undefined
  private pump: AnyFiber | undefined = undefined
  private clock: Clock.Clock | undefined = undefined
  /** Since when a piece is waited for, or there is enough. */
  private since = 0
  private chunks: Array<Uint8Array> = []
  private size = 0
  private more: (() => void) | undefined = undefined
  private reading: "nothing" | "whole" | "stream" = "nothing"
  private readers = 0
  private delivered = 0
  /** Why no attempt may read any more: the body is complete, or parts of another one were delivered. */
  private last: Effect.Effect<Response, BodyError> | undefined = undefined
  private stopped = false
  /** Whether the call is over, and its response left to a caller who may read it yet. */
  private detached = false
  private discarded: (() => BodyError) | undefined = undefined
  private whole: WholeResponse | undefined = undefined
  private waiting: Array<() => void> = []

  constructor(call: () => AnyFiber, handOver: (response: Response) => void, onEnd: () => void) {
    this.call = call
    this.handOver = handOver
    this.onEnd = onEnd
  }

  private get isUnread(): boolean {
    return this.reading === "nothing"
  }

  /** The caller is interrupted. It reads no response that it does not read by now. */
  abandon(): void {
    if (this.isUnread && this.exit === undefined) this.toInterrupt().interruptUnsafe()
  }

  /** Waits while another attempt of the call reads its body. A hedge has several at once. */
  turn(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.pump === undefined || this.detached ? Effect.void : Effect.andThen(this.news, this.turn())
    )
  }

  /** Reads the body of an attempt to its end. */
  hold(held: Held): Effect.Effect<Response, BodyError> {
    return Effect.suspend(() => {
      if (this.pump === undefined && this.last === undefined && this.held === undefined) return this.read(held)
      const discard = Effect.ignore(Effect.scoped(Stream.toPull(held.response.stream)))
      return Effect.flatMap(
        Effect.onInterrupt(this.turn(), () => discard),
        () => {
          if (this.last !== undefined) return Effect.andThen(discard, this.last)
          return this.isOther(held)
            ? Effect.andThen(discard, Effect.fail(held.mapError(broken(held.response, "before its first byte"))))
            : this.read(held)
        }
      )
    })
  }

  /** Whether the caller has the headers of a response that this one is no repetition of. Who reads bytes goes by its version. */
  private isOther({ response }: Held): boolean {
    const { held } = this
    if (this.handOver !== undefined || held === undefined) return false
    const compared = this.reading === "whole" ? ofContent : [...ofContent, ...ofVersion]
    return held.response.status !== response.status ||
      compared.some((name) => held.response.headers[name] !== response.headers[name])
  }

  private read(held: Held): Effect.Effect<Response, BodyError> {
    return Effect.callback<Response, BodyError>((resume) => {
      const context = Fiber.getCurrent()?.context ?? Context.empty()
      this.begin(held, context)
      const pump = Effect.runForkWith(context)(
        Stream.runForEachArray(held.response.stream, (pieces) => this.add(pieces) ?? Effect.void)
      )
      const exit = pump.pollUnsafe()
      if (exit !== undefined) return resume(this.over(held, exit))
      this.pump = pump
      let silent = false
      const wait = (): Timer.Wait | undefined => {
        if (held.idleMillis === Infinity) return undefined
        const { since } = this
        return Timer.startUnsafe(context, since + held.idleMillis - this.now(), () => {
          // A caller that takes its time is not a silent server.
          if (this.isFull && this.reading === "stream") this.since = this.now()
          if (this.since !== since) {
            timer = wait()
            return
          }
          silent = true
          pump.interruptUnsafe()
        })
      }
      let timer = wait()
      const unread = Timer.startUnsafe(context, patience, () => {
        if (this.isUnread && this.handOver === undefined) resume(this.detach(held))
      })
      pump.addObserver((exit) => {
        timer?.cancel()
        unread.cancel()
        const wentSilent = silent && Exit.isFailure(exit) && !Cause.hasDies(exit.cause)
        const settled = () => wentSilent ? this.silence(held) : exit
        if (this.detached) this.settle(settled())
        else resume(Effect.suspend(() => this.over(held, settled())))
      })
      if (this.handOver !== undefined) this.handOverLater(held, pump, context)
      return Effect.andThen(Fiber.interrupt(pump), Effect.sync(() => this.over(held, Exit.interrupt())))
    })
  }

  // A small body mostly comes with its headers. After a turn of the event loop its call is over, and nothing is left to wait for.
  private handOverLater(held: Held, pump: AnyFiber, context: Context.Context<never>): void {
    const handingOver = Effect.sync(() => {
      const { handOver } = this
      if (this.pump !== pump || handOver === undefined) return
      // The caller may run to its end in here.
      this.handOver = undefined
      handOver(this.responseOf(held))
    })
    Effect.runForkWith(context)(Effect.andThen(Effect.yieldNow, handingOver))
  }

  /**
   * Leaves the response to a caller who does not read it now: the policies must not wait for what may never be read. Nothing is
   * repeated from here on.
   */
  private detach(held: Held): Effect.Effect<Response> {
    held.response.received = this.size
    this.detached = true
    // The other attempts of a hedge are not woken: one of them would end before this one, which would be interrupted.
    const response = Effect.succeed(held.response)
    this.last = response
    return response
  }

  /** The body of a response that outlived its call has ended. */
  private settle(exit: Exit.Exit<void, BodyError>): void {
    this.pump = undefined
    this.finish(
      Exit.isSuccess(exit) || this.stopped ? Exit.void : Exit.failCause(this.causeOf(exit.cause))
    )
  }

  /** The call is over. */
  end(exit: Exit.Exit<unknown, unknown>): void {
    if (!this.detached) this.finish(exit)
  }

  private finish(exit: Exit.Exit<unknown, unknown>): void {
    this.exit = exit
    this.onEnd()
    this.wake()
  }

  /** Takes pieces from the attempt; waits while there are enough. */
  add(pieces: Pieces): Effect.Effect<void> | undefined {
    for (const piece of pieces) {
      this.chunks.push(piece)
      this.size += piece.length
    }
    this.since = this.now()
    if (this.reading === "stream") this.wake()
    return this.isFull ? Effect.callback((resume) => void (this.more = () => resume(Effect.void))) : undefined
  }

  private get isFull(): boolean {
    return this.size >= ahead && this.reading !== "whole"
  }

  private begin(held: Held, context: Context.Context<never>): void {
    this.held = held
    this.clock = Context.get(context, Clock.Clock)
    this.since = this.now()
    this.drop()
  }

  private drop(): void {
    this.chunks = []
    this.size = 0
    this.more = undefined
  }

  private now(): number {
    return Time.monotonicMillis(this.clock as Clock.Clock)
  }

  private silence({ silent }: Held): Exit.Exit<void, BodyError> {
    if (!this.isUnread) return Exit.fail(silent())
    this.discarded = silent
    this.drop()
    return Exit.void
  }

  private over(held: Held, exit: Exit.Exit<void, BodyError>): Effect.Effect<Response, BodyError> {
    if (this.held !== held || this.last !== undefined) return this.last ?? Effect.interrupt
    this.pump = undefined
    if (Exit.isSuccess(exit) || this.stopped) {
      held.response.received = this.delivered + this.size
      return this.last = Effect.succeed(
        this.handOver === undefined ? held.response : this.joined(held)
      )
    }
    const failure = this.failureOf(exit.cause)
    // Another attempt of a hedge may go on where this one has delivered nothing.
    this.wake()
    return failure
  }

  private failureOf(cause: Cause.Cause<BodyError>): Effect.Effect<never, BodyError> {
    const failure = Effect.failCause(this.causeOf(cause))
    if (this.delivered === 0) this.drop()
    else this.last = failure
    return failure
  }

  private causeOf(cause: Cause.Cause<BodyError>): Cause.Cause<BodyError> {
    const bytes = this.delivered + this.size
    return this.delivered === 0 ? cause : Cause.map(cause, (error) => partsDelivered(error, bytes))
  }

  private responseOf({ mapError, response }: Held): Response {
    return new ContinuedResponse(response, Stream.suspend(() => this.stream), this.complete(), mapError, nothing)
  }

  /** Why the body cannot be read, or not in another way. */
  private get unreadable(): BodyError | undefined {
    if (this.discarded !== undefined) return this.discarded()
    const { mapError, response } = this.held as Held
    return this.reading === "stream" ? mapError(alreadyRead(response)) : undefined
  }

  private get stream(): Stream.Stream<Uint8Array, BodyError> {
    const { unreadable } = this
    if (unreadable !== undefined) return Stream.fail(unreadable)
    if (this.reading === "whole" || this.exit !== undefined) {
      return Stream.flatMap(Stream.fromEffect(this.complete()), (whole) => whole.stream)
    }
    this.reading = "stream"
    const next: Pull.Pull<Pieces, BodyError> = Effect.suspend(() => {
      const { chunks, exit } = this
      if (Arr.isArrayNonEmpty(chunks)) {
        this.delivered += this.size
        this.chunks = []
        this.size = 0
        this.goOn()
        return Effect.succeed(chunks)
      }
      if (exit === undefined) return Effect.andThen(this.news, next)
      return Exit.isSuccess(exit) ? Cause.done() : this.failWith(exit.cause)
    })
    return Stream.fromChannel(
      Channel.fromTransform((_, scope) =>
        Effect.as(Scope.addFinalizerExit(scope, (exit) => this.leave(Exit.hasInterrupts(exit))), next)
      )
    )
  }

  /** The whole body, as often as it is asked for. */
  private complete(): Effect.Effect<WholeResponse, BodyError> {
    return Effect.suspend(() => {
      const { exit, unreadable } = this
      if (unreadable !== undefined) return Effect.fail(unreadable)
      this.reading = "whole"
      this.goOn()
      if (exit !== undefined) {
        return Exit.isSuccess(exit) ? Effect.succeed(this.joined(this.held as Held)) : this.failWith(exit.cause)
      }
      this.readers++
      const ended = Effect.onExitPrimitive(this.ended(), (exit) => {
        this.readers--
        return Exit.hasInterrupts(exit) && this.readers === 0 ? this.leave(true) : undefined
      })
      return Effect.andThen(ended, this.complete())
    })
  }

  private joined({ mapError, response }: Held): WholeResponse {
    return this.whole ??= new WholeResponse(response, concat(this.chunks, this.size), mapError)
  }

  /** Whatever the call failed with. A call that was interrupted does not interrupt who reads its response later. */
  private failWith(cause: Cause.Cause<unknown>): Effect.Effect<never, BodyError> {
    const { mapError, response } = this.held as Held
    return Cause.hasInterruptsOnly(cause)
      ? Effect.fail(mapError(broken(response, "since the call was interrupted")))
      : Effect.failCause(cause as Cause.Cause<BodyError>)
  }

  private goOn(): void {
    const { more } = this
    if (more === undefined || this.isFull) return
    this.more = undefined
    this.since = this.now()
    more()
  }

  /** The caller needs no more, or is interrupted. */
  private leave(interrupted: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.exit === undefined && (this.last === undefined || this.detached)) {
        this.stopped = this.pump !== undefined && !interrupted
        this.toInterrupt().interruptUnsafe()
      }
      return this.ended()
    })
  }

  private toInterrupt(): AnyFiber {
    return (this.stopped || this.detached ? this.pump : undefined) ?? this.call()
  }

  private ended(): Effect.Effect<void> {
    return Effect.suspend(() => this.exit === undefined ? Effect.andThen(this.news, this.ended()) : Effect.void)
  }

  private get news(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const waiter = () => resume(Effect.void)
      this.waiting.push(waiter)
      return Effect.sync(() => {
        this.waiting = this.waiting.filter((one) => one !== waiter)
      })
    })
  }

  private wake(): void {
    const { waiting } = this
    if (waiting.length === 0) return
    this.waiting = []
    for (const resume of waiting) resume()
  }
}

const ofContent = ["content-type", "content-encoding", "content-range"]

const ofVersion = ["etag", "last-modified", "content-length"]

const nothing = { beginning: [], release: Effect.void }

// The bodies of mapped responses fail with an `ApiError`, though responses have no type for that.
const partsDelivered = (error: BodyError, bytes: number): BodyError => {
  const known: unknown = error
  if (!(known instanceof ApiError.ApiError) || known.reason._tag === "PartsDelivered") return error
  const { endpoint, method, reason: failure, requestId } = known
  const reason = new ApiError.PartsDelivered({ failure, bytes })
  return new ApiError.ApiError({ method, endpoint, reason, requestId }) as unknown as BodyError
}
