import OpossumBreaker from "opossum"
import type { Call, PromiseLibrary, PromiseSubject, PromiseWork } from "../Library.ts"
import { Failed } from "../Library.ts"
import type { Ending, Policy } from "../Scenario.ts"

const codes: { readonly [code: string]: Ending } = {
  EOPENBREAKER: "rejected",
  ESEMLOCKED: "rejected",
  ETIMEDOUT: "timeout"
}

const classify = (error: unknown): Ending | undefined =>
  error instanceof Error && "code" in error ? codes[String(error.code)] : undefined

const start = (policy: Policy, work: PromiseWork): PromiseSubject | undefined => {
  const { breaker, bulkhead, timeout } = policy
  if (policy.retry !== undefined || policy.http === true) return undefined
  if (breaker !== undefined && breaker.rateWithin === undefined) return undefined
  const { minimum = 0, threshold = 0.5, within = 10_000 } = breaker?.rateWithin ?? {}
  const abortController = new AbortController()
  const circuit = new OpossumBreaker(
    (call: Call, signal: AbortSignal) => work(call, AbortSignal.any([signal, abortController.signal])),
    {
      timeout: timeout ?? false,
      ...(timeout === undefined ? {} : { abortController }),
      ...(bulkhead === undefined ? {} : { capacity: bulkhead.permits }),
      errorThresholdPercentage: breaker === undefined ? 100 : threshold * 100,
      volumeThreshold: breaker === undefined ? Number.MAX_SAFE_INTEGER : minimum,
      rollingCountTimeout: within,
      resetTimeout: breaker?.open ?? 30_000,
      errorFilter: (error: unknown) => error instanceof Failed && error.final
    }
  )
  return {
    call: (call, signal) => circuit.fire(call, signal),
    state: () => circuit.opened ? "open" : circuit.halfOpen ? "half-open" : "closed",
    classify,
    close: () => circuit.shutdown()
  }
}

const threshold =
  "errorThresholdPercentage: the error percentage at which to open the circuit and start short-circuiting requests"
const reset =
  "When the `resetTimeout` expires, `opossum` will enter the `halfOpen` state. Once in the `halfOpen` state, the next time the circuit is fired, the circuit's action will be executed again."
const timeout = "timeout: The time in milliseconds that action should be allowed to execute before timing out."
const capacity =
  "capacity: the number of concurrent requests allowed. If the number currently executing function calls is equal to options.capacity, further calls to `fire()` are rejected"

export const ofOpossum: PromiseLibrary = {
  name: "opossum",
  kind: "promise",
  packages: ["opossum"],
  docs: "README.md and the options in lib/circuit.js of the package",
  start,
  promises: {
    "breaker/window": threshold,
    "breaker/window-minimum":
      "volumeThreshold: no matter how many failures there are, if the number of requests within the statistical window does not exceed this threshold, the circuit will remain closed",
    "breaker/window-forgets":
      "the array of statistics is a rolling count. Every second the oldest bucket is removed and a new one is added",
    "breaker/window-stays-open": reset,
    "breaker/window-one-probe": "allowing for a single attempt to call the service again",
    "breaker/window-reopens": "If the action fails or times out, it immediately re-enters the `open` state.",
    "breaker/window-late-success":
      "allowing for a single attempt to call the service again. If that attempt is successful, the circuit will be closed.",
    "limiter/concurrency": capacity,
    "limiter/full-without-a-queue": capacity,
    "timeout/ends": timeout,
    "timeout/in-time": timeout,
    "timeout/failure": timeout,
    "timeout/cancels":
      "You can provide an `AbortController` for aborting on going request upon reaching Opossum timeout.",
    "timeout/deaf": timeout,
    "timeout/opens-a-breaker": "If our function takes longer than 3 seconds, trigger a failure"
  },
  notes: {
    "breaker/window-late-success": "Any success in the half-open state closes the circuit, that of an older call too."
  }
}
