import { Frontdoor } from "@effect-resilience/tbm-studio/Frontdoor"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import { TableDownloads } from "@effect-resilience/tbm-studio/TableDownloads"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ExitStatus from "../../ExitStatus.ts"
import * as AccessCheck from "../accessCheck.ts"
import { printOutput } from "../commandOutput.ts"
import { InvalidOption, provideStudio } from "../runtime.ts"

const flags = {
  check: Flag.Boolean("check").pipe(
    Flag.withDescription("Also ask whether a table can be read, before a batch starts"),
    Flag.withDefault(false)
  ),
  project: Flag.String("project").pipe(
    Flag.withDescription("With --check: the project that the table belongs to"),
    Flag.optional
  ),
  table: Flag.String("table").pipe(Flag.withDescription("With --check: the table"), Flag.optional),
  period: Flag.String("period").pipe(
    Flag.withDescription("With --check: the period, such as January:2024 (default current)"),
    Flag.optional
  )
}

/** The table and period to check, if one is asked for. */
const addressOf = Effect.fnUntraced(function*({ check, period, project, table }: {
  readonly check: boolean
  readonly project: Option.Option<string>
  readonly table: Option.Option<string>
  readonly period: Option.Option<string>
}) {
  if (!check) {
    const useless = Object.entries({ project, table, period }).flatMap(([name, value]) =>
      Option.isSome(value) ? [`--${name}`] : []
    )
    return useless.length === 0 ? undefined : yield* new InvalidOption({
      message: `Leave out ${useless.join(", ")}, or add --check.`
    })
  }
  if (Option.isNone(project) || Option.isNone(table)) {
    return yield* new InvalidOption({ message: "--check needs --project and --table." })
  }
  return yield* Effect.fromResult(
    TableAddress.make({
      project: project.value,
      table: table.value,
      period: Option.getOrElse(period, () => "current")
    })
  )
})

export const login = Command.make("login", flags, (options) =>
  Effect.gen(function*() {
    const address = yield* addressOf(options)
    const settings = yield* Settings
    const frontdoor = yield* Frontdoor
    const id = yield* frontdoor.environmentId
    const token = yield* frontdoor.tokens.get
    const expiresAt = DateTime.formatIso(DateTime.makeUnsafe(token.expiresAt))
    const checked = address === undefined ? undefined : yield* AccessCheck.check(address)
    return {
      json: {
        status: "ok",
        domain: settings.domain,
        environment: { name: settings.environment, id },
        expiresAt,
        generation: token.generation,
        ...checked?.json
      },
      text: [
        `Logged in to ${settings.domain} at ${settings.frontdoor}`,
        `Environment  ${settings.environment} (${id})`,
        `Expires      ${expiresAt}`,
        ...(checked?.text ?? [])
      ],
      problems: checked?.problems ?? [],
      exitStatus: checked?.exitStatus ?? ExitStatus.done
    }
  }).pipe(Effect.provide(TableDownloads.layer), provideStudio, printOutput)).pipe(
    Command.withDescription("Check the credentials: log in, look the environment up, print when the token expires"),
    Command.withExamples([
      { command: "tbm-studio login", description: "Check the settings of this shell" },
      { command: "tbm-studio login --json", description: "The same, for a script" },
      {
        command: `tbm-studio login --check --project "Cost Transparency" --table "GL Data" --period January:2024`,
        description: "Also ask whether the table can be read"
      }
    ])
  )
