import type { Latency } from "./measure.ts"

/** An address as it was read. */
export interface Address {
  readonly address: string
  readonly zone: string | undefined
  readonly priority: number
  readonly weight: number
}

/** An address and what is known of it. */
export class Endpoint implements Latency {
  readonly address: string
  zone: string | undefined
  priority: number
  weight: number

  inFlight = 0
  estimateMillis: number | undefined
  estimatedAt = 0

  /** Failures without a success between them. */
  streak = 0
  /** Outcomes of the interval under way. */
  calls = 0
  failures = 0
  /** When its ejection ends; `undefined` while it is in use. */
  ejectedUntil: number | undefined
  returnedAt = 0
  /** How many ejections in a row, which is how long the next one is. It falls while the address does well. */
  row = 0

  constructor({ address, priority, weight, zone }: Address) {
    this.address = address
    this.zone = zone
    this.priority = priority
    this.weight = weight
    this.estimateMillis = undefined
    this.ejectedUntil = undefined
  }

  get isEjected(): boolean {
    return this.ejectedUntil !== undefined
  }

  copy(): Endpoint {
    return Object.assign(new Endpoint(this), this)
  }
}
