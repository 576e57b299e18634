// examples/upload-a-table.ts: uploads to a simulator that fails twice before it works
import { TableUploads, TbmStudio } from "@effect-resilience/tbm-studio"
import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
import { Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"

const table = { project: "Cost Transparency", table: "GL Data", period: "January:2024" }
const program = Effect.gen(function*() {
  const { target } = yield* TableUploads.TableUploads
  const upload = yield* TableUploads.make({ ...table, source: UploadSource.bytes("gl.csv", "Account,Amount\n") })
  const report = yield* Uploader.upload(target, upload)
  yield* Console.log(`${report.bytes} bytes stored, verified: ${report.verified}, attempts: ${report.attempts}`)
})

const studio = SimulatedStudio.layer({
  faults: [{ match: { operation: "upload" }, times: 2, fault: { type: "status", status: 503 } }]
})
const live = TbmStudio.layer.pipe(Layer.provide([studio, NodeHttpClient.layerUndici]), Layer.merge(NodeServices.layer))
await Effect.runPromise(Effect.provide(program, live))
