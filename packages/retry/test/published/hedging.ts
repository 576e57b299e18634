/**
 * What others publish about hedging: rules, defaults and figures.
 */

/** How a request ends. `pushback` is the server's `grpc-retry-pushback-ms`. */
export interface Response {
  /** Milliseconds after the request was sent. */
  readonly after: number
  readonly status: "OK" | "non-fatal" | "fatal"
  readonly pushback?: string
}

/**
 * The rules of gRPC: `maxAttempts` 4 and `hedgingDelay` 500 ms, as in the example of the proposal. `sent` has the time of each request;
 * `result` the number of the one whose response the application gets, and when.
 */
export const grpc: {
  readonly source: string
  readonly url: string
  readonly maxAttempts: number
  readonly hedgingDelay: number
  readonly longestConfigurable: number
  readonly vectors: ReadonlyArray<{
    readonly rule: string
    readonly responses: ReadonlyArray<Response>
    readonly sent: ReadonlyArray<number>
    readonly result: readonly [request: number, at: number]
    readonly throttled?: true
  }>
} = {
  source: "gRFC A6, gRPC Retry Design, Hedging Policy, Pushback and the summary of both; last updated 2017-09-13",
  url: "https://github.com/grpc/proposal/blob/0070717f/A6-client-retries.md#hedging-policy",
  maxAttempts: 4,
  hedgingDelay: 500,
  longestConfigurable: 5,
  vectors: [
    {
      rule: "after 1 ms one is outstanding, after 501 ms two, after 1001 ms three, after 1501 ms four",
      responses: Array.from({ length: 4 }, () => ({ after: 5000, status: "OK" })),
      sent: [0, 500, 1000, 1500],
      result: [1, 5000]
    },
    {
      rule: "a non-error response to any of them cancels the others",
      responses: [{ after: 5000, status: "OK" }, { after: 5000, status: "OK" }, { after: 200, status: "OK" }],
      sent: [0, 500, 1000],
      result: [3, 1200]
    },
    {
      rule: "a non-fatal status sends the next one at once; those that follow resume at the delay",
      responses: [
        { after: 100, status: "non-fatal" },
        { after: 5000, status: "OK" },
        { after: 5000, status: "OK" },
        { after: 100, status: "OK" }
      ],
      sent: [0, 100, 600, 1100],
      result: [4, 1200]
    },
    {
      rule: "any other status cancels all that are outstanding",
      responses: [{ after: 5000, status: "OK" }, { after: 200, status: "fatal" }],
      sent: [0, 500],
      result: [2, 700]
    },
    {
      rule: "if all of them fail, there are no further attempts",
      responses: Array.from({ length: 4 }, () => ({ after: 100, status: "non-fatal" })),
      sent: [0, 100, 200, 300],
      result: [4, 400]
    },
    {
      rule: "pushback that says not to retry: no further ones are sent, and those outstanding go on",
      responses: [{ after: 5000, status: "OK" }, { after: 100, status: "non-fatal", pushback: "-1" }],
      sent: [0, 500],
      result: [1, 5000]
    },
    {
      rule: "pushback that cannot be parsed says not to retry",
      responses: [{ after: 100, status: "non-fatal", pushback: "soon" }],
      sent: [0],
      result: [1, 100]
    },
    {
      rule: "pushback of n ms: the next one is sent in n ms, and those that follow resume at n + the delay",
      responses: [
        { after: 100, status: "non-fatal", pushback: "200" },
        { after: 5000, status: "OK" },
        { after: 100, status: "OK" }
      ],
      sent: [0, 300, 800],
      result: [3, 900]
    },
    {
      rule: "under throttling the first one is always sent, and no other",
      responses: [{ after: 5000, status: "OK" }],
      sent: [0],
      result: [1, 5000],
      throttled: true
    },
    {
      rule: "under throttling a failure is returned if no other is outstanding",
      responses: [{ after: 100, status: "non-fatal" }],
      sent: [0],
      result: [1, 100],
      throttled: true
    }
  ]
}

/** Defaults of others, and the largest number of further attempts that they allow. */
export const defaults = [
  {
    source: "Polly 8, HedgingStrategyOptions and HedgingConstants, at 243b0443",
    url: "https://github.com/App-vNext/Polly/blob/243b0443/src/Polly.Core/Hedging/HedgingConstants.cs",
    times: 1,
    most: 10
  },
  {
    source: "failsafe-go, hedgepolicy/hedge.go, at 06622f2d",
    url: "https://github.com/failsafe-go/failsafe-go/blob/06622f2d/hedgepolicy/hedge.go",
    times: 1,
    most: undefined
  }
] as const

/** What hedged requests do to the tail, and what they cost. */
export const tail = {
  source: "Dean and Barroso, The Tail at Scale, Communications of the ACM 56(2), 2013",
  url: "https://doi.org/10.1145/2408776.2408794",
  /** A request that needs all of its leaves, each of which takes a second in one case of a hundred. */
  leaves: 100,
  slow: 0.01,
  slowMillis: 1000,
  /** 1 - 0.99^100. */
  slowRequests: 0.634,
  percentile: 0.95
} as const
