// Uploads one table to a simulated TBM Studio that fails twice before it works.
import { SimulatedStudio, TableUploads, TbmStudio } from "@effect-resilience/tbm-studio"
import { Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeHttpClient, NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import assert from "node:assert/strict"

const program = Effect.gen(function*() {
  const { target } = yield* TableUploads.TableUploads
  const upload = yield* TableUploads.make({
    source: UploadSource.bytes("gl.csv", "Account,Amount\n610100,12.50\n"),
    project: "Cost Transparency",
    table: "GL Data",
    period: "January:2024"
  })
  return yield* Uploader.upload(target, upload)
})

// Leave the next line out and provide `TbmStudio.layerConfig` to talk to the real service.
const studio = SimulatedStudio.layer({ faults: [{ times: 2, fault: { type: "status", status: 503 } }] })
const live = TbmStudio.layer.pipe(Layer.provide([studio, NodeHttpClient.layerUndici]), Layer.merge(NodeServices.layer))

const report = await Effect.runPromise(Effect.provide(program, live))
assert.equal(report.verified, true)
console.log(`${report.source}: ${report.bytes} bytes stored, md5 ${report.digests.md5} verified`)
