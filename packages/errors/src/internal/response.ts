import * as Recovery from "../Recovery.ts"
import * as RetryHeaders from "../RetryHeaders.ts"

/** The recovery of an HTTP status with a library's headers, in any form. */
export const ofResponse = (status: number, headers: unknown, nowMillis: number | undefined): Recovery.Recovery => {
  const { recovery, retryAfter } = RetryHeaders.read({ status, headers: plain(headers) }, nowMillis ?? Number.NaN)
  return recovery ?? Recovery.fromStatus(status, retryAfter)
}

// Takes the web's `Headers`, Node's headers with their lists, and plain records with names in any case.
const plain = (headers: unknown): { readonly [name: string]: string | undefined } => {
  if (headers instanceof globalThis.Headers) return Object.fromEntries(headers)
  const read: { [name: string]: string } = {}
  for (const [name, value] of Object.entries(headers ?? {})) {
    const text: unknown = Array.isArray(value) ? value.join(", ") : value
    if (typeof text === "string" || typeof text === "number") read[name.toLowerCase()] = String(text)
  }
  return read
}
