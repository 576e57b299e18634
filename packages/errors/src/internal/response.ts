import * as Predicate from "effect/Predicate"
import * as Recovery from "../Recovery.ts"
import * as RetryHeaders from "../RetryHeaders.ts"

/** What an HTTP status with whatever a library calls headers stands for. */
export const ofResponse = (status: number, headers: unknown, nowMillis: number | undefined): Recovery.Recovery => {
  const advice = RetryHeaders.read({ status, headers: plain(headers) }, nowMillis ?? Number.NaN)
  return advice.recovery ?? Recovery.fromStatus(status, advice.retryAfter)
}

// `Headers` of the web, Node's headers with their lists, and plain records in any case.
const plain = (headers: unknown): { readonly [name: string]: string | undefined } => {
  const read: { [name: string]: string | undefined } = {}
  if (!Predicate.isObject(headers)) return read
  if (headers instanceof globalThis.Headers) {
    headers.forEach((value, name) => {
      read[name] = value
    })
    return read
  }
  for (const [name, value] of Object.entries(headers)) {
    const text = Array.isArray(value) ? value.join(", ") : value
    if (typeof text === "string") read[name.toLowerCase()] = text
    else if (typeof text === "number") read[name.toLowerCase()] = String(text)
  }
  return read
}
