import type { VirtualTime } from "../VirtualTime.ts"
import type { Chance } from "./chance.ts"

/** How long a service takes, in milliseconds. */
export type Draw = (chance: Chance) => number

/** How a server is at a time. */
export interface State {
  readonly workers: number
  readonly failing: number
  readonly factor: number
}

/** What an outage makes of a server. */
export type Fault = (state: State) => State

export interface Settings {
  readonly workers: number
  readonly serviceTime: Draw
  readonly queue: "fifo" | "lifo"
  readonly abandoned: "serve" | "drop"
}

/** A request in the server's queue or in service. It holds no more of its caller than what ends it. */
export interface Request {
  /** Takes the response. `undefined` once the caller has gone. */
  respond: ((succeeded: boolean) => void) | undefined
}

/** A server with a queue: workers that each serve one request at a time. */
export class Server {
  private readonly settings: Settings
  private readonly time: VirtualTime
  private readonly chance: Chance
  private readonly faults = new Set<Fault>()
  private state: State
  private busy = 0
  private queue: Array<Request | undefined> = []
  private head = 0

  constructor(settings: Settings, time: VirtualTime, chance: Chance) {
    this.settings = settings
    this.time = time
    this.chance = chance
    this.state = { workers: settings.workers, failing: 0, factor: 1 }
  }

  /** How many requests wait, with those whose callers have gone. */
  get waiting(): number {
    return this.queue.length - this.head
  }

  receive(request: Request): void {
    this.queue.push(request)
    this.serve()
  }

  begin(fault: Fault): void {
    this.faults.add(fault)
    this.update()
  }

  end(fault: Fault): void {
    this.faults.delete(fault)
    this.update()
  }

  private update(): void {
    this.state = { workers: this.settings.workers, failing: 0, factor: 1 }
    for (const fault of this.faults) this.state = fault(this.state)
    this.serve()
  }

  private serve(): void {
    while (this.busy < this.state.workers && this.waiting > 0) {
      const request = this.take()
      if (request === undefined || (request.respond === undefined && this.settings.abandoned === "drop")) continue
      const fails = this.state.failing > 0 && this.chance() < this.state.failing
      this.busy++
      this.time.at(this.settings.serviceTime(this.chance) * this.state.factor, () => {
        this.busy--
        request.respond?.(!fails)
        this.serve()
      })
    }
  }

  private take(): Request | undefined {
    if (this.settings.queue === "lifo") return this.queue.pop()
    const request = this.queue[this.head]
    this.queue[this.head++] = undefined
    // Half of the array is behind the head.
    if (this.head > 1024 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head)
      this.head = 0
    }
    return request
  }
}
