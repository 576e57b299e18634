const slices = 10

/**
 * The calls under way, by the tenth of a window in which they began, and the longest time that an accepted call took. One
 * that has lasted longer than the window is no longer counted.
 */
export class InFlight {
  total = 0
  readonly #begun = new Uint32Array(slices)
  readonly #slowest = new Float64Array(slices)
  readonly #sliceMillis: number
  #latest = -1
  // That of the last window in which any was accepted.
  #patience = Infinity

  constructor(windowMillis: number) {
    this.#sliceMillis = windowMillis / slices
  }

  begin(now: number) {
    this.advance(now)
    const index = this.#latest % slices
    this.#begun[index] = (this.#begun[index] ?? 0) + 1
    this.total++
  }

  end(began: number) {
    const slice = Math.floor(began / this.#sliceMillis)
    if (slice <= this.#latest - slices) return
    const index = slice % slices
    this.#begun[index] = (this.#begun[index] ?? 0) - 1
    this.total--
  }

  accepted(millis: number, now: number) {
    this.advance(now)
    const index = this.#latest % slices
    this.#slowest[index] = Math.max(this.#slowest[index] ?? 0, millis)
    if (millis > this.#patience || this.#patience === Infinity) this.#patience = millis
  }

  advance(now: number) {
    const slice = Math.floor(now / this.#sliceMillis)
    if (slice <= this.#latest) return
    const last = Math.min(slice, this.#latest + slices)
    // The oldest first, so that it does not matter how often this is called.
    for (let dropped = this.#latest + 1; dropped <= last; dropped++) {
      const index = dropped % slices
      this.total -= this.#begun[index] ?? 0
      this.#begun[index] = 0
      this.#slowest[index] = 0
      const slowest = Math.max(...this.#slowest)
      if (slowest > 0) this.#patience = slowest
    }
    this.#latest = slice
  }

  /** How many have lasted longer than every call that was accepted of late. */
  late(now: number): number {
    if (this.total === 0) return 0
    let late = 0
    const last = Math.floor((now - this.#patience) / this.#sliceMillis)
    for (let slice = Math.max(0, this.#latest - slices + 1); slice < last; slice++) {
      late += this.#begun[slice % slices] ?? 0
    }
    return late
  }
}
