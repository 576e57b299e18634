/**
 * Reads the message of an error response's body, in any format.
 *
 * **Details**
 *
 * In JSON it looks for the text in `message`, `error` (a string, or an object with a `message`), `error_description`, RFC 9457's
 * `detail` and `title`, and `errors[0]`; in HTML it takes the title or the first heading; in XML
 * the `Message` and `Code` of [S3](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html),
 * [Google Cloud Storage](https://cloud.google.com/storage/docs/xml-api/reference-status) and
 * [Azure](https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2), or a SOAP fault. It reads only the first
 * `maxBytes`, and the message is one line without control characters, so neither a huge page nor terminal escapes reach
 * a log.
 *
 * **Example** (JSON and HTML)
 *
 * ```ts import.meta.vitest
 * import { ErrorBody } from "@effect-resilience/errors"
 *
 * ErrorBody.parse(`{"error":{"code":"E42","message":"Table not found"}}`)
 * // => { kind: "json", message: "Table not found", code: "E42", truncated: false }
 * ErrorBody.parse("<html><title>502 Bad Gateway</title>…").message // => "502 Bad Gateway"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as ForeignText from "./ForeignText.ts"

/**
 * What the body says. `message` and `code` are absent if the body has none; `truncated` is true if the body was longer than
 * the limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorBody {
  /** What the body is: `problem` is a problem document (RFC 9457). */
  readonly kind: "problem" | "json" | "xml" | "html" | "text" | "binary" | "empty"
  readonly message?: string
  readonly code?: string
  readonly truncated: boolean
}

/**
 * How many bytes of an error body are read: 64 KiB.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxBytes = 65_536

/**
 * The longest message, in characters: 2,000.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxMessageLength = ForeignText.maxLength

/**
 * Reads a body. `contentType` distinguishes a problem document from plain JSON; the text decides the rest, since many
 * servers label it wrongly. Set `truncated` if you stopped reading before the end.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (
  body: Uint8Array | string,
  options: { readonly contentType?: string | undefined; readonly truncated?: boolean | undefined } = {}
): ErrorBody => {
  const truncated = options.truncated === true || body.length > maxBytes
  const text = (typeof body === "string" ? body.slice(0, maxBytes) : decodeUtf8(body.subarray(0, maxBytes), truncated))
    .trim()
  if (text === "") return { kind: "empty", truncated }
  if (text.startsWith("{") || text.startsWith("[")) {
    const json = Result.try((): unknown => JSON.parse(text))
    if (Result.isSuccess(json)) return { ...readJson(json.success, options.contentType), truncated }
    const salvaged = salvageMessage(text)
    if (salvaged !== undefined) return { kind: "json", message: salvaged, truncated }
  }
  if (xml.test(text) && !html.test(text.slice(0, 1000))) return { kind: "xml", ...readXml(text), truncated }
  if (text.startsWith("<") || options.contentType?.toLowerCase().includes("html")) {
    return { kind: "html", ...messageField(htmlMessage(text)), truncated }
  }
  if (binary.test(text)) return { kind: "binary", truncated }
  const quoted = Result.try((): unknown => JSON.parse(text))
  const plain = Result.isSuccess(quoted) && typeof quoted.success === "string" ? quoted.success : text
  return { kind: "text", ...messageField(plain), truncated }
}

/**
 * The kind of a body, as a phrase for a sentence.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (kind: ErrorBody["kind"]): string => shapes[kind]

const shapes: { readonly [kind in ErrorBody["kind"]]: string } = {
  problem: "a problem document",
  json: "JSON",
  xml: "XML",
  html: "an HTML page",
  text: "plain text",
  binary: "binary data",
  empty: "an empty body"
}

const xml = /^<(?:\?xml\s|(?:\w{1,40}:)?(?:Error|ErrorResponse|Errors|Envelope|Response)[\s>])/i
const html = /<!doctype\s+html|<html/i

// The limit may cut a character in two; `stream` omits such a half.
const decodeUtf8 = (bytes: Uint8Array, truncated: boolean) => new TextDecoder().decode(bytes, { stream: truncated })

const binary = /[^\P{Cc}\s]|\ufffd/u

const readJson = (json: unknown, contentType: string | undefined): Omit<ErrorBody, "truncated"> => {
  const subject = Array.isArray(json) ? json[0] : json
  if (typeof subject === "string") return { kind: "json", ...messageField(subject) }
  if (!Predicate.isObject(subject)) return { kind: "json" }
  const isProblem = contentType?.includes("problem+json") === true || ("title" in subject && "detail" in subject)
  return {
    kind: isProblem ? "problem" : "json",
    ...messageField(findMessage(subject)),
    ...codeField(subject)
  }
}

const messageKeys = ["message", "Message", "error_description", "detail", "error", "errors", "title", "reason"] as const

const findMessage = (subject: object, depth = 0): string | undefined => {
  for (const key of messageKeys) {
    if (!Predicate.hasProperty(subject, key)) continue
    const value = subject[key]
    const candidate = Array.isArray(value) ? value[0] : value
    if (typeof candidate === "string" && candidate.trim() !== "") return candidate
    if (Predicate.isObject(candidate) && depth < 2) {
      const nested = findMessage(candidate, depth + 1)
      if (nested !== undefined) return nested
    }
  }
  return undefined
}

const codeField = (subject: object): { readonly code?: string } => {
  for (const owner of [subject, Predicate.hasProperty(subject, "error") ? subject.error : undefined]) {
    if (!Predicate.hasProperty(owner, "code")) continue
    if (typeof owner.code === "string" || typeof owner.code === "number") {
      return { code: ForeignText.oneLine(String(owner.code), 100) }
    }
  }
  // RFC 6749, section 5.2: the code is `error`, the text `error_description`.
  return "error" in subject && typeof subject.error === "string" && word.test(subject.error)
    ? { code: subject.error }
    : {}
}

const word = /^[\w.:/-]{1,100}$/

const messageField = (message: string | undefined): { readonly message?: string } => {
  const line = message === undefined ? "" : ForeignText.oneLine(message, maxMessageLength)
  return line === "" ? {} : { message: line }
}

// A document cut off by the limit does not parse, but its message is usually near the start.
const salvageMessage = (text: string): string | undefined => {
  // The end of the pattern excludes quotes within a text.
  const found = /"(?:message|error|detail)"\s*:\s*("(?:[^"\\]|\\.){1,4000}")\s*(?:[,}]|$)/.exec(text)?.[1]
  if (found === undefined) return undefined
  const parsed = Result.try((): unknown => JSON.parse(found))
  return Result.isSuccess(parsed) && typeof parsed.success === "string"
    ? ForeignText.oneLine(parsed.success)
    : undefined
}

const readXml = (text: string): Omit<ErrorBody, "kind" | "truncated"> => {
  const code = xmlText(text, "(?:Error)?Code|faultcode")
  return {
    ...messageField(xmlText(text, "(?:Error)?Message|faultstring|Text") ?? xmlText(text, "Details?|Description")),
    ...(code !== undefined && { code: ForeignText.oneLine(code, 100) })
  }
}

const xmlText = (text: string, names: string): string | undefined => {
  const found = new RegExp(
    `<(?:\\w{1,40}:)?(?:${names})(?:\\s[^<>]{0,500})?>\\s*(?:<!\\[CDATA\\[)?([^<\\]]{1,4000})`,
    "i"
  )
    .exec(text)?.[1]?.trim()
  return found === undefined || found === "" ? undefined : decodeEntities(found)
}

const htmlMessage = (html: string): string | undefined => {
  const found = /<title[^<>]*>([^<]{1,500})/i.exec(html)?.[1] ?? /<h1[^<>]*>([^<]{1,500})/i.exec(html)?.[1]
  return found === undefined ? undefined : decodeEntities(found)
}

const entities: { readonly [name: string]: string } = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: "\"",
  apos: "'",
  "#39": "'",
  nbsp: " "
}
const decodeEntities = (text: string) =>
  text.replace(/&(amp|lt|gt|quot|apos|#39|nbsp);/g, (whole, name: string) => entities[name] ?? whole)
