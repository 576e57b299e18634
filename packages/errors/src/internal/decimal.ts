/** The number that a header holds: digits, with a fraction or without. Any other text is none. */
export const decimal = (text: string | undefined): number | undefined =>
  text !== undefined && /^\s*\d+(?:\.\d+)?\s*$/.test(text) ? Number(text) : undefined
