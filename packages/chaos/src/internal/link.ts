import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Net from "node:net"
import type { Condition, Connected, Direction, RelayFault } from "../RelayFault.ts"
import type { Chance } from "./chance.ts"
import * as socket from "./socket.ts"

export const passing: Condition = {
  mode: "pass",
  latency: undefined,
  bytesPerSecond: Infinity,
  cutAfter: Infinity,
  cutBy: "end",
  closeAfter: 0
}

/** The conditions of both directions, as the controls set them: of an open connection, or of those to come. */
export class Conditions {
  up: Condition
  down: Condition

  constructor(other?: Conditions) {
    this.up = other?.up ?? passing
    this.down = other?.down ?? passing
  }

  change(direction: Direction, change: Partial<Condition>): void {
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
  readonly connected: Connected
  private readonly faults = new Set<RelayFault>()
  private readonly lost = { up: false, down: false }
  private readonly dropped = Deferred.makeUnsafe<void>()
  private readonly closed = Deferred.makeUnsafe<void>()
  private changed = Deferred.makeUnsafe<void>()
  private readonly client: Net.Socket
  private readonly server: Net.Socket
  private readonly clock: Clock.Clock
  private readonly chance: Chance
  private readonly count: Count

  constructor(
    index: number,
    client: Net.Socket,
    server: Net.Socket,
    conditions: Conditions,
    clock: Clock.Clock,
    chance: Chance,
    count: Count
  ) {
    super(conditions)
    this.connected = { index, port: client.remotePort ?? 0 }
    this.client = client
    this.server = server
    this.clock = clock
    this.chance = chance
    this.count = count
    for (const side of [client, server]) {
      // `receive` ends on a broken connection.
      side.on("error", () => {})
      side.on("close", () => {
        if (!client.destroyed || !server.destroyed) return
        // A pump that holds bytes back does not read the end.
        Deferred.doneUnsafe(this.dropped, Effect.void)
        Deferred.doneUnsafe(this.closed, Effect.void)
      })
    }
  }

  override change(direction: Direction, change: Partial<Condition>): void {
    super.change(direction, change)
    this.wake()
  }

  strike(fault: RelayFault): void {
    this.faults.add(fault)
    if (fault.at === "end" || fault.at === "reset") this.drop(fault.at)
    else if (fault.at !== undefined) this.lose(fault.at === "lose-client" ? "client" : "server")
    this.wake()
  }

  spare(fault: RelayFault): void {
    if (this.faults.delete(fault)) this.wake()
  }

  drop(how: "end" | "reset"): void {
    for (const side of [this.client, this.server]) {
      if (how === "end" || side.writableEnded) side.destroySoon()
      else socket.reset(side)
    }
    Deferred.doneUnsafe(this.dropped, Effect.void)
  }

  /** Closes both sides now, whatever is left to send. */
  close(): void {
    for (const side of [this.client, this.server]) {
      if (side.writableFinished) side.destroy()
      else socket.reset(side)
    }
  }

  /** Resets one side, and the other does not hear of it. */
  lose(side: "client" | "server"): void {
    this.lost.up = true
    this.lost.down = true
    socket.reset(this[side])
    this.wake()
  }

  /** Passes bytes on until both directions have ended or the link is dropped, and waits until both sides are closed. */
  get run(): Effect.Effect<void> {
    const both = Effect.all([this.pump("up", this.client, this.server), this.pump("down", this.server, this.client)], {
      concurrency: 2,
      discard: true
    })
    const passed = Effect.raceFirst(
      Effect.andThen(both, Effect.sync(() => this.drop("end"))),
      Deferred.await(this.dropped)
    )
    return Effect.ensuring(
      Effect.andThen(passed, Deferred.await(this.closed)),
      Effect.sync(() => this.close())
    )
  }

  /** Wakes what waits under conditions that have changed. */
  private wake(): void {
    const { changed } = this
    this.changed = Deferred.makeUnsafe()
    Deferred.doneUnsafe(changed, Effect.void)
  }

  /** The conditions that are in force: the hardest of each. */
  private *conditions(direction: "up" | "down"): Iterable<Partial<Condition>> {
    yield this[direction]
    for (const fault of this.faults) {
      if (fault.direction === direction || fault.direction === "both") yield fault.condition
    }
  }

  private mode(direction: "up" | "down"): Condition["mode"] {
    let hardest: Condition["mode"] = this.lost[direction] ? "silence" : "pass"
    for (const { mode } of this.conditions(direction)) {
      if (mode === "silence" || (mode === "hold" && hardest === "pass")) hardest = mode
    }
    return hardest
  }

  private latency(direction: "up" | "down"): number {
    let sum = 0
    for (const { latency } of this.conditions(direction)) sum += latency?.sample(this.chance) ?? 0
    return sum
  }

  private isLate(direction: "up" | "down"): boolean {
    for (const { latency } of this.conditions(direction)) if (latency !== undefined) return true
    return false
  }

  private rate(direction: "up" | "down"): number {
    let least = Infinity
    for (const { bytesPerSecond = Infinity } of this.conditions(direction)) least = Math.min(least, bytesPerSecond)
    return least
  }

  private cut(direction: "up" | "down"): Pick<Condition, "cutAfter" | "cutBy"> {
    let first: Pick<Condition, "cutAfter" | "cutBy"> = passing
    for (const { cutAfter = Infinity, cutBy = "end" } of this.conditions(direction)) {
      if (cutAfter < first.cutAfter) first = { cutAfter, cutBy }
    }
    return first
  }

  private closeAfter(direction: "up" | "down"): number {
    let most = 0
    for (const { closeAfter = 0 } of this.conditions(direction)) most = Math.max(most, closeAfter)
    return most
  }

  /** Sleeps for as long as `left` says, and asks again after each change. */
  private sleepWhile(left: () => number): Effect.Effect<void> {
    const once = Effect.suspend(() => {
      const millis = left()
      // A clock of whole nanoseconds may not come closer.
      if (!(millis > 1e-3)) return Effect.succeed(false)
      const changed = Deferred.await(this.changed)
      return Effect.as(millis === Infinity ? changed : Effect.raceFirst(Effect.sleep(millis), changed), true)
    })
    return Effect.asVoid(Effect.repeat(once, { while: (waited) => waited }))
  }

  private pump(direction: "up" | "down", source: Net.Socket, sink: Net.Socket): Effect.Effect<void> {
    const now = () => this.now()
    /** Waits while bytes are held. Whether they vanish then. */
    const swallows = Effect.map(
      this.sleepWhile(() => this.mode(direction) === "hold" ? Infinity : 0),
      () => this.lost[direction] = this.mode(direction) === "silence"
    )
    return Effect.gen({ self: this }, function*() {
      const pieces = yield* Queue.bounded<Piece>(16)
      yield* Effect.forkChild(this.read(direction, source, pieces))
      while (true) {
        const { bytes, due } = yield* Queue.take(pieces)
        yield* this.sleepWhile(() => this.isLate(direction) ? due - now() : 0)
        if (bytes === undefined) {
          const from = now()
          yield* this.sleepWhile(() => from + this.closeAfter(direction) - now())
        }
        if (bytes === undefined) {
          // The link ends when both peers have ended: then neither of them can notice.
          if (yield* swallows) return
          if (!source.readableEnded) this.drop("reset")
          sink.end()
          return
        }
        for (let rest = bytes; rest.length > 0;) {
          if (yield* swallows) {
            this.add("swallowed", rest.length)
            break
          }
          const rate = this.rate(direction)
          const slice = rate === Infinity ? rest : rest.subarray(0, Math.max(1, Math.floor(rate / slicesPerSecond)))
          const { cutAfter, cutBy } = this.cut(direction)
          const left = Math.max(0, cutAfter - this.counts[direction])
          const passed = slice.subarray(0, left)
          yield* socket.send(sink, passed)
          this.add(direction, passed.length)
          if (left <= slice.length) {
            this.drop(cutBy)
            break
          }
          rest = rest.subarray(slice.length)
          const from = now()
          yield* this.sleepWhile(() => from + slice.length / this.rate(direction) * 1000 - now())
        }
      }
    })
  }

  private read(direction: "up" | "down", source: Net.Socket, pieces: Queue.Queue<Piece>): Effect.Effect<void> {
    let last = 0
    const next = Effect.flatMap(socket.receive(source), (bytes) => {
      // A stream has an order: what comes later is not earlier.
      last = Math.max(last, this.now() + this.latency(direction))
      return Effect.as(Queue.offer(pieces, { bytes, due: last }), bytes)
    })
    return Effect.asVoid(Effect.repeat(next, { while: (bytes) => bytes !== undefined }))
  }

  /** Monotonic: a machine's time of day may be set back while bytes wait. */
  private now(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  private add(kind: keyof typeof this.counts, bytes: number): void {
    this.counts[kind] += bytes
    this.count(kind, bytes)
  }
}

/** In how many slices a second bytes pass where a bandwidth limits them. */
const slicesPerSecond = 50
