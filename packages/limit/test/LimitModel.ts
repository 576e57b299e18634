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
export const run = (server: Server, estimator: LimitAlgorithm.Estimator, seed: number): Result => {
  const [arrival, service, chance] = [draws(seed), draws(seed + 1000), draws(seed + 2000)]
  const serve = services[server.service]
  const rate = server.load * server.workers / 100
  // Calls in the order in which they came, and thereby in that in which they are served and in which clients give up.
  const calls: Array<Call> = []
  const busy = new Busy()
  let { workers } = server
  let arrivesAt = 0
  let changesAt = middle
  let served = 0
  let timedOut = 0
  let running = 0
  let good = 0
  let total = 0

  const end = (call: Call, nowMillis: number, dropped: boolean) => {
    call.open = false
    running--
    const rttMillis = nowMillis - call.at
    if (!dropped && nowMillis >= warmUp) {
      good++
      total += rttMillis
    }
    estimator.record({ nowMillis, rttMillis, inFlight: call.inFlight, dropped, random: chance })
  }
  const work = (now: number) => {
    for (let call = calls[served]; call !== undefined && busy.size < workers; call = calls[served]) {
      served++
      busy.add(now + serve(service), call)
    }
  }

  for (;;) {
    while (calls[timedOut]?.open === false) timedOut++
    const impatient = calls[timedOut]
    const gone = impatient === undefined ? Infinity : impatient.at + clientTimeout
    const now = Math.min(arrivesAt, busy.first, gone, changesAt)
    if (now > seconds * 1000) return { goodput: good / (seconds - warmUp / 1000), millis: total / good }
    if (now === busy.first) {
      const call = busy.removeFirst()
      if (call.open) end(call, now, false)
      work(now)
    } else if (impatient !== undefined && now === gone) {
      end(impatient, now, true)
    } else if (now === changesAt) {
      changesAt = Infinity
      workers = Math.round(workers * server.change)
      work(now)
    } else {
      arrivesAt -= Math.log(1 - arrival()) / rate
      if (running < estimator.limit) {
        calls.push({ at: now, inFlight: ++running, open: true })
        work(now)
      }
    }
  }
}

interface Result {
  readonly goodput: number
  readonly millis: number
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

/** The calls that the server works on, by the times at which it is done with them: a binary heap. */
class Busy {
  private readonly heap: Array<{ readonly at: number; readonly call: Call }> = []

  get size() {
    return this.heap.length
  }

  /** When it is done with the first. */
  get first() {
    return this.heap[0]?.at ?? Infinity
  }

  add(at: number, call: Call) {
    const done = { at, call }
    let hole = this.heap.length
    for (let parent; hole > 0; hole = parent) {
      parent = (hole - 1) >> 1
      const above = this.heap[parent]
      if (above === undefined || above.at <= at) break
      this.heap[hole] = above
    }
    this.heap[hole] = done
  }

  removeFirst(): Call {
    const [first] = this.heap
    const last = this.heap.pop()
    if (first === undefined || last === undefined) throw new Error("nothing to do")
    if (this.heap.length === 0) return first.call
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
    return first.call
  }
}
