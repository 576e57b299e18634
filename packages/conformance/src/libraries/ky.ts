import ky from "ky"
import type { PromiseLibrary } from "../Library.ts"

const start: PromiseLibrary["start"] = ({ http, retry, timeout }, _, respond) => {
  if (http !== true || retry?.delays !== undefined) return undefined
  const { base = 0, cap = Infinity, factor = 2, jitter = "none", retries = 0, total } = retry ?? {}
  const client = ky.create({
    baseUrl: "https://api.example.com/",
    fetch: (input, init) => {
      const request = new Request(input, init)
      const name = new URL(request.url).pathname.slice(1)
      return respond({ name, method: request.method, key: "", unsafe: false }, request.signal)
    },
    timeout: timeout ?? false,
    ...(total === undefined ? {} : { totalTimeout: total }),
    retry: {
      limit: retries,
      delay: (attempt) => base * factor ** (attempt - 1),
      backoffLimit: cap,
      jitter: jitter !== "none"
    }
  })
  return {
    call: ({ method, name }, signal) => client(name, { method, signal }),
    classify: (error) => error instanceof Error && error.name === "TimeoutError" ? "timeout" : undefined
  }
}

const retryAfter = "Retry-After may provide a delay in seconds or an HTTP-date."

export const ofKy: PromiseLibrary = {
  name: "ky",
  kind: "promise",
  packages: ["ky"],
  docs: "readme.md of the package",
  start,
  promises: {
    "retry-after/seconds-503": retryAfter,
    "retry-after/seconds-429": retryAfter,
    "retry-after/date": retryAfter,
    "retry-after/date-rfc850": retryAfter,
    "retry-after/date-asctime": retryAfter,
    "retry-after/date-past": retryAfter,
    "retry-after/zero": retryAfter,
    "retry-after/negative": retryAfter,
    "retry-after/rubbish": retryAfter,
    "retry-after/absurd": "maxRetryAfter: Infinity",
    "retry-after/beyond-total":
      "totalTimeout: Overall timeout in milliseconds for the entire operation, including retries and delays.",
    "retry-after/longer-backoff": "as the server's explicit timing should be respected",
    "retry-after/post": "methods: get put head delete options trace query",
    "retry-after/not-found": "statusCodes: 408 413 429 500 502 503 504",
    "retry-after/server-error": "statusCodes: 408 413 429 500 502 503 504"
  }
}
