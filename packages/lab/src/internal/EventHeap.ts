// A heap of events with four branches, ordered by time and then by when they were added. What is sorted are numbers in typed arrays,
// since sorting them is what a simulation does most; an event is written down once and not moved. It knows its number, so that a wait
// that is cancelled leaves nothing behind: most are limits of time, which almost all calls stay below.

/** Something that happens at a time. */
export interface Event {
  readonly happen: () => void
  /** Its number in the heap; negative where it is not in. */
  number: number
}

export class EventHeap {
  // By where they stand.
  private times = new Float64Array(1024)
  private sequences = new Float64Array(1024)
  private numbers = new Int32Array(1024)
  // By the number of an event.
  private places = new Int32Array(1024)
  private readonly events: Array<Event | undefined> = []
  private readonly free: Array<number> = []
  private added = 0
  size = 0

  /** The time of the first event; `Infinity` where there is none. */
  get first(): number {
    return this.size === 0 ? Infinity : this.times[0] ?? Infinity
  }

  add(time: number, event: Event): void {
    if (this.size === this.times.length) this.grow()
    const number = this.free.pop() ?? this.events.length
    this.events[number] = event
    event.number = number
    this.rise(this.size++, time, this.added++, number)
  }

  /** Takes the first event out. */
  take(): Event | undefined {
    const top = this.size === 0 ? undefined : this.events[this.numbers[0] ?? 0]
    if (top !== undefined) this.remove(top)
    return top
  }

  /** Takes an event out. Does nothing where it is not in. */
  remove(event: Event): void {
    const { number } = event
    if (number < 0) return
    event.number = -1
    this.events[number] = undefined
    this.free.push(number)
    const hole = this.places[number] ?? 0
    const last = --this.size
    if (last === hole) return
    const time = this.times[last] ?? 0
    const sequence = this.sequences[last] ?? 0
    const moved = this.numbers[last] ?? 0
    if (hole > 0 && this.isAfter((hole - 1) >> 2, time, sequence)) this.rise(hole, time, sequence, moved)
    else this.sink(hole, time, sequence, moved)
  }

  // Puts an event into a hole or above it.
  private rise(from: number, time: number, sequence: number, number: number): void {
    let hole = from
    while (hole > 0) {
      const parent = (hole - 1) >> 2
      if (!this.isAfter(parent, time, sequence)) break
      this.move(parent, hole)
      hole = parent
    }
    this.put(hole, time, sequence, number)
  }

  // Puts an event into a hole or below it.
  private sink(from: number, time: number, sequence: number, number: number): void {
    let hole = from
    for (;;) {
      let child = 4 * hole + 1
      if (child >= this.size) break
      const end = Math.min(child + 4, this.size)
      for (let other = child + 1; other < end; other++) {
        if (this.isAfter(child, this.times[other] ?? 0, this.sequences[other] ?? 0)) child = other
      }
      if (this.isAfter(child, time, sequence)) break
      this.move(child, hole)
      hole = child
    }
    this.put(hole, time, sequence, number)
  }

  private isAfter(place: number, time: number, sequence: number): boolean {
    const other = this.times[place] ?? 0
    return other > time || (other === time && (this.sequences[place] ?? 0) > sequence)
  }

  private move(from: number, to: number): void {
    this.put(to, this.times[from] ?? 0, this.sequences[from] ?? 0, this.numbers[from] ?? 0)
  }

  private put(place: number, time: number, sequence: number, number: number): void {
    this.times[place] = time
    this.sequences[place] = sequence
    this.numbers[place] = number
    this.places[number] = place
  }

  private grow(): void {
    this.times = twice(this.times, Float64Array)
    this.sequences = twice(this.sequences, Float64Array)
    this.numbers = twice(this.numbers, Int32Array)
    this.places = twice(this.places, Int32Array)
  }
}

const twice = <A extends Float64Array | Int32Array>(
  array: A,
  Type: new(length: number) => A & { readonly set: (from: ArrayLike<number>) => void }
): A => {
  const larger = new Type(array.length * 2)
  larger.set(array)
  return larger
}
