/** What Envoy publishes about outliers, priorities and panics, read on 2026-11-29. */

export const outliers = {
  source:
    "source/common/upstream/outlier_detection_impl.cc, successRateEjectionThreshold; its unit test SuccessRateExtEvents",
  commit: "00c7146d95ff67fc55c78f036d6236689b66e72f",
  url: "https://github.com/envoyproxy/envoy/blob/main/source/common/upstream/outlier_detection_impl.cc",
  threshold: { rates: [0.5, 1, 1, 1, 1], deviations: 1.9, mean: 0.9, threshold: 0.52 },
  // Five hosts with 200 successes each, the last one with 200 failures too.
  test: { addresses: 5, successes: 200, failuresOfTheLast: 200, ejectedAt: 10_000, stillAt: 19_999, returnedAt: 50_001 }
}

export const defaults = {
  source: "api/envoy/config/cluster/v3/outlier_detection.proto",
  commit: "1282f875e97fdff79ef5cb6be59e01e23c6e2f5f",
  url: "https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/outlier_detection.proto",
  maxShare: 0.1,
  others: {
    consecutive: 5,
    intervalMillis: 10_000,
    baseMillis: 30_000,
    maxMillis: 300_000,
    deviations: 1.9,
    minimumAddresses: 5,
    minimumCalls: 100
  }
}

/** Percent of the addresses of each priority that are healthy, and percent of the calls that it gets. */
export const priorities = {
  source: "docs/root/intro/arch_overview/upstream/load_balancing/priority.rst",
  commit: "07ccd2b60963605009f331c8bc66160589f90285",
  url: "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority",
  rows: [
    { healthy: [100, 100], calls: [100, 0] },
    { healthy: [72, 100], calls: [100, 0] },
    { healthy: [71, 100], calls: [99, 1] },
    { healthy: [50, 100], calls: [70, 30] },
    { healthy: [25, 100], calls: [35, 65] },
    { healthy: [0, 100], calls: [0, 100] },
    { healthy: [72, 72], calls: [100, 0] },
    { healthy: [71, 71], calls: [99, 1] },
    { healthy: [50, 50], calls: [70, 30] },
    { healthy: [25, 25], calls: [50, 50] },
    { healthy: [72, 72, 100], calls: [100, 0, 0] },
    { healthy: [71, 71, 100], calls: [99, 1, 0] },
    { healthy: [50, 50, 100], calls: [70, 30, 0] },
    { healthy: [25, 100, 100], calls: [35, 65, 0] },
    { healthy: [25, 25, 100], calls: [35, 35, 30] },
    { healthy: [25, 25, 20], calls: [36, 36, 28] }
  ]
}

export const panic = {
  source: "docs/root/intro/arch_overview/upstream/load_balancing/panic_threshold.rst",
  commit: "0d03076406544b74268c763827973b3ccf9cba8a",
  url: "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold",
  threshold: 0.5,
  rows: [
    { healthy: [72, 100], panic: [false, false] },
    { healthy: [50, 100], panic: [false, false] },
    { healthy: [0, 100], panic: [false, false] },
    { healthy: [72, 72], panic: [false, false] },
    { healthy: [71, 71], panic: [false, false] },
    { healthy: [50, 60], panic: [false, false] },
    { healthy: [25, 100], panic: [false, false] },
    { healthy: [25, 25], panic: [true, true] },
    { healthy: [5, 65], panic: [true, false] }
  ]
}
