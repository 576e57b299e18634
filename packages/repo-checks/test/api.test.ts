import { describe, expect, it } from "vitest"
import { undocumented } from "../src/ApiDocs.ts"
import { page, stale } from "../src/ApiListing.ts"
import { read } from "../src/DocComment.ts"
import type { Export, Member, PackageApi } from "../src/PublicApi.ts"
import { publicApi } from "../src/PublicApi.ts"
import { uses } from "../src/RunTime.ts"
import { root } from "../src/Workspace.ts"

const api = publicApi()

const source = { file: "packages/a/src/A.ts", line: 1 }

const doc = (text: string) => read(`*\n * ${text}\n *\n * @category models\n * @since 0.1.0\n `)

const made = (e: Partial<Export>, stability = "stable"): ReadonlyArray<PackageApi> => [{
  folder: "a",
  name: "@effect-resilience/a",
  description: "",
  modules: [{
    name: "A",
    entry: "@effect-resilience/a/A",
    namespace: "A",
    doc: doc("A module.\n *\n * ```ts import.meta.vitest\n * 1 // => 1\n * ```"),
    stability,
    exports: [{
      name: "Options",
      kind: "interface",
      signature: "interface Options {\n  readonly after: number\n}",
      doc: doc("How to do it."),
      members: [],
      references: [],
      restsOn: [],
      stability,
      from: undefined,
      source,
      ...e
    }],
    hidden: [],
    runsOn: [],
    source
  }]
}]

const after: Member = {
  name: "after",
  kind: "property",
  optional: false,
  static: false,
  inherited: false,
  signature: "readonly after: number",
  doc: undefined,
  from: undefined,
  source
}

describe("the public API", () => {
  it("is documented, and marked by its stability", () => {
    expect(undocumented(api)).toEqual([])
    expect(undocumented(made({}))).toEqual([])
  })

  it("names an export, a member and a tag that are missing", () => {
    expect(undocumented(made({ doc: undefined, members: [after, { ...after, name: "[symbol]", inherited: true }] })))
      .toEqual([
        "packages/a/src/A.ts:1 Options has no sentence that says what it is",
        "packages/a/src/A.ts:1 Options has no @category",
        "packages/a/src/A.ts:1 Options has no @since",
        "packages/a/src/A.ts:1 Options.after is not documented"
      ])
  })

  it("names an option without its default", () => {
    const option = { ...after, optional: true, signature: "readonly after?: Duration.Input | undefined" }
    expect(undocumented(made({ members: [{ ...option, doc: doc("How long to wait.") }] })))
      .toEqual(["packages/a/src/A.ts:1 Options.after does not say its default"])
    expect(undocumented(made({ members: [{ ...option, doc: doc("How long to wait; default 1 second.") }] }))).toEqual(
      []
    )
  })

  it("names a mark that promises more than Effect does", () => {
    expect(undocumented(made({ restsOn: ["effect/http"] })))
      .toEqual([`packages/a/src/A.ts:1 Options needs "@stability rests on effect/http", and has stable`])
    expect(undocumented(made({ restsOn: ["effect/http"] }, "rests on effect/http"))).toEqual([])
    expect(undocumented(made({}, "rests on effect/sql")))
      .toEqual(["packages/a/src/A.ts:1 nothing in the module rests on effect/sql"])
  })

  it("is listed as npm run api writes it", () => {
    expect(stale(api)).toEqual([])
    expect(stale(made({}))).toEqual(["packages/a/api.md"])
  })

  it("is listed without comments and places", () => {
    const [first] = made({ stability: "experimental" })
    expect(first === undefined ? "" : page(first)).toContain(
      "```ts fragment\n// experimental\ninterface Options {\n  readonly after: number\n}\n```"
    )
    const lines = api.flatMap((each) => page(each).split("\n"))
    expect(lines.filter((line) => /import\("[^.]|\/\*/.test(line) || line.includes(root))).toEqual([])
  })
})

// ---- The model

const exported = (entry: string, name: string) =>
  api.flatMap(({ modules }) => modules).find((module) => module.entry === entry)?.exports.filter((e) =>
    e.name === name
  ) ??
    []

it("reads a comment's summary, items and tags", () => {
  const doc = read("*\n * Waits.\n *\n * - `after`: how long;\n *   default 1 second.\n *\n * @since 0.1.0\n ")
  expect(doc.summary).toBe("Waits.")
  expect([...doc.items]).toEqual([["after", "how long; default 1 second."]])
  expect(doc.tags).toEqual([{ name: "since", text: "0.1.0" }])
})

it("gives the namespace of a module and the signatures of its exports", () => {
  const hedge = api.find(({ folder }) => folder === "retry")?.modules.find(({ name }) => name === "Hedge")
  expect(hedge?.namespace).toBe("Hedge")
  expect(hedge?.exports.find(({ name }) => name === "layer")?.signature).toBe(
    "const layer: (options?: Options) => Layer.Layer<Hedge>"
  )
})

it("gives a class with what its source says it extends, and its fields", () => {
  const [error] = exported("@effect-resilience/errors/ApiError", "ApiError")
  expect(error?.signature).toContain(`class ApiError extends ErrorMessage.TaggedError("ApiError")<{`)
  expect(error?.members.filter(({ inherited }) => !inherited).map(({ name }) => name)).toContain("endpoint")
})

it("gives the members of an interface that is not exported to the one that extends it", () => {
  const [hedge] = exported("@effect-resilience/retry/Hedge", "Hedge")
  expect(hedge?.members.find(({ name }) => name === "times")?.from).toBe("Hedging")
})

it("follows a re-export to its declaration in another package", () => {
  const [part] = exported("@effect-resilience/client/Parts", "bulkhead")
  expect(part?.from).toBe("@effect-resilience/pipeline/Parts")
  expect(part?.source.file).toMatch(/^packages\/pipeline\/src\//)
  expect(part?.doc?.summary).not.toBe("")
})

it("resolves the names in a signature to exports", () => {
  const [withHedge] = exported("@effect-resilience/retry/Hedge", "Hedge")
  expect(withHedge?.references).toContainEqual({
    text: "Policy.Policy",
    entry: "@effect-resilience/kernel/Policy",
    name: "Policy"
  })
})

describe("what a module runs on", () => {
  it("is what it uses, and not what only its types name or what it only loads", () => {
    const code = `import type * as HttpClient from "effect/http/HttpClient"
import { type Path, FileSystem } from "effect/FileSystem"
import { type Effect } from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
export { RateLimiter } from "effect/persistence/RateLimiter"
export type { Rpc } from "effect/rpc/Rpc"
const load = () => import("./later.ts")
export const a: HttpClient.HttpClient = SqlClient.SqlClient`
    expect([...uses("a.ts", code)].map(([from, names]) => [from, [...names]])).toEqual([
      ["effect/FileSystem", ["FileSystem"]],
      ["effect/sql/SqlClient", ["SqlClient"]],
      ["effect/persistence/RateLimiter", ["RateLimiter"]],
      ["./later.ts", []]
    ])
  })

  it("counts what it loads of its own and of other packages", () => {
    const runsOn = (folder: string, module: string) =>
      api.find((each) => each.folder === folder)?.modules.find(({ name }) => name === module)?.runsOn
    expect(runsOn("retry", "RetryPolicy")).toEqual([])
    expect(runsOn("deadline", "Deadline")).toEqual([])
    expect(runsOn("deadline", "DeadlineMiddleware")).toEqual(["effect/http"])
    // By its internal modules, and by a pacer of another package.
    expect(runsOn("pipeline", "Pipeline")).toEqual(["effect/persistence"])
    expect(runsOn("upload", "Uploader")).toContain("effect/http")
  })

  it("is in the listing of its module", () => {
    const [first] = made({})
    const listed = (runsOn: ReadonlyArray<string>) =>
      first === undefined ? "" : page({ ...first, modules: first.modules.map((module) => ({ ...module, runsOn })) })
    expect(listed(["effect/http", "effect/sql"])).toContain(
      "`@effect-resilience/a/A`; stable; runs on effect/http, effect/sql.\n"
    )
    expect(listed([])).toContain("`@effect-resilience/a/A`; stable.\n")
  })
})
