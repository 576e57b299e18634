import type { Rule } from "../internal/rule.ts"

export const hedgedWrites: Rule = {
  name: "hedgedWrites",
  level: "error",
  why: "A hedge sends a second request while the first one runs. A write is then applied twice.",
  check: ({ client, operation, parts: { hedge } }) => {
    if (hedge === undefined) return []
    const method = String(operation?.options["endpoint"]).split(" ")[0] ?? ""
    if (operation?.options["idempotent"] === true && ["POST", "PATCH"].includes(method)) {
      return [{
        path: [...operation.path, "idempotent"],
        message: `A ${method} that is declared idempotent is hedged.`,
        fix: "Write `without: \"hedge\"`, unless it changes nothing."
      }]
    }
    return hedge.options["idempotent"] === true
      ? [{
        path: [...hedge.path, "idempotent"],
        message: client === undefined
          ? "The hedge repeats all calls that say nothing of repetition, writes too."
          : "A client says for each request whether it may be repeated, so this option has no effect.",
        fix: client === undefined
          ? "Leave it out, and declare the reads: `Repetition.allow(\"always\")` around them."
          : "Leave it out.",
        // In a pipeline for reads alone it is right.
        level: "advice"
      }]
      : []
  },
  caught: {
    name: "shop",
    baseUrl: "https://shop.example.com",
    operations: { order: { endpoint: "POST /orders", idempotent: true, pipeline: { hedge: {} } } }
  },
  clean: {
    name: "shop",
    baseUrl: "https://shop.example.com",
    operations: { look: { endpoint: "GET /orders/{id}", pipeline: { hedge: {} } } }
  }
}
