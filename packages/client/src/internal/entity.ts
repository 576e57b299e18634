// What the headers of a response say about the version and the part that it has.
import type * as Headers from "effect/http/Headers"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"

/** What `If-Range` can name. */
export interface Version {
  readonly ifRange: string
  readonly etag: string | undefined
  readonly lastModified: string | undefined
}

export const versionOf = (headers: Headers.Headers): Version | undefined => {
  const { etag, "last-modified": lastModified } = headers
  if (etag !== undefined && isStrong.test(etag)) return { ifRange: etag, etag, lastModified: undefined }
  // A weak tag says that versions may differ in bytes, and a date would not notice that either.
  if (etag !== undefined || lastModified === undefined || !isStrongDate(lastModified, headers["date"])) return undefined
  return { ifRange: lastModified, etag: undefined, lastModified }
}

/** Whether a response says that it is of another version. */
export const isOther = ({ etag, lastModified }: Version, headers: Headers.Headers): boolean =>
  differs(etag, headers["etag"]) || differs(lastModified, headers["last-modified"])

const differs = (known: string | undefined, now: string | undefined) =>
  known !== undefined && now !== undefined && known !== now

const isStrong = /^"[^"]*"$/

// RFC 9110, section 8.8.2.2: a second is the resolution of the date, and it may have changed again within the same.
const isStrongDate = (lastModified: string, date: string | undefined): boolean =>
  date !== undefined && Date.parse(date) - Date.parse(lastModified) >= 1_000

export const isEncoded = (headers: Headers.Headers): boolean =>
  (headers["content-encoding"] ?? "identity").trim().toLowerCase() !== "identity"

/**
 * Whether the length may be that of a body that was packed: a page that asks another origin sees it, but neither that the body was
 * packed, nor can it ask for another one, since browsers say themselves what they accept.
 */
export const mayBePacked = ({ url }: HttpClientResponse.HttpClientResponse): boolean => {
  const { location } = globalThis
  return location !== undefined && URL.canParse(url) && new URL(url).origin !== location.origin
}

export const lengthOf = (headers: Headers.Headers): number | undefined => {
  const length = headers["content-length"]
  return length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined
}

/** The range of a 206, if it is one that makes sense and says how long the whole is. */
export const rangeOf = (
  headers: Headers.Headers
): { readonly first: number; readonly last: number; readonly total: number } | undefined => {
  const [, first, last, total] =
    /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(headers["content-range"] ?? "")?.map(Number) ?? []
  return first !== undefined && last !== undefined && total !== undefined && first <= last && last < total
    ? { first, last, total }
    : undefined
}
