/** Throws a `RangeError`, unless `sensible`: for constants, where they are made. */
export const unless = (sensible: boolean, rule: string, value: unknown): void => {
  if (!sensible) throw new RangeError(`${rule}, not ${value}`)
}
