// Replaces one concern: tokens come from a vault instead of a login, and nothing else changes.
import type { Grant } from "@effect-resilience/auth"
import { TokenCache, TokenSource } from "@effect-resilience/auth"
import { Simulator } from "@effect-resilience/tbm-simulator"
import { Frontdoor, TableUploads } from "@effect-resilience/tbm-studio"
import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
import { Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { Effect, Layer, Redacted } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import assert from "node:assert/strict"

// Stands for a vault: here it has the simulator issue a token.
const vault = Effect.gen(function*() {
  const { url } = yield* Simulator.Simulator
  const keys = HttpClientRequest.post(`${url}/service/apikeylogin`).pipe(
    HttpClientRequest.bodyJsonUnsafe({ keyAccess: "sim-public-key", keySecret: "sim-secret-key" })
  )
  const response = yield* HttpClient.execute(keys)
  const grant: Grant.Grant = { value: Redacted.make(response.headers["apptio-opentoken"] ?? "") }
  return grant
}).pipe(Effect.orDie)

const frontdoor = Layer.effect(
  Frontdoor.Frontdoor,
  Effect.gen(function*() {
    const context = yield* Effect.context<Simulator.Simulator | HttpClient.HttpClient>()
    const source = TokenSource.fromEffect(Effect.provideContext(vault, context), { identity: ["vault"] })
    return {
      tokens: yield* TokenCache.make(source),
      environmentId: Effect.succeed("5f0c1d2e-7a3b-4c4d-8e9f-0a1b2c3d4e5f")
    }
  })
)

const live = TableUploads.TableUploads.layer.pipe(
  Layer.provide(frontdoor),
  Layer.provideMerge(SimulatedStudio.layer()),
  Layer.provide(NodeHttpClient.layerUndici),
  Layer.provideMerge(NodeServices.layer)
)

const program = Effect.gen(function*() {
  const { target } = yield* TableUploads.TableUploads
  const upload = yield* TableUploads.make({
    source: UploadSource.bytes("gl.csv", "Account,Amount\n"),
    project: "Cost Transparency",
    table: "GL Data",
    period: "current"
  })
  yield* Uploader.upload(target, upload)
  const simulator = yield* Simulator.Simulator
  return yield* simulator.state
})

const state = await Effect.runPromise(Effect.provide(program, live))
assert.equal(state.environmentLookups, 0)
console.log(`stored ${Object.keys(state.tables).join()} with a token that another layer brought`)
