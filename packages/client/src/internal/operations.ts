import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as HttpMethod from "effect/http/HttpMethod"

/** A method and the segments of a path; one that is `undefined` was in braces, and fits any that is not empty. */
export interface Template {
  readonly method: string
  readonly path: string
  readonly segments: ReadonlyArray<string | undefined>
}

/** Throws `RangeError` for what is no template. `option` names it. */
export const parse = (text: string, option: string): Template => {
  const [, method = "", path = ""] = /^(\S+) (\/[^\s?#]*)$/.exec(text) ?? []
  const written = path.split("/").slice(1)
  requireArgument(
    HttpMethod.isHttpMethod(method) && written.every(isSegment),
    option,
    "a method and a path whose parameters are whole segments, such as POST /orders/{id}",
    JSON.stringify(text)
  )
  return { method, path, segments: written.map((segment) => parameter.test(segment) ? undefined : encoded(segment)) }
}

const parameter = /^\{[^{}]+\}$/

// `:id` and `*` are parameters elsewhere. Here they would be texts that no request has.
const isSegment = (segment: string): boolean =>
  parameter.test(segment) || (!/[{}\\]|^:|^\*+$/.test(segment) && !/^(\.|%2e){1,2}$/i.test(segment))

// As URLs have it on the wire, so that both sides may write `é` or `%c3%a9`. An encoded slash stays within its segment.
const encoded = (segment: string): string => normal(new URL(`http://x/${segment}`).pathname.slice(1))

const normal = (path: string): string => path.replace(/%[0-9a-f]{2}/gi, (byte) => byte.toUpperCase())

/** Which of two templates is asked first: the one that says more, from the left. Equal ones are doubles. */
export const compare = (one: Template, other: Template): number => {
  const [a, b] = [keyOf(one), keyOf(other)]
  return a < b ? -1 : a > b ? 1 : 0
}

// An encoded text has nothing that sorts after a parameter.
const keyOf = ({ method, segments }: Template): string =>
  `${method} ${segments.map((segment) => segment === undefined ? "\uffff" : segment).join(" ")}`

/** The segments of a URL's path below a base; `undefined` where it is not below. */
export const segmentsBelow = (url: string, base: string): ReadonlyArray<string> | undefined => {
  if (!URL.canParse(url)) return undefined
  const { origin, pathname } = new URL(url)
  const { origin: baseOrigin, pathname: basePath } = new URL(base)
  const root = basePath.replace(/\/$/, "")
  if (origin !== baseOrigin || !(pathname === root || pathname.startsWith(`${root}/`))) return undefined
  return normal(pathname.slice(root.length + 1)).split("/")
}

export const fits = (template: Template, method: string, segments: ReadonlyArray<string>): boolean =>
  template.method === method && segments.length === template.segments.length &&
  template.segments.every((segment, i) => segment === undefined ? segments[i] !== "" : segment === segments[i])
