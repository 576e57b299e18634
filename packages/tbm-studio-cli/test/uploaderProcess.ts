/** Uploads a file through the uploader service, and prints its memory in bytes: `{"before": …, "peak": …}`. */
import { Frontdoor, TableUploads, TbmStudio, UploaderService } from "@effect-resilience/tbm-studio"
import { Uploader, UploadSource } from "@effect-resilience/upload"
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"

const [, , path = ""] = process.argv

const program = Effect.gen(function*() {
  const { target } = yield* UploaderService.UploaderService
  yield* (yield* Frontdoor.Frontdoor).environmentId
  const before = process.memoryUsage.rss()
  const item = yield* TableUploads.make({
    source: UploadSource.file(path),
    project: "Cost Transparency",
    table: "GL Data",
    period: "January:2024"
  })
  yield* Uploader.upload(target, item)
  yield* Console.log(JSON.stringify({ before, peak: process.resourceUsage().maxRSS * 1024 }))
})

program.pipe(
  Effect.provide(TbmStudio.layerConfig.pipe(
    Layer.provide(NodeHttpClient.layerUndici),
    Layer.provideMerge(NodeServices.layer)
  )),
  NodeRuntime.runMain
)
