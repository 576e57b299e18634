import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { type FaultRule, Simulator, type SimulatorState } from "@effect-resilience/tbm-simulator"
import type { Settings } from "@effect-resilience/tbm-studio"
import { Frontdoor, TableUploads, UploaderService } from "@effect-resilience/tbm-studio"
import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
import type { UploadSource } from "@effect-resilience/upload"
import { Uploader } from "@effect-resilience/upload"
import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { Effect, type FileSystem, Layer, Schedule, type Scope } from "effect"
import type { HttpClient } from "effect/http"
import { createHash } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"

export const mebibyte = 1024 * 1024

export const content = (size: number) => Buffer.alloc(size, "account;amount\n5100;12.50\n")

export const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest("hex")

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(`${tmpdir()}/uploader-service-`)),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

export const file = Effect.fnUntraced(function*(bytes: Uint8Array) {
  const path = `${yield* folder}/gl.csv`
  writeFileSync(path, bytes)
  return path
})

export const quick = RetryPolicy.make({ times: 2, backoff: Backoff.constant("1 millis") })

/** The service over real sockets against a simulator, with parts of 5 MiB, quick retries and quick polling. */
export const withStudio = <A, E>(
  options: Simulator.Options,
  test: Effect.Effect<
    A,
    E,
    | UploaderService.UploaderService
    | Simulator.Simulator
    | Frontdoor.Frontdoor
    | Settings.Settings
    | NodeServices.NodeServices
    | Scope.Scope
  >,
  service: UploaderService.Options = {},
  client: Layer.Layer<HttpClient.HttpClient> = NodeHttpClient.layerUndici
) =>
  test.pipe(
    Effect.scoped,
    Effect.provide(
      UploaderService.UploaderService.layerOptions({
        partSize: 5 * mebibyte,
        policy: quick,
        poll: Schedule.spaced("5 millis"),
        ...service
      }).pipe(
        Layer.provideMerge(Frontdoor.Frontdoor.layer),
        Layer.provideMerge(SimulatedStudio.layer({ seed: 1, processingTime: 0, ...options })),
        Layer.provide(client),
        Layer.provideMerge(NodeServices.layer)
      )
    )
  )

export const upload = Effect.fnUntraced(function*(
  source: UploadSource.UploadSource<FileSystem.FileSystem>,
  options: {
    readonly action?: "overwrite" | "append"
    readonly force?: boolean
    readonly policy?: RetryPolicy.RetryPolicy
    readonly responseTimeout?: string & `${number} millis`
    readonly onEvent?: (event: Uploader.Event) => Effect.Effect<void>
  } = {}
) {
  const { target } = yield* UploaderService.UploaderService
  const item = yield* TableUploads.make({
    source,
    project: "Cost Transparency",
    table: "GL Data",
    period: "January:2024",
    action: options.action,
    force: options.force
  })
  return yield* Uploader.upload(target, item, {
    policy: options.policy ?? RetryPolicy.noop,
    responseTimeout: options.responseTimeout,
    onEvent: options.onEvent
  })
})

export const state = Effect.flatMap(Simulator.Simulator, ({ state }) => state)

export const reaches = (holds: (state: SimulatorState.SimulatorState) => boolean) =>
  Effect.eventually(Effect.flatMap(state, (state) => holds(state) ? Effect.void : Effect.fail("not yet")))

export const match = (operation: FaultRule.Operation) => ({ operation })

export const reset = (at: "beforeResponse" | "midRequest") => ({ type: "reset", at }) as const

export const receiptOf = ({ processId, uploadId }: UploaderService.Receipt) => ({ processId, uploadIds: [uploadId] })
