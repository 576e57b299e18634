/**
 * Guesses what was meant by a name that does not exist.
 *
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
  let least = Math.min(Math.max(2, name.length / 3), name.length - 1)
  for (const other of names) {
    const edits = distance(name.toLowerCase(), other.toLowerCase())
    if (edits < least || (edits === least && best === undefined)) {
      best = other
      least = edits
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

// Edits of one letter, and of two that changed places.
const distance = (a: string, b: string): number => {
  let before: ReadonlyArray<number> = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row[j] = Math.min(
        (row[j - 1] ?? 0) + 1,
        (last[j] ?? 0) + 1,
        (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
        swapped ? (before[j - 2] ?? 0) + 1 : Infinity
      )
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}
