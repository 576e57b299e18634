import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { printOutput } from "../commandOutput.ts"

const flags = {
  seed: Flag.Int("seed").pipe(
    Flag.withDescription("The seed of the data and the tokens"),
    Flag.withDefault(2024)
  )
}

export const demo = Command.make("demo", flags, ({ seed }) =>
  // Only this command loads the simulator.
  Effect.promise(() => import("../demonstration.ts")).pipe(
    Effect.flatMap(({ demonstrate }) => demonstrate(seed)),
    Effect.scoped,
    printOutput
  )).pipe(
    Command.withDescription("Upload sample data to a simulator that misbehaves on purpose, and check what it stored"),
    Command.withExamples([{ command: "tbm-studio demo", description: "What npm start runs" }])
  )
