import * as Recovery from "@effect-resilience/errors/Recovery"
import * as HashingThreads from "@effect-resilience/node/HashingThreads"
import * as LocalFileSystem from "@effect-resilience/node/LocalFileSystem"
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
import { CommandFailed, crash, ended, failed, giveUp, print } from "./internal/commandOutput.ts"
import { adopt } from "./internal/commands/adopt.ts"
import { audit } from "./internal/commands/audit.ts"
import { batch } from "./internal/commands/batch.ts"
import { demo } from "./internal/commands/demo.ts"
import { download } from "./internal/commands/download.ts"
import { explain } from "./internal/commands/explain.ts"
import { login } from "./internal/commands/login.ts"
import { resolve } from "./internal/commands/resolve.ts"
import { status } from "./internal/commands/status.ts"
import { upload } from "./internal/commands/upload.ts"
import { watch } from "./internal/commands/watch.ts"
import { worker } from "./internal/commands/worker.ts"
import * as Completions from "./internal/completions.ts"
import * as HelpText from "./internal/helpText.ts"
import * as options from "./internal/options.ts"
import * as Output from "./internal/output.ts"
import * as StopSignal from "./internal/stopSignal.ts"

const manifest: { readonly version: string } = createRequire(import.meta.url)("../package.json")

const tbmStudio = Command.make("tbm-studio").pipe(
  Command.withDescription("Upload cost tables to TBM Studio, safely over an unreliable network"),
  Command.withSubcommands([
    login,
    upload,
    download,
    batch,
    watch,
    status,
    resolve,
    audit,
    adopt,
    worker,
    explain,
    demo
  ]),
  Command.withGlobalFlags(options.all)
)

// Wrong usage prints its errors and a pointer to the help, not a page of help that hides the errors.
const presenter = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "Help"
      ? Effect.gen(function*() {
        const { columns } = (yield* Output.WindowOf)("stdout") ?? { columns: 80 }
        const formatter = yield* CliOutput.Formatter
        yield* Console.log(HelpText.fit(formatter.formatHelpDoc(event.helpDoc), columns - 1))
      })
      : event._tag === "InvalidInvocation"
      ? Output.print("stderr", [...event.errors.flatMap(usageLines), `See ${event.commandPath.join(" ")} --help.`])
      : CliOutput.defaultPresenter.present(event)
})

// The parts of a message that come from the arguments are fields of its error.
const usageLines = (error: CliError.CliError): ReadonlyArray<string> => {
  let message = error.message
  for (const field of Object.values(error)) {
    if (typeof field === "string" && field !== "") message = message.replaceAll(field, Output.plain(field))
  }
  return message.split("\n")
}

class WrongUsage extends Data.TaggedError("WrongUsage")<{ readonly message: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
}

const usageMessage = (error: CliError.CliError): string =>
  error._tag !== "ShowHelp"
    ? error.message
    : error.errors.length > 0
    ? error.errors.map(({ message }) => message).join("\n")
    : `${error.commandPath.join(" ")} needs a command. See ${error.commandPath.join(" ")} --help.`

const program = Effect.gen(function*() {
  const args = yield* (yield* Stdio.Stdio).args
  const run = Command.runWith(tbmStudio, { version: manifest.version })(args)
  if (!options.asksForJson(args)) {
    return yield* Effect.catchIf(
      run,
      CliError.isCliError,
      () => Effect.fail(new CommandFailed({ exitStatus: ExitStatus.usage }))
    )
  }
  // Help, the version and completions are printed outside of commands. They become one document too.
  const shown: Array<string> = []
  const collecting: Console.Console = Object.assign(Object.create(yield* Console.Console), {
    log: (...texts: ReadonlyArray<unknown>) => shown.push(texts.join(" "))
  })
  yield* run.pipe(
    Effect.provideService(Console.Console, collecting),
    Effect.provideService(CliOutput.Formatter, CliOutput.defaultFormatter({ colors: false })),
    Effect.catchIf(
      CliError.isCliError,
      (error) => print({ ...failed(new WrongUsage({ message: usageMessage(error) })), problems: [] })
    )
  )
  yield* print({ json: { status: "ok", text: shown.join("\n") }, text: [], exitStatus: ExitStatus.done })
}).pipe(
  Effect.provideService(References.MinimumLogLevel, "Warn"),
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      LocalFileSystem.layer,
      HashingThreads.layer(),
      presenter,
      Completions.layer,
      Logger.layer([Logger.withConsoleError(Logger.formatSimple)])
    )
  )
)

Output.install()
// Node's own report of an uncaught exception would print the raw error, which may contain secrets.
process.on("uncaughtException", crash)

const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  StopSignal.install(fiber, giveUp)
  fiber.addObserver((exit) => teardown(exit, (status) => ended(exit, status)))
})

runMain(program, { disableErrorReporting: true })
