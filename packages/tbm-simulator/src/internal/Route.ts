/** The operation of a request, and the names in its path. */
import * as Result from "effect/Result"

export type Route =
  | { readonly operation: "login" }
  | { readonly operation: "environment"; readonly domain: string; readonly name: string }
  | UploadRoute
  | UploaderRoute
  | { readonly operation: "other"; readonly status: number; readonly message: string; readonly allow?: string }

export interface UploadRoute {
  readonly operation: "upload"
  readonly domain: string
  readonly project: string
  readonly table: string
  readonly period: string
  readonly action: "overwrite" | "append"
}

/** A call to the uploader service. */
export type UploaderRoute =
  | { readonly operation: "single" }
  | { readonly operation: "initiate" }
  | { readonly operation: "part"; readonly uploadId: string; readonly part: string }
  | { readonly operation: "finalize"; readonly uploadId: string }
  | { readonly operation: "abort"; readonly uploadId: string }
  | { readonly operation: "process" }
  | { readonly operation: "status"; readonly processId: string }

/** The path of a request target, without the query, and without the origin that a proxy's client sends. */
export const pathOf = (target: string): string => {
  const path = target.replace(/^https?:\/\/[^/?#]*/i, "").replace(/[?#].*$/s, "")
  return path === "" ? "/" : path
}

/** The decoded path; unchanged if it cannot be decoded. */
export const decoded = (path: string): string =>
  Result.getOrElse(Result.try(() => decodeURIComponent(path)), () => path)

export const parse = (method: string, path: string): Route => {
  const [, first = "", ...rest] = path.split("/")
  const below = `${first}/${rest.slice(0, 2).join("/")}`
  if (path === "/service/apikeylogin") return only("POST", method, { operation: "login" })
  if (first === "api" && rest[0] === "environment") return named(rest.slice(1), method)
  if (below === "biit/api/v1") return tableUpload(method, rest.slice(2))
  if (below === "uls/api/v1") return uploader(method, rest.slice(2))
  if (below === "biit/api/v2") {
    const [domains, domain, projects, project, tables, table, dates, ...tail] = rest.slice(2)
    if (domains === "domains" && projects === "projects" && tables === "tables" && dates === "dates") {
      return tableUpload(method, [domain ?? "", project ?? "", table ?? "", ...tail])
    }
    return wrongApi
  }
  return { operation: "other", status: 404, message: "HTTP 404 Not Found" }
}

const wrongApi: Route = { operation: "other", status: 400, message: "Bad request: wrong API string." }

const only = (expected: string, method: string, route: Route, allow = expected): Route =>
  method === expected ? route : { operation: "other", status: 405, message: "HTTP 405 Method Not Allowed", allow }

const uploader = (method: string, segments: ReadonlyArray<string>): Route => {
  const names = decodeAll(segments)
  const [first, second, id, noun, part, ...more] = names ?? []
  if (more.length > 0) return wrongApi
  if (first === "upload" && second === undefined) return only("POST", method, { operation: "single" })
  if (first === "upload" && second === "multipart") {
    if (id === undefined) return only("POST", method, { operation: "initiate" })
    if (noun === undefined) {
      return method === "DELETE"
        ? { operation: "abort", uploadId: id }
        : only("POST", method, { operation: "finalize", uploadId: id }, "POST, DELETE")
    }
    if (noun === "part" && part !== undefined) return only("PUT", method, { operation: "part", uploadId: id, part })
  }
  if (first === "process" && second === undefined) return only("POST", method, { operation: "process" })
  if (first === "status" && second !== undefined && id === undefined) {
    return only("GET", method, { operation: "status", processId: second })
  }
  return { operation: "other", status: 404, message: "HTTP 404 Not Found" }
}

const named = (segments: ReadonlyArray<string>, method: string): Route => {
  const names = decodeAll(segments)
  const [domain, name, ...more] = names ?? []
  if (domain === undefined || name === undefined || more.length > 0) return wrongApi
  return only("GET", method, { operation: "environment", domain, name })
}

const tableUpload = (method: string, segments: ReadonlyArray<string>): Route => {
  const names = decodeAll(segments)
  const [domain, project, table, period, action, ...more] = names ?? []
  if (
    domain === undefined || project === undefined || table === undefined || period === undefined ||
    action === undefined || more.length > 0
  ) return wrongApi
  if (action !== "overwrite" && action !== "append") {
    return {
      operation: "other",
      status: 400,
      message: `Unknown action '${action}'. Ought to be 'overwrite' or 'append'.`
    }
  }
  return only("POST", method, { operation: "upload", domain, project, table, period, action })
}

/** The segments, decoded once; undefined if one is empty, a dot segment, or not decodable. */
const decodeAll = (segments: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  const names = segments.map((segment) => Result.getOrUndefined(Result.try(() => decodeURIComponent(segment))))
  return names.every((name) => name !== undefined && name !== "" && name !== "." && name !== "..")
    ? names.filter((name) => name !== undefined)
    : undefined
}
