/** What a reader carries away, as files. */
import type { Written } from "./protocol.ts"
import type { Scenario } from "./scenario.ts"
import { worldOf } from "./scenario.ts"
import { yaml } from "./text.ts"

export interface File {
  readonly name: string
  readonly words: string
  readonly type: string
  readonly text: () => Promise<string>
}

const simulate = "npx -p @effect-resilience/lab effect-resilience-lab simulate outage.json"

/** What gives the same bytes in a terminal. */
export const commands = [
  `${simulate} --svg > outage.svg`,
  `${simulate} --svg --theme light > outage-light.svg`,
  `${simulate} --svg --theme dark > outage-dark.svg`,
  `${simulate} --csv > outage.csv`,
  `${simulate} --json > result.json`
].join("\n")

const pretty = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

/** The files. Numbers and pictures come from `write`, which is what the command writes. */
export const files = (scenario: Scenario, write: (as: Written) => Promise<string>): ReadonlyArray<File> => {
  const json = "application/json"
  const svg = "image/svg+xml"
  const text = (value: string) => async () => value
  const yours = { ...scenario.world, policy: scenario.yours }
  return [
    {
      name: "outage.json",
      words: "The simulation with your policy, for the command below.",
      type: json,
      text: text(pretty(yours))
    },
    { name: "policy.json", words: "Your policy alone.", type: json, text: text(pretty(scenario.yours)) },
    {
      name: "policy.yaml",
      words: "The same as YAML.",
      type: "application/yaml",
      text: text(yaml(scenario.yours).trimStart())
    },
    { name: "safer.json", words: "The safer policy.", type: json, text: text(pretty(scenario.safer)) },
    {
      name: "outage.test.ts",
      words: "A test for vitest that holds the safer policy to its word.",
      type: "text/plain",
      text: text(testFile(scenario))
    },
    { name: "outage.svg", words: "Your picture, in its reader's colours.", type: svg, text: () => write("svg") },
    { name: "outage-light.svg", words: "Your picture, light.", type: svg, text: () => write("light") },
    { name: "outage-dark.svg", words: "Your picture, dark.", type: svg, text: () => write("dark") },
    { name: "outage.csv", words: "Every second of it.", type: "text/csv", text: () => write("csv") },
    { name: "result.json", words: "All that was counted.", type: json, text: () => write("json") }
  ]
}

/** A test with the verdict. What the reader wrote goes in as JSON, so none of it becomes code. */
export const testFile = (scenario: Scenario): string =>
  `import { Lab, Verdict } from "@effect-resilience/lab"
import { it } from "vitest"

const world = ${literal(worldOf(scenario, "safer"))} as const

const policy = ${literal(scenario.safer)} as const

it("survives this outage", { timeout: 60_000 }, () => {
  Verdict.expectNoStorm(Lab.simulate({ ...world, policy }), { amplification: 1.3, recoverWithin: "30 seconds" })
})
`

/** JSON is TypeScript, but for two characters that end a line of old engines. */
const literal = (value: unknown): string =>
  JSON.stringify(value, null, 2).replaceAll("\u2028", String.raw`\u2028`).replaceAll("\u2029", String.raw`\u2029`)
