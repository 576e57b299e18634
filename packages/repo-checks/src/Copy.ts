/** A copy of this repository, for what would change it. */
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readPackages, root } from "./Workspace.ts"

/** Copies what git would commit, and what is installed; returns the folder of the copy. */
export const copyRepository = (prefix: string): string => {
  const dir = mkdtempSync(join(tmpdir(), prefix))
  const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: root })
  for (const file of files.toString().split("\0")) {
    if (file !== "" && existsSync(join(root, file))) {
      cpSync(join(root, file), join(dir, file), { recursive: true, verbatimSymlinks: true })
    }
  }
  // Links to the packages are relative, so they lead into the copy.
  for (const folder of [".", ...readPackages().map(({ name }) => `packages/${name}`)]) {
    const modules = join(root, folder, "node_modules")
    if (existsSync(modules)) execFileSync("cp", ["-a", modules, join(dir, folder)])
  }
  return dir
}
