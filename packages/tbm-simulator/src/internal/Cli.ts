/** The command `tbm-simulator`. */
import type * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Scenario from "../Scenario.ts"
import * as Simulator from "../Simulator.ts"

/** The exit statuses other than 0, from sysexits.h. */
const exit = { usage: 64, noInput: 66, unavailable: 69 } as const

/** Serves until an interruption. */
const command = Command.make("tbm-simulator", {
  port: Flag.Int("port").pipe(
    Flag.withDescription("Port to listen on; 0 is any free one"),
    Flag.filter((port) => port >= 0 && port <= 65535, (port) => `Expected a port from 0 to 65535, got: ${port}`),
    Flag.withDefault(0)
  ),
  host: Flag.String("host").pipe(
    Flag.withDescription("Address to listen on; other than loopback, other machines can reach it"),
    Flag.filter((host) => host.trim() !== "", () => "Expected an address"),
    Flag.withDefault("127.0.0.1")
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDescription("Makes tokens and the dice of fault probabilities repeat"),
    Flag.optional
  ),
  scenario: Flag.String("scenario").pipe(
    Flag.withDescription("JSON file: an array of fault rules, or an object of options"),
    Flag.optional
  )
}, (flags) =>
  Effect.scoped(Effect.gen(function*() {
    const scenario: Scenario.Scenario = Option.isNone(flags.scenario)
      ? {}
      : yield* Effect.mapError(
        Scenario.load(flags.scenario.value),
        ({ message, reason }) => new Failure({ message, status: reason === "Unreadable" ? exit.noInput : exit.usage })
      )
    const simulator = yield* Effect.mapError(
      Simulator.make({
        ...scenario,
        ...(Option.isSome(flags.seed) ? { seed: flags.seed.value } : {}),
        port: flags.port,
        host: flags.host
      }),
      ({ code, message }) => new Failure({ message, status: wrongAddress.has(code) ? exit.usage : exit.unavailable })
    )
    yield* Console.log(`listening on ${simulator.url}`)
    return yield* Effect.never
  }))).pipe(
    Command.withDescription("Serves a simulated TBM Studio API, with faults on request"),
    Command.withExamples([
      { command: "tbm-simulator", description: "Listen on a free port of 127.0.0.1" },
      {
        command: "tbm-simulator --port 8080 --seed 1 --scenario rough-day.json",
        description: "The same bad day, every day"
      }
    ])
  )

/**
 * Runs the command with these arguments. It prints a failure in one line on standard error; the failure carries its exit
 * status for `runMain`.
 */
export const run = (version: string) => (args: ReadonlyArray<string>) =>
  Command.runWith(command, { version })(args).pipe(
    Effect.mapError((error) =>
      error._tag === "ShowHelp" ? new Failure({ message: usage(error), status: exit.usage }) : error
    ),
    Effect.tapError((error) => Console.error(`tbm-simulator: ${visible(error.message)}`)),
    Effect.provide(CliOutput.layerPresenter(presenter)),
    Effect.provideService(Logger.LogToStderr, true)
  )

class Failure extends Data.TaggedError("Failure")<{ readonly message: string; readonly status: number }> {
  override readonly [Runtime.errorReported] = false
  override get [Runtime.errorExitCode]() {
    return this.status
  }
}

// A path or a flag may contain control characters for a terminal.
const visible = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)

const usage = (error: CliError.ShowHelp): string =>
  `${error.errors.map((error) => error.message.replace(/\s*\n\s*/g, " ")).join("; ")} (see --help)`

const wrongAddress = new Set(["ENOTFOUND", "EADDRNOTAVAIL", "EAI_AGAIN", "EINVAL"])

// `run` prints a wrong invocation in one line.
const presenter: CliOutput.Presenter = {
  present: (event) => event._tag === "InvalidInvocation" ? Effect.void : CliOutput.defaultPresenter.present(event)
}
