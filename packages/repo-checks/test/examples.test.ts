import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, it } from "vitest"
import { imports } from "../src/Syntax.ts"
import { filesOf, root, scope } from "../src/Workspace.ts"

const run = (dir: string, file: string) =>
  new Promise<{ readonly status: unknown; readonly stdout: string; readonly stderr: string }>((resolve) => {
    const args = [`--conditions=${scope}source`, file]
    execFile(process.execPath, args, { cwd: dir, timeout: 280_000 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : error.code ?? error.signal, stdout, stderr })
    })
  })

const dir = join(root, "examples")
const modules = filesOf(dir).filter((path) => path.endsWith(".ts") && !path.includes("node_modules")).map((path) => ({
  path,
  imported: imports(path, readFileSync(join(dir, path), "utf8"))
    .flatMap(({ from, typeOnly }) => typeOnly ? [] : [join(dirname(path), from)])
}))
// A module that another imports runs there.
const examples = modules.map(({ path }) => path).filter((path) =>
  !modules.some(({ imported }) => imported.includes(path))
)

describe("an example", () => {
  it.concurrent.for(examples)("%s runs as a user would run it", { timeout: 300_000 }, async (file) => {
    const { status, stderr, stdout } = await run(dir, file)
    expect(status, `${stdout}\n${stderr}`).toBe(0)
  })

  it("stands in the README as it stands in its file", () => {
    const fences = [
      ...readFileSync(join(root, "README.md"), "utf8").matchAll(/```ts\n(\/\/ examples\/([\w-]+\.ts)[^]*?)```/g)
    ]
    expect(fences).not.toEqual([])
    for (const [, code, name] of fences) expect(code).toBe(readFileSync(join(dir, name ?? ""), "utf8"))
  })

  it("fails the check when its assertion fails", async () => {
    const { status, stderr } = await run(join(import.meta.dirname, "../fixtures"), "wrong-example.ts")
    expect(status).toBe(1)
    expect(stderr).toContain("wrong-example.ts:3")
  })
})
