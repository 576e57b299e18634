import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as ApiError from "@effect-resilience/errors/ApiError"
import type * as Direct from "@effect-resilience/kernel/Direct"
import * as Time from "@effect-resilience/kernel/Time"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Keeper } from "../KeptResponse.ts"
import { broken } from "./completeness.ts"
import { type BodyError, type Held, HeldBody, type Reader } from "./heldBody.ts"
import { alreadyRead, ContinuedResponse, type Pieces, type WholeResponse } from "./mappedResponse.ts"

type Response = HttpClientResponse.HttpClientResponse
type Result = Effect.Effect<Response, BodyError>

/** In milliseconds: how long a call waits for a caller that has the response to ask for its body. */
const patience = 100

/** In bytes: a body that has as many does not end within the turn in which its headers came. */
const large = 16_384

/**
 * What a call has of its response. `Lifetime.to` is the only way from one to another.
 *
 * - `Waiting`: no body. Headers are awaited, those of a repetition among them; or the response had no body to wait for.
 * - `Reading`: an attempt reads its body.
 * - `Done`: no attempt may read any more, since the body has ended or parts of it were delivered. The policies hear of that.
 * - `Left`: the call is over; its body is left to a caller who may read it yet.
 * - `Ended`: the call is over, and so is the body that it left.
 */
type State =
  | { readonly _tag: "Waiting" }
  | { readonly _tag: "Reading"; readonly body: HeldBody }
  | { readonly _tag: "Done"; readonly result: Result }
  | { readonly _tag: "Left"; readonly body: HeldBody; readonly result: Result }
  | { readonly _tag: "Ended"; readonly exit: Exit.Exit<unknown, unknown> }

/** What a call is to its caller. */
export interface Caller {
  readonly call: () => Direct.Running<unknown>
  readonly handOver: (response: Response) => void
  readonly onEnd: () => void
  /** The deadline that is the caller's own. */
  readonly deadline: Deadline.Deadline
  /** Who wants the response, whatever its status. */
  readonly kept: Keeper | undefined
}

/**
 * One call whose attempts end with the bodies of their responses.
 *
 * An attempt holds its body until that has ended, and the caller, who has the response since its headers came, takes what was read.
 * So a body that breaks is a failure of the attempt like any other, which a retry repeats as long as nothing was taken.
 */
export class Lifetime implements Reader {
  /** How the caller reads, whichever attempt has the body. */
  wants: Reader["wants"] = "nothing"
  readonly #caller: Caller
  readonly kept: Keeper | undefined
  #state: State = waiting
  /** Whether the caller has the headers of a response. */
  isHandedOver = false
  /** The body whose headers the caller has, or would get. */
  #latest: HeldBody | undefined = undefined
  /** When the headers of `latest` had arrived. */
  #respondedAt = 0
  #readers = 0
  #resumeDeadline: (() => void) | undefined = undefined
  #waiters: Array<() => void> = []

  constructor(caller: Caller) {
    this.#caller = caller
    this.kept = caller.kept
  }

  /** Whether an attempt of the call reads its body. */
  get isReading(): boolean {
    return this.#state._tag === "Reading"
  }

  /** Waits while another attempt of the call reads its body. A hedge has several at once. */
  turn(): Effect.Effect<void> {
    return Effect.suspend(() => this.isReading ? Effect.andThen(this.#news, this.turn()) : Effect.void)
  }

  /** Reads the body of an attempt to its end. */
  hold(held: Held): Result {
    return Effect.suspend(() => {
      const state = this.#state
      const discard = Effect.ignore(Effect.scoped(Stream.toPull(held.response.stream)))
      switch (state._tag) {
        case "Reading":
          return Effect.andThen(Effect.onInterrupt(this.turn(), () => discard), this.hold(held))
        case "Waiting":
          return this.#isOther(held)
            ? Effect.andThen(discard, Effect.fail(held.mapError(broken(held.response, "before its first byte"))))
            : this.#read(held)
        case "Ended":
          return Effect.andThen(discard, Effect.interrupt)
        default:
          return Effect.andThen(discard, state.result)
      }
    })
  }

  /** The call is over. */
  end(exit: Exit.Exit<unknown, unknown>): void {
    if (this.#state._tag !== "Left") this.#to({ _tag: "Ended", exit })
  }

  /** The caller is interrupted. It reads no response that it does not read by now. */
  abandon(): void {
    if (this.wants === "nothing") this.#giveUp()
  }

  arrived(body: HeldBody): void {
    if (body.received >= large) this.#handOver(body)
  }

  wake(): void {
    const waiters = this.#waiters
    if (waiters.length === 0) return
    this.#waiters = []
    for (const resume of waiters) resume()
  }

  /** Every transition. What has ended stays so. */
  #to(next: State): void {
    if (this.#state._tag === "Ended") return
    this.#state = next
    if (next._tag === "Reading") {
      this.#latest = next.body
      if (this.wants === "stream") this.#suspendDeadline(next.body)
    } else if (next._tag === "Ended") {
      this.#caller.onEnd()
      this.wake()
    }
  }

  /** Whether the caller has the headers of a response that this one is no repetition of. Who reads bytes goes by its version. */
  #isOther({ response }: Held): boolean {
    const shown = this.#latest?.held.response
    if (!this.isHandedOver || shown === undefined) return false
    const compared = this.wants === "whole" ? ofContent : [...ofContent, ...ofVersion]
    return shown.status !== response.status || compared.some((name) => shown.headers[name] !== response.headers[name])
  }

  #read(held: Held): Result {
    return Effect.callback<Response, BodyError>((resume) => {
      const context = Fiber.getCurrent()?.context ?? Context.empty()
      const body = new HeldBody(held, context, this)
      this.#respondedAt = Time.nowUnsafe(context)
      this.#to({ _tag: "Reading", body })
      Context.get(context, Attempt.Responding)()
      const exit = body.start((exit) => {
        unread.cancel()
        if (this.#state._tag === "Left") this.#to({ _tag: "Ended", exit: ofBody(body, exit) })
        else resume(Effect.suspend(() => this.#over(body, exit)))
      })
      if (exit !== undefined) return resume(this.#over(body, exit))
      const unread = Timer.startUnsafe(context, patience, () => {
        if (this.wants === "nothing" && this.isHandedOver) resume(this.#leaveToCaller(body))
      }, this.#respondedAt)
      // A small body mostly comes with its headers. After a turn of the event loop its call is over, and nothing is left to wait for.
      if (!this.isHandedOver) {
        Effect.runForkWith(context)(Effect.andThen(Effect.yieldNow, Effect.sync(() => this.#handOver(body))))
      }
      return Effect.andThen(body.interrupt, Effect.sync(() => this.#over(body, Exit.interrupt())))
    })
  }

  /** Gives the caller a response whose body is being read. */
  #handOver(body: HeldBody): void {
    const state = this.#state
    if (this.isHandedOver || state._tag !== "Reading" || state.body !== body) return
    // The caller may run to its end in here.
    this.isHandedOver = true
    const { mapError, response } = body.held
    this.#caller.handOver(
      new ContinuedResponse(response, Stream.suspend(() => this.#stream), this.#complete(), mapError, nothing)
    )
  }

  /**
   * Leaves the response to a caller who does not read it now: the policies must not wait for what may never be read. Nothing is
   * repeated from here on.
   */
  #leaveToCaller(body: HeldBody): Result {
    const { response } = body.held
    response.received = body.received
    const result = Effect.succeed(Time.responded(response, this.#respondedAt))
    this.#to({ _tag: "Left", body, result })
    return result
  }

  /** The body of an attempt has ended. */
  #over(body: HeldBody, exit: Exit.Exit<void, BodyError>): Result {
    const state = this.#state
    if (state._tag !== "Reading" || state.body !== body) {
      return state._tag === "Done" || state._tag === "Left" ? state.result : Effect.interrupt
    }
    const judged = ofBody(body, exit)
    const { response } = body.held
    if (this.wants === "stream") {
      // The reader's pace is no matter of the server's.
      const failed = Exit.isFailure(judged) ? judged.cause.reasons.find(Cause.isFailReason)?.error : undefined
      Time.responded(failed ?? response, this.#respondedAt)
    }
    if (Exit.isFailure(judged)) {
      const failure = Exit.failCause(judged.cause)
      if (body.delivered > 0) this.#to({ _tag: "Done", result: failure })
      else {
        body.drop()
        // What is repeated has to come in time, like the first attempt.
        if (!Exit.hasInterrupts(exit)) this.#resumeDeadline?.()
        this.#to(waiting)
      }
      // Another attempt of a hedge may go on, or finds that there is nothing more to read.
      this.wake()
      return failure
    }
    response.received = body.received
    // The other attempts of a hedge are not woken: one of them would end before this one, which would be interrupted.
    const result = Effect.succeed(this.isHandedOver ? response : body.whole)
    this.#to({ _tag: "Done", result })
    return result
  }

  /** Why the body cannot be read, or not in another way. */
  get #unreadable(): BodyError | undefined {
    const { discarded, held: { mapError, response } } = this.#latest as HeldBody
    return discarded?.() ?? (this.wants === "stream" ? mapError(alreadyRead(response)) : undefined)
  }

  get #stream(): Stream.Stream<Uint8Array, BodyError> {
    const unreadable = this.#unreadable
    if (unreadable !== undefined) return Stream.fail(unreadable)
    if (this.wants === "whole" || this.#state._tag === "Ended") {
      return Stream.flatMap(Stream.fromEffect(this.#complete()), (whole) => whole.stream)
    }
    this.wants = "stream"
    if (this.#state._tag === "Reading") this.#suspendDeadline(this.#state.body)
    const next: Pull.Pull<Pieces, BodyError> = Effect.suspend(() => {
      const body = this.#latest as HeldBody
      const pieces = body.take()
      if (pieces !== undefined) return Effect.succeed(pieces)
      if (this.#state._tag === "Ended") {
        const { exit } = this.#state
        return Exit.isSuccess(exit) ? Cause.done() : this.#failWith(exit.cause)
      }
      return body.isWithReader ? body.next(next) : Effect.andThen(this.#news, next)
    })
    return Stream.fromChannel(
      Channel.fromTransform((_, scope) =>
        Effect.as(Scope.addFinalizerExit(scope, (exit) => this.#leave(Exit.hasInterrupts(exit))), next)
      )
    )
  }

  /** The whole body, as often as it is asked for. */
  #complete(): Effect.Effect<WholeResponse, BodyError> {
    return Effect.suspend(() => {
      const state = this.#state
      const unreadable = this.#unreadable
      if (unreadable !== undefined) return Effect.fail(unreadable)
      const body = this.#latest as HeldBody
      this.wants = "whole"
      body.goOn()
      if (state._tag === "Ended") {
        return Exit.isSuccess(state.exit) ? Effect.succeed(body.whole) : this.#failWith(state.exit.cause)
      }
      this.#readers++
      const ended = Effect.onExitPrimitive(this.#ended(), (exit) => {
        this.#readers--
        return Exit.hasInterrupts(exit) && this.#readers === 0 ? this.#leave(true) : undefined
      })
      return Effect.andThen(ended, this.#complete())
    })
  }

  /** Whatever the call failed with. A call that was interrupted does not interrupt who reads its response later. */
  #failWith(cause: Cause.Cause<unknown>): Effect.Effect<never, BodyError> {
    const { mapError, response } = (this.#latest as HeldBody).held
    return Cause.hasInterruptsOnly(cause)
      ? Effect.fail(mapError(broken(response, "since the call was interrupted")))
      : Effect.failCause(cause as Cause.Cause<BodyError>)
  }

  /** The reader needs no more, or is interrupted. */
  #leave(interrupted: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      const state = this.#state
      if (!interrupted && (state._tag === "Reading" || state._tag === "Left")) {
        state.body.isStopped = true
        state.body.interruptUnsafe()
      } else this.#giveUp()
      return this.#ended()
    })
  }

  /** Ends what still runs for a caller that is interrupted. */
  #giveUp(): void {
    const state = this.#state
    if (state._tag === "Left") state.body.interruptUnsafe()
    else if (state._tag !== "Done" && state._tag !== "Ended") this.#caller.call().interruptUnsafe()
  }

  /** How long a stream lasts is no matter of the call's deadline, only of the limit between two pieces. The caller's own goes on. */
  #suspendDeadline({ context }: HeldBody): void {
    const deadline = Context.get(context, Deadline.Current)
    if (deadline !== this.#caller.deadline) this.#resumeDeadline = Deadline.suspendUnsafe(deadline)
  }

  #ended(): Effect.Effect<void> {
    return Effect.suspend(() => this.#state._tag === "Ended" ? Effect.void : Effect.andThen(this.#news, this.#ended()))
  }

  get #news(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const waiter = () => resume(Effect.void)
      this.#waiters.push(waiter)
      return Effect.sync(() => {
        this.#waiters = this.#waiters.filter((one) => one !== waiter)
      })
    })
  }
}

const waiting: State = { _tag: "Waiting" }

const ofContent = ["content-type", "content-encoding", "content-range"]

const ofVersion = ["etag", "last-modified", "content-length"]

const nothing = { beginning: [], release: Effect.void }

/** How a body ended, for its policies and its reader. */
const ofBody = (body: HeldBody, exit: Exit.Exit<void, BodyError>): Exit.Exit<void, BodyError> => {
  if (Exit.isSuccess(exit) || body.isStopped) return Exit.void
  const { delivered, received } = body
  return delivered === 0 ? exit : Exit.failCause(Cause.map(exit.cause, (error) => partsDelivered(error, received)))
}

// The bodies of mapped responses fail with an `ApiError`, though responses have no type for that.
const partsDelivered = (error: BodyError, bytes: number): BodyError => {
  const known: unknown = error
  if (!(known instanceof ApiError.ApiError) || known.reason._tag === "PartsDelivered") return error
  const { endpoint, method, reason: failure, requestId } = known
  const reason = new ApiError.PartsDelivered({ failure, bytes })
  return new ApiError.ApiError({ method, endpoint, reason, requestId }) as unknown as BodyError
}
