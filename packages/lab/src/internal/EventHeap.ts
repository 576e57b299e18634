// A binary heap of events, ordered by time and then by when they were added. Numbers stand in typed arrays, since sorting them
// is what a simulation does most.

/** Something that happens at a time. */
export interface Event {
  /** `undefined` once it was cancelled or has happened. */
  happen: (() => void) | undefined
}

export class EventHeap {
  private times = new Float64Array(1024)
  private sequences = new Float64Array(1024)
  private readonly events: Array<Event> = []
  private added = 0
  size = 0

  /** The time of the first event; `Infinity` where there is none. */
  get first(): number {
    return this.size === 0 ? Infinity : this.times[0] ?? Infinity
  }

  add(time: number, event: Event): void {
    if (this.size === this.times.length) this.grow()
    const sequence = this.added++
    let hole = this.size++
    while (hole > 0) {
      const parent = (hole - 1) >> 1
      if (!this.isAfter(parent, time, sequence)) break
      this.move(parent, hole)
      hole = parent
    }
    this.put(hole, time, sequence, event)
  }

  /** Takes the first event out. */
  take(): Event | undefined {
    if (this.size === 0) return undefined
    const top = this.events[0]
    const last = --this.size
    const event = this.events.pop()
    if (last > 0 && event !== undefined) this.sink(this.times[last] ?? 0, this.sequences[last] ?? 0, event)
    return top
  }

  // Puts the former last event where the first one was, and lower ones above it.
  private sink(time: number, sequence: number, event: Event): void {
    let hole = 0
    for (;;) {
      let child = 2 * hole + 1
      if (child >= this.size) break
      const right = child + 1
      if (right < this.size && this.isAfter(child, this.times[right] ?? 0, this.sequences[right] ?? 0)) child = right
      if (this.isAfter(child, time, sequence)) break
      this.move(child, hole)
      hole = child
    }
    this.put(hole, time, sequence, event)
  }

  private isAfter(index: number, time: number, sequence: number): boolean {
    const other = this.times[index] ?? 0
    return other > time || (other === time && (this.sequences[index] ?? 0) > sequence)
  }

  private move(from: number, to: number): void {
    this.times[to] = this.times[from] ?? 0
    this.sequences[to] = this.sequences[from] ?? 0
    const event = this.events[from]
    if (event !== undefined) this.events[to] = event
  }

  private put(index: number, time: number, sequence: number, event: Event): void {
    this.times[index] = time
    this.sequences[index] = sequence
    this.events[index] = event
  }

  private grow(): void {
    const times = new Float64Array(this.size * 2)
    times.set(this.times)
    this.times = times
    const sequences = new Float64Array(this.size * 2)
    sequences.set(this.sequences)
    this.sequences = sequences
  }
}
