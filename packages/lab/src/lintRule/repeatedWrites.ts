import type { Rule } from "../internal/rule.ts"

const writes = ["POST", "PATCH"]

const client = { name: "shop", baseUrl: "https://shop.example.com" }

export const repeatedWrites: Rule = {
  name: "repeatedWrites",
  level: "error",
  why: "A request whose outcome is unknown is sent again, and may then be applied twice.",
  check: ({ client, operation }) => {
    if (client === undefined) return []
    if (operation !== undefined) {
      const { endpoint, idempotent } = operation.options
      const method = String(endpoint).split(" ")[0] ?? ""
      return idempotent === true && writes.includes(method)
        ? [{
          path: [...operation.path, "idempotent"],
          message: `A ${method} is declared idempotent.`,
          fix:
            "Keep it only for what changes nothing, such as a search. If the server honours keys, write `idempotencyKey: true`.",
          level: "advice"
        }]
        : []
    }
    const idempotency = client.options["idempotency"]
    const methods = typeof idempotency === "object" && idempotency !== null && "methods" in idempotency
      ? [idempotency.methods].flat()
      : []
    return methods.filter((method) => writes.includes(String(method))).map((method) => ({
      path: [...client.path, "idempotency", "methods"],
      message: `Each ${String(method)} of this client is declared idempotent.`,
      fix:
        "Name the operations that are: `operations: { search: { endpoint: \"POST /search\", idempotent: true } }`. If the server honours keys, write `idempotency: { key: true }`."
    }))
  },
  caught: { ...client, idempotency: { methods: ["POST"] } },
  clean: { ...client, idempotency: { key: true } }
}
