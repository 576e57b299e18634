/**
 * The uploader service: files in parts, put together on request, processed afterwards.
 *
 * Source: the vendor's page *Uploader Service API*. What it leaves open is a setting or a guess that the README names.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type * as Account from "../Account.ts"
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
import * as Spool from "./Spool.ts"
import * as Unpacker from "./Unpacker.ts"
import { inOrder, type Part, type Process, type Session, type UploadStatus } from "./UploaderStore.ts"
import type { World } from "./World.ts"

export const handle = (
  world: World,
  connection: Connection.Connection,
  route: Route.UploaderRoute,
  handling: Handling
): Effect.Effect<Answer.Answer, Connection.Disconnected | Rejected> => {
  const { settings } = world
  return Effect.gen(function*() {
    const account = yield* authenticate(world, connection)
    if (connection.header("app-type") !== appType) {
      return yield* reject(settings, 401, `Unauthorized: app-type ought to be '${appType}'.`)
    }
    yield* requireEnvironment(settings, account, connection.header("apptio-current-environment"))
    yield* requirePermission(settings, account, "AccessDev")
    yield* requirePermission(settings, account, "UploadData")
    const call: Call = { world, connection, account, handling }
    switch (route.operation) {
      case "single":
        return yield* single(call)
      case "initiate":
        return yield* initiate(call)
      case "part":
        return yield* part(call, route)
      case "finalize":
        return yield* finalize(call, yield* sessionOf(call, route.uploadId))
      case "abort":
        return yield* abort(call, yield* sessionOf(call, route.uploadId))
      case "process":
        return yield* startProcess(call)
      case "status":
        return yield* status(call, route.processId)
    }
  }).pipe(
    Effect.catchTag("SpoolError", (error) =>
      Effect.andThen(
        Effect.logError("tbm-simulator", error),
        reject(settings, 500, "Internal Upload Error (contact Support)")
      ))
  )
}

/** What a part is answered whose bytes are not those of its md5. */
export const md5Mismatch = (settings: Settings.Settings): Answer.Answer =>
  Answer.failure(settings, 400, "The md5 of the part does not match its content.")

interface Call {
  readonly world: World
  readonly connection: Connection.Connection
  readonly account: Account.Account
  readonly handling: Handling
}

const appType = "UploaderService"
const done: Answer.Answer = Answer.json(200, {})

const sessionOf = ({ account, world: { settings, uploader } }: Call, uploadId: string) => {
  const session = uploader.sessions.get(uploadId)
  return session === undefined || session.domain !== account.domain || session.state === "aborted"
    ? reject(settings, 404, `Upload not found: '${uploadId}'.`)
    : Effect.succeed(session)
}

const begin = ({ account, handling, world: { uploader } }: Call, name: string, single: boolean): Session => {
  const session: Session = {
    uploadId: uploader.id(),
    domain: account.domain,
    name,
    single,
    state: "open",
    parts: new Map()
  }
  if (handling.commit) uploader.sessions.set(session.uploadId, session)
  return session
}

// ----- one request for all

const Metadata = Schema.fromJsonString(Schema.Struct({ name: Schema.NonEmptyString }))
const decodeMetadata = Schema.decodeUnknownOption(Metadata)

const single = (call: Call) =>
  Effect.scoped(Effect.gen(function*() {
    const { connection, handling, world: { settings, spool } } = call
    if (!/^multipart\/form-data\b/i.test(connection.header("content-type") ?? "")) {
      return yield* reject(settings, 415, "Unsupported media type")
    }
    const receiver = receive(call, yield* spool.create, settings.maxUploadBytes)
    const form = yield* Effect.catchTag(
      MultipartReceiver.receive(connection, {
        open: () => {},
        update: receiver.update,
        ready: receiver.flush
      }, handling.pace),
      "FormError",
      ({ message, status }) => reject(settings, status, message)
    )
    const metadata = decodeMetadata(form.fields.get("metadata"))
    if (form.fileName === undefined || Option.isNone(metadata)) {
      return yield* reject(settings, 400, "Bad JSON body")
    }
    const session = begin(call, metadata.value.name, true)
    accept(call, session, 1, receiver.part(true))
    session.state = "finalized"
    return settings.singleUploadAnswer === "uploadId" ? Answer.json(200, { uploadId: session.uploadId }) : done
  }))

// ----- in parts

const initiate = Effect.fnUntraced(function*(call: Call) {
  const { connection, handling, world: { settings, uploader } } = call
  const metadata = decodeMetadata(yield* readText(connection, settings, handling.pace))
  if (Option.isNone(metadata)) return yield* reject(settings, 400, "Bad JSON body")
  const { uploadId } = begin(call, metadata.value.name, false)
  return Answer.json(200, { uploadId, multipartId: uploader.id() })
})

const part = (call: Call, { part, uploadId }: Extract<Route.UploaderRoute, { operation: "part" }>) =>
  Effect.scoped(Effect.gen(function*() {
    const { connection, handling, world: { settings, spool } } = call
    const session = yield* sessionOf(call, uploadId)
    if (session.state !== "open") return yield* reject(settings, 400, "The upload is finalized.")
    const number = /^[1-9]\d{0,4}$/.test(part) ? Number(part) : 0
    if (number < 1 || number > maxParts) {
      return yield* reject(settings, 400, `The part '${part}' ought to be a number from 1 to ${maxParts}.`)
    }
    const query = new URLSearchParams(connection.target.replace(/^[^?]*\??/, ""))
    const last = query.get("lastPart") === "true"
    const wrongSize = () => reject(settings, 400, "Invalid part size (must be between 5MB and 5GB)")
    const fits = (bytes: number) => bytes <= maxPartBytes && (last || bytes >= settings.minPartBytes)
    if (connection.contentLength !== undefined && !fits(connection.contentLength)) return yield* wrongSize()

    const others = sum(Array.from(session.parts).filter(([other]) => other !== number))
    const receiver = receive(call, yield* spool.create, settings.maxUploadBytes - others)
    for (
      let piece = yield* connection.pull(handling.pace);
      piece !== undefined;
      piece = yield* connection.pull(handling.pace)
    ) {
      receiver.update(piece)
      yield* receiver.flush
    }
    const received = receiver.part(last)
    const announced = query.get("partSize")
    if (!fits(received.bytes) || (announced !== null && announced !== String(received.bytes))) {
      return yield* wrongSize()
    }
    const md5 = query.get("md5")
    if (md5 === null || md5 !== Buffer.from(received.md5, "hex").toString("base64")) {
      return md5Mismatch(settings)
    }
    // Aborted or finalized while this part was on its way.
    yield* sessionOf(call, uploadId)
    accept(call, session, number, received)
    return done
  }))

const maxParts = 10_000
const maxPartBytes = 5 * 1024 ** 3

const sum = (parts: Iterable<readonly [number, Part]>): number => {
  let bytes = 0
  for (const [, part] of parts) bytes += part.bytes
  return bytes
}

interface Received extends Omit<Part, "puts"> {
  readonly keep: () => void
}

/** Digests what comes and writes it to a file, waiting for the disk with each flush. */
const receive = ({ world: { settings } }: Call, file: Spool.SpoolFile, limit: number) => {
  const hash = createHash("md5")
  let bytes = 0
  let pending: Array<Uint8Array> = []
  return {
    update: (piece: Uint8Array) => {
      bytes += piece.length
      hash.update(piece)
      pending.push(piece)
    },
    flush: Effect.suspend((): Effect.Effect<void, Rejected | Spool.SpoolError> => {
      if (bytes > limit) return reject(settings, 413, tooLarge(settings))
      const pieces = pending
      pending = []
      return Effect.forEach(pieces, file.write, { discard: true })
    }),
    part: (last: boolean): Received => ({ bytes, md5: hash.digest("hex"), last, path: file.path, keep: file.keep })
  }
}

const accept = ({ handling }: Call, { parts }: Session, number: number, { keep, ...part }: Received) => {
  if (!handling.commit) return
  keep()
  parts.set(number, { ...part, puts: (parts.get(number)?.puts ?? 0) + 1 })
}

/** Finalizing again changes nothing. */
const finalize = ({ handling, world: { settings } }: Call, session: Session) => {
  const parts = inOrder(session.parts)
  const whole = parts.length > 0 &&
    parts.every(([number, { last }], index) => number === index + 1 && last === (index === parts.length - 1))
  if (!whole) return reject(settings, 400, "The upload is not complete: parts are missing.")
  if (handling.commit) session.state = "finalized"
  return Effect.succeed(done)
}

const abort = Effect.fnUntraced(function*({ handling, world: { spool } }: Call, session: Session) {
  if (!handling.commit) return done
  session.state = "aborted"
  for (const { path } of session.parts.values()) yield* spool.remove(path)
  return done
})

// ----- processing

const Flag = Schema.Union([Schema.Boolean, Schema.Literals(["true", "false"])])
const Target = Schema.Struct({
  period: Schema.NonEmptyString,
  domain: Schema.NonEmptyString,
  name: Schema.NonEmptyString,
  host: Schema.NonEmptyString,
  project: Schema.NonEmptyString,
  format: Schema.optionalKey(Schema.String),
  overwrite: Flag,
  autoCheckin: Schema.optionalKey(Flag)
})
type Target = typeof Target.Type
const decodeProcess = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({
  metadata: Target,
  uploadIds: Schema.NonEmptyArray(Schema.String),
  uploadTargetMapping: Schema.optionalKey(Schema.Record(Schema.String, Target))
})))

const startProcess = Effect.fnUntraced(function*(call: Call) {
  const { account, connection, handling, world } = call
  const { settings, uploader } = world
  const bad = (message: string) => reject(settings, 400, message)
  const decoded = decodeProcess(yield* readText(connection, settings, handling.pace))
  if (Option.isNone(decoded)) return yield* bad("Bad JSON body")
  const { metadata, uploadIds, uploadTargetMapping = {} } = decoded.value
  const work: Array<{ readonly session: Session; readonly target: Target; status: UploadStatus }> = []
  for (const uploadId of uploadIds) {
    const session = uploader.sessions.get(uploadId)
    if (session?.domain !== account.domain || session.state !== "finalized") {
      return yield* bad(`The upload '${uploadId}' does not exist or is not finalized.`)
    }
    const target = uploadTargetMapping[uploadId] ?? metadata
    const consistent = (["host", "domain", "project", "autoCheckin"] as const).every((field) =>
      String(target[field]) === String(metadata[field])
    )
    if (!consistent) return yield* bad("The host, domain, project and autoCheckin must be consistent.")
    yield* requireDomain(settings, account, target.domain)
    if (!Period.isValid(target.period)) return yield* bad(Period.complaint(target.period))
    work.push({ session, target, status: { code: "NotStarted", detail: null } })
  }
  const process: Process = {
    processId: uploader.id(),
    domain: account.domain,
    uploads: work,
    status: "InProcess",
    modifiedAt: yield* Clock.currentTimeMillis
  }
  if (handling.commit) {
    uploader.processes.set(process.processId, process)
    world.fork(run(world, process, work))
  }
  return Answer.json(200, { processId: process.processId })
})

/** Half of the time nothing has begun; at its end the uploads are stored, or all fail as the settings say. */
const run = Effect.fnUntraced(function*(
  world: World,
  process: Process,
  work: ReadonlyArray<{ readonly session: Session; readonly target: Target; status: UploadStatus }>
) {
  const { processingOutcome, processingTime } = world.settings
  const tell = (upload: { status: UploadStatus }, code: UploadStatus["code"], detail: string | null) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      upload.status = { code, detail }
      process.modifiedAt = now
    })
  const wait = Effect.sleep(Duration.toMillis(processingTime) / 2)
  yield* wait
  for (const upload of work) yield* tell(upload, "InProgress", null)
  yield* wait
  for (const upload of work) {
    const problem = processingOutcome === "Failed" || processingOutcome === "IncompleteGroupSession"
      ? "The processing failed, as the settings say."
      : processingOutcome === "FailedGroupCheckin"
      ? undefined
      : yield* store(world, upload.session, upload.target)
    yield* tell(upload, problem === undefined ? "Success" : "Failed", problem ?? null)
  }
  const failed = work.some(({ status }) => status.code === "Failed")
  process.status = processingOutcome !== "Success"
    ? processingOutcome
    : !failed
    ? "Success"
    : work.length > 1
    ? "IncompleteGroupSession"
    : "Failed"
})

/** Puts the parts together in the table. What hinders that is the result. */
const store = ({ settings, store }: World, session: Session, target: Target): Effect.Effect<string | undefined> => {
  const { domain, name: fileName, overwrite, period, project } = target
  const table = session.name
  const problem = tableProblem(settings, { project, table }) ??
    (lists(settings.checkedOut, project, table) ? `The table '${table}' is checked out.` : undefined)
  if (problem !== undefined) return Effect.succeed(problem)
  const action = String(overwrite) === "true" ? "overwrite" : "append"
  return Effect.scoped(Effect.gen(function*() {
    const write = yield* store.write({ domain, project, table, period, action })
    const unpacker = yield* Effect.acquireRelease(
      Effect.sync(() => Unpacker.make(fileName)),
      (unpacker) => Effect.sync(() => unpacker.dispose())
    )
    for (const [, { path }] of inOrder(session.parts)) {
      yield* Stream.runForEach(Spool.read(path), (bytes) => {
        write.update(bytes)
        unpacker.update(bytes)
        return unpacker.ready
      })
    }
    const rows = yield* unpacker.rows
    yield* write.commit({ fileName, rows, storedAt: yield* Clock.currentTimeMillis })
    return undefined
  })).pipe(
    Effect.catchTags({
      Busy: () => Effect.succeed("Another upload to this table and period is in progress."),
      NotGzip: () => Effect.succeed(`The file '${fileName}' is not in GZIP format.`),
      SpoolError: ({ message }) => Effect.succeed(message)
    })
  )
}

const status = ({ account, world: { settings, uploader } }: Call, processId: string) => {
  const process = uploader.processes.get(processId)
  if (process?.domain !== account.domain) return reject(settings, 404, `Process not found: '${processId}'.`)
  const lastModified = new Date(process.modifiedAt).toISOString()
  const group = settings.processingReport === "group" || process.uploads.length > 1 || groupOnly.has(process.status)
  return Effect.succeed(Answer.json(200, {
    statuses: [{
      processId,
      statusCode: group ? process.status : null,
      statusMap: Object.fromEntries(process.uploads.map(({ session, status: { code, detail } }) => [session.uploadId, {
        statusCode: code,
        errorCode: code === "Failed" ? "ProcessingError" : null,
        detail,
        tableName: session.name,
        lastModified
      }]))
    }]
  }))
}

const groupOnly: ReadonlySet<string> = new Set(["IncompleteGroupSession", "FailedGroupCheckin"])
