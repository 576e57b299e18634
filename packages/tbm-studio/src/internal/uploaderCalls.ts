/** The calls to the uploader service: their clients, timers and retries. */
import * as ResilientClient from "@effect-resilience/client/ResilientClient"
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as BufferReuse from "@effect-resilience/http/BufferReuse"
import * as Operation from "@effect-resilience/http/Operation"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import * as Time from "@effect-resilience/kernel/Time"
import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import type * as Hashing from "@effect-resilience/upload/Hashing"
import * as UploadError from "@effect-resilience/upload/UploadError"
import type * as UploadSource from "@effect-resilience/upload/UploadSource"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Hex from "effect/encoding/Hex"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Result from "effect/Result"
import type * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { attach, type CallError, type Frontdoor } from "../Frontdoor.ts"
import * as Messages from "../Messages.ts"
import type { Settings } from "../Settings.ts"
import type { TableUpload } from "../TableUploads.ts"
import * as UploaderError from "../UploaderError.ts"
import type * as UploadSessions from "../UploadSessions.ts"
import * as codec from "./uploaderCodec.ts"

export interface Environment {
  readonly settings: Settings["Service"]
  readonly frontdoor: Frontdoor["Service"]
  /** `undefined` where the region has no such service. */
  readonly client: Client | undefined
  readonly partSize: number
  readonly concurrency: number
  readonly smallest: number
  readonly policy: RetryPolicy.RetryPolicy
  readonly stallTimeout: Duration.Duration
  readonly poll: Schedule.Schedule<unknown>
  readonly processingTimeout: Duration.Duration
}

export type Failure = CallError | CircuitBreaker.CircuitOpen | UploaderError.UploaderError

export interface Client extends HttpClient.HttpClient.With<CallError | CircuitBreaker.CircuitOpen> {}

/** See `UploaderService.description`. */
export const description = (datalink: string) => ({
  name: datalink,
  baseUrl: datalink,
  body: "whole",
  timeouts: { attempt: briefTimeout, total: "Infinity" },
  pipeline: { circuitBreaker: { tripPolicy: CircuitBreaker.consecutive(10) } },
  operations: {
    // They send a file. Whether its bytes move is watched.
    [steps.single.name]: { timeouts: { attempt: "Infinity" } },
    [steps.part.name]: { timeouts: { attempt: "Infinity" } },
    // An open circuit stops neither requests for the outcome nor aborts.
    [steps.status.name]: { without: "circuitBreaker" },
    [steps.abort.name]: { without: "circuitBreaker" }
  }
} as const)

export const makeClient = (
  datalink: string,
  { tokens }: Frontdoor["Service"]
): Effect.Effect<Client, never, HttpClient.HttpClient> =>
  ResilientClient.make({
    ...description(datalink),
    auth: ResilientClient.tokens(tokens, {
      attach: (request, token) => HttpClientRequest.setHeaders(attach(request, token), codec.headers)
    })
  }, { patterns: [...Messages.patterns, ...codec.patterns] })

export const connect = Effect.fnUntraced(
  function*(environment: Environment, upload: TableUpload, payload: UploadTarget.Payload) {
    const { client, concurrency, frontdoor, policy, poll, processingTimeout, settings, stallTimeout } = environment
    if (client === undefined) {
      return yield* new UploaderError.UploaderError({
        source: payload.name,
        reason: new UploaderError.NoUploaderService({ region: settings.region })
      })
    }
    const environmentId = yield* frontdoor.environmentId

    const ask = <A, E, R>(
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
      const md5 = yield* md5Of(hashing, payload, length === 0 ? Stream.empty : bytes({ offset, length }))
      const put = Effect.suspend(() => {
        const watch = watched(payload.range({ offset, length }), length, stallTimeout)
        const request = codec.part(uploadId, { number, last, md5, size: length, stream: watch.stream })
        return Effect.raceFirst(ask(request, codec.acknowledged), watch.stalled)
      })
      yield* put.pipe(RetryPolicy.retry(policy), step("part"))
    })

    return {
      single: (size: number) =>
        ask(
          codec.single({ table: upload.address.table, name: payload.name, size, stream: payload.stream }),
          codec.singleId
        ).pipe(step("single")),
      initiate: ask(codec.initiate(upload.address.table), codec.initiated).pipe(step("initiate")),
      sendParts: Effect.fnUntraced(function*(
        { partSize, parts, size, uploadId }: UploadSessions.Session,
        bytes: UploadSource.Opened["bytes"],
        hashing: Hashing.Hashing,
        onAccepted: (number: number) => Effect.Effect<void>
      ) {
        const all = partsOf(size, partSize)
        const accepted = new Set(parts)
        const missing = all.filter(({ number }) => !accepted.has(number))
        yield* payload.accepted(all.reduce((sum, { length, number }) => accepted.has(number) ? sum + length : sum, 0))
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
        ask(codec.finalize(uploadId), codec.acknowledged).pipe(
          RetryPolicy.retry(policy),
          step("finalize")
        ),
      abort: (uploadId: string) =>
        ask(codec.abort(uploadId), codec.acknowledged).pipe(
          step("abort"),
          Effect.timeout(abortTimeout),
          Effect.catch((error) =>
            error._tag === "ApiError" && error.reason._tag === "NotFound"
              ? Effect.void
              : Effect.logWarning(`An upload session was not aborted: ${error.message}`)
          ),
          Effect.asVoid
        ),
      // Not a step, but the call that changes the table: its outcome is that of the upload.
      process: (members: codec.Members) =>
        ask(codec.process(members, settings), codec.processId).pipe(
          RetryPolicy.retry(policy)
        ),
      awaitProcessing: (processId: string) => {
        const unknown = (failure?: Failure) =>
          failed(new UploaderError.ProcessingUnknown({ processId, after: processingTimeout, failure }))
        const askForOutcome = ask(
          codec.status(processId),
          (response) => codec.outcome(response, processId)
        )
          .pipe(
            step("status"),
            // The next request is the retry.
            Effect.catch((error) => {
              const recovery = Recovery.of(error)
              return recovery._tag === "Retry"
                ? Effect.as(Effect.sleep(recovery.after ?? Duration.zero), undefined)
                : Effect.fail(unknown(error))
            })
          )
        return Effect.repeat(askForOutcome, { schedule: poll, while: (outcome) => outcome === undefined }).pipe(
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

// Not read through the payload, which would count the bytes as progress.
const md5Of = (
  hashing: Hashing.Hashing,
  whole: UploadTarget.Payload,
  bytes: Stream.Stream<Uint8Array, UploadError.UploadError>
) =>
  Effect.gen(function*() {
    const hasher = yield* hashing.start(["md5"], { size: whole.size })
    // A chunk is hashed before the next is read, so one buffer can be reused. New buffers would take most of the memory.
    yield* Effect.provideService(Stream.runForEach(bytes, hasher.update), BufferReuse.Current, 0)
    const { md5 } = yield* hasher.digest
    return Base64.encode(Result.getOrThrow(Hex.decode(md5 ?? "")))
  }).pipe(
    Effect.scoped,
    Effect.catchTag("HashingError", ({ description }) => {
      // Nothing of the part has been sent.
      const reason = new UploadError.HashingFailed({ description, idempotent: true })
      return Effect.fail(new UploadError.UploadError({ source: whole.name, reason }))
    })
  )

/** A body, and an effect that fails if no byte moves for too long, or if no response follows the last byte. */
const watched = <E>(bytes: Stream.Stream<Uint8Array, E>, length: number, stallTimeout: Duration.Duration) => {
  let sent = 0
  let movedAt: number | undefined
  const stalled: Effect.Effect<never, ApiError.ApiError> = Effect.withFiber((fiber) => {
    const now = Time.nowUnsafe(fiber.context)
    movedAt ??= now
    const awaitingResponse = sent === length
    const limit = awaitingResponse ? partResponseTimeout : stallTimeout
    const wait = Duration.toMillis(limit) - (now - movedAt)
    if (wait > 0) return Effect.andThen(Effect.sleep(Math.min(wait, Duration.toMillis(stallTimeout))), stalled)
    const reason = new ApiError.Timeout({ timeout: limit, phase: awaitingResponse ? "response" : "send" })
    return Effect.fail(new ApiError.ApiError({ method: "PUT", endpoint: steps.part.endpoint, reason }))
  })
  return {
    stalled,
    // A replay after a login reads it once more.
    stream: Stream.suspend(() => {
      sent = 0
      return Stream.tap(bytes, (chunk) =>
        Effect.withFiber((fiber) => {
          sent += chunk.length
          movedAt = Time.nowUnsafe(fiber.context)
          return Effect.void
        }))
    })
  }
}

/** How long a request without bytes may take, including the response's body. Finalizing assembles large files. */
const briefTimeout: Duration.Input = "2 minutes"
/** How long the response to a part may take after its last byte. */
const partResponseTimeout = Duration.minutes(2)
/** How long an interruption waits for the abort. */
const abortTimeout: Duration.Input = "10 seconds"

// These do not change the table.
const steps = {
  single: { name: "upload file", endpoint: codec.endpoints.single, idempotent: true },
  initiate: { name: "initiate upload", endpoint: codec.endpoints.initiate, idempotent: true },
  part: { name: "upload part", endpoint: codec.endpoints.part, idempotent: true },
  finalize: { name: "finalize upload", endpoint: codec.endpoints.session, idempotent: true },
  abort: { name: "abort upload", endpoint: codec.endpoints.session, idempotent: true },
  status: { name: "look up processing", endpoint: codec.endpoints.status, idempotent: true }
} satisfies { readonly [step: string]: Operation.Operation }

/** The names of the steps in access logs and metrics. */
export const stepNames: ReadonlySet<string> = new Set(Object.values(steps).map(({ name }) => name))
