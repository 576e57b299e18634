import { expect, it } from "vitest"
import { read } from "../src/DocComment.ts"
import { publicApi } from "../src/PublicApi.ts"

const api = publicApi()

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
