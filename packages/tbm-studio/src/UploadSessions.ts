/**
 * Remembers which parts of a file the uploader service has accepted, so that an interrupted upload resumes where it
 * stopped.
 *
 * **Why**
 *
 * The service does not report which parts it has. A client that wants to send only the missing parts, after a crash or a
 * failure, must store this itself.
 *
 * **Details**
 *
 * Without a store, an upload that fails or is interrupted is aborted on the server. With a store it stays on the server.
 * The next upload of the same file to the same table and period resumes it: in this process (`layerMemory`), or in any
 * (`layerKeyValueStore`). A file that has changed meanwhile is sent from the start. A source without a version is never
 * resumed. If the store cannot be read or written, or does not respond within 5 seconds, a warning is logged and the upload
 * continues, but it cannot be resumed. An `append` is the exception: without a stored note that its processing begins, a run
 * after a crash would send it again. So it fails with `SessionStoreFailed` before it is processed.
 *
 * If the outcome of an `append` was not learned while it was being processed, it stays unknown: each upload of the same file
 * name to the same table and period asks the service again if it can. If that does not help, it fails with `InDoubt` or
 * `ProcessingUnknown`, until `OnUnknown` is `retry` or the session is removed.
 *
 * **Gotchas**
 *
 * A session that is not resumed stays on the server until the service removes it.
 *
 * **Example** (Keeping sessions in files)
 *
 * ```ts
 * import { UploadSessions } from "@effect-resilience/tbm-studio"
 * import { NodeServices } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { KeyValueStore } from "effect/persistence"
 *
 * const sessions = UploadSessions.layerKeyValueStore.pipe(
 *   Layer.provide(KeyValueStore.layerFileSystem("/var/lib/uploads")),
 *   Layer.provide(NodeServices.layer)
 * )
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Schema from "effect/Schema"

/**
 * The service's id of an upload or a process. It becomes a segment of a path. So `.` and `..`, which every URL parser
 * removes, are not ids, nor is text that cannot be encoded.
 *
 * @category models
 * @since 0.1.0
 */
export const Id = Schema.String.check(
  /* @__PURE__ */ Schema.isPattern(/^(?!\.\.?$)[^\p{Cc}\p{Surrogate}]{1,1000}$/u)
)

/**
 * The progress of an upload.
 *
 * - `version`, `size`: of the source.
 * - `partSize`: in bytes; the last part may be smaller.
 * - `parts`: the numbers of the accepted parts, from 1.
 * - `stage`: it becomes `processing` before the request that starts the processing.
 * - `processId`: present once the service has accepted that request.
 * - `at`: when the session was saved, in milliseconds since 1970.
 *
 * @category models
 * @since 0.1.0
 */
export const Session = Schema.Struct({
  uploadId: Id,
  version: Schema.optional(Schema.String),
  size: Schema.Number,
  partSize: Schema.Number,
  parts: Schema.Array(Schema.Number),
  stage: Schema.Literals(["sending", "finalized", "processing"]),
  processId: Schema.optional(Id),
  at: Schema.Number
})

/**
 * What is known about an upload that was begun, as the schema of the same name describes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session extends Schema.Schema.Type<typeof Session> {}

/**
 * A store of sessions. A key is short and safe in a file name.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadSessions {
  /** The session of a key; `undefined` if there is none. */
  readonly find: (key: string) => Effect.Effect<Session | undefined, SessionsError>
  /** Keeps a session under a key, in place of an earlier one. */
  readonly save: (key: string, session: Session) => Effect.Effect<void, SessionsError>
  /** Forgets the session of a key; does nothing if there is none. */
  readonly remove: (key: string) => Effect.Effect<void, SessionsError>
}

/**
 * Sessions cannot be read or written. This says nothing about the uploader service.
 *
 * - `cause.message`: the store's own message.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionsError extends ErrorMessage.TaggedError("SessionsError")<{
  /** What was tried; the words stand in the message. */
  readonly operation: "read" | "kept" | "removed"
  /** What the store failed with. */
  readonly cause: { readonly message: string }
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  override get message(): string {
    return `An upload session could not be ${this.operation}: ${this.cause.message}`
  }
}

/**
 * The store that uploads use. There is none by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<UploadSessions | undefined> = Context.Reference<UploadSessions | undefined>(
  "@effect-resilience/tbm-studio/UploadSessions/Current",
  { defaultValue: () => undefined }
)

/**
 * What to do with an `append` that an earlier run may have applied. `fail`, the default, reports it. `retry` sends it again
 * if the service does not report how it ended, which may add its rows twice.
 *
 * @category references
 * @since 0.1.0
 */
export const OnUnknown: Context.Reference<"fail" | "retry"> = Context.Reference<"fail" | "retry">(
  "@effect-resilience/tbm-studio/UploadSessions/OnUnknown",
  { defaultValue: () => "fail" }
)

/**
 * Keeps sessions in memory, as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<never> = Layer.sync(Current, () => {
  const sessions = new Map<string, Session>()
  return {
    find: (key) => Effect.sync(() => sessions.get(key)),
    save: (key, session) =>
      Effect.sync(() => {
        sessions.set(key, session)
      }),
    remove: (key) =>
      Effect.sync(() => {
        sessions.delete(key)
      })
  }
})

/**
 * Keeps sessions in a `KeyValueStore`, so they outlive the process.
 *
 * **Details**
 *
 * Each session has two entries, written alternately. If a crash cuts one short, the previous one is read.
 *
 * @category layers
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const layerKeyValueStore: Layer.Layer<never, never, KeyValueStore.KeyValueStore> = Layer.effect(
  Current,
  Effect.map(KeyValueStore.KeyValueStore, (store) => {
    const revisions = new Map<string, number>()
    const slots = (key: string) => [`${key}.0`, `${key}.1`]
    const within = StoreTimeout.make("5 seconds")
    const bounded = <A>(operation: SessionsError["operation"], call: Effect.Effect<A, { readonly message: string }>) =>
      Effect.mapError(within(call), (cause) => new SessionsError({ operation, cause }))
    const read = (slot: string) =>
      Effect.flatMap(
        bounded("read", store.get(slot)),
        (text) => Effect.orElseSucceed(decode(text), () => undefined)
      )

    return {
      find: (key) =>
        Effect.map(Effect.forEach(slots(key), read), (found) => {
          const [latest] = found.filter((entry) => entry !== undefined).toSorted((a, b) => b.revision - a.revision)
          if (latest !== undefined) revisions.set(key, latest.revision)
          return latest?.session
        }),
      save: (key, session) => {
        const revision = (revisions.get(key) ?? 0) + 1
        revisions.set(key, revision)
        return bounded(
          "kept",
          Effect.flatMap(encode({ revision, session }), (text) => store.set(`${key}.${revision % 2}`, text))
        )
      },
      remove: (key) =>
        Effect.forEach(slots(key), (slot) => bounded("removed", store.remove(slot)), { discard: true }).pipe(
          Effect.tap(Effect.sync(() => revisions.delete(key)))
        )
    }
  })
)

const Entry = Schema.fromJsonString(Schema.Struct({ revision: Schema.Int, session: Session }))
const decode = Schema.decodeUnknownEffect(Entry)
const encode = Schema.encodeEffect(Entry)
