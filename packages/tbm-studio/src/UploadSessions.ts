/**
 * Remembers which parts of a file the uploader service has accepted, so that an upload that was cut off goes on where it
 * stood.
 *
 * **Why**
 *
 * The service does not tell what it holds. Whoever wants to send only what is missing, after a crash or a failure, has to
 * write it down.
 *
 * **Details**
 *
 * Without a store, an upload that fails or is interrupted is aborted on the server. With one it stays there, to be resumed
 * by the next upload of the same file to the same table and period: in this process (`layerMemory`), or in any
 * (`layerKeyValueStore`). A file that has changed since begins anew; a source whose version cannot be told is never
 * resumed. A store that cannot be read or written, or is silent for 5 seconds, is warned of in the log and costs the
 * resumption, not the upload; except for an `append`: without a note that its processing begins, a run after a crash would send
 * it again. It fails with `SessionStoreFailed` before it is processed.
 *
 * An `append` that was being processed, and whose end was not learned, stays in doubt: each upload of the same file name to
 * the same table and period asks the service again where it can, and fails with `InDoubt` or `ProcessingUnknown` where that
 * does not help, until `OnUnknown` says `retry` or the session is removed.
 *
 * **Gotchas**
 *
 * A session that nobody resumes stays on the server until the service clears it away.
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
 * @since 0.1.0
 */
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Schema from "effect/Schema"

/**
 * What the service calls an upload or a process. It becomes a segment of a path, so `.` and `..`, which every URL parser
 * resolves away, are none, and neither is text that no encoding can carry.
 *
 * @category models
 * @since 0.1.0
 */
export const Id = Schema.String.check(
  /* @__PURE__ */ Schema.isPattern(/^(?!\.\.?$)[^\p{Cc}\p{Surrogate}]{1,1000}$/u)
)

/**
 * How far an upload is.
 *
 * - `version`, `size`: of the source that is being sent.
 * - `partSize`: in bytes; the last part may be smaller.
 * - `parts`: the numbers of those accepted, from 1.
 * - `stage`: `processing` from before the request that starts it.
 * - `processId`: once the service has accepted that request.
 * - `at`: when this was noted, in milliseconds since 1970.
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
 * @category models
 * @since 0.1.0
 */
export interface Session extends Schema.Schema.Type<typeof Session> {}

/**
 * Where sessions are kept. A key is short and safe in a file name.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploadSessions {
  readonly find: (key: string) => Effect.Effect<Session | undefined, SessionsError>
  readonly save: (key: string, session: Session) => Effect.Effect<void, SessionsError>
  readonly remove: (key: string) => Effect.Effect<void, SessionsError>
}

/**
 * Sessions cannot be read or written. It is no verdict on the uploader service.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionsError extends Data.TaggedError("SessionsError")<{
  readonly operation: "read" | "kept" | "removed"
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
 * The store that uploads use. None by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<UploadSessions | undefined> = Context.Reference<UploadSessions | undefined>(
  "@effect-resilience/tbm-studio/UploadSessions/Current",
  { defaultValue: () => undefined }
)

/**
 * What becomes of an `append` that an earlier run may have applied: `fail`, the default, reports it; `retry` sends it again
 * where the service does not tell how it ended, and may add its rows twice.
 *
 * @category references
 * @since 0.1.0
 */
export const OnUnknown: Context.Reference<"fail" | "retry"> = Context.Reference<"fail" | "retry">(
  "@effect-resilience/tbm-studio/UploadSessions/OnUnknown",
  { defaultValue: () => "fail" }
)

/**
 * Sessions live as long as the layer.
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
 * Sessions outlive the process, in whatever the `KeyValueStore` keeps them.
 *
 * **Details**
 *
 * Two entries a session, written in turns: where a crash cuts one short, the one before it stands.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerKeyValueStore: Layer.Layer<never, never, KeyValueStore.KeyValueStore> = Layer.effect(
  Current,
  Effect.map(KeyValueStore.KeyValueStore, (store) => {
    const revisions = new Map<string, number>()
    const slots = (key: string) => [`${key}.0`, `${key}.1`]
    const within = StoreTimeout.make("5 seconds")
    const asked = <A>(operation: SessionsError["operation"], call: Effect.Effect<A, { readonly message: string }>) =>
      Effect.mapError(within(call), (cause) => new SessionsError({ operation, cause }))
    const read = (slot: string) =>
      Effect.flatMap(
        asked("read", store.get(slot)),
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
        return asked(
          "kept",
          Effect.flatMap(encode({ revision, session }), (text) => store.set(`${key}.${revision % 2}`, text))
        )
      },
      remove: (key) =>
        Effect.forEach(slots(key), (slot) => asked("removed", store.remove(slot)), { discard: true }).pipe(
          Effect.tap(Effect.sync(() => revisions.delete(key)))
        )
    }
  })
)

const Entry = Schema.fromJsonString(Schema.Struct({ revision: Schema.Int, session: Session }))
const decode = Schema.decodeUnknownEffect(Entry)
const encode = Schema.encodeEffect(Entry)
