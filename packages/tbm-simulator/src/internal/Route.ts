/** The operation of a request, and the names in its path. */
import * as Result from "effect/Result"

export type Route =
  | { readonly operation: "login" }
  | { readonly operation: "environment"; readonly domain: string; readonly name: string }
  | UploadRoute
  | DownloadRoute
  | UploaderRoute
  | { readonly operation: "other"; readonly status: number; readonly message: string; readonly allow?: string }

interface TableRoute {
  readonly domain: string
  readonly project: string
  readonly table: string
  readonly period: string
}

/**
 * - `action`: absent if the path has none; then the form may name one, and otherwise it is an overwrite.
 * - `force`: whether the path ends in `force`.
 */
export interface UploadRoute extends TableRoute {
  readonly operation: "upload"
  readonly action: "overwrite" | "append" | undefined
  readonly force: boolean
}

/** The rows of a table and period, as TSV. */
export interface DownloadRoute extends TableRoute {
  readonly operation: "download"
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
  if (first === "uls" && rest[0] === "v1") return uploader(method, rest.slice(1))
  if (below === "biit/api/v2") {
    const [domains, domain, projects, project, tables, table, dates, ...tail] = rest.slice(2)
    if (domains === "domains" && projects === "projects" && tables === "tables" && dates === "dates") {
      // As the vendor's example writes them.
      const spaced = [project, table].map((name = "") => name.replaceAll("+", " "))
      return tableUpload(method, [domain ?? "", ...spaced, ...tail], true)
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

const tableUpload = (method: string, segments: ReadonlyArray<string>, readable = false): Route => {
  const names = decodeAll(segments)
  const [domain, project, table, period, last, ...more] = names ?? []
  if (
    domain === undefined || project === undefined || table === undefined || period === undefined || more.length > 0
  ) return wrongApi
  const place = { domain, project, table, period }
  if (readable && last === undefined && (method === "GET" || period.endsWith(".tsv"))) {
    return only("GET", method, { operation: "download", ...place, period: period.replace(/\.tsv$/, "") }, "GET, POST")
  }
  if (last !== undefined && last !== "overwrite" && last !== "append" && last !== "force") {
    return {
      operation: "other",
      status: 400,
      message: `Unknown action '${last}'. Ought to be 'overwrite' or 'append'.`
    }
  }
  const force = last === "force"
  return only("POST", method, { operation: "upload", ...place, action: force ? undefined : last, force })
}

/** The segments, decoded once; undefined if one is empty, a dot segment, or not decodable. */
const decodeAll = (segments: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  const names = segments.map((segment) => Result.getOrUndefined(Result.try(() => decodeURIComponent(segment))))
  return names.every((name) => name !== undefined && name !== "" && name !== "." && name !== "..")
    ? names.filter((name) => name !== undefined)
    : undefined
}
