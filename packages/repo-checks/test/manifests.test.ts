import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { portable } from "../src/Architecture.ts"
import { example, installed, missing } from "../src/Installs.ts"
import { differing, manifestOf, placeholders, readProject } from "../src/Manifests.ts"
import { publicPackages, root, scope } from "../src/Workspace.ts"

const packages = publicPackages()
const owned = {
  author: { name: "A", url: "https://a.test" },
  homepage: "https://a.test/project#readme",
  repository: { type: "git", url: "git+https://a.test/project.git" },
  bugs: { url: "https://a.test/project/issues" }
}

describe("a package.json", () => {
  it("repeats what the root says of the owner", () => {
    expect(differing(readProject(), packages)).toEqual([])
    expect(differing(owned, packages)).toHaveLength(packages.length)
  })

  it("leads to the folder of its package", () => {
    const retry = packages.filter(({ name }) => name === "retry")
    expect(retry.map((pkg) => manifestOf(owned, pkg))).toMatchObject([{
      ...owned,
      homepage: "https://a.test/project/tree/main/packages/retry#readme",
      repository: { ...owned.repository, directory: "packages/retry" }
    }])
  })

  it("asks for Node where the package needs it, and for no engine where it runs anywhere", () => {
    const asking = packages.filter(({ manifest }) => manifest.engines !== undefined)
    expect(asking.map(({ name }) => name)).toEqual(["chaos", "lab", "node", "tbm-simulator", "tbm-studio-cli"])
    expect(asking.every(({ manifest }) => manifest.engines?.node === ">=22.19")).toBe(true)
    expect(asking.filter(({ manifest, name }) => portable.includes(name) && manifest.bin === undefined)).toEqual([])
  })

  it("has addresses of an owner, or of a domain that cannot be registered", () => {
    expect(placeholders(owned)).toEqual([])
    expect(placeholders({ ...owned, bugs: { url: "https://invalid.a.test" } })).toEqual([])
    expect(placeholders({ ...owned, repository: { type: "git", url: "git+https://owner.invalid/a.git" } })).toEqual([
      "package.json: repository is a placeholder: git+https://owner.invalid/a.git"
    ])
  })
})

describe("a README", () => {
  const readmes = packages.map(({ name }) => ({
    name,
    file: `packages/${name}/README.md`,
    text: readFileSync(join(root, "packages", name, "README.md"), "utf8")
  }))

  it("installs what its example imports", () => {
    expect(readmes.flatMap(({ file, text }) => missing(file, text))).toEqual([])
    // `kernel` has none: it comes along with the others.
    expect(readmes.filter(({ text }) => installed(text).length === 0).map(({ name }) => name)).toEqual(["kernel"])
    expect(readmes.filter(({ name, text }) => name !== "kernel" && !installed(text).includes(scope + name))).toEqual([])
    expect(readmes.filter(({ text }) => example(text) !== undefined).length).toBeGreaterThan(10)
  })

  it("is caught importing what it does not install", () => {
    const readme = [
      "## Install",
      "```sh",
      "npm install --save-dev @a/b effect # for tests",
      "```",
      "## Example",
      "```ts",
      "import \"@a/b/C\"",
      "import { Effect } from \"effect\"",
      "import \"node:fs\"",
      "import { D } from \"d/e\"",
      "```",
      "### Another",
      "```ts",
      "import \"f\"",
      "```",
      ""
    ].join("\n")
    expect(installed(readme)).toEqual(["@a/b", "effect"])
    expect(missing("README.md", readme)).toEqual(["README.md imports d in its example, and does not install it"])
    expect(example(readme)?.code).toContain("node:fs")
  })
})
