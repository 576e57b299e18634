import { describe, expect, it } from "vitest"
import type { Project } from "../src/Manifests.ts"
import { manifestOf } from "../src/Manifests.ts"
import { obstacles } from "../src/Release.ts"
import type { Package } from "../src/Workspace.ts"

const project: Project = {
  author: { name: "A", url: "https://a.test" },
  homepage: "https://a.test/project#readme",
  repository: { type: "git", url: "git+https://a.test/project.git" },
  bugs: { url: "https://a.test/project/issues" }
}

const made = (name: string, version: string): Package => {
  const pkg = { name, manifest: { name, version }, modules: [], hasReadme: true, references: [] }
  return { ...pkg, manifest: { ...manifestOf(project, pkg), name, version } }
}

const ready = {
  project,
  packages: [made("retry", "0.1.0"), made("node", "0.2.0")],
  changesets: ["README.md", "config.json"],
  changelog: (name: string) => `# ${name}\n\n## ${name === "node" ? "0.2.0" : "0.1.0"}\n\n### Minor Changes\n`,
  uncommitted: []
}

describe("a release", () => {
  it("happens with an owner, versions, changelogs and everything committed", () => {
    expect(obstacles(ready)).toEqual([])
  })

  it("does not happen with placeholders of an owner", () => {
    const bugs = { url: "https://owner.invalid/project/issues" }
    expect(obstacles({ ...ready, project: { ...project, bugs } })).toContain(
      "package.json: bugs is a placeholder: https://owner.invalid/project/issues"
    )
  })

  it("does not happen where a package names another owner than the root", () => {
    expect(obstacles({ ...ready, project: { ...project, bugs: { url: "https://b.test" } } })).toEqual([
      "packages/retry/package.json does not repeat the project's: npm run manifests",
      "packages/node/package.json does not repeat the project's: npm run manifests"
    ])
  })

  it("does not happen with changesets that have no version, without a changelog, and with changed files", () => {
    expect(obstacles({ ...ready, changesets: ["config.json", "a.md", "b.md"], changelog: () => "" })).toEqual([
      "2 changesets have no version yet: npm run versions, and commit"
    ])
    expect(obstacles({ ...ready, changelog: () => "# node\n\n## 0.2.0\n" })).toEqual([
      "packages/retry/CHANGELOG.md says nothing about 0.1.0"
    ])
    expect(obstacles({ ...ready, uncommitted: ["a.ts", "b.ts"] })).toEqual(["2 files are not committed: a.ts, b.ts"])
  })
})
