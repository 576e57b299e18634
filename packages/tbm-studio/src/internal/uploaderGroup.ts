/** Uploads that are sent one by one, and then processed and checked in together. */
import type * as UploadError from "@effect-resilience/upload/UploadError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { TableUpload } from "../TableUploads.ts"
import * as UploaderError from "../UploaderError.ts"
import type * as Calls from "./uploaderCalls.ts"
import type * as codec from "./uploaderCodec.ts"

type Failure = Calls.Failure | UploadError.UploadError

/** A file that has arrived at the service. `save` records that its processing begins. */
export interface Member extends codec.Member {
  readonly save: Effect.Effect<unknown, Failure>
}

/** The calls that process all members. */
export interface Processing {
  readonly start: (members: codec.Members) => Effect.Effect<string, Failure>
  readonly outcome: (processId: string) => Effect.Effect<void, Failure>
}

/**
 * - `gate`: limits how many members are sent at once.
 * - `join`: waits until all have arrived, and returns the id of their processing, and its outcome. Who is interrupted meanwhile has not
 *   joined.
 * - `leave`: says that an upload has ended. If it has not joined, the others are processed without it if it is `stored`, and fail
 *   otherwise.
 */
export interface Group {
  readonly gate: Semaphore.Semaphore
  readonly join: (member: Member, processing: Processing) => Effect.Effect<
    { readonly processId: string; readonly outcome: Effect.Effect<void, Failure> },
    Failure
  >
  readonly leave: (upload: TableUpload, stored: boolean) => Effect.Effect<void>
}

/** A group of these uploads. Its processing ends with the scope. */
export const make = Effect.fnUntraced(function*(uploads: ReadonlyArray<TableUpload>, concurrency: number) {
  const scope = yield* Effect.scope
  const gate = yield* Semaphore.make(concurrency)
  const started = yield* Deferred.make<string, Failure>()
  const ended = yield* Deferred.make<void, Failure>()
  const missing = new Set(uploads)
  const members = new Map<TableUpload, Member>()
  let processing: Processing | undefined
  let begun = false

  const run = (first: Member, rest: ReadonlyArray<Member>, { outcome, start }: Processing) =>
    Effect.forEach([first, ...rest], ({ save }) => save, { discard: true }).pipe(
      Effect.andThen(start([first, ...rest])),
      Effect.tap((processId) => Deferred.succeed(started, processId)),
      Effect.flatMap(outcome),
      Effect.exit,
      Effect.flatMap((exit) =>
        Effect.andThen(
          Deferred.done(ended, exit),
          exit._tag === "Failure" ? Deferred.failCause(started, exit.cause) : Effect.void
        )
      )
    )
  const runIfComplete = Effect.suspend(() => {
    const [first, ...rest] = members.values()
    if (missing.size > 0 || first === undefined || processing === undefined) return Effect.void
    begun = true
    return Effect.asVoid(Effect.forkIn(run(first, rest, processing), scope))
  })
  // Its file is aborted, and perhaps sent again.
  const withdraw = (upload: TableUpload) =>
    Effect.sync(() => {
      if (!begun && members.delete(upload)) missing.add(upload)
    })
  const group: Group = {
    gate,
    join: (member, how) =>
      Effect.suspend(() => {
        // The failure of another one's call names this one's source.
        const own = <A>(self: Effect.Effect<A, Failure>) =>
          Effect.mapError(self, (error): Failure =>
            error._tag === "UploaderError"
              ? new UploaderError.UploaderError({ source: member.fileName, reason: error.reason })
              : error)
        processing = how
        const isNew = missing.delete(member.upload)
        if (isNew) members.set(member.upload, member)
        return Effect.andThen(
          isNew ? runIfComplete : Effect.void,
          Effect.map(own(Deferred.await(started)), (processId) => ({ processId, outcome: own(Deferred.await(ended)) }))
        )
      }).pipe(Effect.onInterrupt(() => withdraw(member.upload))),
    leave: (upload, stored) =>
      Effect.suspend(() => {
        if (!missing.has(upload)) return Effect.void
        if (stored) {
          missing.delete(upload)
          return runIfComplete
        }
        // It stays missing, so that those who join later are not processed either.
        const reason = new UploaderError.GroupNotProcessed()
        return Effect.asVoid(Deferred.fail(started, new UploaderError.UploaderError({ source: "", reason })))
      })
  }
  return group
})
