/** The command `effect-resilience-lab`. */
import type * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { drill } from "./drill.ts"
import { exit, Failure } from "./failure.ts"
import { lint } from "./lint.ts"
import * as output from "./output.ts"
import { plan } from "./plan.ts"
import * as playground from "./playground.ts"
import { simulate } from "./simulate.ts"

const name = "effect-resilience-lab"

const command = Command.make(name, playground.config, playground.serve).pipe(
  Command.withDescription("What a policy does in an outage, seen before production does it"),
  Command.withSubcommands([lint, simulate, plan, drill])
)

/** Runs the command with these arguments. A failure is one line on standard error, and has its exit status for `runMain`. */
export const run = (version: string) => (args: ReadonlyArray<string>) =>
  Command.runWith(command, { version })(args).pipe(
    Effect.mapError((error) =>
      error._tag === "ShowHelp"
        ? usage(error)
        : error._tag === "Failure"
        ? error
        : new Failure({ message: error.message, status: exit.usage })
    ),
    Effect.tapError(({ message }) => message === "" ? Effect.void : Console.error(`${name}: ${output.shown(message)}`)),
    Effect.provide(CliOutput.layerPresenter(presenter)),
    Effect.provideService(Logger.LogToStderr, true)
  )

const usage = ({ errors }: CliError.ShowHelp): Failure =>
  errors.length === 0
    ? new Failure({ message: "a command is missing", status: exit.usage })
    : new Failure({
      message: `${errors.map((error) => error.message.replace(/\s*\n\s*/g, " ")).join("; ")} (see --help)`,
      status: exit.usage
    })

// A wrong invocation is one line.
const presenter: CliOutput.Presenter = {
  present: (event) => event._tag === "InvalidInvocation" ? Effect.void : CliOutput.defaultPresenter.present(event)
}
