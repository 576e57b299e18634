/**
 * The probability of a rejection, as others define it: `requests` and `accepts` over the window, and what comes of them.
 *
 * The multiplier of Envoy and failsafe-go is one over the rate of success that they tolerate.
 */
export const probabilities: ReadonlyArray<{
  readonly source: string
  readonly url: string
  readonly options: { readonly multiplier: number; readonly maxProbability: number }
  readonly vectors: ReadonlyArray<readonly [requests: number, accepts: number, probability: number]>
}> = [
  {
    source: "Google, Site Reliability Engineering (2016), chapter 21, Client-Side Throttling: K = 2",
    url: "https://sre.google/sre-book/handling-overload/",
    options: { multiplier: 2, maxProbability: 1 },
    vectors: [
      [0, 0, 0],
      [1, 0, 1 / 2],
      [9, 0, 9 / 10],
      [100, 100, 0],
      [100, 51, 0],
      [100, 50, 0],
      [100, 49, 2 / 101],
      [100, 25, 50 / 101],
      [100, 1, 98 / 101],
      [100, 0, 100 / 101]
    ]
  },
  {
    source: "the same, with K = 1.1: one rejection by the server for ten that it accepts",
    url: "https://sre.google/sre-book/handling-overload/",
    options: { multiplier: 1.1, maxProbability: 1 },
    vectors: [
      [110, 100, 0],
      [120, 100, 10 / 121],
      [220, 100, 110 / 221]
    ]
  },
  {
    source:
      "Apache Beam 2, adaptive_throttler_test.py: overload ratio 2, a third of 20 requests succeeds; 0.33 within 0.1",
    url: "https://github.com/apache/beam/blob/master/sdks/python/apache_beam/io/components/adaptive_throttler_test.py",
    options: { multiplier: 2, maxProbability: 1 },
    vectors: [[20, 7, 6 / 21]]
  },
  {
    source: "failsafe-go 0.9.7, adaptivethrottler_test.go: one failure at a threshold of 10 %",
    url: "https://github.com/failsafe-go/failsafe-go/blob/master/adaptivethrottler/adaptivethrottler_test.go",
    options: { multiplier: 1 / 0.9, maxProbability: 0.9 },
    vectors: [
      [1, 0, 0.5],
      [50, 0, 0.9]
    ]
  },
  {
    source: "Envoy 1.29, admission control: success rate 95 %, aggression 1, at most 80 %",
    url: "https://www.envoyproxy.io/docs/envoy/v1.29.6/configuration/http/http_filters/admission_control_filter",
    options: { multiplier: 1 / 0.95, maxProbability: 0.8 },
    vectors: [
      [100, 95, 0],
      [100, 76, 20 / 101],
      [100, 38, 60 / 101],
      [100, 0, 0.8]
    ]
  }
]
