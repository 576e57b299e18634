import type { Endpoint } from "./endpoint.ts"

export interface Settings {
  readonly consecutive: number
  readonly intervalMillis: number
  readonly baseMillis: number
  readonly maxMillis: number
  readonly maxShare: number
  readonly deviations: number
  readonly minimumAddresses: number
  readonly minimumCalls: number
}

export type Reason = "ConsecutiveFailures" | "SuccessRate"

/**
 * Envoy's outlier detection: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier and
 * `source/common/upstream/outlier_detection_impl.cc`. Nothing runs in the background: what a timer does there is done when the
 * next call comes, as of the time when it was due.
 */
export class Outliers {
  settings: Settings
  endpoints: ReadonlyArray<Endpoint> = []
  ejected = 0
  /** When there is something to do next. */
  nextAt = -Infinity
  #sweepAt: number | undefined
  readonly #onEject: (endpoint: Endpoint, reason: Reason, millis: number) => void
  readonly #onReturn: (endpoint: Endpoint) => void

  constructor(
    settings: Settings,
    onEject: (endpoint: Endpoint, reason: Reason, millis: number) => void,
    onReturn: (endpoint: Endpoint) => void
  ) {
    this.settings = settings
    this.#sweepAt = undefined
    this.#onEject = onEject
    this.#onReturn = onReturn
  }

  /** For a snapshot: what is due changes the copy, and no observer hears of it. */
  copy(): Outliers {
    const copy = new Outliers(this.settings, () => {}, () => {})
    copy.endpoints = this.endpoints.map((endpoint) => endpoint.copy())
    copy.ejected = this.ejected
    copy.nextAt = this.nextAt
    copy.#sweepAt = this.#sweepAt
    return copy
  }

  /** Takes the addresses that there are now. */
  use(endpoints: ReadonlyArray<Endpoint>): void {
    this.endpoints = endpoints
    this.ejected = endpoints.filter(({ isEjected }) => isEjected).length
    this.nextAt = -Infinity
  }

  record(endpoint: Endpoint, failed: boolean, now: number): void {
    endpoint.calls++
    if (!failed) {
      endpoint.streak = 0
      return
    }
    endpoint.failures++
    endpoint.streak++
    if (endpoint.streak < this.settings.consecutive || endpoint.isEjected) return
    this.#eject(endpoint, "ConsecutiveFailures", now)
    endpoint.streak = 0
  }

  /** Returns those whose time is over, and judges the intervals that have passed. */
  refresh(now: number): void {
    const { intervalMillis } = this.settings
    const due = this.#sweepAt ??= now + intervalMillis
    const last = due + Math.floor((now - due) / intervalMillis) * intervalMillis
    // Who hears of a change may make a call, which comes here again.
    this.#sweepAt = Math.max(due, last + intervalMillis)
    this.#returnThoseUntil(Math.min(now, due))
    if (now >= due) {
      this.#judge(due)
      this.#returnThoseUntil(now)
      for (const endpoint of this.endpoints) this.#forgive(endpoint, due, last)
    }
    this.nextAt = this.endpoints.reduce(
      (next, { ejectedUntil = Infinity }) => Math.min(next, ejectedUntil),
      this.#sweepAt
    )
  }

  #returnThoseUntil(now: number): void {
    for (const endpoint of this.endpoints) {
      if (endpoint.ejectedUntil !== undefined && endpoint.ejectedUntil <= now) this.#return(endpoint)
    }
  }

  #judge(now: number): void {
    const { deviations, minimumAddresses, minimumCalls } = this.settings
    const judged = this.endpoints.filter(({ calls, isEjected }) => !isEjected && calls >= minimumCalls)
    if (judged.length >= minimumAddresses) {
      const rates = judged.map(successRate)
      const threshold = successRateThreshold(rates, deviations)
      judged.forEach((endpoint, i) => {
        if ((rates[i] ?? 1) < threshold) this.#eject(endpoint, "SuccessRate", now)
      })
    }
    for (const endpoint of this.endpoints) endpoint.calls = endpoint.failures = 0
  }

  /** Takes one off the row for each sweep, of those from `first` to `last`, that finds an address in use for an interval. */
  #forgive(endpoint: Endpoint, first: number, last: number): void {
    if (endpoint.isEjected || endpoint.row === 0) return
    const { intervalMillis } = this.settings
    const skipped = Math.max(0, Math.ceil((endpoint.returnedAt + intervalMillis - first) / intervalMillis))
    const sweeps = Math.floor((last - first) / intervalMillis) + 1
    endpoint.row = Math.max(0, endpoint.row - Math.max(0, sweeps - skipped))
  }

  #eject(endpoint: Endpoint, reason: Reason, now: number): void {
    if (!this.#mayEject() || !this.endpoints.includes(endpoint)) return
    const { baseMillis, maxMillis } = this.settings
    if (endpoint.row * baseMillis < maxMillis + baseMillis) endpoint.row++
    const millis = Math.min(maxMillis, endpoint.row * baseMillis)
    endpoint.ejectedUntil = now + millis
    this.ejected++
    this.nextAt = Math.min(this.nextAt, endpoint.ejectedUntil)
    this.#onEject(endpoint, reason, millis)
  }

  // The last one stays: there is nothing that it could be an outlier of.
  #mayEject(): boolean {
    const { maxShare } = this.settings
    const count = this.endpoints.length
    const after = this.ejected + 1
    return maxShare > 0 && after < count && (after === 1 || after / count <= maxShare)
  }

  #return(endpoint: Endpoint): void {
    endpoint.returnedAt = endpoint.ejectedUntil ?? 0
    endpoint.ejectedUntil = undefined
    endpoint.streak = 0
    this.ejected--
    this.#onReturn(endpoint)
  }
}

const successRate = ({ calls, failures }: Endpoint): number => (calls - failures) / calls

/** The mean less some standard deviations, of the population. */
export const successRateThreshold = (rates: ReadonlyArray<number>, deviations: number): number => {
  const mean = meanOf(rates)
  const deviation = Math.sqrt(meanOf(rates.map((rate) => (rate - mean) ** 2)))
  return deviation === 0 ? -Infinity : mean - deviations * deviation
}

const meanOf = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length
