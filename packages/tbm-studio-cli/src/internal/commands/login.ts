import { Frontdoor } from "@effect-resilience/tbm-studio/Frontdoor"
import { Settings } from "@effect-resilience/tbm-studio/Settings"
import * as Command from "effect/cli/Command"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as ExitStatus from "../../ExitStatus.ts"
import { printOutput } from "../commandOutput.ts"
import { provideStudio } from "../runtime.ts"

export const login = Command.make("login", {}, () =>
  Effect.gen(function*() {
    const settings = yield* Settings
    const frontdoor = yield* Frontdoor
    const id = yield* frontdoor.environmentId
    const token = yield* frontdoor.tokens.get
    const expiresAt = DateTime.formatIso(DateTime.makeUnsafe(token.expiresAt))
    return {
      json: {
        status: "ok",
        domain: settings.domain,
        environment: { name: settings.environment, id },
        expiresAt,
        generation: token.generation
      },
      text: [
        `Logged in to ${settings.domain} at ${settings.frontdoor}`,
        `Environment  ${settings.environment} (${id})`,
        `Expires      ${expiresAt}`
      ],
      exitStatus: ExitStatus.done
    }
  }).pipe(provideStudio, printOutput)).pipe(
    Command.withDescription("Check the credentials: log in, look the environment up, print when the token expires"),
    Command.withExamples([
      { command: "tbm-studio login", description: "Check the settings of this shell" },
      { command: "tbm-studio login --json", description: "The same, for a script" }
    ])
  )
