import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import type * as Net from "node:net"
import type { Connection, Controls, Counts, Direction } from "../TcpRelay.ts"
import * as socket from "./socket.ts"

export interface Settings {
  readonly mode: "pass" | "hold" | "silence"
  readonly delayMillis: number
  readonly cutAfter: number
  readonly cutBy: "end" | "reset"
}

const passing: Settings = { mode: "pass", delayMillis: 0, cutAfter: Infinity, cutBy: "end" }

/** What new connections begin with, or one that is open. */
export class Ways {
  up: Settings
  down: Settings

  constructor(other?: Ways) {
    this.up = other?.up ?? passing
    this.down = other?.down ?? passing
  }

  change(direction: Direction, change: Partial<Settings>): void {
    if (direction !== "down") this.up = { ...this.up, ...change }
    if (direction !== "up") this.down = { ...this.down, ...change }
  }
}

/** Controls of all that `ways` gives, and of the links among them. */
export const controls = (ways: () => Iterable<Ways>): Controls => {
  const change = (direction: Direction, settings: Partial<Settings>) =>
    Effect.sync(() => {
      for (const each of ways()) each.change(direction, settings)
    })
  const drop = (how: "end" | "reset") =>
    Effect.sync(() => {
      for (const each of ways()) if (each instanceof Link) each.drop(how)
    })
  return {
    pass: change("both", passing),
    silence: (direction = "both") => change(direction, { mode: "silence" }),
    hold: (direction = "both") => change(direction, { mode: "hold" }),
    delay: (duration, direction = "both") =>
      change(direction, { delayMillis: Duration.toMillis(Duration.fromInputUnsafe(duration)) }),
    cutAfter: (bytes, direction, how = "end") => change(direction, { cutAfter: bytes, cutBy: how }),
    end: drop("end"),
    reset: drop("reset")
  }
}

interface Piece {
  /** `undefined` at the end of the stream. */
  readonly bytes: Uint8Array | undefined
  readonly due: number
}

type Count = (kind: "up" | "down" | "swallowed", bytes: number) => void

/** A client's connection and the one to the server that belongs to it. */
export class Link extends Ways {
  readonly connection: Connection
  private readonly counts = { up: 0, down: 0, swallowed: 0 }
  private readonly lost = { up: false, down: false }
  private readonly unheld = Latch.makeUnsafe(true)
  private readonly dropped = Deferred.makeUnsafe<void>()
  private readonly client: Net.Socket
  private readonly server: Net.Socket
  private readonly clock: Clock.Clock
  private readonly count: Count

  constructor(
    index: number,
    client: Net.Socket,
    server: Net.Socket,
    ways: Ways,
    clock: Clock.Clock,
    count: Count
  ) {
    super(ways)
    this.client = client
    this.server = server
    this.clock = clock
    this.count = count
    this.connection = {
      index,
      counts: Effect.sync((): Pick<Counts, "up" | "down" | "swallowed"> => ({ ...this.counts })),
      ...controls(() => [this])
    }
    // A broken connection shows in what is received.
    for (const side of [client, server]) side.on("error", () => {})
  }

  override change(direction: Direction, change: Partial<Settings>): void {
    super.change(direction, change)
    // Each way that waits looks whether it is the one that may go on.
    this.unheld.openUnsafe()
  }

  drop(how: "end" | "reset"): void {
    for (const side of [this.client, this.server]) {
      if (how === "end" || side.writableEnded) side.destroySoon()
      else socket.reset(side)
    }
    Deferred.doneUnsafe(this.dropped, Effect.void)
  }

  /** Passes bytes on until both ways have ended or the link is dropped. */
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

  private pump(way: "up" | "down", source: Net.Socket, sink: Net.Socket): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const pieces = yield* Queue.bounded<Piece>(16)
      yield* Effect.forkChild(this.read(way, source, pieces))
      while (true) {
        const { bytes, due } = yield* Queue.take(pieces)
        const early = due - this.clock.currentTimeMillisUnsafe()
        if (early > 0) yield* Effect.sleep(early)
        while (this[way].mode === "hold") {
          this.unheld.closeUnsafe()
          yield* this.unheld.await
        }
        const { cutAfter, cutBy, mode } = this[way]
        if (mode === "silence" || this.lost[way]) {
          this.lost[way] = true
          this.add("swallowed", bytes?.length ?? 0)
          continue
        }
        if (bytes === undefined) {
          if (!source.readableEnded) this.drop("reset")
          sink.end()
          return
        }
        const left = Math.max(0, cutAfter - this.counts[way])
        const passed = bytes.subarray(0, left)
        yield* socket.send(sink, passed)
        this.add(way, passed.length)
        if (left <= bytes.length) this.drop(cutBy)
      }
    })
  }

  private read(way: "up" | "down", source: Net.Socket, pieces: Queue.Queue<Piece>): Effect.Effect<void> {
    const next = Effect.flatMap(socket.receive(source), (bytes) => {
      const due = this.clock.currentTimeMillisUnsafe() + this[way].delayMillis
      return Effect.as(Queue.offer(pieces, { bytes, due }), bytes)
    })
    return Effect.asVoid(Effect.repeat(next, { while: (bytes) => bytes !== undefined }))
  }

  private add(kind: keyof typeof this.counts, bytes: number): void {
    this.counts[kind] += bytes
    this.count(kind, bytes)
  }
}
