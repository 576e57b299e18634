/** Tells what was meant by a name that does not exist, where that can be guessed. `elsewhere` has what is written in another place. */
export const hint = (
  name: string,
  names: ReadonlyArray<string>,
  elsewhere: { readonly [name: string]: string } = {}
): string => {
  if (Object.hasOwn(elsewhere, name)) return `. Write it as ${elsewhere[name]}`
  const meant = nearest(name, names)
  return meant === undefined ? "" : `. Did you mean ${meant}?`
}

/** The same with all names that there are. */
export const noSuch = (
  name: string,
  names: ReadonlyArray<string>,
  elsewhere?: { readonly [name: string]: string }
): string => {
  const advice = hint(name, names, elsewhere)
  return `${advice}${advice.endsWith("?") ? "" : "."} There are ${names.join(", ") || "none"}`
}

/** The name that differs least, where it differs little. */
const nearest = (name: string, names: ReadonlyArray<string>): string | undefined => {
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
