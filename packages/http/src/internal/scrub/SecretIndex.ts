import type { Fold } from "./Fold.ts"
import type { View } from "./View.ts"

/** One form of a secret to look for. */
export interface Pattern<Owner> {
  readonly owner: Owner
  /** Where the patterns of its hash and length are. */
  readonly key: number
  /** The hash of its last units. */
  readonly tail: number
  readonly length: number
  /** How many units that are not compared it begins and ends with. */
  readonly lead: number
  readonly trail: number
  next: Pattern<Owner> | undefined
}

/** The patterns of one length that end alike. */
interface Group {
  readonly length: number
  count: number
}

type Found<Owner> = (owner: Owner, start: number, end: number) => void

/**
 * Finds many patterns in a text, in time that is linear in the text.
 *
 * After Rabin and Karp: at each unit, a filter knows the hash of the last 4 or 8 units of all patterns. Where one may end,
 * the hash of the whole pattern decides, once for each length in question. Hashes are not confirmed: at one of 2^32 such
 * places too much is removed, which does no harm. Secrets can be chosen so that many of them end alike, and a text so that
 * they seem to end at each of its units; such a search is given up.
 */
export class SecretIndex<Owner> {
  readonly #fold: Fold
  readonly #least: number
  readonly #shift: number
  readonly #patterns = new Map<number, Pattern<Owner>>()
  readonly #tails = new Map<number, Array<Group>>()
  #filter = new Uint32Array(0)
  #size = 0
  #stale = 0

  /** `least` is the length from which patterns are taken, and of what the filter knows. */
  constructor(fold: Fold, least: 4 | 8) {
    this.#fold = fold
    this.#least = least
    // Shifts the oldest unit out of the 32 bits.
    this.#shift = 32 / least
  }

  /** Remembers a pattern; `undefined` if too little of it is compared. */
  add(view: View, owner: Owner): Pattern<Owner> | undefined {
    const { places, sums, units } = unitsOf(view, this.#fold)
    const { length } = units
    if (length < this.#least) return undefined
    let tail = 0
    for (const unit of units.subarray(length - this.#least)) tail = (tail << this.#shift) + unit | 0
    const key = keyOf(sums[length] ?? 0, length)
    const pattern = {
      owner,
      key,
      tail,
      length,
      lead: places[0] ?? 0,
      trail: view.length - 1 - (places[length - 1] ?? 0),
      next: this.#patterns.get(key)
    }
    this.#patterns.set(key, pattern)
    this.#size++
    if (this.#filter.length === 0) this.#filter = new Uint32Array(16_384)
    mark(this.#filter, tail)
    const groups = this.#tails.get(tail)
    const group = groups?.find((group) => group.length === length)
    if (group !== undefined) group.count++
    else if (groups === undefined) this.#tails.set(tail, [{ length, count: 1 }])
    else groups.push({ length, count: 1 })
    return pattern
  }

  remove(pattern: Pattern<Owner>): void {
    const first = this.#patterns.get(pattern.key)
    if (first === pattern) {
      if (pattern.next === undefined) this.#patterns.delete(pattern.key)
      else this.#patterns.set(pattern.key, pattern.next)
    } else {
      for (let other = first; other !== undefined; other = other.next) {
        if (other.next === pattern) other.next = pattern.next
      }
    }
    const rest = this.#tails.get(pattern.tail)?.filter((group) => group.length !== pattern.length || --group.count > 0)
    if (rest === undefined || rest.length === 0) this.#tails.delete(pattern.tail)
    else this.#tails.set(pattern.tail, rest)
    this.#size--
    if (++this.#stale <= this.#size + 1_024) return
    this.#stale = 0
    this.#filter.fill(0)
    for (const tail of this.#tails.keys()) mark(this.#filter, tail)
  }

  /**
   * Reports each pattern that occurs, with its place in the original. Returns false if the search was given up: the text may
   * then contain any of them.
   */
  find(view: View, found: Found<Owner>): boolean {
    if (this.#size === 0) return true
    const { codes, length } = view
    const { ascii, beyond } = this.#fold
    const filter = this.#filter
    const shift = this.#shift
    let search: Search | undefined
    let tail = 0
    let size = 0
    for (let i = 0; i < length; i++) {
      const code = codes[i] ?? 0
      if (code < 128) {
        const unit = ascii[code] ?? 0
        if (unit === 0) continue
        tail = (tail << shift) + unit | 0
        size++
        if (((filter[tail >>> 18] ?? 0) >>> (tail >>> 13) & 1) !== 0) {
          search ??= new Search(view, this.#fold)
          if (!this.#check(tail, search, i, size, found)) return false
        }
        continue
      }
      const paired = isPair(codes, i, length)
      const units = beyond(paired ? pointOf(codes, i) : code)
      if (paired) i++
      for (const unit of units) {
        tail = (tail << shift) + unit | 0
        size++
      }
      if (units.length > 0) {
        search ??= new Search(view, this.#fold)
        if (!this.#check(tail, search, i, size, found)) return false
      }
    }
    return true
  }

  #check(tail: number, search: Search, last: number, size: number, found: Found<Owner>): boolean {
    const groups = this.#tails.get(tail)
    if (groups === undefined) return true
    if (search.isSpent(groups.length)) return false
    for (const { length } of groups) {
      if (length > size) continue
      let pattern = this.#patterns.get(keyOf(search.sum(last, size, length), length))
      if (pattern === undefined) continue
      const { view } = search
      for (; pattern !== undefined; pattern = pattern.next) {
        if (pattern.length !== length) continue
        let from = search.first
        let to = last
        for (let n = pattern.lead; n > 0 && from > 0 && this.#isLeftOut(view.codes[from - 1] ?? 0); n--) from--
        for (let n = pattern.trail; n > 0 && to + 1 < view.length && this.#isLeftOut(view.codes[to + 1] ?? 0); n--) to++
        found(pattern.owner, view.startOf(from), view.endOf(to))
        if (search.isSpent(1 + search.first - from + to - last)) return false
      }
    }
    return true
  }

  #isLeftOut(code: number): boolean {
    return code < 128 ? this.#fold.ascii[code] === 0 : this.#fold.beyond(code).length === 0
  }
}

/** Knows the hash of each part of one view. */
class Search {
  readonly view: View
  readonly #fold: Fold
  #units: Units | undefined
  #work = 0
  #steps = 0
  /** Where the part begins whose hash was requested last. */
  first = 0

  constructor(view: View, fold: Fold) {
    this.view = view
    this.#fold = fold
  }

  /** Counts steps of the search, and says whether they are more than an ordinary text takes. */
  isSpent(steps: number): boolean {
    this.#steps += steps
    return this.#steps > 4 * this.view.length + leastSteps
  }

  /** The hash of the `length` units up to the one at `last`, which is number `size`. */
  sum(last: number, size: number, length: number): number {
    if (this.#units === undefined) {
      this.#work += length
      if (this.#work <= 4 * this.view.length) return this.#back(last, length)
      // Many long patterns end here: with sums from the beginning, each takes the same short time.
      this.#units = unitsOf(this.view, this.#fold)
    }
    const { places, sums } = this.#units
    this.first = places[size - length] ?? 0
    return (sums[size] ?? 0) - Math.imul(sums[size - length] ?? 0, powerOf(length)) | 0
  }

  #back(last: number, length: number): number {
    const { codes } = this.view
    const { ascii, beyond } = this.#fold
    let sum = 0
    let power = 1
    let i = last
    for (let rest = length; rest > 0; i--) {
      const code = codes[i] ?? 0
      if (code < 128) {
        const unit = ascii[code] ?? 0
        if (unit === 0) continue
        sum = sum + Math.imul(unit, power) | 0
        power = Math.imul(power, base)
        rest--
        continue
      }
      const paired = i > 0 && isPair(codes, i - 1, i + 1)
      const units = beyond(paired ? pointOf(codes, i - 1) : code)
      if (paired) i--
      for (let n = units.length - 1; n >= 0 && rest > 0; n--) {
        sum = sum + Math.imul(units[n] ?? 0, power) | 0
        power = Math.imul(power, base)
        rest--
      }
    }
    this.first = i + 1
    return sum
  }
}

/** Enough for the lengths of 1,000 secrets at each of a hundred units. */
const leastSteps = 131_072

/** What is compared of a text: each unit, its place, and the hash of all units before it. */
interface Units {
  readonly units: Int32Array
  readonly places: Int32Array
  readonly sums: Int32Array
}

/** Valid until the next call, which uses the same memory: allocating it is expensive. */
const unitsOf = ({ codes, length }: View, { ascii, beyond }: Fold): Units => {
  if (memory.units.length < length || memory.units.length > 65_536) memory = memoryFor(Math.max(length, 1_024))
  let size = 0
  for (let i = 0; i < length; i++) {
    const code = codes[i] ?? 0
    const paired = isPair(codes, i, length)
    const folded = code < 128 ? ascii[code] ?? 0 : beyond(paired ? pointOf(codes, i) : code)
    if (typeof folded === "number") {
      memory.units[size] = folded
      memory.places[size] = i
      if (folded !== 0) size++
      continue
    }
    // A character may fold to more units than it has.
    if (size + folded.length + length - i > memory.units.length) {
      const { places, units } = memory
      memory = memoryFor(2 * units.length + folded.length)
      memory.units.set(units)
      memory.places.set(places)
    }
    for (const unit of folded) {
      memory.units[size] = unit
      memory.places[size++] = i
    }
    if (paired) i++
  }
  const { places, sums, units } = memory
  for (let i = 0; i < size; i++) sums[i + 1] = Math.imul(sums[i] ?? 0, base) + (units[i] ?? 0) | 0
  return { units: units.subarray(0, size), places, sums }
}

const memoryFor = (length: number): Units => ({
  units: new Int32Array(length),
  places: new Int32Array(length),
  sums: new Int32Array(length + 1)
})

let memory = memoryFor(1_024)

/** Odd, so that a multiplication loses no bit. */
const base = 0x9e3779b1 | 0

const powerOf = (n: number): number => {
  let power = 1
  for (let square = base; n > 0; n >>>= 1) {
    if ((n & 1) === 1) power = Math.imul(power, square)
    square = Math.imul(square, square)
  }
  return power
}

const keyOf = (sum: number, length: number): number => sum ^ Math.imul(length, 0x85ebca6b)

const mark = (filter: Uint32Array, tail: number): void => {
  filter[tail >>> 18] = (filter[tail >>> 18] ?? 0) | 1 << (tail >>> 13)
}

const isPair = (codes: Uint16Array, i: number, length: number): boolean =>
  i + 1 < length && ((codes[i] ?? 0) & 0xfc00) === 0xd800 && ((codes[i + 1] ?? 0) & 0xfc00) === 0xdc00

const pointOf = (codes: Uint16Array, i: number): number =>
  0x10000 + ((codes[i] ?? 0) - 0xd800 << 10) + (codes[i + 1] ?? 0) - 0xdc00
