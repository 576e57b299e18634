import type { LimitAlgorithm } from "@effect-resilience/limit"

/**
 * A server behind a limit, as plain events in virtual time: `workers` calls at once, each taking `service`, the others in a queue,
 * first in, first out. Clients give up after a second, and the server works for them nonetheless.
 */
export interface Server {
  readonly workers: number
  readonly service: keyof typeof services
  /** How many times what the server can do is offered. */
  readonly load: number
  /** By what the workers change in the middle. */
  readonly change: number
}

/** Service times with a mean of 100 ms. */
const services = {
  exponential: (random: Draw) => -100 * Math.log(1 - random()),
  constant: () => 100,
  bimodal: (random: Draw) => random() < 0.9 ? 50 : 550
}

export const serviceTimes = ["exponential", "constant", "bimodal"] as const

type Draw = () => number

const clientTimeout = 1000
const warmUp = 30_000
const middle = 70_000
const seconds = 100

/** What came back in time, in calls a second and with their mean round trip, after half a minute. */
export const run = (server: Server, estimator: LimitAlgorithm.Estimator, seed: number) => {
  const [arrival, service, chance] = [draws(seed), draws(seed + 1000), draws(seed + 2000)]
  const events = new Events()
  const queue: Array<Call> = []
  const rate = server.load * server.workers / 100
  let { workers } = server
  let head = 0
  let busy = 0
  let running = 0
  let good = 0
  let total = 0

  const end = (call: Call, dropped: boolean) => {
    call.open = false
    running--
    const rttMillis = events.now - call.at
    if (!dropped && events.now >= warmUp) {
      good++
      total += rttMillis
    }
    estimator.record({ nowMillis: events.now, rttMillis, inFlight: call.inFlight, dropped, random: chance })
  }
  const work = () => {
    for (let call = queue[head]; call !== undefined && busy < workers; call = queue[head]) {
      const served = call
      head++
      busy++
      events.after(services[server.service](service), () => {
        busy--
        if (served.open) end(served, false)
        work()
      })
    }
  }
  const arrive = () => {
    events.after(-Math.log(1 - arrival()) / rate, arrive)
    if (running >= estimator.limit) return
    const call = { at: events.now, inFlight: ++running, open: true }
    queue.push(call)
    events.after(clientTimeout, () => call.open && end(call, true))
    work()
  }

  arrive()
  events.after(middle, () => {
    workers = Math.round(workers * server.change)
    work()
  })
  events.run(seconds * 1000)
  return { goodput: good / (seconds - warmUp / 1000), millis: total / good }
}

interface Call {
  readonly at: number
  readonly inFlight: number
  open: boolean
}

/** The best that a fixed limit achieves. */
export const best = (server: Server, seed: number): number =>
  Math.max(...[1.15, 1.75, 4].map((factor) => {
    const limit = Math.round(server.workers * factor)
    return run(server, { limit, record: () => {} }, seed).goodput
  }))

const draws = (seed: number): Draw => {
  let state = seed
  return () => {
    state = (state + 0x9E3779B9) | 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21F0AAAD)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735A2D97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
}

/** Events in the order of their times: a binary heap. */
class Events {
  now = 0
  private readonly heap: Array<{ readonly at: number; readonly run: () => void }> = []

  after(millis: number, run: () => void) {
    const event = { at: this.now + millis, run }
    let hole = this.heap.length
    for (let parent; hole > 0; hole = parent) {
      parent = (hole - 1) >> 1
      const above = this.heap[parent]
      if (above === undefined || above.at <= event.at) break
      this.heap[hole] = above
    }
    this.heap[hole] = event
  }

  run(until: number) {
    for (let first = this.heap[0]; first !== undefined && first.at <= until; first = this.heap[0]) {
      this.removeFirst()
      this.now = first.at
      first.run()
    }
  }

  private removeFirst() {
    const last = this.heap.pop()
    if (last === undefined || this.heap.length === 0) return
    let hole = 0
    for (;;) {
      let child = 2 * hole + 1
      const left = this.heap[child]
      const right = this.heap[child + 1]
      const least = right !== undefined && left !== undefined && right.at < left.at ? right : left
      if (least === right) child++
      if (least === undefined || least.at >= last.at) break
      this.heap[hole] = least
      hole = child
    }
    this.heap[hole] = last
  }
}
