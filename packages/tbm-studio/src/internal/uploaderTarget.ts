/** The course of an upload through the uploader service: parts, finalizing, processing; and how it is taken up again. */
import * as Recovery from "@effect-resilience/errors/Recovery"
import type * as Operation from "@effect-resilience/http/Operation"
import * as Hashing from "@effect-resilience/upload/Hashing"
import * as UploadError from "@effect-resilience/upload/UploadError"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as FileSystem from "effect/FileSystem"
import * as Semaphore from "effect/Semaphore"
import type { Settings } from "../Settings.ts"
import * as TableAddress from "../TableAddress.ts"
import type { TableUpload } from "../TableUploads.ts"
import * as UploaderError from "../UploaderError.ts"
import type { Receipt } from "../UploaderService.ts"
import * as UploadSessions from "../UploadSessions.ts"
import * as Calls from "./uploaderCalls.ts"
import * as codec from "./uploaderCodec.ts"

type Failure = Calls.Failure | UploadError.UploadError

export const make = (
  environment: Calls.Environment
): UploadTarget.UploadTarget<
  TableUpload,
  Receipt,
  Calls.Failure,
  FileSystem.FileSystem
> => {
  // An upload's attempts share their payload: what is being processed already is found again under it.
  const running = new WeakMap<UploadTarget.Payload, UploadSessions.Session>()
  return {
    method: "POST",
    operation: ({ action }) => operations[action],
    source: ({ source }) => source,
    key: ({ address }) => TableAddress.key(address),
    digests: [],
    send: (upload, payload) => send(environment, running, upload, payload)
  }
}

const send = Effect.fnUntraced(function*(
  environment: Calls.Environment,
  running: WeakMap<UploadTarget.Payload, UploadSessions.Session>,
  upload: TableUpload,
  payload: UploadTarget.Payload
): Effect.fn.Return<UploadTarget.Received<Receipt>, Failure, FileSystem.FileSystem> {
  const { settings } = environment
  const service = yield* Calls.connect(environment, upload, payload)
  const size = yield* suitableSize(upload, payload)
  const { version } = payload
  const hashing = yield* Hashing.Current
  const key = version === undefined ? undefined : yield* keyOf(hashing, settings, upload, payload.name)
  const sessions = key === undefined ? undefined : yield* UploadSessions.Current
  const store = key === undefined || sessions === undefined ? undefined : {
    find: sessions.find(key),
    save: (session: UploadSessions.Session) => sessions.save(key, session),
    remove: sessions.remove(key)
  }

  // Whether an append was processed is known from its session alone.
  const closed = <A>(self: Effect.Effect<A, UploadSessions.SessionsError>) =>
    Effect.mapError(
      self,
      (failure) =>
        new UploaderError.UploaderError({
          source: payload.name,
          reason: new UploaderError.SessionStoreFailed({ failure })
        })
    )

  let session: UploadSessions.Session | undefined
  const turns = Semaphore.makeUnsafe(1)
  const noted = <E>(
    change: (session: UploadSessions.Session) => Partial<UploadSessions.Session>,
    keep: (save: Effect.Effect<void, UploadSessions.SessionsError>) => Effect.Effect<void, E>
  ) =>
    turns.withPermit(Effect.flatMap(Clock.currentTimeMillis, (at): Effect.Effect<void, E> => {
      if (session === undefined) return Effect.void
      const before = session
      const hold = (held: UploadSessions.Session) => {
        session = held
        running.set(payload, held)
      }
      hold({ ...before, ...change(before), at })
      return store === undefined
        ? Effect.void
        : Effect.tapError(keep(store.save(session)), () => Effect.sync(() => hold(before)))
    }))
  const note = (change: (session: UploadSessions.Session) => Partial<UploadSessions.Session>) => noted(change, warned)
  const begin = (uploadId: string, stage: UploadSessions.Session["stage"], partSize: number) => {
    session = { uploadId, version, size, partSize, parts: [], stage, processId: undefined, at: 0 }
    return Effect.as(note(() => ({})), session)
  }
  const forget = Effect.suspend(() => {
    session = undefined
    running.delete(payload)
    return store === undefined ? Effect.void : warned(store.remove)
  })
  const abort = Effect.suspend(() => session === undefined ? Effect.void : service.abort(session.uploadId))

  const finish = Effect.fnUntraced(function*(begun: UploadSessions.Session, resumed: number) {
    let { processId } = begun
    const { uploadId } = begun
    const parts = begun.parts.length
    if (begun.stage === "sending") {
      const { bytes } = yield* upload.source.open
      yield* service.sendParts(begun, bytes, hashing, (number) => note(({ parts }) => ({ parts: [...parts, number] })))
      yield* service.finalize(uploadId)
      yield* note(() => ({ stage: "finalized" }))
    }
    if (processId === undefined) {
      yield* noted(() => ({ stage: "processing" }), upload.action === "append" ? closed : warned)
      processId = yield* service.process(uploadId).pipe(
        Effect.tapError((error) => maybeApplied(error) ? Effect.void : note(() => ({ stage: "finalized" })))
      )
      const started = processId
      yield* note(() => ({ processId: started }))
    }
    yield* service.awaitProcessing(processId)
    return { receipt: { uploadId, processId, parts: session?.parts.length ?? parts, resumed } }
  })

  const start = Effect.gen(function*() {
    if (size <= environment.smallest) {
      const uploadId = yield* service.single(size)
      if (uploadId !== undefined) return yield* finish(yield* begin(uploadId, "finalized", 0), 0)
    }
    const partSize = Math.max(environment.partSize, Math.ceil(size / codec.maxParts))
    return yield* finish(yield* begin(yield* service.initiate, "sending", partSize), 0)
  })

  const course = Effect.gen(function*() {
    const retry = (yield* UploadSessions.OnUnknown) === "retry"
    const found = store === undefined
      ? Effect.undefined
      : upload.action === "append" && !retry
      ? closed(store.find)
      : warned(store.find)
    const known = running.get(payload) ?? (yield* found)
    if (known === undefined) return yield* start
    session = known
    const unchanged = known.size === size && known.version === version
    const startAnew = Effect.andThen(known.stage === "processing" ? Effect.void : abort, Effect.andThen(forget, start))
    if (known.stage === "processing" && upload.action === "append") {
      if (unchanged && known.processId !== undefined) {
        const ended = finish(known, known.parts.length)
        return yield* retry ? Effect.catchIf(ended, isUnknown, () => startAnew) : ended
      }
      if (retry) return yield* startAnew
      return yield* new UploadError.UploadError({
        source: payload.name,
        reason: new UploadError.InDoubt({ since: known.at })
      })
    }
    if (!unchanged) return yield* startAnew
    // The service may have cleared away what was left there.
    return yield* Effect.catchIf(finish(known, known.parts.length), isGone, () => startAnew)
  })

  return yield* Effect.onExit(course, (exit) => {
    if (session === undefined) return Effect.void
    const { stage } = session
    const inDoubt = stage === "processing" && upload.action === "append" && !isRejected(exit)
    const resumable = mayResume(exit) && (store !== undefined || stage === "processing")
    if (Exit.isFailure(exit) && (inDoubt || resumable)) return Effect.void
    return Effect.andThen(Exit.isSuccess(exit) || session.stage === "processing" ? Effect.void : abort, forget)
  })
})

/** What costs no more than the resumption is told in the log. */
const warned = <A>(self: Effect.Effect<A, UploadSessions.SessionsError>): Effect.Effect<A | undefined> =>
  Effect.catch(self, ({ message }) => Effect.as(Effect.logWarning(message), undefined))

/** An interruption, and a failure that may pass. */
const mayResume = (exit: Exit.Exit<unknown, Failure>): boolean => {
  const error = Exit.findErrorOption(exit)
  if (error._tag === "None") return true
  const { value } = error
  if (value._tag === "UploaderError" && value.reason._tag === "ProcessingUnknown") {
    return value.reason.failure === undefined
  }
  const recovery = Recovery.of(value)._tag
  return recovery === "Retry" || recovery === "Reauthenticate" || recovery === "Authorize"
}

// Without a token, or with an open circuit, nothing was asked.
const maybeApplied = (error: Failure): boolean => {
  const recovery = Recovery.of(error)._tag
  return error._tag === "ApiError" && (recovery === "Verify" || recovery === "GiveUp")
}

const isUnknown = (error: Failure): boolean => Recovery.of(error)._tag === "Verify"

/** The service has said that it stored nothing. */
const isRejected = (exit: Exit.Exit<unknown, Failure>): boolean => {
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" && error.value._tag === "UploaderError" && Recovery.of(error.value)._tag === "Correct"
}

const isGone = (error: Failure): boolean =>
  error._tag === "ApiError" && (error.reason._tag === "NotFound" || error.reason._tag === "BadRequest")

const suitableSize = (
  { force, source }: TableUpload,
  { name, size }: UploadTarget.Payload
): Effect.Effect<number, UploaderError.UploaderError> => {
  const problem = force
    ? "it cannot write over a checked-out table"
    : !source.replayable
    ? "its source can be read only once, and a part may have to be sent again"
    : "its size is not known beforehand; compress it first where it is compressed on the way"
  return size === undefined || force || !source.replayable
    ? Effect.fail(
      new UploaderError.UploaderError({ source: name, reason: new UploaderError.UnsuitableUpload({ problem }) })
    )
    : Effect.succeed(size)
}

// What the store knows an upload by. A digest, since names are long and keys may become file names.
const keyOf = Effect.fnUntraced(
  function*(
    hashing: Hashing.Hashing,
    settings: Settings["Service"],
    upload: TableUpload,
    name: string
  ) {
    const hasher = yield* hashing.start(["sha256"], { size: 0 })
    const { api, domain, environment } = settings
    const identity = [api, domain, environment, TableAddress.key(upload.address), upload.action, name]
    yield* hasher.update(new TextEncoder().encode(JSON.stringify(identity)))
    return `uls-${(yield* hasher.digest).sha256}`
  },
  Effect.scoped,
  Effect.orDie
)

const operations: { readonly [action in TableAddress.Action]: Operation.Operation } = {
  overwrite: { name: "overwrite table", endpoint: codec.endpoints.process, idempotent: true },
  append: { name: "append to table", endpoint: codec.endpoints.process, idempotent: false }
}
