/** The course of an upload through the uploader service: parts, finalizing, processing; and how it is taken up again. */
import * as Authenticated from "@effect-resilience/auth/Authenticated"
import type * as AuthError from "@effect-resilience/auth/AuthError"
import * as Origin from "@effect-resilience/auth/Origin"
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as ErrorMapping from "@effect-resilience/http/ErrorMapping"
import * as Operation from "@effect-resilience/http/Operation"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Hashing from "@effect-resilience/upload/Hashing"
import * as UploadError from "@effect-resilience/upload/UploadError"
import type * as UploadSource from "@effect-resilience/upload/UploadSource"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Hex from "effect/encoding/Hex"
import * as Exit from "effect/Exit"
import type * as FileSystem from "effect/FileSystem"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Result from "effect/Result"
import type * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { attach, type Frontdoor } from "../Frontdoor.ts"
import * as Messages from "../Messages.ts"
import type { Settings } from "../Settings.ts"
import * as TableAddress from "../TableAddress.ts"
import type { TableUpload } from "../TableUploads.ts"
import * as UploaderError from "../UploaderError.ts"
import type { Receipt } from "../UploaderService.ts"
import * as UploadSessions from "../UploadSessions.ts"
import * as codec from "./uploaderCodec.ts"

interface Environment {
  readonly settings: Settings["Service"]
  readonly frontdoor: Frontdoor["Service"]
  readonly client: HttpClient.HttpClient
  readonly partSize: number
  readonly concurrency: number
  readonly smallest: number
  readonly policy: RetryPolicy.RetryPolicy
  readonly stallTimeout: Duration.Duration
  readonly poll: Schedule.Schedule<unknown>
  readonly processingTimeout: Duration.Duration
}

type Failure = ApiError.ApiError | AuthError.AuthError | UploadError.UploadError | UploaderError.UploaderError

export const make = (
  environment: Environment
): UploadTarget.UploadTarget<
  TableUpload,
  Receipt,
  Exclude<Failure, UploadError.UploadError>,
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
  environment: Environment,
  running: WeakMap<UploadTarget.Payload, UploadSessions.Session>,
  upload: TableUpload,
  payload: UploadTarget.Payload
): Effect.fn.Return<UploadTarget.Received<Receipt>, Failure, FileSystem.FileSystem> {
  const { settings } = environment
  const service = yield* connect(environment, upload, payload)
  const size = yield* suitableSize(upload, payload)
  const { version } = payload
  const hashing = yield* Hashing.Current
  const key = version === undefined ? undefined : keyOf(hashing, settings, upload, payload.name)
  const sessions = key === undefined ? undefined : yield* UploadSessions.Current
  const store = key === undefined || sessions === undefined ? undefined : {
    find: sessions.find(key),
    save: (session: UploadSessions.Session) => sessions.save(key, session),
    remove: sessions.remove(key)
  }

  let session: UploadSessions.Session | undefined
  const turns = Semaphore.makeUnsafe(1)
  const note = (change: (session: UploadSessions.Session) => Partial<UploadSessions.Session>) =>
    turns.withPermit(Effect.flatMap(Clock.currentTimeMillis, (at) => {
      if (session === undefined) return Effect.void
      session = { ...session, ...change(session), at }
      running.set(payload, session)
      return store?.save(session) ?? Effect.void
    }))
  const begin = (uploadId: string, stage: UploadSessions.Session["stage"], partSize: number) => {
    session = { uploadId, version, size, partSize, parts: [], stage, processId: undefined, at: 0 }
    return Effect.as(note(() => ({})), session)
  }
  const forget = Effect.suspend(() => {
    session = undefined
    running.delete(payload)
    return store?.remove ?? Effect.void
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
      yield* note(() => ({ stage: "processing" }))
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
    const known = running.get(payload) ?? (store === undefined ? undefined : yield* store.find)
    if (known === undefined) return yield* start
    session = known
    const unchanged = known.size === size && known.version === version
    if (known.stage === "processing" && upload.action === "append" && !(unchanged && known.processId !== undefined)) {
      return yield* new UploadError.UploadError({
        source: payload.name,
        reason: new UploadError.InDoubt({ since: known.at })
      })
    }
    const startAnew = Effect.andThen(known.stage === "processing" ? Effect.void : abort, Effect.andThen(forget, start))
    if (!unchanged) return yield* startAnew
    // The service may have cleared away what was left there.
    return yield* Effect.catchIf(finish(known, known.parts.length), isGone, () => startAnew)
  })

  return yield* Effect.onExit(course, (exit) => {
    if (session === undefined) return Effect.void
    const kept = Exit.isFailure(exit) && mayResume(exit) && (store !== undefined || session.stage === "processing")
    if (kept) return Effect.void
    return Effect.andThen(Exit.isSuccess(exit) || session.stage === "processing" ? Effect.void : abort, forget)
  })
})

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

const maybeApplied = (error: Failure): boolean => {
  const recovery = Recovery.of(error)._tag
  return recovery === "Verify" || recovery === "GiveUp"
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
const keyOf = (hashing: Hashing.Hashing, settings: Settings["Service"], upload: TableUpload, name: string): string => {
  const hasher = hashing.start(["sha256"])
  const { api, domain, environment } = settings
  const identity = [api, domain, environment, TableAddress.key(upload.address), upload.action, name]
  hasher.update(new TextEncoder().encode(JSON.stringify(identity)))
  return `uls-${hasher.digest().sha256}`
}

// ----- the calls

const connect = Effect.fnUntraced(
  function*(environment: Environment, upload: TableUpload, payload: UploadTarget.Payload) {
    const { concurrency, frontdoor, policy, poll, processingTimeout, settings, stallTimeout } = environment
    const origin = settings.datalink
    if (origin === undefined) {
      return yield* new UploaderError.UploaderError({
        source: payload.name,
        reason: new UploaderError.NoUploaderService({ region: settings.region })
      })
    }
    const environmentId = yield* frontdoor.environmentId
    const clientWithin = (timeout: Duration.Input | undefined) =>
      environment.client.pipe(
        ErrorMapping.mapErrors({ patterns: [...Messages.patterns, ...codec.patterns], timeout }),
        Telemetry.observeAttempts,
        AccessLog.logAttempts,
        Authenticated.withTokens(frontdoor.tokens, {
          origin: Origin.make(origin),
          attach: (request, token) => HttpClientRequest.setHeaders(attach(request, token), codec.headers)
        })
      )
    const bulk = clientWithin(undefined)
    const brief = clientWithin(briefTimeout)

    const ask = <A, E, R>(
      client: typeof bulk,
      request: HttpClientRequest.HttpClientRequest,
      receive: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, E, R>
    ) =>
      Effect.flatMap(
        client.execute(
          request.pipe(
            HttpClientRequest.acceptJson,
            HttpClientRequest.setHeader("apptio-current-environment", environmentId)
          )
        ),
        receive
      )
    const step = (name: keyof typeof steps) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
      self.pipe(Telemetry.observeCall, AccessLog.logCall, Operation.within(steps[name]))

    const failed = (reason: UploaderError.Reason) => new UploaderError.UploaderError({ source: payload.name, reason })

    const sendPart = Effect.fnUntraced(function*(
      uploadId: string,
      { length, number, offset }: Part,
      last: boolean,
      bytes: UploadSource.Opened["bytes"],
      hashing: Hashing.Hashing
    ) {
      const md5 = yield* md5Of(hashing, length === 0 ? Stream.empty : bytes({ offset, length }))
      const put = Effect.suspend(() => {
        const watch = watched(payload.range({ offset, length }), length, stallTimeout)
        const request = codec.part(origin, uploadId, { number, last, md5, size: length, stream: watch.stream })
        return Effect.raceFirst(ask(bulk, request, codec.acknowledged), watch.stalled)
      })
      yield* put.pipe(RetryPolicy.retry(policy), step("part"))
    })

    return {
      single: (size: number) =>
        ask(
          bulk,
          codec.single(origin, { table: upload.address.table, name: payload.name, size, stream: payload.stream }),
          codec.singleId
        ).pipe(step("single")),
      initiate: ask(brief, codec.initiate(origin, upload.address.table), codec.initiated).pipe(step("initiate")),
      sendParts: Effect.fnUntraced(function*(
        { partSize, parts, size, uploadId }: UploadSessions.Session,
        bytes: UploadSource.Opened["bytes"],
        hashing: Hashing.Hashing,
        onAccepted: (number: number) => Effect.Effect<void>
      ) {
        const all = partsOf(size, partSize)
        const held = new Set(parts)
        const missing = all.filter(({ number }) => !held.has(number))
        yield* payload.accepted(all.reduce((sum, { length, number }) => held.has(number) ? sum + length : sum, 0))
        yield* Effect.forEach(
          missing,
          (part) =>
            Effect.andThen(
              sendPart(uploadId, part, part.number === all.length, bytes, hashing),
              onAccepted(part.number)
            ),
          { concurrency, discard: true }
        )
      }),
      finalize: (uploadId: string) =>
        ask(brief, codec.finalize(origin, uploadId), codec.acknowledged).pipe(
          RetryPolicy.retry(policy),
          step("finalize")
        ),
      abort: (uploadId: string) =>
        ask(brief, codec.abort(origin, uploadId), codec.acknowledged).pipe(
          step("abort"),
          Effect.timeout(abortTimeout),
          Effect.catch((error) =>
            error._tag === "ApiError" && error.reason._tag === "NotFound"
              ? Effect.void
              : Effect.logWarning(`An upload session was left behind: ${error.message}`)
          ),
          Effect.asVoid
        ),
      // Not a step: this is the call that changes the table, and the whole upload's fate is its.
      process: (uploadId: string) =>
        ask(brief, codec.process(origin, uploadId, upload, payload.name, settings), codec.processId).pipe(
          RetryPolicy.retry(policy)
        ),
      awaitProcessing: (processId: string) => {
        const unknown = (failure?: Failure) =>
          failed(new UploaderError.ProcessingUnknown({ processId, after: processingTimeout, failure }))
        const look = ask(brief, codec.status(origin, processId), (response) => codec.outcome(response, processId)).pipe(
          step("status"),
          // The next look is the retry.
          Effect.catch((error) => {
            const recovery = Recovery.of(error)
            return recovery._tag === "Retry"
              ? Effect.as(Effect.sleep(recovery.after ?? Duration.zero), undefined)
              : Effect.fail(unknown(error))
          })
        )
        return Effect.repeat(look, { schedule: poll, while: (outcome) => outcome === undefined }).pipe(
          Effect.timeoutOrElse({ duration: processingTimeout, orElse: () => Effect.fail(unknown()) }),
          Effect.flatMap((outcome) =>
            outcome === "Success" ? Effect.void : Effect.fail(outcome === undefined ? unknown() : failed(outcome))
          )
        )
      }
    }
  }
)

interface Part {
  readonly number: number
  readonly offset: number
  readonly length: number
}

const partsOf = (size: number, partSize: number): ReadonlyArray<Part> =>
  Array.from({ length: Math.max(1, Math.ceil(size / partSize)) }, (_, index) => ({
    number: index + 1,
    offset: index * partSize,
    length: Math.min(partSize, size - index * partSize)
  }))

// Read apart from the payload, whose readings count as progress.
const md5Of = (hashing: Hashing.Hashing, bytes: Stream.Stream<Uint8Array, UploadError.UploadError>) =>
  Effect.suspend(() => {
    const hasher = hashing.start(["md5"])
    return Stream.runForEach(bytes, (chunk) => Effect.sync(() => hasher.update(chunk))).pipe(
      Effect.map(() => Base64.encode(Result.getOrThrow(Hex.decode(hasher.digest().md5 ?? ""))))
    )
  })

/** A body, and what fails when none of it moves for too long, or when it has left and no answer comes. */
const watched = <E>(bytes: Stream.Stream<Uint8Array, E>, length: number, stallTimeout: Duration.Duration) => {
  let left = 0
  let movedAt: number | undefined
  const stalled: Effect.Effect<never, ApiError.ApiError> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    movedAt ??= now
    const answering = left === length
    const limit = answering ? partAnswerTimeout : stallTimeout
    const wait = Duration.toMillis(limit) - (now - movedAt)
    if (wait > 0) return Effect.andThen(Effect.sleep(Math.min(wait, Duration.toMillis(stallTimeout))), stalled)
    const reason = new ApiError.Timeout({ after: limit, phase: answering ? "answer" : "send" })
    return Effect.fail(new ApiError.ApiError({ method: "PUT", endpoint: steps.part.endpoint, reason }))
  })
  return {
    stalled,
    stream: Stream.tap(bytes, (chunk) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        left += chunk.length
        movedAt = now
      }))
  }
}

/** How long a request without bytes may take. Finalizing puts large files together. */
const briefTimeout: Duration.Input = "2 minutes"
/** How long the answer to a part may take after its last byte. */
const partAnswerTimeout = Duration.minutes(2)
/** How long an interruption waits for the service to clear away. */
const abortTimeout: Duration.Input = "10 seconds"

const operations: { readonly [action in TableAddress.Action]: Operation.Operation } = {
  overwrite: { name: "overwrite table", endpoint: codec.endpoints.process, idempotent: true },
  append: { name: "append to table", endpoint: codec.endpoints.process, idempotent: false }
}

// Nothing of these reaches the table.
const steps = {
  single: { name: "upload file", endpoint: codec.endpoints.single, idempotent: true },
  initiate: { name: "initiate upload", endpoint: codec.endpoints.initiate, idempotent: true },
  part: { name: "upload part", endpoint: codec.endpoints.part, idempotent: true },
  finalize: { name: "finalize upload", endpoint: codec.endpoints.session, idempotent: true },
  abort: { name: "abort upload", endpoint: codec.endpoints.session, idempotent: true },
  status: { name: "look up processing", endpoint: codec.endpoints.status, idempotent: true }
} satisfies { readonly [step: string]: Operation.Operation }
