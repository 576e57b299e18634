/** The number in a header: digits, with or without a fraction; `undefined` for any other text. */
export const decimal = (text: string | undefined): number | undefined =>
  text !== undefined && /^\s*\d+(?:\.\d+)?\s*$/.test(text) ? Number(text) : undefined
