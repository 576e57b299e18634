/**
 * The uploader service: takes files in parts, and on request puts them together and processes them.
 *
 * Source: the vendor's page *Uploader Service API*. What the page leaves open is an option, or a guess that the README names.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type * as Account from "../Account.ts"
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
import * as Spool from "./Spool.ts"
import type { State } from "./State.ts"
import * as Unpacker from "./Unpacker.ts"
import { inOrder, type Part, type Process, type Session, type UploadStatus } from "./UploaderStore.ts"

export const handle = (
  state: State,
  connection: Connection.Connection,
  route: Route.UploaderRoute,
  options: HandleOptions
): Effect.Effect<Response.Response, Connection.Disconnected | Rejected> => {
  const { settings } = state
  return Effect.gen(function*() {
    const account = yield* authenticate(state, connection)
    if (connection.header("app-type") !== appType) {
      return yield* reject(settings, 401, `Unauthorized: app-type ought to be '${appType}'.`)
    }
    yield* requireEnvironment(settings, account, connection.header("apptio-current-environment"))
    yield* requirePermission(settings, account, "AccessDev")
    yield* requirePermission(settings, account, "UploadData")
    const call: Call = { state, connection, account, options }
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

/** The response to a part whose bytes do not match its md5. */
export const md5Mismatch = (settings: SimulatorOptions.Settings): Response.Response =>
  Response.failure(settings, 400, "The md5 of the part does not match its content.")

interface Call {
  readonly state: State
  readonly connection: Connection.Connection
  readonly account: Account.Account
  readonly options: HandleOptions
}

const appType = "UploaderService"
const done: Response.Response = Response.json(200, {})

const sessionOf = ({ account, state: { settings, uploader } }: Call, uploadId: string) => {
  const session = uploader.sessions.get(uploadId)
  return session === undefined || session.domain !== account.domain || session.state === "aborted"
    ? reject(settings, 404, `Upload not found: '${uploadId}'.`)
    : Effect.succeed(session)
}

const begin = ({ account, options, state: { uploader } }: Call, name: string, single: boolean): Session => {
  const session: Session = {
    uploadId: uploader.id(),
    domain: account.domain,
    name,
    single,
    state: "open",
    parts: new Map()
  }
  if (options.commit) uploader.sessions.set(session.uploadId, session)
  return session
}

// ----- a file in one request

const Metadata = Schema.fromJsonString(Schema.Struct({ name: Schema.NonEmptyString }))
const decodeMetadata = Schema.decodeUnknownOption(Metadata)

const single = (call: Call) =>
  Effect.scoped(Effect.gen(function*() {
    const { connection, options, state: { settings, spool } } = call
    if (!/^multipart\/form-data\b/i.test(connection.header("content-type") ?? "")) {
      return yield* reject(settings, 415, "Unsupported media type")
    }
    const receiver = receive(call, yield* spool.create, settings.maxUploadBytes)
    const form = yield* Effect.catchTag(
      MultipartReceiver.receive(connection, {
        open: () => {},
        update: receiver.update,
        ready: receiver.flush
      }, options.pace),
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
    return settings.singleUploadAnswer === "uploadId" ? Response.json(200, { uploadId: session.uploadId }) : done
  }))

// ----- a file in parts

const initiate = Effect.fnUntraced(function*(call: Call) {
  const { connection, options, state: { settings, uploader } } = call
  const metadata = decodeMetadata(yield* readText(connection, settings, options.pace))
  if (Option.isNone(metadata)) return yield* reject(settings, 400, "Bad JSON body")
  const { uploadId } = begin(call, metadata.value.name, false)
  return Response.json(200, { uploadId, multipartId: uploader.id() })
})

const part = (call: Call, { part, uploadId }: Extract<Route.UploaderRoute, { operation: "part" }>) =>
  Effect.scoped(Effect.gen(function*() {
    const { connection, options, state: { settings, spool } } = call
    const open = Effect.filterOrElse(
      sessionOf(call, uploadId),
      ({ state }) => state === "open",
      () => reject(settings, 400, "The upload is finalized.")
    )
    const session = yield* open
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
      let piece = yield* connection.pull(options.pace);
      piece !== undefined;
      piece = yield* connection.pull(options.pace)
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
    // The upload may have been aborted or finalized while this part arrived.
    yield* open
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

/** Digests the bytes and writes them to a file. Each flush waits for the disk. */
const receive = ({ state: { settings } }: Call, file: Spool.SpoolFile, limit: number) => {
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

const accept = ({ options }: Call, { parts }: Session, number: number, { keep, ...part }: Received) => {
  if (!options.commit) return
  keep()
  parts.set(number, { ...part, puts: (parts.get(number)?.puts ?? 0) + 1 })
}

/** Finalizing again changes nothing. */
const finalize = ({ options, state: { settings } }: Call, session: Session) => {
  const parts = inOrder(session.parts)
  const whole = parts.length > 0 &&
    parts.every(([number, { last }], index) => number === index + 1 && last === (index === parts.length - 1))
  if (!whole) return reject(settings, 400, "The upload is not complete: parts are missing.")
  if (options.commit) session.state = "finalized"
  return Effect.succeed(done)
}

const abort = Effect.fnUntraced(function*({ options, state: { spool } }: Call, session: Session) {
  if (!options.commit) return done
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
  source: Schema.optionalKey(Schema.Literals(["s3", "S3"])),
  category: Schema.optionalKey(Schema.String),
  branch: Schema.optionalKey(Schema.String),
  overwrite: Flag,
  autoCheckin: Schema.optionalKey(Flag),
  autoCheckIn: Schema.optionalKey(Flag)
})
type Target = typeof Target.Type
// The vendor's pages have both spellings.
const autoCheckin = (target: Target): string => String(target.autoCheckin ?? target.autoCheckIn)
const decodeProcess = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({
  metadata: Target,
  uploadIds: Schema.NonEmptyArray(Schema.String),
  uploadTargetMapping: Schema.optionalKey(Schema.Record(Schema.String, Target))
})))

const startProcess = Effect.fnUntraced(function*(call: Call) {
  const { account, connection, options, state } = call
  const { settings, uploader } = state
  const bad = (message: string) => reject(settings, 400, message)
  const decoded = decodeProcess(yield* readText(connection, settings, options.pace))
  if (Option.isNone(decoded)) return yield* bad("Bad JSON body")
  const { metadata, uploadIds, uploadTargetMapping = {} } = decoded.value
  const work: Array<{ readonly session: Session; readonly target: Target; status: UploadStatus }> = []
  for (const uploadId of uploadIds) {
    const session = uploader.sessions.get(uploadId)
    if (session?.domain !== account.domain || session.state !== "finalized") {
      return yield* bad(`The upload '${uploadId}' does not exist or is not finalized.`)
    }
    const target = uploadTargetMapping[uploadId] ?? metadata
    const consistent = (["host", "domain", "project"] as const).every((field) => target[field] === metadata[field]) &&
      autoCheckin(target) === autoCheckin(metadata)
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
  if (options.commit) {
    uploader.processes.set(process.processId, process)
    state.fork(run(state, process, work))
  }
  return Response.json(200, { processId: process.processId })
})

/** Starts after half of the time. At its end, stores the uploads, or fails them all if the settings say so. */
const run = Effect.fnUntraced(function*(
  state: State,
  process: Process,
  work: ReadonlyArray<{ readonly session: Session; readonly target: Target; status: UploadStatus }>
) {
  const { processingOutcome, processingTime } = state.settings
  const setStatus = (upload: { status: UploadStatus }, code: UploadStatus["code"], detail: string | null) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      upload.status = { code, detail }
      process.modifiedAt = now
    })
  const wait = Effect.sleep(Duration.toMillis(processingTime) / 2)
  yield* wait
  for (const upload of work) yield* setStatus(upload, "InProgress", null)
  yield* wait
  // A group is checked in as a whole.
  const ofGroup = work.map(({ session, target }) => problemOf(state.settings, session, target))
  const incomplete = work.length > 1 && ofGroup.some((problem) => problem !== undefined)
  for (const [i, upload] of work.entries()) {
    const problem = processingOutcome === "Failed" || processingOutcome === "IncompleteGroupSession"
      ? "The processing failed, as the settings say."
      : processingOutcome === "FailedGroupCheckin"
      ? undefined
      : incomplete
      ? ofGroup[i]
      : yield* store(state, upload.session, upload.target)
    yield* setStatus(upload, problem === undefined ? "Success" : "Failed", problem ?? null)
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

const problemOf = (settings: SimulatorOptions.Settings, { name: table }: Session, { project }: Target) =>
  tableProblem(settings, { project, table }) ??
    (lists(settings.checkedOut, project, table) ? `The table '${table}' is checked out.` : undefined)

/** Appends or overwrites the table with the parts, in order. Returns the message of a failure. */
const store = ({ settings, store }: State, session: Session, target: Target): Effect.Effect<string | undefined> => {
  const { domain, name: fileName, overwrite, period, project } = target
  const table = session.name
  const problem = problemOf(settings, session, target)
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
    yield* write.commit({ action, fileName, rows, storedAt: yield* Clock.currentTimeMillis })
    return undefined
  })).pipe(
    Effect.catchTags({
      Busy: () => Effect.succeed("Another upload to this table and period is in progress."),
      NotGzip: () => Effect.succeed(`The file '${fileName}' is not in GZIP format.`),
      SpoolError: ({ message }) => Effect.succeed(message)
    })
  )
}

const status = ({ account, state: { settings, uploader } }: Call, processId: string) => {
  const process = uploader.processes.get(processId)
  if (process?.domain !== account.domain) return reject(settings, 404, `Process not found: '${processId}'.`)
  const lastModified = new Date(process.modifiedAt).toISOString()
  const group = settings.processingReport === "group" || process.uploads.length > 1 || groupOnly.has(process.status)
  return Effect.succeed(Response.json(200, {
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
