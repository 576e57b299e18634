const slices = 10

/** Two counts over the last while, in ten slices of which the oldest is dropped as a whole. */
export class Slices {
  totalCalls = 0
  totalMarked = 0
  readonly #calls = new Uint32Array(slices)
  readonly #marked = new Uint32Array(slices)
  readonly #sliceMillis: number
  #latest = -1

  constructor(withinMillis: number) {
    this.#sliceMillis = withinMillis / slices
  }

  /** Drops what is too old, without counting anything. */
  advance(now: number) {
    const slice = Math.floor(now / this.#sliceMillis)
    if (slice <= this.#latest) return
    for (let dropped = Math.max(this.#latest + 1, slice - slices + 1); dropped <= slice; dropped++) {
      const index = dropped % slices
      this.totalCalls -= this.#calls[index] ?? 0
      this.totalMarked -= this.#marked[index] ?? 0
      this.#calls[index] = 0
      this.#marked[index] = 0
    }
    this.#latest = slice
  }

  add(now: number, marked: boolean) {
    this.advance(now)
    const index = this.#latest % slices
    this.#calls[index] = (this.#calls[index] ?? 0) + 1
    this.totalCalls++
    if (!marked) return
    this.#marked[index] = (this.#marked[index] ?? 0) + 1
    this.totalMarked++
  }
}
