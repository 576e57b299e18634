/** The pictures of READMEs and guides, drawn by the page: `npm run pictures`. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import * as Chart from "../src/Chart.ts"
import { escape } from "../src/internal/markup.ts"
import * as knobs from "./src/knobs.ts"
import { top } from "./src/picture.ts"
import type { Policy, Run, World } from "./src/protocol.ts"
import { respond } from "./src/respond.ts"
import type { Lane, Scenario } from "./src/scenario.ts"
import { worldOf } from "./src/scenario.ts"
import type { Story } from "./src/stories.ts"
import { stories } from "./src/stories.ts"
import { verdict } from "./src/words.ts"

const directory = new URL("../../../docs/pictures/", import.meta.url)

const lanes = ["yours", "safer"] as const

const names: { readonly [L in Lane]: string } = { yours: "Yours", safer: "Safer" }

const themes = ["light", "dark"] as const

const width = 720

/** Two lines of words above each chart. */
const head = 46

const chart = 190

type Runs = { readonly [L in Lane]: Run }

const simulate = async (scenario: Scenario): Promise<Runs> => {
  const run = (world: World, policy: Policy) => respond("simulate", [world, policy]) as Promise<Run>
  const [yours, safer] = await Promise.all(lanes.map((lane) => run(worldOf(scenario, lane), scenario[lane])))
  if (yours === undefined || safer === undefined) throw new Error("unreachable")
  return { yours, safer }
}

const does = (scenario: Scenario, lane: Lane): string => knobs.words(scenario[lane], worldOf(scenario, lane))

/** Both lanes of a story as one picture. */
const picture = ({ scenario, title }: Story, runs: Runs, theme: (typeof themes)[number]): string => {
  const height = lanes.length * (head + chart)
  const most = top([runs.yours, runs.safer])
  const rows = lanes.map((lane, index) => {
    const y = index * (head + chart)
    const drawn = Chart.svg(runs[lane].drawn, { width, height: chart, top: most, theme, style: index === 0 })
    return `<text class="name" x="8" y="${y + 20}" font-size="14">${names[lane]}: ${
      escape(does(scenario, lane))
    }</text>` +
      `<text x="8" y="${y + 40}" font-size="14">${escape(verdict(runs[lane].verdict))}</text>${
        drawn.replace("<svg ", `<svg y="${y + head}" `)
      }`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">` +
    `<title>${escape(title)}</title><rect class="paper" width="${width}" height="${height}"/>${rows.join("")}</svg>\n`
}

/** What a reader without the picture is told. */
const alternative = ({ scenario }: Story, runs: Runs): string =>
  lanes.map((lane) => `${names[lane]} (${does(scenario, lane)}): ${runs[lane].verdict.words}.`).join(" ")

const fileName = ({ slug }: Story, theme: (typeof themes)[number]): string => `${slug}-${theme}.svg`

const index = (written: ReadonlyArray<readonly [Story, Runs]>): string =>
  `# Pictures

\`npm run pictures\` draws these from the stories of the [playground](../../packages/lab/README.md#the-playground), and a test
checks that they are what it draws. Each shows a policy above a safer one on the same axes. A page of \`docs/guides\` shows one like this;
elsewhere the path is another:

\`\`\`html
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="../pictures/retries-dark.svg">
  <img src="../pictures/retries-light.svg" width="720" alt="…">
</picture>
\`\`\`

${
    written.map(([story, runs]) =>
      `## ${story.title}

\`${fileName(story, "light")}\`, \`${fileName(story, "dark")}\`: ${story.idea} _${story.surprise}_

<picture>
  <source media="(prefers-color-scheme: dark)" srcset="${fileName(story, "dark")}">
  <img src="${fileName(story, "light")}" width="720" alt="${escape(alternative(story, runs))}">
</picture>
`
    ).join("\n")
  }`

/** Each file with what it should hold. */
export const files = async (): Promise<ReadonlyArray<{ readonly file: URL; readonly text: string }>> => {
  const written = await Promise.all(stories.map(async (story) => [story, await simulate(story.scenario)] as const))
  return [
    ...written.flatMap(([story, runs]) =>
      themes.map((theme) => ({
        file: new URL(fileName(story, theme), directory),
        text: picture(story, runs, theme)
      }))
    ),
    { file: new URL("README.md", directory), text: index(written) }
  ]
}

/** What is in the directory. */
export const present = (): ReadonlyArray<string> => readdirSync(directory)

if (import.meta.main) {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  for (const { file, text } of await files()) writeFileSync(file, text)
}
