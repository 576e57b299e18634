/**
 * Bundles the command and everything it imports: `dist/command.js`, and `dist/command/` for what few commands need. Node needs
 * half a second to find and link six hundred modules; the bundle starts in a third of that. Programs that import the library
 * still get its modules.
 */
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const dist = fileURLToPath(new URL("dist/", import.meta.url))
const parts = join(dist, "command")

interface Package {
  readonly dir: string
  readonly name: string
  readonly version: string
  readonly license: string
}

const packageOf = (dir: string): Package => {
  const file = join(dir, "package.json")
  // Some package.json files contain only the module type.
  const manifest: Partial<Package> = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {}
  const { license = "", name, version } = manifest
  return name === undefined || version === undefined ? packageOf(dirname(dir)) : { dir, name, version, license }
}

const noticeOf = ({ dir, license, name, version }: Package): string => {
  const [file] = globSync("{LICENSE,LICENCE}*", { cwd: dir })
  if (file === undefined) throw new Error(`${name} ${version} has no licence that could go with the command.`)
  return `${name} ${version} (${license})\n\n${readFileSync(join(dir, file), "utf8").trim()}\n`
}

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
const packages = modules.filter((id) => id.includes("/node_modules/")).map((id) => packageOf(dirname(id)))
const notices = new Map(packages.toSorted((a, b) => a.name < b.name ? -1 : 1).map((found) => [found.dir, found]))

const files = new Map(output.map((file) => [file.fileName, file.type === "chunk" ? file.code : file.source]))
files.set("command/LICENSES.txt", Array.from(notices.values(), noticeOf).join(`\n${"-".repeat(80)}\n\n`))

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
