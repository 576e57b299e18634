/**
 * The table and period that an upload goes to, and the path of the request.
 *
 * **Why**
 *
 * Project and table names are free text: `A/B & C#?%+` is one. Each becomes one encoded segment of the path. A name that
 * cannot be encoded is rejected: every URL parser removes `..`, for example, encoded or not.
 *
 * **Example** (The path of an upload)
 *
 * ```ts import.meta.vitest
 * import { TableAddress } from "@effect-resilience/tbm-studio"
 * import { Result } from "effect"
 *
 * const address = Result.getOrThrow(
 *   TableAddress.make({ project: "Cost Transparency", table: "GL Data", period: "January:2024" })
 * )
 * TableAddress.path(address, "acme.com", "overwrite")
 * // => "/biit/api/v1/acme.com/Cost%20Transparency/GL%20Data/January%3A2024/overwrite"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Result from "effect/Result"
import * as Period from "./Period.ts"

/**
 * A table of a project in one period.
 *
 * @category models
 * @since 0.1.0
 */
export interface TableAddress {
  /** The name of the project, not encoded. */
  readonly project: string
  /** The name of the table, not encoded. */
  readonly table: string
  /** The period, such as `Jan:2024`. */
  readonly period: Period.Period
}

/**
 * What an upload does with the existing rows: `overwrite` replaces them, `append` adds to them.
 *
 * @category models
 * @since 0.1.0
 */
export type Action = typeof actions[number]

/**
 * What uploads can do with the existing rows.
 *
 * @category constants
 * @since 0.1.0
 */
export const actions = ["overwrite", "append"] as const

/**
 * A name that cannot be a segment of a path.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidName extends ErrorMessage.TaggedError("InvalidName")<{
  /** Which of the names. */
  readonly what: "project" | "table"
  /** The name, as it was given. */
  readonly text: string
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `The ${this.what} ${JSON.stringify(this.text)} cannot be addressed: ` +
      `a name must not be empty, "." or "..", and must not contain control characters or broken Unicode.`
  }
}

/**
 * Checks the names and parses the period.
 *
 * - `project`: the name of the project, not encoded.
 * - `table`: the name of the table, not encoded.
 * - `period`: the period as text, such as `Jan:2024`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (input: {
  readonly project: string
  readonly table: string
  readonly period: string
}): Result.Result<TableAddress, InvalidName | Period.InvalidPeriod> => {
  for (const what of ["project", "table"] as const) {
    if (!isName(input[what])) return Result.fail(new InvalidName({ what, text: input[what] }))
  }
  return Result.map(Period.parse(input.period), (period) => ({ project: input.project, table: input.table, period }))
}

/**
 * The path of an upload, in a version of the API; default `v1`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const path = (address: TableAddress, domain: string, action: Action, version: Version = "v1"): string => {
  const values = { domain, action, ...address }
  return pathTemplates[version].replace(
    /\{(domain|project|table|period|action)\}/g,
    (_, name: keyof typeof values) => segment(values[name])
  )
}

/**
 * The versions of the API that have a path for tables.
 *
 * @category models
 * @since 0.1.0
 */
export type Version = typeof versions[number]

/**
 * The versions of the API, oldest first.
 *
 * @category constants
 * @since 0.1.0
 */
export const versions = ["v1", "v2"] as const

/**
 * The templates of the paths, as logs and metrics report them.
 *
 * @category constants
 * @since 0.1.0
 */
export const pathTemplates: { readonly [version in Version]: string } = {
  v1: "/biit/api/v1/{domain}/{project}/{table}/{period}/{action}",
  v2: "/biit/api/v2/domains/{domain}/projects/{project}/tables/{table}/dates/{period}/{action}"
}

/**
 * The path of a download, which only version `v2` has.
 *
 * @category formatting
 * @since 0.1.0
 */
export const downloadPath = ({ period, project, table }: TableAddress, domain: string): string => {
  const values = { domain, project, table, period }
  return downloadTemplate.replace(
    /\{(domain|project|table|period)\}/g,
    (_, name: keyof typeof values) => segment(values[name])
  )
}

/**
 * The template of that path, as logs and metrics report it.
 *
 * @category constants
 * @since 0.1.0
 */
export const downloadTemplate: string =
  "/biit/api/v2/domains/{domain}/projects/{project}/tables/{table}/dates/{period}.tsv"

/**
 * One key for uploads to the same table and period, which must not overlap.
 *
 * @category accessors
 * @since 0.1.0
 */
export const key = (address: TableAddress): string =>
  JSON.stringify([address.project, address.table, Period.key(address.period)])

/**
 * The address on one line, for people.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (address: TableAddress): string => `${address.project} / ${address.table} / ${address.period}`

const isName = (name: string) =>
  name.trim() !== "" && name !== "." && name !== ".." && !/[\p{Cc}\p{Surrogate}]/u.test(name)

// encodeURIComponent keeps !'()*, but some proxies change these characters.
const segment = (name: string) =>
  encodeURIComponent(name).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
