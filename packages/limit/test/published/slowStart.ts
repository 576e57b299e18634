/**
 * Envoy, *Slow start mode*: `NewWeight = Weight * max(MinWeightPercent, TimeFactor ^ (1 / Aggression))`, where `TimeFactor` is
 * the time since the start over the window. Istio's `warmup` is the same: `minimumPercent` 10, `aggression` 1.
 *
 * https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start, read 2026-11-29
 */
export const shares: ReadonlyArray<{
  readonly windowSeconds: number
  readonly minWeightPercent: number
  readonly aggression: number
  /** The share of the weight so many seconds after the start. */
  readonly vectors: ReadonlyArray<readonly [seconds: number, share: number]>
}> = [
  {
    windowSeconds: 60,
    minWeightPercent: 10,
    aggression: 1,
    vectors: [[1, 0.1], [6, 0.1], [15, 0.25], [30, 0.5], [59, 59 / 60]]
  },
  { windowSeconds: 10, minWeightPercent: 50, aggression: 1, vectors: [[1, 0.5], [5, 0.5], [8, 0.8]] },
  { windowSeconds: 100, minWeightPercent: 10, aggression: 2, vectors: [[1, 0.1], [4, 0.2], [25, 0.5], [81, 0.9]] },
  { windowSeconds: 10, minWeightPercent: 1, aggression: 0.5, vectors: [[1, 0.01], [5, 0.25], [9, 0.81]] }
]
