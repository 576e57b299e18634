// A binary heap of events, ordered by time and then by when they were added. Numbers stand in typed arrays, since sorting them
// is what a simulation does most. An event knows its place, so that a wait that is cancelled leaves nothing behind: most are
// limits of time, which almost all calls stay below.

/** Something that happens at a time. */
export interface Event {
  readonly happen: () => void
  /** Where it stands in the heap; negative where it does not. */
  place: number
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
    this.rise(this.size++, time, this.added++, event)
  }

  /** Takes the first event out. */
  take(): Event | undefined {
    const top = this.size === 0 ? undefined : this.events[0]
    if (top !== undefined) this.remove(top)
    return top
  }

  /** Takes an event out. Does nothing where it is not in. */
  remove(event: Event): void {
    const hole = event.place
    if (hole < 0) return
    event.place = -1
    const last = --this.size
    const moved = this.events.pop()
    if (last === hole || moved === undefined) return
    const time = this.times[last] ?? 0
    const sequence = this.sequences[last] ?? 0
    if (hole > 0 && this.isAfter((hole - 1) >> 1, time, sequence)) this.rise(hole, time, sequence, moved)
    else this.sink(hole, time, sequence, moved)
  }

  // Puts an event into a hole or above it.
  private rise(from: number, time: number, sequence: number, event: Event): void {
    let hole = from
    while (hole > 0) {
      const parent = (hole - 1) >> 1
      if (!this.isAfter(parent, time, sequence)) break
      this.move(parent, hole)
      hole = parent
    }
    this.put(hole, time, sequence, event)
  }

  // Puts an event into a hole or below it.
  private sink(from: number, time: number, sequence: number, event: Event): void {
    let hole = from
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
    const event = this.events[from]
    if (event !== undefined) this.put(to, this.times[from] ?? 0, this.sequences[from] ?? 0, event)
  }

  private put(index: number, time: number, sequence: number, event: Event): void {
    this.times[index] = time
    this.sequences[index] = sequence
    this.events[index] = event
    event.place = index
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
