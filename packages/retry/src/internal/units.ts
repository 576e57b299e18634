/**
 * Balances are counted in millionths, as integers: ten tenths are one, and a year of fractions does not
 * drift. gRPC counts in thousandths for the same reason.
 */
export const unit = 1_000_000

export const toUnits = (amount: number): number => Math.round(amount * unit)

export const fromUnits = (units: number): number => units / unit
