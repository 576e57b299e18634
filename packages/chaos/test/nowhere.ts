/** A name that the C library rejects by itself, since a label has at most 63 letters: a test must not wait for a name server. */
export const unresolvable = `${"a".repeat(64)}.invalid`

/** A port without a server. The system gives a server that asks for any port none below 1024, but perhaps one that was just closed. */
export const closedPort = 2
