/** A name that the C library rejects by itself, since a label has at most 63 letters: a test must not wait for a name server. */
export const unresolvable = `${"a".repeat(64)}.invalid`

/** A port that refuses connections: the system gives none below 1024 to a server that asks for any, as a port just closed may be given. */
export const refusing = 2
