/**
 * The adaptive circuit breaker of Shopify's Semian, version 0.28.2 (commit 8835b3d of 2026-05-27): `lib/semian/pid_controller.rb`,
 * the defaults in `lib/semian.rb`, `test/pid_controller_test.rb`. https://github.com/Shopify/semian
 */
export const defaults = { kp: 1, windowSeconds: 10, initialErrorRate: 0.05, deadZoneRatio: 0.25 } as const

/** `calculate_p_value`, which is added to the rejection rate each second, times `kp`. */
export const proportionalPart = (errorRate: number, idealErrorRate: number, rejectionRate: number): number => {
  const rawDelta = errorRate - idealErrorRate
  const deadZone = idealErrorRate * defaults.deadZoneRatio
  const delta = rawDelta > 0 && rawDelta <= deadZone ? 0 : rawDelta
  return delta - (1 - delta) * rejectionRate
}

/** What its tests say, with the ideal error rate at 5 %. */
export const facts: ReadonlyArray<{ readonly test: string; readonly errorsOf100: number; readonly rejects: boolean }> =
  [
    { test: "test_dead_zone_suppresses_noise", errorsOf100: 6, rejects: false },
    { test: "test_dead_zone_allows_reaction_above_threshold", errorsOf100: 20, rejects: true },
    { test: "test_dead_zone_does_not_impede_recovery", errorsOf100: 50, rejects: true }
  ]
