import type { Rule } from "../internal/rule.ts"
import { isJson, time } from "../internal/subject.ts"

const client = (feed: unknown, pipeline: unknown = {}) => ({
  name: "feeds",
  baseUrl: "https://feeds.example.com",
  pipeline,
  operations: { feed }
})

const timeouts = { total: "Infinity", idle: "5 minutes" }

export const streamUnderTotal: Rule = {
  name: "streamUnderTotal",
  level: "advice",
  why:
    "A feed or a large file lasts as long as it lasts. The time of a call cuts it off, and how long it took says nothing of the server's load.",
  check: ({ operation, parts: { concurrencyLimit }, total }) => {
    if (operation?.options["body"] !== "stream") return []
    const own = isJson(operation.options["timeouts"]) ? operation.options["timeouts"] : {}
    return [
      ...own["total"] === undefined && total !== undefined
        ? [{
          path: operation.path,
          message: `The stream is cut off after ${time(total.millis)}, the time of any call of this client.`,
          fix: "Give the operation `timeouts: { total: \"Infinity\", idle: \"5 minutes\" }`."
        }]
        : [],
      ...concurrencyLimit === undefined ? [] : [{
        path: operation.path,
        message: "The adaptive limit takes the length of the stream for a round trip.",
        fix: "Write `without: \"concurrencyLimit\"`."
      }]
    ]
  },
  caught: client({ endpoint: "GET /feed", body: "stream" }),
  clean: client({ endpoint: "GET /feed", body: "stream", timeouts })
}
