/** What the operations do when nothing goes wrong on purpose. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Settings from "../Settings.ts"
import * as Answer from "./Answer.ts"
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
import type { Handling } from "./Handling.ts"
import * as MultipartReceiver from "./MultipartReceiver.ts"
import * as Period from "./Period.ts"
import type * as Route from "./Route.ts"
import type * as TableStore from "./TableStore.ts"
import type * as TokenRegistry from "./TokenRegistry.ts"
import * as Unpacker from "./Unpacker.ts"
import * as Uploader from "./Uploader.ts"
import type { World } from "./World.ts"

export const handle = (
  world: World,
  connection: Connection.Connection,
  route: Route.Route,
  handling: Handling
): Effect.Effect<Answer.Answer, Connection.Disconnected> =>
  Effect.andThen(limitRate(world), operate(world, connection, route, handling)).pipe(
    Effect.catchTag("Rejected", ({ answer }) => Effect.succeed(answer))
  )

const operate = (
  world: World,
  connection: Connection.Connection,
  route: Route.Route,
  handling: Handling
): Effect.Effect<Answer.Answer, Connection.Disconnected | Rejected> => {
  switch (route.operation) {
    case "login":
      return login(world, connection, handling)
    case "environment":
      return environment(world, connection, route)
    case "upload":
      return upload(world, connection, route, handling)
    case "single":
    case "initiate":
    case "part":
    case "finalize":
    case "abort":
    case "process":
    case "status":
      return Uploader.handle(world, connection, route, handling)
    case "other":
      return reject(
        world.settings,
        route.status,
        route.message,
        route.allow === undefined ? {} : { allow: route.allow }
      )
  }
}

const limitRate = ({ settings, window }: World): Effect.Effect<void, Rejected> => {
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

const login = Effect.fnUntraced(function*(world: World, connection: Connection.Connection, { pace }: Handling) {
  const { failedLogins, settings, tokens } = world
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
  return Answer.json(200, { success: true }, tokenHeaders(settings, token, tokens.decoy, now))
})

const tokenHeaders = (
  settings: Settings.Settings,
  token: TokenRegistry.IssuedToken,
  decoy: () => string,
  now: number
): Answer.Answer["headers"] => {
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
  world: World,
  connection: Connection.Connection,
  { domain, name }: Extract<Route.Route, { operation: "environment" }>
) {
  const { settings } = world
  const account = yield* authenticate(world, connection)
  yield* requireDomain(settings, account, domain)
  yield* requirePermission(settings, account, "AccessDev")
  const id = Object.hasOwn(account.environments, name) ? account.environments[name] : undefined
  if (id === undefined) return yield* reject(settings, 404, `Environment not found: '${name}'.`)
  return Answer.json(200, { id, name, domain })
})

// ----- upload

const upload = (
  world: World,
  connection: Connection.Connection,
  route: Route.UploadRoute,
  handling: Handling
) =>
  Effect.scoped(Effect.gen(function*() {
    const { answers, settings, store } = world
    const account = yield* authenticate(world, connection)
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
    const answerBefore = () => key === undefined ? undefined : answers.get(key)
    const before = answerBefore()
    if (before !== undefined) return before
    const write = yield* Effect.catchTag(
      store.write(route),
      "Busy",
      () => reject(settings, 409, "Another upload to this table and period is in progress.")
    )
    const { fileName, rows } = yield* receiveFile(world, connection, route, handling, write)
    const storedAt = yield* Clock.currentTimeMillis
    const meanwhile = answerBefore()
    if (meanwhile !== undefined) return meanwhile
    const { created } = handling.commit
      ? yield* write.commit({ fileName, rows, storedAt })
      : { created: write.wouldCreate() }
    const { bytes, md5 } = write.received()
    const answer = Answer.json(created ? 201 : 202, { md5, length: bytes, fileName })
    if (key !== undefined && handling.commit) answers.set(key, answer)
    return answer
  }))

/** Boundaries, part headers and fields beside the file, generously. */
const formOverhead = 64 * 1024

const receiveFile = Effect.fnUntraced(function*(
  { settings }: World,
  connection: Connection.Connection,
  route: Route.UploadRoute,
  { pace }: Handling,
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
  yield* requireFields(settings, route, form.fields)
  const rows = yield* Effect.catchTag(
    unpacker.rows,
    "NotGzip",
    () => reject(settings, 400, `The file '${form.fileName}' is not in GZIP format.`)
  )
  return { fileName: form.fileName, rows }
})

const requireFields = (
  settings: Settings.Settings,
  { action, project, table }: Route.UploadRoute,
  fields: ReadonlyMap<string, string>
) => {
  const force = fields.get("force")
  const wanted = fields.get("action")
  if (force !== undefined && force !== "true" && force !== "false") {
    return reject(settings, 400, `The field force is '${force}'. Ought to be 'true' or 'false'.`)
  }
  if (wanted !== undefined && wanted !== action) {
    return reject(settings, 400, `The field action is '${wanted}', but the path says '${action}'.`)
  }
  return lists(settings.checkedOut, project, table) && force !== "true"
    ? reject(settings, 409, `The table '${table}' is checked out. Send force=true to upload all the same.`)
    : Effect.void
}
