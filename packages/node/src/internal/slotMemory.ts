/** A part of the memory, from `offset` on, and how many readers it still has. */
export interface Slot {
  readonly offset: number
  readonly bytes: Buffer
  readers: number
}

/** Fills a slot and returns how many readers it has. */
type Fill = (slot: Slot) => number

/** A few slots that take turns. While all are being read, callers wait in order. */
export class SlotMemory {
  /** Takes no physical memory until it is written to. */
  readonly shared: SharedArrayBuffer
  private readonly idle: Array<Slot> = []
  private readonly waiting = new Set<Fill>()
  private used = 0

  constructor(slots: number) {
    this.shared = new SharedArrayBuffer(slots * slotBytes)
  }

  /** Fills a slot, now or when one is free. Returns how to give up waiting, if it waits. */
  use(fill: Fill): (() => void) | undefined {
    const slot = this.idle.pop() ?? this.make()
    if (slot !== undefined) {
      this.hand(slot, fill)
      return undefined
    }
    this.waiting.add(fill)
    return () => void this.waiting.delete(fill)
  }

  /** One reader is done with it. */
  release(slot: Slot): void {
    if (--slot.readers === 0) this.pass(slot)
  }

  private hand(slot: Slot, fill: Fill): void {
    slot.readers = fill(slot)
    if (slot.readers === 0) this.pass(slot)
  }

  private pass(slot: Slot): void {
    const [next] = this.waiting
    if (next === undefined) {
      this.idle.push(slot)
      return
    }
    this.waiting.delete(next)
    this.hand(slot, next)
  }

  private make(): Slot | undefined {
    const offset = this.used
    if (offset === this.shared.byteLength) return undefined
    this.used += slotBytes
    return { offset, bytes: Buffer.from(this.shared, offset, slotBytes), readers: 0 }
  }
}

export const slotBytes = 1_048_576
