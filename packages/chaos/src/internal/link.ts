import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import type * as Net from "node:net"
import * as socket from "./socket.ts"

/** How the bytes of one direction are treated. */
export interface Condition {
  readonly mode: "pass" | "hold" | "silence"
  readonly delayMillis: number
  readonly cutAfter: number
  readonly cutBy: "end" | "reset"
}

export const passing: Condition = { mode: "pass", delayMillis: 0, cutAfter: Infinity, cutBy: "end" }

/** The conditions of both directions: of an open connection, or of those to come. */
export class Conditions {
  up: Condition
  down: Condition

  constructor(other?: Conditions) {
    this.up = other?.up ?? passing
    this.down = other?.down ?? passing
  }

  change(direction: "up" | "down" | "both", change: Partial<Condition>): void {
    if (direction !== "down") this.up = { ...this.up, ...change }
    if (direction !== "up") this.down = { ...this.down, ...change }
  }
}

interface Piece {
  /** `undefined` at the end of the stream. */
  readonly bytes: Uint8Array | undefined
  readonly due: number
}

type Count = (kind: "up" | "down" | "swallowed", bytes: number) => void

/** A client's connection, and the relay's own connection to the server. */
export class Link extends Conditions {
  readonly counts = { up: 0, down: 0, swallowed: 0 }
  private readonly lost = { up: false, down: false }
  private readonly unheld = Latch.makeUnsafe(true)
  private readonly dropped = Deferred.makeUnsafe<void>()
  private readonly client: Net.Socket
  private readonly server: Net.Socket
  private readonly clock: Clock.Clock
  private readonly count: Count

  constructor(
    client: Net.Socket,
    server: Net.Socket,
    conditions: Conditions,
    clock: Clock.Clock,
    count: Count
  ) {
    super(conditions)
    this.client = client
    this.server = server
    this.clock = clock
    this.count = count
    // `receive` ends on a broken connection.
    for (const side of [client, server]) side.on("error", () => {})
  }

  override change(direction: "up" | "down" | "both", change: Partial<Condition>): void {
    super.change(direction, change)
    // Each direction that waits checks whether it is still held.
    this.unheld.openUnsafe()
  }

  drop(how: "end" | "reset"): void {
    for (const side of [this.client, this.server]) {
      if (how === "end" || side.writableEnded) side.destroySoon()
      else socket.reset(side)
    }
    Deferred.doneUnsafe(this.dropped, Effect.void)
  }

  /** Passes bytes on until both directions have ended or the link is dropped. */
  get run(): Effect.Effect<void> {
    const both = Effect.all([this.pump("up", this.client, this.server), this.pump("down", this.server, this.client)], {
      concurrency: 2,
      discard: true
    })
    return Effect.ensuring(
      Effect.raceFirst(Effect.andThen(both, Effect.sync(() => this.drop("end"))), Deferred.await(this.dropped)),
      Effect.sync(() => this.drop("reset"))
    )
  }

  private pump(direction: "up" | "down", source: Net.Socket, sink: Net.Socket): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const pieces = yield* Queue.bounded<Piece>(16)
      yield* Effect.forkChild(this.read(direction, source, pieces))
      while (true) {
        const { bytes, due } = yield* Queue.take(pieces)
        const early = due - this.clock.currentTimeMillisUnsafe()
        if (early > 0) yield* Effect.sleep(early)
        while (this[direction].mode === "hold") {
          this.unheld.closeUnsafe()
          yield* this.unheld.await
        }
        const { cutAfter, cutBy, mode } = this[direction]
        if (mode === "silence" || this.lost[direction]) {
          this.lost[direction] = true
          this.add("swallowed", bytes?.length ?? 0)
          continue
        }
        if (bytes === undefined) {
          if (!source.readableEnded) this.drop("reset")
          sink.end()
          return
        }
        const left = Math.max(0, cutAfter - this.counts[direction])
        const passed = bytes.subarray(0, left)
        yield* socket.send(sink, passed)
        this.add(direction, passed.length)
        if (left <= bytes.length) this.drop(cutBy)
      }
    })
  }

  private read(direction: "up" | "down", source: Net.Socket, pieces: Queue.Queue<Piece>): Effect.Effect<void> {
    const next = Effect.flatMap(socket.receive(source), (bytes) => {
      const due = this.clock.currentTimeMillisUnsafe() + this[direction].delayMillis
      return Effect.as(Queue.offer(pieces, { bytes, due }), bytes)
    })
    return Effect.asVoid(Effect.repeat(next, { while: (bytes) => bytes !== undefined }))
  }

  private add(kind: keyof typeof this.counts, bytes: number): void {
    this.counts[kind] += bytes
    this.count(kind, bytes)
  }
}
