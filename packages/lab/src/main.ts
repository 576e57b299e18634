import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import { createRequire } from "node:module"
import * as cli from "./internal/command/cli.ts"

const manifest: { readonly version: string } = createRequire(import.meta.url)("../package.json")

cli.run(manifest.version)(process.argv.slice(2)).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain()
)
