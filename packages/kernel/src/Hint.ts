/**
 * Guesses what was meant by a name that does not exist.
 *
 * @stability stable
 * @since 0.1.0
 */
/**
 * The name that differs least from this one, where it differs little: by at most two letters, or a third of them.
 *
 * **Example** (A typing error)
 *
 * ```ts import.meta.vitest
 * import { Hint } from "@effect-resilience/kernel"
 *
 * Hint.nearest("tabel", ["file", "project", "table"]) // => "table"
 * Hint.nearest("colour", ["file", "project", "table"]) // => undefined
 * ```
 *
 * @category guessing
 * @since 0.1.0
 */
export const nearest = (name: string, names: ReadonlyArray<string>): string | undefined => {
  let best: string | undefined
  let bound = Math.min(Math.max(2, Math.floor(name.length / 3)), name.length - 1) + 1
  for (const other of names) {
    const edits = distance(name.toLowerCase(), other.toLowerCase())
    if (edits < bound) {
      best = other
      bound = edits
    }
  }
  return best
}

/**
 * Tells what was meant, where that can be guessed, as the end of a sentence; otherwise an empty text.
 *
 * - `elsewhere`: what is written in another place, by its name here.
 *
 * @category guessing
 * @since 0.1.0
 */
export const hint = (
  name: string,
  names: ReadonlyArray<string>,
  elsewhere: { readonly [name: string]: string } = {}
): string => {
  if (Object.hasOwn(elsewhere, name)) return `. Write it as ${elsewhere[name]}`
  const meant = nearest(name, names)
  return meant === undefined ? "" : `. Did you mean ${meant}?`
}

/**
 * The same with all names that there are.
 *
 * @category guessing
 * @since 0.1.0
 */
export const noSuch = (
  name: string,
  names: ReadonlyArray<string>,
  elsewhere?: { readonly [name: string]: string }
): string => {
  const advice = hint(name, names, elsewhere)
  return `${advice}${advice.endsWith("?") ? "" : "."} There are ${names.join(", ") || "none"}`
}

// Edits of one letter. Two that changed places are two.
const distance = (a: string, b: string): number => {
  let row = Array.from(` ${b}`, (_, j) => j)
  for (const letter of a) {
    let left = Infinity
    let corner = Infinity
    row = row.map((above, j) => {
      left = Math.min(above + 1, left + 1, corner + Number(letter !== b[j - 1]))
      corner = above
      return left
    })
  }
  return row[b.length] ?? Infinity
}
