/** What the READMEs and the doc comments of the packages say, by the module that says it. */
const says: ReadonlyArray<readonly [words: string, ids: ReadonlyArray<string>]> = [
  ["Backoff: Before jitter, the delay before the n-th retry is `min(cap, base * factor ** (n - 1))`", [
    "backoff/doubles",
    "backoff/factor",
    "backoff/cap"
  ]],
  [
    "Backoff: Delays are whole milliseconds, finite, never negative and never longer than `cap`, after any number of retries.",
    ["backoff/overflow", "backoff/jitter-within-the-cap"]
  ],
  ["Backoff: \"full\": uniform in 0 to `d`", ["backoff/full-jitter"]],
  ["Backoff: jitter keeps callers that failed together from coming back together", ["backoff/jitter"]],
  ["Backoff: `list`: the n-th, and the last one from then on", ["backoff/list"]],
  ["RetryPolicy: `times`: retries after the first attempt", ["backoff/count", "backoff/none"]],
  [
    "retry README: Only a typed failure whose recovery is `Retry`. Never a defect, an interruption, a 4xx that repeating cannot mend, or an outcome that is unknown.",
    ["backoff/stops", "backoff/final", "backoff/bug", "backoff/cancel", "backoff/cancel-attempt"]
  ],
  ["RetryPolicy: `maxDuration`: no attempt starts later than this after the first one", ["backoff/total"]],
  ["RetryAfter: Reads the two forms of RFC 9110, section 10.2.3 (a number of seconds, or an HTTP date)", [
    "retry-after/seconds-503",
    "retry-after/seconds-429",
    "retry-after/date",
    "retry-after/date-rfc850",
    "retry-after/date-asctime"
  ]],
  ["RetryAfter: Anything else reads as `undefined`: a client must not wait for a time that the server did not name.", [
    "retry-after/negative",
    "retry-after/rubbish"
  ]],
  ["RetryAfter: A date in the past is zero.", ["retry-after/date-past", "retry-after/zero"]],
  [
    "RetryPolicy: `maxRetryAfter`: the longest wait that a server may ask for. Where it asks for more, the retry stops at once; default 1 minute.",
    ["retry-after/absurd"]
  ],
  ["client: `timeouts.total`: for a call with all its attempts and waits", ["retry-after/beyond-total"]],
  ["RetryPolicy: Where the server named a time that is longer than the backoff's delay, that time is waited", [
    "retry-after/longer-backoff"
  ]],
  ["client README: A POST is sent once. What may have been applied is never repeated", ["retry-after/post"]],
  ["RetryPolicy: Never … a 4xx that repeating cannot mend", ["retry-after/not-found", "retry-after/server-error"]],
  [
    "AttemptBudget: in any time `t` with `n` first attempts at most `burst + ratio * n + minPerSecond * t` extra ones are sent",
    ["budget/ratio", "budget/floor", "budget/recovers"]
  ],
  ["AttemptBudget: an extra attempt withdraws 1, or is rejected at once", ["budget/first-attempts"]],
  ["AttemptBudget: `retryThrottling`, as gRPC has it", ["budget/retry-throttling", "budget/retry-throttling-recovers"]],
  ["AttemptBudget: `quota`, with costs and refunds, as the AWS SDKs have it", ["budget/quota"]],
  ["AttemptBudget: `inFlight`, a share of the attempts in flight, as Envoy and failsafe-go have it", [
    "budget/in-flight"
  ]],
  ["AttemptBudget: `expiring`, which forgets what was earned", ["budget/expiring"]],
  ["CircuitBreaker: Closed: calls run; each `TripPolicy` decides after each outcome whether the circuit opens.", [
    "breaker/opens",
    "breaker/not-before",
    "breaker/success-resets",
    "breaker/rate",
    "breaker/rate-above",
    "breaker/window",
    "breaker/window-minimum",
    "breaker/window-forgets",
    "breaker/slow"
  ]],
  ["CircuitBreaker: Open: calls fail with `CircuitOpen`, which says when to come back.", [
    "breaker/stays-open",
    "breaker/window-stays-open",
    "breaker/rejections-change-nothing"
  ]],
  [
    "CircuitBreaker: HalfOpen: at most `probes` calls run, the others are rejected. The circuit closes when all of them succeed and opens again when one fails",
    [
      "breaker/one-probe",
      "breaker/others-are-rejected",
      "breaker/probes",
      "breaker/reopens",
      "breaker/window-one-probe",
      "breaker/window-reopens"
    ]
  ],
  ["CircuitBreaker: The open time follows a `Backoff` that grows with each opening in a row", ["breaker/grows"]],
  ["CircuitBreaker: A call admitted before a transition changes nothing when it ends after it.", [
    "breaker/late-failure",
    "breaker/late-success",
    "breaker/window-late-success"
  ]],
  ["limit README: They leave out interruptions", ["breaker/cancelled-calls"]],
  ["CircuitBreaker: An interrupted probe frees its place.", ["breaker/cancelled-probe"]],
  ["limit README: A 404 or 403 counts as success: the server is well.", ["breaker/final-is-no-failure"]],
  ["Bulkhead: `permits`: how many calls run at once. `queue`: how many more may wait; default 0.", [
    "limiter/bulkhead",
    "limiter/concurrency",
    "limiter/full",
    "limiter/full-without-a-queue"
  ]],
  ["Bulkhead: Waiting calls are served by their priority, then first in, first out", ["limiter/order"]],
  ["Bulkhead: A permit goes from the call that ends to the next, without a race for it.", ["limiter/failure-frees"]],
  ["Bulkhead: Interrupting a call gives its permit, or its place in the queue, back.", [
    "limiter/cancel-frees",
    "limiter/cancel-while-waiting"
  ]],
  ["Pacer: With `burst` 1 they are spread evenly; with more, that many may go at once after a quiet time.", [
    "limiter/rate-burst",
    "limiter/rate-refill"
  ]],
  [
    "limit README: In any time, what was reserved less what was given back is at most the burst and what the rate allows",
    ["limiter/rate-any-second"]
  ],
  ["Pacer: One that is interrupted while it waits … gives back what it took.", ["limiter/rate-cancel"]],
  ["Hedge: Attempts start `after` one another, at most `1 + times` of them.", [
    "hedge/starts",
    "hedge/not-before",
    "hedge/most"
  ]],
  ["Hedge: The first success wins; the others are interrupted.", ["hedge/cancels-the-loser"]],
  ["Hedge: An attempt that lost is interrupted, and the call does not wait for it.", ["hedge/slow-loser"]],
  ["Hedge: `Retry`: the next attempt starts at once", ["hedge/failure"]],
  ["Hedge: Where no attempt saves the call, it fails with the last failure of one that was asked.", ["hedge/all-fail"]],
  ["Hedge: nothing is hedged that its caller has not declared idempotent", ["hedge/not-idempotent"]],
  ["Hedge: The interruption of a call waits for all its attempts.", ["hedge/cancel"]],
  ["Hedge: `n` calls start at most `10 + share * n`", ["hedge/share"]],
  ["Timeout: Fails with `TimedOut` if the effect takes longer than `duration`.", [
    "timeout/ends",
    "timeout/in-time",
    "timeout/failure",
    "timeout/each-attempt"
  ]],
  ["Timeout: A timeout interrupts the effect and awaits its finalizers.", [
    "timeout/cancels",
    "timeout/deaf",
    "timeout/caller-cancels"
  ]],
  ["CircuitBreaker: Put a timeout inside the breaker.", ["timeout/opens-a-breaker"]]
]

export const promises: { readonly [id: string]: string } = Object.fromEntries(
  says.flatMap(([words, ids]) => ids.map((id) => [id, words]))
)
