import { AxiosError, AxiosHeaders, create } from "axios"
import axiosRetry, { exponentialDelay, linearDelay } from "axios-retry"
import type { PromiseLibrary } from "../Library.ts"

const start: PromiseLibrary["start"] = ({ http, retry }, _, respond) => {
  if (http !== true || retry === undefined || retry.delays !== undefined) return undefined
  const { base = 0, jitter, retries, total } = retry
  const client = create({
    baseURL: "https://api.example.com/",
    ...(total === undefined ? {} : { timeout: total }),
    // In place of the network. It rejects as axios' own adapters do.
    adapter: async (config) => {
      const method = (config.method ?? "get").toUpperCase()
      const response = await respond(
        { name: config.url ?? "", method, key: "", unsafe: false },
        signalOf(config.signal)
      )
      const { status } = response
      const result = {
        data: "",
        status,
        statusText: "",
        headers: AxiosHeaders.from(Object.fromEntries(response.headers)),
        config,
        request: {}
      }
      if (status < 300) return result
      throw new AxiosError(
        `status ${status}`,
        status < 500 ? "ERR_BAD_REQUEST" : "ERR_BAD_RESPONSE",
        config,
        {},
        result
      )
    }
  })
  axiosRetry(client, {
    retries,
    retryDelay: jitter === undefined || jitter === "none"
      ? linearDelay(base)
      // It doubles from twice the factor, with up to a fifth more.
      : (count, error) => exponentialDelay(count, error, base / 2)
  })
  return { call: ({ method, name }, signal) => client.request({ method, url: name, signal }) }
}

const signalOf = (signal: unknown): AbortSignal | undefined => signal instanceof AbortSignal ? signal : undefined

const condition =
  "By default, it retries if it is a network error or a 5xx error on an idempotent request (GET, HEAD, OPTIONS, PUT or DELETE)."
const retryAfter =
  "if the retry after header is a number, convert it to milliseconds; if the retry after header is a date, …"

export const ofAxiosRetry: PromiseLibrary = {
  name: "axios-retry",
  kind: "promise",
  packages: ["axios-retry", "axios"],
  docs: "README.md of the package, and the comments of its source on `Retry-After`, of which the README says nothing",
  start,
  promises: {
    "retry-after/seconds-503": retryAfter,
    "retry-after/seconds-429": retryAfter,
    "retry-after/date": retryAfter,
    "retry-after/date-past": retryAfter,
    "retry-after/zero": retryAfter,
    "retry-after/beyond-total":
      "the plugin interprets the request timeout as a global value, so it is not used for each retry but for the whole request lifecycle",
    "retry-after/longer-backoff": retryAfter,
    "retry-after/post": condition,
    "retry-after/not-found": condition,
    "retry-after/server-error": condition
  }
}
