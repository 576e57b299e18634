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
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import { broken } from "./completeness.ts"
import { type MapError, type MappedResponse, type Pieces, WholeResponse } from "./mappedResponse.ts"

export type BodyError = HttpClientError.HttpClientError

/** In bytes: how much of a body is read before it is asked for. A shorter one that is not asked for holds nothing. */
const ahead = 65_536

/** What an attempt knows of its response. `abort` ends the request; without it, a reader's waits need fibers. */
export interface Held {
  readonly response: MappedResponse
  readonly mapError: MapError
  readonly idleMillis: number
  readonly silent: () => BodyError
  readonly abort: (() => void) | undefined
}

/** Whom a body is read for. */
export interface Reader {
  readonly wants: "nothing" | "whole" | "stream"
  /** There are more bytes. */
  readonly arrived: (body: HeldBody) => void
  /** A stream can go on. */
  readonly wake: () => void
}

/**
 * The body of one attempt. A fiber of the attempt, the pump, reads it ahead and whole. The reader of a stream takes what the pump has
 * read, then pulls the rest itself, while the pump waits for the end: between the transport and the reader is no other fiber.
 */
export class HeldBody {
  readonly held: Held
  readonly context: Context.Context<never>
  /** How many bytes the reader of a stream has. */
  delivered = 0
  /** Whether its reader has left, and needs no more. */
  isStopped = false
  /** Why it cannot be read, where it was not for too long. */
  discarded: (() => BodyError) | undefined = undefined
  readonly #reader: Reader
  readonly #clock: Clock.Clock
  #chunks: Array<Uint8Array> = []
  #size = 0
  #pull: Pull.Pull<Pieces, BodyError> = Cause.done()
  #pump: Fiber.Fiber<void, BodyError> | undefined = undefined
  /** What the pump waits for: room, or the end that the reader of a stream comes to. */
  #parked: ((then: Pull.Pull<void, BodyError>) => void) | undefined = undefined
  #isPulling = false
  #isLeft = false
  #pulling: Fiber.Fiber<unknown, unknown> | undefined = undefined
  /** Since when a piece is waited for, or there is enough. */
  #since: number
  #wait: Timer.Wait | undefined = undefined
  #isSilent = false
  #joined: WholeResponse | undefined = undefined

  constructor(held: Held, context: Context.Context<never>, reader: Reader) {
    this.held = held
    this.context = context
    this.#reader = reader
    this.#clock = Context.get(context, Clock.Clock)
    this.#since = this.#now()
  }

  /** How many bytes have arrived. */
  get received(): number {
    return this.delivered + this.#size
  }

  /** The whole body, once it has arrived. */
  get whole(): WholeResponse {
    const { held: { mapError, response } } = this
    return this.#joined ??= new WholeResponse(response, concat(this.#chunks, this.#size), mapError)
  }

  /** Reads the body to its end. One that has arrived ends at once, and `onEnd` does not hear of it. */
  start(onEnd: (exit: Exit.Exit<void, BodyError>) => void): Exit.Exit<void, BodyError> | undefined {
    const scope = Scope.makeUnsafe()
    // `Stream.toPull` gives each pull a context and a semaphore, which cost more than all else here.
    const pulling = Effect.flatMap(Channel.toPullScoped(this.held.response.stream.channel, scope), (pull) => {
      this.#pull = this.held.abort === undefined ? this.#inFiber(pull) : pull
      const piece = Effect.flatMap(pull, (pieces): Pull.Pull<void, BodyError> => this.#add(pieces))
      return Pull.catchDone(Effect.forever(piece, { disableYield: true }), () => Effect.void)
    })
    const pumping = Effect.onExit(pulling, (exit) => Scope.close(scope, exit))
    const pump = Effect.runForkWith(this.context)(pumping)
    // Its reader may have left while the pump began: a body that came with its headers is handed over at once.
    if (this.#isLeft) pump.interruptUnsafe()
    const exit = pump.pollUnsafe()
    if (exit !== undefined) return exit
    this.#pump = pump
    this.#watch()
    pump.addObserver((exit) => {
      this.#wait?.cancel()
      onEnd(this.#judge(exit))
    })
    return undefined
  }

  /** Ends the reading, by the pump or by the reader of a stream. */
  get interrupt(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#endPull()
      return this.#pump === undefined ? Effect.void : Fiber.interrupt(this.#pump)
    })
  }
  interruptUnsafe(): void {
    this.#isLeft = true
    this.#endPull()
    this.#pump?.interruptUnsafe()
  }

  drop(): void {
    this.#chunks = []
    this.#size = 0
  }

  /** Goes on for a reader of the whole. The reader of a stream does that itself. */
  goOn(): void {
    if (this.#reader.wants === "whole") this.#unpark(Effect.void)
  }

  /** What has arrived, for the reader of a stream. */
  take(): Pieces | undefined {
    const chunks = this.#chunks
    if (!Arr.isArrayNonEmpty(chunks)) return undefined
    this.delivered += this.#size
    this.drop()
    return chunks
  }

  /** Whether the reader of a stream pulls the rest. */
  get isWithReader(): boolean {
    return this.#parked !== undefined && this.#reader.wants === "stream"
  }

  /** What arrives next, for the reader of a stream; `otherwise` once there is no more. */
  next(otherwise: Pull.Pull<Pieces, BodyError>): Pull.Pull<Pieces, BodyError> {
    this.#isPulling = true
    this.#since = this.#now()
    return Effect.matchCauseEffect(this.#pull, {
      onSuccess: (pieces): Pull.Pull<Pieces, BodyError> => {
        this.#isPulling = false
        for (const piece of pieces) this.delivered += piece.length
        return Effect.succeed(pieces)
      },
      onFailure: (cause): Pull.Pull<Pieces, BodyError> => {
        this.#isPulling = false
        // The reader is interrupted.
        if (Cause.hasInterrupts(cause)) return Effect.failCause(cause)
        this.#unpark(Effect.failCause(cause))
        return otherwise
      }
    })
  }

  #add(pieces: Pieces): Pull.Pull<void, BodyError> {
    for (const piece of pieces) {
      this.#chunks.push(piece)
      this.#size += piece.length
    }
    this.#since = this.#now()
    this.#reader.arrived(this)
    const { wants } = this.#reader
    return wants === "stream" || (wants === "nothing" && this.#size >= ahead) ? this.#park : Effect.void
  }

  get #park(): Pull.Pull<void, BodyError> {
    return Effect.callback((resume) => {
      this.#parked = resume
      this.#reader.wake()
    })
  }
  #unpark(then: Pull.Pull<void, BodyError>): void {
    const parked = this.#parked
    if (parked === undefined) return
    this.#parked = undefined
    this.#since = this.#now()
    parked(then)
  }

  /** A pull that can be ended from outside, where its request cannot. */
  #inFiber(pull: Pull.Pull<Pieces, BodyError>): Pull.Pull<Pieces, BodyError> {
    const { mapError, response } = this.held
    return Effect.callback((resume) => {
      const child = Effect.runForkWith(this.context)(pull)
      const exit = child.pollUnsafe()
      if (exit !== undefined) return resume(exit)
      this.#pulling = child
      child.addObserver((exit) => {
        this.#pulling = undefined
        const isEnded = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
        resume(isEnded ? Effect.fail(mapError(broken(response, "since it was given up"))) : exit)
      })
      return Fiber.interrupt(child)
    })
  }
  #endPull(): void {
    if (!this.#isPulling) return
    this.#pulling?.interruptUnsafe()
    this.held.abort?.()
  }

  // The timer that runs is left alone while pieces arrive.
  #watch(): void {
    const { idleMillis } = this.held
    const since = this.#since
    if (idleMillis === Infinity) return
    this.#wait = Timer.startUnsafe(this.context, since + idleMillis - this.#now(), () => {
      // A caller that takes its time is not a silent server.
      if (this.isWithReader && !this.#isPulling) this.#since = this.#now()
      if (this.#since !== since) return this.#watch()
      this.#isSilent = true
      if (this.#isPulling) this.#endPull()
      else this.#pump?.interruptUnsafe()
    })
  }

  #judge(exit: Exit.Exit<void, BodyError>): Exit.Exit<void, BodyError> {
    if (!this.#isSilent || Exit.isSuccess(exit) || Cause.hasDies(exit.cause)) return exit
    if (this.#reader.wants !== "nothing") return Exit.fail(this.held.silent())
    this.discarded = this.held.silent
    this.drop()
    return Exit.void
  }

  #now(): number {
    return Time.monotonicMillis(this.#clock)
  }
}
