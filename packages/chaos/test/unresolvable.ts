/** A name that the C library rejects by itself, since a label has at most 63 letters: a test must not wait for a name server. */
export const unresolvable = `${"a".repeat(64)}.invalid`
