/**
 * Which table and period an upload goes to, and the path that says so.
 *
 * **Why**
 *
 * Project and table names are free text: `A/B & C#?%+` is one. Each becomes one encoded segment of the path, and a name
 * that no encoding can carry (`..` is resolved away by every URL parser, encoded or not) is refused.
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
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as Period from "./Period.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface TableAddress {
  readonly project: string
  readonly table: string
  readonly period: Period.Period
}

/**
 * What an upload does with the rows that are there: `overwrite` replaces them, `append` adds to them.
 *
 * @category models
 * @since 0.1.0
 */
export type Action = typeof actions[number]

/**
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
export class InvalidName extends Data.TaggedError("InvalidName")<{
  readonly what: "project" | "table"
  readonly name: string
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `The ${this.what} ${JSON.stringify(this.name)} cannot be addressed: ` +
      `a name is not empty, not "." or "..", and has no control characters and no halves of characters (lone surrogates).`
  }
}

/**
 * Checks the names and reads the period.
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
    if (!isName(input[what])) return Result.fail(new InvalidName({ what, name: input[what] }))
  }
  return Result.map(Period.parse(input.period), (period) => ({ project: input.project, table: input.table, period }))
}

/**
 * The path of an upload, by the version of the API; default `v1`.
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
 * The versions of the API whose paths lead to a table.
 *
 * @category models
 * @since 0.1.0
 */
export type Version = typeof versions[number]

/**
 * @category constants
 * @since 0.1.0
 */
export const versions = ["v1", "v2"] as const

/**
 * The paths as templates, for logs and metrics too.
 *
 * @category constants
 * @since 0.1.0
 */
export const pathTemplates: { readonly [version in Version]: string } = {
  v1: "/biit/api/v1/{domain}/{project}/{table}/{period}/{action}",
  v2: "/biit/api/v2/domains/{domain}/projects/{project}/tables/{table}/dates/{period}/{action}"
}

/**
 * The same for two uploads that must not overlap: those to one table and period.
 *
 * @category accessors
 * @since 0.1.0
 */
export const key = (address: TableAddress): string =>
  JSON.stringify([address.project, address.table, Period.key(address.period)])

/**
 * One line for people.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (address: TableAddress): string => `${address.project} / ${address.table} / ${address.period}`

const isName = (name: string) =>
  name.trim() !== "" && name !== "." && name !== ".." && !/[\p{Cc}\p{Surrogate}]/u.test(name)

// encodeURIComponent leaves !'()* alone, which some servers in between do not.
const segment = (name: string) =>
  encodeURIComponent(name).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
