/** Builds the site for its tests. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { filesOf } from "../../repo-checks/src/Workspace.ts"
import type { Site } from "./SiteCheck.ts"

const directory = fileURLToPath(new URL("..", import.meta.url))

/** The built site, as the command leaves it. */
export const dist = join(directory, "dist")

export const build = (): void => {
  const cli = fileURLToPath(new URL("bin/vitepress.js", import.meta.resolve("vitepress/package.json")))
  execFileSync(process.execPath, [cli, "build", directory], { encoding: "utf8", env: { ...process.env, CI: "true" } })
}

/** The files of the built site. */
export const read = (): Site =>
  new Map(filesOf(dist).map((file) => [file, file.endsWith(".html") ? readFileSync(join(dist, file), "utf8") : ""]))
