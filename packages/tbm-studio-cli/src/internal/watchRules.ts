import * as Period from "@effect-resilience/tbm-studio/Period"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type Encoding, encodings } from "./encoding.ts"

const Place = Schema.Struct({
  files: Schema.String,
  project: Schema.String,
  table: Schema.String,
  period: Schema.optionalKey(Schema.String),
  action: Schema.optionalKey(Schema.Literals(TableAddress.actions)),
  marker: Schema.optionalKey(Schema.String),
  encoding: Schema.optionalKey(Schema.Literals(encodings)),
  allowEmpty: Schema.optionalKey(Schema.Boolean)
}).annotate({
  messageUnexpectedKey:
    "no such option: a rule has files, project, table, period, action, marker, encoding and allowEmpty, or files and ignore"
})

/** Where the files with some names go, or that they are left alone. */
export const WatchRule = Schema.Union([
  Place,
  Schema.Struct({ files: Schema.String, ignore: Schema.Literal(true) })
])

/** What a rule says about a file. */
export interface Match {
  readonly address: TableAddress.TableAddress
  readonly action: TableAddress.Action
  /** The name of the file whose presence shows that this one is whole. */
  readonly marker: string | undefined
  readonly encoding: Encoding
  readonly allowEmpty: boolean
}

/**
 * What the first rule for a file says: where it goes, that it is left alone, that it is the marker of another, or what is wrong
 * with its name. No rule is for it where this is undefined.
 */
export type Found =
  | { readonly _tag: "Send"; readonly match: Match }
  | { readonly _tag: "Ignore" }
  | { readonly _tag: "Marker"; readonly of: string }
  | { readonly _tag: "Invalid"; readonly why: string }

/** The rules of a file, ready to find names. */
export interface WatchRules {
  readonly find: (name: string) => Found | undefined
}

/** Checks the rules, and fails with what is wrong with the first that is wrong. */
export const make = (rules: ReadonlyArray<typeof WatchRule.Type>): Result.Result<WatchRules, string> => {
  const compiled: Array<Compiled> = []
  for (const [i, rule] of rules.entries()) {
    const made = compile(rule)
    if (Result.isFailure(made)) return Result.fail(`watch[${i}], for ${JSON.stringify(rule.files)}: ${made.failure}`)
    compiled.push(made.success)
  }
  const findFile = (name: string): Found | undefined => {
    for (const rule of compiled) {
      const found = rule.find(name)
      if (found !== undefined) return found
    }
    return undefined
  }
  const suffixes = [...new Set(compiled.flatMap(({ marker }) => marker ?? []))]
  return Result.succeed({
    find: (name) => {
      for (const suffix of suffixes) {
        if (!name.endsWith(suffix) || name === suffix) continue
        const of = name.slice(0, -suffix.length)
        const found = findFile(of)
        if (found?._tag === "Send" && found.match.marker === name) return { _tag: "Marker", of }
      }
      return findFile(name)
    }
  })
}

interface Compiled {
  readonly find: (name: string) => Found | undefined
  readonly marker: string | undefined
}

type Parts = ReadonlyMap<string, string>

const compile = (rule: typeof WatchRule.Type): Result.Result<Compiled, string> =>
  Result.flatMap(patternOf(rule.files), ({ names, pattern }): Result.Result<Compiled, string> => {
    if ("ignore" in rule) {
      return Result.succeed({ marker: undefined, find: (name) => pattern.test(name) ? { _tag: "Ignore" } : undefined })
    }
    const { action = "overwrite", allowEmpty = false, encoding = "utf-8", marker, project, table } = rule
    const dated = names.includes("year") && names.includes("month")
    const period = rule.period ?? (dated ? "{month}:{year}" : undefined)
    if (period === undefined) {
      return Result.fail("it has no period. Add one, or {year} and {month} to the names of its files.")
    }
    if (marker !== undefined && !/^[^/\\]+$/.test(marker)) {
      return Result.fail("the marker is the end of a name, such as .done.")
    }
    if (action === "append" && marker === undefined) {
      return Result.fail(
        "files to append need a marker, such as \"marker\": \".done\". A file that another process still writes may rest for a " +
          "while, and what was appended cannot be taken back."
      )
    }
    for (const template of [project, table, period]) {
      for (const [, name = ""] of template.matchAll(/\{(\w*)\}/g)) {
        if (!names.includes(name)) return Result.fail(`{${name}} is not in the names of its files.`)
      }
    }
    const addressOf = (parts: Parts) => {
      const fill = (template: string) => template.replace(/\{(\w+)\}/g, (_, name: string) => parts.get(name) ?? "")
      return TableAddress.make({ project: fill(project), table: fill(table), period: fill(period) })
    }
    const tried = addressOf(new Map(names.map((name) => [name, samples.get(name) ?? "x"])))
    if (
      Result.isFailure(tried) && (tried.failure._tag !== "InvalidPeriod" || names.every((name) => samples.has(name)))
    ) {
      return Result.fail(tried.failure.message)
    }
    return Result.succeed({
      marker,
      find: (name) => {
        const found = pattern.exec(name)
        if (found === null) return undefined
        const month = found.groups?.["month"]
        const address = addressOf(
          new Map(Object.entries({
            ...found.groups,
            ...(month === undefined ? {} : { month: monthOf(month) })
          }))
        )
        return Result.match(address, {
          onFailure: ({ message }) => ({ _tag: "Invalid", why: message }),
          onSuccess: (address) => ({
            _tag: "Send",
            match: {
              address,
              action,
              encoding,
              allowEmpty,
              marker: marker === undefined ? undefined : `${name}${marker}`
            }
          })
        })
      }
    })
  })

const samples = new Map([["year", "2024"], ["month", "January"]])

const monthOf = (text: string): string => /^\d+$/.test(text) ? Period.months[Number(text) - 1] ?? text : text

// `*` and `?` as in a shell, and names for the parts of a place. A name that begins with a dot is no file that arrives.
const patternOf = (
  files: string
): Result.Result<{ readonly pattern: RegExp; readonly names: ReadonlyArray<string> }, string> => {
  const names: Array<string> = []
  if (/[/\\]/.test(files)) return Result.fail("it has a slash, but only the folder itself is watched.")
  let source = ""
  for (const [token] of files.normalize("NFC").matchAll(/\{\w*\}|[^]/gu)) {
    if (token === "*") source += ".*"
    else if (token === "?") source += "."
    else if (token.length > 1 && token.startsWith("{")) {
      const name = token.slice(1, -1)
      if (!/^[a-z]\w*$/i.test(name)) return Result.fail(`${token} is no name.`)
      if (names.includes(name)) return Result.fail(`{${name}} occurs twice.`)
      names.push(name)
      source += `(?<${name}>${parts.get(name) ?? ".+?"})`
    } else source += token.replace(/[\\^$.*+?()[\]{}|/]/u, "\\$&")
  }
  return Result.succeed({ names, pattern: new RegExp(`^(?!\\.)${source}$`, "su") })
}

const parts = new Map([
  ["year", "[0-9]{4}"],
  ["month", `0[1-9]|1[0-2]|${Period.months.flatMap((name) => [name, name.slice(0, 3)]).join("|")}`]
])
