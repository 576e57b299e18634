/** An upload through the uploader service: it sends parts, finalizes, processes; and resumes an earlier upload. */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Operation from "@effect-resilience/http/Operation"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
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
import * as UploadSessions from "../UploadSessions.ts"
import * as Calls from "./uploaderCalls.ts"
import * as codec from "./uploaderCodec.ts"
import type * as UploaderGroup from "./uploaderGroup.ts"

type Failure = Calls.Failure | UploadError.UploadError

/** See `UploaderService.Receipt`. */
export interface Receipt {
  readonly uploadId: string
  readonly processId: string
  readonly parts: number
  readonly resumed: number
}

/** - `group`: whose members are processed together. Without one, each upload is processed by itself. */
export const make = (
  environment: Calls.Environment,
  group?: UploaderGroup.Group
): UploadTarget.UploadTarget<
  TableUpload,
  Receipt,
  Calls.Failure,
  FileSystem.FileSystem
> => {
  // The attempts of an upload share their payload, so the next attempt finds the session that is already being processed.
  const running = new WeakMap<UploadTarget.Payload, UploadSessions.Session>()
  return {
    method: "POST",
    operation: ({ action }) => operations[action],
    source: ({ source }) => source,
    key: ({ address }) => TableAddress.key(address),
    digests: [],
    send: (upload, payload) => send(environment, group, running, upload, payload)
  }
}

const send = Effect.fnUntraced(function*(
  environment: Calls.Environment,
  group: UploaderGroup.Group | undefined,
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

  // Only the session shows whether an append was processed.
  const orFail = <A>(self: Effect.Effect<A, UploadSessions.SessionsError>) =>
    Effect.mapError(
      self,
      (failure) =>
        new UploaderError.UploaderError({
          source: payload.name,
          reason: new UploaderError.SessionStoreFailed({ failure })
        })
    )

  // Members of a group wait for each other. While they wait, others are sent.
  let inGate = false
  const enterGate = group === undefined ?
    Effect.void :
    Effect.uninterruptibleMask((restore) =>
      Effect.map(restore(group.gate.take(1)), () => {
        inGate = true
      })
    )
  const leaveGate = Effect.suspend(() => {
    if (group === undefined || !inGate) return Effect.void
    inGate = false
    return Effect.asVoid(group.gate.release(1))
  })

  let session: UploadSessions.Session | undefined
  const lock = Semaphore.makeUnsafe(1)
  const updateWith = <E>(
    change: (session: UploadSessions.Session) => Partial<UploadSessions.Session>,
    onSave: (save: Effect.Effect<void, UploadSessions.SessionsError>) => Effect.Effect<void, E>
  ) =>
    lock.withPermit(Effect.flatMap(Clock.currentTimeMillis, (at): Effect.Effect<void, E> => {
      if (session === undefined) return Effect.void
      const before = session
      const set = (next: UploadSessions.Session) => {
        session = next
        running.set(payload, next)
      }
      set({ ...before, ...change(before), at })
      return store === undefined
        ? Effect.void
        : Effect.tapError(onSave(store.save(session)), () => Effect.sync(() => set(before)))
    }))
  const update = (change: (session: UploadSessions.Session) => Partial<UploadSessions.Session>) =>
    updateWith(change, orWarn)
  const begin = (uploadId: string, stage: UploadSessions.Session["stage"], partSize: number) => {
    session = { uploadId, version, size, partSize, parts: [], stage, processId: undefined, at: 0 }
    return Effect.as(update(() => ({})), session)
  }
  const forget = Effect.suspend(() => {
    session = undefined
    running.delete(payload)
    return store === undefined ? Effect.void : orWarn(store.remove)
  })
  const abort = Effect.suspend(() => session === undefined ? Effect.void : service.abort(session.uploadId))

  // Saves that the processing begins, before it does.
  const startProcessing = Effect.fnUntraced(function*(uploadId: string) {
    const member = {
      uploadId,
      upload,
      fileName: payload.name,
      save: updateWith(() => ({ stage: "processing" }), upload.action === "append" ? orFail : orWarn)
    }
    const alone = Effect.andThen(
      member.save,
      Effect.map(service.process([member]), (processId) => ({ processId, outcome: service.awaitProcessing(processId) }))
    )
    const together = group && Effect.andThen(
      leaveGate,
      group.join(member, {
        // If one member appends, the processing of all must not be repeated.
        start: (members) => {
          const action = members.some(({ upload }) => upload.action === "append") ? "append" : "overwrite"
          return Operation.within(service.process(members), operations[action])
        },
        outcome: service.awaitProcessing
      })
    )
    const started = yield* (together ?? alone).pipe(
      Effect.tapError((error) => maybeApplied(error) ? Effect.void : update(() => ({ stage: "finalized" })))
    )
    yield* update(() => ({ processId: started.processId }))
    return started
  })

  const finish = Effect.fnUntraced(function*(begun: UploadSessions.Session, resumed: number) {
    const { uploadId } = begun
    const parts = begun.parts.length
    if (begun.stage === "sending") {
      const { bytes } = yield* upload.source.open
      yield* service.sendParts(
        begun,
        bytes,
        hashing,
        (number) => update(({ parts }) => ({ parts: [...parts, number] }))
      )
      yield* service.finalize(uploadId)
      yield* update(() => ({ stage: "finalized" }))
    } else yield* payload.accepted(size)
    const { processId, outcome } = begun.processId === undefined
      ? yield* startProcessing(uploadId)
      : { processId: begun.processId, outcome: service.awaitProcessing(begun.processId) }
    yield* outcome
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

  const resumeOrStart = Effect.gen(function*() {
    const retry = (yield* UploadSessions.OnUnknown) === "retry"
    const stored = store === undefined
      ? Effect.undefined
      : upload.action === "append" && !retry
      ? orFail(store.find)
      : orWarn(store.find)
    const earlier = running.get(payload) ?? (yield* stored)
    if (earlier === undefined) return yield* start
    session = earlier
    const unchanged = earlier.size === size && earlier.version === version
    const restart = Effect.andThen(earlier.stage === "processing" ? Effect.void : abort, Effect.andThen(forget, start))
    if (earlier.stage === "processing" && upload.action === "append") {
      if (unchanged && earlier.processId !== undefined) {
        const resumed = finish(earlier, earlier.parts.length)
        return yield* retry ? Effect.catchIf(resumed, isUnknown, () => restart) : resumed
      }
      if (retry) return yield* restart
      return yield* new UploadError.UploadError({
        source: payload.name,
        reason: new UploadError.InDoubt({ since: earlier.at })
      })
    }
    if (!unchanged) return yield* restart
    // The service may have removed the session, or no longer know the processing of an overwrite.
    const isLost = (error: Failure) => isGone(error) || (earlier.processId !== undefined && isForgotten(error))
    return yield* Effect.catchIf(finish(earlier, earlier.parts.length), isLost, () => restart)
  })

  const tidy = (exit: Exit.Exit<unknown, Failure>) => {
    if (session === undefined) return Effect.void
    const { stage } = session
    const outcomeUnknown = stage === "processing" && upload.action === "append" && !isRejected(exit)
    const resumable = mayResume(exit) && (store !== undefined || stage === "processing")
    if (Exit.isFailure(exit) && (outcomeUnknown || resumable)) return Effect.void
    return Effect.andThen(Exit.isSuccess(exit) || session.stage === "processing" ? Effect.void : abort, forget)
  }
  return yield* Effect.onExit(
    Effect.andThen(enterGate, resumeOrStart),
    (exit) => Effect.andThen(leaveGate, Effect.suspend(() => tidy(exit)))
  )
})

/** Logs a failure that only prevents a later resumption. */
const orWarn = <A>(self: Effect.Effect<A, UploadSessions.SessionsError>): Effect.Effect<A | undefined> =>
  Effect.catch(self, ({ message }) => Effect.as(Effect.logWarning(message), undefined))

/** Whether an upload ended with an interruption, or with a failure that may be temporary. */
const mayResume = (exit: Exit.Exit<unknown, Failure>): boolean => {
  const error = Exit.findErrorOption(exit)
  if (error._tag === "None") return true
  const { value } = error
  if (value._tag === "UploaderError") {
    if (value.reason._tag === "GroupNotProcessed") return true
    if (value.reason._tag === "ProcessingUnknown") return value.reason.failure === undefined
  }
  const recovery = Recovery.of(value)._tag
  return recovery === "Retry" || recovery === "Reauthenticate" || recovery === "Authorize"
}

// Without a token, or with an open circuit, no request was sent.
const maybeApplied = (error: Failure): boolean => {
  const recovery = Recovery.of(error)._tag
  return error._tag === "ApiError" && (recovery === "Verify" || recovery === "GiveUp")
}

const isUnknown = (error: Failure): boolean => Recovery.of(error)._tag === "Verify"

/** Whether the service reported that it stored nothing. */
const isRejected = (exit: Exit.Exit<unknown, Failure>): boolean => {
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" && error.value._tag === "UploaderError" && Recovery.of(error.value)._tag === "Correct"
}

const isGone = (error: Failure): boolean =>
  error._tag === "ApiError" && (error.reason._tag === "NotFound" || error.reason._tag === "BadRequest")

const isForgotten = (error: Failure): boolean =>
  error._tag === "UploaderError" && error.reason._tag === "ProcessingUnknown" &&
  ErrorName.fullNameOf(error.reason.failure) === "ApiError/NotFound"

const suitableSize = (
  { force, source }: TableUpload,
  { name, size }: UploadTarget.Payload
): Effect.Effect<number, UploaderError.UploaderError> => {
  const problem = force
    ? "it cannot overwrite a checked-out table"
    : !source.replayable
    ? "its source can be read only once, and a part may have to be sent again"
    : "its size is not known beforehand; if it is compressed while it is sent, compress it first"
  return size === undefined || force || !source.replayable
    ? Effect.fail(
      new UploaderError.UploaderError({ source: name, reason: new UploaderError.UnsuitableUpload({ problem }) })
    )
    : Effect.succeed(size)
}

// The upload's key in the store. It is a digest, since names are long and keys may become file names.
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
