import type { CircuitOpen } from "@effect-resilience/limit/CircuitBreaker"
import type * as Frontdoor from "@effect-resilience/tbm-studio/Frontdoor"
import type { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as TableUploads from "@effect-resilience/tbm-studio/TableUploads"
import * as UploaderError from "@effect-resilience/tbm-studio/UploaderError"
import * as UploaderService from "@effect-resilience/tbm-studio/UploaderService"
import * as UploadSessions from "@effect-resilience/tbm-studio/UploadSessions"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { failAs, InvalidOption } from "./runtime.ts"
import * as words from "./words.ts"

/** How files are uploaded: to the table itself, or through the uploader service. */
export type UploadRoute = "table" | "uploader"

/** The flags of the commands that upload. */
export const flags = {
  route: Flag.Literals("via", ["table", "uploader"]).pipe(
    Flag.withDescription("Send each file in one request, or in parts through the uploader service (default table)"),
    Flag.withDefault("table")
  ),
  sessions: Flag.String("sessions").pipe(
    Flag.withMetavar("DIRECTORY"),
    Flag.withDescription(
      "With --via uploader: record here which parts have arrived, so that the next run sends only the others"
    ),
    Flag.optional
  )
}

/** The failures of either route. */
export type Failure = Frontdoor.CallError | CircuitOpen | UploaderError.UploaderError

export interface Destination {
  readonly target: UploadTarget.UploadTarget<TableUploads.TableUpload, unknown, Failure, FileSystem.FileSystem>
  readonly responseTimeout: Duration.Duration | undefined
}

/** A target whose uploads are processed together. `leave` says that one has ended. */
export interface GroupDestination extends Destination {
  readonly leave: (upload: TableUploads.TableUpload, stored: boolean) => Effect.Effect<void>
}

/** The target of a group of uploads. They wait for each other, so a response may take as long as the largest of them. */
export const groupOf = (uploads: ReadonlyArray<TableUploads.TableUpload>, concurrency: number) =>
  Effect.flatMap(UploaderService.UploaderService, ({ group }) => group(uploads, concurrency)).pipe(
    Effect.map((group): GroupDestination => ({ ...group, responseTimeout: Duration.infinity })),
    Effect.provide(UploaderService.UploaderService.layer)
  )

/** The target of a route, and how long its response may take. The uploader service is built only for its own route. */
export const destinationOf = (route: UploadRoute) =>
  route === "table"
    ? Effect.map(TableUploads.TableUploads, ({ target }): Destination => ({ target, responseTimeout: undefined }))
    : Effect.map(
      UploaderService.UploaderService,
      ({ target }): Destination => ({ target, responseTimeout: UploaderService.responseTimeout })
    ).pipe(Effect.provide(UploaderService.UploaderService.layer))

/** The address of the first request with a body, which a dry run shows. */
export const address = (
  route: UploadRoute,
  settings: Settings["Service"],
  { address, action, source }: TableUploads.TableUpload
): Effect.Effect<string, UploaderError.UploaderError> => {
  if (route === "table") {
    return Effect.succeed(settings.api + TableAddress.path(address, settings.domain, action, settings.apiVersion))
  }
  if (settings.datalink !== undefined) return Effect.succeed(`${settings.datalink}/uls/api/v1/upload`)
  const reason = new UploaderError.NoUploaderService({ region: settings.region })
  return Effect.fail(new UploaderError.UploaderError({ source: source.name, reason }))
}

/**
 * Keeps the sessions of the uploader service in the directory of the flag. `onUnknown` says what to do with an append whose
 * session has an unknown outcome.
 */
export const withSessions =
  (route: UploadRoute, directory: Option.Option<string>, onUnknown: "fail" | "skip" | "retry") =>
  <A, E, R>(
    self: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | InvalidOption, R | FileSystem.FileSystem | Path.Path> => {
    if (Option.isNone(directory)) return self
    if (route === "table") {
      return Effect.fail(new InvalidOption({ message: "Leave out --sessions: it is for --via uploader." }))
    }
    const files = failAs(
      KeyValueStore.layerFileSystem(directory.value),
      ({ reason }) => `--sessions ${directory.value} cannot be used: ${words.ofSystem(reason)}.`
    )
    return self.pipe(
      Effect.provideService(UploadSessions.OnUnknown, onUnknown === "retry" ? "retry" : "fail"),
      Effect.provide(Layer.provide(UploadSessions.layerKeyValueStore, files))
    )
  }
