import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { createRequire } from "node:module"
import * as Cli from "./internal/Cli.ts"

const manifest: { readonly version: string } = createRequire(import.meta.url)("../package.json")

// A closed terminal stops the server as other signals do.
process.once("SIGHUP", () => process.kill(process.pid, "SIGTERM"))

Cli.run(manifest.version)(process.argv.slice(2)).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({
    // A signal is the usual way to stop a server.
    teardown: (exit, onExit) =>
      Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)
  })
)
