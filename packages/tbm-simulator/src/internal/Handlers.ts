/** What the operations do without a fault. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as SimulatorOptions from "../SimulatorOptions.ts"
import type * as Connection from "./Connection.ts"
import {
  authenticate,
  lists,
  readText,
  reject,
  type Rejected,
  requireDomain,
  requireEnvironment,
  requirePermission,
  tableProblem,
  tooLarge
} from "./Guards.ts"
import type { HandleOptions } from "./HandleOptions.ts"
import * as MultipartReceiver from "./MultipartReceiver.ts"
import * as Period from "./Period.ts"
import * as Response from "./Response.ts"
import type * as Route from "./Route.ts"
import type { State } from "./State.ts"
import type * as TableStore from "./TableStore.ts"
import type * as TokenRegistry from "./TokenRegistry.ts"
import * as Tsv from "./Tsv.ts"
import * as Unpacker from "./Unpacker.ts"
import * as Uploader from "./Uploader.ts"

export const handle = (
  state: State,
  connection: Connection.Connection,
  route: Route.Route,
  options: HandleOptions
): Effect.Effect<Response.Response, Connection.Disconnected> =>
  Effect.andThen(limitRate(state), operate(state, connection, route, options)).pipe(
    Effect.catchTag("Rejected", ({ response }) => Effect.succeed(response))
  )

const operate = (
  state: State,
  connection: Connection.Connection,
  route: Route.Route,
  options: HandleOptions
): Effect.Effect<Response.Response, Connection.Disconnected | Rejected> => {
  switch (route.operation) {
    case "login":
      return login(state, connection, options)
    case "environment":
      return environment(state, connection, route)
    case "upload":
      return upload(state, connection, route, options)
    case "download":
      return download(state, connection, route)
    case "single":
    case "initiate":
    case "part":
    case "finalize":
    case "abort":
    case "process":
    case "status":
      return Uploader.handle(state, connection, route, options)
    case "other":
      return reject(
        state.settings,
        route.status,
        route.message,
        route.allow === undefined ? {} : { allow: route.allow }
      )
  }
}

const limitRate = ({ settings, window }: State): Effect.Effect<void, Rejected> => {
  const limit = settings.rateLimit
  if (limit === undefined) return Effect.void
  return Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (now >= window.startedAt + limit.seconds * 1000) {
      window.startedAt = now
      window.requests = 0
    }
    window.requests++
    if (window.requests <= limit.requests) return Effect.void
    const seconds = Math.max(1, Math.ceil((window.startedAt + limit.seconds * 1000 - now) / 1000))
    return reject(settings, 429, "Too many requests.", { "retry-after": String(seconds) })
  })
}

// ----- login

const Credentials = Schema.fromJsonString(Schema.Struct({ keyAccess: Schema.String, keySecret: Schema.String }))
const decodeCredentials = Schema.decodeUnknownOption(Credentials)
const invalidLogin = "Invalid request data submitted. Unable to log the user in."

const login = Effect.fnUntraced(function*(state: State, connection: Connection.Connection, { pace }: HandleOptions) {
  const { failedLogins, settings, tokens } = state
  if (connection.header("content-type")?.toLowerCase().includes("json") !== true) {
    return yield* reject(settings, 400, invalidLogin)
  }
  const text = yield* readText(connection, settings, pace)
  const credentials = decodeCredentials(text)
  if (Option.isNone(credentials)) return yield* reject(settings, 400, invalidLogin)
  const { keyAccess, keySecret } = credentials.value
  const account = settings.accounts.find((account) => account.publicKey === keyAccess)
  const failed = failedLogins.get(keyAccess) ?? 0
  if (settings.lockAfter > 0 && failed >= settings.lockAfter) {
    return yield* reject(settings, settings.rejectedLogin, "The account is locked after too many failed logins.")
  }
  if (account === undefined || account.secretKey !== keySecret) {
    if (account !== undefined) failedLogins.set(keyAccess, failed + 1)
    return yield* reject(settings, settings.rejectedLogin, invalidLogin)
  }
  failedLogins.delete(keyAccess)
  const now = yield* Clock.currentTimeMillis
  const token = yield* tokens.issue(account)
  return Response.json(200, { success: true }, tokenHeaders(settings, token, tokens.decoy, now))
})

const tokenHeaders = (
  settings: SimulatorOptions.Settings,
  token: TokenRegistry.IssuedToken,
  decoy: () => string,
  now: number
): Response.Response["headers"] => {
  const { cookieExpiry, tokenIn, validTill, validTillHeader } = settings
  const expiry = cookieExpiry === "maxAge"
    ? `; Max-Age=${Math.floor((token.expiresAt - now) / 1000)}`
    : cookieExpiry === "expires"
    ? `; Expires=${new Date(token.expiresAt).toUTCString()}`
    : ""
  const cookie = tokenIn === "different" ? decoy() : token.value
  return {
    ...(tokenIn === "none" || tokenIn === "cookie" ? {} : { "apptio-opentoken": token.value }),
    ...(tokenIn === "none" || tokenIn === "header"
      ? {}
      : { "set-cookie": `apptio-opentoken=${cookie}; Path=/; HttpOnly${expiry}` }),
    ...(validTill === "none" ? {} : { [validTillHeader]: instant(token.expiresAt, validTill) })
  }
}

const instant = (millis: number, form: "seconds" | "millis" | "iso"): string => {
  switch (form) {
    case "seconds":
      return String(Math.floor(millis / 1000))
    case "millis":
      return String(millis)
    case "iso":
      return new Date(millis).toISOString()
  }
}

// ----- after the login

const environment = Effect.fnUntraced(function*(
  state: State,
  connection: Connection.Connection,
  { domain, name }: Extract<Route.Route, { operation: "environment" }>
) {
  const { settings } = state
  const account = yield* authenticate(state, connection)
  yield* requireDomain(settings, account, domain)
  yield* requirePermission(settings, account, "AccessDev")
  const id = Object.hasOwn(account.environments, name) ? account.environments[name] : undefined
  if (id === undefined) return yield* reject(settings, 404, `Environment not found: '${name}'.`)
  return Response.json(200, { id, name, domain })
})

// ----- upload

const upload = (
  state: State,
  connection: Connection.Connection,
  route: Route.UploadRoute,
  options: HandleOptions
) =>
  Effect.scoped(Effect.gen(function*() {
    const { responses, settings, store } = state
    const account = yield* authenticate(state, connection)
    yield* requireDomain(settings, account, route.domain)
    yield* requireEnvironment(settings, account, connection.header("apptio-current-environment"))
    yield* requirePermission(settings, account, "AccessDev")
    yield* requirePermission(settings, account, "UploadData")
    if (!Period.isValid(route.period)) return yield* reject(settings, 400, Period.complaint(route.period))
    const problem = tableProblem(settings, route)
    if (problem !== undefined) return yield* reject(settings, 404, problem)
    if (!/^multipart\/form-data\b/i.test(connection.header("content-type") ?? "")) {
      return yield* reject(settings, 400, "The request is not multipart/form-data.")
    }
    if (connection.contentLength !== undefined && connection.contentLength > settings.maxUploadBytes + formOverhead) {
      return yield* reject(settings, 413, tooLarge(settings))
    }
    const key = settings.idempotencyHeader === undefined ? undefined : connection.header(settings.idempotencyHeader)
    const storedResponse = () => key === undefined ? undefined : responses.get(key)
    const before = storedResponse()
    if (before !== undefined) return before
    const write = yield* Effect.catchTag(
      store.write(route),
      "Busy",
      () => reject(settings, 409, "Another upload to this table and period is in progress.")
    )
    const { action, fileName, rows } = yield* receiveFile(state, connection, route, options, write)
    const storedAt = yield* Clock.currentTimeMillis
    const { created } = options.commit
      ? yield* write.commit({ action, fileName, rows, storedAt }, () => storedResponse() !== undefined)
      : { created: write.wouldCreate() }
    const meanwhile = storedResponse()
    if (meanwhile !== undefined) return meanwhile
    const { bytes, md5 } = write.received()
    const response = Response.json(settings.uploadStatus === "ok" ? 200 : created ? 201 : 202, {
      md5,
      length: bytes,
      fileName
    })
    if (key !== undefined && options.commit) responses.set(key, response)
    return response
  }))

/** A generous bound on boundaries, part headers and the fields beside the file. */
const formOverhead = 64 * 1024

const receiveFile = Effect.fnUntraced(function*(
  { settings }: State,
  connection: Connection.Connection,
  route: Route.UploadRoute,
  { pace }: HandleOptions,
  write: TableStore.Write
) {
  let unpacker: Unpacker.Unpacker | undefined
  let left = settings.maxUploadBytes
  yield* Effect.addFinalizer(() => Effect.sync(() => unpacker?.dispose()))
  const form = yield* Effect.catchTag(
    MultipartReceiver.receive(connection, {
      open: (fileName) => {
        unpacker = Unpacker.make(fileName)
      },
      update: (bytes) => {
        left -= bytes.length
        write.update(bytes)
        unpacker?.update(bytes)
      },
      ready: Effect.suspend(() =>
        left < 0
          ? Effect.fail(new MultipartReceiver.FormError({ status: 413, message: tooLarge(settings) }))
          : unpacker?.ready ?? Effect.void
      )
    }, pace),
    "FormError",
    ({ message, status }) => reject(settings, status, message)
  )
  if (form.fileName === undefined || unpacker === undefined) {
    return yield* reject(settings, 400, "The request holds no file.")
  }
  const action = yield* actionOf(settings, route, form.fields)
  const rows = yield* Effect.catchTag(
    unpacker.rows,
    "NotGzip",
    () => reject(settings, 400, `The file '${form.fileName}' is not in GZIP format.`)
  )
  return { action, fileName: form.fileName, rows }
})

/** What the path and the fields ask for together. Without an action, it is an overwrite. */
const actionOf = Effect.fnUntraced(function*(
  settings: SimulatorOptions.Settings,
  { action, force, project, table }: Route.UploadRoute,
  fields: ReadonlyMap<string, string>
): Effect.fn.Return<TableStore.Action, Rejected> {
  const forced = fields.get("force")
  const wanted = fields.get("action")
  if (forced !== undefined && forced !== "true" && forced !== "false") {
    return yield* reject(settings, 400, `The field force is '${forced}'. Ought to be 'true' or 'false'.`)
  }
  if (wanted !== undefined && wanted !== "overwrite" && wanted !== "append") {
    return yield* reject(settings, 400, `Unknown action '${wanted}'. Ought to be 'overwrite' or 'append'.`)
  }
  if (wanted !== undefined && action !== undefined && wanted !== action) {
    return yield* reject(settings, 400, `The field action is '${wanted}', but the path says '${action}'.`)
  }
  if (lists(settings.checkedOut, project, table) && !force && forced !== "true") {
    return yield* reject(
      settings,
      409,
      `The table '${table}' is checked out. Send force=true to upload all the same.`
    )
  }
  return action ?? wanted ?? "overwrite"
})

// ----- download

const download = Effect.fnUntraced(function*(
  state: State,
  connection: Connection.Connection,
  route: Route.DownloadRoute
) {
  const { settings, store } = state
  const account = yield* authenticate(state, connection)
  yield* requireDomain(settings, account, route.domain)
  yield* requireEnvironment(settings, account, connection.header("apptio-current-environment"))
  yield* requirePermission(settings, account, "AccessDev")
  if (!Period.isValid(route.period)) return yield* reject(settings, 400, Period.complaint(route.period))
  const files = store.content(route)
  if (files === undefined) {
    return yield* reject(settings, 404, tableProblem(settings, route) ?? `Table not found: '${route.table}'.`)
  }
  if (files === "dropped") {
    return yield* reject(
      settings,
      501,
      `The simulator keeps the last ${settings.keptBytes} bytes for downloads, and those of this table are not among them.`
    )
  }
  return {
    status: 200,
    headers: { "content-type": "text/tab-separated-values;charset=UTF-8" },
    body: Tsv.ofFiles(files)
  }
})
