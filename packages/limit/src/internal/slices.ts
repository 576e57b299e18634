import type { SavedWindow, WindowCounts } from "./tripRule.ts"

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
    this.#addTo(this.#latest, 1, marked ? 1 : 0)
  }

  /** As those of a window whose marked calls failed. */
  countsAt(now: number): WindowCounts {
    this.advance(now)
    const { totalCalls: buffered, totalMarked } = this
    return { buffered, failureRate: buffered === 0 ? 0 : totalMarked / buffered, slowRate: 0 }
  }

  /** The slices, the latest last. */
  save(now: number): SavedWindow {
    this.advance(now)
    const slicesOf = (counts: Uint32Array) =>
      Array.from({ length: slices }, (_, index) => counts[(this.#latest + 1 + index) % slices] ?? 0)
    return { calls: slicesOf(this.#calls), marked: slicesOf(this.#marked), sliceMillis: [this.#sliceMillis] }
  }

  /** Takes slices of the same length. */
  restore({ calls, marked, sliceMillis }: SavedWindow, now: number, elapsed: number) {
    if (sliceMillis?.[0] !== this.#sliceMillis) return
    this.advance(now)
    const age = Math.floor(elapsed / this.#sliceMillis)
    for (let index = age; index < slices; index++) {
      // Slices of a clock that began later have numbers below 0.
      const total = Math.floor(calls?.[index] ?? 0)
      const ofThese = Math.min(total, Math.floor(marked?.[index] ?? 0))
      this.#addTo(this.#latest + 1 + index - age + slices, total, ofThese)
    }
  }

  #addTo(slice: number, calls: number, marked: number) {
    const index = slice % slices
    this.#calls[index] = (this.#calls[index] ?? 0) + calls
    this.totalCalls += calls
    if (marked === 0) return
    this.#marked[index] = (this.#marked[index] ?? 0) + marked
    this.totalMarked += marked
  }
}
