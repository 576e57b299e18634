import * as Recovery from "@effect-resilience/errors/Recovery"
import * as LocalFileSystem from "@effect-resilience/fs-node/LocalFileSystem"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as HashingThreads from "@effect-resilience/upload-node/HashingThreads"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Runtime from "effect/Runtime"
import * as Stdio from "effect/Stdio"
import { createRequire } from "node:module"
import * as ExitStatus from "./ExitStatus.ts"
import { batch } from "./internal/commands/batch.ts"
import { demo } from "./internal/commands/demo.ts"
import { explain } from "./internal/commands/explain.ts"
import { login } from "./internal/commands/login.ts"
import { status } from "./internal/commands/status.ts"
import { upload } from "./internal/commands/upload.ts"
import { worker } from "./internal/commands/worker.ts"
import * as options from "./internal/options.ts"
import { bug, CommandFailed, failed, say } from "./internal/respond.ts"
import * as StopSignal from "./internal/stopSignal.ts"

const manifest: { readonly version: string } = createRequire(import.meta.url)("../package.json")

const tbmStudio = Command.make("tbm-studio").pipe(
  Command.withDescription("Upload cost tables to TBM Studio, safely over an unreliable network"),
  Command.withSubcommands([login, upload, batch, status, worker, explain, demo]),
  Command.withGlobalFlags(options.all)
)

// A wrong call gets its errors and a hint, not a page of help that hides them.
const presenter = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Console.error(
        `${event.errors.map(({ message }) => message).join("\n")}\nSee ${event.commandPath.join(" ")} --help.`
      )
      : CliOutput.defaultPresenter.present(event)
})

class WrongUsage extends Data.TaggedError("WrongUsage")<{ readonly message: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
}

const usageMessage = (error: CliError.CliError): string =>
  error._tag === "ShowHelp" && error.errors.length > 0
    ? error.errors.map(({ message }) => message).join("\n")
    : error.message

const program = Effect.gen(function*() {
  const args = yield* (yield* Stdio.Stdio).args
  const json = args.includes("--json")
  yield* Command.runWith(tbmStudio, { version: manifest.version })(args).pipe(
    Effect.catchIf(CliError.isCliError, (error) =>
      json
        ? say({ ...failed(new WrongUsage({ message: usageMessage(error) })), problems: [] }, json)
        : Effect.fail(new CommandFailed({ exitStatus: ExitStatus.usage }))),
    Effect.catchDefect((defect) => say(bug(defect), json))
  )
}).pipe(
  Effect.provideService(References.MinimumLogLevel, "Warn"),
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      LocalFileSystem.layer,
      HashingThreads.layer(),
      presenter,
      Logger.layer([Logger.withConsoleError(Logger.formatSimple)])
    )
  )
)

// Node's own report of an uncaught exception prints the raw error, with whatever it holds.
process.on("uncaughtException", (error) => {
  const { scrub } = Scrubber.Current.defaultValue()
  const { json, problems = [] } = bug(error)
  process.stderr.write(`${scrub(problems.join("\n"))}\n`)
  if (process.argv.includes("--json")) process.stdout.write(`${scrub(JSON.stringify(json, undefined, 2))}\n`)
  process.exit(ExitStatus.bug)
})

const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  const onSignal = () => {
    if (!StopSignal.pass()) fiber.interruptUnsafe(fiber.id)
  }
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  fiber.addObserver((exit) => {
    process.off("SIGINT", onSignal)
    process.off("SIGTERM", onSignal)
    // Not process.exit, which cuts off what a pipe has not taken yet.
    teardown(exit, (code) => {
      process.exitCode = code
    })
  })
})

runMain(program, { disableErrorReporting: true })
