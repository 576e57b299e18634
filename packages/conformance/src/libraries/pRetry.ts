import pRetry, { AbortError } from "p-retry"
import type { PromiseLibrary } from "../Library.ts"
import { Failed } from "../Library.ts"

const start: PromiseLibrary["start"] = ({ retry }, work) => {
  if (retry === undefined || retry.delays !== undefined || retry.jitter === "full") return undefined
  const { base = 0, cap = Infinity, factor = 2, jitter, retries, total = Infinity } = retry
  return {
    call: (call, signal) =>
      pRetry(
        () =>
          work(call, signal).catch((error: unknown) => {
            throw error instanceof Failed && error.final ? new AbortError(error) : error
          }),
        {
          retries,
          minTimeout: base,
          maxTimeout: cap,
          factor,
          randomize: jitter === "own",
          maxRetryTime: total,
          signal
        }
      )
  }
}

const exponential =
  "minTimeout: The number of milliseconds before starting the first retry. factor: The exponential factor to use."

export const ofPRetry: PromiseLibrary = {
  name: "p-retry",
  kind: "promise",
  packages: ["p-retry"],
  docs: "readme.md of the package",
  start,
  promises: {
    "backoff/doubles": exponential,
    "backoff/factor": exponential,
    "backoff/cap": "maxTimeout: The maximum number of milliseconds between two retries.",
    "backoff/overflow": "maxTimeout: The maximum number of milliseconds between two retries.",
    "backoff/jitter": "randomize: Randomizes the timeouts by multiplying with a factor between 1 and 2.",
    "backoff/jitter-within-the-cap": "maxTimeout: The maximum number of milliseconds between two retries.",
    "backoff/count":
      "`input` is called again until the max retries are reached, it then rejects with the last rejection reason",
    "backoff/stops": "Returns a Promise that is fulfilled when calling `input` returns a fulfilled promise.",
    "backoff/none": "retries: Must be a non-negative integer or Infinity.",
    "backoff/final": "Throw this from `input` to abort retrying and reject the promise.",
    "backoff/bug": "Does not retry on most TypeErrors, with the exception of network errors.",
    "backoff/total":
      "The retry delay is shortened to the remaining time, but the scheduled retry can still start after the limit.",
    "backoff/cancel": "Once the signal is aborted, the abort reason is what the promise rejects with",
    "backoff/cancel-attempt": "Pass the signal to the operation as well if the operation itself should be cancelled."
  }
}
