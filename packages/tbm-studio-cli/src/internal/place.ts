import * as Period from "@effect-resilience/tbm-studio/Period"
import type { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** Identifies a TBM Studio. It is the same for every spelling of its address. */
export interface Scope {
  readonly service: string
  readonly domain: string
  readonly environment: string
}

/** A table and period of a TBM Studio: uploads to one depend on each other. */
export interface Place extends Scope {
  readonly project: string
  readonly table: string
  readonly period: string
}

export const scopeOf = (
  { api, domain, environment }: Pick<Settings["Service"], "api" | "domain" | "environment">
): Scope => ({
  service: serviceOf(api),
  domain: domain.toLowerCase(),
  environment
})

// All names of this machine are the same host.
const serviceOf = (api: string): string => {
  const url = new URL(api)
  const host = url.hostname.replace(/\.$/, "")
  if (host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host)) url.hostname = "localhost"
  else url.hostname = host
  return url.origin
}

/**
 * The place of a table and period. For `current` it includes the month, since `current` is another period in each month:
 * rows that were appended to it in May are not there in June.
 *
 * - `now`: in milliseconds since 1970; months change at midnight UTC.
 */
export const of = (scope: Scope, address: TableAddress.TableAddress, now: number): string =>
  format(parts(scope, address, now))

/** The place that `of` formats. */
export const parts = (scope: Scope, { period, project, table }: TableAddress.TableAddress, now: number): Place => ({
  ...scope,
  project,
  table,
  period: periodOf(Period.key(period), now)
})

const periodOf = (key: string, now: number): string =>
  key === "current" ? `current in ${new Date(now).toISOString().slice(0, 7)}` : key

export const format = ({ domain, environment, period, project, service, table }: Place): string =>
  JSON.stringify([service, domain, environment, project, table, period])

export const sameScope = (a: Scope, b: Scope): boolean =>
  a.service === b.service && a.domain === b.domain && a.environment === b.environment

export const describe = ({ domain, environment, service }: Scope): string => `${service} (${domain}, ${environment})`

const Fields = Schema.fromJsonString(
  Schema.Tuple([Schema.String, Schema.String, Schema.String, Schema.String, Schema.String, Schema.String])
)

/** Parses the output of `format`. */
export const parse = (text: string): Option.Option<Place> =>
  Option.map(
    Schema.decodeUnknownOption(Fields)(text),
    ([service, domain, environment, project, table, period]) => ({
      service,
      domain,
      environment,
      project,
      table,
      period
    })
  )

const OutdatedId = Schema.fromJsonString(Schema.Tuple([
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.Literals(TableAddress.actions),
  Schema.Int
]))

/** Parses an id of a journal of version 0.0.0. `at` is when it was recorded. */
export const ofOutdated = (
  id: string,
  at: number
): Option.Option<{ readonly place: string; readonly file: string; readonly action: TableAddress.Action }> =>
  Option.flatMap(
    Schema.decodeUnknownOption(OutdatedId)(id),
    ([api, domain, environment, file, project, table, period, action]) =>
      URL.canParse(api)
        ? Option.some({
          place: format({ ...scopeOf({ api, domain, environment }), project, table, period: periodOf(period, at) }),
          file,
          action
        })
        : Option.none()
  )
