/** Numbers from 0 to below 1. */
export type Chance = () => number

/**
 * The numbers of call `index` of a stream. They depend on nothing else, so calls that run at once do not change each other's.
 * Integer arithmetic: the same numbers in each engine.
 */
export const chanceOf = (seed: number, stream: string, index: number): Chance => {
  let state = hash(`${seed}/${index}/${stream}`)
  return () => {
    // Mulberry32.
    state = (state + 0x6D2B79F5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}

/** FNV-1a over UTF-16 units, with the finalizer of MurmurHash3. */
const hash = (text: string): number => {
  let bits = 0x811C9DC5
  for (let i = 0; i < text.length; i++) bits = Math.imul(bits ^ text.charCodeAt(i), 0x01000193)
  bits = Math.imul(bits ^ (bits >>> 16), 0x85EBCA6B)
  bits = Math.imul(bits ^ (bits >>> 13), 0xC2B2AE35)
  return bits ^ (bits >>> 16)
}
