/**
 * Bundles the command and everything it imports: `dist/command.js`, and `dist/command/` for what few commands need. Node needs
 * half a second to find and link six hundred modules; the bundle starts in a third of that. Programs that import the library
 * still get its modules.
 */
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"
import { notices } from "../repo-checks/src/Notices.ts"

const dist = fileURLToPath(new URL("dist/", import.meta.url))
const parts = join(dist, "command")

const bundle = await rolldown({
  input: { command: join(dist, "main.js") },
  platform: "node",
  onLog: (level, log) => {
    if (level === "warn") throw new Error(log.message)
  }
})
const { output } = await bundle.generate({
  entryFileNames: "[name].js",
  chunkFileNames: "command/[name].js",
  comments: false
})

const modules = output.flatMap((file) => file.type === "chunk" ? file.moduleIds : [])

const files = new Map(output.map((file) => [file.fileName, file.type === "chunk" ? file.code : file.source]))
files.set("command/LICENSES.txt", notices(modules))

// Commands may start meanwhile: unchanged files are not touched, and no file is ever incomplete.
mkdirSync(parts, { recursive: true })
for (const [name, content] of files) {
  const file = join(dist, name)
  if (existsSync(file) && readFileSync(file).equals(Buffer.from(content))) continue
  writeFileSync(`${file}.new`, content)
  renameSync(`${file}.new`, file)
}
for (const name of globSync("command/*", { cwd: dist })) {
  if (!files.has(name)) rmSync(join(dist, name))
}
