/**
 * A text under one reading. Its units stand for parts of the reading that it was made from, and in the end for parts of
 * the original.
 */
export interface View {
  readonly codes: Uint16Array
  readonly length: number
  /** Where in the original the part begins that a unit stands for, and where it ends. */
  readonly startOf: (i: number) => number
  readonly endOf: (i: number) => number
  /** Whether a stretch is as it was in the previous reading. */
  readonly isOld: (first: number, last: number) => boolean
}

/** `room` holds a short text, until it is passed for another. */
export const fromText = (text: string, room?: Uint16Array): View => {
  if (room !== undefined && text.length <= room.length) {
    for (let i = 0; i < text.length; i++) room[i] = text.charCodeAt(i)
    return new Original(room, text.length)
  }
  if (text.length > 256) {
    // Much quicker than unit by unit if all is ASCII.
    const bytes = new Uint8Array(text.length)
    if (encoder.encodeInto(text, bytes).read === text.length) return new Original(new Uint16Array(bytes), text.length)
  }
  const codes = new Uint16Array(text.length)
  for (let i = 0; i < codes.length; i++) codes[i] = text.charCodeAt(i)
  return new Original(codes, text.length)
}

class Original implements View {
  readonly codes: Uint16Array
  readonly length: number

  constructor(codes: Uint16Array, length: number) {
    this.codes = codes
    this.length = length
  }

  startOf(i: number): number {
    return i
  }

  endOf(i: number): number {
    return i + 1
  }

  isOld(): boolean {
    return false
  }
}

const encoder = /* @__PURE__ */ new TextEncoder()

/** Stands between readings that do not belong together. Part of no text. */
export const separator = 0xffff

/** How many bytes follow the first one of a character in UTF-8; -1 for a byte that begins none. */
export const following = (lead: number): number =>
  lead < 0x80 ? 0 : lead < 0xc2 ? -1 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : -1

/**
 * A view that is being written: stretches of its parent as they are, and units that stand for some of it. Bytes that make
 * up a character of UTF-8 become that character.
 */
export class Edited implements View {
  readonly #parent: View
  readonly codes: Uint16Array
  length = 0
  // By part: where it begins here, and what of the parent it stands for; a copy has no end.
  readonly #at: Array<number> = []
  readonly #from: Array<number> = []
  readonly #to: Array<number> = []
  /** Whether a byte stands last that is no character yet. */
  private openByte = false

  /** Has room for as many units as the parent has: no encoding is shorter than what it stands for. */
  constructor(parent: View) {
    this.#parent = parent
    this.codes = new Uint16Array(parent.length)
  }

  /** Copies a stretch of the parent. */
  copy(from: number, to: number): void {
    const { codes } = this.#parent
    // Bytes that an earlier reading left alone.
    for (; from < to && this.openByte && isContinuation(codes[from] ?? 0); from++) {
      this.pushByte(codes[from] ?? 0, from, from + 1)
    }
    if (from >= to) return
    this.#part(from, copied)
    if (to - from > 64) this.codes.set(codes.subarray(from, to), this.length)
    else for (let i = from, n = this.length; i < to; i++, n++) this.codes[n] = codes[i] ?? 0
    this.length += to - from
    this.openByte = false
  }

  /** Writes a code point that stands for a part of the parent. */
  push(point: number, from: number, to: number): void {
    this.#part(from, to)
    this.openByte = false
    if (point > 0xffff) {
      this.codes[this.length++] = 0xd800 + (point - 0x10000 >> 10)
      this.codes[this.length++] = 0xdc00 + (point & 0x3ff)
    } else this.codes[this.length++] = point
  }

  pushByte(byte: number, from: number, to: number): void {
    this.push(byte, from, to)
    this.openByte = byte >= 0x80
    if (!isContinuation(byte)) return
    let bytes = 1
    for (let i = this.length - 2; i >= 0 && i > this.length - longestWrap && bytes < 4; i--) {
      const code = this.codes[i] ?? 0
      if (isContinuation(code)) bytes++
      // The character may be broken over lines.
      else if (!isWrap(code)) {
        if (code <= 0xff && following(code) === bytes) this.#join(i, to)
        return
      }
    }
  }

  startOf(i: number): number {
    const part = this.#partOf(i)
    const from = this.#from[part] ?? 0
    return this.#parent.startOf(this.#to[part] === copied ? from + i - (this.#at[part] ?? 0) : from)
  }

  endOf(i: number): number {
    const part = this.#partOf(i)
    const to = this.#to[part] ?? 0
    return this.#parent.endOf(to === copied ? (this.#from[part] ?? 0) + i - (this.#at[part] ?? 0) : to - 1)
  }

  isOld(first: number, last: number): boolean {
    const part = this.#partOf(first)
    return this.#to[part] === copied && last < (this.#at[part + 1] ?? Infinity)
  }

  #part(from: number, to: number): void {
    this.#at.push(this.length)
    this.#from.push(from)
    this.#to.push(to)
  }

  #join(first: number, to: number): void {
    let point = 0
    let bytes = 0
    for (let i = first; i < this.length; i++) {
      const code = this.codes[i] ?? 0
      if (isWrap(code)) continue
      point = bytes++ === 0 ? code : point << 6 | code & 0x3f
    }
    // What is left of the first byte, without the bits that say how many follow.
    point &= [0, 0x7f, 0x7ff, 0xffff, 0x1fffff][bytes] ?? 0
    const part = this.#partOf(first)
    const at = this.#at[part] ?? 0
    const from = (this.#from[part] ?? 0) + (this.#to[part] === copied ? first - at : 0)
    this.#at.length = this.#from.length = this.#to.length = at === first ? part : part + 1
    this.length = first
    this.push(point, from, to)
  }

  #partOf(i: number): number {
    let low = 0
    let high = this.#at.length - 1
    while (low < high) {
      const middle = low + high + 1 >> 1
      if ((this.#at[middle] ?? 0) <= i) low = middle
      else high = middle - 1
    }
    return low
  }
}

const copied = -1

/** How many units back the bytes of one character are looked for. */
const longestWrap = 64

/** What may stand at the end and the beginning of a line. */
export const isWrap = (code: number): boolean =>
  code === 32 || code === 9 || code === 10 || code === 13 || (code >= 0x200b && code <= 0x200f) || code === 0x2060 ||
  code === 0xfeff

const isContinuation = (byte: number): boolean => byte >= 0x80 && byte < 0xc0

/** Text that runs of digits stand for. Each unit stands for the digits from one place of the parent to another. */
export class Decoded implements View {
  #parent: View | undefined
  codes = new Uint16Array(64)
  #first = new Int32Array(64)
  #last = new Int32Array(64)
  length = 0
  /** Bytes of a character that is not complete. */
  #point = 0
  #missing = 0
  #pending = 0
  #begin = 0

  reset(parent: View): void {
    this.#parent = parent
    this.length = 0
    this.#begin = 0
    this.#missing = 0
    if (this.codes.length > 65_536) this.#resize(64)
  }

  /** Adds a byte. A text ends where it is no UTF-8, and is dropped if it is shorter than `shortest` units. */
  push(byte: number, first: number, last: number, shortest: number): void {
    if (byte < 0x80) {
      if (this.#missing > 0) this.end(shortest)
      this.#unit(byte, first, last)
    } else if (byte < 0xc0) {
      if (this.#missing === 0) return this.end(shortest)
      this.#point = this.#point << 6 | byte & 0x3f
      if (--this.#missing > 0) return
      if (this.#point > 0xffff) {
        this.#unit(0xd800 + (this.#point - 0x10000 >> 10), this.#pending, last)
        this.#unit(0xdc00 + (this.#point & 0x3ff), this.#pending, last)
      } else this.#unit(this.#point, this.#pending, last)
    } else {
      const missing = following(byte)
      if (this.#missing > 0 || missing < 0) this.end(shortest)
      if (missing < 0) return
      this.#missing = missing
      this.#point = byte & 0x3f >> missing
      this.#pending = first
    }
  }

  end(shortest: number): void {
    this.#missing = 0
    if (this.length - this.#begin < shortest) this.length = this.#begin
    else this.#unit(separator, 0, 0)
    this.#begin = this.length
  }

  startOf(i: number): number {
    return this.#parent?.startOf(this.#first[i] ?? 0) ?? 0
  }

  endOf(i: number): number {
    return this.#parent?.endOf(this.#last[i] ?? 0) ?? 0
  }

  isOld(): boolean {
    return false
  }

  #unit(code: number, first: number, last: number): void {
    if (this.length === this.codes.length) this.#resize(2 * this.length)
    const n = this.length++
    this.codes[n] = code
    this.#first[n] = first
    this.#last[n] = last
  }

  #resize(length: number): void {
    const { codes } = this
    const first = this.#first
    const last = this.#last
    this.codes = new Uint16Array(length)
    this.#first = new Int32Array(length)
    this.#last = new Int32Array(length)
    if (length < codes.length) return
    this.codes.set(codes)
    this.#first.set(first)
    this.#last.set(last)
  }
}
