import type { VirtualTime } from "../VirtualTime.ts"
import type { Chance } from "./chance.ts"
import type { Request } from "./request.ts"
import { RequestQueue } from "./requestQueue.ts"

/** How long a service takes, in milliseconds. */
export type Draw = (chance: Chance) => number

/** How a server is at a time. */
export interface State {
  readonly workers: number
  readonly failing: number
  readonly factor: number
}

/** What an outage makes of a server. */
export interface Fault {
  readonly change: (state: State) => State
  /** When it begins, all that the server has in hand is lost. */
  readonly loses?: boolean | undefined
  /** When it ends, services take `factor` times as long, and less and less for `millis`. */
  readonly cold?: { readonly factor: number; readonly millis: number } | undefined
}

/** Makes the order of a queue. */
export type Discipline = () => Order

export interface Order {
  /** Takes the next one out of a queue that is not empty. */
  readonly take: (queue: RequestQueue, nowMillis: number) => Request | undefined
  /** Whether one that was taken is to be rejected, since it has waited too long. */
  readonly rejects?: ((waitedMillis: number) => boolean) | undefined
}

export interface Settings {
  readonly workers: number
  readonly serviceTime: Draw
  readonly queue: Discipline
  readonly capacity: number
  readonly abandoned: "serve" | "drop"
  readonly slowdown: { readonly each: number; readonly most: number } | undefined
  readonly overload: { readonly above: number; readonly failing: number } | undefined
}

/**
 * What a server does in the course of a service, after its own time: it asks others, and hears whether they responded well. It asks no
 * more of them once the service is `lost`.
 */
export type Work = (ended: (succeeded: boolean) => void, priority: string, lost: () => boolean) => void

/** A server with a queue: workers that each serve one request at a time. */
export class Server {
  private readonly settings: Settings
  private readonly time: VirtualTime
  private readonly chance: Chance
  private readonly work: Work | undefined
  private readonly order: Order
  private readonly faults = new Set<Fault>()
  private state: State
  private busy = 0
  private readonly queue = new RequestQueue()
  // Services of an earlier epoch were lost.
  private epoch = 0
  private cold: { readonly factor: number; readonly from: number; readonly millis: number } | undefined = undefined
  private readonly received: Float64Array
  private readonly queues: Float64Array
  private readonly totals = { received: 0, served: 0, abandoned: 0, failed: 0, rejected: 0 }

  constructor(settings: Settings, time: VirtualTime, chance: Chance, seconds: number, work?: Work) {
    this.settings = settings
    this.time = time
    this.chance = chance
    this.work = work
    this.order = settings.queue()
    this.state = { workers: settings.workers, failing: 0, factor: 1 }
    this.received = new Float64Array(seconds + 1)
    this.queues = new Float64Array(seconds)
  }

  /** Whether it calls others in the course of a service. */
  get calls(): boolean {
    return this.work !== undefined
  }

  /** How many requests wait, with those whose callers have gone. */
  get waiting(): number {
    return this.queue.length
  }

  sample(second: number): void {
    this.queues[second] = this.queue.length
  }

  /** What it was asked and what came of it, in all and by the second. */
  result() {
    return {
      ...this.totals,
      seconds: Array.from(this.queues, (queue, second) => ({ received: this.received[second] ?? 0, queue }))
    }
  }

  receive(request: Request): void {
    const now = this.time.nowMillis()
    const second = Math.min(this.queues.length, Math.floor(now / 1000))
    this.received[second] = (this.received[second] ?? 0) + 1
    this.totals.received++
    const { capacity, overload } = this.settings
    const waiting = this.queue.length
    // One that finds a free worker does not wait.
    if (waiting >= capacity && this.busy >= this.state.workers) return this.reject(request)
    if (overload !== undefined && waiting > overload.above && this.chance() < overload.failing) {
      return this.fail(request)
    }
    request.received = now
    this.queue.add(request)
    this.serve()
  }

  /** The caller of a request has gone. */
  leave(request: Request): void {
    if (request.position >= 0) this.queue.abandon(request)
  }

  begin(fault: Fault): void {
    this.faults.add(fault)
    const lost = fault.loses === true ? this.takeAll() : []
    this.update()
    // A caller may send again as soon as it hears of it, and finds the server as it is now.
    for (const request of lost) this.fail(request)
  }

  end(fault: Fault): void {
    this.faults.delete(fault)
    if (fault.cold !== undefined) this.cold = { ...fault.cold, from: this.time.nowMillis() }
    this.update()
  }

  /** Takes out what is in service, and what waits. */
  private takeAll(): ReadonlyArray<Request> {
    this.epoch++
    this.busy = 0
    const all = [...this.inService]
    this.inService.clear()
    while (this.queue.length > 0) {
      const request = this.queue.first()
      if (request === undefined) continue
      request.position = -1
      all.push(request)
    }
    return all
  }

  private update(): void {
    this.state = { workers: this.settings.workers, failing: 0, factor: 1 }
    for (const fault of this.faults) this.state = fault.change(this.state)
    this.serve()
  }

  private readonly inService = new Set<Request>()

  private serve(): void {
    const { order, queue } = this
    while (this.busy < this.state.workers && queue.length > 0) {
      const now = this.time.nowMillis()
      const request = order.take(queue, now)
      if (request === undefined) {
        this.totals.abandoned++
        // A queue that rejects who waited too long rejects the dead with them.
        if (this.settings.abandoned === "serve" && order.rejects === undefined) this.begins(undefined)
        continue
      }
      request.position = -1
      if (order.rejects?.(now - request.received) === true) this.reject(request)
      else this.begins(request)
    }
  }

  private begins(request: Request | undefined): void {
    const fails = this.state.failing > 0 && this.chance() < this.state.failing
    const { epoch } = this
    this.busy++
    if (request !== undefined) this.inService.add(request)
    this.time.at(this.settings.serviceTime(this.chance) * this.factor(), () => {
      const lost = () => epoch !== this.epoch
      if (lost()) return
      if (this.work === undefined || fails) return this.ends(request, !fails)
      const ended = (succeeded: boolean) => {
        if (!lost()) this.ends(request, succeeded)
      }
      this.work(ended, request?.priority ?? "default", lost)
    })
  }

  private ends(request: Request | undefined, succeeded: boolean): void {
    this.busy--
    this.totals[succeeded ? "served" : "failed"]++
    if (request !== undefined) {
      this.inService.delete(request)
      request.respond(succeeded)
    }
    this.serve()
  }

  private factor(): number {
    const { slowdown, workers } = this.settings
    let { factor } = this.state
    if (slowdown !== undefined) factor *= Math.min(slowdown.most, 1 + slowdown.each * this.queue.length / workers)
    const { cold } = this
    if (cold !== undefined) {
      const warmed = (this.time.nowMillis() - cold.from) / cold.millis
      if (warmed < 1) factor *= 1 + (cold.factor - 1) * (1 - warmed)
      else this.cold = undefined
    }
    return factor
  }

  private reject(request: Request): void {
    this.totals.rejected++
    request.position = -1
    request.respond(false)
  }

  private fail(request: Request): void {
    this.totals.failed++
    request.position = -1
    request.respond(false)
  }
}
