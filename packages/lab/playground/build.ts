/**
 * Builds the page as one file without network: `dist/playground.html`. Its worker is text in it, and its policy lets nothing run but the two
 * scripts of this build.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { build, defaultClientConditions } from "vite"
import type { InlineConfig, Rollup } from "vite"
import solid from "vite-plugin-solid"
import { notices } from "../../repo-checks/src/Notices.ts"
import * as Chart from "../src/Chart.ts"
import type { Policy } from "./src/protocol.ts"
import { respond } from "./src/respond.ts"
import { stories } from "./src/stories.ts"

const root = fileURLToPath(new URL("./", import.meta.url))
const file = fileURLToPath(new URL("../dist/playground.html", import.meta.url))

interface Bundle {
  readonly script: string
  readonly modules: ReadonlyArray<string>
}

/** The script of an entry. */
const bundle = async (entry: string): Promise<Bundle> => {
  const config: InlineConfig = {
    root,
    configFile: false,
    logLevel: "warn",
    plugins: [solid()],
    resolve: { conditions: ["@effect-resilience/source", ...defaultClientConditions] },
    build: {
      write: false,
      target: "es2023",
      modulePreload: false,
      rolldownOptions: {
        input: `${root}src/${entry}`,
        output: { format: "iife", comments: false },
        checks: { pluginTimings: false }
      }
    }
  }
  const { output } = await build(config) as Rollup.RollupOutput
  const chunks = output.flatMap((part) => part.type === "chunk" ? part : [])
  return {
    script: chunks.map(({ code }) => code).join("\n"),
    modules: chunks.flatMap(({ moduleIds }) => moduleIds)
  }
}

/** A script within HTML ends at the first `</script`, and a comment in it would hide its end. */
const embedded = (script: string): string =>
  script.replaceAll("</script", String.raw`<\/script`).replaceAll("<!--", String.raw`<\!--`)

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

/** What the first screen shows before the worker has started. */
const firstRuns = async () => {
  const [{ scenario }] = stories
  const run = (policy: Policy) => respond("simulate", [scenario.world, policy])
  return JSON.stringify({ yours: await run(scenario.yours), safer: await run(scenario.safer) })
}

const [page, worker, runs] = await Promise.all([bundle("main.tsx"), bundle("worker.ts"), firstRuns()])
const script = embedded(page.script)
const style = `${Chart.style}\n${readFileSync(`${root}src/style.css`, "utf8")}`

export const policy = [
  "default-src 'none'",
  `script-src ${hash(script)}`,
  `style-src ${hash(style)}`,
  "img-src data:",
  "worker-src blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'"
].join("; ")

mkdirSync(new URL("../dist/", import.meta.url), { recursive: true })
writeFileSync(
  file,
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="content-security-policy" content="${policy}">
<meta name="color-scheme" content="light dark">
<title>Why is it still down? · effect-resilience</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<div id="page"></div>
<noscript>This page runs the policies themselves, so it needs JavaScript.</noscript>
<script type="application/json" id="runs">${embedded(runs)}</script>
<script type="text/plain" id="worker">${embedded(worker.script)}</script>
<script>${script}</script>
</body>
</html>
`
)
writeFileSync(`${file}.LICENSES.txt`, notices([...page.modules, ...worker.modules]))
