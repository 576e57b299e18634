/**
 * One structured line for each attempt and one for each call, safe to keep.
 *
 * **Why**
 *
 * To find out at night what happened to an upload, you need every attempt: when it began, its endpoint and status, how long
 * it took, why it was sent again. A debug log of requests shows that too, together with every token.
 *
 * **Details**
 *
 * An entry has the fields of `Entry` and nothing else: no URL, no header, no body. The endpoint is the template that
 * `Operation` names. An error's message is kept whole, scrubbed of registered secrets. An error without a `Recovery` was
 * not made for logs: only its tag is kept.
 *
 * `logAttempts` belongs around `ErrorMapping`, inside retries and authentication; `logCall` around everything. Both
 * write to the log of the fiber (`Current`), which is silent until a layer sets another.
 *
 * **Example** (Attempts and calls in a test)
 *
 * ```ts import.meta.vitest
 * import { AccessLog, ErrorMapping, Operation } from "@effect-resilience/http"
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * let requests = 0
 * const flaky = HttpClient.make((request) =>
 *   Effect.sync(() =>
 *     HttpClientResponse.fromWeb(request, new Response(null, { status: ++requests < 2 ? 503 : 200 }))
 *   )
 * )
 * const client = flaky.pipe(
 *   ErrorMapping.mapErrors(),
 *   AccessLog.logAttempts,
 *   HttpClient.transformResponse(RetryPolicy.retry(RetryPolicy.make({ backoff: Backoff.immediate }))),
 *   HttpClient.transformResponse(AccessLog.logCall)
 * )
 *
 * const program = Effect.gen(function*() {
 *   yield* client.get("https://api.example.com/tables/GL").pipe(
 *     Operation.within({ name: "read table", endpoint: "/tables/{table}" })
 *   )
 *   const entries = yield* (yield* AccessLog.Memory).entries
 *   return entries.map((entry) => [entry.kind, entry.attempt, entry.status, entry.resendReason])
 * })
 * await Effect.runPromise(Effect.provide(program, AccessLog.layerMemory))
 * // => [["attempt", 1, 503, undefined], ["attempt", 2, 200, "ServiceUnavailable"], ["call", 2, 200, undefined]]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as Classifier from "@effect-resilience/errors/Classifier"
import * as ForeignText from "@effect-resilience/errors/ForeignText"
import * as Recovery from "@effect-resilience/errors/Recovery"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as RetryEvent from "@effect-resilience/retry/RetryEvent"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import { dual } from "effect/Function"
import type * as Headers from "effect/http/Headers"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import * as ScopedRef from "effect/ScopedRef"
import {
  type AttemptObservation,
  type Call,
  type CallAttempt,
  callId,
  type Observation,
  withinAttempts,
  withinCall
} from "./internal/call.ts"
import { isBodiless } from "./internal/completeness.ts"
import { failureOf, reasonTag, requestIdOf } from "./internal/failure.ts"
import { MappedResponse } from "./internal/mappedResponse.ts"
import { watch } from "./internal/requestBody.ts"
import * as Scrubber from "./internal/scrub/current.ts"
import * as Operation from "./Operation.ts"

/**
 * One line of the log. A field that does not apply is absent.
 *
 * - `bytesSent`, `bytesReceived`: the bodies' sizes; `bytesReceived` is what came where the attempt lasted until the end of
 *   the body, otherwise what the response announced. A response without a body, such as one to HEAD, has 0, whatever it announces.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  /** When it began, ISO 8601 in UTC. */
  readonly time: string
  /** An attempt is one request; a call includes all its attempts, waits and logins. */
  readonly kind: "attempt" | "call"
  /** An id, the same for a call and its attempts. */
  readonly call: string
  /** How it ended. `interrupted`: its caller gave up. */
  readonly outcome: "success" | "failure" | "interrupted"
  /** The name of the `Operation`, for people; absent if the call has none. */
  readonly operation?: string | undefined
  /** The HTTP method; of a call, that of its last attempt. */
  readonly method?: string | undefined
  /** The template, for example `/tables/{table}`. */
  readonly endpoint: string
  /** Of the response; of a call, that of its last attempt. */
  readonly status?: number | undefined
  /** From its beginning to its end, in milliseconds. */
  readonly durationMs: number
  /** 1 for the first; of a call, how many there were: 0 means that nothing was sent. */
  readonly attempt: number
  /** Why this is not the first attempt: the tag of the previous failure, or `Hedge`. */
  readonly resendReason?: string | undefined
  readonly bytesSent?: number | undefined
  readonly bytesReceived?: number | undefined
  /** The server's id of the request, for its support; absent if it sent none. */
  readonly requestId?: string | undefined
  /** What it failed with; absent for a success. */
  readonly error?: EntryError | undefined
  /** What the failure asks for, for example `Retry` or `Authorize`. */
  readonly recovery?: Recovery.Recovery["_tag"] | undefined
  /** Of a call that failed with `Retry`: why no further attempt was made, the tag of a `StopReason` such as `BudgetExhausted`. */
  readonly stopped?: RetryEvent.StopReason["_tag"] | undefined
}

/**
 * A failure, as the log shows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface EntryError {
  /** The tag of the failure. */
  readonly reason: string
  /** Whole and scrubbed; absent if the error was not made for logs. */
  readonly message?: string | undefined
}

/**
 * Where entries go. Writing never fails and must not take long: the call waits for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface AccessLog {
  /** Takes an entry. It must not fail. */
  readonly write: (entry: Entry) => Effect.Effect<void>
}

/**
 * Drops all entries; they are not even made.
 *
 * @category constructors
 * @since 0.1.0
 */
export const none: AccessLog = { write: () => Effect.void }

const reference = /* @__PURE__ */ Context.Reference<AccessLog>(
  "@effect-resilience/http/AccessLog/Current",
  { defaultValue: () => none }
)

interface Logging {
  readonly attempt: typeof loggedAttempt
  readonly call: typeof loggedCall
}

let logging: Logging | undefined

// There is no log but by `Current`: a program that has none loads nothing that makes entries.
function loggedBy(attempt: Logging["attempt"], call: Logging["call"]): Context.Reference<AccessLog> {
  logging = { attempt, call }
  return reference
}

/**
 * The log of the current fiber; `none` by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<AccessLog> = /* @__PURE__ */ loggedBy(loggedAttempt, loggedCall)

/**
 * Writes a line for each request that a client sends.
 *
 * @category middleware
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const logAttempts = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  withinAttempts(
    client,
    (attempt, request, context) =>
      logging === undefined || Context.get(context, reference) === none
        ? undefined
        : logging.attempt(attempt, request, context)
  )

/**
 * Writes a line for a whole call, from its first attempt to what the caller gets. Inside another `logCall` of the same operation it
 * writes none: that one has the whole call.
 *
 * @category combinators
 * @since 0.1.0
 */
export const logCall = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  withinCall(self, (call, context) =>
    logging === undefined || call.logged || Context.get(context, reference) === none
      ? undefined
      : logging.call(call, context))

function loggedAttempt(
  attempt: CallAttempt,
  request: HttpClientRequest.HttpClientRequest,
  context: AnyContext
): AttemptObservation {
  const body = watch(request)
  const { call } = attempt
  call.method = request.method
  const begun = timing(context)
  return {
    request: body.request,
    context,
    onExit: (exit) => {
      const response = responseFields(exit, context)
      call.status = response.status
      call.requestId = response.requestId
      call.bytesReceived = response.bytesReceived
      call.bytesSent = body.bytes()
      return write(context, begun, call, exit, attempt)
    }
  }
}

function loggedCall(call: Call, context: AnyContext): Observation {
  call.logged = true
  const begun = timing(context)
  return {
    context,
    onExit: (exit) => {
      call.logged = false
      return write(context, begun, call, exit)
    }
  }
}

/**
 * Keeps all failures and every call that needed more than one attempt, and a share of the others: `ratio`, from 0 to 1. A
 * call and its attempt are kept or dropped together.
 *
 * @category combinators
 * @since 0.1.0
 */
export const sampleSuccesses: {
  (ratio: number): (self: AccessLog) => AccessLog
  (self: AccessLog, ratio: number): AccessLog
} = /* @__PURE__ */ dual(2, (self: AccessLog, ratio: number): AccessLog => {
  requireArgument(ratio >= 0 && ratio <= 1, "AccessLog.ratio", "from 0 to 1", ratio)
  const keeps = (entry: Entry) =>
    entry.outcome !== "success" || entry.attempt > 1 || parseInt(entry.call, 16) / 2 ** 32 < ratio
  return { write: (entry) => keeps(entry) ? self.write(entry) : Effect.void }
})

/**
 * Sends entries to a log.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (log: AccessLog): Layer.Layer<never> => Layer.succeed(Current, log)

/**
 * What `layerMemory` remembers, for tests.
 *
 * - `entries`: the entries so far, oldest first.
 * - `clear`: forgets them.
 *
 * @category services
 * @since 0.1.0
 */
export class Memory extends /* @__PURE__ */ Context.Service<Memory, {
  readonly entries: Effect.Effect<ReadonlyArray<Entry>>
  readonly clear: Effect.Effect<void>
}>()("@effect-resilience/http/AccessLog/Memory") {}

/**
 * Keeps entries in memory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Memory> = /* @__PURE__ */ Layer.effectContext(
  /* @__PURE__ */ Effect.map(
    /* @__PURE__ */ Ref.make<ReadonlyArray<Entry>>([]),
    (entries) =>
      Context.make(Memory, Memory.of({ entries: Ref.get(entries), clear: Ref.set(entries, []) })).pipe(
        Context.add(Current, { write: (entry) => Ref.update(entries, (all) => [...all, entry]) })
      )
  )
)

/**
 * Sends entries to Effect's logger: successes and interruptions as `Info`, failures as `Warning`. The line is `format`'s,
 * the fields are annotations.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLogger: Layer.Layer<never> = /* @__PURE__ */ layer({
  write: (entry) =>
    (entry.outcome === "failure" ? Effect.logWarning(format(entry)) : Effect.logInfo(format(entry))).pipe(
      Effect.annotateLogs({ ...entry })
    )
})

/**
 * How entries are written to a file.
 *
 * @category models
 * @since 0.1.0
 */
export interface FileOptions {
  /** `json`, a JSON document a line, by default; or `text`, `format`'s lines. */
  readonly as?: "json" | "text" | undefined
  /** The share of plain successes to keep, see `sampleSuccesses`; all by default. */
  readonly sampleSuccesses?: number | undefined
  /**
   * How many entries may wait for the disk; 10,000 by default. Further entries are dropped and counted, and a warning reports
   * their number.
   */
  readonly capacity?: number | undefined
}

/**
 * Appends entries to a file, which is created readable for its owner only.
 *
 * **Details**
 *
 * A fiber of the layer writes all waiting entries at once, at most twenty times a second; callers do not wait for the disk.
 * When the layer's scope closes, also by interruption, it first writes everything that was logged. If the disk fails, a
 * warning says so, and the calls continue.
 *
 * If the file is renamed or removed, the next entries go to a new one with its name. So `logrotate` needs neither
 * `copytruncate` nor a signal; with `delaycompress`, it does not compress what is still being written.
 *
 * @category layers
 * @stability rests on effect/FileSystem, effect/PlatformError
 * @since 0.1.0
 */
export const layerFile = (
  path: string,
  options: FileOptions = {}
): Layer.Layer<never, PlatformError.PlatformError, FileSystem.FileSystem> =>
  Layer.effect(
    Current,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const open = Effect.gen(function*() {
        const file = yield* fs.open(path, { flag: "a", mode: 0o600 })
        return { file, info: yield* file.stat }
      })
      const opened = yield* ScopedRef.fromAcquire(open)
      const current = Effect.gen(function*() {
        const { info } = ScopedRef.getUnsafe(opened)
        const isMoved = yield* Effect.match(fs.stat(path), {
          onSuccess: ({ dev, ino }) =>
            dev !== info.dev || Option.getOrUndefined(ino) !== Option.getOrUndefined(info.ino),
          onFailure: ({ reason }) => reason._tag === "NotFound"
        })
        // If the new file cannot be opened, the old one has the lines.
        if (isMoved) yield* Effect.ignore(ScopedRef.set(opened, open))
        return ScopedRef.getUnsafe(opened).file
      })
      const queue = yield* Queue.dropping<Entry>(options.capacity ?? 10_000)
      const line = options.as === "text" ? format : JSON.stringify
      const encoder = new TextEncoder()
      let dropped = 0

      const append = (entries: ReadonlyArray<Entry>) =>
        Effect.suspend(() => {
          const missing = dropped
          dropped = 0
          const warning = missing === 0
            ? Effect.void
            : Effect.logWarning(`The access log lost ${missing} entries: the disk is too slow`)
          return Effect.andThen(
            warning,
            Effect.flatMap(
              current,
              (file) => file.writeAll(encoder.encode(entries.map((entry) => `${line(entry)}\n`).join("")))
            )
          )
        }).pipe(
          Effect.catch((error) => Effect.logWarning(`The access log lost ${entries.length} entries: ${error.message}`))
        )
      const writer = yield* Queue.takeAll(queue).pipe(
        Effect.flatMap((entries) => Effect.uninterruptible(append(entries))),
        Effect.andThen(Effect.sleep(pause)),
        Effect.forever,
        Effect.forkDetach
      )
      yield* Effect.addFinalizer(() =>
        Fiber.interrupt(writer).pipe(
          Effect.andThen(Queue.clear(queue)),
          Effect.flatMap((entries) => entries.length + dropped === 0 ? Effect.void : append(entries))
        )
      )

      const log: AccessLog = {
        write: (entry) =>
          Effect.sync(() => {
            if (!Queue.offerUnsafe(queue, entry)) dropped++
          })
      }
      return options.sampleSuccesses === undefined ? log : sampleSuccesses(log, options.sampleSuccesses)
    })
  )

/**
 * An entry as one line for people.
 *
 * **Example** (A failed attempt)
 *
 * ```ts import.meta.vitest
 * import { AccessLog } from "@effect-resilience/http"
 *
 * AccessLog.format({
 *   time: "2026-01-01T00:00:00.000Z",
 *   kind: "attempt",
 *   call: "0badcafe",
 *   outcome: "failure",
 *   method: "POST",
 *   endpoint: "/tables/{table}",
 *   status: 503,
 *   durationMs: 12.5,
 *   attempt: 2,
 *   resendReason: "TransportFailure",
 *   error: { reason: "ServiceUnavailable" },
 *   recovery: "Retry"
 * })
 * // => "2026-01-01T00:00:00.000Z 0badcafe attempt 2 (after TransportFailure) POST /tables/{table} 503 12.5 ms ServiceUnavailable -> Retry"
 * ```
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (entry: Entry): string =>
  [
    entry.time,
    entry.call,
    entry.kind === "attempt" ? `attempt ${entry.attempt}` : `call of ${entry.attempt}`,
    entry.resendReason && `(after ${entry.resendReason})`,
    entry.method,
    entry.endpoint,
    entry.status,
    `${entry.durationMs} ms`,
    entry.outcome === "interrupted" && "interrupted",
    entry.bytesSent !== undefined && `sent ${entry.bytesSent}`,
    entry.bytesReceived !== undefined && `received ${entry.bytesReceived}`,
    entry.requestId && `request id ${entry.requestId}`,
    entry.error?.reason,
    entry.recovery && `-> ${entry.recovery}`,
    entry.stopped && `(stopped: ${entry.stopped})`,
    entry.error?.message
  ].filter((part) => part !== undefined && part !== false && part !== "").map((part) =>
    ForeignText.oneLine(String(part))
  )
    .join(" ")

// A write costs a system call and a thread's turn, whatever its size.
const pause = "50 millis"

type AnyContext = Context.Context<never>

interface Timing {
  readonly time: number
  readonly millis: number
}

const timing = (context: AnyContext): Timing => {
  const clock = Context.get(context, Clock.Clock)
  return { time: clock.currentTimeMillisUnsafe(), millis: monotonicMillis(clock) }
}

const responseFields = (
  exit: Exit.Exit<unknown, unknown>,
  context: AnyContext
): Pick<Entry, "status" | "requestId" | "bytesReceived"> => {
  if (Exit.isSuccess(exit)) {
    // What an attempt yields.
    const response = exit.value as HttpClientResponse.HttpClientResponse
    const { headers, status } = response
    return {
      status,
      requestId: requestIdOf(headers, Context.get(context, Scrubber.Current)),
      bytesReceived: isBodiless(response)
        ? 0
        : (response instanceof MappedResponse ? response.received : undefined) ?? lengthOf(headers)
    }
  }
  const error = failureOf(exit)
  if (!(error instanceof ApiError.ApiError)) return {}
  const { reason, requestId } = error
  const bytesReceived = reason._tag === "PartsDelivered" ? reason.bytes : undefined
  return { status: ApiError.statusOf(reason), requestId, bytesReceived }
}

const lengthOf = (headers: Headers.Headers): number | undefined => {
  const length = headers["content-length"]
  return length === undefined ? undefined : Number(length)
}

const write = (
  context: AnyContext,
  begun: Timing,
  call: Call,
  exit: Exit.Exit<unknown, unknown>,
  attempt?: CallAttempt
): Effect.Effect<void> | undefined => {
  const log = Context.get(context, reference)
  if (log === none) return undefined
  const reason = reasonTag(exit)
  const error = failureOf(exit)
  const { endpoint, name } = Context.get(context, Operation.Current) ??
    { endpoint: Operation.endpointOf(undefined), name: undefined }
  const message = Recovery.isRecoverable(error) && error instanceof Error
    ? ForeignText.oneLine(Context.get(context, Scrubber.Current).scrub(error.message))
    : undefined
  const millis = monotonicMillis(Context.get(context, Clock.Clock)) - begun.millis
  // Fields that do not apply are absent: exporters would write `undefined` as a word.
  const entry: { -readonly [K in keyof Entry]: Entry[K] } = {
    time: new Date(begun.time).toISOString(),
    kind: attempt === undefined ? "call" : "attempt",
    call: callId(call, context),
    outcome: reason === undefined ? "success" : reason === "Interrupted" ? "interrupted" : "failure",
    endpoint,
    durationMs: Math.round(millis * 100) / 100,
    attempt: attempt?.number ?? call.attempts
  }
  if (name !== undefined) entry.operation = name
  if (call.method !== undefined) entry.method = call.method
  if (call.status !== undefined) entry.status = call.status
  if (attempt?.resendReason !== undefined) entry.resendReason = attempt.resendReason
  if (call.bytesSent !== undefined) entry.bytesSent = call.bytesSent
  if (call.bytesReceived !== undefined) entry.bytesReceived = call.bytesReceived
  if (call.requestId !== undefined) entry.requestId = call.requestId
  if (reason !== undefined && reason !== "Interrupted") {
    entry.error = message === undefined ? { reason } : { reason, message }
  }
  if (error !== undefined) entry.recovery = Classifier.classify(error, begun.time)._tag
  const why = attempt === undefined && entry.recovery === "Retry" ? RetryEvent.whyStopped(error) : undefined
  if (why !== undefined) entry.stopped = why._tag
  return log.write(entry)
}
