/**
 * Says what of a request or a response may be shown: allow-lists for headers, query parameters and fields of bodies.
 *
 * **Why**
 *
 * A deny-list knows `authorization` and `cookie`. It does not know the header in which this API carries its token, nor that
 * of the next version. So everything that is not allowed is hidden.
 *
 * **Details**
 *
 * `layer` also closes Effect's own holes: it hides the same headers and parameters wherever Effect prints or traces a
 * request (`Headers.CurrentRedactedNames`, `UrlParams.CurrentRedactedNames`), and lets spans capture allowed headers only
 * (`HttpClient.TracerHeaderFilter`).
 *
 * **Gotchas**
 *
 * Effect reads these references from the running fiber. What is printed outside a fiber, as Node prints an uncaught
 * exception, is not redacted: never let a raw `HttpClientError` escape (`ErrorMapping` prevents that).
 *
 * **Example** (A header that is not allowed)
 *
 * ```ts import.meta.vitest
 * import { Redaction } from "@effect-resilience/http"
 *
 * const redaction = Redaction.make({ query: ["page"] })
 * Redaction.headers(redaction, { accept: "text/csv", "acme-token": "s3cr3t" })
 * // => { accept: "text/csv", "acme-token": "<redacted>" }
 * Redaction.url(redaction, "https://me:pw@api.example.com/rows?page=2&key=s3cr3t#top")
 * // => "https://api.example.com/rows?page=2&key=REDACTED"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Direct from "@effect-resilience/kernel/Direct"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as UrlParams from "effect/http/UrlParams"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"

/**
 * The names that may be shown; everything else is hidden. Header names are lower case.
 *
 * @category models
 * @since 0.1.0
 */
export interface Redaction {
  /** Names of headers, in lower case. */
  readonly headers: ReadonlySet<string>
  /** Names of query parameters. */
  readonly query: ReadonlySet<string>
  /** Names of fields in JSON and in forms. */
  readonly fields: ReadonlySet<string>
}

/**
 * What stands in the place of a hidden header or field.
 *
 * @category constants
 * @since 0.1.0
 */
export const placeholder = "<redacted>"

/**
 * Headers that say how something is sent, and nothing about what or by whom.
 *
 * @category constants
 * @since 0.1.0
 */
export const plainHeaders: ReadonlyArray<string> = [
  "accept",
  "accept-encoding",
  "accept-ranges",
  "age",
  "allow",
  "cache-control",
  "connection",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "date",
  "etag",
  "expect",
  "expires",
  "host",
  "last-modified",
  "ratelimit",
  "ratelimit-limit",
  "ratelimit-policy",
  "ratelimit-remaining",
  "ratelimit-reset",
  "request-id",
  "retry-after",
  "server",
  "traceparent",
  "transfer-encoding",
  "user-agent",
  "vary",
  "x-correlation-id",
  "x-ratelimit-limit",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "x-request-id"
]

/**
 * Allows names on top of `plainHeaders`. No query parameter and no field is allowed by default. Case does not matter in
 * header names.
 *
 * - `headers`: names of further headers; none by default.
 * - `query`: names of query parameters; none by default.
 * - `fields`: names of fields in JSON and in forms; none by default.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (allow: {
  readonly headers?: Iterable<string> | undefined
  readonly query?: Iterable<string> | undefined
  readonly fields?: Iterable<string> | undefined
} = {}): Redaction => ({
  headers: new Set([...plainHeaders, ...Array.from(allow.headers ?? [], (name) => name.toLowerCase())]),
  query: new Set(allow.query),
  fields: new Set(allow.fields)
})

/**
 * The redaction of the current fiber; `make()` by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Redaction> = /* @__PURE__ */ Context.Reference<Redaction>(
  "@effect-resilience/http/Redaction/Current",
  { defaultValue: () => make() }
)

/**
 * Headers with hidden values.
 *
 * @category redacting
 * @since 0.1.0
 */
export const headers = (
  self: Redaction,
  input: { readonly [name: string]: string | undefined }
): { readonly [name: string]: string } => {
  const shown: Record<string, string> = {}
  for (const [name, value] of Object.entries(input)) {
    if (value !== undefined) shown[name] = self.headers.has(name.toLowerCase()) ? value : placeholder
  }
  return shown
}

/**
 * An address without user info and fragment, and with hidden query parameters. The placeholder replaces a text that is no
 * URL, and everything but the scheme of a URL without a host.
 *
 * @category redacting
 * @since 0.1.0
 */
export const url = (self: Redaction, input: string | URL): string => {
  if (typeof input === "string" && !URL.canParse(input)) return placeholder
  const { origin, pathname, protocol, search } = typeof input === "string" ? new URL(input) : input
  // In `data:`, `javascript:` and the like, the address is the content.
  if (origin === "null") return protocol + placeholder
  return search === "" ? origin + pathname : origin + pathname + UrlParams.redactUrl(search, [hiding(self.query)])
}

/**
 * A JSON value with hidden fields. Its shape and types stay, so that it still decodes: a hidden text becomes the
 * placeholder, a number 0, a boolean `false`. Only allowed fields are shown, with everything below them. What lies more than
 * 200 levels deep becomes `null`.
 *
 * **Example** (A name that may not be shown)
 *
 * ```ts import.meta.vitest
 * import { Redaction } from "@effect-resilience/http"
 *
 * const redaction = Redaction.make({ fields: ["id", "tags"] })
 * Redaction.json(redaction, { id: 7, owner: { name: "Jo", age: 40 }, tags: ["a", "b"] })
 * // => { id: 7, owner: { name: "<redacted>", age: 0 }, tags: ["a", "b"] }
 * ```
 *
 * @category redacting
 * @since 0.1.0
 */
export const json = (self: Redaction, value: unknown): unknown => hidden(self, value, 0)

const hidden = (self: Redaction, value: unknown, depth: number): unknown => {
  switch (typeof value) {
    case "string":
      return placeholder
    case "number":
      return 0
    case "boolean":
      return false
  }
  if (depth > deepest) return null
  if (Array.isArray(value)) return value.map((item) => hidden(self, item, depth + 1))
  if (!Predicate.isObject(value)) return null
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, self.fields.has(name) ? field : hidden(self, field, depth + 1)])
  )
}

const deepest = 200

/**
 * Redacts in every fiber below, here and in Effect itself.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (self: Redaction): Layer.Layer<never> => Layer.succeedContext(references(self))

/**
 * Redacts within one effect. Around one that has a redaction already it changes nothing: the inner one says all.
 *
 * @category combinators
 * @since 0.1.0
 */
export const provide = (self: Redaction) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  if (redacted.has(effect)) return effect
  const provided = references(self)
  const made = Direct.updateContext(effect, (context) => Context.merge(context, provided))
  redacted.add(made)
  return made
}

// Each one around another would take a frame of the stack where the effect begins without a fiber.
const redacted = /* @__PURE__ */ new WeakSet<object>()

const references = (self: Redaction): Context.Context<never> =>
  Context.make(Current, self).pipe(
    Context.add(Headers.CurrentRedactedNames, [hiding(self.headers, "i")]),
    Context.add(UrlParams.CurrentRedactedNames, [hiding(self.query)]),
    Context.add(HttpClient.TracerHeaderFilter, (name) => self.headers.has(name))
  )

/** Matches every name that is not allowed. */
const hiding = (allowed: ReadonlySet<string>, flags?: string): RegExp =>
  new RegExp(
    allowed.size === 0
      ? "^"
      : `^(?!(?:${[...allowed].map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})$)`,
    flags
  )
