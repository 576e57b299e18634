/** The checks of each call after the login, and the rejection of a call that fails one. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Account from "../Account.ts"
import type * as SimulatorOptions from "../SimulatorOptions.ts"
import type * as Connection from "./Connection.ts"
import * as Response from "./Response.ts"
import type { State } from "./State.ts"

export class Rejected extends Data.TaggedError("Rejected")<{ readonly response: Response.Response }> {}

export const reject = (
  settings: SimulatorOptions.Settings,
  status: number,
  message: string,
  headers?: Response.Response["headers"]
): Effect.Effect<never, Rejected> =>
  Effect.fail(new Rejected({ response: Response.failure(settings, status, message, headers) }))

const textLimit = 64 * 1024

export const readText = Effect.fnUntraced(function*(
  connection: Connection.Connection,
  settings: SimulatorOptions.Settings,
  pace: Connection.Pace
) {
  const pieces: Array<Uint8Array> = []
  let length = 0
  while (true) {
    const piece = yield* connection.pull(pace)
    if (piece === undefined) return Buffer.concat(pieces).toString("utf8")
    length += piece.length
    if (length > textLimit) return yield* reject(settings, 413, "The request body is too large.")
    pieces.push(piece)
  }
})

/** The account of the token. A call without `app-type` and `app-version` is rejected like one without a token. */
export const authenticate = Effect.fnUntraced(
  function*({ settings, tokens }: State, connection: Connection.Connection) {
    if (connection.header("app-type") === undefined || connection.header("app-version") === undefined) {
      return yield* reject(settings, 401, "Unauthorized: the headers app-type and app-version are required.")
    }
    const token = connection.header("apptio-opentoken") ?? cookieToken(connection.header("cookie"))
    if (token === undefined) return yield* reject(settings, 401, "Unauthorized: no token.")
    const account = yield* tokens.account(token)
    if (account === undefined) {
      return yield* reject(settings, 401, "Unauthorized: the session is invalid or has expired.")
    }
    return account
  }
)

const cookieToken = (cookies: string | undefined): string | undefined =>
  /(?:^|;\s*)apptio-opentoken=([^;]+)/.exec(cookies ?? "")?.[1]

export const requireDomain = (settings: SimulatorOptions.Settings, account: Account.Account, domain: string) =>
  settings.accounts.every((other) => other.domain !== domain)
    ? reject(settings, 400, `Customer not found: '${domain}'.`)
    : account.domain === domain
    ? Effect.void
    : reject(settings, 403, "Access denied")

export const requirePermission = (
  settings: SimulatorOptions.Settings,
  account: Account.Account,
  permission: Account.Permission
) => account.permissions.includes(permission) ? Effect.void : reject(settings, 403, "Access denied")

export const requireEnvironment = (
  settings: SimulatorOptions.Settings,
  account: Account.Account,
  id: string | undefined
) => {
  const has = ({ environments }: Account.Account) => Object.values(environments).some((other) => String(other) === id)
  if (id === undefined) {
    return reject(settings, 403, "Access denied: the header apptio-current-environment is required.")
  }
  if (has(account)) return Effect.void
  return settings.accounts.some(has)
    ? reject(settings, 403, "Access denied")
    : reject(settings, 404, `Environment not found: '${id}'.`)
}

/** The message of a wrong project or table; undefined if both exist. */
export const tableProblem = (settings: SimulatorOptions.Settings, { project, table }: SimulatorOptions.TableName) =>
  settings.tables === undefined || lists(settings.tables, project, table)
    ? undefined
    : settings.tables.some((known) => known.project === project)
    ? `Table not found: '${table}'.`
    : `Project not found: '${project}'.`

export const lists = (list: ReadonlyArray<SimulatorOptions.TableName>, project: string, table: string): boolean =>
  list.some((known) => known.project === project && known.table === table)

export const tooLarge = (settings: SimulatorOptions.Settings) =>
  `The file is larger than ${settings.maxUploadBytes} bytes.`
